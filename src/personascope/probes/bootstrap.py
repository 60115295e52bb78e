"""Percentile intervals from resampled clusters, all resamples and all targets in one matrix product.

Resampling whole groups keeps their rows together (Davison & Hinkley 1997, 3.8); a resample enters only through how
often each group was drawn, so sums per group are enough.
"""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float, Int

from personascope.shapes import RowValues

CONFIDENCE = 0.95
N_RESAMPLES = 1000


def draw_counts(n_clusters: int, n_resamples: int, seed: int) -> Float[np.ndarray, "resample cluster"]:
    """How often each cluster appears in each resample (with replacement, as many draws as clusters)."""
    drawn = np.random.default_rng(seed).integers(n_clusters, size=(n_resamples, n_clusters))
    drawn += n_clusters * np.arange(n_resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=n_resamples * n_clusters)
    return counts.reshape(n_resamples, n_clusters).astype(np.float64)


def cluster_sums(
    values: Float[np.ndarray, "row column"], codes: Int[np.ndarray, " row"]
) -> Float[np.ndarray, "cluster column"]:
    """Sum of the rows of each cluster; `codes` number the clusters from 0."""
    sums = np.zeros((int(codes.max()) + 1, values.shape[1]))
    np.add.at(sums, codes, values)
    return sums


def resampled_correlations(
    x: Float[np.ndarray, "row target"],
    y: Float[np.ndarray, "row target"],
    codes: Int[np.ndarray, " row"],
    counts: Float[np.ndarray, "resample cluster"],
) -> Float[np.ndarray, "resample target"]:
    """Pearson r of the columns of `x` with those of `y` in every resample; NaN where a column does not vary."""
    # centred first: r does not change, and the sums of squares lose no digits
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    columns = np.concatenate([np.ones((len(x), 1)), x, y, x * x, y * y, x * y], axis=1)
    sums = counts @ cluster_sums(columns, codes)
    sx, sy, sxx, syy, sxy = np.split(sums[:, 1:] / sums[:, :1], 5, axis=1)
    spread = (sxx - sx * sx) * (syy - sy * sy)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(spread > 0, (sxy - sx * sy) / np.sqrt(np.maximum(spread, 0)), np.nan))


def resampled_rates(correct: RowValues, weights: Float[np.ndarray, "resample row"]) -> Float[np.ndarray, " resample"]:
    """Weighted mean of `correct` in every resample; NaN where nothing was drawn."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((weights @ correct) / weights.sum(axis=1))


def percentile_interval(resampled: Float[np.ndarray, "resample ..."]) -> Float[np.ndarray, "2 ..."]:
    """The central 95 % of the resamples in which the statistic is defined: (low, high) along the first axis."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        edge = (1 - CONFIDENCE) / 2
        return np.asarray(np.nanquantile(resampled, [edge, 1 - edge], axis=0))
