import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from personascope.errors import DataError
from personascope.instruments.keys import ScoringKey
from personascope.instruments.responses import Responses
from personascope.measures.consistency import (
    alpha,
    complete_cases,
    item_rest_correlations,
    omega_total,
    scale_consistency,
)

LOADINGS = np.array([0.8, 0.7, 0.6, 0.5, 0.4])


def one_factor(n, rng, loadings=LOADINGS):
    """Answers of a one-factor model with unit variances; its omega is (sum l)^2 / ((sum l)^2 + sum(1 - l^2))."""
    factor, noise = rng.standard_normal((n, 1)), rng.standard_normal((n, len(loadings)))
    return factor * loadings + noise * np.sqrt(1 - loadings**2)


def likert(values, n_options=7):
    """The same on options 1 to K."""
    return np.clip(np.rint(values * 1.2 + (n_options + 1) / 2), 1, n_options).astype(np.int8)


def asked(values, n_options=7):
    items = tuple(f"q{k}" for k in range(values.shape[1]))
    return Responses(values, items, tuple(str(row) for row in range(len(values))), n_options)


def key_of(signs, scale="trait"):
    return ScoringKey({scale: tuple((f"q{k}", int(sign)) for k, sign in enumerate(signs))}, "test")


def pingouin_alpha(values):
    import pingouin

    return pingouin.cronbach_alpha(data=pd.DataFrame(values))[0]


def test_alpha_worked_by_hand():
    # Deviations are all .5 with 8 agreements and 2 disagreements in sign: r = .6, and alpha = 2 r / (1 + r).
    values = np.array([[1, 1]] * 4 + [[1, 2], [2, 1]] + [[2, 2]] * 4)
    assert alpha(values) == pytest.approx(0.75, abs=1e-12)


@pytest.mark.parametrize(("n", "k"), [(10, 2), (40, 5), (300, 12)])
def test_alpha_equals_that_of_pingouin(n, k):
    rng = np.random.default_rng(n)
    values = rng.standard_normal((n, k)) + 0.7 * rng.standard_normal((n, 1))
    assert alpha(values) == pytest.approx(pingouin_alpha(values), abs=1e-12)
    assert alpha(values - 1e4) == pytest.approx(alpha(values), abs=1e-9)


def test_reversed_items_are_turned():
    answers = likert(one_factor(400, np.random.default_rng(1)))
    signs = np.array([1, -1, 1, -1, -1])
    given = np.where(signs > 0, answers, 8 - answers).astype(np.int8)
    row = scale_consistency(asked(given), key_of(signs), respondents="people", n_resamples=0).row(0, named=True)
    assert row["alpha"] == pytest.approx(pingouin_alpha(answers), abs=1e-12)
    assert row["negative_items"] == []
    assert alpha(given) < 0.1


def test_what_the_table_holds():
    answers = likert(one_factor(400, np.random.default_rng(2)))
    table = scale_consistency(asked(answers), key_of([1] * 5), respondents="personas of one model", n_resamples=50)
    row = table.row(0, named=True)
    assert table.columns == [
        "scale",
        "respondents",
        "n_items",
        "n",
        "n_left_out",
        "alpha",
        "low",
        "high",
        "alpha_standardized",
        "omega_total",
        "mean_item_rest",
        "negative_items",
    ]
    assert (row["scale"], row["respondents"], row["n_items"], row["n"]) == ("trait", "personas of one model", 5, 400)
    standard = (answers - answers.mean(axis=0)) / answers.std(axis=0)
    assert row["alpha_standardized"] == pytest.approx(pingouin_alpha(standard), abs=1e-12)
    rest = [np.corrcoef(answers[:, k], np.delete(answers, k, axis=1).sum(axis=1))[0, 1] for k in range(5)]
    assert item_rest_correlations(answers) == pytest.approx(rest, abs=1e-12)
    assert row["mean_item_rest"] == pytest.approx(np.mean(rest), abs=1e-12)


def test_incomplete_respondents_are_left_out_scale_by_scale_and_counted():
    answers = likert(one_factor(60, np.random.default_rng(3), np.full(6, 0.6)))
    answers[:7, 0] = -1
    answers[5:10, 1] = -1
    answers[0, 5] = -1
    key = ScoringKey({"a": (("q0", 1), ("q1", 1), ("q2", 1)), "b": (("q3", 1), ("q4", 1), ("q5", 1))}, "test")
    table = scale_consistency(asked(answers), key, respondents="people", n_resamples=0)
    assert table.select("scale", "n", "n_left_out").rows() == [("a", 50, 10), ("b", 59, 1)]
    assert table["alpha"][0] == pytest.approx(pingouin_alpha(answers[10:, :3]), abs=1e-12)
    assert table.select("low", "high").row(0) == (None, None)


def test_a_planted_wrong_key_is_named():
    answers = likert(one_factor(300, np.random.default_rng(4)))
    table = scale_consistency(asked(answers), key_of([1, 1, -1, 1, 1]), respondents="people", n_resamples=0)
    right = scale_consistency(asked(answers), key_of([1] * 5), respondents="people", n_resamples=0)
    assert table["negative_items"].to_list() == [["q2"]]
    assert right["negative_items"].to_list() == [[]]
    assert table["alpha"][0] < right["alpha"][0] - 0.3


def test_omega_of_a_simulated_factor():
    values = one_factor(20_000, np.random.default_rng(5))
    assert omega_total(values) == pytest.approx(9 / (9 + 3.1), abs=0.01)
    assert omega_total(values * [1, 50, 0.1, 3, 7]) == pytest.approx(omega_total(values), abs=1e-6)
    assert omega_total(-values) == pytest.approx(omega_total(values), abs=1e-6)
    assert omega_total(values) > alpha(values)  # loadings differ, so alpha is a lower bound
    equal = one_factor(20_000, np.random.default_rng(6), np.full(6, 0.6))
    assert omega_total(equal) == pytest.approx(alpha(equal), abs=0.003)


def test_omega_is_not_identified_by_two_items():
    assert omega_total(one_factor(100, np.random.default_rng(7), np.array([0.6, 0.6]))) is None


def test_omega_is_null_when_the_factor_does_not_settle(monkeypatch):
    monkeypatch.setattr("personascope.measures.factors.MAX_ITERATIONS", 2)
    assert omega_total(one_factor(100, np.random.default_rng(9))) is None


def test_the_interval_is_the_percentile_bootstrap_over_respondents():
    answers = likert(one_factor(50, np.random.default_rng(10)))
    row = scale_consistency(asked(answers), key_of([1] * 5), respondents="people", n_resamples=300, seed=7)
    naive = stats.bootstrap(
        (np.arange(50),),
        lambda drawn: pingouin_alpha(answers[drawn.astype(int)]),
        vectorized=False,
        n_resamples=300,
        method="percentile",
        rng=np.random.default_rng(7),
    ).confidence_interval
    assert (row["low"][0], row["high"][0]) == pytest.approx((naive.low, naive.high), abs=1e-10)
    other = scale_consistency(asked(answers), key_of([1] * 5), respondents="people", n_resamples=300, seed=8)
    assert other["low"][0] != row["low"][0]


def test_the_interval_covers_the_alpha_of_the_population():
    rng = np.random.default_rng(11)
    loadings = np.full(5, 0.6)
    truth = 5 * 0.36 / (1 + 4 * 0.36)
    covered = 0
    for _ in range(200):
        values = one_factor(100, rng, loadings)
        fine = np.clip(np.rint(values * 15 + 60), 1, 120).astype(np.int8)
        row = scale_consistency(asked(fine, 120), key_of([1] * 5), respondents="people", n_resamples=300)
        covered += row["low"][0] <= truth <= row["high"][0]
    assert 180 <= covered <= 198


def test_resampling_takes_bounded_memory():
    answers = likert(one_factor(20_000, np.random.default_rng(12)))
    responses, key = asked(answers), key_of([1] * 5)
    tracemalloc.start()
    try:
        scale_consistency(responses, key, respondents="people", n_resamples=1_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 150e6  # 1,000 resamples of 20,000 rows held at once would be 160 MB for each of several arrays


def test_resamples_without_variance_are_left_out():
    # Nine of ten alike in both items: a third of the resamples miss the tenth, and have no alpha.
    answers = np.array([[3, 3]] * 9 + [[5, 4]], dtype=np.int8)
    row = scale_consistency(asked(answers), key_of([1, 1]), respondents="models", n_resamples=200).row(0, named=True)
    assert np.isfinite([row["low"], row["high"]]).all()


@pytest.mark.parametrize(
    ("values", "signs", "said"),
    [
        (likert(one_factor(9, np.random.default_rng(0))), [1] * 5, "9 complete respondents (0 left out"),
        (likert(one_factor(40, np.random.default_rng(0)))[:, :1], [1], "has 1 item(s)"),
        (np.full((20, 3), 4, dtype=np.int8), [1] * 3, "the same answer to q0, q1, q2 (3 items)"),
    ],
)
def test_what_has_no_consistency_is_refused(values, signs, said):
    with pytest.raises(DataError) as caught:
        scale_consistency(asked(values), key_of(signs), respondents="people")
    assert said in str(caught.value)
    assert "Scale 'trait'" in str(caught.value)


def test_one_model_is_one_respondent():
    with pytest.raises(DataError) as caught:
        scale_consistency(asked(np.array([[1, 2, 3]], dtype=np.int8)), key_of([1] * 3), respondents="models")
    for words in ("One model is one respondent", "people, models, personas of one model", "prompt variants"):
        assert words in caught.value.cause


def test_too_few_complete_respondents_are_told_from_too_few():
    answers = likert(one_factor(30, np.random.default_rng(13)))
    answers[:25, 2] = -1
    with pytest.raises(DataError, match=r"5 complete respondents \(25 left out for a missing answer\)"):
        scale_consistency(asked(answers), key_of([1] * 5), respondents="people")


def test_items_that_cancel_are_refused():
    column = likert(one_factor(40, np.random.default_rng(14)))[:, :1]
    pair = np.hstack([column, column])
    with pytest.raises(DataError, match="the same sum"):
        scale_consistency(asked(pair), key_of([1, -1]), respondents="people")
    three = np.hstack([column, column, likert(one_factor(40, np.random.default_rng(15)))[:, :1]])
    with pytest.raises(DataError, match=r"Without item 2 .* the same sum"):
        scale_consistency(asked(three), key_of([1, -1, 1]), respondents="people")


def test_arguments_that_make_no_sense_are_refused():
    answers = asked(likert(one_factor(40, np.random.default_rng(16))))
    with pytest.raises(DataError, match="Nothing says what a respondent is"):
        scale_consistency(answers, key_of([1] * 5), respondents=" ")
    with pytest.raises(DataError, match="-1 resamples"):
        scale_consistency(answers, key_of([1] * 5), respondents="people", n_resamples=-1)
    with pytest.raises(DataError, match="no item 'q5'"):
        scale_consistency(answers, key_of([1] * 6), respondents="people")
    with pytest.raises(DataError, match="not finite"):
        alpha(np.where(np.eye(20, 4) > 0, np.nan, 1.0))


def test_complete_cases_keep_the_order_of_the_items():
    answers = likert(one_factor(20, np.random.default_rng(17)))
    answers[3, 4] = -1
    values, n_left_out = complete_cases(asked(answers), ["q4", "q0"], "These")
    assert n_left_out == 1
    assert np.array_equal(values, np.delete(answers, 3, axis=0)[:, [4, 0]])
    with pytest.raises(DataError, match="These has item 'q4' twice"):
        complete_cases(asked(answers), ["q4", "q0", "q4"], "These")
