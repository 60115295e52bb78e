import numpy as np
import pytest
from scipy import optimize

from personascope.errors import DataError
from personascope.measures.deming import corrected_cosine, deming_slope, moment_slope


def profiles(seed, slope, n=24, sd=0.2, se=0.06, equation_error=0.0):
    """Two profiles whose errors share the reference's: (x, y, variance of either, covariance)."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, sd, n)
    one, two, reference = rng.normal(0, se, (3, n))
    y = slope * truth + rng.normal(0, equation_error, n) + one - reference
    return truth + two - reference, y, np.full(n, 2 * se**2), np.full(n, se**2)


@pytest.mark.parametrize("cov", [0.0, 0.006, -0.008])
def test_generalised_deming_minimises_its_criterion(cov):
    x, y, *_ = profiles(0, 0.7)
    var_x, var_y, cov_xy = np.full(24, 0.01), np.full(24, 0.03), np.full(24, cov)

    def criterion(b):
        return ((y - b * x) ** 2).sum() / (var_y[0] - 2 * b * cov + b**2 * var_x[0])

    best = optimize.minimize_scalar(criterion, bounds=(-1, 3), method="bounded", options={"xatol": 1e-10}).x
    assert deming_slope(x, y, var_x, var_y, cov_xy, equation_error=False) == pytest.approx(best, abs=1e-6)


def test_with_equal_variances_it_is_orthogonal_regression():
    x, y, *_ = profiles(1, 1.5)
    one, none = np.full(24, 0.02), np.zeros(24)
    axis = np.linalg.svd(np.column_stack([x, y]))[2][0]
    assert deming_slope(x, y, one, one, none, equation_error=False) == pytest.approx(axis[1] / axis[0])
    assert deming_slope(y, x, one, one, none, equation_error=False) == pytest.approx(axis[0] / axis[1])


def test_without_errors_it_is_least_squares():
    x, y, *_ = profiles(2, 0.6)
    none = np.zeros(24)
    assert deming_slope(x, y, none, none, none) == pytest.approx(x @ y / (x @ x))


def test_known_errors_are_taken_off_once():
    x, y, var, cov = profiles(3, 1.0, equation_error=0.3)
    assert deming_slope(x, y, var, var, cov) == pytest.approx((x @ y - cov.sum()) / (x @ x - var.sum()))


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0, -1.0])
@pytest.mark.parametrize("equation_error", [0.0, 0.2])
def test_the_planted_slope_is_recovered_where_least_squares_is_biased(slope, equation_error):
    found, naive = [], []
    for seed in range(400):
        x, y, var, cov = profiles(seed, slope, equation_error=equation_error)
        found.append(deming_slope(x, y, var, var, cov))
        naive.append(x @ y / (x @ x))
    assert np.median(found) == pytest.approx(slope, abs=0.03)
    # At one half the two biases cancel.
    assert np.median(naive) == pytest.approx((slope * 0.04 + 0.0036) / (0.04 + 2 * 0.0036), abs=0.03)


@pytest.mark.parametrize(
    ("reliability", "shared", "median", "low", "high"),
    [
        (0.5, 0.0, 0.92, 0.32, 2.04),
        (0.7, 0.0, 0.96, 0.59, 1.49),
        (0.9, 0.0, 0.99, 0.80, 1.21),
        (0.5, 0.5, 0.96, 0.45, 1.78),
        (0.7, 0.5, 0.98, 0.70, 1.35),
        (0.9, 0.5, 0.99, 0.86, 1.15),
    ],
)
def test_small_samples_are_biased_as_the_docstring_says(reliability, shared, median, low, high):
    rng, n, n_facets = np.random.default_rng(0), 40_000, 25
    variance = (1 - reliability) / reliability
    truth = rng.normal(0, 1, (n, n_facets))
    reference = rng.normal(0, np.sqrt(shared * variance), (n, n_facets))
    two, one = rng.normal(0, np.sqrt((1 - shared) * variance), (2, n, n_facets))
    pair = np.stack([truth + one - reference, truth + two - reference], axis=-1)
    error = n_facets * variance * np.array([[1, shared], [shared, 1]])
    slopes = moment_slope(np.einsum("nfa,nfb->nab", pair, pair), error, True)
    found = np.percentile(slopes, [50, 2.5, 97.5])
    assert found == pytest.approx([median, low, high], abs=0.015)
    # a few draws at reliability .5 lie anywhere: the sign of a mean that does not exist
    assert (np.abs(slopes).max() > 100) == (reliability == 0.5)


def test_scales_of_either_profile_carry_over():
    x, y, var, cov = profiles(4, 0.8)
    assert deming_slope(2 * x, 6 * y, 4 * var, 36 * var, 12 * cov) == pytest.approx(
        3 * deming_slope(x, y, var, var, cov)
    )
    flip = np.where(np.arange(24) % 3, 1.0, -1.0)
    assert deming_slope(flip * x, flip * y, var, var, cov) == pytest.approx(deming_slope(x, y, var, var, cov))


def test_errors_that_are_copies_of_each_other_are_no_obstacle():
    # x and y differ only by a constant factor without error: all their error is the reference's.
    rng = np.random.default_rng(5)
    truth, reference = rng.normal(0, 0.3, 200), rng.normal(0, 0.1, 200)
    var = np.full(200, 0.01)
    assert deming_slope(truth - reference, 2 * truth - reference, var, var, var) == pytest.approx(2.0, abs=0.1)


def test_the_cosine_is_freed_of_error():
    found = []
    for seed in range(200):
        x, y, var, cov = profiles(seed, 1.0, equation_error=0.2)
        error = np.array([[var.sum(), cov.sum()], [cov.sum(), var.sum()]])
        found.append(corrected_cosine(np.column_stack([y, x]).T @ np.column_stack([y, x]), error))
    assert np.median(found) == pytest.approx(0.5**0.5, abs=0.03)
    assert corrected_cosine(np.eye(2), 2 * np.eye(2)) is None


def test_noise_and_holes_are_refused():
    with pytest.raises(DataError, match="NaN or infinite"):
        deming_slope(np.array([1.0, np.nan]), np.ones(2), np.ones(2), np.ones(2), np.ones(2))
    with pytest.raises(DataError, match="x is not longer than its error"):
        deming_slope(np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3))
