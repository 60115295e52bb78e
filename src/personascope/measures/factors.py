"""Maximum-likelihood factor analysis of correlations."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float
from sklearn.decomposition import FactorAnalysis
from sklearn.exceptions import ConvergenceWarning

from personascope.errors import ConvergenceError

TOLERANCE, MAX_ITERATIONS = 1e-9, 1000
"""Of the log-likelihood, and of the fit: scales with a factor settle in some 30 iterations, noise may never do."""


def maximum_likelihood_factors(
    correlation: Float[np.ndarray, "item item"], n_factors: int, rotation: str | None = None
) -> tuple[Float[np.ndarray, "item factor"], Float[np.ndarray, " item"]]:
    """Loadings and uniquenesses of a factor analysis (`sklearn.decomposition.FactorAnalysis`) of correlations.

    Args:
        correlation: shape (item, item).
        n_factors: number of factors.
        rotation: None, "varimax" or "quartimax".

    Raises:
        ConvergenceError: the fit did not settle.
    """
    # Maximum likelihood sees the data through their correlations only. Any rows that have these will do, and 2 k of
    # them, mirrored so that their mean is zero, are quicker to decompose than the respondents.
    k = len(correlation)
    spread, axes = np.linalg.eigh(correlation)
    half = np.sqrt(k * np.maximum(spread, 0))[:, None] * axes.T
    model = FactorAnalysis(n_factors, svd_method="lapack", tol=TOLERANCE, max_iter=MAX_ITERATIONS, rotation=rotation)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            model.fit(np.concatenate([half, -half]))
        except ConvergenceWarning as warning:
            raise ConvergenceError(
                f"{n_factors} factors of {k} items did not settle in {MAX_ITERATIONS} iterations.",
                "An item with next to no variance of its own (Heywood case), too many factors, or too few respondents.",
                "Ask for fewer factors, or leave out one of two items that are nearly copies.",
            ) from warning
    return model.components_.T, model.noise_variance_
