import numpy as np
import pytest

from personascope.errors import DataError
from personascope.probes.controls import covariance_matched_directions
from personascope.probes.evaluate_classes import evaluate_logistic
from personascope.probes.folds import fold_numbers, grouped_folds
from personascope.probes.logistic import DEFAULT_CS, one_hot
from personascope.probes.nested import nested_logistic


def evaluate(X, y, groups, *, texts=None, layer=0, **options):
    texts = np.random.default_rng(9).permutation(y) if texts is None else texts
    return evaluate_logistic(
        X, y, name="facet", groups=groups, texts_predictions=texts, persona="p", position="eot", layer=layer, **options
    )


def labelled(planted, n=120, d=12, k=3, noise=0.3):
    X, Y, groups = planted(n, d, k, noise=noise)
    return X, np.array(["calm", "bold", "warm"])[(Y - Y.mean(axis=0)).argmax(axis=1)], groups


@pytest.mark.parametrize("k", [2, 3])
def test_a_planted_class_is_found_and_noise_is_not(k, planted):
    X, y, groups = labelled(planted, k=k)
    result = evaluate(X, y, groups, n_shuffles=39)
    assert result.value > 0.7 > result.controls.shuffled_high
    assert result.low < result.value < result.high
    assert result.controls.p_value == pytest.approx(1 / 40)
    assert result.controls.shuffled == pytest.approx(1 / k, abs=0.12)
    noise = evaluate(np.random.default_rng(77).normal(size=X.shape), y, groups, n_shuffles=39)
    assert noise.controls.p_value > 0.1
    assert noise.value <= noise.controls.shuffled_high


@pytest.mark.parametrize("k", [2, 3])
def test_value_and_penalty_are_those_of_their_definitions(k, planted):
    X, y, groups = labelled(planted, k=k, noise=1.0)
    result = evaluate(X, y, groups, seed=3, texts=np.full(120, "calm"))
    codes = np.unique(y, return_inverse=True)[1]
    numbers = fold_numbers(grouped_folds(groups, 4, 3), 120)[:, None]
    how = {"row_weights": np.ones(120), "fit_intercept": True}
    margins, chosen = nested_logistic(X, one_hot(codes[:, None], k), numbers, np.array(DEFAULT_CS), **how)
    decided = margins[:, 0, 0] > 0 if k == 2 else margins[:, :, 0].argmax(axis=1)
    assert result.value == pytest.approx((decided == codes).mean())
    assert result.penalty == np.median(chosen)
    assert result.controls.text_baseline == pytest.approx((y == "calm").mean())
    assert (result.metric, result.kind, result.n, result.n_groups) == ("accuracy", "logistic", 120, 30)


def test_balanced_accuracy_gives_rare_classes_their_weight(planted):
    X, _, groups = planted(200, 5, 1)
    y = np.where(np.arange(200) % 10 == 0, "rare", "common")
    texts = np.full(200, "common")
    plain, balanced = (
        evaluate(X, y, groups, texts=texts, metric=metric) for metric in ("accuracy", "balanced_accuracy")
    )
    assert plain.controls.text_baseline == pytest.approx(0.9)
    assert balanced.controls.text_baseline == pytest.approx(0.5)
    assert plain.value > 0.85
    assert balanced.value == pytest.approx(0.5, abs=0.06)
    assert balanced.low <= balanced.value <= balanced.high


def test_two_class_random_directions_take_the_better_sign(planted):
    X, y, groups = labelled(planted, k=2)
    result = evaluate(X, y, groups, n_directions=50)
    assert 0.5 < result.controls.random_direction < result.controls.random_direction_high < result.value


@pytest.mark.parametrize("n_shuffles", [1, 12])
def test_shuffles_cost_no_decomposition(n_shuffles, planted, decompositions):
    X, y, groups = labelled(planted)
    evaluate(X, y, groups, n_shuffles=n_shuffles)
    assert len(decompositions) == 10


def test_classes_of_whole_groups_are_shuffled_as_wholes(planted):
    X, _, _ = planted(120, 5, 1)
    groups = np.arange(120) // 10
    y = np.array(["a", "b"])[groups % 2]
    result = evaluate(X, y, groups, shuffle_groups=True)
    assert result.controls.n_shuffles == 20
    with pytest.raises(DataError, match="'facet' varies within a group"):
        evaluate(X, np.roll(y, 3), groups, shuffle_groups=True)


def test_a_class_in_one_group_only_is_refused(planted):
    X, y, groups = labelled(planted)
    with pytest.raises(DataError, match="'odd' occurs in 1 of 30 groups"):
        evaluate(X, np.where(groups == 3, "odd", y), groups)
    with pytest.raises(DataError, match="1 classes"):
        evaluate(X, np.full(120, "odd"), groups)


def test_text_predictions_must_be_known_classes(planted):
    X, y, groups = labelled(planted)
    with pytest.raises(DataError, match="Text predictions"):
        evaluate(X, y, groups, texts=np.full(120, "unheard"))


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy"])
def test_what_classes_add_to_the_better_text_baseline_has_an_interval(metric, planted):
    X, y, groups = labelled(planted)
    rng = np.random.default_rng(1)
    weak, strong = (np.where(rng.random(120) < share, y, rng.permutation(y)) for share in (0.1, 0.6))
    result = evaluate(X, y, groups, texts=weak, encoder_predictions=strong, metric=metric)
    assert result.controls.encoder_baseline > result.controls.text_baseline
    assert result.over_text == pytest.approx(result.value - result.controls.encoder_baseline)
    assert result.over_text_low < result.over_text < result.over_text_high
    same = evaluate(X, y, groups, texts=y, metric=metric)
    assert same.over_text_high <= 0
    with pytest.raises(DataError, match="Text predictions"):
        evaluate(X, y, groups, encoder_predictions=np.full(120, "unheard"))


def test_directions_that_vary_as_activations_do_are_harder_to_beat():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 60)) * np.r_[6.0, np.ones(59)]
    controls = evaluate(X, np.where(X[:, 0] > 0, "a", "b"), np.arange(200), n_directions=50).controls
    assert controls.matched_direction > controls.random_direction + 0.1


def test_each_of_three_classes_gets_its_own_matched_direction(planted):
    X, y, groups = labelled(planted)
    result = evaluate(X, y, groups, n_directions=6, seed=2)
    weights = covariance_matched_directions(X, 18, seed=[2, 3, 0])
    scores = ((X - X.mean(axis=0)) @ weights).reshape(120, 3, 6)
    rates = [(np.unique(y)[scores[:, :, k].argmax(axis=1)] == y).mean() for k in range(6)]
    assert result.controls.matched_direction == pytest.approx(np.mean(rates))
