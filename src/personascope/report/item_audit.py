"""An item audit as tables for a terminal, to be read by someone who has never seen one."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from rich.markup import escape
from rich.table import Table

from personascope.instruments.audit.report import Audit
from personascope.instruments.upscaled import Upscaled

SHOWN = 20
"""So many flagged items are listed; the file of reasons holds all of them."""


def audit_tables(audit: Audit) -> list[Table | str]:
    """Everything that `items check` shows, in order: balance, findings, flagged items, summary."""
    n = flagged(audit).height
    parts: list[Table | str] = [balance_table(audit), checks_table(audit)]
    if n:
        parts.append(flagged_table(audit))
    if n > SHOWN:
        parts.append(f"{n - SHOWN} more are flagged; --reasons FILE.csv writes all of them.")
    return [*parts, summary_table(audit)]


def upscaled_tables(made: Upscaled, out: Path) -> list[Table | str]:
    """What an upscaling run made, what it lacks, why candidates fell, and where the files are."""
    frame = made.frame()
    reasons = frame.filter(~pl.col("accepted"))["reasons"].str.replace_all(r"['(:].*", "").str.strip_chars()
    counts = reasons.value_counts(sort=True).head(SHOWN)
    why = Table("why candidates were left out", "candidates")
    for reason, count in counts.iter_rows():
        why.add_row(escape(reason), str(count))
    lacking = [
        f"missing: {facet} keyed {key:+d} has {items} of {wanted}"
        for facet, key, items, wanted in made.missing.iter_rows()
    ]
    return [
        why,
        *lacking,
        f"{len(made.bank.items)} of {frame.height} candidates passed; {made.calls} answers, about {made.tokens:,} "
        f"tokens; {made.stopped}",
        f"Bank: {escape(str(out))} (unvalidated generated items), version {made.version[:12]}",
    ]


def balance_table(audit: Audit) -> Table:
    """Items of each facet and key, how much of the reversal is by negation, and the gap in desirability."""
    bank = audit.bank
    columns = ("domain", "facet", "keyed +", "keyed -", "reversed by not", "desirability gap", "note")
    table = Table(*columns, title=f"{escape(bank.name)}: {len(bank.items)} items")
    for row in audit.facets.iter_rows(named=True):
        table.add_row(
            row["domain"] or "-",
            row["facet"],
            str(row["plus"]),
            str(row["minus"]),
            "-" if row["negated"] is None else f"{row['negated']:.0%}",
            "-" if row["gap"] is None else f"{row['gap']:+.2f}",
            row["note"],
        )
    return table


def summary_table(audit: Audit) -> Table:
    """The headline numbers and how to read them."""
    table = Table("what", "value", "how to read it", title="Summary")
    for name, value, note in audit.summary().iter_rows():
        whole = name in ("items", "keep", "review", "drop")
        table.add_row(name, "-" if value is None else f"{value:.0f}" if whole else f"{value:.3f}", note)
    return table


def checks_table(audit: Audit) -> Table:
    """How often each check spoke, the serious ones first."""
    table = Table("check", "verdict", "items", title="Findings (keep: a note that changes nothing)")
    for check, verdict, items in audit.checks().iter_rows():
        table.add_row(check, verdict, str(items))
    return table


def flagged_table(audit: Audit) -> Table:
    """The first items that are not simply kept, those to drop first, with the reasons."""
    table = Table("item", "verdict", "text", "reasons", title="Flagged items")
    for row in flagged(audit).head(SHOWN).iter_rows(named=True):
        table.add_row(escape(row["item"]), row["verdict"], escape(row["text"]), escape(row["reasons"]))
    return table


def flagged(audit: Audit) -> pl.DataFrame:
    """Rows of the audit's frame whose verdict is drop or review, in this order."""
    return audit.frame().filter(pl.col("verdict") != "keep").sort("verdict", maintain_order=True)
