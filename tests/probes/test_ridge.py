import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from personascope.errors import DataError
from personascope.probes.ridge import DEFAULT_ALPHAS, RidgeProbe, ridge_path

SIZES = [(60, 12), (20, 70), (30, 30)]


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_the_path_is_that_of_scikit_learn_for_every_alpha_and_target(n, d, planted):
    X, Y, _ = planted(n, d, 3)
    alphas = [0.1, 3.0, 1e4]
    coef, intercept = ridge_path(X, Y, alphas)
    assert coef.shape == (3, d, 3)
    assert intercept.shape == (3, 3)
    new = X[::-1] * 1.1
    for a, alpha in enumerate(alphas):
        expected = make_pipeline(StandardScaler(), Ridge(alpha=alpha, solver="svd")).fit(X, Y).predict(new)
        assert new @ coef[a] + intercept[a] == pytest.approx(expected, rel=1e-8, abs=1e-8)


def test_a_constant_feature_gets_no_weight(planted):
    X, Y, _ = planted(40, 6, 2)
    X[:, 2] = 0.1
    coef, intercept = ridge_path(X, Y, [1.0])
    without, same = ridge_path(np.delete(X, 2, axis=1), Y, [1.0])
    assert np.abs(coef[0, 2]).max() < 1e-10
    assert np.delete(coef[0], 2, axis=0) == pytest.approx(without[0], abs=1e-10)
    assert intercept == pytest.approx(same, abs=1e-8)


def test_one_decomposition_serves_all_alphas_and_targets(planted, decompositions):
    X, Y, _ = planted(20, 50, 7)
    ridge_path(X, Y, DEFAULT_ALPHAS)
    assert decompositions == [20]


@pytest.mark.parametrize("alphas", [[0.0], [-1.0], [float("nan")], [float("inf")], []])
def test_a_penalty_that_is_not_positive_is_refused(alphas, planted):
    X, Y, _ = planted(20, 5, 1)
    with pytest.raises(DataError, match="positive"):
        ridge_path(X, Y, alphas)


def naive_choice(X, y, groups, alphas, n_folds, seed):
    errors = np.zeros(len(alphas))
    folds = GroupKFold(n_folds, shuffle=True, random_state=seed)
    for train, test in folds.split(X, y, groups):
        for a, alpha in enumerate(alphas):
            model = make_pipeline(StandardScaler(), Ridge(alpha=alpha)).fit(X[train], y[train])
            errors[a] += ((model.predict(X[test]) - y[test]) ** 2).sum()
    return alphas[int(errors.argmin())]


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_the_probe_chooses_and_fits_as_a_plain_loop_does(n, d, planted):
    X, Y, groups = planted(n, d, 3, noise=2.0)
    alphas = [0.5, 5.0, 50.0, 500.0]
    probe = RidgeProbe(alphas=alphas, n_inner_folds=3, seed=5).fit(X, Y, groups=groups)
    expected = [naive_choice(X, y, groups, alphas, 3, 5) for y in Y.T]
    assert probe.alpha_.tolist() == expected
    for t, alpha in enumerate(expected):
        oracle = make_pipeline(StandardScaler(), Ridge(alpha=alpha)).fit(X, Y[:, t])
        assert probe.predict(X)[:, t] == pytest.approx(oracle.predict(X), rel=1e-8)


def test_with_one_alpha_it_is_the_fit_of_ridge_cv(planted):
    X, Y, _ = planted(50, 10, 2)
    probe = RidgeProbe(alphas=[7.0]).fit(X, Y)
    oracle = make_pipeline(StandardScaler(), RidgeCV(alphas=[7.0])).fit(X, Y)
    assert probe.predict(X) == pytest.approx(oracle.predict(X), rel=1e-8)
    assert probe.score(X, Y) == pytest.approx(oracle.score(X, Y), rel=1e-8)


def test_targets_choose_their_own_alpha(planted):
    X, Y, groups = planted(80, 10, 2, noise=0.01)
    Y[:, 1] = np.random.default_rng(0).normal(size=80)
    alpha = RidgeProbe().fit(X, Y, groups=groups).alpha_
    assert alpha[0] == DEFAULT_ALPHAS[0]
    assert alpha[1] > 100


@pytest.mark.parametrize(("alphas", "n_targets"), [([1.0], 1), (list(DEFAULT_ALPHAS), 9)])
def test_a_fit_decomposes_once_per_inner_fold_and_once_more(alphas, n_targets, planted, decompositions):
    X, Y, _ = planted(40, 60, n_targets)
    RidgeProbe(alphas=alphas, n_inner_folds=5).fit(X, Y)
    assert decompositions == [32] * 5 + [40]


def test_one_target_as_a_vector_or_a_column_differs_in_shape_only(planted):
    X, Y, _ = planted(40, 6, 1)
    vector, column = RidgeProbe().fit(X, Y[:, 0]), RidgeProbe().fit(X, Y)
    assert vector.coef_.shape == (6,)
    assert column.coef_.shape == (1, 6)
    assert vector.predict(X).shape == (40,)
    assert np.array_equal(vector.predict(X), column.predict(X)[:, 0])
    assert vector.alpha_ == column.alpha_[0]


def test_fewer_groups_than_inner_folds_are_refused(planted):
    X, Y, _ = planted(40, 6, 1)
    with pytest.raises(DataError, match="3 groups over 40 rows cannot fill 4 folds"):
        RidgeProbe().fit(X, Y, groups=np.arange(40) % 3)


def test_a_clone_has_the_same_parameters():
    probe = RidgeProbe(alphas=(1.0, 2.0), n_inner_folds=3, seed=9)
    assert clone(probe).get_params() == probe.get_params() == {"alphas": (1.0, 2.0), "n_inner_folds": 3, "seed": 9}


def test_it_keeps_the_manners_of_scikit_learn(unchecked_annotations):
    results = check_estimator(RidgeProbe(), on_skip=None)
    # array_api is checked only when that environment variable is set
    assert {r["check_name"] for r in results if r["status"] != "passed"} == {"check_array_api_input"}
