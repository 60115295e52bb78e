"""Reliability: agreement of utilities between halves of the data and between runs, and correlations with intervals."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int, Shaped
from scipy import stats

from personascope.errors import DataError
from personascope.measures.intervals import CONFIDENCE, batch_size
from personascope.measures.outcomes import Outcomes
from personascope.measures.utilities import fit_utilities
from personascope.shapes import RowValues

_MIN_ROWS = 3


@dataclass(frozen=True)
class Reliability:
    """Split-half reliability of a set of utilities.

    Args:
        r: `raw_r` stepped up to the full amount of data: k raw_r / (1 + (k - 1) raw_r), which is Spearman and Brown's
            formula at k = 2.
        low: stepped-up 2.5th percentile of the correlation over splits. `low` to `high` is the scatter over ways to
            split these data, not a confidence interval for new data.
        high: likewise the 97.5th percentile.
        n_splits: random splits.
        raw_r: mean correlation between halves, each fitted on half of the pairs.
        k: error variance of utilities from half of the pairs by that from all, from their standard errors. Few pairs a
            task make it more than 2: a half then also loses the chains of comparisons that hold its tasks together.
    """

    r: float
    low: float
    high: float
    n_splits: int
    raw_r: float
    k: float

    def frame(self) -> pl.DataFrame:
        """One row with columns r, low, high, n_splits, raw_r, k."""
        return pl.DataFrame([vars(self)])


@dataclass(frozen=True)
class Correlation:
    """Pearson correlation with its 95 % percentile bootstrap interval over `n` rows."""

    r: float
    low: float
    high: float
    n: int

    def frame(self) -> pl.DataFrame:
        """One row with columns r, low, high, n."""
        return pl.DataFrame([vars(self)])


@dataclass(frozen=True)
class Retest:
    """Agreement of the utilities of two administrations, over the tasks that had choices in both.

    Args:
        r: Pearson correlation, with `low` to `high` its 95 % percentile bootstrap interval over tasks (or clusters).
        low: see there.
        high: see there.
        rank_r: Spearman correlation.
        n: tasks.
        shared_pairs: share of the unordered pairs of either run that both had. Where it is high, r also holds what
            is peculiar to these pairs, and says nothing of how utilities would come out of others.
    """

    r: float
    low: float
    high: float
    rank_r: float
    n: int
    shared_pairs: float

    def frame(self) -> pl.DataFrame:
        """One row with columns r, low, high, rank_r, n, shared_pairs."""
        return pl.DataFrame([vars(self)])


def split_half(
    first: Int[np.ndarray, " comparison"],
    second: Int[np.ndarray, " comparison"],
    p_first: Float[np.ndarray, " comparison"],
    *,
    n_tasks: int,
    n_splits: int = 20,
    seed: int = 0,
    weights: Float[np.ndarray, " comparison"] | None = None,
    **fit: Any,
) -> Reliability:
    """Fit utilities on random halves of the pairs and correlate them.

    Unordered pairs are split, so that all comparisons of a pair (both orders, repeats) fall in the same half; otherwise
    the halves would share pairs and r would measure retest, not generalisation over pairs. Tasks that lack
    comparisons of positive weight in a half are left out of that split's correlation.

    What r would be with all pairs follows from how much smaller their errors are, by the standard errors of the fits
    (Spearman 1910 and Brown 1910 for errors that halve). Doubling instead understates sparse designs, .68 for .75 at
    four pairs a task, and a correlation corrected by it then exceeds 1.

    Args:
        first: index of the task shown first, as in `fit_utilities`.
        second: likewise, the second.
        p_first: likewise, the outcome.
        n_tasks: size of the pool.
        n_splits: random splits, at least 2.
        seed: of the splits.
        weights: as in `fit_utilities`.
        **fit: further settings of `fit_utilities`.

    Raises:
        DataError: fewer than 2 splits or pairs, fewer than 3 tasks in both halves, or a half without variance.
        PersonascopeError: as `fit_utilities`.
    """
    w = np.ones(len(first)) if weights is None else np.asarray(weights, dtype=np.float64)
    low_id, high_id = np.minimum(first, second).astype(np.int64), np.maximum(first, second)
    n_pairs, pair = _codes(low_id * n_tasks + high_id)
    if n_splits < 2 or n_pairs < 2:
        raise DataError(
            f"{n_splits} splits of {n_pairs} pairs.",
            "Split-half reliability needs at least 2 splits of at least 2 pairs.",
            "Ask more pairs or raise n_splits.",
        )
    rng = np.random.default_rng(seed)
    whole = fit_utilities(first, second, p_first, n_tasks=n_tasks, weights=w, **fit)
    values, lengths = np.empty(n_splits), np.empty(n_splits)
    for split in range(n_splits):
        in_left = (rng.permutation(n_pairs) < n_pairs // 2)[pair]
        halves, seen = [], np.ones(n_tasks, dtype=bool)
        for h in (in_left, ~in_left):
            halves.append(fit_utilities(first[h], second[h], p_first[h], n_tasks=n_tasks, weights=w[h], **fit))
            seen &= np.isin(np.arange(n_tasks), np.concatenate([first[h & (w > 0)], second[h & (w > 0)]]))
        values[split] = _pearson(*(half.values[seen] for half in halves))
        errors = np.mean([half.standard_errors[seen] ** 2 for half in halves])
        lengths[split] = errors / np.mean(whole.standard_errors[seen] ** 2)
    low, high = np.percentile(values, _tails())
    raw_r, k = float(values.mean()), float(lengths.mean())
    return Reliability(_stepped_up(raw_r, k), _stepped_up(low, k), _stepped_up(high, k), n_splits, raw_r, k)


def retest(
    one: Outcomes,
    two: Outcomes,
    *,
    n_tasks: int,
    n_resamples: int = 10_000,
    seed: int = 0,
    groups: Shaped[np.ndarray, " task"] | None = None,
    **fit: Any,
) -> Retest:
    """Fit utilities to two independent administrations, of the same or of other pairs, and correlate them.

    No step up: r is the reliability of the utilities of one administration, where both are of one size.

    Args:
        one: what was chosen in one run.
        two: what was chosen in the other, over the same pool with the same indices.
        n_tasks: size of the pool.
        n_resamples: bootstrap resamples.
        seed: of the bootstrap.
        groups: label of the cluster of each task (topic, duplicates), as in `correlate`, shape (task,).
        **fit: further settings of `fit_utilities`.

    Raises:
        DataError: fewer than 3 tasks (or clusters) with choices in both runs, or utilities without variance.
        PersonascopeError: as `fit_utilities`.
    """
    if groups is not None and len(groups) != n_tasks:
        raise DataError(f"{len(groups)} group labels for {n_tasks} tasks.", "", "Pass one label for each task.")
    values, seen, pairs = [], np.ones(n_tasks, dtype=bool), []
    for run in (one, two):
        values.append(run.fit(n_tasks=n_tasks, **fit).values)
        first, second = run.first[run.weights > 0].astype(np.int64), run.second[run.weights > 0]
        seen &= np.isin(np.arange(n_tasks), np.concatenate([first, second]))
        pairs.append(np.minimum(first, second) * n_tasks + np.maximum(first, second))
    x, y = (v[seen] for v in values)
    found = correlate(x, y, n_resamples=n_resamples, seed=seed, groups=None if groups is None else groups[seen])
    shared = len(np.intersect1d(*pairs)) / len(np.union1d(*pairs))
    return Retest(found.r, found.low, found.high, float(stats.spearmanr(x, y).statistic), found.n, shared)


def correlate(
    x: RowValues,
    y: RowValues,
    *,
    n_resamples: int = 10_000,
    seed: int = 0,
    groups: Shaped[np.ndarray, " row"] | None = None,
) -> Correlation:
    """Pearson correlation with a percentile bootstrap interval over rows, or over groups as clusters.

    Resamples in which a variable happens to be constant have no correlation and are left out.

    Args:
        x: shape (row,).
        y: shape (row,).
        n_resamples: bootstrap resamples.
        seed: of the bootstrap.
        groups: label of the cluster of each row (topic, item family, duplicates), shape (row,). Whole clusters are
            resampled, since rows of one cluster are not independent.

    Raises:
        DataError: shapes that differ, values that are not finite, fewer than 3 rows or clusters, or a variable that
            is constant.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    r = _pearson(a, b)
    n_clusters, cluster = _codes(np.arange(len(a)) if groups is None else np.asarray(groups))
    if len(cluster) != len(a) or n_clusters < _MIN_ROWS:
        raise DataError(
            f"{n_clusters} clusters in {len(cluster)} group labels for {len(a)} rows.",
            f"Every row needs a label, and an interval at least {_MIN_ROWS} clusters.",
            "Pass one group label per row.",
        )
    a, b = a - a.mean(), b - b.mean()
    # A cluster enters r only through these sums, so resampling clusters is resampling columns of this table.
    moments = [np.bincount(cluster, weights=v) for v in (np.ones_like(a), a, b, a * a, b * b, a * b)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # undefined resamples are left out below
        result = stats.bootstrap(
            moments,
            r_of_moments,
            paired=True,
            vectorized=True,
            n_resamples=n_resamples,
            batch=batch_size(n_clusters),
            method="percentile",
            rng=np.random.default_rng(seed),
        )
    low, high = np.nanpercentile(result.bootstrap_distribution, _tails())
    return Correlation(r, float(low), float(high), len(a))


def r_of_moments(*moments: Float[np.ndarray, "*batch cluster"], axis: int) -> Any:
    """Pearson's r from the sums n, x, y, xx, yy, xy of clusters, added up along `axis`; NaN where one is constant."""
    n, x, y, xx, yy, xy = (m.sum(axis=axis) for m in moments)
    var_x, var_y = xx - x * x / n, yy - y * y / n
    defined = (var_x > 1e-12 * xx) & (var_y > 1e-12 * yy)
    scale = np.sqrt(np.where(defined, var_x * var_y, np.nan))
    return np.clip((xy - x * y / n) / scale, -1, 1)


def _pearson(x: RowValues, y: RowValues) -> float:
    if x.shape != y.shape or x.ndim != 1 or len(x) < _MIN_ROWS or not np.isfinite(x + y).all():
        raise DataError(
            f"Cannot correlate arrays of shapes {x.shape} and {y.shape}.",
            f"They must be (row,) with at least {_MIN_ROWS} rows, all finite.",
            "Pass one value per row; in a split half every task must be compared in both halves.",
        )
    if min(np.ptp(x), np.ptp(y)) <= 1e-12 * max(1e-300, np.abs(x).max(), np.abs(y).max()):
        raise DataError(
            f"One of two variables is constant over {len(x)} rows (x {x.min():.6g} to {x.max():.6g}, "
            f"y {y.min():.6g} to {y.max():.6g}).",
            "A correlation with a constant is not defined.",
            "Check that the answers depend on the item or task at all.",
        )
    return float(stats.pearsonr(x, y).statistic)


def _codes(labels: Shaped[np.ndarray, " row"]) -> tuple[int, Int[np.ndarray, " row"]]:
    unique, codes = np.unique(labels, return_inverse=True)
    return len(unique), codes


def _tails() -> tuple[float, float]:
    tail = 50 * (1 - CONFIDENCE)
    return tail, 100 - tail


def _stepped_up(r: float, k: float) -> float:
    """Reliability where errors have 1 / k of the variance: k r / (1 + (k - 1) |r|), odd for negative values."""
    return float(k * r / (1 + (k - 1) * abs(r)))
