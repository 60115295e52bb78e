"""Does a direction read preference, or which persona is speaking? Personas compared where their choices agree.

For personas a and b and the same task, a direction gives scores s_a and s_b on their activations. Over tasks, scores
along a direction that reads preference differ as the utilities do, r(s_a - s_b, u_a - u_b) > 0, and on tasks that both
like equally (matched) their mean difference, the offset, is 0. A direction that tells the personas apart does the
opposite: a large offset on matched tasks, and differences that do not follow the utilities.

Correlating differences over tasks is already blind to anything constant between the two personas, so r does not depend
on how tasks are matched; the offset is where identity would show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from personascope.errors import DataError
from personascope.probes.bootstrap import cluster_sums, percentile_interval, resampled_correlations
from personascope.probes.evaluate import column_correlations
from personascope.probes.geometry import persona_identity_directions
from personascope.probes.nested import nested_ridge
from personascope.probes.persona_rows import PersonaRows, aligned_rows
from personascope.probes.ridge import DEFAULT_ALPHAS
from personascope.probes.transfer import TransferMatrix
from personascope.shapes import Features

_SCHEMA = {
    "first": pl.String,
    "second": pl.String,
    "direction": pl.String,
    "layer": pl.Int64,
    "position": pl.String,
    **dict.fromkeys(("r", "low", "high", "offset", "offset_low", "offset_high"), pl.Float64),
    **dict.fromkeys(("n_matched", "n", "n_groups"), pl.Int64),
}

_Scores = Float[np.ndarray, "task persona"]


def matched_choices(
    matrix: TransferMatrix,
    features: Mapping[str, Features],
    *,
    threshold: float = 0.25,
    quantile: float | None = None,
    alphas: Sequence[float] = DEFAULT_ALPHAS,
) -> pl.DataFrame:
    """Compare preference probes with persona identity on each pair of personas.

    Directions, each applied to tasks of folds that it was not made from:

    - "preference": a ridge probe on the pooled rows of both personas;
    - "preference of first", "preference of second": the probes of the matrix, on their own persona and the other. The
      pooled probe has seen both personas with mean utility 0, which by itself pulls its offset to 0; these have not;
    - "identity": mean activation of the first minus that of the second (`geometry.persona_identity_directions`).

    Utilities are centred for each persona, as their zero means nothing across personas. Tasks are matched where
    |u_a - u_b| is less than `threshold` pooled standard deviations of u, or among the `quantile` smallest. The offset
    is the mean of s_a - s_b over matched tasks, in pooled standard deviations of the scores within persona over all
    tasks (a d). Noise in the utilities leaves matched tasks that are not quite alike, on either side.

    Args:
        matrix: of `transfer_matrix`; its folds, resamples and predictions are used.
        features: the residual streams (task, d_model) that it was made from.
        threshold: in pooled standard deviations of the utilities.
        quantile: share of tasks, in (0, 1], in place of the threshold.
        alphas: penalties of the pooled probe to choose from.

    Returns:
        One row per unordered pair and direction: first, second, direction, layer, position; r over all n tasks and
        offset over n_matched tasks, both with 95 % intervals over groups of tasks; n, n_groups. r is null where the
        utilities do not differ, the offset where no task is matched or scores do not vary.

    Raises:
        DataError: fewer than two personas, features of other personas or tasks, or a threshold or quantile out of
            range.
        ActivationError: features that are not finite.
    """
    if not threshold > 0 or (quantile is not None and not 0 < quantile <= 1):
        raise DataError(
            f"Threshold {threshold} and quantile {quantile}.", "No task could match.", "Use 0.25, or a share of tasks."
        )
    rows = _rows(matrix, features)
    found: list[dict[str, Any]] = []
    for first, second in combinations(range(len(rows.personas)), 2):
        pair = [first, second]
        u = rows.U[:, pair] - rows.U[:, pair].mean(axis=0)
        gap = np.abs(u[:, 0] - u[:, 1])
        limit = threshold * np.sqrt(u.var(axis=0).mean())
        matched = gap < limit if quantile is None else gap <= np.quantile(gap, quantile)
        names = {"first": rows.personas[first], "second": rows.personas[second]}
        place = {"layer": matrix.layer, "position": matrix.position}
        sizes = {"n_matched": int(matched.sum()), "n": matrix.n, "n_groups": matrix.n_groups}
        for direction, scores in _directions(matrix, rows, first, second, alphas):
            numbers = _following(matrix, scores, u) | _offset(matrix, scores, matched)
            found.append(names | {"direction": direction} | place | numbers | sizes)
    return pl.DataFrame(found, schema=_SCHEMA).with_columns(pl.col(pl.Float64).fill_nan(None))


def _directions(
    matrix: TransferMatrix, rows: PersonaRows, first: int, second: int, alphas: Sequence[float]
) -> Iterator[tuple[str, _Scores]]:
    """Out-of-fold scores (task, persona) of the two personas along each direction."""
    pair = [first, second]
    pooled = np.concatenate([rows.X[first], rows.X[second]])
    u = np.concatenate([rows.U[:, first], rows.U[:, second]])[:, None]
    both = nested_ridge(pooled, u, np.tile(matrix.folds, 2), alphas).predictions
    yield "preference", both.reshape(2, -1).T
    yield "preference of first", matrix.predictions[:, first, pair]
    yield "preference of second", matrix.predictions[:, second, pair]
    scores = np.empty((matrix.n, 2))
    for fold in range(int(matrix.folds.max()) + 1):
        test = matrix.folds == fold
        seen = {rows.personas[p]: rows.X[p][~test] for p in pair}
        along = persona_identity_directions(seen)[rows.personas[first]]
        # a centre for each fold, as a probe has: its direction differs a little, and rows lie far from zero
        middle = np.mean([own.mean(axis=0) for own in seen.values()], axis=0)
        scores[test] = np.stack([(rows.X[p][test] - middle) @ along for p in pair], axis=1)
    yield "identity", scores


def _following(matrix: TransferMatrix, scores: _Scores, u: _Scores) -> dict[str, float | None]:
    """Correlation of the differences, with interval."""
    x, y = (values[:, :1] - values[:, 1:] for values in (scores, u))
    if np.abs(y).max() <= 1e-12 * np.abs(u).max():
        return {"r": None, "low": None, "high": None}
    low, high = percentile_interval(resampled_correlations(x, y, matrix.codes, matrix.counts()))
    return {"r": float(column_correlations(x, y)[0]), "low": float(low[0]), "high": float(high[0])}


def _offset(matrix: TransferMatrix, scores: _Scores, matched: Bool[np.ndarray, " task"]) -> dict[str, float]:
    """Mean difference on matched tasks by the pooled standard deviation of scores, with interval; NaN if undefined."""
    centred = scores - scores.mean(axis=0)
    difference = np.where(matched, scores[:, 0] - scores[:, 1], 0.0)
    columns = np.column_stack([np.ones(len(scores)), matched, difference, centred, centred**2])
    sums = cluster_sums(columns, matrix.codes)
    every = np.concatenate([sums.sum(axis=0)[None], matrix.counts() @ sums])
    n, n_matched, total, mean, square = every[:, 0], every[:, 1], every[:, 2], every[:, 3:5], every[:, 5:7]
    variance = (square / n[:, None] - (mean / n[:, None]) ** 2).mean(axis=1)
    floor = 1e-24 * float((scores**2).mean())
    with np.errstate(invalid="ignore", divide="ignore"):
        offsets = np.where(variance > floor, total / n_matched / np.sqrt(np.maximum(variance, floor)), np.nan)
    low, high = percentile_interval(offsets[1:]) if np.isfinite(offsets[0]) else (np.nan, np.nan)
    return {"offset": float(offsets[0]), "offset_low": float(low), "offset_high": float(high)}


def _rows(matrix: TransferMatrix, features: Mapping[str, Features]) -> PersonaRows:
    """The features in the order of the matrix."""
    if len(matrix.personas) < 2 or set(features) != set(matrix.personas):
        raise DataError(
            f"Features of {sorted(features)} for a matrix of {sorted(matrix.personas)}.",
            "Pairs of personas are compared, each with its features.",
            "Pass the features that the matrix was made from, of at least two personas.",
        )
    utilities = dict(zip(matrix.personas, matrix.utilities.T, strict=True))
    return aligned_rows({name: features[name] for name in matrix.personas}, utilities, matrix.codes)
