"""Does a probe trained on more personas read a new one better, at the same number of training rows?

The diversity ablation of Gilg et al. (2026, arXiv 2605.13339): each probe is trained on the pooled rows of k personas
and tested on one that it never saw. What a single persona adds to the preference signal a probe of that persona uses
too; with several, only what they share keeps its sign.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int, Shaped

from personascope.errors import DataError
from personascope.probes.bootstrap import N_RESAMPLES, draw_counts, percentile_interval, resampled_correlations
from personascope.probes.evaluate import column_correlations
from personascope.probes.folds import Folds, Rows, grouped_folds
from personascope.probes.leave_out import leave_out_ridge
from personascope.probes.persona_rows import aligned_rows
from personascope.probes.ridge import DEFAULT_ALPHAS
from personascope.shapes import Features, RowValues, Targets

_Subset = tuple[int, ...]

_SCHEMA = {
    "test": pl.String,
    "n_personas": pl.Int64,
    "layer": pl.Int64,
    "position": pl.String,
    **dict.fromkeys(("r", "low", "high", "spread", "utility_r", "difference", "difference_low"), pl.Float64),
    **dict.fromkeys(("difference_high", "own_r", "own_low", "own_high"), pl.Float64),
    **dict.fromkeys(("n_subsets", "n_rows", "n", "n_groups"), pl.Int64),
}


@dataclass(frozen=True, eq=False)
class _Material:
    """Features and utilities of all personas, and the tasks that each fold trains on, in the order they are dealt."""

    X: tuple[Features, ...]
    U: Targets
    codes: Int[np.ndarray, " task"]
    folds: Folds
    dealt: tuple[Rows, ...]
    alphas: Sequence[float]
    centre: bool

    def predictions(self, subset: _Subset) -> Targets:
        """Out-of-fold predictions (task, persona) for every persona, of the probe pooled over the subset."""
        values = np.empty(self.U.shape)
        for (train, test), tasks in zip(self.folds, self.dealt, strict=True):
            rows, targets, groups = self._pooled(subset, tasks)
            fitted = leave_out_ridge(rows, targets, self.alphas, groups)
            for persona, own in enumerate(self.X):
                shift = own[train].mean(axis=0) if self.centre else 0.0
                values[test, persona] = (own[test] - shift) @ fitted.coef[:, 0] + fitted.intercept[0]
        return values

    def _pooled(self, subset: _Subset, tasks: Rows) -> tuple[Features, Targets, np.ndarray]:
        """Training rows: task number i goes to persona i modulo k of the subset."""
        hands = [(persona, tasks[place :: len(subset)]) for place, persona in enumerate(subset)]
        X = [self.X[persona][hand] for persona, hand in hands]
        u = [self.U[hand, persona] for persona, hand in hands]
        if self.centre:
            X, u = [rows - rows.mean(axis=0) for rows in X], [values - values.mean() for values in u]
        groups = np.concatenate([self.codes[hand] for _, hand in hands])
        return np.concatenate(X), np.concatenate(u)[:, None], groups


def diversity_ablation(
    features: Mapping[str, Features],
    utilities: Mapping[str, RowValues],
    groups: Shaped[np.ndarray, " task"],
    *,
    layer: int,
    position: str,
    n_total: int | None = None,
    n_subsets: int = 20,
    centre_personas: bool = False,
    n_folds: int = 4,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    alphas: Sequence[float] = DEFAULT_ALPHAS,
) -> pl.DataFrame:
    """Transfer to each left-out persona from k = 1 ... K - 1 others, with the number of training rows held fixed.

    In each fold, `n_total` training tasks are drawn once and dealt to the k personas in turn, so that every probe sees
    the same tasks, each under one persona: k changes neither the number of rows nor that of different tasks, only how
    many personas they come from (the shares differ by one row at most). Tested tasks are of other groups. The penalty
    is the best for left-out groups of the training rows.

    One probe is fitted on raw rows. Personas move all their rows by an offset of their own, which a pooled probe can
    use or must learn to ignore, and which shifts the predictions for a new persona, by another constant in each fold.
    `centre_personas` takes the offsets away before the fit, from rows and utilities (the "within" estimator for panel
    data), and from the tested persona with the mean of its activations, not utilities, on the training tasks.

    Args:
        features: residual stream (task, d_model) of each of at least three personas, the same tasks for all.
        utilities: utilities (task,) of each persona; those with more spread weigh more.
        groups: group of each task; never split between training and test or by a resample.
        layer: decoder block.
        position: name of the token position.
        n_total: training rows; default all tasks of the smallest training side of a fold.
        n_subsets: at most so many sets of k personas for each left-out one, drawn at random where there are more.
        centre_personas: see above.
        n_folds: at least 2.
        n_resamples: bootstrap resamples.
        seed: of folds, draws and bootstrap.
        alphas: penalties to choose from.

    Returns:
        One row per left-out persona `test` and `n_personas`: r, the mean over subsets of the pooled out-of-fold
        correlation, with the 95 % interval over groups of tasks (subsets taken as given) and `spread`, the standard
        deviation of r over subsets (null for one); utility_r, the same mean for the average utilities of the training
        personas in place of the probe: what copying their preferences gives; the paired `difference` r - utility_r;
        own_r, with interval, of a probe trained on as many rows of the persona itself, the same tasks. Then
        n_subsets, n_rows (n_total), n (tasks) and n_groups.

    Raises:
        DataError: fewer than three personas, personas that do not match, `n_total` too large or too small for one row
            each, fewer than one subset, or too few groups.
        ActivationError: features that are not finite.
    """
    aligned = aligned_rows(features, utilities, groups)
    personas, U, codes = aligned.personas, aligned.U, aligned.codes
    folds = grouped_folds(codes, n_folds, seed)
    n_rows = _checked_total(n_total, len(personas), folds, n_subsets)
    rng = np.random.default_rng([seed, 3])
    dealt = tuple(rng.permutation(train)[:n_rows] for train, _ in folds)
    material = _Material(aligned.X, U, codes, folds, dealt, alphas, centre_personas)
    plan = {
        (test, k): _subsets([p for p in range(len(personas)) if p != test], k, n_subsets, rng)
        for test in range(len(personas))
        for k in range(1, len(personas))
    }
    needed = {subset for subsets in plan.values() for subset in subsets} | {(p,) for p in range(len(personas))}
    predictions = {subset: material.predictions(subset) for subset in sorted(needed)}
    counts = draw_counts(aligned.n_groups, n_resamples, seed)

    def sampled(columns: list[Float[np.ndarray, " task"]], test: int) -> Float[np.ndarray, "sample column"]:
        x, y = np.stack(columns, axis=1), np.repeat(U[:, [test]], len(columns), axis=1)
        return np.concatenate([column_correlations(x, y)[None], resampled_correlations(x, y, codes, counts)])

    rows: list[dict[str, Any]] = []
    for (test, k), subsets in plan.items():
        r = sampled([predictions[subset][:, test] for subset in subsets], test)
        copied = sampled([U[:, subset].mean(axis=1) for subset in subsets], test).mean(axis=1)
        rows.append(
            {"test": personas[test], "n_personas": k, "layer": layer, "position": position}
            | _estimate("r", "", r.mean(axis=1))
            | {"spread": float(r[0].std(ddof=1)) if len(subsets) > 1 else None, "utility_r": copied[0]}
            | _estimate("difference", "difference_", r.mean(axis=1) - copied)
            | _estimate("own_r", "own_", sampled([predictions[(test,)][:, test]], test)[:, 0])
            | {"n_subsets": len(subsets), "n_rows": n_rows, "n": len(U), "n_groups": aligned.n_groups}
        )
    return pl.DataFrame(rows, schema=_SCHEMA).with_columns(pl.col(pl.Float64).fill_nan(None))


def _estimate(name: str, prefix: str, values: Float[np.ndarray, " sample"]) -> dict[str, float]:
    """The value on all tasks, which comes first, and the interval from the resamples after it."""
    low, high = percentile_interval(values[1:])
    return {name: float(values[0]), prefix + "low": float(low), prefix + "high": float(high)}


def _subsets(others: list[int], k: int, most: int, rng: np.random.Generator) -> list[_Subset]:
    """All sets of k others, or `most` different ones drawn at random."""
    if math.comb(len(others), k) <= most:
        return list(combinations(others, k))
    drawn: set[_Subset] = set()
    while len(drawn) < most:
        drawn.add(tuple(sorted(rng.choice(others, size=k, replace=False).tolist())))
    return sorted(drawn)


def _checked_total(n_total: int | None, n_personas: int, folds: Folds, n_subsets: int) -> int:
    if n_personas < 3 or n_subsets < 1:
        raise DataError(
            f"{n_personas} personas and {n_subsets} subsets for each.",
            "One persona is left out, and the others must be at least two to differ in number.",
            "Pass three personas or more, and at least one subset.",
        )
    most = min(len(train) for train, _ in folds)
    total = most if n_total is None else n_total
    if not n_personas - 1 <= total <= most:
        raise DataError(
            f"{total} training rows for up to {n_personas - 1} personas, with {most} tasks to train on.",
            "Every row is another task, and every persona needs one.",
            f"Use {n_personas - 1} to {most} rows.",
        )
    return total
