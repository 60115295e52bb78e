"""Do scores follow choices when a prompt shifts them? Correlations of the two shifts, on and off target.

A shift is the value under a condition minus that of the same task under the baseline prompt. On target, any scorer that
sees the prompt praise the task's subject can follow the choice, a text encoder as well; what sets a probe apart is how
it does over all tasks and off target, which is why no set of cells is reported without the others.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy import stats

from personascope.errors import DataError, nearest
from personascope.measures.intervals import batch_size, percentile_interval
from personascope.measures.reliability import r_of_moments
from personascope.measures.shift_grid import ABOUT, Cells, Cluster, Grid, Mask, grids
from personascope.measures.tables import require_columns, require_unique

STATISTICS = ("pearson", "spearman", "sign_agreement")
_FEWEST_CELLS = 3
_Weights: TypeAlias = tuple[Float[np.ndarray, "resample condition"], Float[np.ndarray, "resample task"]]
_Orders: TypeAlias = Int[np.ndarray, "_ condition"]

KNOWN = "choices without the prompt"
"""The scorer of `level_table` that knows what is preferred, but not the prompt."""


def shift_table(
    choice: pl.DataFrame, score: pl.DataFrame, design: pl.DataFrame, *, baseline: str = "baseline"
) -> pl.DataFrame:
    """Both shifts of every condition and task.

    Args:
        choice: columns condition, task, choice (a utility, a log-odds or a probability of being chosen), with rows of
            the baseline.
        score: columns scorer ("probe", "encoder", "random 1" ...), condition, task, score, with rows of the baseline.
        design: `ShiftDesign.frame()`, of one or more designs.
        baseline: name of the baseline in the column condition.

    Returns:
        One row per scorer and row of `design`: its columns, scorer, choice_shift (the unit of `choice`) and score_shift
        (the unit of `score`).

    Raises:
        DataError: a missing or infinite value, a cell twice, or a condition and task of the design that were not asked
            or not scored.
    """
    require_columns(choice, ["condition", "task", "choice"])
    require_columns(score, ["scorer", "condition", "task", "score"])
    require_columns(design, [*ABOUT, "sign"], may_be_null=["sign"])
    require_unique(choice, ["condition", "task"])
    require_unique(score, ["scorer", "condition", "task"])
    require_unique(design, ["design", "condition", "task"])
    scorers = score.select("scorer").unique(maintain_order=True)
    cells = scorers.join(design, how="cross").select([*design.columns, "scorer"])
    for name, frame, keys in (("choice", choice, ["task"]), ("score", score, ["scorer", "task"])):
        at_baseline = frame.filter(pl.col("condition") == baseline).select(*keys, pl.col(name).alias("_plain"))
        values = frame.select("condition", *keys, name)
        cells = cells.join(values, on=["condition", *keys], how="left", maintain_order="left")
        cells = cells.join(at_baseline, on=keys, how="left", maintain_order="left")
        lacking = cells.filter(pl.col(name).is_null() | pl.col("_plain").is_null())
        if lacking.height:
            row = lacking.row(0, named=True)
            where = row["condition"] if row[name] is None else baseline
            raise DataError(
                f"There is no {name} for condition {where!r}, task {row['task']!r}"
                + (f", scorer {row['scorer']!r}" if name == "score" else "")
                + f" ({lacking.height} of {cells.height} cells).",
                "A shift needs the value under the condition and under the baseline, and never takes a default.",
                "Ask and score the whole design and the baseline, or leave the task out of the design.",
            )
        cells = cells.with_columns((pl.col(name) - pl.col("_plain")).alias(f"{name}_shift")).drop(name, "_plain")
    return cells


def level_table(
    choice: pl.DataFrame, score: pl.DataFrame, design: pl.DataFrame, *, baseline: str = "baseline"
) -> pl.DataFrame:
    """As `shift_table`, with the values under each condition in place of their shifts.

    With it `shift_correlations(..., against=KNOWN)` asks whether a score knows what is preferred under a prompt better
    than the preferences without the prompt do: they stand in the table as the scorer `KNOWN`.
    """
    plain = choice.filter(pl.col("condition") == baseline).select("task", pl.col("choice").alias("score"))
    known = choice.select("condition").unique(maintain_order=True).join(plain, how="cross")
    scores = pl.concat([score, known.with_columns(pl.lit(KNOWN).alias("scorer")).select(score.columns)])
    at_baseline = pl.col("condition") == baseline

    def from_nothing(frame: pl.DataFrame, name: str) -> pl.DataFrame:
        return frame.with_columns(pl.when(at_baseline).then(0.0).otherwise(pl.col(name)).alias(name))

    return shift_table(from_nothing(choice, "choice"), from_nothing(scores, "score"), design, baseline=baseline)


def shift_correlations(
    table: pl.DataFrame,
    *,
    against: str | None = None,
    smallest: float = 0.0,
    cluster: Cluster = "subject",
    n_resamples: int = 2_000,
    n_permutations: int = 1_000,
    seed: int = 0,
) -> pl.DataFrame:
    """How score shifts go with choice shifts, for every design, scorer and set of cells.

    Controls of polarity 0 are left out. Sets of cells: "all"; "on_target", those with an intended sign; "off_target",
    those of which the prompt says nothing; "opposed", those pulled both ways. Statistics: Pearson's r, Spearman's rho,
    and the share of cells whose two shifts have one sign.

    Intervals are 95 % percentiles of a two-way bootstrap: clusters of conditions and tasks are drawn with replacement,
    each on its own, and a cell counts as often as both were drawn (Owen 2007, the pigeonhole bootstrap, which errs
    towards wide). Scorers share the draws. Ranks are those of the whole sample.

    Permutations give whole conditions' score shifts to other conditions, never single cells: under the null the score
    does not know which prompt it stands under, whatever it knows about tasks. p_within permutes among the conditions of
    one subject only, so it asks for more than that the score sees which subject the prompt names.

    Args:
        table: what `shift_table` returned.
        against: scorer with which the others are compared (difference, difference_low, difference_high).
        smallest: cells whose choice moved by no more than this are left out of the sign agreement.
        cluster: which conditions are drawn together; "subject" draws all prompts about one subject or target at once.
        n_resamples: bootstrap resamples.
        n_permutations: random permutations.
        seed: of both.

    Returns:
        One row per design, scorer, set ("cells") and statistic: value, low, high, p (two-sided), null_mean (mean under
        permutation; for a sign agreement it need not be one half), p_within (null where no subject has two conditions),
        difference, difference_low, difference_high (null without `against`), n (cells), n_conditions, n_clusters,
        n_tasks. Where a shift does not vary or there are fewer than 3 cells, value and what follows from it are null.

    Raises:
        DataError: missing columns, a design whose conditions were not all asked the same tasks, an unknown scorer.
    """
    rows: list[dict[str, Any]] = []
    for grid in grids(table, cluster):
        if against is not None and against not in grid.scores:
            raise DataError(
                f"There is no scorer {against!r} to compare with.{nearest(against, grid.scores)}",
                f"Scorers are {', '.join(grid.scores)}.",
                "Correct the name.",
            )
        active = grid.where(grid.polarity != 0)
        weights = active.draw(n_resamples, seed)
        plans = [active.permutations(n_permutations, seed, within) for within in (False, True)]
        for cells, mask in active.sets():
            for statistic in STATISTICS:
                part = _statistic_rows(active, mask, statistic, smallest, weights, plans)
                _add_differences(part, against)
                rows += [{"cells": cells, "statistic": statistic, **row} for row in part.values()]
    numbers = ["value", "low", "high", "p", "null_mean", "p_within", "difference", "difference_low", "difference_high"]
    names = ["design", "scorer", "cells", "statistic", *numbers, "n", "n_conditions", "n_clusters", "n_tasks"]
    schema = dict.fromkeys(numbers, pl.Float64)
    return pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None).select(names)


def _statistic_rows(
    grid: Grid, mask: Mask, statistic: str, smallest: float, weights: _Weights, plans: list[_Orders]
) -> dict[str, dict[str, Any]]:
    """One row for each scorer, with its resamples under the key "_draws"."""
    if statistic == "sign_agreement":
        mask = mask & (np.abs(grid.choice) > smallest)
    touched = mask.any(axis=1)
    counts = {
        "n": int(mask.sum()),
        "n_conditions": int(touched.sum()),
        "n_clusters": len(np.unique(grid.clusters[touched])),
        "n_tasks": int(mask.any(axis=0).sum()),
    }
    x = _prepared(grid.choice[mask], statistic)
    rows: dict[str, dict[str, Any]] = {}
    for scorer, score in grid.scores.items():
        row: dict[str, Any] = {"design": grid.design, "scorer": scorer, **counts}
        row |= dict.fromkeys(("value", "low", "high", "p", "null_mean", "p_within"))
        y = _prepared(score[mask], statistic)
        value = _values(x, y[None], statistic)[0] if counts["n"] >= _FEWEST_CELLS else np.nan
        draws = np.full(len(weights[0]), np.nan)
        if np.isfinite(value):
            draws = _resampled(x, y, mask, statistic, weights)
            row["value"], (row["low"], row["high"]) = float(value), percentile_interval(draws)
            for name, orders in zip(("p", "p_within"), plans, strict=True):
                null = _permuted(x, score, mask, statistic, orders)
                row[name] = _two_sided(float(value), null)
                if name == "p" and len(null):
                    row["null_mean"] = float(null.mean())
        rows[scorer] = row | {"_draws": draws}
    return rows


def _prepared(values: Float[np.ndarray, "*draw cell"], statistic: str) -> Float[np.ndarray, "*draw cell"]:
    """What the statistic is made of: centred values, centred ranks or signs. Values that do not vary become zeros."""
    if statistic == "sign_agreement" or not values.shape[-1]:
        return np.asarray(np.sign(values))
    size, spread = np.abs(values).max(axis=-1, keepdims=True), np.ptp(values, axis=-1, keepdims=True)
    if statistic == "spearman":
        values = stats.rankdata(values, axis=-1)
    # rounding in the mean of a constant would pass for spread
    return np.asarray(np.where(spread > 1e-12 * size, values - values.mean(axis=-1, keepdims=True), 0.0))


def _values(
    x: Float[np.ndarray, " cell"], y: Float[np.ndarray, "draw cell"], statistic: str
) -> Float[np.ndarray, " draw"]:
    if statistic == "sign_agreement":
        return np.asarray((y == x).mean(axis=1, dtype=np.float64))
    return np.asarray(r_of_moments(np.ones_like(y), np.broadcast_to(x, y.shape), y, *_products(x, y), axis=1))


def _products(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.broadcast_to(x * x, y.shape), y * y, x * y


def _resampled(
    x: Float[np.ndarray, " cell"], y: Float[np.ndarray, " cell"], mask: Mask, statistic: str, weights: _Weights
) -> Float[np.ndarray, " resample"]:
    """The statistic in every resample; a cell's weight is that of its condition times that of its task."""
    of_conditions, of_tasks = weights

    def summed(values: Float[np.ndarray, " cell"]) -> Float[np.ndarray, "resample task"]:
        whole = np.zeros(mask.shape)
        whole[mask] = values
        return np.asarray((of_conditions @ whole) * of_tasks)

    if statistic == "sign_agreement":
        drawn = summed(np.ones_like(x)).sum(axis=1)
        return np.asarray(summed((x == y).astype(np.float64)).sum(axis=1) / np.where(drawn > 0, drawn, np.nan))
    moments = [summed(values) for values in (np.ones_like(x), x, y, *_products(x, y))]
    with np.errstate(invalid="ignore", divide="ignore"):  # resamples without any cell are left out
        return np.asarray(r_of_moments(*moments, axis=1))


def _permuted(
    x: Float[np.ndarray, " cell"], score: Cells, mask: Mask, statistic: str, orders: _Orders
) -> Float[np.ndarray, " permutation"]:
    """The statistic when conditions' rows of scores change places, the cells of the set staying where they are."""
    condition, task = np.nonzero(mask)
    found = [np.empty(0)]
    step = batch_size(len(x))
    for start in range(0, len(orders), step):
        moved = score[orders[start : start + step][:, condition], task]
        found.append(_values(x, _prepared(moved, statistic), statistic))
    values = np.concatenate(found)
    return values[np.isfinite(values)]


def _two_sided(value: float, null: Float[np.ndarray, " permutation"]) -> float | None:
    """Twice the smaller tail, the sample itself counted among the permutations (Phipson & Smyth 2010)."""
    if not len(null):
        return None
    # equal statistics must count as ties although rounding tells them apart
    tails = (1 + int((null >= value - 1e-12).sum()), 1 + int((null <= value + 1e-12).sum()))
    return min(1.0, 2 * min(tails) / (1 + len(null)))


def _add_differences(rows: dict[str, dict[str, Any]], against: str | None) -> None:
    """Each scorer's value minus that of `against`, from shared resamples."""
    for scorer, row in rows.items():
        row |= dict.fromkeys(("difference", "difference_low", "difference_high"))
        other = rows.get(against) if against is not None and against != scorer else None
        if other is not None and row["value"] is not None and other["value"] is not None:
            row["difference"] = row["value"] - other["value"]
            row["difference_low"], row["difference_high"] = percentile_interval(row["_draws"] - other["_draws"])
