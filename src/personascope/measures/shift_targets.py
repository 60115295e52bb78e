"""Does a prompt move what it is meant to move? Shifts on target with their controls, and the rank of one target."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from personascope.errors import DataError
from personascope.measures.contrasts import sign_flip_p
from personascope.measures.intervals import CONFIDENCE, percentile_interval
from personascope.measures.pairing import codes_of
from personascope.measures.shift_grid import Cells, Cluster, Grid, grids

CONTRASTS = ("directed", "toward", "away", "mention", "toward - mention", "mention - away")


def target_shifts(
    table: pl.DataFrame, *, cluster: Cluster = "subject", n_resamples: int = 2_000, seed: int = 0
) -> pl.DataFrame:
    """Mean shift on target of the choice and of every score: the manipulation check.

    Contrasts: "toward" and "away", mean shift of the cells with intended sign +1 and -1; "mention", that of the cells
    that a control of polarity 0 mentions; "toward - mention" and "mention - away", what valence adds to mention; and
    "directed", the mean of sign times shift over toward and away. Where each task has both signs in matched conditions,
    the effect of being mentioned at all cancels in "directed".

    Intervals are those of `shift_correlations`: a two-way bootstrap of clusters of conditions and of tasks. p, for
    "directed", flips the signs of whole subjects' sums (of whatever `cluster` names), as if love and hate had changed
    places in them.

    Args:
        table: what `measures.shifts.shift_table` returned.
        cluster: which conditions are drawn, and flipped, together.
        n_resamples: bootstrap resamples.
        seed: of the bootstrap.

    Returns:
        One row per design, measure ("choice", then the scorers) and contrast: mean, low, high (in the measure's unit),
        standardised (mean by the standard deviation of all shifts of the measure in the design, controls left out, so
        that measures of other units compare; null when they do not vary), p, n (cells), n_conditions, n_clusters,
        n_tasks. Null where the design has no such cells.

    Raises:
        DataError: as `shift_correlations`.
    """
    rows: list[dict[str, Any]] = []
    for grid in grids(table, cluster):
        of_conditions, of_tasks = grid.draw(n_resamples, seed)
        active = (grid.polarity != 0)[:, None]
        target = grid.role == "target"
        masks = {
            "toward": target & active & (grid.sign > 0),
            "away": target & active & (grid.sign < 0),
            "mention": target & ~active,
        }
        masks["directed"] = masks["toward"] | masks["away"]
        for measure, shift in _measures(grid):
            spread = float(shift[active[:, 0]].std()) if active.any() else 0.0
            signed = shift * grid.sign
            found = {
                name: _mean(signed if name == "directed" else shift, mask, of_conditions, of_tasks)
                for name, mask in masks.items()
            }
            for name in CONTRASTS:
                first, _, second = name.partition(" - ")
                (mean, draws), mask = found[first], masks[first]
                if second:
                    mean, draws, mask = mean - found[second][0], draws - found[second][1], mask | masks[second]
                low, high = percentile_interval(draws) if np.isfinite(mean) else (None, None)
                rows.append(
                    {
                        "design": grid.design,
                        "measure": measure,
                        "contrast": name,
                        "mean": float(mean) if np.isfinite(mean) else None,
                        "low": low,
                        "high": high,
                        "standardised": float(mean) / spread if spread > 0 and np.isfinite(mean) else None,
                        "p": _flip_p(signed, mask, grid) if name == "directed" and mask.any() else None,
                        "n": int(mask.sum()),
                        "n_conditions": int(mask.any(axis=1).sum()),
                        "n_clusters": len(np.unique(grid.clusters[mask.any(axis=1)])),
                        "n_tasks": int(mask.any(axis=0).sum()),
                    }
                )
    numbers = dict.fromkeys(("mean", "low", "high", "standardised", "p"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides=numbers, infer_schema_length=None)


def target_ranks(table: pl.DataFrame) -> pl.DataFrame:
    """Where the one target of each matched group stands among all tasks, by its shift for minus against.

    Args:
        table: what `measures.shifts.shift_table` returned, for a design with one target a condition (biographies).

    Returns:
        One row per design, measure ("choice", then the scorers) and matched group: subject (the target), difference
        (mean shift of polarity +1 minus that of -1 on the target), rank (1 is the largest; tasks that tie with the
        target count as before it, so no shift at all is never a success), n_tasks.

    Raises:
        DataError: as `shift_correlations`; a matched group without both polarities, or with other than one target.
    """
    rows: list[dict[str, Any]] = []
    for grid in grids(table, "matched"):
        targets = (grid.role == "target") & (grid.polarity != 0)[:, None]
        for name in dict.fromkeys(grid.matched.tolist()):
            pro, anti = ((grid.matched == name) & (grid.polarity == sign) for sign in (1, -1))
            at = np.flatnonzero(targets[pro | anti].any(axis=0))
            if not pro.any() or not anti.any() or len(at) != 1:
                raise DataError(
                    f"Matched group {name!r} of design {grid.design!r} has {int(pro.sum())} conditions for, "
                    f"{int(anti.sum())} against and {len(at)} targets.",
                    "A rank needs both polarities and one target that they share.",
                    "Rank the targets of a biography design; for others see `target_shifts`.",
                )
            for measure, shift in _measures(grid):
                difference = shift[pro].mean(axis=0) - shift[anti].mean(axis=0)
                rows.append(
                    {
                        "design": grid.design,
                        "measure": measure,
                        "matched": name,
                        "subject": grid.subject[pro][0],
                        "difference": float(difference[at[0]]),
                        "rank": int((difference >= difference[at[0]]).sum()),
                        "n_tasks": len(difference),
                    }
                )
    return pl.DataFrame(rows)


def rank_summary(table: pl.DataFrame) -> pl.DataFrame:
    """How often the target is first, by measure, beside chance.

    chance is 1 / n_tasks. It supposes that no task is drawn to the top by every prompt; null_first does not: it is the
    share of groups in which the target of another subject comes first. The interval is Wilson's (1927) for as many
    observations as there are subjects, since roles that share a target are not independent.

    Args:
        table: as for `target_ranks`.

    Returns:
        One row per design and measure: first (matched groups whose target is first), share, low, high, chance,
        null_first (null with a single subject), mean_rank, n (matched groups), n_subjects, n_tasks.

    Raises:
        DataError: as `target_ranks`.
    """
    from statsmodels.stats.proportion import proportion_confint  # slow to import

    ranks = target_ranks(table)
    others = _first_of_others(table)
    rows = []
    for (design, measure), part in ranks.group_by("design", "measure", maintain_order=True):
        first, n, n_subjects = int((part["rank"] == 1).sum()), part.height, part["subject"].n_unique()
        low, high = proportion_confint(first / n * n_subjects, n_subjects, alpha=1 - CONFIDENCE, method="wilson")
        rows.append(
            {
                "design": design,
                "measure": measure,
                "first": first,
                "share": first / n,
                "low": float(low),
                "high": float(high),
                "chance": 1 / part["n_tasks"][0],
                "null_first": others[design, measure],
                "mean_rank": float(part["rank"].to_numpy().mean()),
                "n": n,
                "n_subjects": n_subjects,
                "n_tasks": part["n_tasks"][0],
            }
        )
    return pl.DataFrame(rows, schema_overrides={"null_first": pl.Float64}, infer_schema_length=None)


def _first_of_others(table: pl.DataFrame) -> dict[tuple[Any, ...], float | None]:
    """Share of (matched group, target of another subject) in which that target comes first."""
    found: dict[tuple[Any, ...], float | None] = {}
    for grid in grids(table, "matched"):
        place = {task: i for i, task in enumerate(grid.tasks.tolist())}
        targets = {s: place[grid.tasks[np.argmax((grid.role == "target")[i])]] for i, s in enumerate(grid.subject)}
        for measure, shift in _measures(grid):
            hits: list[bool] = []
            for name in dict.fromkeys(grid.matched.tolist()):
                of_group = grid.matched == name
                pro, anti = (shift[of_group & (grid.polarity == sign)].mean(axis=0) for sign in (1, -1))
                top = np.flatnonzero(pro - anti >= (pro - anti).max())
                own = targets[grid.subject[of_group][0]]
                hits += [len(top) == 1 and top[0] == at for at in set(targets.values()) - {own}]
            found[grid.design, measure] = float(np.mean(hits)) if hits else None
    return found


def _measures(grid: Grid) -> Iterator[tuple[str, Cells]]:
    yield "choice", grid.choice
    yield from grid.scores.items()


def _mean(
    values: Cells,
    mask: Bool[np.ndarray, "condition task"],
    of_conditions: Float[np.ndarray, "resample condition"],
    of_tasks: Float[np.ndarray, "resample task"],
) -> tuple[float, Float[np.ndarray, " resample"]]:
    """Mean over the cells of a mask, and in every resample; NaN where there are none."""
    kept = np.where(mask, values, 0.0)
    drawn = ((of_conditions @ mask.astype(np.float64)) * of_tasks).sum(axis=1)
    sums = ((of_conditions @ kept) * of_tasks).sum(axis=1)
    mean = float(kept.sum() / mask.sum()) if mask.any() else float("nan")
    return mean, np.asarray(sums / np.where(drawn > 0, drawn, np.nan))


def _flip_p(signed: Cells, mask: Bool[np.ndarray, "condition task"], grid: Grid) -> float:
    clusters = codes_of(grid.clusters)
    sums = np.bincount(clusters, weights=np.where(mask, signed, 0.0).sum(axis=1))
    return sign_flip_p(sums[np.bincount(clusters, weights=mask.sum(axis=1)) > 0])
