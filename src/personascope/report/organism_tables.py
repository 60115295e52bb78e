"""A checked organism as tables for a terminal: what was planted beside what came back."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from rich.markup import escape
from rich.table import Table

from personascope.report.findings_steering import beside_random
from personascope.report.sentences_organism import r_told
from personascope.report.wording import estimate, number, signed


def organism_tables(tables: Mapping[str, pl.DataFrame]) -> list[Table | str]:
    """Everything that `organism` shows, in order: recovery, opposition, probes, steering, and how to read them."""
    return [
        recovery_table(tables["planted_recovery"]),
        opposition_table(tables["planted_opposition"]),
        probe_table(tables["planted_cosines"], tables["planted_transfer"]),
        steering_table(tables["planted_steering"]),
        "r: correlation with what was planted, over tasks and facets; intervals are 95 % (utilities: over topics, "
        "which are few, so they are rough). No task or item that is asked here was taught. The base shows what it "
        "prefers by itself: nothing is planted in it.",
    ]


def recovery_table(frame: pl.DataFrame) -> Table:
    """How much came back, persona by persona, beside the base."""
    table = Table(
        "what", "persona", "base r", "organism r", "slope", "n", "spread elsewhere", title="Planted, recovered"
    )
    rows = {(row["what"], row["persona"], row["state"]): row for row in frame.to_dicts()}
    for what, persona in dict.fromkeys((what, persona) for what, persona, _ in rows):
        base, own = rows[what, persona, "base"], rows[what, persona, "organism"]
        elsewhere = own["spread_untaught"]
        share = "" if elsewhere is None else f"{number(elsewhere)} of {number(own['spread'])}"
        table.add_row(what, escape(persona), r_told(base), r_told(own), number(own["slope"]), str(own["n"]), share)
    table.caption = "Slope: recovered per planted 1. Spread elsewhere: sd of utilities in topics that were not taught."
    return table


def opposition_table(frame: pl.DataFrame) -> Table:
    """Whether personas want the opposite, or unrelated things, as planted."""
    table = Table("personas", "planted r", "base r", "organism r", title="Utilities of two personas")
    for persona, other in frame.select("persona", "other").unique(maintain_order=True).iter_rows():
        pair = frame.filter(pl.col("persona") == persona, pl.col("other") == other)
        rows = {row["state"]: row for row in pair.to_dicts()}
        table.add_row(
            escape(f"{persona}, {other}"),
            signed(rows["organism"]["planted_r"]),
            r_told(rows["base"]),
            r_told(rows["organism"]),
        )
    return table


def probe_table(cosines: pl.DataFrame, transfer: pl.DataFrame) -> Table:
    """Probes of the recovered utilities: along the planted direction, and across personas, whole topics left out."""
    personas = cosines["persona"].to_list()
    columns = ["probe of", "cosine with planted", "95 % of random below", *[f"r on {name}" for name in personas]]
    table = Table(*map(escape, columns), title=f"Probes after layer {cosines['layer'][0]}")
    found = {(row["train"], row["test"]): row for row in transfer.to_dicts()}
    for row in cosines.to_dicts():
        cells = [r_told(found[row["persona"], name]) for name in personas]
        table.add_row(escape(row["persona"]), signed(row["cosine"]), number(row["null_high"]), *cells)
    return table


def steering_table(frame: pl.DataFrame) -> Table:
    """Pushes along the planted direction beside the farthest random one of the same strength."""
    table = Table(
        "persona", "coefficient", "change along planted", "largest along random", title="Steered: log-odds of task A"
    )
    rows = beside_random(frame.filter(pl.col("coefficient") != 0), ("persona",)).drop_nulls("largest_random")
    for row in rows.to_dicts():
        change = estimate(row["value"], row["low"], row["high"])
        table.add_row(escape(row["persona"]), signed(row["coefficient"]), change, f"±{number(row['largest_random'])}")
    return table
