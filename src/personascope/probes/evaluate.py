"""Evaluate ridge probes: cross-validated, with interval and controls, many targets at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from personascope.errors import ActivationError, DataError
from personascope.probes.bootstrap import (
    N_RESAMPLES,
    cluster_sums,
    draw_counts,
    percentile_interval,
    resampled_correlations,
)
from personascope.probes.controls import Controls, permutations, random_directions
from personascope.probes.folds import fold_numbers, grouped_folds
from personascope.probes.nested import nested_ridge
from personascope.probes.results import ProbeResult
from personascope.probes.ridge import DEFAULT_ALPHAS, RidgeProbe
from personascope.shapes import Features, RowValues, Targets, Vector


def evaluate_ridge(
    X: Features,
    Y: Targets,
    *,
    names: Sequence[str],
    groups: Shaped[np.ndarray, " row"],
    texts_predictions: Targets,
    persona: str,
    position: str,
    layer: int,
    n_folds: int = 4,
    n_shuffles: int = 20,
    n_directions: int = 20,
    seed: int = 0,
    shuffle_groups: bool = False,
    n_resamples: int = N_RESAMPLES,
    alphas: Sequence[float] = DEFAULT_ALPHAS,
) -> list[ProbeResult]:
    """How well ridge probes read each target from the residual stream at one layer and position.

    Every row is predicted by a probe that was trained on other groups and whose penalty was chosen on those (see
    `nested`). The value is Pearson's r between pooled out-of-fold prediction and target, 0 where the prediction does
    not vary; the interval is a percentile bootstrap over groups. Shuffled targets go through exactly the same steps,
    as further targets of the same decompositions.

    Args:
        X: residual stream, shape (row, d_model).
        Y: targets, shape (row, target).
        names: name of each target.
        groups: group of each row (item, facet, topic): what must not be on both sides of a fold.
        texts_predictions: out-of-fold predictions of `text_baseline_scores`, shape (row, target).
        persona: whose activations; with `position` and `layer` copied into the results.
        position: name of the token position.
        layer: decoder block.
        n_folds: at least 3; the inner folds are the other outer ones.
        n_shuffles: permutations of the targets.
        n_directions: random directions.
        seed: of folds, shuffles, random directions and bootstrap.
        shuffle_groups: permute the values of whole groups, for targets that are constant within groups.
        n_resamples: bootstrap resamples.
        alphas: penalties to choose from.

    Returns:
        One result per target.

    Raises:
        DataError: shapes that do not fit, a target that does not vary or is not finite, too few groups, or
            `shuffle_groups` with a target that varies within a group.
        ActivationError: features that are not finite.
    """
    X, codes, n_groups = checked_rows(X, groups, len(Y))
    _check_targets(Y, names, texts_predictions)
    shuffles = permutations(codes, n_shuffles, seed, whole_groups=shuffle_groups)
    if shuffle_groups:
        require_constant_groups(Y, codes, names)
    everything = np.concatenate([Y[None], Y[shuffles]]).transpose(1, 0, 2).reshape(len(Y), -1)
    numbers = fold_numbers(grouped_folds(codes, n_folds, seed), len(Y))
    nested = nested_ridge(X, everything, numbers, alphas)
    r = column_correlations(nested.predictions, everything).reshape(1 + n_shuffles, -1)
    predictions, penalties = nested.predictions[:, : len(names)], np.median(nested.penalties[:, : len(names)], axis=0)
    counts = draw_counts(n_groups, n_resamples, seed)
    low, high = percentile_interval(resampled_correlations(predictions, Y, codes, counts))
    within = _within_groups(predictions, Y, codes)
    directions = X @ random_directions(X.shape[1], n_directions, seed=[seed, 2, layer])
    random = np.abs(_standardised(directions).T @ _standardised(Y))
    text = column_correlations(texts_predictions, Y)
    return [
        ProbeResult(
            target=name,
            kind="ridge",
            persona=persona,
            position=position,
            layer=layer,
            metric="r",
            value=float(r[0, t]),
            low=float(low[t]),
            high=float(high[t]),
            n=len(Y),
            n_groups=n_groups,
            penalty=float(penalties[t]),
            within_group=within[t],
            controls=Controls.measured(r[0, t], shuffled=r[1:, t], directions=random[:, t], text=text[t]),
        )
        for t, name in enumerate(names)
    ]


def fit_direction_weights(X: Features, y: RowValues, groups: Any, *, seed: int = 0) -> Vector:
    """Weights (d_model,) of a ridge probe on all rows, for features as they came: the vector of a `Direction`.

    No value may be reported on these rows; evaluation is `evaluate_ridge`.

    Raises:
        DataError: too few groups.
    """
    return np.asarray(RidgeProbe(seed=seed).fit(X, y, groups=groups).coef_)


def checked_rows(
    X: Features, groups: Any, n_rows: int
) -> tuple[Float[np.ndarray, "row d_model"], Int[np.ndarray, " row"], int]:
    """The features in float64, the groups numbered from 0, and how many they are.

    Raises:
        DataError: different numbers of rows.
        ActivationError: features that are not finite, with the first such row.
    """
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    if not len(X) == len(codes) == n_rows:
        raise DataError(f"{len(X)} rows of features, {len(codes)} groups and {n_rows} targets.", "", "Align the rows.")
    X = X.astype(np.float64)
    if not np.isfinite(X).all():
        row = int(np.argmin(np.isfinite(X).all(axis=1)))
        raise ActivationError(
            f"Features of row {row} of {len(X)} are not finite.", "The model overflowed.", "Use float32 or bfloat16."
        )
    return X, codes, len(names)


def column_correlations(x: Targets, y: Targets) -> Float[np.ndarray, " target"]:
    """Pearson r of each column of `x` with that of `y`, 0 where one does not vary."""
    return np.asarray(np.einsum("ij,ij->j", _standardised(x), _standardised(y)))


def _standardised(x: Targets) -> Targets:
    """Columns centred and of length 1, or zero where they do not vary beyond rounding."""
    centred = x - x.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    varies = length > 1e-12 * np.linalg.norm(x, axis=0)
    return np.asarray(centred * np.where(varies, 1.0 / np.where(varies, length, 1.0), 0.0))


def _within_groups(x: Targets, y: Targets, codes: Int[np.ndarray, " row"]) -> list[float | None]:
    """Correlation after removing group means from both, or None where the target does not vary within groups."""
    sizes = np.bincount(codes)[:, None]
    x = x - (cluster_sums(x, codes) / sizes)[codes]
    rest = y - (cluster_sums(y, codes) / sizes)[codes]
    constant = np.abs(rest).max(axis=0) <= 1e-12 * np.abs(y).max(axis=0)
    r = column_correlations(x, rest)
    return [None if constant[t] else float(r[t]) for t in range(y.shape[1])]


def _check_targets(Y: Targets, names: Sequence[str], texts_predictions: Targets) -> None:
    if Y.shape[1] != len(names) or texts_predictions.shape != Y.shape:
        raise DataError(
            f"{len(names)} names, targets {Y.shape} and text predictions {texts_predictions.shape}.",
            "There must be one name and one column of text predictions per target.",
            "Make them with text_baseline_scores on the same rows.",
        )
    for name, column, text in zip(names, Y.T, texts_predictions.T, strict=True):
        if not np.isfinite(column).all() or not np.isfinite(text).all() or np.ptp(column) == 0:
            raise DataError(
                f"Target {name!r} does not vary, or it or its text baseline is not finite, over {len(column)} rows.",
                "A correlation needs spread and numbers.",
                "Drop the target or the rows without a value.",
            )


def require_constant_groups(
    Y: Shaped[np.ndarray, "row target"], codes: Int[np.ndarray, " row"], names: Sequence[str]
) -> None:
    """Raise DataError where a target has two values in one group."""
    first_row = np.unique(codes, return_index=True)[1]
    moved = (Y[first_row][codes] != Y).any(axis=0)
    if moved.any():
        raise DataError(
            f"Target {names[int(np.argmax(moved))]!r} varies within a group.",
            "Shuffling whole groups is for targets with one value per group.",
            "Pass shuffle_groups=False, or group by what has one value.",
        )
