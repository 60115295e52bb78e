"""At which layer the paragraphs on sharing and on shifts speak, and whose utilities a correlation is with."""

from __future__ import annotations

import polars as pl

from personascope.report.findings import best_transfer
from personascope.report.outline import Tables

Place = tuple[int, str]
PROBE, ENCODER, RANDOM = "probe", "encoder", "random"
BEFORE = "before the "
"""Begins the names of turns that are read before the text in question stands, as a control."""


def bias_role() -> pl.Expr:
    """Of rows of a table of probe bias: whose utilities r is with, and given whose.

    "read" and "trained" are the persona the probe reads and that it was trained on, "yardstick" the persona that the
    model has without a prompt; "partial trained" and "partial yardstick" the same given the one that is read.
    """
    third = pl.col("third")
    known = pl.when(third == pl.col("test")).then(pl.lit("read")).when(third == pl.col("train"))
    who = known.then(pl.lit("trained")).otherwise(pl.lit("yardstick"))
    kind = pl.col("kind")
    return (
        pl.when(kind == "double partial")
        .then(kind)
        .when(kind == "partial")
        .then(pl.lit("partial ") + who)
        .otherwise(who)
    )


def highest(frame: pl.DataFrame, value: pl.Expr) -> Place:
    """(layer, position) with the highest mean of a value, the first of the table where none has one."""
    means = frame.group_by("layer", "position", maintain_order=True).agg(value.mean().alias("_mean"))
    best = means.sort("_mean", descending=True, nulls_last=True, maintain_order=True)
    return best["layer"][0], best["position"][0]


def at(frame: pl.DataFrame, place: Place) -> pl.DataFrame:
    """The rows of one layer and position."""
    return frame.filter((pl.col("layer") == place[0]) & (pl.col("position") == place[1]))


def start_of(tables: Tables, names: tuple[str, ...]) -> Place:
    """Where a section opens: the layer of the best transfer (first of `names`), or the first of the first table."""
    best = best_transfer(tables[names[0]]) if names[0] in tables else None
    frame = next(tables[name] for name in names if name in tables and "position" in tables[name].columns)
    return best or (frame["layer"][0], frame["position"][0])


def best_shift_layer(correlations: pl.DataFrame) -> int:
    """The layer at which the probe's shifts go best with those of choices, over all tasks and designs."""
    kept = (pl.col("scorer") == PROBE) & (pl.col("cells") == "all") & (pl.col("statistic") == "pearson")
    return _largest(correlations.filter(kept), "value", correlations)


def best_stimulus_layer(effects: pl.DataFrame) -> int:
    """The layer at which the probe tells labels apart most, whatever the sign, over all sets, turns and personas."""
    told = effects.filter((pl.col("scorer") == PROBE) & ~pl.col("turn").str.starts_with(BEFORE))
    return _largest(told, "d_paired", effects)


def _largest(frame: pl.DataFrame, value: str, every: pl.DataFrame) -> int:
    size = pl.col(value) if value == "value" else pl.col(value).abs()
    means = frame.drop_nulls("layer").group_by("layer", maintain_order=True).agg(size.mean().alias("_mean"))
    known = means.drop_nulls("_mean").sort("_mean", descending=True, maintain_order=True)["layer"].to_list()
    return int([*known, *every["layer"].drop_nulls().to_list(), 0][0])
