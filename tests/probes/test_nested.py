import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from personascope.errors import DataError
from personascope.probes.folds import fold_numbers, grouped_folds
from personascope.probes.logistic import one_hot
from personascope.probes.nested import nested_logistic, nested_ridge

# close together, so that each fold has a best one of its own
ALPHAS = np.logspace(0, 3, 13).tolist()
CS = np.array([1e-3, 1e-2, 1e-1, 1.0])


def naive_ridge(X, y, numbers):
    predictions, chosen = np.empty(len(y)), []
    for outer in range(numbers.max() + 1):
        errors = np.zeros(len(ALPHAS))
        for inner in set(numbers.tolist()) - {outer}:
            train, held = (numbers != outer) & (numbers != inner), numbers == inner
            for a, alpha in enumerate(ALPHAS):
                model = make_pipeline(StandardScaler(), Ridge(alpha=alpha)).fit(X[train], y[train])
                errors[a] += ((model.predict(X[held]) - y[held]) ** 2).sum()
        chosen.append(ALPHAS[int(errors.argmin())])
        model = make_pipeline(StandardScaler(), Ridge(alpha=chosen[-1]))
        predictions[numbers == outer] = model.fit(X[numbers != outer], y[numbers != outer]).predict(X[numbers == outer])
    return predictions, chosen


@pytest.mark.parametrize(("n", "d", "n_folds"), [(60, 8, 4), (48, 90, 4), (60, 40, 3), (60, 30, 5)])
def test_predictions_and_penalties_are_those_of_a_plain_loop(n, d, n_folds, planted):
    X, Y, groups = planted(n, d, 3, noise=1.5)
    numbers = fold_numbers(grouped_folds(groups, n_folds, 0), n)
    found = nested_ridge(X, Y, numbers, ALPHAS)
    for t in range(3):
        predictions, chosen = naive_ridge(X, Y[:, t], numbers)
        assert found.penalties[:, t].tolist() == chosen
        assert found.predictions[:, t] == pytest.approx(predictions, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize(("n_folds", "expected"), [(3, 6), (4, 10), (5, 15)])
def test_decompositions_do_not_grow_with_alphas_or_targets(n_folds, expected, planted, decompositions):
    X, Y, groups = planted(60, 20, 1)
    numbers = fold_numbers(grouped_folds(groups, n_folds, 0), 60)
    nested_ridge(X, np.tile(Y, 30), numbers, np.logspace(-1, 5, 25).tolist())
    assert len(decompositions) == expected


def test_the_target_of_a_tested_row_does_not_reach_its_prediction(planted):
    X, Y, groups = planted(60, 30, 1)
    numbers = fold_numbers(grouped_folds(groups, 4, 0), 60)
    poisoned = np.where(numbers[:, None] == 2, 1e3 * np.arange(60)[:, None], Y)
    clean, dirty = (nested_ridge(X, y, numbers, ALPHAS) for y in (Y, poisoned))
    assert np.array_equal(clean.predictions[numbers == 2], dirty.predictions[numbers == 2])
    assert np.array_equal(clean.penalties[2], dirty.penalties[2])
    assert not np.array_equal(clean.predictions[numbers == 1], dirty.predictions[numbers == 1])


def test_other_features_are_predicted_by_the_same_probes(planted):
    X, Y, groups = planted(60, 20, 2)
    numbers = fold_numbers(grouped_folds(groups, 4, 0), 60)
    found = nested_ridge(X, Y, numbers, ALPHAS, others=[X, X + 1.0])
    assert np.array_equal(found.elsewhere[0], found.predictions)
    shift = found.elsewhere[1] - found.predictions
    assert all(np.ptp(shift[numbers == fold], axis=0).max() < 1e-9 for fold in range(4))
    assert np.abs(shift).max() > 1e-3


def naive_logistic(X, y, numbers, n_classes):
    chosen, margins = [], []
    for outer in range(numbers.max() + 1):
        total = np.zeros(len(CS))
        for inner in set(numbers.tolist()) - {outer}:
            train, held = (numbers != outer) & (numbers != inner), numbers == inner
            for number, C in enumerate(CS):
                model = make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-8, max_iter=5000))
                proba = model.fit(X[train], y[train]).predict_proba(X[held])
                total[number] -= np.log(proba[np.arange(held.sum()), y[held]]).sum()
        chosen.append(CS[int(total.argmin())])
        model = make_pipeline(StandardScaler(), LogisticRegression(C=chosen[-1], tol=1e-9, max_iter=5000))
        model.fit(X[numbers != outer], y[numbers != outer])
        margins.append(model.decision_function(X[numbers == outer]).reshape(-1, 1 if n_classes == 2 else n_classes))
    return margins, chosen


@pytest.mark.parametrize(("n", "d", "k"), [(90, 12, 2), (90, 12, 3), (60, 80, 3)])
def test_logistic_margins_and_penalties_are_those_of_a_plain_loop(n, d, k, planted):
    X, Y, groups = planted(n, d, k)
    y = (Y - Y.mean(axis=0)).argmax(axis=1)
    numbers = fold_numbers(grouped_folds(groups, 4, 0), n)
    how = {"row_weights": np.ones(n), "fit_intercept": True}
    found, chosen = nested_logistic(X, one_hot(y[:, None], k), numbers[:, None], CS, **how)
    expected, naive_chosen = naive_logistic(X, y, numbers, k)
    assert chosen[:, 0].tolist() == naive_chosen
    for fold in range(4):
        assert found[numbers == fold, :, 0] == pytest.approx(expected[fold], abs=1e-3)


def test_logistic_targets_share_the_decompositions(planted, decompositions):
    X, Y, groups = planted(60, 20, 1)
    numbers = fold_numbers(grouped_folds(groups, 4, 0), 60)[:, None]
    labels = np.tile((Y > 3).astype(int), 8)
    nested_logistic(X, one_hot(labels, 2), numbers, CS, row_weights=np.ones(60), fit_intercept=True)
    assert len(decompositions) == 10


def test_pairs_that_straddle_folds_are_neither_trained_on_nor_tested():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(120, 5)), rng.integers(0, 2, 120)
    numbers = rng.integers(0, 3, size=(120, 2))
    straddling = numbers[:, 0] != numbers[:, 1]
    how = {"row_weights": np.ones(120), "fit_intercept": False}
    margins, _ = nested_logistic(X, one_hot(y[:, None], 2), numbers, CS[:1], **how)
    assert np.array_equal(np.isnan(margins[:, 0, 0]), straddling)
    test = (numbers == 0).all(axis=1)
    train = (numbers != 0).all(axis=1)
    Z = X / np.sqrt((X[train] ** 2).mean(axis=0))
    oracle = LogisticRegression(C=CS[0], fit_intercept=False, tol=1e-9).fit(Z[train], y[train])
    assert margins[test, 0, 0] == pytest.approx(oracle.decision_function(Z[test]), abs=1e-5)


def test_two_folds_are_too_few(planted):
    X, Y, _ = planted(20, 4, 1)
    with pytest.raises(DataError, match="2 folds are too few"):
        nested_ridge(X, Y, np.arange(20) % 2, ALPHAS)


def test_folds_without_pairs_are_refused():
    X, numbers = np.ones((6, 2)), np.array([[0, 1], [1, 2], [0, 2], [0, 0], [1, 1], [0, 2]])
    with pytest.raises(DataError, match="None of 6 rows can be trained on outside folds 0 and 1"):
        nested_logistic(X, np.ones((6, 1, 1)), numbers, CS, row_weights=np.ones(6), fit_intercept=False)
