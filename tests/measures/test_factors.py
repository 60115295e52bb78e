import numpy as np
import pytest
from sklearn.decomposition import FactorAnalysis

from personascope.errors import ConvergenceError
from personascope.measures.factors import maximum_likelihood_factors

LOADINGS = np.array([0.8, 0.7, 0.6, -0.5, 0.4])


def answers(n=800):
    """A strong and a weak factor."""
    rng = np.random.default_rng(8)
    values = rng.standard_normal((n, 1)) * LOADINGS + 0.5 * rng.standard_normal((n, 1)) * [0, 0, 1, 1, 1]
    return values + 0.6 * rng.standard_normal((n, 5))


def test_factors_of_exact_correlations_are_exact():
    correlation = np.outer(LOADINGS, LOADINGS)
    np.fill_diagonal(correlation, 1)
    found, uniquenesses = maximum_likelihood_factors(correlation, 1)
    assert found[:, 0] * np.sign(found[0, 0]) == pytest.approx(LOADINGS, abs=1e-3)
    assert uniquenesses == pytest.approx(1 - LOADINGS**2, abs=1e-3)


@pytest.mark.parametrize(("n_factors", "rotation"), [(1, None), (2, "varimax")])
def test_factors_of_correlations_are_those_of_the_respondents(n_factors, rotation):
    values = answers()
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    ours, uniquenesses = maximum_likelihood_factors(np.corrcoef(values, rowvar=False), n_factors, rotation)
    model = FactorAnalysis(n_factors, svd_method="lapack", tol=1e-9, max_iter=5000, rotation=rotation).fit(standard)
    turned = model.components_.T * np.sign((model.components_.T * ours).sum(axis=0))
    assert ours == pytest.approx(turned, abs=2e-3)
    assert uniquenesses == pytest.approx(model.noise_variance_, abs=2e-3)


def test_factors_that_do_not_settle_are_an_error(monkeypatch):
    monkeypatch.setattr("personascope.measures.factors.MAX_ITERATIONS", 2)
    with pytest.raises(ConvergenceError, match="did not settle in 2 iterations"):
        maximum_likelihood_factors(np.corrcoef(answers(), rowvar=False), 1)
