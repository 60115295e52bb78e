"""Transitivity: how often three tasks are preferred in a circle, against a scale's and a coin's expectation.

For tasks i, j, k with all three pairs asked and P_ij the share of answers to the pair that chose i, in whatever order
it was shown, independent answers to the three pairs run in a circle with probability

    P_ij P_jk P_ki + P_ji P_kj P_ik,

0 for hard choices that fit a ranking, 1/4 for coins (Kendall & Babington Smith 1940). The same of the fitted
probabilities, order term included, is what utilities would give; choices that circle more often have no scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy.special import expit, ndtr

from personascope.errors import DataError
from personascope.measures.intervals import percentile_interval
from personascope.measures.outcomes import Outcomes
from personascope.measures.utilities import Link, Utilities

CHANCE = 0.25
_ENUMERATED = 2_000_000
"""Up to this many paths i - j - k all are looked at; of more, so many are drawn."""
_BATCH_NUMBERS = 4_000_000

Triads = Int[np.ndarray, "triad 3"]


@dataclass(frozen=True)
class Transitivity:
    """Circular triads among the observed ones. Intervals: 95 % percentile bootstrap over tasks.

    Args:
        cyclic: mean probability that independent answers to the three pairs run in a circle.
        low: of the interval of `cyclic`; None where it cannot be seen.
        high: likewise.
        expected: the same under the fitted utilities; coins give `CHANCE`, 0.25.
        excess: `cyclic` - `expected`: what the scale does not explain. The fit saw these choices, so on few
            comparisons per task `expected` leans toward `cyclic`.
        excess_low: of its interval.
        excess_high: likewise.
        majority: share of triads whose majority choices run in a circle, among those without a tied pair; None
            when there are none.
        n_triads: triads looked at, and `n_tied` those of them with a tied pair.
        n_tied: see there.
        sampled: whether these are a uniform sample of the observed triads.
    """

    cyclic: float
    low: float | None
    high: float | None
    expected: float
    excess: float
    excess_low: float | None
    excess_high: float | None
    majority: float | None
    n_triads: int
    n_tied: int
    sampled: bool

    def frame(self) -> pl.DataFrame:
        """One row with the fields as columns."""
        schema = dict.fromkeys(("low", "high", "excess_low", "excess_high", "majority"), pl.Float64)
        return pl.DataFrame([vars(self)], schema_overrides=schema)


def transitivity(
    outcomes: Outcomes,
    utilities: Utilities,
    *,
    link: Link = "logistic",
    max_triads: int = 100_000,
    n_resamples: int = 1_000,
    seed: int = 0,
) -> Transitivity:
    """Circular triads of choices, hard or soft; all of them when few, a uniform sample when many.

    Args:
        outcomes: choices; refusals have no part in them.
        utilities: fitted on them, all tasks of the pool.
        link: of that fit.
        max_triads: at most so many are looked at.
        n_resamples: bootstrap resamples of the tasks; 0 for none. A triad counts as often as the product of its
            tasks' draws, which is cautious.
        seed: of the sample of triads and the bootstrap.

    Raises:
        DataError: no three tasks of which all pairs were answered, or a task without utility.
    """
    n_tasks, used = len(utilities.values), outcomes.weights > 0
    first, second, weights = outcomes.first[used], outcomes.second[used], outcomes.weights[used]
    if used.any() and (min(first.min(), second.min()) < 0 or max(first.max(), second.max()) >= n_tasks):
        raise DataError(
            f"Choices name task {max(first.max(), second.max())}, but there are {n_tasks} utilities.",
            "Utilities and choices are not of the same pool.",
            "Pass the utilities that were fitted on these choices.",
        )
    margin = utilities.values[first] - utilities.values[second] + utilities.order_bias
    fitted = expit(margin) if link == "logistic" else ndtr(margin)
    low_first, a, b = first < second, np.minimum(first, second), np.maximum(first, second)
    codes, pair = np.unique(a.astype(np.int64) * n_tasks + b, return_inverse=True)
    total = np.bincount(pair, weights=weights)
    shares = [
        np.bincount(pair, weights=weights * np.where(low_first, p, 1 - p)) / total
        for p in (outcomes.p_first[used], fitted)
    ]
    rng = np.random.default_rng(seed)
    triads, sampled = _triads(codes, n_tasks, max_triads, rng)
    if not len(triads):
        raise DataError(
            f"No three tasks of which all pairs were answered, among {len(codes)} pairs of {n_tasks} tasks.",
            "Circles need closed triangles, and sparse designs have few.",
            "Ask more pairs of fewer tasks.",
        )
    sides = np.searchsorted(codes, triads[:, [0, 1, 0]] * n_tasks + triads[:, [1, 2, 2]])
    observed, expected = (_circle(share[sides]) for share in shares)
    majority = np.where(shares[0] == 0.5, np.nan, (shares[0] > 0.5).astype(np.float64))[sides]
    tied = np.isnan(majority).any(axis=1)
    resampled = _resampled(triads, np.stack([observed, observed - expected], axis=1), n_resamples, rng)
    low, high = percentile_interval(resampled[:, 0])
    excess_low, excess_high = percentile_interval(resampled[:, 1])
    return Transitivity(
        cyclic=float(observed.mean()),
        low=low,
        high=high,
        expected=float(expected.mean()),
        excess=float((observed - expected).mean()),
        excess_low=excess_low,
        excess_high=excess_high,
        majority=float(_circle(majority[~tied]).mean()) if not tied.all() else None,
        n_triads=len(triads),
        n_tied=int(tied.sum()),
        sampled=sampled,
    )


def _circle(p: Float[np.ndarray, "triad 3"]) -> Float[np.ndarray, " triad"]:
    """Probability of a circle from P_ij, P_jk, P_ik (the columns), i < j < k."""
    ij, jk, ik = p.T
    return np.asarray(ij * jk * (1 - ik) + (1 - ij) * (1 - jk) * ik)


def _triads(
    codes: Int[np.ndarray, " pair"], n_tasks: int, max_triads: int, rng: np.random.Generator
) -> tuple[Triads, bool]:
    """Triads i < j < k of which all pairs are in `codes` (sorted i * n_tasks + j), and whether they are a sample.

    Each triad is one path i - j - k through its middle task, so that paths drawn uniformly give triads uniformly.
    """
    low, high = np.divmod(codes, n_tasks)
    by_high = np.argsort(high, kind="stable")
    below, above = np.bincount(high, minlength=n_tasks), np.bincount(low, minlength=n_tasks)
    start_below, start_above = np.cumsum(below) - below, np.cumsum(above) - above
    paths = below * above
    ends, n_paths = np.cumsum(paths), int(paths.sum())
    sampled = n_paths > _ENUMERATED
    # many paths: distinct ones in effect, since draws are far fewer than paths and doubles are dropped below
    path = np.unique(rng.integers(n_paths, size=_ENUMERATED)) if sampled else np.arange(n_paths)
    middle = np.searchsorted(ends, path, "right")
    place = path - (ends - paths)[middle]
    i = low[by_high[start_below[middle] + place // np.maximum(above[middle], 1)]]
    k = high[start_above[middle] + place % np.maximum(above[middle], 1)]
    triads = np.stack([i, middle, k], axis=1)[np.isin(i * n_tasks + k, codes)]
    if len(triads) > max_triads:
        kept = rng.choice(len(triads), size=max_triads, replace=False)
        return triads[np.sort(kept)], True
    return triads, sampled


def _resampled(
    triads: Triads, values: Float[np.ndarray, "triad column"], n_resamples: int, rng: np.random.Generator
) -> Float[np.ndarray, "resample column"]:
    """Means over triads in resamples of the tasks; NaN where none was drawn."""
    means = np.full((n_resamples, values.shape[1]), np.nan)
    tasks, place = np.unique(triads, return_inverse=True)
    place = place.reshape(triads.shape)
    if len(triads) < 2:
        return means  # one triad shows no spread
    step = max(1, _BATCH_NUMBERS // max(len(triads), len(tasks)))
    for start in range(0, n_resamples, step):
        size = min(step, n_resamples - start)
        drawn = rng.integers(len(tasks), size=(size, len(tasks))) + len(tasks) * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * len(tasks)).reshape(size, len(tasks)).astype(np.float32)
        weights = counts[:, place[:, 0]] * counts[:, place[:, 1]] * counts[:, place[:, 2]]
        total = weights.sum(axis=1, dtype=np.float64)
        means[start : start + size] = (weights @ values) / np.where(total > 0, total, np.nan)[:, None]
    return means
