"""results.json of the ideal-self study: movement with its refusals, controls, transfer, shifts, steering beside it."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from personascope.experiments.results import Record
from personascope.experiments.results_preferences import table_records

Tables = Mapping[str, pl.DataFrame]


def tuning_results(tables: Tables) -> dict[str, list[Record]]:
    """Sections runs, movement, drift, specificity, likeness, transfer, damage, shift, unrequested and compared."""
    shift = tables["tuning_shift"].filter(pl.col("kind") == "direction")
    return {
        "runs": [{"name": "run", **row} for row in tables["tuning_runs"].to_dicts()],
        "movement": [{"name": "gap closed", **row} for row in tables["tuning_gap"].drop("left_out").to_dicts()],
        "drift": [{"name": "drift of the ideal", **row} for row in tables["tuning_drift"].drop("left_out").to_dicts()],
        "specificity": [
            {"name": "specificity", **row} for row in tables["tuning_specificity"].drop("left_out").to_dicts()
        ],
        "likeness": table_records(tables, "tuning_likeness", "facets move alike", "r", "n", ["run", "other"]),
        "transfer": [
            {"name": name, **row}
            for name, table in (("elsewhere", "tuning_transfer"), ("held-out facets", "tuning_held_out"))
            for row in tables.get(table, pl.DataFrame()).to_dicts()
        ],
        "damage": [{"name": "side effects", **row} for row in tables["tuning_side_effects"].to_dicts()],
        "shift": [{"name": "shift along a direction", **row} for row in shift.to_dicts()],
        "unrequested": [
            {"name": name, **row}
            for name, table in (
                ("unrequested movement", "tuning_unrequested_totals"),
                ("toward a persona", "tuning_selected"),
                ("shift along a persona", "tuning_projection"),
            )
            for row in tables.get(table, pl.DataFrame()).to_dicts()
        ],
        "compared": [
            {"name": "steered or tuned", **row} for row in tables.get("tuning_compared", pl.DataFrame()).to_dicts()
        ],
    }
