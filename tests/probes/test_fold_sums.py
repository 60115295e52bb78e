import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from personascope.probes import fold_sums
from personascope.probes.fold_sums import FoldSums, partitions
from personascope.probes.folds import grouped_folds
from personascope.probes.ridge import RidgeSolution, choose_alphas, held_out_errors

ALPHAS = [0.01, 1.0, 30.0, 3000.0]


@pytest.fixture
def tridiagonal(monkeypatch):
    """Grows by one number (the side of the matrix) for every reduction to tridiagonal form."""
    sides, real = [], fold_sums.lapack.dsytrd

    def counted(matrix, **how):
        sides.append(len(matrix))
        return real(matrix, **how)

    monkeypatch.setattr(fold_sums.lapack, "dsytrd", counted)
    return sides


def refits(X, Y, folds, alphas=ALPHAS):
    errors = np.zeros((len(alphas), Y.shape[1]))
    for train, test in folds:
        for number, alpha in enumerate(alphas):
            model = make_pipeline(StandardScaler(), Ridge(alpha, solver="svd")).fit(X[train], Y[train])
            errors[number] += ((model.predict(X[test]).reshape(len(test), -1) - Y[test]) ** 2).sum(axis=0)
    return errors


@pytest.mark.parametrize(("n", "d"), [(80, 12), (80, 2), (80, 1), (40, 30), (20, 50)])
def test_held_out_errors_are_those_of_refits(n, d, planted):
    X, Y, groups = planted(n, d, 3, noise=2.0)
    folds = grouped_folds(groups, 4, 1)
    expected = refits(X, Y, folds)
    assert held_out_errors(X, Y, folds, ALPHAS) == pytest.approx(expected, rel=1e-8)
    assert choose_alphas(X, Y, folds, ALPHAS).tolist() == [ALPHAS[a] for a in expected.argmin(axis=0)]


def test_each_fold_is_decomposed_once_whatever_the_penalties_targets_and_permutations(
    planted, tridiagonal, decompositions
):
    X, Y, groups = planted(80, 12, 2)
    shuffles = np.stack([np.random.default_rng(seed).permutation(80) for seed in range(20)])
    everything = np.concatenate([Y, *Y[shuffles]], axis=1)
    found = held_out_errors(X, everything, grouped_folds(groups, 5, 0), list(np.logspace(-1, 5, 50)))
    assert found.shape == (50, 42)
    assert (tridiagonal, decompositions) == ([12] * 5, [])


def test_wide_rows_are_decomposed_in_the_rows(planted, tridiagonal, decompositions):
    X, Y, _ = planted(20, 50, 2)
    held_out_errors(X, Y, grouped_folds(np.arange(20), 5, 0), ALPHAS)
    assert (tridiagonal, decompositions) == ([], [16] * 5)


def test_order_of_rows_scale_of_targets_and_repeated_penalties_do_not_matter(planted):
    X, Y, groups = planted(80, 12, 2)
    folds = grouped_folds(groups, 4, 0)
    plain = held_out_errors(X, Y, folds, ALPHAS)
    order = np.random.default_rng(0).permutation(80)
    place = np.argsort(order)
    moved = [(place[train], place[test]) for train, test in folds]
    assert held_out_errors(X[order], 10 * Y[order] - 4, moved, ALPHAS) == pytest.approx(100 * plain, rel=1e-9)
    twice = held_out_errors(X, Y, folds, ALPHAS + ALPHAS)
    assert np.array_equal(twice[:4], twice[4:])


@pytest.mark.parametrize("kind", ["constant", "zero", "copied", "offset", "huge"])
def test_awkward_features_stay_exact(kind, planted):
    X, Y, groups = planted(80, 6, 2)
    changed = {"constant": 0.1, "zero": 0.0, "copied": X[:, 0], "offset": X[:, 2] + 1e5, "huge": 1e6 * X[:, 2]}
    X[:, 2] = changed[kind]
    folds = grouped_folds(groups, 4, 0)
    assert held_out_errors(X, Y, folds, ALPHAS) == pytest.approx(refits(X, Y, folds), rel=1e-8)


@pytest.mark.parametrize("spread", [0.0, 1e-5])
def test_a_feature_whose_spread_is_in_one_fold_alone_is_solved_on_rows(spread, planted, decompositions):
    X, Y, groups = planted(80, 6, 2)
    folds = grouped_folds(groups, 4, 0)
    rng = np.random.default_rng(0)
    X[:, 2] = spread * rng.normal(size=80)
    X[folds[1][1], 2] = 100.0 + rng.normal(size=len(folds[1][1]))
    ours = held_out_errors(X, Y, folds, ALPHAS)
    assert decompositions == [6]
    exact = np.sum([RidgeSolution(X[a], Y[a]).squared_errors(X[b], Y[b], np.array(ALPHAS)) for a, b in folds], axis=0)
    assert ours == pytest.approx(exact, rel=1e-8)


def test_a_penalty_that_drowns_in_rounding_is_solved_on_rows(planted, decompositions):
    X, Y, groups = planted(80, 6, 1)
    X[:, 2] = X[:, 0] + X[:, 1]
    folds = grouped_folds(groups, 4, 0)
    assert held_out_errors(X, Y, folds, [1e-25]).shape == (1, 1)
    assert len(decompositions) <= 4
    assert held_out_errors(X, Y, folds, [1e-3]) == pytest.approx(refits(X, Y, folds, [1e-3]), rel=1e-8)


def test_folds_that_do_not_partition_the_rows_are_solved_on_rows(planted, tridiagonal):
    X, Y, groups = planted(80, 6, 1)
    folds = grouped_folds(groups, 4, 0)
    assert partitions(folds, 80)
    thinned = [(train[1:], test) for train, test in folds]
    assert not partitions(thinned, 80)
    assert not partitions(folds[1:], 80)
    assert not partitions([(np.arange(80), test) for _, test in folds], 80)
    assert held_out_errors(X, Y, thinned, ALPHAS) == pytest.approx(refits(X, Y, thinned), rel=1e-8)
    assert tridiagonal == []


def test_float32_rows_are_summed_in_float64(planted):
    X, Y, groups = planted(80, 6, 1)
    sums = FoldSums(X.astype(np.float32), Y, grouped_folds(groups, 4, 0))
    assert sums.X.dtype == np.float64


def test_penalties_are_taken_in_blocks(planted, monkeypatch):
    X, Y, groups = planted(80, 6, 3)
    folds = grouped_folds(groups, 4, 0)
    whole = held_out_errors(X, Y, folds, ALPHAS)
    monkeypatch.setattr(fold_sums, "_BLOCK", 70)
    assert held_out_errors(X, Y, folds, ALPHAS) == pytest.approx(whole, rel=1e-12)
