import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from personascope.errors import DataError
from personascope.measures.outcomes import OUTCOMES, Outcomes, refusal_rates
from personascope.measures.utilities import fit_utilities


def planted(seed, n_tasks=40, rounds=60, bias=0.4):
    """Sampled answers in which the tasks of highest index are mostly refused when they stand second."""
    rng = np.random.default_rng(seed)
    u = rng.normal(size=n_tasks)
    first = np.tile(np.arange(n_tasks), rounds)
    second = (first + rng.integers(1, n_tasks, len(first))) % n_tasks
    wins = rng.random(len(first)) < expit(u[first] - u[second] + bias)
    refused = rng.random(len(first)) < np.where(second >= n_tasks - 8, 0.8, 0.02)
    return u, first, second, wins, refused


def test_refusals_of_one_slot_move_no_utility():
    u, first, second, wins, refused = planted(0, rounds=150)
    answer = np.where(refused, "refusal", np.where(wins, "first", "second"))
    with_refusals = Outcomes.sampled(first, second, answer.tolist()).fit(n_tasks=40)
    kept = ~refused
    without = fit_utilities(first[kept], second[kept], wins[kept].astype(float), n_tasks=40)
    np.testing.assert_allclose(with_refusals.values, without.values, atol=1e-5)
    assert with_refusals.order_bias == pytest.approx(without.order_bias, abs=1e-5)
    # Against the planted truth the refused tasks are not shifted; counted as wins of the second they are.
    error = with_refusals.values - (u - u.mean())
    assert abs(error[-8:].mean() - error[:-8].mean()) < 0.15
    naive = fit_utilities(first, second, (wins & ~refused).astype(float), n_tasks=40).values - (u - u.mean())
    assert naive[-8:].mean() - naive[:-8].mean() > 0.8


def test_adding_pure_refusals_changes_nothing_at_all():
    _, first, second, wins, _ = planted(1, n_tasks=12, rounds=10)
    answer = np.where(wins, "first", "second").tolist()
    plain = Outcomes.sampled(first, second, answer).fit(n_tasks=12)
    extra = np.arange(11)
    more = Outcomes.sampled(
        np.append(first, extra), np.append(second, extra + 1), answer + ["refusal"] * 6 + ["other"] * 5
    ).fit(n_tasks=12)
    np.testing.assert_allclose(more.values, plain.values, atol=1e-9)
    assert more.log_likelihood == pytest.approx(plain.log_likelihood)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.sampled_from(OUTCOMES)), max_size=60))
def test_counts_agree_with_counting_one_by_one(rows):
    first, second = (np.array([row[k] for row in rows], dtype=np.int64) for k in (0, 1))
    found = Outcomes.sampled(first, second, [row[2] for row in rows])
    for k, (i, j) in enumerate(zip(found.first.tolist(), found.second.tolist(), strict=True)):
        counts = [sum(row == (i, j, outcome) for row in rows) for outcome in OUTCOMES]
        assert [found.chose_first[k], found.chose_second[k], found.refused[k], found.other[k]] == counts
    assert found.asked.sum() == len(rows)
    assert len(found.first) == len({row[:2] for row in rows})


def test_soft_outcomes_fit_as_counts_in_proportion():
    rng = np.random.default_rng(2)
    first, second = np.divmod(np.arange(36), 6)
    apart = first != second
    first, second = first[apart], second[apart]
    counts = rng.integers(0, 7, (3, 30)).astype(float) + 1
    total = counts.sum(axis=0)
    hard = Outcomes(first, second, *counts, np.zeros(30))
    soft = Outcomes.soft(first, second, counts[0] / total, counts[1] / total, counts[2] / total)
    np.testing.assert_allclose(soft.p_first, hard.p_first)
    np.testing.assert_allclose(soft.weights * total, hard.weights)
    assert soft.other.max() < 1e-12
    rest = Outcomes.soft(first, second, np.full(30, 0.3), np.full(30, 0.4))
    np.testing.assert_allclose(rest.other, 0.3)
    assert rest.refused.sum() == 0


def test_rates_by_task_and_slot():
    first, second = np.array([0, 0, 0, 1, 2]), np.array([1, 1, 2, 0, 1])
    outcomes = Outcomes.sampled(first, second, ["refusal", "first", "refusal", "second", "other"])
    rates = refusal_rates(outcomes, n_tasks=4)
    assert rates.columns == ["task", "slot", "asked", "refused", "n_pairs", "rate", "low", "high"]
    assert rates.height == 12
    row = {(r["task"], r["slot"]): r for r in rates.iter_rows(named=True)}
    assert row[0, "first"]["rate"] == pytest.approx(2 / 3)
    assert (row[0, "first"]["asked"], row[0, "first"]["refused"], row[0, "first"]["n_pairs"]) == (3, 2, 2)
    assert row[0, "second"]["rate"] == 0
    assert row[0, "either"]["rate"] == pytest.approx(2 / 4)
    assert row[0, "either"]["n_pairs"] == 2  # 0-1 in both orders is one pair
    assert row[1, "second"]["rate"] == pytest.approx(1 / 3)
    assert row[3, "either"]["asked"] == 0
    assert row[3, "either"]["rate"] is row[3, "either"]["low"] is row[3, "either"]["high"] is None
    for r in rates.filter(pl.col("asked") > 0).iter_rows(named=True):
        n, p, z = r["n_pairs"], r["rate"], 1.959963984540054
        centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
        assert (r["low"], r["high"]) == (pytest.approx(centre - half, abs=1e-9), pytest.approx(centre + half))


def test_planted_refusals_are_found_in_their_slot():
    _, first, second, wins, refused = planted(3)
    outcomes = Outcomes.sampled(first, second, np.where(refused, "refusal", np.where(wins, "first", "second")).tolist())
    mean = (
        refusal_rates(outcomes, n_tasks=40)
        .group_by((pl.col("task") >= 32).alias("planted"), "slot")
        .agg(pl.col("rate").mean())
    )
    found = {(r["planted"], r["slot"]): r["rate"] for r in mean.iter_rows(named=True)}
    assert found[True, "second"] == pytest.approx(0.8, abs=0.06)
    assert found[False, "second"] == pytest.approx(0.02, abs=0.02)
    assert found[True, "first"] == pytest.approx(found[False, "first"], abs=0.08)
    swapped = Outcomes(
        outcomes.second, outcomes.first, outcomes.chose_second, outcomes.chose_first, outcomes.refused, outcomes.other
    )
    again, rates = refusal_rates(swapped, n_tasks=40), refusal_rates(outcomes, n_tasks=40)
    other = {"first": "second", "second": "first", "either": "either"}
    renamed = again.with_columns(pl.col("slot").replace(other)).sort("slot", "task")
    assert renamed.equals(rates.sort("slot", "task"))


def test_intervals_cover_the_planted_rate_about_as_often_as_they_say():
    rng = np.random.default_rng(4)
    n_tasks, covered = 60, []
    first, second = np.triu_indices(n_tasks, 1)
    for _ in range(20):
        refused = rng.random(len(first)) < 0.15
        outcomes = Outcomes.sampled(first, second, np.where(refused, "refusal", "first").tolist())
        rates = refusal_rates(outcomes, n_tasks=n_tasks).filter(pl.col("slot") == "either")
        covered += ((rates["low"] <= 0.15) & (rates["high"] >= 0.15)).to_list()
    assert 0.92 < np.mean(covered) < 0.98


def test_asking_the_same_pairs_again_adds_no_certainty():
    first, second = np.triu_indices(20, 1)
    answer = np.where(np.random.default_rng(5).random(190) < 0.3, "refusal", "second").tolist()
    once = refusal_rates(Outcomes.sampled(first, second, answer), n_tasks=20)
    often = refusal_rates(Outcomes.sampled(np.tile(first, 5), np.tile(second, 5), answer * 5), n_tasks=20)
    assert once.drop("asked", "refused").equals(often.drop("asked", "refused"))


def test_unfit_outcomes_are_refused():
    one = np.array([0, 1])
    with pytest.raises(DataError, match=r"outcome 'refused'\. Did you mean 'refusal'"):
        Outcomes.sampled(one, one + 1, ["first", "refused"])
    with pytest.raises(DataError, match="2 first tasks, 2 second tasks, 1 outcomes"):
        Outcomes.sampled(one, one + 1, ["first"])
    zero = np.zeros(2)
    with pytest.raises(DataError, match="Comparison 1 has the outcomes"):
        Outcomes(one, one + 1, zero, zero, np.array([0, np.nan]), zero)
    with pytest.raises(DataError, match="Comparison 0 has the outcomes"):
        Outcomes(one, one + 1, zero - [1, 0], zero, zero, zero)
    with pytest.raises(DataError, match=r"sum to 1\.3"):
        Outcomes.soft(one, one + 1, np.array([0.5, 0.6]), np.array([0.5, 0.4]), np.array([0.0, 0.3]))
    with pytest.raises(DataError, match="from 0 to 1"):
        refusal_rates(Outcomes.soft(one, one + 1, zero, zero), n_tasks=2)
    with pytest.raises(Exception, match=r"(?i)Outcomes of shapes|type-check"):
        Outcomes(one, one + 1, zero, zero, zero, np.zeros(3))
