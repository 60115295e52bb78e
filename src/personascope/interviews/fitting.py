"""Respondent models of latent traits from a response matrix."""

from __future__ import annotations

import contextlib
import warnings

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri
from scipy.stats import norm
from sklearn.covariance import ledoit_wolf

from personascope.errors import ConvergenceError, DataError
from personascope.instruments.option_codes import MISSING
from personascope.instruments.responses import Responses
from personascope.interviews.latent import LatentTraits
from personascope.measures.factors import maximum_likelihood_factors

SHRINKAGE = (0.05, 0.1, 0.2, 0.4)
"""Shares by which correlations between items are lowered, in the order in which they are tried."""
_LEAST = 20
"""Respondents without whom no covariance is estimated."""


def fit_gaussian(responses: Responses) -> LatentTraits:
    """The Gaussian model of all items: means, and a covariance shrunk toward a scaled identity (Ledoit & Wolf 2004).

    Every item is its own trait, and an answer is its value exactly. What is not answered is set to the item's mean.

    Args:
        responses: of people.

    Raises:
        DataError: fewer than 20 people, an item that all answer alike, or that nobody answers.
    """
    values = _checked(responses)
    mean, sd = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    standardised = np.where(np.isnan(values), 0, (values - mean) / sd)
    covariance, _ = ledoit_wolf(standardised)
    levels = (np.arange(1, responses.n_options + 1)[None] - mean[:, None]) / sd[:, None]
    n = len(responses.items)
    return LatentTraits(
        items=responses.items,
        loadings=np.eye(n),
        thresholds=(levels[:, :-1] + levels[:, 1:]) / 2,
        noise=np.zeros(n),
        mean=np.zeros(n),
        covariance=np.asarray(covariance),
        levels=levels,
        names=responses.items,
    )


def fit_ordinal(responses: Responses, n_traits: int) -> LatentTraits:
    """The graded response model with some traits, by limited information.

    Thresholds are those of the margins; loadings are those of a maximum-likelihood factor analysis of the
    correlations of normal scores, each divided by the share of a propensity's spread that its scores keep, so that they
    are correlations of the propensities (Olsson 1979 estimates the same with more work; from five options on they
    hardly differ). Factor loadings and thresholds are the normal ogive's parameters (Takane & de Leeuw 1987).

    Few people leave items without variance of their own (Heywood cases), on which the factor analysis never settles.
    There the correlations are shrunk, by the least of `SHRINKAGE` with which it does, and a warning says so.

    Args:
        responses: of people.
        n_traits: how many; rotated by varimax, so that they can be named.

    Raises:
        DataError: as `fit_gaussian`.
        ConvergenceError: the factor analysis did not settle with any of them.
    """
    values = _checked(responses)
    n, k = len(responses.items), responses.n_options
    cuts = np.stack([_cuts(values[:, column], k) for column in range(n)])
    scores, kept = np.zeros_like(values), np.zeros(n)
    for column in range(n):
        edges = np.concatenate([[-np.inf], cuts[column], [np.inf]])
        mass = np.maximum(np.diff(norm.cdf(edges)), 1e-12)
        means = -np.diff(norm.pdf(edges)) / mass
        given = ~np.isnan(values[:, column])
        scores[given, column] = means[values[given, column].astype(int) - 1]
        kept[column] = np.sqrt((mass * means**2).sum())
    correlation = np.corrcoef(scores.T) / np.outer(kept, kept)
    np.fill_diagonal(correlation, 1)
    loadings = _loadings(_positive(correlation), n_traits)
    common = np.minimum((loadings**2).sum(axis=1), 0.98)
    loadings = loadings * np.sqrt(common / np.maximum((loadings**2).sum(axis=1), 1e-12))[:, None]
    return LatentTraits(
        items=responses.items,
        loadings=loadings,
        thresholds=cuts,
        noise=1 - common,
        mean=np.zeros(n_traits),
        covariance=np.eye(n_traits),
    )


def _loadings(correlation: Float[np.ndarray, "item item"], n_traits: int) -> Float[np.ndarray, "item trait"]:
    def shrunk(share: float) -> Float[np.ndarray, "item trait"]:
        lower = (1 - share) * correlation + share * np.eye(len(correlation))
        return maximum_likelihood_factors(lower, n_traits, "varimax")[0]

    with contextlib.suppress(ConvergenceError):
        return shrunk(0.0)
    for share in SHRINKAGE:
        with contextlib.suppress(ConvergenceError):
            found = shrunk(share)
            warnings.warn(
                f"{n_traits} traits of {len(correlation)} items did not settle; correlations between items are lowered "
                f"by {share:.0%}, with which they do. Give more people, or ask for fewer traits.",
                stacklevel=3,
            )
            return found
    raise ConvergenceError(
        f"{n_traits} traits of {len(correlation)} items do not settle, however far correlations are lowered.",
        f"Shares up to {SHRINKAGE[-1]:.0%} were tried.",
        "Give more people, or ask for fewer traits.",
    )


def _checked(responses: Responses) -> Float[np.ndarray, "respondent item"]:
    """Answers as numbers, NaN where there is none."""
    values = np.where(responses.values == MISSING, np.nan, responses.values.astype(float))
    if len(values) < _LEAST:
        raise DataError(
            f"{len(values)} respondents.", f"A covariance needs at least {_LEAST}.", "Give more people, or twins."
        )
    constant = [
        item for item, column in zip(responses.items, values.T, strict=True) if len(set(column[~np.isnan(column)])) < 2
    ]
    if constant:
        raise DataError(
            f"Everybody who answers {constant[0]!r} answers it alike ({len(constant)} such items).",
            "It goes together with nothing.",
            "Leave these items out.",
        )
    return values


def _cuts(column: Float[np.ndarray, " respondent"], k: int) -> Float[np.ndarray, " cut"]:
    """Thresholds from the shares of the options, half an answer being added to each so that all are finite."""
    given = column[~np.isnan(column)]
    counts = np.array([(given == option).sum() for option in range(1, k + 1)]) + 0.5
    cuts: Float[np.ndarray, " cut"] = ndtri(np.cumsum(counts)[:-1] / counts.sum())
    return cuts


def _positive(correlation: Float[np.ndarray, "item item"]) -> Float[np.ndarray, "item item"]:
    """The nearest that has no negative variances, to unit diagonal."""
    spread, axes = np.linalg.eigh(correlation)
    if spread[0] > 1e-6:
        return correlation
    mended = (axes * np.maximum(spread, 1e-6)) @ axes.T
    scale = np.sqrt(np.diag(mended))
    positive: Float[np.ndarray, "item item"] = mended / np.outer(scale, scale)
    return positive
