"""Bootstrap intervals that the score tables share: of weighted stratum means, and over clusters of near duplicates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy import stats

CONFIDENCE = 0.95
_BATCH_NUMBERS = 2_000_000


def means_interval(
    strata: Sequence[Float[np.ndarray, " _"]], coefficients: Sequence[float], *, n_resamples: int, seed: int
) -> tuple[float | None, float | None]:
    """95 % percentile interval of sum_s coefficient_s * mean(stratum_s), rows resampled within each stratum.

    `scipy.stats.bootstrap` (Efron & Tibshirani 1993, ch. 13) with bounded memory. Percentile intervals are too
    narrow on few rows: with 4 per stratum expect about 85 % coverage.

    Args:
        strata: samples, each of shape (row,); lengths may differ.
        coefficients: one for each stratum.
        n_resamples: number of bootstrap resamples.
        seed: of the resampling; equal seeds and lengths give equal resamples, so one group's interval does not
            depend on which other groups were computed.

    Returns:
        (low, high), or (None, None) when a stratum has fewer than two rows, whose spread cannot be seen.
    """
    if min(len(stratum) for stratum in strata) < 2:
        return None, None

    def statistic(*samples: Float[np.ndarray, "*batch _"], axis: int) -> Any:
        return sum(c * sample.mean(axis=axis) for c, sample in zip(coefficients, samples, strict=True))

    result = stats.bootstrap(
        tuple(strata),
        statistic,
        n_resamples=n_resamples,
        batch=batch_size(sum(len(stratum) for stratum in strata)),
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def batch_size(n_rows: int) -> int:
    """How many resamples of `n_rows` rows to hold at once (about 16 MB)."""
    return max(1, _BATCH_NUMBERS // max(1, n_rows))


def resampled_means(
    values: Float[np.ndarray, "item column"],
    cells: Int[np.ndarray, " item"],
    clusters: Shaped[np.ndarray, " item"],
    *,
    n_resamples: int,
    seed: int,
    within: bool = True,
) -> Float[np.ndarray, "resample cell column"]:
    """Mean of each cell and column in each resample of a cluster bootstrap.

    Clusters are resampled among those of the same cell, then the items of each drawn cluster within it (Davison &
    Hinkley 1997, section 3.8, both stages with replacement). Columns share the resamples, so that differences and
    regressions between them are paired. `scipy.stats.bootstrap` has no second stage and no clusters that lie in
    several cells; for clusters of one item this is its resampling.

    Args:
        values: shape (item, column).
        cells: stratum of each item (facet x key), 0 .. n_cells - 1. A cluster that lies in several cells is drawn as
            a whole, among the clusters of the cell where most of it lies.
        clusters: label of each item's cluster; a label of its own for an item that has no near duplicate.
        n_resamples: number of resamples.
        seed: of the resampling; equal seeds and structure give equal resamples.
        within: False keeps the items of a drawn cluster as they are. Resampling them too is cautious: with clusters of
            m items it adds (m - 1) / m^2 of the variance inside clusters to that of a cluster's mean.

    Returns:
        Shape (resample, cell, column); NaN where no item of a cell was drawn, which only a cell without any cluster
        of its own can meet.
    """
    means = np.empty((n_resamples, int(cells.max()) + 1, values.shape[1]))
    start = 0
    for weights in resampled_weights(cells, clusters, n_resamples=n_resamples, seed=seed, within=within):
        means[start : start + len(weights)] = cell_means(weights, values, cells)
        start += len(weights)
    return means


def resampled_weights(
    cells: Int[np.ndarray, " item"],
    clusters: Shaped[np.ndarray, " item"],
    *,
    n_resamples: int,
    seed: int,
    within: bool = True,
    held: int = 1,
) -> Iterator[Float[np.ndarray, "draw item"]]:
    """How often each item occurs in each resample of the bootstrap of `resampled_means`, in batches.

    Args:
        cells: as there.
        clusters: as there.
        n_resamples: as there.
        seed: as there; batches of another size draw other resamples.
        within: as there.
        held: how many arrays of the shape of a batch the caller makes of it, for smaller batches.
    """
    design = _Design.of(cells, clusters)
    rng = np.random.default_rng(seed)
    step = batch_size(4 * len(cells) * held)
    for start in range(0, n_resamples, step):
        yield design.draw(rng, min(step, n_resamples - start), within)


def cell_means(
    weights: Float[np.ndarray, "draw item"], values: Float[np.ndarray, "item column"], cells: Int[np.ndarray, " item"]
) -> Float[np.ndarray, "draw cell column"]:
    """Weighted mean of each cell and column under each draw's weights; NaN where a cell has no weight."""
    member = np.eye(int(cells.max()) + 1)[cells]
    totals = weights @ member
    sums = weights @ (member[:, :, None] * values[:, None, :]).reshape(len(cells), -1)
    shape = (len(weights), member.shape[1], values.shape[1])
    return np.asarray(sums.reshape(shape) / np.where(totals > 0, totals, np.nan)[:, :, None])


def clusters_by_cell(
    cells: Int[np.ndarray, " item"], clusters: Shaped[np.ndarray, " item"]
) -> Int[np.ndarray, " cell"]:
    """In how many clusters the items of each cell lie; below two, the cell's spread cannot be seen."""
    pairs = np.unique(np.column_stack([cells, np.unique(clusters, return_inverse=True)[1]]), axis=0)
    return np.bincount(pairs[:, 0])


def percentile_interval(
    estimates: Float[np.ndarray, " resample"], confidence: float = CONFIDENCE
) -> tuple[float | None, float | None]:
    """Percentile interval of bootstrap estimates; undefined resamples (NaN) are left out, none at all gives None."""
    defined = estimates[~np.isnan(estimates)]
    if not len(defined):
        return None, None
    tail = 50 * (1 - confidence)
    low, high = np.percentile(defined, [tail, 100 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class _Design:
    """Items in order of cluster and cell. A part is the share of a cluster that lies in one cell."""

    n_cells: int
    order: Int[np.ndarray, " item"]
    part_start: Int[np.ndarray, " item"]
    part_size: Int[np.ndarray, " item"]
    start: Int[np.ndarray, " cluster"]
    size: Int[np.ndarray, " cluster"]
    strata: tuple[Int[np.ndarray, " _"], ...]

    @classmethod
    def of(cls, cells: Int[np.ndarray, " item"], labels: Shaped[np.ndarray, " item"]) -> _Design:
        cluster = np.unique(labels, return_inverse=True)[1]
        n_cells, size = int(cells.max()) + 1, np.bincount(cluster)
        order = np.lexsort((cells, cluster))
        _, part, part_sizes = np.unique(
            cluster[order] * n_cells + cells[order], return_inverse=True, return_counts=True
        )
        part_starts = np.cumsum(part_sizes) - part_sizes
        home = np.bincount(cluster * n_cells + cells, minlength=len(size) * n_cells).reshape(-1, n_cells).argmax(axis=1)
        strata = tuple(np.flatnonzero(home == cell) for cell in np.unique(home))
        return cls(n_cells, order, part_starts[part], part_sizes[part], np.cumsum(size) - size, size, strata)

    def draw(self, rng: np.random.Generator, n: int, within: bool) -> Float[np.ndarray, "draw item"]:
        """How often each item occurs in each of n resamples."""
        drawn = np.concatenate([ids[rng.integers(len(ids), size=(n, len(ids)))] for ids in self.strata], axis=1)
        n_items, sizes, occurrences = len(self.order), self.size[drawn], []
        for place in range(int(self.size.max())):
            row, column = np.nonzero(sizes > place)
            item = self.start[drawn[row, column]] + place
            if within and self.part_size.max() > 1:
                item = self.part_start[item] + rng.integers(self.part_size[item])
            occurrences.append(row * n_items + self.order[item])
        counts = np.bincount(np.concatenate(occurrences), minlength=n * n_items)
        return counts.reshape(n, n_items).astype(np.float64)
