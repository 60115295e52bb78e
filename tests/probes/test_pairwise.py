import numpy as np
import pytest
from scipy.optimize import check_grad, minimize
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from personascope.errors import ConvergenceError, DataError
from personascope.probes import pairwise
from personascope.probes.folds import grouped_folds, pair_folds
from personascope.probes.pairwise import BradleyTerryProbe, bradley_terry_path

CS = np.array([1e-3, 1e-2, 1e-1, 1.0])


def compared(n=40, d=9, m=300, *, order=0.4, targets=1, seed=0):
    """Tasks with offsets and unequal scales, pairs of them, and choices by a linear utility and an order effect."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * np.exp(rng.normal(size=d)) + 5 * rng.normal(size=d)
    first = rng.integers(0, n, m)
    second = (first + rng.integers(1, n, m)) % n
    utility = StandardScaler().fit_transform(X) @ rng.normal(size=(d, targets)) / np.sqrt(d)
    chose = utility[first] - utility[second] + order + rng.logistic(size=(m, targets)) > 0
    return X, first, second, chose.astype(np.float64)


def oracle(X, first, second, y, C, *, fit_order, weights=None):
    """scikit-learn on the differences themselves."""
    Z = StandardScaler().fit_transform(X)
    differences = Z[first] - Z[second]
    solver = "newton-cholesky" if fit_order or len(differences) >= X.shape[1] else "newton-cg"
    model = LogisticRegression(C=C, fit_intercept=fit_order, solver=solver, tol=1e-13, max_iter=1000)
    model.fit(differences, y, sample_weight=weights)
    return model.coef_[0] / X.std(axis=0), float(model.intercept_[0]) if fit_order else 0.0


@pytest.mark.parametrize(("n", "d"), [(40, 9), (25, 60)])
@pytest.mark.parametrize("fit_order", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_scikit_learn_on_the_differences(n, d, fit_order, weighted):
    X, first, second, chose = compared(n, d)
    weights = np.random.default_rng(1).uniform(0.2, 3.0, len(first)) if weighted else np.ones(len(first))
    path = bradley_terry_path(X, first, second, chose, CS, counts=weights, fit_order=fit_order)
    for number, C in enumerate(CS):
        coef, intercept = oracle(X, first, second, chose[:, 0], C, fit_order=fit_order, weights=weights)
        assert path.coef[number, :, 0] == pytest.approx(coef, abs=1e-8 * np.abs(coef).max())
        assert path.order[number, 0] == pytest.approx(intercept, abs=1e-8)


def test_gradients_and_hessian_products_are_those_of_the_objective():
    X, first, second, chose = compared(20, 5, 60)
    incidence = pairwise._incidence(first, second, len(X))
    problem = pairwise._Comparisons(X - X.mean(axis=0), incidence, chose, np.linspace(0.5, 2, 60), True)
    problem.penalty[:-1] = 0.3
    rng = np.random.default_rng(0)
    at, direction = 0.1 * rng.normal(size=6), rng.normal(size=(6, 1))
    value = check_grad(
        lambda w: problem.objective(w[:, None])[0][0], lambda w: problem.objective(w[:, None])[1][:, 0], at
    )
    assert value < 1e-4
    step = 1e-6
    ahead, behind = (problem.objective(at[:, None] + sign * step * direction)[1] for sign in (1, -1))
    expected = (ahead - behind) / (2 * step)
    product, diagonal = problem.hessian(at[:, None])
    assert product(direction) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert (diagonal > 0).all()


def test_the_optimum_is_also_that_of_a_general_minimiser():
    X, first, second, chose = compared(30, 4, 200)
    path = bradley_terry_path(X, first, second, chose, CS[2:3], counts=np.ones(200), fit_order=False)
    Z = StandardScaler().fit_transform(X)
    sign = (2 * chose[:, 0] - 1)[:, None] * (Z[first] - Z[second])
    found = minimize(lambda w: np.logaddexp(0, -sign @ w).sum() + w @ w / (2 * CS[2]), np.zeros(4), tol=1e-12)
    assert path.coef[0, :, 0] * X.std(axis=0) == pytest.approx(found.x, abs=1e-5)


def test_swapping_pairs_and_answers_turns_the_order_term_around():
    X, first, second, chose = compared()
    how = {"counts": np.ones(len(first)), "fit_order": True}
    one = bradley_terry_path(X, first, second, chose, CS, **how)
    other = bradley_terry_path(X, second, first, 1 - chose, CS, **how)
    assert one.coef == pytest.approx(other.coef, abs=1e-9)
    assert one.order == pytest.approx(-other.order, abs=1e-9)


def test_repeated_pairs_count_as_often_as_they_occur():
    X, first, second, chose = compared(m=100)
    counts = np.random.default_rng(0).integers(1, 4, 100)
    merged = bradley_terry_path(X, first, second, chose, CS, counts=counts.astype(float), fit_order=True)
    spelled = [np.repeat(values, counts, axis=0) for values in (first, second, chose)]
    apart = bradley_terry_path(X, *spelled, CS, counts=np.ones(counts.sum()), fit_order=True)
    assert merged.coef == pytest.approx(apart.coef, abs=1e-9)
    # a pair that was answered both ways is one row with a share
    both = [np.concatenate([values, values]) for values in (first, second)]
    answers = np.concatenate([chose, 1 - chose])
    half = bradley_terry_path(X, first, second, 0 * chose + 0.5, CS, counts=np.full(100, 2.0), fit_order=True)
    split = bradley_terry_path(X, *both, answers, CS, counts=np.ones(200), fit_order=True)
    assert half.coef == pytest.approx(split.coef, abs=1e-9)


def test_rows_and_scales_of_tasks_do_not_matter():
    X, first, second, chose = compared()
    how = {"counts": np.ones(len(first)), "fit_order": True}
    plain = bradley_terry_path(X, first, second, chose, CS, **how)
    order = np.random.default_rng(3).permutation(len(X))
    place = np.argsort(order)
    moved = bradley_terry_path(X[order] * 7.0 + 100.0, place[first], place[second], chose, CS, **how)
    assert moved.coef * 7.0 == pytest.approx(plain.coef, abs=1e-8)


def test_all_penalties_and_targets_share_one_decomposition_and_do_not_touch(decompositions):
    X, first, second, chose = compared(25, 60, targets=4)
    how = {"counts": np.ones(len(first)), "fit_order": True}
    together = bradley_terry_path(X, first, second, chose, CS, **how)
    assert decompositions == [25]
    alone = bradley_terry_path(X, first, second, chose[:, 2:3], CS[[1]], **how)
    assert together.coef[1, :, 2:3] == pytest.approx(alone.coef[0], abs=1e-8)


def test_the_probe_chooses_c_as_a_plain_loop_over_held_out_tasks_does():
    X, first, second, chose = compared(60, 20, 900)
    groups = np.arange(60) // 2
    probe = BradleyTerryProbe(Cs=CS.tolist(), n_inner_folds=3, seed=4).fit(X, first, second, chose[:, 0], groups=groups)
    total = np.zeros(len(CS))
    tasks = grouped_folds(groups, 3, 4)
    for (inside, _), (train, test) in zip(tasks, pair_folds(first, second, tasks), strict=True):
        scaler = StandardScaler().fit(X[inside])
        Z = scaler.transform(X)
        for number, C in enumerate(CS):
            model = LogisticRegression(C=C, fit_intercept=False, tol=1e-8, max_iter=5000)
            model.fit(Z[first[train]] - Z[second[train]], chose[train, 0])
            chances = model.predict_proba(Z[first[test]] - Z[second[test]])
            total[number] -= np.log(chances[np.arange(len(test)), chose[test, 0].astype(int)]).sum()
    assert CS[int(total.argmin())] == probe.C_
    coef, _ = oracle(X, first, second, chose[:, 0], probe.C_, fit_order=False)
    assert probe.coef_ == pytest.approx(coef, abs=1e-8 * np.abs(coef).max())
    chances = probe.predict_proba(X, first, second)
    assert chances + probe.predict_proba(X, second, first) == pytest.approx(np.ones(900))
    assert ((chances > 0.5) == chose[:, 0]).mean() > 0.65
    assert probe.utilities(X) == pytest.approx(X @ coef, rel=1e-6, abs=1e-6)


def test_a_clone_has_the_same_parameters():
    probe = BradleyTerryProbe(Cs=(1.0,), n_inner_folds=3, fit_order=True, seed=2)
    assert clone(probe).get_params() == probe.get_params()


@pytest.mark.parametrize(
    ("first", "second", "share", "what"),
    [(3, 3, 1.0, "Pair 1"), (-1, 2, 1.0, "Pair 1"), (1, 99, 1.0, "Pair 1"), (1, 2, 1.2, "Pair 1")],
)
def test_pairs_that_are_none_are_refused_by_number(first, second, share, what):
    X, _, _, _ = compared()
    one, other, shares = np.array([0, first]), np.array([1, second]), np.array([[1.0], [share]])
    with pytest.raises(DataError, match=what):
        bradley_terry_path(X, one, other, shares, CS, counts=np.ones(2), fit_order=False)


def test_features_that_do_not_vary_are_refused():
    _, first, second, chose = compared()
    with pytest.raises(DataError, match="do not vary"):
        bradley_terry_path(np.ones((40, 3)), first, second, chose, CS, counts=np.ones(300), fit_order=False)


@pytest.mark.parametrize("answer", [0.0, 1.0])
def test_answers_that_are_all_alike_have_no_order_term(answer):
    X, first, second, chose = compared(m=60, targets=2)
    chose[:, 1] = answer
    with pytest.raises(DataError, match="Target 1: all 60 pairs have one answer"):
        bradley_terry_path(X, first, second, chose, CS, counts=np.ones(60), fit_order=True)


def test_stopping_early_is_an_error_that_names_the_target(monkeypatch):
    X, first, second, chose = compared()
    monkeypatch.setattr(pairwise, "MAX_ITERATIONS", 1)
    with pytest.raises(ConvergenceError, match=r"Target 0 of 1 stopped at relative gradient norm"):
        bradley_terry_path(X, first, second, chose, CS, counts=np.ones(300), fit_order=True)
