"""What steering does beside random pushes of the same length: the numbers that figures and paragraphs share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from personascope.report.findings import Row

PROBE, RANDOM = "probe", "random"
NAMED = (PROBE, "own", "other layer")
"""Directions that mean something; all others are random."""
ALL_PAIRS = "all pairs"
SWING = "swing"
CONTRAST = "contrast"
TARGETS = {
    CONTRAST: "+ on one task, − on the other",
    "better task": "Better task up, worse task down",
    "one task": "Push on one task only",
}
_TIE = 1e-12


def of_kind(frame: pl.DataFrame, kind: str) -> pl.DataFrame:
    """The rows of one kind of direction: one of `NAMED`, or random."""
    direction = pl.col("direction")
    return frame.filter(~direction.is_in(NAMED) if kind == RANDOM else direction == kind)


def by_kind(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The rows of each kind of direction that is there, in their order: `of_kind` for all kinds at once."""
    direction = pl.col("direction")
    kind = pl.when(direction.is_in(NAMED)).then(direction).otherwise(pl.lit(RANDOM)).alias("_kind")
    parts = frame.with_columns(kind).partition_by("_kind", maintain_order=True)
    return {part["_kind"][0]: part for part in parts}


def named_keys(frame: pl.DataFrame) -> pl.DataFrame:
    """The table with its coded `target` and `pair_type` in words, as selectors show them."""
    words = {"target": TARGETS, "pair_type": {"all": ALL_PAIRS}}
    return frame.with_columns(pl.col(name).replace(text) for name, text in words.items() if name in frame.columns)


def strength(c: float) -> str:
    """A coefficient as the value of a selector, the same in Python and in the page's script."""
    return f"{c:g}"


def swings(curve: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """v(+c) - v(-c) for every strength c > 0 of which both signs are known.

    Args:
        curve: columns of `by`, layer, direction, coefficient, value, low, high, n and, where they exist, label_mass and
            outside_usable.
        by: columns that tell curves apart.

    Returns:
        Columns of `by`, layer, direction, coefficient (c), value, plus, plus_low, plus_high, minus, minus_low,
        minus_high, n and label_mass (the lower ones), outside_usable (of either sign), apart (whether the intervals at
        both signs do not overlap).
    """
    keys = [*by, "layer", "direction", "coefficient"]
    more = {name: curve[name] if name in curve.columns else pl.lit(None) for name in ("label_mass", "outside_usable")}
    full = curve.with_columns(**more).cast({"label_mass": pl.Float64, "outside_usable": pl.Boolean})
    full = full.drop_nulls("value").with_columns(coefficient=pl.col("coefficient").round(9))
    ends = ["value", "low", "high", "n", "label_mass", "outside_usable"]
    up = full.filter(pl.col("coefficient") > 0).select(*keys, *ends)
    down = full.filter(pl.col("coefficient") < 0).select(*keys, *ends).with_columns(coefficient=-pl.col("coefficient"))
    both = up.join(down, on=keys, suffix="_down", nulls_equal=True, maintain_order="left")
    apart = (pl.col("low") > pl.col("high_down")) | (pl.col("high") < pl.col("low_down"))
    return both.select(
        *keys,
        (pl.col("value") - pl.col("value_down")).alias("value"),
        *(
            pl.col(f"{end}{suffix}").alias(f"{sign}{name}")
            for sign, suffix in (("plus", ""), ("minus", "_down"))
            for end, name in (("value", ""), ("low", "_low"), ("high", "_high"))
        ),
        pl.min_horizontal("n", "n_down").alias("n"),
        pl.min_horizontal("label_mass", "label_mass_down").alias("label_mass"),
        (pl.col("outside_usable") | pl.col("outside_usable_down")).alias("outside_usable"),
        apart.fill_null(value=False).alias("apart"),
    )


def beside_random(effects: pl.DataFrame, by: Sequence[str], kind: str = PROBE) -> pl.DataFrame:
    """The rows of one kind of direction with what random directions of the same length do in the same cell.

    Args:
        effects: columns of `by`, layer, direction, coefficient and value (an effect, 0 where nothing happens).
        by: columns that tell cells apart beside layer and coefficient.
        kind: "probe", "own" or "other layer".

    Returns:
        The rows whose value is known, with n_random, largest_random (largest absolute value; null without any) and
        as_much (how many random directions do at least as much, in either sense).
    """
    cell = [*by, "layer", "coefficient"]
    known = effects.drop_nulls("value")
    sizes = of_kind(known, RANDOM).group_by(cell).agg(_sizes=pl.col("value").abs())
    joined = of_kind(known, kind).join(sizes, on=cell, how="left", nulls_equal=True, maintain_order="left")
    found = []
    for value, random in joined.select("value", "_sizes").iter_rows():
        sized = random or []
        found.append((len(sized), max(sized, default=None), sum(one >= abs(value) - _TIE for one in sized)))
    schema = {"n_random": pl.Int64, "largest_random": pl.Float64, "as_much": pl.Int64}
    return joined.drop("_sizes").hstack(pl.DataFrame(found, schema=schema, orient="row"))


def largest(frame: pl.DataFrame) -> Row | None:
    """The row with the largest absolute value, inside the usable range if that is known of any; the first of equals."""
    known = frame.drop_nulls("value")
    if "outside_usable" in known.columns:
        inside = known.filter(~pl.col("outside_usable").fill_null(value=False))
        known = inside if inside.height else known
    order = known.sort(pl.col("value").abs(), descending=True, maintain_order=True)
    return order.row(0, named=True) if order.height else None


def beyond(rows: pl.DataFrame) -> int:
    """How many rows of `beside_random` do more than every random direction of their cell."""
    return rows.filter((pl.col("n_random") > 0) & (pl.col("as_much") == 0)).height


def by_chance(rows: pl.DataFrame) -> float:
    """How many of these rows a direction without meaning would win: one in (1 + number of random ones) of each."""
    return float(sum(1 / (1 + n) for n in rows["n_random"] if n))


def opening(frame: pl.DataFrame, keys: Sequence[str]) -> dict[str, Any]:
    """Values of `keys` at which a section opens: those of the first target's largest effect of the probe direction.

    Args:
        frame: effects, doses (their slopes decide) or a curve (its swings decide), with columns of `keys`. A
            coefficient becomes text.
        keys: layer, coefficient, and all columns that tell the table's curves apart.
    """
    by = [key for key in keys if key not in ("layer", "coefficient")]
    every = frame.filter(pl.col("pair_type") == ALL_PAIRS) if "pair_type" in frame.columns else frame.clear()
    first = (every if every.height else frame).row(0, named=True)
    own = of_kind(frame, PROBE).filter(pl.lit(value=True), *(pl.col(key).eq_missing(first[key]) for key in by))
    if "effect" in own.columns:
        own = own.filter(pl.col("effect") == SWING)
    elif "slope" in own.columns:
        own = own.with_columns(value=pl.col("slope"))
    else:
        own = swings(own, by)
    top = largest(own) or first
    found = {key: top[key] if key in top else first[key] for key in keys}
    return found | ({"coefficient": strength(abs(found["coefficient"]))} if "coefficient" in found else {})


def matches(meta: Mapping[str, Any], start: Mapping[str, Any]) -> bool:
    """Whether a trace is shown at first: it agrees with the start wherever it says something."""
    return all(meta[key] == value for key, value in start.items() if key in meta)


def with_unsteered(curve: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Every direction with a row at c = 0: that of the probe where it has none, for that was asked once for all."""
    keys = [*by, "layer"]
    zero = curve.filter(pl.col("coefficient") == 0)
    names = [name for name in ("direction", "control") if name in curve.columns]
    lacking = curve.select(*keys, *names).unique(maintain_order=True)
    lacking = lacking.join(zero, on=[*keys, "direction"], how="anti", nulls_equal=True, maintain_order="left")
    shared = of_kind(zero, PROBE).drop(names)
    added = lacking.join(shared, on=keys, how="inner", nulls_equal=True, maintain_order="left")
    return pl.concat([curve, added.select(curve.columns)])


def from_zero(curve: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """v(c) - v(0) as `value` for every c other than 0 of which both are known, beside `steered` and `unsteered`."""
    keys = [*by, "layer", "direction"]
    every = with_unsteered(curve, by)
    zero = every.filter(pl.col("coefficient") == 0).select(*keys, pl.col("value").alias("unsteered"))
    both = curve.filter(pl.col("coefficient") != 0).join(zero, on=keys, nulls_equal=True, maintain_order="left")
    return both.with_columns(steered=pl.col("value"), value=pl.col("value") - pl.col("unsteered")).drop_nulls("value")


def of_all_pairs(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows over all types of pairs; those of the first type where there are none."""
    if "pair_type" not in frame.columns or frame.is_empty():
        return frame
    names = frame["pair_type"].to_list()
    return frame.filter(pl.col("pair_type") == ("all" if "all" in names else names[0]))
