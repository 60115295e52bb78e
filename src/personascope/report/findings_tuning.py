"""Runs of the ideal-self study as a reader meets them: what was taught, why a number is refused, its control."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import polars as pl

from personascope.report.findings import Row
from personascope.report.outline import Tables
from personascope.report.wording import estimate, excerpt, figure_text, number, wrapped

LESSONS = {
    "meta": "its ideal's answers",
    "self": "its own answers",
    "shuffled": "its ideal's answers, dealt to other items",
    "helpful": "the ideal assistant's answers",
    "opposite": "the opposite of its ideal's answers",
    "high": "the + pole of few facets",
    "low": "the − pole of few facets",
    "like": "to take the tasks of few topics",
    "dislike": "to leave the tasks of few topics",
}
"""What a run was taught, by target; all but the first, and the narrow ones at the end, are controls."""
TAUGHT = "meta"
_LONGEST = 34
_WEAK = re.compile(r"^weak: the halves of (?P<what>.+) do not clearly agree, (?P<r>.+)$")
_DIFFERENCES = {
    "ideal - before": "the gap between self and ideal",
    "other - before": "the gap between self and helpful assistant",
    "after - before": "the movement",
}


def run_name(run: str) -> str:
    """A run's name as it is stored, in one line."""
    return excerpt(run, _LONGEST)


def run_label(run: str) -> str:
    """The same for a figure."""
    return figure_text(run_name(run))


def targets(tables: Tables) -> dict[str, str]:
    """What each run was taught, where the table of runs is there."""
    runs = tables.get("tuning_runs")
    return {} if runs is None else dict(runs.select("run", "target").iter_rows())


def order(frame: pl.DataFrame, column: str = "run") -> list[str]:
    """Its runs in their order; the first is the one that all is about."""
    return list(frame[column].unique(maintain_order=True))


def gaps(frame: pl.DataFrame, keys: str = "both", *, centred: bool = False) -> pl.DataFrame:
    """One row for each run: the gap closed over both keys or one, or of the profile alone."""
    return frame.filter(pl.col("keys") == keys, pl.col("centred") == centred)


def side(low: float | None, high: float | None) -> int:
    """1 where an interval lies above 0, -1 where it lies below, 0 where it does not lie off 0."""
    return int(low is not None and low > 0) - int(high is not None and high < 0)


def why(refused: str | None) -> str:
    """A reason for which there is no number, in words."""
    text = (refused or "no value was found").strip().partition("; left out")[0].rstrip(".")
    place = ""
    for part, name in (("numerator ", "here "), ("denominator ", "on what it is compared with ")):
        if text.startswith(part):
            text, place = text.removeprefix(part), name
    if weak := _WEAK.match(text):
        what = _DIFFERENCES.get(weak["what"], weak["what"])
        text = f"{what} cannot be told from error (its two halves of items agree {weak['r']})"
    text = text.removeprefix("weak: ").replace("1 facets have", "1 facet has")
    return true_minus(place + text)


def true_minus(text: str) -> str:
    """A text in which numbers below 0 have the sign that the page gives them."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text)


def told(row: Row, names: Sequence[str] = ("gap_closed", "low", "high"), refused: str = "refused") -> str:
    """A value with its interval, or that it is refused, for a hover box or a cell of a table."""
    value, low, high = (row.get(name) for name in names)
    if value is None:
        return f"refused: {why(row.get(refused))}"
    return estimate(value, low, high)


def hover_told(row: Row, names: Sequence[str] = ("gap_closed", "low", "high"), refused: str = "refused") -> str:
    """`told` for a hover box: a reason of many words is broken into lines."""
    return wrapped(told(row, names, refused), 64)


def biased(row: Row) -> str:
    """The plain slope, called what it is."""
    return f"plain slope {number(row.get('naive_biased'))} (biased)"


def span(values: Iterable[float | None]) -> tuple[float, float] | None:
    """Smallest and largest of what is known."""
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if known else None
