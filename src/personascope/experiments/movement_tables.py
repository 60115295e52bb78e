"""How far each run moved the model: gap closed, facets, shape, drift, specificity, and where else it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from personascope.errors import DataError
from personascope.measures.reliability import correlate
from personascope.measures.scales import facet_scores
from personascope.tuning.drift import ideal_drift
from personascope.tuning.movement import gap_closed
from personascope.tuning.movement_facets import facet_closure
from personascope.tuning.movement_shape import movement_shape
from personascope.tuning.specificity import specificity
from personascope.tuning.transfer import transfer_ratio

Items = Mapping[str, pl.DataFrame]
"""By run: `tuned_answers.paired` of the test items."""
POINTS = ("before", "ideal", "other", "after", "ideal_after", "other_after")


def movement_tables(items: Items, how: Mapping[str, Any]) -> dict[str, pl.DataFrame]:
    """Tables of all runs, each with a column run that comes first.

    Args:
        items: of every run.
        how: n_resamples and seed.

    Returns:
        "tuning_gap" (`GapClosed.frame`), "tuning_closure" (`facet_closure`), "tuning_shape", "tuning_drift",
        "tuning_drift_facets", "tuning_specificity", "tuning_profiles" (`profiles`), "tuning_likeness" (`likeness`),
        "tuning_items" (what all stand on) and, of several runs, "tuning_beyond" (`beyond_others`).
    """
    settings = dict(how)
    found: dict[str, list[pl.DataFrame]] = {}

    def add(table: str, run: str, frame: pl.DataFrame) -> None:
        found.setdefault(table, []).append(frame.select(pl.lit(run).alias("run"), pl.all()))

    for run, own in items.items():
        add("tuning_gap", run, gap_closed(own, cluster="cluster", **settings).frame())
        add("tuning_closure", run, facet_closure(own, cluster="cluster", **settings))
        add("tuning_shape", run, movement_shape(own, cluster="cluster", **settings).frame())
        drift = ideal_drift(own, cluster="cluster", **settings)
        add("tuning_drift", run, drift.frame())
        add("tuning_drift_facets", run, drift.facets)
        add("tuning_specificity", run, specificity(own, cluster="cluster", **settings).frame())
        add("tuning_profiles", run, profiles(own, settings))
        add("tuning_items", run, own)
    tables = {name: pl.concat(frames, how="diagonal_relaxed") for name, frames in found.items()}
    beyond = {"tuning_beyond": beyond_others(items, settings)} if len(items) > 1 else {}
    return tables | {"tuning_likeness": likeness(items, settings), **beyond}


def beyond_others(items: Items, how: Mapping[str, Any]) -> pl.DataFrame:
    """How much more of the gap the first run closed than every other run did, on the same items.

    The gap closed is linear in the movement, so the difference of two runs is the gap closed by the difference of their
    movements. Its interval is paired, and the error of "before" is the same in both movements and drops out.

    Returns:
        Columns run (the first), other, and those of `GapClosed.frame`. A run that answers like the first has only its
        reason, in the row of the whole gap.
    """
    run, *others = items
    own = items[run].select("item", pl.col("after").alias("first"))
    frames = []
    for other in others:
        both = items[other].join(own, on="item", maintain_order="left")
        # A third of everything, for the movement to stay within the range of scores; shares of a gap have no unit.
        apart = both.with_columns(
            pl.col("before", "ideal") / 3, after=(pl.col("before") + (pl.col("first") - pl.col("after"))) / 3
        )
        about = (pl.lit(run).alias("run"), pl.lit(other).alias("other"))
        try:
            frames.append(gap_closed(apart, cluster="cluster", **how).frame().select(*about, pl.all()))
        except DataError as error:
            none = {"keys": "both", "centred": False, "refused": error.symptom, "n_items": apart.height}
            frames.append(pl.DataFrame([none]).select(*about, pl.all()))
    return pl.concat(frames, how="diagonal_relaxed")


def profiles(own: pl.DataFrame, how: Mapping[str, Any]) -> pl.DataFrame:
    """Facet scores of self, ideal and helpful assistant before and after: point, facet, trait, low, high, n_items."""
    long = pl.concat(
        own.drop_nulls(point).select(
            pl.lit(point).alias("persona"),
            "item",
            "facet",
            pl.lit(None, pl.String).alias("domain"),
            "key",
            (pl.col("key") * pl.col(point)).alias("agreement"),
        )
        for point in POINTS
    )
    return facet_scores(long, **how).select(
        pl.col("persona").alias("point"), "facet", "trait", "low", "high", "n_items"
    )


def likeness(items: Items, how: Mapping[str, Any]) -> pl.DataFrame:
    """Do runs move the same facets? Correlation of the facets' movements of every two: run, other, r, low, high, n."""
    moved = {run: dict(facet_movement(own).iter_rows()) for run, own in items.items()}
    rows = []
    for run, other in ((a, b) for a in moved for b in moved if a != b):
        facets = [facet for facet in moved[run] if facet in moved[other]]
        x, y = (np.array([one[facet] for facet in facets]) for one in (moved[run], moved[other]))
        row: dict[str, Any] = {"run": run, "other": other, "r": None, "low": None, "high": None, "n": len(facets)}
        if len(facets) > 2 and min(np.ptp(x), np.ptp(y)) > 0:
            agreed = correlate(x, y, **how)
            row |= {"r": agreed.r, "low": agreed.low, "high": agreed.high}
        rows.append(row)
    numbers = dict.fromkeys(("r", "low", "high"), pl.Float64)
    schema = {"run": pl.String, "other": pl.String, **numbers, "n": pl.Int64}
    return pl.DataFrame(rows, schema=schema)


def transfer_table(taught: pl.DataFrame, elsewhere: Items, how: Mapping[str, Any]) -> pl.DataFrame:
    """Gap closed in other forms, and its share of that in the form that was taught.

    Args:
        taught: the first run's test items on the scale that was taught.
        elsewhere: by form, items of the same run in another.
        how: n_resamples and seed.

    Returns:
        One row per form: form, gap_closed with low, high and refused; naive_biased; ratio (of it to that on the taught
        scale) with ratio_low, ratio_high, ratio_refused; n_items. A form with too few items has only its reason.
    """
    rows = []
    for form, own in elsewhere.items():
        row: dict[str, Any] = {"form": form, "n_items": own.height}
        settings = {"cluster": "cluster", **how}
        try:
            gap = gap_closed(own, **settings).whole.closed
            ratio = transfer_ratio(own, taught, **settings).ratio
        except DataError as error:
            rows.append(row | {"refused": error.symptom, "ratio_refused": error.symptom})
            continue
        row |= {"gap_closed": gap.value, "low": gap.low, "high": gap.high, "refused": gap.refused}
        row |= {"naive_biased": gap.naive_biased, "ratio": ratio.value, "ratio_low": ratio.low}
        rows.append(row | {"ratio_high": ratio.high, "ratio_refused": ratio.refused})
    numbers = ("gap_closed", "low", "high", "naive_biased", "ratio", "ratio_low", "ratio_high")
    schema = {"form": pl.String, **dict.fromkeys(numbers, pl.Float64)}
    schema |= {"refused": pl.String, "ratio_refused": pl.String, "n_items": pl.Int64}
    return pl.DataFrame(rows, schema=schema)


def held_out_table(items: Items, held_out: Mapping[str, Sequence[str]], how: Mapping[str, Any]) -> pl.DataFrame:
    """As `transfer_table`, of runs that were not taught some facets: these against the facets that were taught."""
    rows = []
    for run, facets in held_out.items():
        own = items[run]
        outside = pl.col("facet").is_in(list(facets))
        found = transfer_table(own.filter(~outside), {"held-out facets": own.filter(outside)}, how)
        rows.append(found.select(pl.lit(run).alias("run"), pl.all()))
    return pl.concat(rows)


def facet_movement(own: pl.DataFrame) -> pl.DataFrame:
    """After - before of each facet, keys weighing alike: facet, moved."""
    keyed = own.group_by("facet", "key", maintain_order=True).agg(moved=(pl.col("after") - pl.col("before")).mean())
    return keyed.group_by("facet", maintain_order=True).agg(pl.col("moved").mean())
