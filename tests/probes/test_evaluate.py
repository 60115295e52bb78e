import numpy as np
import polars as pl
import pytest

from personascope.errors import ActivationError, DataError
from personascope.probes.controls import covariance_matched_directions, random_directions
from personascope.probes.evaluate import evaluate_ridge, fit_direction_weights
from personascope.probes.folds import fold_numbers, grouped_folds
from personascope.probes.nested import nested_ridge
from personascope.probes.results import results_frame
from personascope.probes.ridge import DEFAULT_ALPHAS, RidgeProbe
from personascope.probes.text_baseline import text_baseline_scores

PLACE = {"persona": "self", "position": "eot"}


def evaluate(X, Y, groups, *, layer=0, texts=None, **options):
    names = [f"target{t}" for t in range(Y.shape[1])]
    texts = np.random.default_rng(9).normal(size=Y.shape) if texts is None else texts
    return evaluate_ridge(
        X, Y, names=names, groups=groups, texts_predictions=texts, layer=layer, **{**PLACE, **options}
    )


def test_a_planted_signal_is_found_at_its_layer_and_nowhere_else(planted):
    X, Y, groups = planted(160, 60, 1, noise=0.5)
    rng = np.random.default_rng(1)
    layers = [rng.normal(size=X.shape), X, rng.normal(size=X.shape)]
    frame = results_frame([evaluate(x, Y, groups, layer=number, n_shuffles=39)[0] for number, x in enumerate(layers)])
    assert frame["value"].arg_max() == 1
    row = frame.row(1, named=True)
    assert row["value"] > 0.6 > row["shuffled_high"]
    assert row["p_value"] == pytest.approx(1 / 40)
    assert row["low"] < row["value"] < row["high"]
    assert row["random_direction_high"] < 0.4
    for noise in (0, 2):
        row = frame.row(noise, named=True)
        assert row["p_value"] > 0.1
        assert row["value"] < row["shuffled_high"]


def test_a_signal_that_only_the_words_carry_shows_in_the_text_baseline_alone():
    rng = np.random.default_rng(0)
    words = rng.choice(["sun", "moon", "tree", "river"], size=(120, 5))
    Y = ((words == "sun").sum(axis=1) - (words == "moon").sum(axis=1))[:, None].astype(float)
    groups = np.arange(120) // 4
    texts = text_baseline_scores([" ".join(row) for row in words], Y, grouped_folds(groups, 4, 0))
    result = evaluate(rng.normal(size=(120, 30)), Y, groups, texts=texts)[0]
    assert result.controls.text_baseline > 0.9
    assert result.value < result.controls.shuffled_high


def test_p_values_of_noise_are_not_small():
    rng = np.random.default_rng(3)
    Y = rng.normal(size=(80, 40))
    p = [result.controls.p_value for result in evaluate(rng.normal(size=(80, 30)), Y, np.arange(80), n_shuffles=19)]
    assert min(p) >= 1 / 20
    assert 0.35 < np.mean(p) < 0.65
    assert np.mean(np.array(p) <= 0.05) <= 0.15


def test_value_penalty_and_shuffles_are_those_of_their_definitions(planted):
    X, Y, groups = planted(80, 20, 2)
    texts = Y + np.random.default_rng(4).normal(size=Y.shape)
    results = evaluate(X, Y, groups, texts=texts, n_shuffles=3, seed=5)
    numbers = fold_numbers(grouped_folds(groups, 4, 5), 80)
    found = nested_ridge(X, Y, numbers, DEFAULT_ALPHAS)
    scores = X @ random_directions(20, 20, seed=[5, 2, 0])
    rng = np.random.default_rng([5, 1])
    orders = [rng.permutation(80) for _ in range(3)]
    for t, result in enumerate(results):
        assert result.value == pytest.approx(np.corrcoef(found.predictions[:, t], Y[:, t])[0, 1])
        assert result.penalty == np.median(found.penalties[:, t])
        assert result.controls.text_baseline == pytest.approx(np.corrcoef(texts[:, t], Y[:, t])[0, 1])
        shuffled = [
            np.corrcoef(nested_ridge(X, Y[order], numbers, DEFAULT_ALPHAS).predictions[:, t], Y[order, t])[0, 1]
            for order in orders
        ]
        assert result.controls.shuffled == pytest.approx(np.mean(shuffled))
        assert result.controls.random_direction == pytest.approx(np.abs(np.corrcoef(scores.T, Y[:, t])[-1, :-1]).mean())
        matched = X @ covariance_matched_directions(X, 20, seed=[5, 3, 0])
        assert result.controls.matched_direction == pytest.approx(
            np.abs(np.corrcoef(matched.T, Y[:, t])[-1, :-1]).mean()
        )
        assert (result.n, result.n_groups, result.controls.n_shuffles) == (80, 20, 3)


@pytest.mark.parametrize("n_shuffles", [1, 25])
def test_shuffles_and_targets_cost_no_decomposition(n_shuffles, planted, decompositions):
    X, Y, groups = planted(60, 90, 3)
    evaluate(X, Y, groups, n_shuffles=n_shuffles)
    # four outer folds, and a fit for each two of them
    assert len(decompositions) == 10


def test_within_group_is_what_is_left_when_group_means_are_removed(planted):
    X, Y, _ = planted(120, 10, 1, noise=0.1)
    groups = np.arange(120) // 10
    between = np.repeat(np.random.default_rng(0).normal(size=(12, 1)), 10, axis=0)
    predictions = nested_ridge(X, Y, fold_numbers(grouped_folds(groups, 4, 0), 120), DEFAULT_ALPHAS).predictions
    frame = pl.DataFrame({"g": groups, "x": predictions[:, 0], "y": Y[:, 0]})
    centred = frame.select(pl.col("x", "y") - pl.col("x", "y").mean().over("g"))
    expected = centred.select(pl.corr("x", "y")).item()
    assert evaluate(X, Y, groups)[0].within_group == pytest.approx(expected)
    # features that know the group's value and nothing else
    coded = between @ np.ones((1, 4)) + 0.05 * np.random.default_rng(1).normal(size=(120, 4))
    mixed = 3 * between + np.random.default_rng(2).normal(size=(120, 1))
    result = evaluate(coded, mixed, groups)[0]
    assert result.value > 0.7
    assert abs(result.within_group) < 0.3


def test_within_group_is_none_where_the_target_is_constant_within_groups(planted):
    X, _, _ = planted(48, 10, 1)
    groups = np.arange(48) // 4
    y = np.random.default_rng(0).normal(size=(12, 1))[groups]
    assert evaluate(X, y, groups, shuffle_groups=True)[0].within_group is None
    assert evaluate(X, y, np.arange(48))[0].within_group is None


def test_shuffling_rows_of_a_group_target_makes_the_null_too_narrow():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 20)
    X = rng.normal(size=(12, 6))[groups] + 0.1 * rng.normal(size=(240, 6))
    Y = rng.normal(size=(12, 1))[groups]
    by_row, by_group = (evaluate(X, Y, groups, shuffle_groups=whole, n_shuffles=50)[0] for whole in (False, True))
    assert by_row.value == by_group.value
    assert by_group.controls.shuffled_high > by_row.controls.shuffled_high + 0.2


def test_rows_may_come_in_any_order_and_features_in_any_unit(planted):
    X, Y, groups = planted(80, 20, 1)
    order = np.random.default_rng(0).permutation(80)
    plain = evaluate(X, Y, groups)[0]
    moved = evaluate(X[order] * 100 - 7, 2 * Y[order] + 1, groups[order])[0]
    assert moved.value == pytest.approx(plain.value, rel=1e-6)
    assert (moved.low, moved.high) == pytest.approx((plain.low, plain.high), rel=1e-6)


def test_a_probe_that_predicts_nothing_scores_zero():
    Y = np.random.default_rng(0).normal(size=(40, 1))
    constant = evaluate(np.ones((40, 3)), Y, np.arange(40), texts=np.zeros((40, 1)))[0]
    assert constant.controls.text_baseline == 0.0
    assert constant.controls.random_direction == 0.0


def test_bad_rows_and_targets_are_refused_with_their_place(planted, unchecked_annotations):
    X, Y, groups = planted(40, 6, 2)
    broken = X.copy()
    broken[17, 3] = np.nan
    with pytest.raises(ActivationError, match="row 17 of 40"):
        evaluate(broken, Y, groups)
    with pytest.raises(DataError, match="'target1' does not vary"):
        evaluate(X, np.column_stack([Y[:, 0], np.ones(40)]), groups)
    with pytest.raises(DataError, match="30 groups"):
        evaluate(X, Y, groups[:30])
    with pytest.raises(DataError, match="'target0' varies within a group"):
        evaluate(X, Y, groups, shuffle_groups=True)
    with pytest.raises(DataError, match="2 folds are too few"):
        evaluate(X, Y, groups, n_folds=2)
    with pytest.raises(DataError, match="text predictions"):
        evaluate(X, Y, groups, texts=Y[:, :1])


def test_direction_weights_point_along_the_planted_direction(planted):
    X, Y, groups = planted(400, 12, 1, noise=0.1)
    weights = fit_direction_weights(X.astype(np.float32), Y[:, 0], groups)
    assert weights == pytest.approx(RidgeProbe().fit(X.astype(np.float32), Y[:, 0], groups=groups).coef_)
    truth = np.linalg.lstsq(X - X.mean(axis=0), Y[:, 0] - Y[:, 0].mean(), rcond=None)[0]
    assert weights @ truth / np.linalg.norm(weights) / np.linalg.norm(truth) > 0.999


def test_directions_that_vary_as_activations_do_are_harder_to_beat():
    # one dimension carries nearly all variance, and the target
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 50)) * np.r_[9.0, np.ones(49)]
    controls = evaluate(X, X[:, :1] + rng.normal(size=(120, 1)), np.arange(120))[0].controls
    assert controls.matched_direction > 0.85 > controls.random_direction + 0.2


def test_over_text_is_bootstrapped_with_the_same_resamples(planted):
    X, Y, groups = planted(80, 20, 2)
    rng = np.random.default_rng(4)
    texts, encoder = (Y + scale * rng.normal(size=Y.shape) * Y.std(axis=0) for scale in (3.0, 2.0))
    result = evaluate(X, Y, groups, texts=texts, encoder_predictions=encoder, n_resamples=200, seed=1)[1]
    predictions = nested_ridge(X, Y, fold_numbers(grouped_folds(groups, 4, 1), 80), DEFAULT_ALPHAS).predictions
    columns = [values[:, 1] for values in (predictions, texts, encoder)]
    drawn = np.random.default_rng(1).integers(20, size=(200, 20))
    gaps = []
    for groups_drawn in drawn:
        rows = np.concatenate([np.flatnonzero(groups == group) for group in groups_drawn])
        r, *others = (np.corrcoef(column[rows], Y[rows, 1])[0, 1] for column in columns)
        gaps.append(r - max(others))
    assert (result.over_text_low, result.over_text_high) == pytest.approx(tuple(np.quantile(gaps, [0.025, 0.975])))
    assert result.controls.encoder_baseline == pytest.approx(np.corrcoef(encoder[:, 1], Y[:, 1])[0, 1])
    best = max(result.controls.text_baseline, result.controls.encoder_baseline)
    assert result.over_text == pytest.approx(result.value - best)
    assert evaluate(X, Y, groups)[0].controls.encoder_baseline is None


def test_a_text_baseline_that_says_nothing_counts_as_zero():
    X = np.random.default_rng(0).normal(size=(60, 4))
    result = evaluate(X, X[:, :1], np.arange(60), texts=np.zeros((60, 1)))[0]
    assert (result.over_text_low, result.over_text_high) == pytest.approx((result.low, result.high))


def test_encoder_predictions_must_fit_and_be_numbers(planted, unchecked_annotations):
    X, Y, groups = planted(40, 6, 2)
    with pytest.raises(DataError, match="text predictions"):
        evaluate(X, Y, groups, encoder_predictions=Y[:, :1])
    broken = Y.copy()
    broken[3, 1] = np.nan
    with pytest.raises(DataError, match="'target1' does not vary, or it or its text baseline"):
        evaluate(X, Y, groups, encoder_predictions=broken)
