"""Predictions scored over all rows, inside each group, and on average over groups, with intervals.

Numbers come in one order: pooled, mean over groups, mean weighted by rows, within groups, then each group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from personascope.probes.bootstrap import draw_counts, percentile_interval, resampled_correlations
from personascope.probes.evaluate import column_correlations
from personascope.shapes import Targets

_FEWEST = 3


@dataclass(frozen=True, eq=False)
class Summary:
    """Numbers of all columns, and intervals of the first.

    Args:
        values: (number, column), NaN where undefined.
        low: (number,) of the 95 % percentile bootstrap, with `high`; NaN without resamples.
        high: see `low`.
        n: rows behind each number.
        n_groups: groups behind each number.
    """

    values: Float[np.ndarray, "number column"]
    low: Float[np.ndarray, " number"]
    high: Float[np.ndarray, " number"]
    n: Int[np.ndarray, " number"]
    n_groups: Int[np.ndarray, " number"]


def correlation_summary(
    predictions: Targets, truth: Targets, codes: Int[np.ndarray, " row"], n_resamples: int, seed: int
) -> Summary:
    """Pearson r; a group of fewer than three rows, or whose target does not vary, has none and is left out of means."""
    members = _members(codes)
    centred = [values - _means(values, codes) for values in (predictions, truth)]
    per_group = np.array([_r(predictions[rows], truth[rows]) for rows in members])
    pooled, within = column_correlations(predictions, truth), column_correlations(*centred)
    within[~centred[1].any(axis=0)] = np.nan
    if not n_resamples:
        return _summary(pooled, within, per_group, members, None)
    counts = draw_counts(len(members), n_resamples, seed)
    x, y, centred_x, centred_y = (values[:, :1] for values in (predictions, truth, *centred))
    drawn = [
        resampled_correlations(x, y, codes, counts)[:, 0],
        *_resampled_means(per_group[:, 0], members, counts),
        resampled_correlations(centred_x, centred_y, codes, counts)[:, 0],
    ]
    for number, rows in enumerate(members):
        if np.isnan(per_group[number, 0]):
            drawn.append(np.full(n_resamples, np.nan))
            continue
        own = draw_counts(len(rows), n_resamples, seed)
        drawn.append(resampled_correlations(x[rows], y[rows], np.arange(len(rows)), own)[:, 0])
    return _summary(pooled, within, per_group, members, np.array(drawn))


def accuracy_summary(
    predictions: Targets, truth: Targets, codes: Int[np.ndarray, " row"], n_resamples: int, seed: int
) -> Summary:
    """Share of pairs of rows whose predicted difference has the sign of the true one.

    Pairs with equal targets do not count, equal predictions count half. "within groups" is over all pairs within
    groups. Pairs are resampled through their rows or groups: as often as both were drawn, multiplied (once if both lie
    in one group), as in `evaluate_choices`.
    """
    members, n_columns = _members(codes), truth.shape[1]
    per_group, pooled, within = np.empty((len(members), n_columns)), np.empty(n_columns), np.empty(n_columns)
    blocks: list[tuple[np.ndarray, np.ndarray]] = []
    for column in range(n_columns):
        right, counted = _pairs(predictions[:, column], truth[:, column])
        by_group = [_summed(matrix, codes) for matrix in (right, counted)]
        diagonals = [matrix.diagonal() for matrix in by_group]
        per_group[:, column] = _share(*diagonals)
        pooled[column] = _share(by_group[0].sum(), by_group[1].sum())
        within[column] = _share(diagonals[0].sum(), diagonals[1].sum())
        if not column:
            whole = by_group
            blocks = [(right[np.ix_(rows, rows)], counted[np.ix_(rows, rows)]) for rows in members]
    per_group[[len(rows) < _FEWEST for rows in members]] = np.nan
    if not n_resamples:
        return _summary(pooled, within, per_group, members, None)
    counts = draw_counts(len(members), n_resamples, seed)
    inside = [matrix.diagonal() for matrix in whole]
    # pairs of different groups by products of counts, those of one group by its count
    between = [_quadratic(matrix - np.diag(matrix.diagonal()), counts) for matrix in whole]
    drawn = [
        _share(*(across + counts @ own for across, own in zip(between, inside, strict=True))),
        *_resampled_means(per_group[:, 0], members, counts),
        _share(*(counts @ own for own in inside)),
    ]
    for right, counted in blocks:
        own_counts = draw_counts(len(right), n_resamples, seed)
        drawn.append(_share(_quadratic(right, own_counts), _quadratic(counted, own_counts)))
    return _summary(pooled, within, per_group, members, np.array(drawn))


def _summary(
    pooled: np.ndarray,
    within: np.ndarray,
    per_group: Float[np.ndarray, "group column"],
    members: list[np.ndarray],
    drawn: np.ndarray | None,
) -> Summary:
    sizes = np.array([len(rows) for rows in members])
    known = ~np.isnan(per_group)
    filled = np.where(known, per_group, 0.0)
    mean = _share(filled.sum(axis=0), known.sum(axis=0))
    weighted = _share(sizes @ filled, sizes @ known)
    values = np.concatenate([[pooled, mean, weighted, within], per_group])
    low, high = np.full((2, len(values)), np.nan) if drawn is None else percentile_interval(drawn.T)
    low, high = (np.where(np.isnan(values[:, 0]), np.nan, edge) for edge in (low, high))
    counted, n_known = int(sizes @ known[:, 0]), int(known[:, 0].sum())
    n = np.array([sizes.sum(), counted, counted, sizes.sum(), *sizes])
    n_groups = np.array([len(sizes), n_known, n_known, len(sizes), *np.ones(len(sizes), dtype=np.int64)])
    return Summary(values, low, high, n, n_groups)


def _resampled_means(
    per_group: Float[np.ndarray, " group"], members: list[np.ndarray], counts: Float[np.ndarray, "resample group"]
) -> list[np.ndarray]:
    """The unweighted and the weighted mean in every resample of groups."""
    known = (~np.isnan(per_group)).astype(np.float64)
    filled, sizes = np.nan_to_num(per_group), np.array([len(rows) for rows in members])
    return [_share(counts @ (weights * filled), counts @ (weights * known)) for weights in (np.ones(len(sizes)), sizes)]


def _pairs(prediction: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each pair (row, row) is right (0, 0.5 or 1), and whether it counts; each pair stands twice."""
    sign = np.sign(truth[:, None] - truth)
    counted = (sign != 0).astype(np.float64)
    return (0.5 + 0.5 * sign * np.sign(prediction[:, None] - prediction)) * counted, counted


def _summed(matrix: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Sums of a (row, row) matrix over the rows and columns of each two groups."""
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(int(codes.max()) + 1))
    return np.asarray(np.add.reduceat(np.add.reduceat(matrix[np.ix_(order, order)], starts, axis=0), starts, axis=1))


def _quadratic(matrix: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("bi,bi->b", counts @ matrix, counts))


def _share(part: np.ndarray | float, whole: np.ndarray | float) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(np.asarray(whole) > 0, np.asarray(part) / np.asarray(whole), np.nan))


def _r(x: Targets, y: Targets) -> np.ndarray:
    r = column_correlations(x, y)
    return np.where((len(x) >= _FEWEST) & (np.ptp(y, axis=0) > 0), r, np.nan)


def _means(values: Targets, codes: np.ndarray) -> Targets:
    members = _members(codes)
    return np.asarray(np.stack([values[rows].mean(axis=0) for rows in members])[codes])


def _members(codes: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(codes == group) for group in range(int(codes.max()) + 1)]
