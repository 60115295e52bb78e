"""Do personas share it: train a probe on one persona's activations, test it on another's.

Method of the cross-persona transfer in Gilg et al. (2026, arXiv 2605.13339), with what it lacks: the tested tasks are
never trained on, also not under the other persona, the penalty is chosen inside, every number has an interval, errors
of the utilities are corrected for, and a sentence encoder that reads the same prompts can stand beside the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int, Shaped

from personascope.probes.attenuation import checked_reliabilities, disattenuated, joint_reliability
from personascope.probes.bootstrap import (
    N_RESAMPLES,
    draw_counts,
    percentile_interval,
)
from personascope.probes.folds import fold_numbers, grouped_folds
from personascope.probes.persona_rows import aligned_rows
from personascope.probes.ridge import DEFAULT_ALPHAS, RidgeProbe
from personascope.probes.transfer_cells import (
    CellResamples,
    Cells,
    cell_correlations,
    cells_within_groups,
    out_of_fold_cells,
    resampled_cells,
)
from personascope.shapes import Features, RowValues, Vector

_BEFORE_N = ("r", "low", "high", "utility_r", "difference", "difference_low", "difference_high")
_AFTER_N = (
    "within_group",
    *("r_corrected", "r_corrected_low", "r_corrected_high"),
    *("utility_r_corrected", "utility_r_corrected_low", "utility_r_corrected_high"),
    *("difference_corrected", "difference_corrected_low", "difference_corrected_high"),
    *("encoder_r", "encoder_low", "encoder_high", "over_encoder", "over_encoder_low", "over_encoder_high"),
)


@dataclass(frozen=True, eq=False)
class TransferMatrix:
    """Transfer between all ordered pairs of personas.

    `low` and `high` are 95 % intervals from one bootstrap over groups of tasks (`resampled`); those of differences are
    paired. Arrays of shape (train, test) hold NaN where a number does not exist.

    Args:
        personas: names of rows (trained on) and columns (tested on).
        layer: decoder block.
        position: name of the token position.
        n: tasks, in `n_groups` groups.
        r: correlation of the train persona's probe, applied out of fold to the test persona's activations, with the
            test persona's utilities. 0 where the prediction does not vary.
        utility_r: correlation of the two personas' utilities: what transfer would be if the probe only repeated the
            train persona's preferences. 1 on the diagonal, where `difference` says nothing about transfer.
        difference: r minus utility_r. Utilities have errors, which lower utility_r more than r, so a small positive
            difference is not yet sharing; `difference_corrected` is without that.
        within_group: r after removing group means from prediction and utilities; NaN where utilities do not vary
            within groups. It is also free of the offset between two personas, which shifts the predictions of each
            fold, as its probe is another, by another constant, and so lowers r.
        r_corrected: r / sqrt(reliability of the test persona's utilities). Above 1 where it comes out so.
        utility_r_corrected: utility_r / sqrt(product of both reliabilities); 1 on the diagonal.
        difference_corrected: the one minus the other. The three are NaN without reliabilities, or where one is below
            .1; their intervals take reliabilities as known.
        encoder_r: r of the same transfer from text features in place of activations; NaN without them.
        over_encoder: r minus encoder_r.
        predictions: out-of-fold predictions (task, train, test).
        weights: weights (train, d_model) on features as they came, of a probe on all tasks: no value may be
            reported on these tasks, only directions compared.
        utilities: as given, (task, persona).
        codes: group of each task, numbered from 0.
        folds: fold in which each task is tested.
        n_resamples: of the bootstrap.
        seed: of folds and bootstrap.
    """

    personas: tuple[str, ...]
    layer: int
    position: str
    n: int
    n_groups: int
    r: Cells
    low: Cells
    high: Cells
    utility_r: Cells
    difference: Cells
    difference_low: Cells
    difference_high: Cells
    within_group: Cells
    r_corrected: Cells
    r_corrected_low: Cells
    r_corrected_high: Cells
    utility_r_corrected: Cells
    utility_r_corrected_low: Cells
    utility_r_corrected_high: Cells
    difference_corrected: Cells
    difference_corrected_low: Cells
    difference_corrected_high: Cells
    encoder_r: Cells
    encoder_low: Cells
    encoder_high: Cells
    over_encoder: Cells
    over_encoder_low: Cells
    over_encoder_high: Cells
    predictions: Float[np.ndarray, "task train test"]
    weights: Float[np.ndarray, "train d_model"]
    utilities: Float[np.ndarray, "task persona"]
    codes: Int[np.ndarray, " task"]
    folds: Int[np.ndarray, " task"]
    n_resamples: int
    seed: int

    def counts(self) -> Float[np.ndarray, "resample group"]:
        """How often each group of tasks was drawn in each resample: the same for all that is read off the matrix."""
        return draw_counts(self.n_groups, self.n_resamples, self.seed)

    def resampled(self) -> CellResamples:
        """The matrix r in every resample, shape (resample, train, test); NaN where undefined."""
        return resampled_cells(self.predictions, self.utilities, self.codes, self.counts())

    def frame(self) -> pl.DataFrame:
        """One row per ordered pair, the diagonal too; what does not exist is null.

        Columns train, test, layer, position, r, low, high, utility_r, difference, difference_low, difference_high, n,
        within_group, then r_corrected, utility_r_corrected, difference_corrected, encoder_r and over_encoder, each
        with its interval, and n_groups.
        """
        pairs = [(train, test) for train in self.personas for test in self.personas]
        columns: dict[str, Any] = {
            "train": [train for train, _ in pairs],
            "test": [test for _, test in pairs],
            "layer": [self.layer] * len(pairs),
            "position": [self.position] * len(pairs),
            **{name: getattr(self, name).ravel() for name in _BEFORE_N},
            "n": [self.n] * len(pairs),
            **{name: getattr(self, name).ravel() for name in _AFTER_N},
            "n_groups": [self.n_groups] * len(pairs),
        }
        return pl.DataFrame(columns).with_columns(pl.col(*_BEFORE_N, *_AFTER_N).fill_nan(None))


def transfer_matrix(
    features: Mapping[str, Features],
    utilities: Mapping[str, RowValues],
    groups: Shaped[np.ndarray, " task"],
    *,
    layer: int,
    position: str,
    n_folds: int = 4,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    alphas: Sequence[float] = DEFAULT_ALPHAS,
    reliabilities: Mapping[str, float] | None = None,
    text_features: Mapping[str, Float[np.ndarray, "row feature"]] | None = None,
) -> TransferMatrix:
    """Train ridge probes on each persona and test them on every persona, out of fold.

    The probe keeps the centre and scale of the persona that it was trained on. r pools the predictions of all folds.
    Intervals are percentile bootstraps over whole groups, in which predictions, both personas' utilities and thereby
    all correlations are resampled together; probes are not refitted. With few groups they are rough, and too narrow.

    Args:
        features: residual stream (task, d_model) of each persona, tasks in the same order for all.
        utilities: utilities (task,) of each persona, in that order.
        groups: group of each task (its topic); groups are never split, between training and test or by a resample.
        layer: decoder block.
        position: name of the token position.
        n_folds: at least 3.
        n_resamples: bootstrap resamples.
        seed: of folds and bootstrap.
        alphas: penalties to choose from.
        reliabilities: of each persona's utilities, see `attenuation.checked_reliabilities`.
        text_features: sentence embeddings (task, feature) of each task's prompt as worded for each persona. A persona
            prompt names kinds of tasks, so that an encoder, which has no preferences, reads some of them too.

    Raises:
        DataError: personas or shapes that do not match, utilities that do not vary, a reliability missing or above 1,
            or too few groups.
        ActivationError: features that are not finite.
    """
    rows = aligned_rows(features, utilities, groups)
    U, codes = rows.U, rows.codes
    known = checked_reliabilities(rows.personas, reliabilities)
    folds = fold_numbers(grouped_folds(codes, n_folds, seed), len(U))
    counts = draw_counts(rows.n_groups, n_resamples, seed)
    predictions = out_of_fold_cells(rows.X, U, folds, alphas)
    trained = np.broadcast_to(U[:, :, None], predictions.shape)
    r, resampled = cell_correlations(predictions, U), resampled_cells(predictions, U, codes, counts)
    utility_r, resampled_utility_r = cell_correlations(trained, U), resampled_cells(trained, U, codes, counts)
    both = joint_reliability(known)
    corrected, resampled_corrected = disattenuated(r, known), disattenuated(resampled, known)
    agreed, resampled_agreed = disattenuated(utility_r, both), disattenuated(resampled_utility_r, both)
    encoder_r, resampled_encoder_r = np.full(r.shape, np.nan), np.full((1, *r.shape), np.nan)
    if text_features is not None:
        texts = dict(zip(text_features, aligned_rows(text_features, utilities, groups).X, strict=True))
        encoded = out_of_fold_cells([texts[name] for name in rows.personas], U, folds, alphas)
        encoder_r, resampled_encoder_r = cell_correlations(encoded, U), resampled_cells(encoded, U, codes, counts)
    return TransferMatrix(
        personas=rows.personas,
        layer=layer,
        position=position,
        n=len(U),
        n_groups=rows.n_groups,
        r=r,
        utility_r=utility_r,
        within_group=cells_within_groups(predictions, U, codes),
        encoder_r=encoder_r,
        **_interval("", resampled),
        **_interval("encoder_", resampled_encoder_r),
        **_estimate("difference", r - utility_r, resampled - resampled_utility_r),
        **_estimate("r_corrected", corrected, resampled_corrected),
        **_estimate("utility_r_corrected", agreed, resampled_agreed),
        **_estimate("difference_corrected", corrected - agreed, resampled_corrected - resampled_agreed),
        **_estimate("over_encoder", r - encoder_r, resampled - resampled_encoder_r),
        predictions=predictions,
        weights=np.stack([_weights(X, u, codes, n_folds, seed, alphas) for X, u in zip(rows.X, U.T, strict=True)]),
        utilities=U,
        codes=codes,
        folds=folds,
        n_resamples=n_resamples,
        seed=seed,
    )


def _weights(
    X: Features, u: RowValues, codes: Int[np.ndarray, " task"], n_folds: int, seed: int, alphas: Sequence[float]
) -> Vector:
    """As `evaluate.fit_direction_weights`, with the folds and penalties of the matrix."""
    return np.asarray(RidgeProbe(alphas, n_folds, seed).fit(X, u, groups=codes).coef_)


def _interval(prefix: str, resampled: CellResamples) -> dict[str, Cells]:
    low, high = percentile_interval(resampled)
    return {prefix + "low": low, prefix + "high": high}


def _estimate(name: str, value: Cells, resampled: CellResamples) -> dict[str, Cells]:
    return {name: value, **_interval(name + "_", resampled)}
