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
from personascope.probes.controls import Controls, permutations, random_scores
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
    encoder_predictions: Targets | None = None,
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
        encoder_predictions: out-of-fold predictions of `feature_baseline_scores` on sentence embeddings, as
            `texts_predictions`; None where there is no encoder.

    Returns:
        One result per target.

    Raises:
        DataError: shapes that do not fit, a target that does not vary or is not finite, too few groups, or
            `shuffle_groups` with a target that varies within a group.
        ActivationError: features that are not finite.
    """
    X, codes, _ = checked_rows(X, groups, len(Y))
    texts = check_targets(Y, names, texts_predictions, encoder_predictions)
    shuffles = permutations(codes, n_shuffles, seed, whole_groups=shuffle_groups)
    if shuffle_groups:
        require_constant_groups(Y, codes, names)
    everything = np.concatenate([Y[None], Y[shuffles]]).transpose(1, 0, 2).reshape(len(Y), -1)
    numbers = fold_numbers(grouped_folds(codes, n_folds, seed), len(Y))
    nested = nested_ridge(X, everything, numbers, alphas)
    return scored_predictions(
        nested.predictions,
        everything,
        nested.penalties,
        X=X,
        names=names,
        groups=codes,
        means_of=codes,
        texts=texts,
        place=(persona, position, layer),
        n_directions=n_directions,
        n_resamples=n_resamples,
        seed=seed,
    )


def scored_predictions(
    predictions: Float[np.ndarray, "row column"],
    truth: Float[np.ndarray, "row column"],
    penalties: Float[np.ndarray, "fold column"],
    *,
    X: Features,
    names: Sequence[str],
    groups: Int[np.ndarray, " row"],
    means_of: Int[np.ndarray, " row"],
    texts: Sequence[Targets],
    place: tuple[str, str, int],
    n_directions: int,
    n_resamples: int,
    seed: int,
) -> list[ProbeResult]:
    """Out-of-fold predictions of the targets, and of their shuffled copies, as results with controls.

    Args:
        predictions: all targets, then all targets of the first shuffle, and so on.
        truth: what was predicted, in the same columns.
        penalties: chosen for each fold and column.
        X: the features that were read, each row as it was when tested, for random directions.
        names: of the targets.
        groups: numbered from 0; they are resampled for intervals.
        means_of: codes whose means are removed for `within_group`.
        texts: out-of-fold predictions of the text baseline and, where there is one, of the encoder's.
        place: persona, position and layer.
        n_directions: random directions of each kind.
        n_resamples: bootstrap resamples.
        seed: of random directions and bootstrap.
    """
    n_targets, n_groups = len(names), int(groups.max()) + 1
    r = column_correlations(predictions, truth).reshape(-1, n_targets)
    predictions, Y = predictions[:, :n_targets], truth[:, :n_targets]
    counts = draw_counts(n_groups, n_resamples, seed)
    resampled, *resampled_texts = (resampled_correlations(x, Y, groups, counts) for x in (predictions, *texts))
    low, high = percentile_interval(resampled)
    over_low, over_high = percentile_interval(over_best(resampled, resampled_texts))
    within = within_groups(predictions, Y, means_of)
    random = random_scores(X, n_directions, seed=seed, layer=place[2])
    isotropic, matched = (np.abs(_standardised(scores).T @ _standardised(Y)) for scores in random)
    by_text = [column_correlations(x, Y) for x in texts]
    return [
        ProbeResult(
            target=name,
            kind="ridge",
            persona=place[0],
            position=place[1],
            layer=place[2],
            metric="r",
            value=float(r[0, t]),
            low=float(low[t]),
            high=float(high[t]),
            n=len(Y),
            n_groups=n_groups,
            penalty=float(np.median(penalties[:, t])),
            within_group=within[t],
            controls=Controls.measured(
                r[0, t],
                shuffled=r[1:, t],
                directions=isotropic[:, t],
                matched=matched[:, t],
                text=by_text[0][t],
                encoder=by_text[1][t] if by_text[1:] else None,
            ),
            over_text_low=float(over_low[t]),
            over_text_high=float(over_high[t]),
        )
        for t, name in enumerate(names)
    ]


def over_best(
    resampled: Float[np.ndarray, "resample ..."],
    texts: Sequence[Float[np.ndarray, "resample ..."]],
    chance: float = 0.0,
) -> Float[np.ndarray, "resample ..."]:
    """The probe minus the best of the text baselines and chance, within each resample.

    Out-of-fold predictions of a useless baseline correlate below zero; to subtract that would credit the probe with it.
    """
    return np.asarray(resampled - np.maximum(np.max(np.nan_to_num(np.stack(list(texts))), axis=0), chance))


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


def within_groups(x: Targets, y: Targets, codes: Int[np.ndarray, " row"]) -> list[float | None]:
    """Correlation after removing group means from both, or None where the target does not vary within groups."""
    sizes = np.bincount(codes)[:, None]
    x = x - (cluster_sums(x, codes) / sizes)[codes]
    rest = y - (cluster_sums(y, codes) / sizes)[codes]
    constant = np.abs(rest).max(axis=0) <= 1e-12 * np.abs(y).max(axis=0)
    r = column_correlations(x, rest)
    return [None if constant[t] else float(r[t]) for t in range(y.shape[1])]


def check_targets(
    Y: Targets, names: Sequence[str], texts_predictions: Targets, encoder_predictions: Targets | None
) -> list[Targets]:
    """The text baselines that there are.

    Raises:
        DataError: shapes that do not fit, or a target or baseline that is not finite, or a target that does not vary.
    """
    baselines = [texts_predictions, *([] if encoder_predictions is None else [encoder_predictions])]
    for found in baselines:
        if Y.shape[1] != len(names) or found.shape != Y.shape:
            raise DataError(
                f"{len(names)} names, targets {Y.shape} and text predictions {found.shape}.",
                "There must be one name and one column of text predictions per target.",
                "Make them with text_baseline_scores or feature_baseline_scores on the same rows.",
            )
    for name, column, *texts in zip(names, Y.T, *(found.T for found in baselines), strict=True):
        if not np.isfinite([column, *texts]).all() or np.ptp(column) == 0:
            raise DataError(
                f"Target {name!r} does not vary, or it or its text baseline is not finite, over {len(column)} rows.",
                "A correlation needs spread and numbers.",
                "Drop the target or the rows without a value.",
            )
    return baselines


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
