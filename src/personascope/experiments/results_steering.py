"""results.json of the studies that steer: effects beside those of their controls, ranges, words, necessity."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from personascope.experiments.results import Record, preference_records, probe_records
from personascope.experiments.results_preferences import table_records

Tables = Mapping[str, pl.DataFrame]
_CELL = ["layer", "direction", "control", "coefficient"]
_WHAT = ["persona", "target", "pair_type", "effect", *_CELL]


def steering_results(tables: Tables) -> dict[str, list[Record]]:
    """Sections preferences, probes, effects, dose, damage, written, answers and necessity."""
    ranges = tables.get("steering_ranges", pl.DataFrame())
    return {
        "preferences": preference_records(tables),
        "probes": probe_records(tables["probes"]),
        "effects": table_records(tables, "steering_effects", "effect on choices", "value", "n", _WHAT),
        "dose": [
            {"name": "slope at 0", **row}
            for row in tables["steering_dose"].filter(pl.col("n_random") > 0).drop_nulls("p").to_dicts()
        ],
        "damage": [{"name": "usable range", **row} for row in ranges.to_dicts()],
        "written": table_records(tables, "steered_written", "begun tasks", "value", "n", ["read_out", *_CELL]),
        "answers": [
            *(
                record
                for table in ("steered_judge", "span_judge")
                for record in table_records(
                    tables, table, "agreement of the judge's two orders", "value", "n", ["rubric", "by_habit"]
                )
            ),
            *table_records(
                tables, "steered_open", "rating of free answers", "value", "n", ["persona", "kind", "rubric", *_CELL]
            ),
            *table_records(
                tables,
                "steered_compliance",
                "what became of requests",
                "share",
                "n",
                ["persona", "tier", "outcome", *_CELL],
            ),
            *table_records(
                tables, "steered_spans", "disclosure by the span steered", "value", "n", ["version", "steered", *_CELL]
            ),
        ],
        "necessity": [
            *table_records(
                tables,
                "ablation",
                "agreement without directions",
                "agreement",
                "n",
                ["layers", "rank", "subspace", "kind"],
            ),
            *table_records(
                tables, "patching", "patched from a donor", "rate", "n", ["where", "donor", "layers", "what"]
            ),
            *table_records(tables, "spliced", "steered in isolation", "value", "n", ["mode", *_CELL]),
        ],
    }


def cross_results(tables: Tables) -> dict[str, list[Record]]:
    """Sections preferences and effects."""
    return {
        "preferences": preference_records(tables),
        "probes": probe_records(tables["probes"]),
        "effects": table_records(tables, "cross_effects", "effect on choices", "value", "n", _WHAT),
        "differences": table_records(
            tables, "cross_differences", "own direction against the first persona's", "value", "n", ["persona", *_CELL]
        ),
    }


def facet_results(tables: Tables) -> dict[str, list[Record]]:
    """Sections selectivity and facets."""
    return {
        "selectivity": [{"name": "selectivity index", **row} for row in tables["facet_selectivity_index"].to_dicts()],
        "facets": [{"name": "facet steered", **row} for row in tables["facet_selectivity_rows"].to_dicts()],
    }
