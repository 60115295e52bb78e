"""results.json of the organism study: what was planted and how much of it each step recovers."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from personascope.experiments.results import Record, records

_SECTIONS = {
    "recovery": ("recovered of what was planted", "planted_recovery"),
    "opposition": ("correlation of two personas' utilities", "planted_opposition"),
    "probes": ("probe along the planted direction", "planted_cosines"),
    "transfer": ("transfer between personas", "planted_transfer"),
    "steering": ("pushed along a direction", "planted_steering"),
}


def organism_results(tables: Mapping[str, pl.DataFrame]) -> dict[str, list[Record]]:
    """Sections recovery, opposition, probes, transfer and steering."""
    return {section: _records(name, tables[table]) for section, (name, table) in _SECTIONS.items()}


def planted_records(tables: Mapping[str, pl.DataFrame]) -> list[Record]:
    """What was recovered of personas and of how they lie to each other, as one section of another study's results."""
    recovery, opposition = tables["planted_recovery"], tables["planted_opposition"]
    return [
        *records(recovery, _SECTIONS["recovery"][0], "r", "n", ["state", "persona", "what", "slope"]),
        *records(opposition, _SECTIONS["opposition"][0], "r", "n", ["state", "persona", "other", "planted_r"]),
    ]


def _records(name: str, table: pl.DataFrame) -> list[Record]:
    return [{"name": name, **row} for row in table.to_dicts()]
