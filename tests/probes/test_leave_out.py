import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.preprocessing import StandardScaler

from personascope.errors import DataError
from personascope.probes.leave_out import leave_out_predictions, leave_out_ridge

ALPHAS = [0.3, 3.0, 30.0, 3000.0]
SIZES = [(60, 12), (20, 70), (30, 30)]


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_it_is_ridge_cv_on_standardised_features(n, d, planted):
    X, Y, _ = planted(n, d, 3, noise=2.0)
    found = leave_out_ridge(X, Y, ALPHAS)
    Z = StandardScaler().fit_transform(X)
    oracle = RidgeCV(ALPHAS, alpha_per_target=True, store_cv_results=True).fit(Z, Y)
    assert found.alpha.tolist() == oracle.alpha_.tolist()
    expected = oracle.cv_results_.mean(axis=0).T
    assert found.mean_squared_errors == pytest.approx(expected, rel=1e-8)
    assert found.coef.T * X.std(axis=0) == pytest.approx(oracle.coef_, abs=1e-8 * np.abs(oracle.coef_).max())
    assert X @ found.coef + found.intercept == pytest.approx(oracle.predict(Z), rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(("n", "d"), SIZES)
def test_predictions_are_those_of_refits(n, d, grouped, planted):
    X, Y, groups = planted(n, d, 4, noise=2.0)
    found = leave_out_predictions(X, Y, np.array(ALPHAS), groups if grouped else None)
    Z = StandardScaler().fit_transform(X)
    for group in np.unique(groups if grouped else np.arange(n)):
        rows = (groups if grouped else np.arange(n)) == group
        for t, alpha in enumerate(ALPHAS):
            refit = Ridge(alpha, solver="svd").fit(Z[~rows], Y[~rows, t]).predict(Z[rows])
            assert found[rows, t] == pytest.approx(refit, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_groups_of_one_row_are_rows(n, d, planted):
    X, Y, _ = planted(n, d, 2)
    one, other = leave_out_ridge(X, Y, ALPHAS), leave_out_ridge(X, Y, ALPHAS, np.arange(n)[::-1])
    assert one.mean_squared_errors == pytest.approx(other.mean_squared_errors, rel=1e-9)


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_order_of_rows_scale_of_targets_and_repeated_penalties_do_not_matter(n, d, planted):
    X, Y, groups = planted(n, d, 2)
    plain = leave_out_ridge(X, Y, ALPHAS, groups)
    order = np.random.default_rng(0).permutation(n)
    moved = leave_out_ridge(X[order], 10 * Y[order] - 4, ALPHAS, groups[order])
    assert moved.mean_squared_errors == pytest.approx(100 * plain.mean_squared_errors, rel=1e-8)
    assert moved.coef == pytest.approx(10 * plain.coef, abs=1e-9)
    twice = leave_out_ridge(X, Y, [*ALPHAS, *ALPHAS], groups)
    assert np.array_equal(twice.mean_squared_errors[:4], twice.mean_squared_errors[4:])
    assert np.array_equal(twice.alpha, plain.alpha)


def test_one_decomposition_serves_rows_penalties_and_targets(planted, decompositions):
    X, Y, _ = planted(20, 50, 7)
    leave_out_ridge(X, Y, ALPHAS)
    assert decompositions == [20]


def test_it_stays_exact_for_penalties_far_below_the_eigenvalues_when_features_outnumber_rows(planted):
    X, Y, _ = planted(15, 80, 2)
    found = leave_out_predictions(X, Y, np.array([1e-9, 1e-9]))
    Z = StandardScaler().fit_transform(X)
    for row in range(15):
        rest = np.arange(15) != row
        centre, mean = Z[rest].mean(axis=0), Y[rest].mean(axis=0)
        shortest = np.linalg.lstsq(Z[rest] - centre, Y[rest] - mean, rcond=1e-10)[0]
        assert found[row] == pytest.approx(mean + (Z[row] - centre) @ shortest, rel=1e-6, abs=1e-6)


def test_penalties_are_taken_in_blocks(planted, monkeypatch):
    X, Y, _ = planted(40, 6, 3)
    whole = leave_out_ridge(X, Y, ALPHAS).mean_squared_errors
    monkeypatch.setattr("personascope.probes.leave_out._BLOCK", 130)
    assert leave_out_ridge(X, Y, ALPHAS).mean_squared_errors == pytest.approx(whole, rel=1e-12)


def test_one_group_is_refused(planted):
    X, Y, _ = planted(20, 5, 1)
    with pytest.raises(DataError, match="in 1 groups"):
        leave_out_ridge(X, Y, ALPHAS, np.zeros(20))


def test_a_row_that_only_it_can_predict_is_refused(planted):
    X, Y, _ = planted(20, 5, 1)
    X[:, 2] = 0.0
    X[7, 2] = 1e3
    with pytest.raises(DataError, match="leverage"):
        leave_out_ridge(X, Y, [1e-14])
