"""Which layers and which numbers the sections of a layer sweep rest on."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from personascope.report.findings import Row, excludes_zero

PREFERENCE = "preference"
"""The direction in the table of facet cosines that is not a facet's."""


def highest(frame: pl.DataFrame, column: str = "value") -> Row | None:
    """The row with the highest number, the first of equals; None when no row has one."""
    known = frame.drop_nulls(column).sort(column, descending=True, maintain_order=True)
    return known.row(0, named=True) if known.height else None


def left_out(frame: pl.DataFrame, target: str, what: str) -> pl.DataFrame:
    """Correlations of one kind of one target, over layers."""
    return frame.filter(pl.col("target") == target, pl.col("what") == what, pl.col("metric") == "r")


def surviving_layer(tables: Mapping[str, pl.DataFrame]) -> int | None:
    """The layer at which the section on controls opens: the best pooled r of the first target, groups left out."""
    if "leave_one_group" in tables:
        frame = tables["leave_one_group"]
        best = highest(left_out(frame, frame["target"][0], "pooled"))
    else:
        frame = tables["removals"]
        best = highest(untouched(frame, frame["target"][0]), "r")
    return None if best is None else int(best["layer"])


def untouched(removals: pl.DataFrame, target: str) -> pl.DataFrame:
    """A target's probes before anything is removed."""
    return removals.filter(pl.col("target") == target, pl.col("step") == 0, pl.col("removed") == "probe")


def split_target(frame: pl.DataFrame) -> pl.DataFrame:
    """With `of` and `without` taken from names such as "utility, text removed"; without a comma `without` is empty."""
    parts = pl.col("target").str.extract_groups(r"^(?s)(?<of>.*), (?<without>.*?)$")
    return frame.with_columns(
        of=pl.coalesce(parts.struct.field("of"), "target"),
        without=pl.coalesce(parts.struct.field("without"), pl.lit("")),
    )


def facet_layer(probes: pl.DataFrame) -> int:
    """The layer at which facets are read best: the highest mean r over facets."""
    means = probes.group_by("layer").agg(pl.col("value").mean().fill_null(-2.0))
    return int(means.sort(["value", "layer"], descending=[True, False])["layer"][0])


def facets_open_at(tables: Mapping[str, pl.DataFrame]) -> int:
    """The layer at which all figures of the section on facets open: where facets are read best, if that is known."""
    return facet_layer(tables["facet_probes"]) if "facet_probes" in tables else cosine_layer(tables["facet_cosines"])


def preference_cosines(frame: pl.DataFrame) -> pl.DataFrame:
    """Cosines of the preference direction with each facet's."""
    return frame.filter(pl.col("direction") == PREFERENCE, pl.col("other") != PREFERENCE)


def between_facets(frame: pl.DataFrame) -> pl.DataFrame:
    """Cosines of facets with other facets, both ways round."""
    facets = (pl.col("direction") != PREFERENCE) & (pl.col("other") != PREFERENCE)
    return frame.filter(facets, pl.col("direction") != pl.col("other"))


def cosine_layer(frame: pl.DataFrame) -> int:
    """The layer where most facets lie beyond the null of the preference direction, or that of the largest |cosine|."""
    beyond = pl.col("cosine").abs() > pl.col("null_high")
    counts = (
        preference_cosines(frame)
        .group_by("layer")
        .agg(beyond=beyond.sum(), size=pl.col("cosine").abs().max().fill_null(0.0))
    )
    if counts.is_empty():
        return int(frame["layer"][0])
    return int(counts.sort(["beyond", "size", "layer"], descending=[True, True, False])["layer"][0])


def above_zero(frame: pl.DataFrame) -> int:
    """How many rows have an interval above zero."""
    return frame.filter(excludes_zero() & (pl.col("value") > 0)).height
