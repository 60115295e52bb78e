"""Latent traits against quadrature, sampling and regression."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, truncnorm
from tests.interviews.conftest import bank_of

from personascope.errors import ConvergenceError, DataError
from personascope.interviews import fitting
from personascope.interviews.fitting import fit_gaussian, fit_ordinal
from personascope.interviews.latent import LatentTraits, truncated_moments
from personascope.interviews.population import draw_people


def one_trait(noise: float = 0.5) -> LatentTraits:
    return LatentTraits(
        items=("a", "b"),
        loadings=np.array([[0.8], [-0.6]]),
        thresholds=np.array([[-1.0, 0.2, 0.9], [-0.5, 0.1, 1.5]]),
        noise=np.array([noise, 0.7]),
        mean=np.array([0.1]),
        covariance=np.array([[1.0]]),
    )


GRID = np.linspace(-8, 8, 20001)


def shares(model: LatentTraits, item: int) -> np.ndarray:
    """p(option | theta) on a grid."""
    edges = np.concatenate([[-np.inf], model.thresholds[item], [np.inf]])
    cut = norm.cdf((edges[None] - GRID[:, None] * model.loadings[item, 0]) / np.sqrt(model.noise[item]))
    return np.diff(cut, axis=1)


def test_one_trait_equals_quadrature():
    model, belief = one_trait(), one_trait().begin(1)
    density = norm.pdf(GRID, 0.1, 1.0)
    density /= density.sum()
    p = shares(model, 0)
    assert belief.predict()[0, 0] == pytest.approx(density @ p, abs=1e-6)
    predicted = density @ p
    within = density @ -(p * np.log2(np.maximum(p, 1e-300))).sum(axis=1)
    assert belief.information()[0, 0] == pytest.approx(-(predicted * np.log2(predicted)).sum() - within, abs=1e-4)
    falls = 0.0
    before = density @ GRID**2 - (density @ GRID) ** 2
    for option in range(4):
        after = density * p[:, option] / predicted[option]
        mean = after @ GRID
        spread = after @ GRID**2 - mean**2
        told = model.begin(1)
        told.observe(np.array([0]), np.array([option]))
        assert told.mean[0, 0] == pytest.approx(mean, abs=1e-5)
        assert told.covariance[0, 0, 0] == pytest.approx(spread, abs=1e-5)
        falls += predicted[option] * (before - spread)
    assert belief.variance_reduction()[0, 0] == pytest.approx(falls, abs=1e-5)


def test_fisher_information_is_the_curvature_of_the_log_likelihood():
    model, step = one_trait(), 1e-3
    p = np.stack(
        [
            np.diff(norm.cdf((np.array([-np.inf, *model.thresholds[0], np.inf]) - 0.08 - shift) / np.sqrt(0.5)))
            for shift in (-step, 0.0, step)
        ]
    )
    slope = (np.log(p[2]) - np.log(p[0])) / (2 * step)
    assert model.begin(1).fisher()[0, 0] == pytest.approx((p[1] * slope**2).sum(), rel=1e-4)
    assert model.begin(1).d_optimality()[0, 0] == pytest.approx(np.log2(1 + (p[1] * slope**2).sum() * 0.64), rel=1e-4)


def test_truncated_moments_equal_scipys_and_hold_in_the_tails():
    low, high = np.array([-1.0, 0.5, -40.0, 6.0, -9.0]), np.array([0.3, 40.0, -2.0, 6.5, -8.0])
    mean, variance = truncated_moments(low, high)
    wanted = [truncnorm.stats(a, b, moments="mv") for a, b in zip(low[:3], high[:3], strict=True)]
    assert mean[:3] == pytest.approx([float(m) for m, _ in wanted], abs=1e-9)
    assert variance[:3] == pytest.approx([float(v) for _, v in wanted], abs=1e-8)
    assert ((mean >= low) & (mean <= high)).all()
    assert (variance >= 0).all()
    thin_mean, thin_variance = truncated_moments(np.array([5.0]), np.array([5.0 + 1e-5]))
    assert thin_mean[0] == pytest.approx(5.0, abs=1e-5)
    assert thin_variance[0] == pytest.approx(1e-10 / 12, rel=1e-3)


def test_the_gaussian_model_is_linear_regression(bank):
    model = fit_gaussian(bank)
    belief, person = model.begin(1), bank.values[7]
    asked = [3, 11, 20]
    for item in asked:
        belief.observe(np.array([item]), np.array([person[item] - 1]))
    s = model.covariance
    y = model.levels[asked, person[asked] - 1]
    wanted = s[:, asked] @ np.linalg.solve(s[np.ix_(asked, asked)], y)
    assert belief.mean[0] == pytest.approx(wanted, abs=1e-8)
    left = s - s[:, asked] @ np.linalg.solve(s[np.ix_(asked, asked)], s[asked])
    assert belief.covariance[0] == pytest.approx(left, abs=1e-8)


def test_the_gaussian_order_of_questions_does_not_hang_on_answers(bank):
    model = fit_gaussian(bank)
    one, other = model.begin(1), model.begin(1)
    for item in (2, 9):
        one.observe(np.array([item]), np.array([0]))
        other.observe(np.array([item]), np.array([4]))
    assert one.variance_reduction() == pytest.approx(other.variance_reduction())


def test_answers_to_different_questions_part_the_shared_covariance(bank):
    model = fit_gaussian(bank)
    belief = model.begin(2)
    belief.observe(np.array([1, 1]), np.array([0, 3]))
    assert belief.covariance.shape[0] == 1
    belief.observe(np.array([4, 5]), np.array([2, 2]))
    for row, items in enumerate(([1, 4], [1, 5])):
        alone = model.begin(1)
        for item, option in zip(items, ((0, 2), (3, 2))[row], strict=True):
            alone.observe(np.array([item]), np.array([option]))
        assert belief.mean[row] == pytest.approx(alone.mean[0])
        assert belief.variance_reduction()[row] == pytest.approx(alone.variance_reduction()[0])


def test_planted_loadings_come_back():
    planted = LatentTraits(
        items=tuple(f"i{n}" for n in range(12)),
        loadings=np.kron(np.eye(2), np.linspace(0.5, 0.9, 6)[:, None]) * np.tile([1, -1], 6)[:, None],
        thresholds=np.tile([-1.0, -0.3, 0.4, 1.1], (12, 1)) + np.linspace(-0.3, 0.3, 12)[:, None],
        noise=1 - np.tile(np.linspace(0.5, 0.9, 6) ** 2, 2),
        mean=np.zeros(2),
        covariance=np.eye(2),
    )
    traits, answers = draw_people(planted, 4000, seed=0)
    found = fit_ordinal(bank_of(answers, 5), 2)
    assert np.abs(found.thresholds - planted.thresholds).max() < 0.08
    size = np.abs(np.abs(found.loadings).max(axis=1) - np.abs(planted.loadings).max(axis=1))
    assert size.max() < 0.05
    belief = planted.begin(300)
    for item in range(12):
        belief.observe(np.full(300, item), answers[:300, item].astype(int) - 1)
    mean, sd = belief.traits()
    assert np.mean(np.abs(mean - traits[:300]) < 1.96 * sd) == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"thresholds": np.zeros((2, 3))}, "do not rise"),
        ({"noise": np.array([0.0, 1.0])}, "has no noise"),
        ({"covariance": np.array([[-1.0]])}, "covariance is none"),
        ({"items": ("a",)}, "Loadings"),
        ({"names": ("x", "y")}, "2 names"),
    ],
)
def test_what_is_no_model_is_refused(change, message):
    fields = {
        name: getattr(one_trait(), name) for name in ("items", "loadings", "thresholds", "noise", "mean", "covariance")
    }
    with pytest.raises(DataError, match=message):
        LatentTraits(**(fields | change))


def test_what_cannot_be_fitted_is_refused(bank):
    with pytest.raises(DataError, match="10 respondents"):
        fit_gaussian(bank_of(bank.values[:10], 5))
    alike = bank.values.copy()
    alike[:, 3] = 2
    with pytest.raises(DataError, match="'q3' answers it alike"):
        fit_ordinal(bank_of(alike, 5), 2)


def test_people_too_few_for_the_factors_have_their_correlations_shrunk_by_the_least_that_settles(monkeypatch):
    rng = np.random.default_rng(3)
    trait = rng.normal(size=(60, 1))
    items = 3 + np.round(trait + rng.normal(size=(60, 6)) * np.array([0.01, 0.5, 0.8, 1, 1, 1]))
    people = bank_of(np.clip(items, 1, 5), 5)
    tried = []

    def factors(correlation, n_traits, rotation):
        tried.append(correlation[0, 1])
        if len(tried) < 3:
            raise ConvergenceError("not yet", "", "")
        return right(correlation, n_traits, rotation)

    right = fitting.maximum_likelihood_factors
    monkeypatch.setattr(fitting, "maximum_likelihood_factors", factors)
    with pytest.warns(UserWarning, match="lowered by 10%"):
        model = fit_ordinal(people, 1)
    assert tried == pytest.approx([tried[0] * (1 - share) for share in (0, *fitting.SHRINKAGE[:2])])
    assert (model.noise > 0).all()
    monkeypatch.setattr(fitting, "maximum_likelihood_factors", never)
    with pytest.raises(ConvergenceError, match="do not settle, however far"):
        fit_ordinal(people, 1)


def never(*_):
    """A factor analysis that never settles."""
    raise ConvergenceError("never", "", "")
