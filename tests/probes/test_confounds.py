import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from personascope.errors import DataError
from personascope.probes.confounds import evaluate_without_text, evaluate_without_topic_means, nested_prepared
from personascope.probes.evaluate import evaluate_ridge
from personascope.probes.folds import fold_numbers, grouped_folds
from personascope.probes.nested import nested_ridge
from personascope.probes.ridge import DEFAULT_ALPHAS, RidgeSolution
from personascope.probes.topic_means import topic_balanced_folds, without_topic_means

PLACE = {"persona": "self", "position": "eot", "layer": 3}


def rows_with_topics(n=240, d=40, seed=0):
    """Features that know the topic's level and one thing of each row, and targets of either."""
    rng = np.random.default_rng(seed)
    topics = np.arange(n) % 12
    level = rng.normal(size=12)[topics]
    X = rng.normal(size=(n, d))
    X[:, 0] += 4 * level
    own = X[:, 1] + X[:, 2]
    Y = np.stack([level, level + own], axis=1) + 0.3 * rng.normal(size=(n, 2))
    return X, Y, topics, own


def without_means(X, Y, topics, texts=None, **options):
    names = [f"t{number}" for number in range(Y.shape[1])]
    texts = np.random.default_rng(9).normal(size=Y.shape) if texts is None else texts
    return evaluate_without_topic_means(
        X, Y, names=names, topics=topics, texts_predictions=texts, **{**PLACE, **options}
    )


def test_a_target_that_is_only_topic_means_is_not_read_without_them():
    X, Y, topics, _ = rows_with_topics()
    plain = evaluate_ridge(X, Y, names=["a", "b"], groups=np.arange(240), texts_predictions=Y, **PLACE)
    means, both = without_means(X, Y, topics, n_shuffles=39)
    assert plain[0].value > 0.75
    assert abs(means.value) < 0.2
    assert means.controls.p_value > 0.05
    assert both.value > 0.85 > both.controls.shuffled_high
    assert both.within_group == pytest.approx(both.value, abs=0.05)
    assert abs(both.controls.shuffled) < 0.1
    assert (means.target, means.layer, means.n, means.n_groups) == ("t0, topic means removed", 3, 240, 240)


def test_test_labels_move_neither_predictions_nor_what_is_subtracted():
    X, Y, topics, _ = rows_with_topics()
    numbers = fold_numbers(topic_balanced_folds(np.arange(240), topics, 4, 0), 240)
    changed = Y.copy()
    changed[numbers == 2] += 100.0
    plain, moved = (
        nested_prepared(without_topic_means(X, values, topics), 2, numbers, DEFAULT_ALPHAS) for values in (Y, changed)
    )
    held = numbers == 2
    assert np.array_equal(plain.predictions[held], moved.predictions[held])
    # the test label itself enters its own truth, and the mean that is subtracted does not move
    assert moved.truth[held] - plain.truth[held] == pytest.approx(np.full((60, 2), 100.0))


def test_demeaned_value_is_that_of_a_plain_loop():
    X, Y, topics, _ = rows_with_topics(n=96, d=10)
    result = without_means(X, Y[:, 1:], topics, alphas=(5.0,), seed=3)[0]
    predicted, truth = np.empty((2, 96))
    for train, test in topic_balanced_folds(np.arange(96), topics, 4, 3):
        means = np.array([Y[train][topics[train] == topic, 1].mean() for topic in range(12)])
        solution = RidgeSolution(X[train], (Y[train, 1] - means[topics[train]])[:, None])
        predicted[test] = solution.predict(X[test], np.array([5.0]))[:, 0]
        truth[test] = Y[test, 1] - means[topics[test]]
    assert result.value == pytest.approx(np.corrcoef(predicted, truth)[0, 1])


def test_with_nothing_to_prepare_it_is_nested_ridge():
    X, Y, _, _ = rows_with_topics(n=96)
    numbers = fold_numbers(grouped_folds(np.arange(96), 4, 0), 96)
    found = nested_prepared(lambda train: (X, Y), 2, numbers, DEFAULT_ALPHAS)
    expected = nested_ridge(X, Y, numbers, DEFAULT_ALPHAS)
    assert found.predictions == pytest.approx(expected.predictions)
    assert np.array_equal(found.penalties, expected.penalties)
    assert np.array_equal(found.truth, Y)
    assert np.array_equal(found.tested, X)


def test_values_of_whole_tasks_are_shuffled_when_asked():
    X, Y, topics, _ = rows_with_topics()
    tasks = np.arange(240) // 24 * 12 + topics
    with pytest.raises(DataError, match="'t0' varies within a group"):
        without_means(X, Y, topics, groups=tasks, shuffle_groups=True)
    constant = np.stack([Y[tasks == task].mean(axis=0) for task in range(120)])[tasks]
    assert without_means(X, constant, topics, groups=tasks, shuffle_groups=True)[0].n_groups == 120


def rows_with_text(n=240, d=60, p=12, seed=0):
    """Activations that hold text features, and something of their own."""
    rng = np.random.default_rng(seed)
    F, own = rng.normal(size=(n, p)), rng.normal(size=n)
    X = F @ rng.normal(size=(p, d)) / np.sqrt(p) + np.outer(own, rng.normal(size=d)) / 2 + rng.normal(size=(n, d)) / 2
    text = F @ rng.normal(size=p) / np.sqrt(p)
    return X, F, np.stack([text, own], axis=1) + 0.2 * rng.normal(size=(n, 2))


def without_text(X, F, Y, **options):
    names = [f"t{number}" for number in range(Y.shape[1])]
    texts = options.pop("texts", np.random.default_rng(9).normal(size=Y.shape))
    options = {**PLACE, "groups": np.arange(len(X)), **options}
    return evaluate_without_text(X, Y, F, names=names, texts_predictions=texts, **options)


def test_what_the_text_says_is_gone_and_what_it_does_not_say_stays():
    X, F, Y = rows_with_text()
    plain = evaluate_ridge(X, Y, names=["a", "b"], groups=np.arange(240), texts_predictions=Y, **PLACE)
    text, own = without_text(X, F, Y, n_shuffles=39)
    assert min(result.value for result in plain) > 0.85
    assert text.result.value < 0.15
    assert text.result.controls.p_value > 0.05
    assert own.result.value > 0.8 > own.result.controls.shuffled_high
    assert abs(own.result.controls.shuffled) < 0.15
    assert own.result.target == "t1, text removed"
    # two thirds of the variance came from the text, up to the price of estimating it
    assert 0.25 < own.variance_left < 0.45
    frame = own.frame()
    assert frame.columns[-1] == "variance_left"
    assert frame["variance_left"].to_list() == [own.variance_left]


def test_removal_is_that_of_least_squares_on_training_rows_alone():
    X, F, Y = rows_with_text(n=96, d=8, p=4)
    found = without_text(X, F, Y[:, 1:], alphas=(5.0,), text_alphas=(1e-9,), seed=3)[0]
    predicted, left, whole = np.empty(96), 0.0, 0.0
    for train, test in grouped_folds(np.arange(96), 4, 3):
        Z = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
        rest = Z - LinearRegression().fit(F[train], Z[train]).predict(F)
        predicted[test] = RidgeSolution(rest[train], Y[train, 1:]).predict(rest[test], np.array([5.0]))[:, 0]
        left, whole = left + (rest[test] ** 2).sum(), whole + (Z[test] ** 2).sum()
    assert found.result.value == pytest.approx(np.corrcoef(predicted, Y[:, 1])[0, 1])
    assert found.variance_left == pytest.approx(left / whole)


def test_text_features_that_say_nothing_take_nothing_away():
    X, _, Y = rows_with_text()
    noise = np.random.default_rng(3).normal(size=(240, 2))
    found = without_text(X, noise, Y)
    assert found[0].variance_left == pytest.approx(1.0, abs=0.03)
    assert found[0].result.value > 0.85


def test_rows_of_one_group_are_left_out_together_when_the_penalty_is_chosen():
    X, F, Y = rows_with_text(n=120)
    result = without_text(X, F, Y, groups=np.arange(120) // 3)[0].result
    assert (result.n, result.n_groups) == (120, 40)


def test_baselines_and_text_features_must_fit(unchecked_annotations):
    X, F, Y = rows_with_text(n=48)
    with pytest.raises(DataError, match="47 rows of features"):
        without_text(X, F[:-1], Y)
    with pytest.raises(DataError, match="text predictions"):
        without_text(X, F, Y, encoder_predictions=Y[:, :1])
    topics = np.arange(48) % 4
    assert without_means(X, Y, topics, encoder_predictions=Y)[0].controls.encoder_baseline > 0.8
    with pytest.raises(DataError, match="text predictions"):
        without_means(X, Y, topics, texts=Y[:, :1])
