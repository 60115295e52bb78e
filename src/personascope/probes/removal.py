"""Take away the direction a probe reads, train another, and so on: how many directions carry the target.

Iterative null-space projection (Ravfogel et al. 2020, arXiv 2004.07667) with ridge, and with two comparisons: removing
as many random directions that vary as activations do, and the whole procedure on shuffled targets. Everything happens
inside training folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Shaped

from personascope.errors import DataError
from personascope.probes.bootstrap import N_RESAMPLES, draw_counts, percentile_interval, resampled_correlations
from personascope.probes.constrained_ridge import ConstrainedRidge, remove_in_steps
from personascope.probes.controls import permutations
from personascope.probes.evaluate import checked_rows, column_correlations, within_groups
from personascope.probes.folds import fold_numbers, grouped_folds, require_three
from personascope.probes.ridge import DEFAULT_ALPHAS, checked_alphas
from personascope.shapes import Features, RowValues, Targets

_HIGH = 0.95


@dataclass(frozen=True, eq=False)
class Removal:
    """What ridge probes still read after 0, 1, ... directions were removed. Steps run along the last axis.

    Args:
        target: what was read.
        persona: whose activations; with `position` and `layer` where they come from.
        position: name of the token position.
        layer: decoder block.
        r: held-out r, pooled over folds, after as many removals as the index says, shape (step + 1,).
        low: of the 95 % bootstrap interval over groups, with `high`.
        high: see `low`.
        within_group: r after removing group means, None where the target does not vary within groups.
        random_r: the same after removing covariance-matched random directions, shape (draw, step + 1), with
            `random_low`, `random_high` and `random_within`.
        random_low: see `random_r`.
        random_high: see `random_r`.
        random_within: see `random_r`.
        shuffled_high: 95th percentile of r when all is done with shuffled targets, shape (step + 1,).
        directions: fitted on all rows, orthonormal for activations as they came, shape (step, d_model). The first k
            span what the first k probes read; no value may be reported on these rows.
        n: rows tested, in `n_groups` groups.
        n_groups: see `n`.
        n_shuffles: number of shuffled targets.
        elsewhere: predictions of the probe of each step for other features of the same rows, by name, each of shape
            (step + 1, row), out of fold too; see `tracking`.
    """

    target: str
    persona: str
    position: str
    layer: int
    r: Float[np.ndarray, " _"]
    low: Float[np.ndarray, " _"]
    high: Float[np.ndarray, " _"]
    within_group: tuple[float | None, ...]
    random_r: Float[np.ndarray, "draw _"]
    random_low: Float[np.ndarray, "draw _"]
    random_high: Float[np.ndarray, "draw _"]
    random_within: tuple[tuple[float | None, ...], ...]
    shuffled_high: Float[np.ndarray, " _"]
    directions: Float[np.ndarray, "step d_model"]
    n: int
    n_groups: int
    n_shuffles: int
    elsewhere: Mapping[str, Float[np.ndarray, "_ row"]] = field(default_factory=dict)

    def frame(self) -> pl.DataFrame:
        """One row per step and kind of removal.

        Columns target, persona, position, layer, step, removed ("probe" or "random"), draw (null for the probe), r,
        low, high, within_group, shuffled_high, n.
        """
        kinds: list[tuple[str, int | None, Any, Any, Any, Any]] = [
            ("probe", None, self.r, self.low, self.high, self.within_group)
        ]
        random = zip(self.random_r, self.random_low, self.random_high, self.random_within, strict=True)
        kinds += [("random", draw, *parts) for draw, parts in enumerate(random)]
        place = (self.target, self.persona, self.position, self.layer)
        rows = [
            (
                *place,
                step,
                removed,
                draw,
                r[step],
                low[step],
                high[step],
                within[step],
                self.shuffled_high[step],
                self.n,
            )
            for removed, draw, r, low, high, within in kinds
            for step in range(len(self.r))
        ]
        schema = {
            **{"target": pl.String, "persona": pl.String, "position": pl.String, "layer": pl.Int64},
            **{"step": pl.Int64, "removed": pl.String, "draw": pl.Int64},
            **dict.fromkeys(("r", "low", "high", "within_group", "shuffled_high"), pl.Float64),
            "n": pl.Int64,
        }
        return pl.DataFrame(rows, schema=schema, orient="row")


def remove_directions(
    X: Features,
    y: RowValues,
    *,
    groups: Shaped[np.ndarray, " row"],
    name: str,
    persona: str,
    position: str,
    layer: int,
    others: Mapping[str, Features] | None = None,
    n_steps: int = 4,
    n_random: int = 5,
    n_shuffles: int = 20,
    n_folds: int = 4,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
    alphas: Sequence[float] = DEFAULT_ALPHAS,
) -> Removal:
    """Remove the probe's direction and retrain, `n_steps` times, inside every training fold.

    Features are standardised once per training set and directions are removed there, as in the paper. The penalty is
    chosen at every step on inner folds, in each of which the directions are those of its own training rows.

    Args:
        X: residual stream, shape (row, d_model).
        y: target, shape (row,).
        groups: group of each row, never split.
        name: of the target.
        persona: whose activations; with `position` and `layer` copied into the result.
        position: name of the token position.
        layer: decoder block.
        others: features (row, d_model) of the same rows under other personas, by name, predicted out of fold too.
        n_steps: directions to remove.
        n_random: draws of as many random directions.
        n_shuffles: permutations of the target.
        n_folds: at least 3.
        seed: of folds, shuffles, random directions and bootstrap.
        n_resamples: bootstrap resamples.
        alphas: penalties to choose from.

    Raises:
        DataError: a target that does not vary or is not finite, too few groups, no steps, draws or shuffles, or
            training rows that vary in too few dimensions.
        ActivationError: features that are not finite.
    """
    X, codes, n_groups = checked_rows(X, groups, len(y))
    _check(y, name, n_steps, n_random, n_shuffles)
    grid, numbers = checked_alphas(alphas), fold_numbers(grouped_folds(codes, n_folds, seed), len(y))
    require_three(numbers[:, None])
    # columns: the target with its own directions removed, its shuffles with theirs, the target with random ones
    shuffled = y[permutations(codes, n_shuffles, seed)]
    Y = np.concatenate([y[None], shuffled, np.repeat(y[None], n_random, axis=0)]).T.astype(np.float64)
    sets: dict[tuple[int, ...], ConstrainedRidge] = {}
    for held in [(), *((fold,) for fold in range(n_folds)), *combinations(range(n_folds), 2)]:
        sets[held] = ConstrainedRidge(X, Y, ~np.isin(numbers, held), n_steps, n_random, [seed, 4, layer, *held])
    predictions = np.empty((n_steps + 1, *Y.shape))
    others = {other: checked_rows(rows, groups, len(y))[0] for other, rows in (others or {}).items()}
    elsewhere = {other: np.empty(predictions.shape[:2]) for other in others}
    for fold in range(n_folds):
        inner = [(sets[min(fold, other), max(fold, other)], numbers == other) for other in set(range(n_folds)) - {fold}]
        for step, weights in enumerate(remove_in_steps(sets[(fold,)], inner, X, Y, grid, n_steps)):
            test = numbers == fold
            predictions[step, test] = sets[(fold,)].predict(X[test], weights[None])[0]
            for other, rows in others.items():
                elsewhere[other][step, test] = sets[(fold,)].predict(rows[test], weights[None])[0, :, 0]
    outer = [(sets[(fold,)], numbers == fold) for fold in range(n_folds)]
    # only the target's own directions are wanted of all rows
    found = [weights[0] for weights in remove_in_steps(sets[()], outer, X, Y, grid, n_steps)][:n_steps]
    directions = np.linalg.qr(sets[()].spectrum.raw_slopes(np.stack(found, axis=1)))
    signs = np.sign(np.diag(directions.R))
    return _scored(
        predictions,
        Y,
        codes,
        n_random,
        draw_counts(n_groups, n_resamples, seed),
        {
            **{"target": name, "persona": persona, "position": position, "layer": layer},
            **{"directions": (directions.Q * signs).T, "n": len(y), "n_groups": n_groups, "n_shuffles": n_shuffles},
            "elsewhere": elsewhere,
        },
    )


def _scored(
    predictions: Float[np.ndarray, "step row column"],
    truths: Targets,
    codes: np.ndarray,
    n_random: int,
    counts: np.ndarray,
    about: dict[str, Any],
) -> Removal:
    """The predictions of the target, its shuffles and its random removals, whose targets are `truths`, scored."""
    y = truths[:, 0]
    n_columns = predictions.shape[2]
    kept = [0, *range(n_columns - n_random, n_columns)]
    # all steps and columns beside each other, as targets
    flat = predictions.transpose(1, 0, 2).reshape(len(y), -1)
    r = column_correlations(flat, np.tile(truths, len(predictions))).reshape(-1, n_columns)
    own = predictions[:, :, kept].transpose(1, 2, 0).reshape(len(y), -1)
    truth = np.repeat(y[:, None], own.shape[1], axis=1)
    low, high = percentile_interval(resampled_correlations(own, truth, codes, counts)).reshape(2, len(kept), -1)
    within = within_groups(own, truth, codes)
    by_kind = [tuple(within[start : start + len(predictions)]) for start in range(0, len(within), len(predictions))]
    return Removal(
        r=r[:, 0],
        low=low[0],
        high=high[0],
        within_group=by_kind[0],
        random_r=r[:, kept[1:]].T,
        random_low=low[1:],
        random_high=high[1:],
        random_within=tuple(by_kind[1:]),
        shuffled_high=np.quantile(r[:, 1 : n_columns - n_random], _HIGH, axis=1),
        **about,
    )


def _check(y: RowValues, name: str, n_steps: int, n_random: int, n_shuffles: int) -> None:
    if min(n_steps, n_random, n_shuffles) < 1:
        raise DataError(
            f"{n_steps} steps, {n_random} random draws and {n_shuffles} shuffles.",
            "Removal means nothing beside no random removal and no shuffled target.",
            "Use at least one of each.",
        )
    if not np.isfinite(y).all() or np.ptp(y) == 0:
        raise DataError(
            f"Target {name!r} does not vary or is not finite over {len(y)} rows.",
            "A correlation needs spread and numbers.",
            "Drop the rows without a value.",
        )
