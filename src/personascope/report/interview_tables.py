"""A live interview on a terminal: where the respondent lies, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from rich.markup import escape
from rich.table import Table

from personascope.instruments.facets import DOMAINS
from personascope.report.wording import pretty

_REACH, _CELLS = 3.0, 21
"""Standard deviations that the bar shows to each side, and its width."""


def profile_table(profile: pl.DataFrame, level: str, truth: Mapping[str, float] | None = None) -> Table:
    """One row per domain or facet: a bar with its 95 % interval, mean, answers.

    Args:
        profile: as `Session.profile`.
        level: "domain" or "facet".
        truth: where the respondent truly lies on each facet, of a simulated one; only with level "facet".
    """
    own = profile.filter(pl.col("level") == level)
    table = Table()
    table.add_column(level, no_wrap=True)
    table.add_column(f"-{_REACH:g}{'sd of people':^{_CELLS - 4}}+{_REACH:g}", no_wrap=True)
    table.add_column("mean and 95 %", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    if truth is not None:
        table.add_column("truly", justify="right", no_wrap=True)
    for row in own.to_dicts():
        name = DOMAINS[row["name"]][0] if level == "domain" else pretty(row["name"])
        true = None if truth is None else truth[row["name"]]
        mean, low, high = (f"{row[end]:+.1f}" for end in ("mean", "low", "high"))
        cells = [
            name,
            bar(row["mean"], row["low"], row["high"], true),
            escape(f"{mean} [{low}, {high}]"),
            str(row["n"]),
        ]
        table.add_row(*cells, *([] if true is None else [f"{true:+.1f}"]))
    return table


def bar(mean: float, low: float, high: float, truth: float | None = None) -> str:
    """The interval as a line of characters: ─ inside it, ● the mean, ┊ the middle of people, ◇ the truth."""

    def cell(value: float) -> int:
        share = (min(max(value, -_REACH), _REACH) + _REACH) / (2 * _REACH)
        return round(share * (_CELLS - 1))

    line = [" "] * _CELLS
    line[cell(0.0)] = "┊"
    for place in range(cell(low), cell(high) + 1):
        line[place] = "─"
    if truth is not None:
        line[cell(truth)] = "◇"
    line[cell(mean)] = "●"
    return "".join(line)
