"""What is said wherever a push is compared with random ones of the same length."""

from __future__ import annotations

import polars as pl

from personascope.report.findings import Row, excludes_zero
from personascope.report.findings_steering import beyond, by_chance
from personascope.report.wording import interval, number, plural, share_of, signed

PICKED = "picked on the same data, so optimistic"


def verdict(rows: pl.DataFrame, cells: str, what: str) -> str:
    """In how many cells a push does more than every random direction, beside chance.

    Args:
        rows: what `beside_random` returned; those marked `outside_usable` are not counted.
        cells: what a cell is.
        what: the effect, in the singular.
    """
    inside, note = rows, ""
    if "outside_usable" in rows.columns:
        inside = rows.filter(~pl.col("outside_usable").fill_null(value=False))
        left_out = rows.height - inside.height
        note = f" ({left_out} outside the usable range not counted)" if left_out else ""
    compared = inside.filter(pl.col("n_random") > 0)
    if compared.is_empty():
        return f"There are no random directions to compare with{note}."
    chance = f"a meaningless direction would win about {by_chance(compared):.1f}"
    won = compared.filter(pl.col("as_much") == 0)
    if won.is_empty():
        return (
            f"In none of {compared.height} {plural('cell', compared.height)} ({cells}) is the {what} larger than that "
            f"of every random direction{note}; {chance}."
        )
    text = (
        f"The {what} is larger than that of every random direction in "
        f"{share_of(beyond(compared), compared.height, 'cell')} ({cells}){note}, where {chance}"
    )
    if "low" in won.columns:
        clear = won.filter(excludes_zero())
        against = clear.filter(pl.col("value") < 0).height
        text += f"; in {clear.height} of them its interval excludes 0"
        text += f", {against} of these against the direction's sign" if against else ""
    return f"{text}."


def as_much(row: Row) -> str:
    """How many random directions do at least as much in the same cell, and how much the largest does."""
    if not row["n_random"]:
        return "there are no random directions to compare with"
    return f"{counted(row['as_much'], row['n_random'])} as much, the largest {number(row['largest_random'])}"


def counted(k: int, n: int) -> str:
    """A number of random directions with its verb."""
    verb = "does" if k == 1 else "do"
    return f"none of {n} random {plural('direction', n)} does" if k == 0 else f"{k} of {n} random directions {verb}"


def ends_of(row: Row) -> tuple[float | None, float | None, float | None]:
    """Value and interval of a row; a difference of two cells has no interval of its own."""
    return row["value"], row.get("low"), row.get("high")


def signed_estimate(value: float | None, low: float | None, high: float | None) -> str:
    """An effect with its sign, and its interval where there is one."""
    return signed(value) if low is None or high is None else f"{signed(value)} {interval(low, high)}"
