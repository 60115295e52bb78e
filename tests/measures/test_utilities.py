import choix
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from scipy import optimize, stats
from scipy.special import erfcx, expit

from personascope.errors import ConvergenceError, DataError
from personascope.measures import utilities
from personascope.measures.utilities import ORDER_PRIOR_SD, fit_utilities


def random_design(rng, n_tasks, n_comparisons):
    first = rng.integers(n_tasks, size=n_comparisons)
    return first, (first + rng.integers(1, n_tasks, size=n_comparisons)) % n_tasks


def naive_objective(theta, first, second, p, w, prior_sd, link):
    """The module's equation, one comparison at a time."""
    cdf = {"logistic": stats.logistic.logcdf, "probit": stats.norm.logcdf}[link]
    loss = sum(theta[:-1] ** 2) / (2 * prior_sd**2) + theta[-1] ** 2 / (2 * ORDER_PRIOR_SD**2)
    for i, j, outcome, weight in zip(first, second, p, w, strict=True):
        margin = theta[i] - theta[j] + theta[-1]
        loss -= weight * (outcome * cdf(margin) + (1 - outcome) * cdf(-margin))
    return loss


def both_orders(winners, losers):
    """Hard outcomes, each comparison shown once in each order: by symmetry the order term is zero."""
    first, second = np.concatenate([winners, losers]), np.concatenate([losers, winners])
    return first, second, np.repeat([1.0, 0.0], len(winners))


def hard_data(seed, n_tasks, n_comparisons):
    rng = np.random.default_rng(seed)
    i, j = random_design(rng, n_tasks, n_comparisons)
    u = rng.normal(size=n_tasks)
    win = rng.random(n_comparisons) < expit(u[i] - u[j])
    return np.where(win, i, j), np.where(win, j, i)


def test_hard_outcomes_with_a_prior_agree_with_choix():
    winners, losers = hard_data(0, 20, 200)
    first, second, p = both_orders(winners, losers)
    fitted = fit_utilities(first, second, p, n_tasks=20, weights=np.full(400, 0.5), prior_sd=1.5)
    # choix minimises alpha |u|^2 - log likelihood, so alpha is half of our prior precision.
    oracle = choix.opt_pairwise(20, list(zip(winners, losers, strict=True)), alpha=1 / (2 * 1.5**2), tol=1e-10)
    np.testing.assert_allclose(fitted.values, oracle - oracle.mean(), atol=1e-6)
    assert fitted.order_bias == pytest.approx(0, abs=1e-9)


def test_without_a_prior_to_speak_of_the_fit_is_choix_maximum_likelihood():
    winners, losers = hard_data(1, 12, 400)
    first, second, p = both_orders(winners, losers)
    fitted = fit_utilities(first, second, p, n_tasks=12, prior_sd=1e4, tolerance=1e-9)
    oracle = choix.ilsr_pairwise(12, list(zip(winners, losers, strict=True)), alpha=0.0, tol=1e-10)
    np.testing.assert_allclose(fitted.values, oracle - oracle.mean(), atol=1e-6)


@pytest.mark.parametrize("link", ["logistic", "probit"])
def test_soft_outcomes_weights_and_order_term_agree_with_brute_force(link):
    rng = np.random.default_rng(2)
    first, second = random_design(rng, 6, 40)
    p, w = rng.random(40), rng.uniform(0.2, 3.0, 40)
    p[:4] = [0, 1, 0, 1]
    fitted = fit_utilities(first, second, p, n_tasks=6, weights=w, prior_sd=0.8, link=link, tolerance=1e-10)
    data = (first, second, p, w, 0.8, link)
    oracle = optimize.minimize(naive_objective, np.zeros(7), args=data, method="BFGS", options={"gtol": 1e-7})
    np.testing.assert_allclose(fitted.values, oracle.x[:-1] - oracle.x[:-1].mean(), atol=1e-5)
    assert fitted.order_bias == pytest.approx(oracle.x[-1], abs=1e-5)
    without_prior = naive_objective(np.append(fitted.values, fitted.order_bias), first, second, p, w, np.inf, link)
    without_prior -= fitted.order_bias**2 / (2 * ORDER_PRIOR_SD**2)
    assert fitted.log_likelihood == pytest.approx(-without_prior)


@pytest.mark.parametrize("link", ["logistic", "probit"])
def test_standard_errors_are_those_of_the_numerical_hessian(link):
    rng = np.random.default_rng(3)
    first, second = random_design(rng, 5, 30)
    p, w = rng.random(30), rng.uniform(0.2, 3.0, 30)
    fitted = fit_utilities(first, second, p, n_tasks=5, weights=w, prior_sd=0.9, link=link, tolerance=1e-10)
    theta, h = np.append(fitted.values, fitted.order_bias), 1e-3
    steps = h * np.eye(6)

    def f(x):
        return naive_objective(x, first, second, p, w, 0.9, link)

    hessian = [
        [f(theta + a + b) - f(theta + a - b) - f(theta - a + b) + f(theta - a - b) for b in steps] for a in steps
    ]
    covariance = np.linalg.inv(np.array(hessian) / (4 * h * h))
    center = np.eye(5) - 1 / 5
    expected = np.sqrt(np.diag(center @ covariance[:5, :5] @ center))
    np.testing.assert_allclose(fitted.standard_errors, expected, rtol=1e-4)
    assert fitted.order_bias_se == pytest.approx(np.sqrt(covariance[5, 5]), rel=1e-4)


def planted(seed, n_tasks=200, per_task=33, repeats=5, sd=3.0, bias=0.7):
    """Each comparison is the mean of `repeats` sampled answers of a model with utilities of spread `sd`."""
    rng = np.random.default_rng(seed)
    u = rng.normal(0, sd, n_tasks)
    first, second = random_design(rng, n_tasks, n_tasks * per_task // 2)
    p = rng.binomial(repeats, expit(u[first] - u[second] + bias)) / repeats
    return u - u.mean(), first, second, p, np.full(len(p), float(repeats))


def test_planted_utilities_and_order_bias_come_back_at_33_comparisons_per_task():
    u, first, second, p, w = planted(4)
    fitted = fit_utilities(first, second, p, n_tasks=200, weights=w)
    assert np.corrcoef(fitted.values, u)[0, 1] > 0.99
    assert abs(fitted.order_bias - 0.7) < 3 * fitted.order_bias_se < 0.2
    assert fitted.connected
    assert fitted.n_comparisons == 3300


def test_errors_of_planted_utilities_have_the_stated_size():
    z = []
    for seed in range(10):
        u, first, second, p, w = planted(seed, n_tasks=60, repeats=1, sd=1.0)
        fitted = fit_utilities(first, second, p, n_tasks=60, weights=w, prior_sd=1.0)
        z.append((fitted.values - u) / fitted.standard_errors)
    assert 0.9 < np.std(z) < 1.1


def test_utilities_have_zero_mean_even_when_one_task_always_wins():
    values = fit_utilities(np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([1.0, 1.0, 0.5]), n_tasks=3).values
    assert values.mean() == pytest.approx(0, abs=1e-12)
    assert values.max() == values[0] < np.inf


def test_a_refused_comparison_moves_nothing():
    rng = np.random.default_rng(5)
    first, second = random_design(rng, 10, 80)
    p = rng.random(80)
    answered = fit_utilities(first, second, p, n_tasks=10)
    # Task 0 refused against everything; as wins of whatever came second, these rows would sink it.
    more = np.append(first, np.zeros(9, dtype=int)), np.append(second, np.arange(1, 10)), np.append(p, np.zeros(9))
    extended = fit_utilities(*more, n_tasks=10, weights=np.append(np.ones(80), np.zeros(9)))
    np.testing.assert_array_equal(extended.values, answered.values)
    np.testing.assert_array_equal(extended.standard_errors, answered.standard_errors)
    assert extended.n_comparisons == answered.n_comparisons == 80


def test_a_weight_of_two_is_the_comparison_twice():
    rng = np.random.default_rng(6)
    first, second = random_design(rng, 8, 40)
    p = rng.random(40)
    double = fit_utilities(first, second, p, n_tasks=8, weights=np.full(40, 2.0), tolerance=1e-10)
    twice = fit_utilities(*(np.tile(x, 2) for x in (first, second, p)), n_tasks=8, tolerance=1e-10)
    np.testing.assert_allclose(double.values, twice.values, atol=1e-9)
    np.testing.assert_allclose(double.standard_errors, twice.standard_errors, rtol=1e-7)
    assert double.log_likelihood == pytest.approx(twice.log_likelihood)


def test_a_task_never_compared_has_the_prior_and_says_so():
    fitted = fit_utilities(np.array([0, 1, 2]), np.array([1, 2, 0]), np.array([0.9, 0.8, 0.3]), n_tasks=4, prior_sd=2.0)
    assert not fitted.connected
    assert fitted.values[3] == pytest.approx(0, abs=1e-9)
    assert fitted.standard_errors[3] == pytest.approx(2.0 * np.sqrt(1 - 1 / 4))


def test_a_comparison_of_weight_zero_connects_nothing():
    first, second, p = np.array([0, 2, 1]), np.array([1, 3, 2]), np.array([0.9, 0.8, 0.5])
    assert fit_utilities(first, second, p, n_tasks=4).connected
    assert not fit_utilities(first, second, p, n_tasks=4, weights=np.array([1.0, 1.0, 0.0])).connected


@pytest.mark.parametrize("link", ["logistic", "probit"])
def test_separable_choices_under_a_wide_prior_stay_finite(link):
    first, second = np.triu_indices(12, 1)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        fitted = fit_utilities(first, second, np.ones(len(first)), n_tasks=12, prior_sd=50.0, link=link)
    assert np.all(np.diff(fitted.values) < 0)
    assert np.isfinite(fitted.standard_errors).all()
    assert np.isfinite(fitted.log_likelihood)


@pytest.mark.parametrize("seed", [17, 33, 62, 138])
def test_weights_of_six_orders_of_magnitude_need_shorter_steps_and_still_converge(seed):
    rng = np.random.default_rng(seed)
    first, second = random_design(rng, 10, 24)
    w = 10 ** rng.uniform(-3, 3, 24)
    fitted = fit_utilities(first, second, np.round(rng.random(24)), n_tasks=10, weights=w, prior_sd=30.0)
    assert fitted.gradient_norm <= 1e-6


def test_the_probit_tail_follows_its_closed_form_far_beyond_underflow():
    margins = np.array([-1e4, -300.0, -40.0, -7.0, -1.0, 0.0, 3.0, 30.0])
    np.testing.assert_allclose(
        utilities._mills(margins), np.sqrt(2 / np.pi) / erfcx(-margins / np.sqrt(2)), rtol=1e-7, atol=1e-100
    )


def test_when_the_first_always_wins_that_is_order_bias_and_no_preference():
    first, second = both_orders(*np.triu_indices(6, 1))[:2]
    fitted = fit_utilities(first, second, np.ones(len(first)), n_tasks=6)
    np.testing.assert_allclose(fitted.values, 0, atol=1e-9)
    assert 5 < fitted.order_bias < 20


def test_conjugate_gradients_agree_with_the_dense_factor(monkeypatch):
    _, first, second, p, w = planted(7)
    dense = fit_utilities(first, second, p, n_tasks=200, weights=w)
    monkeypatch.setattr(utilities, "DENSE_LIMIT", 199)
    sparse = fit_utilities(first, second, p, n_tasks=200, weights=w)
    np.testing.assert_allclose(sparse.values, dense.values, atol=1e-7)
    assert sparse.order_bias_se == pytest.approx(dense.order_bias_se, rel=1e-6)
    ratio = sparse.standard_errors / dense.standard_errors
    assert not np.array_equal(ratio, np.ones(200))  # probing is random: equality would mean the dense path ran
    assert np.std(ratio) < 0.03
    assert abs(ratio.mean() - 1) < 0.01


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["logistic", "probit"]))
def test_swapping_first_and_second_flips_the_order_bias_alone(seed, link):
    rng = np.random.default_rng(seed)
    first, second = random_design(rng, 7, 30)
    p, w = rng.random(30), rng.uniform(0, 2, 30)
    one = fit_utilities(first, second, p, n_tasks=7, weights=w, link=link, tolerance=1e-9)
    other = fit_utilities(second, first, 1 - p, n_tasks=7, weights=w, link=link, tolerance=1e-9)
    np.testing.assert_allclose(other.values, one.values, atol=1e-6)
    np.testing.assert_allclose(other.standard_errors, one.standard_errors, rtol=1e-5)
    assert other.order_bias == pytest.approx(-one.order_bias, abs=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_shuffled_rows_and_renamed_tasks_change_nothing(seed):
    rng = np.random.default_rng(seed)
    first, second = random_design(rng, 7, 30)
    p = rng.random(30)
    one = fit_utilities(first, second, p, n_tasks=7, tolerance=1e-9)
    rows, names = rng.permutation(30), rng.permutation(7)
    other = fit_utilities(names[first[rows]], names[second[rows]], p[rows], n_tasks=7, tolerance=1e-9)
    np.testing.assert_allclose(other.values[names], one.values, atol=1e-6)
    np.testing.assert_allclose(other.standard_errors[names], one.standard_errors, rtol=1e-5)
    assert other.order_bias == pytest.approx(one.order_bias, abs=1e-6)


def test_the_relative_gradient_is_below_the_tolerance():
    _, first, second, p, w = planted(8)
    assert fit_utilities(first, second, p, n_tasks=200, weights=w, tolerance=1e-3).gradient_norm <= 1e-3
    assert fit_utilities(first, second, p, n_tasks=200, weights=w, tolerance=1e-10).gradient_norm <= 1e-10


@pytest.mark.parametrize("settings_", [{"max_iterations": 1}, {"tolerance": 1e-30}])
def test_a_fit_that_has_not_converged_is_an_error(settings_):
    _, first, second, p, w = planted(9)
    with pytest.raises(ConvergenceError, match=r"relative gradient norm .*3300 comparisons, 200 tasks"):
        fit_utilities(first, second, p, n_tasks=200, weights=w, **settings_)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"first": 2}, "compared with itself"),
        ({"first": 3}, "run from 0 to 2"),
        ({"second": -1}, "run from 0 to 2"),
        ({"p": np.nan}, "probability from 0 to 1"),
        ({"p": 1.01}, "probability from 0 to 1"),
        ({"p": -0.01}, "probability from 0 to 1"),
        ({"w": -1.0}, "finite number of observations"),
        ({"w": np.inf}, "finite number of observations"),
        ({"w": np.nan}, "finite number of observations"),
    ],
)
def test_an_unusable_comparison_is_refused_with_its_row(change, cause):
    data = {"first": np.array([0, 1]), "second": np.array([1, 2]), "p": np.array([0.5, 0.5]), "w": np.ones(2)}
    for name, value in change.items():
        data[name][1] = value
    with pytest.raises(DataError, match=f"(?s)Comparison 1 is not usable.*{cause}"):
        fit_utilities(data["first"], data["second"], data["p"], n_tasks=3, weights=data["w"])


def test_unusable_settings_and_shapes_are_refused():
    first, second, p = np.array([0, 1]), np.array([1, 2]), np.array([0.5, 0.5])
    with pytest.raises(DataError, match="No comparison has positive weight"):
        fit_utilities(first, second, p, n_tasks=3, weights=np.zeros(2))
    with pytest.raises(DataError, match="prior_sd 0"):
        fit_utilities(first, second, p, n_tasks=3, prior_sd=0.0)
    with pytest.raises((DataError, TypeCheckError)):  # TypeCheckError where annotations are enforced
        fit_utilities(first, second, p, n_tasks=3, link="normal")
    for wrong in ((first, second, p[:1]), (first.astype(float), second, p)):
        with pytest.raises((DataError, TypeCheckError)):
            fit_utilities(*wrong, n_tasks=3)


def test_the_frame_has_one_row_per_task():
    fitted = fit_utilities(np.array([0]), np.array([1]), np.array([0.9]), n_tasks=2)
    frame = fitted.frame(["tea", "chores"])
    assert frame.columns == ["task", "utility", "standard_error"]
    assert frame["task"].to_list() == ["tea", "chores"]
    np.testing.assert_array_equal(frame["utility"], fitted.values)
    with pytest.raises(DataError, match="3 task ids for 2 utilities"):
        fitted.frame(["a", "b", "c"])
