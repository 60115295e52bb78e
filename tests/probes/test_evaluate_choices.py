import numpy as np
import pytest

from personascope.errors import DataError
from personascope.probes.controls import covariance_matched_directions, random_directions
from personascope.probes.evaluate_choices import evaluate_choices
from personascope.probes.folds import grouped_folds, pair_fold_numbers, pair_folds
from personascope.probes.logistic import DEFAULT_CS, one_hot
from personascope.probes.nested import nested_logistic
from personascope.probes.text_baseline import text_baseline_choices

N_TASKS = 60


def design(seed=0, n_pairs=700):
    rng = np.random.default_rng(seed)
    first = rng.integers(0, N_TASKS, n_pairs)
    return first, (first + rng.integers(1, N_TASKS, n_pairs)) % N_TASKS


def utilities(d=15, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N_TASKS, d)) * np.exp(rng.normal(size=d)) + 2
    return X, (X - X.mean(axis=0)) / X.std(axis=0) @ rng.normal(size=d)


def evaluate(X, first, second, margin, *, texts=None, groups=None, **options):
    texts = np.random.default_rng(9).normal(size=len(first)) if texts is None else texts
    return evaluate_choices(
        X,
        first,
        second,
        margin,
        task_groups=np.arange(N_TASKS) if groups is None else groups,
        texts_predictions=texts,
        **{"persona": "evil", "position": "eot", "layer": 4, **options},
    )


def test_planted_utilities_are_read_from_choices():
    X, u = utilities()
    first, second = design()
    margin = u[first] - u[second] + np.random.default_rng(1).logistic(size=700)
    result = evaluate(X, first, second, margin, n_shuffles=39)
    assert result.value > 0.8 > result.controls.shuffled_high
    assert result.controls.p_value == pytest.approx(1 / 40)
    assert result.low < result.value < result.high
    assert result.controls.shuffled == pytest.approx(0.5, abs=0.05)
    assert result.value > result.controls.random_direction > 0.5


def test_tasks_that_were_never_seen_cannot_be_remembered():
    # as many dimensions as it takes to learn any utilities by heart
    X, _ = utilities(d=200)
    u = np.random.default_rng(5).normal(size=N_TASKS)
    first, second = design()
    result = evaluate(X, first, second, u[first] - u[second])
    assert result.value < 0.65
    assert result.low < 0.5 < result.high


def test_p_values_of_useless_features_are_small_no_more_often_than_they_say():
    # pairs share tasks, so shuffles that treat pairs as independent would call a fifth of these significant
    p = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        u = rng.normal(size=N_TASKS)
        first, second = design(seed, 360)
        options = {"n_shuffles": 19, "n_directions": 1, "n_folds": 3, "seed": seed, "n_resamples": 100}
        result = evaluate(rng.normal(size=(N_TASKS, 40)), first, second, u[first] - u[second], **options)
        p.append(result.controls.p_value)
    assert np.mean(np.array(p) <= 0.05) <= 0.1
    assert 0.4 < np.mean(p) < 0.65


def test_value_is_the_accuracy_over_the_tested_pairs():
    X, u = utilities()
    first, second = design()
    margin = u[first] - u[second] + 2 * np.random.default_rng(1).logistic(size=700)
    margin[:50] = 0.0
    groups = np.arange(N_TASKS) // 3
    for weighted in (False, True):
        result = evaluate(X, first, second, margin, groups=groups, weighted=weighted, seed=2)
        kept = slice(50, None)
        f, s, m = first[kept], second[kept], margin[kept]
        folds = grouped_folds(groups, 4, 2)
        tested = np.concatenate([test for _, test in pair_folds(f, s, folds)])
        margins, chosen = nested_logistic(
            X[f] - X[s],
            one_hot((m > 0).astype(int)[:, None], 2),
            pair_fold_numbers(f, s, folds),
            np.array(DEFAULT_CS),
            row_weights=np.abs(m) / np.abs(m).mean() if weighted else np.ones(650),
            fit_intercept=False,
        )
        assert result.value == pytest.approx(((margins[:, 0, 0] > 0) == (m > 0))[tested].mean())
        assert result.penalty == np.median(chosen)
        assert result.n == len(tested)
        sides = ((X[f] - X[s])[tested] @ random_directions(15, 20, seed=[2, 2, 4]) > 0) == (m > 0)[tested, None]
        better_side = 0.5 + np.abs(sides.mean(axis=0) - 0.5)
        assert result.controls.random_direction == pytest.approx(better_side.mean())
        sides = ((X[f] - X[s])[tested] @ covariance_matched_directions(X, 20, seed=[2, 3, 4]) > 0) == (m > 0)[
            tested, None
        ]
        better_side = 0.5 + np.abs(sides.mean(axis=0) - 0.5)
        assert result.controls.matched_direction == pytest.approx(better_side.mean())
        assert result.controls.matched_direction_high == pytest.approx(np.quantile(better_side, 0.95))
        assert result.n_groups == 20


def test_swapping_pairs_changes_nothing():
    X, u = utilities()
    first, second = design()
    margin = u[first] - u[second] + np.random.default_rng(1).logistic(size=700)
    texts = np.random.default_rng(2).normal(size=700)
    flip = np.random.default_rng(3).random(700) < 0.5
    sign = np.where(flip, -1.0, 1.0)
    plain = evaluate(X, first, second, margin, texts=texts)
    turned = evaluate(
        X, np.where(flip, second, first), np.where(flip, first, second), margin * sign, texts=texts * sign
    )
    assert turned.value == pytest.approx(plain.value)
    assert (turned.low, turned.high, turned.penalty) == pytest.approx((plain.low, plain.high, plain.penalty))
    assert turned.controls.text_baseline == plain.controls.text_baseline
    assert turned.controls.random_direction == pytest.approx(plain.controls.random_direction)


def test_choices_that_follow_the_words_show_in_the_text_baseline_alone():
    rng = np.random.default_rng(0)
    words = rng.choice(["sun", "moon", "tree", "river"], size=(N_TASKS, 6))
    u = ((words == "sun").sum(axis=1) - (words == "moon").sum(axis=1)).astype(float)
    first, second = design()
    margin = u[first] - u[second]
    folds = grouped_folds(np.arange(N_TASKS), 4, 0)
    decided = margin != 0
    first, second, margin = first[decided], second[decided], margin[decided]
    texts = text_baseline_choices([" ".join(row) for row in words], first, second, margin, folds)
    result = evaluate(rng.normal(size=(N_TASKS, 30)), first, second, margin, texts=texts)
    assert result.controls.text_baseline > 0.85
    assert result.value < 0.65


def test_tasks_rather_than_pairs_are_what_was_sampled():
    # the same 60 tasks in ever more pairs: pairs alone would make the interval shrink with their number
    X, u = utilities(d=3)
    noisy = u + np.random.default_rng(1).normal(size=N_TASKS) * u.std()
    widths = []
    for n_pairs in (1_000, 16_000):
        first, second = design(n_pairs=n_pairs)
        result = evaluate(X, first, second, noisy[first] - noisy[second], n_shuffles=1)
        widths.append(result.high - result.low)
    assert widths[1] > 0.5 * widths[0]


def test_shuffles_cost_no_decomposition(decompositions):
    X, u = utilities()
    first, second = design()
    evaluate(X, first, second, u[first] - u[second], n_shuffles=30)
    assert len(decompositions) == 10


def test_bad_pairs_are_refused_with_their_number(unchecked_annotations):
    X, u = utilities()
    first, second = design()
    margin = u[first] - u[second]
    broken = margin.copy()
    broken[12] = np.nan
    with pytest.raises(DataError, match="Pair 12"):
        evaluate(X, first, second, broken)
    same = second.copy()
    same[33] = first[33]
    with pytest.raises(DataError, match="Pair 33"):
        evaluate(X, first, same, margin)
    with pytest.raises(DataError, match="tested pairs have no text prediction"):
        evaluate(X, first, second, margin, texts=np.full(700, np.nan))
    with pytest.raises(DataError, match="699 second, 699 margins"):
        evaluate(X, first, second[:-1], margin[:-1], texts=np.ones(700))


def test_what_choices_add_to_the_better_text_baseline_has_an_interval():
    X, u = utilities()
    first, second = design()
    margin = u[first] - u[second]
    rng = np.random.default_rng(1)
    weak, strong = (margin + scale * margin.std() * rng.normal(size=700) for scale in (8.0, 1.0))
    result = evaluate(X, first, second, margin, texts=weak, encoder_predictions=strong)
    assert result.controls.encoder_baseline > result.controls.text_baseline
    assert result.over_text == pytest.approx(result.value - result.controls.encoder_baseline)
    assert result.over_text_low < result.over_text < result.over_text_high
    turned = evaluate(X, first, second, margin, texts=strong, encoder_predictions=weak)
    assert (turned.over_text_low, turned.over_text_high) == (result.over_text_low, result.over_text_high)
    # against itself nothing is gained, in any resample
    alone = evaluate(X, first, second, margin, texts=margin, encoder_predictions=None)
    assert alone.over_text_high <= 0
    assert alone.controls.encoder_baseline is None
    with pytest.raises(DataError, match="tested pairs have no text prediction"):
        evaluate(X, first, second, margin, encoder_predictions=np.full(700, np.nan))
