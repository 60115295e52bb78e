import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from personascope.errors import ConvergenceError, DataError
from personascope.probes import softmax
from personascope.probes.logistic import one_hot
from personascope.probes.softmax import fit_stacked, losses

CS = np.array([1e-4, 1e-2, 1.0, 10.0])


def classes(n, d, k, *, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * np.exp(rng.normal(size=d)) + 4 * rng.normal(size=d)
    scores = StandardScaler().fit_transform(X) @ rng.normal(size=(d, k)) / np.sqrt(d)
    return X, (scores + rng.gumbel(size=(n, k))).argmax(axis=1)


def objective(coef, margins, targets, C, weights):
    return weights @ losses(margins[:, :, None], targets)[:, 0] + 0.5 / C * (coef**2).sum()


@pytest.mark.parametrize(("n", "d", "k"), [(120, 10, 2), (120, 10, 4), (40, 90, 2), (40, 90, 3)])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_c_reaches_the_optimum_of_scikit_learn(n, d, k, weighted):
    X, y = classes(n, d, k)
    weights = np.random.default_rng(1).uniform(0.2, 2.0, n) if weighted else np.ones(n)
    targets = one_hot(y[:, None], k)
    fitted = fit_stacked(X, targets, CS[:, None], row_weights=weights, fit_intercept=True)
    Z, spread = StandardScaler().fit_transform(X), X.std(axis=0)
    for number, C in enumerate(CS):
        oracle = LogisticRegression(C=C, tol=1e-10, max_iter=10_000).fit(Z, y, sample_weight=weights)
        best = objective(oracle.coef_, oracle.decision_function(Z).reshape(n, -1), targets, C, weights)
        coef, intercept = fitted.raw(number, 0)
        ours = objective(coef * spread, X @ coef.T + intercept, targets, C, weights)
        assert ours <= best * (1 + 1e-6)
        assert coef * spread == pytest.approx(oracle.coef_, abs=2e-3 * np.abs(oracle.coef_).max())


@pytest.mark.parametrize(("n", "d", "k"), [(120, 10, 2), (120, 10, 4), (40, 90, 2), (40, 90, 3)])
def test_coefficients_are_those_of_scikit_learn_to_eight_digits(n, d, k):
    X, y = classes(n, d, k)
    fitted = fit_stacked(X, one_hot(y[:, None], k), CS[:, None], row_weights=np.ones(n), fit_intercept=True)
    Z = StandardScaler().fit_transform(X)
    for number, C in enumerate(CS):
        oracle = LogisticRegression(C=C, tol=1e-13, max_iter=1000, solver="newton-cholesky").fit(Z, y)
        coef, intercept = fitted.raw(number, 0)
        assert coef * X.std(axis=0) == pytest.approx(oracle.coef_, abs=1e-8 * np.abs(oracle.coef_).max())
        margins = oracle.decision_function(Z).reshape(n, -1)
        assert X @ coef.T + intercept == pytest.approx(margins, abs=1e-8 * max(1.0, np.abs(margins).max()))


def test_without_intercept_it_is_the_optimum_on_rows_that_are_scaled_but_not_centred():
    X, y = classes(80, 6, 2)
    fitted = fit_stacked(X, one_hot(y[:, None], 2), CS[:, None], row_weights=np.ones(80), fit_intercept=False)
    Z = X / np.sqrt((X**2).mean(axis=0))
    for number, C in enumerate(CS):
        oracle = LogisticRegression(C=C, fit_intercept=False, tol=1e-10, max_iter=10_000).fit(Z, y)
        assert fitted.margins(X)[:, 0, number, 0] == pytest.approx(oracle.decision_function(Z), rel=1e-3, abs=1e-4)
        assert fitted.raw(number, 0)[1].tolist() == [0.0]


def test_targets_solved_together_get_the_answers_they_get_alone():
    X, y = classes(60, 30, 3)
    labels = np.stack([y, np.random.default_rng(0).permutation(y), np.roll(y, 7)], axis=1)
    penalties = np.tile(CS[:, None], 3)
    penalties[2] = [0.5, 2.0, 0.5]
    how = {"row_weights": np.ones(60), "fit_intercept": True}
    together = fit_stacked(X, one_hot(labels, 3), penalties, **how).margins(X)
    for t in range(3):
        alone = fit_stacked(X, one_hot(labels[:, [t]], 3), penalties[:, [t]], **how).margins(X)
        assert together[..., t] == pytest.approx(alone[..., 0], abs=1e-3 * np.abs(alone).max())


@pytest.mark.parametrize("k", [2, 3])
def test_hessian_products_and_diagonal_are_those_of_the_gradient(k):
    X, y = classes(50, 4, k)
    features, targets = np.hstack([X - X.mean(axis=0), np.ones((50, 1))]), one_hot(y[:, None], k)
    penalty, rng = np.full((5, 1, 1), 0.3), np.random.default_rng(0)
    weights = np.linspace(0.5, 2.0, 50)
    problem = softmax._Problem(features, targets, penalty, weights, np.zeros((5, *targets.shape[1:])))
    at, direction = (0.1 * rng.normal(size=(5, *targets.shape[1:])) for _ in range(2))
    # columns of a softmax are only moved against each other
    at, direction = (v - v.mean(axis=1, keepdims=True) * (k > 2) for v in (at, direction))
    ahead, behind = (problem.objective(at + sign * 1e-6 * direction)[1] for sign in (1, -1))
    product, diagonal = problem.hessian(at)
    assert product(direction) == pytest.approx((ahead - behind) / 2e-6, rel=1e-5, abs=1e-5)
    if k == 2:
        own = [product(unit[:, None, None])[j, 0, 0] for j, unit in enumerate(np.eye(5))]
        assert diagonal[:, 0, 0] == pytest.approx(own, rel=1e-9)


def test_all_problems_share_one_decomposition(decompositions):
    X, y = classes(30, 50, 3)
    labels = np.stack([np.roll(y, k) for k in range(6)], axis=1)
    fit_stacked(X, one_hot(labels, 3), np.tile(CS[:, None], 6), row_weights=np.ones(30), fit_intercept=True)
    assert decompositions == [30]


def test_raw_weights_reproduce_the_margins_on_new_rows():
    X, y = classes(30, 50, 3)
    fitted = fit_stacked(X, one_hot(y[:, None], 3), CS[:, None], row_weights=np.ones(30), fit_intercept=True)
    new = classes(7, 50, 3, seed=5)[0]
    coef, intercept = fitted.raw(2, 0)
    assert fitted.margins(new)[:, :, 2, 0] == pytest.approx(new @ coef.T + intercept, abs=1e-9)


def test_when_all_rows_are_of_one_class_it_is_certain():
    X, _ = classes(60, 5, 2)
    for label in (0, 1):
        targets = np.full((60, 1, 1), float(label))
        fitted = fit_stacked(X, targets, CS[:, None], row_weights=np.full(60, 0.1), fit_intercept=True)
        assert ((2 * label - 1) * fitted.margins(X)).min() > 20


def test_a_class_without_rows_gets_no_probability_and_does_not_disturb_the_others():
    X, y = classes(60, 5, 2)
    how = {"row_weights": np.ones(60), "fit_intercept": True}
    three = fit_stacked(X, one_hot(y[:, None], 3), CS[:, None], **how).margins(X)[..., 0]
    assert (three[:, 2] - three[:, :2].max(axis=1)).max() < -20
    # two softmax columns share the penalty of one logistic column: the same fit at twice its C
    two = fit_stacked(X, one_hot(y[:, None], 2), 2 * CS[:, None], **how).margins(X)[:, 0, :, 0]
    assert three[:, 1] - three[:, 0] == pytest.approx(two, abs=1e-3)


def test_a_target_that_features_say_nothing_about_converges_to_zero_weights():
    rows = np.random.default_rng(0).normal(size=(20, 4))
    X, y = np.concatenate([rows, rows]), np.repeat([0, 1], 20)
    fitted = fit_stacked(X, one_hot(y[:, None], 2), CS[:, None], row_weights=np.ones(40), fit_intercept=True)
    assert np.abs(fitted.margins(X)).max() < 1e-6


def test_stopping_early_is_an_error_that_names_the_target(monkeypatch):
    X, y = classes(60, 30, 3)
    monkeypatch.setattr(softmax, "MAX_ITERATIONS", 2)
    with pytest.raises(ConvergenceError, match=r"Target 0 of 1 stopped at relative gradient norm"):
        fit_stacked(X, one_hot(y[:, None], 3), CS[:, None], row_weights=np.ones(60), fit_intercept=True)


def test_rows_of_zeros_without_intercept_are_refused():
    with pytest.raises(DataError, match="zero features"):
        fit_stacked(np.zeros((6, 3)), np.ones((6, 1, 1)), np.ones((1, 1)), row_weights=np.ones(6), fit_intercept=False)


def test_a_fit_ends_where_steps_no_longer_change_the_objective():
    # no line search can gain less than the rounding of the objective, however small the tolerance
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(400, 10)), rng.integers(0, 2, (400, 30))
    how = {"row_weights": np.ones(400), "fit_intercept": True, "tolerance": 1e-13}
    fitted = fit_stacked(X, one_hot(labels, 2), np.full((1, 30), 1e-6), **how)
    slopes = np.stack([fitted.raw(0, t)[0][0] for t in range(30)])
    # under so strong a penalty the optimum is one gradient step from zero slopes
    spread = X.std(axis=0)
    one_step = 1e-6 * (labels - labels.mean(axis=0)).T @ ((X - X.mean(axis=0)) / spread) / spread
    assert slopes == pytest.approx(one_step, abs=1e-3 * np.abs(one_step).max())
