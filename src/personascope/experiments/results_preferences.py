"""results.json of the studies of preferences: every headline number with its n, interval and controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from personascope.experiments.results import (
    CONTROLS,
    Record,
    headline_layer,
    preference_records,
    probe_records,
    records,
    transfer_records,
)

Tables = Mapping[str, pl.DataFrame]
_EMPTY = pl.DataFrame()


def preference_results(tables: Tables) -> dict[str, list[Record]]:
    """Sections preferences, trust, personas and other ways of asking."""
    representatives = tables.get("persona_representatives", _EMPTY)
    return {
        "preferences": preference_records(tables),
        "trust": trust_records(tables),
        "personas": [
            *table_records(tables, "persona_profiles", "topic profile", "z", "n", ["persona", "topic"]),
            *table_records(
                tables, "persona_correlations", "utility correlation", "r", "n", ["persona", "other", "r_corrected"]
            ),
            *({"name": "representative", **row} for row in representatives.to_dicts()),
        ],
        "ways of asking": [
            *table_records(tables, "rating_agreement", "ratings against utilities", "r", "n", ["persona", "rank_r"]),
            *({"name": "written choices", **row} for row in tables.get("written_outcomes", _EMPTY).to_dicts()),
            *({"name": "written against labels", **row} for row in tables.get("written_agreement", _EMPTY).to_dicts()),
        ],
    }


def trust_records(tables: Tables) -> list[Record]:
    """Circles, other wordings and pairs that were never fitted."""
    circles = ["persona", "expected", "excess", "chance"]
    return [
        *table_records(tables, "preference_circles", "circular triads", "cyclic", "n_triads", circles),
        *table_records(
            tables, "preference_retest", "retest in another wording", "r", "n", ["persona", "wording", "rank_r"]
        ),
        *table_records(
            tables, "preference_accuracy", "accuracy on pairs never fitted", "accuracy", "n", ["persona", "chance"]
        ),
    ]


def sweep_results(tables: Tables) -> dict[str, list[Record]]:
    """Sections preferences, trust, probes, controls, facets and other model."""
    groups = tables["leave_one_group"].filter(pl.col("group").is_null())
    keys = ["target", "persona", "position", "layer", "metric"]
    beside = ["shuffled_high", "text_baseline", "encoder_baseline", "ceiling", "corrected"]
    removed = tables.get("removals", _EMPTY)
    cosines = tables.get("facet_cosines", _EMPTY)
    angles = cosines if cosines.is_empty() else cosines.filter(pl.col("direction") == "preference")
    probes = tables.get("facet_probes", _EMPTY)
    cross = tables.get("cross_model", _EMPTY)
    return {
        "preferences": preference_records(tables),
        "trust": trust_records(tables),
        "probes": probe_records(tables["probes"]),
        "controls": [
            *records(groups, "one group left out", "value", "n", [*keys, "what", *beside]),
            *records(tables["confounds"], "probe", "value", "n", [*keys, "variance_left", *CONTROLS]),
            *records(removed, "r after removals", "r", "n", [*keys, "step", "removed", "draw", "shuffled_high"]),
        ],
        "facets": [
            *([] if probes.is_empty() else probe_records(probes)),
            *({"name": "cosine with preference", **row} for row in angles.to_dicts()),
        ],
        "other model": records(
            cross, "probe", "value", "n", ["model", "utilities_of", "layer", "utility_r", *CONTROLS]
        ),
    }


def transfer_results(tables: Tables) -> dict[str, list[Record]]:
    """Sections preferences, trust, probes, transfer, sharing and facets, the last three at one layer.

    That layer is the one whose probes predict their own persona best, chosen without looking at transfer.
    """
    layer = headline_layer(tables["transfer"])
    bias = ["train", "test", "third", "kind", "layer"]
    matched = ["first", "second", "direction", "offset", "offset_low", "offset_high", "n_matched", "layer"]
    tracked = ["train", "test", "step", "utility_r", "difference", "difference_low", "difference_high", "layer"]
    diversity = ["test", "n_personas", "utility_r", "own_r", "n_subsets", "layer"]
    facets = []
    if "facet_transfer" in tables:
        at = headline_layer(tables["facet_transfer"])
        where = ["train", "test", "layer", "utility_r", "difference", "difference_low", "difference_high"]
        facets = table_records(tables, "facet_transfer", "transfer r of item scores", "r", "n", where, at)
    return {
        "preferences": preference_records(tables),
        "trust": trust_records(tables),
        "probes": probe_records(tables["probes"]),
        "transfer": [
            *transfer_records(tables["transfer"], tables["direction_cosines"]),
            *table_records(
                tables, "transfer", "corrected transfer r", "r_corrected", "n", ["train", "test", "layer"], layer
            ),
            *({"name": "asymmetry", **row} for row in _at(tables, "transfer_asymmetry", layer)),
            *({"name": "cosine of weights", **row} for row in _at(tables, "weight_cosines", layer)),
        ],
        "sharing": [
            *table_records(tables, "probe_bias", "correlation with a persona's utilities", "r", "n", bias, layer),
            *table_records(tables, "matched_choices", "scores follow utilities", "r", "n", matched, layer),
            *table_records(
                tables, "persona_tracking", "r after removals, of another persona", "r", "n", tracked, layer
            ),
            *table_records(tables, "diversity", "transfer to a persona left out", "r", "n", diversity, layer),
        ],
        "facets": facets,
    }


def shift_results(tables: Tables) -> dict[str, list[Record]]:
    """Sections preferences, trust, probes, shifts and stimuli."""
    cells = ["design", "scorer", "layer", "cells", "statistic", "p", "p_within", "null_mean", "difference"]
    means = ["design", "measure", "contrast", "layer", "standardised", "p"]
    effects = ["set", "turn", "persona", "position", "layer", "scorer", "auc", "p", "q", "random_d95"]
    ranks = tables.get("shift_rank_summary", _EMPTY)
    return {
        "preferences": preference_records(tables),
        "trust": trust_records(tables),
        "probes": probe_records(tables["probes"]),
        "shifts": [
            *table_records(tables, "shift_correlations", "score shift against choice shift", "value", "n", cells),
            *table_records(tables, "shift_levels", "score against choice under the prompt", "value", "n", cells),
            *table_records(tables, "shift_targets", "shift on target", "mean", "n", means),
            *({"name": "target ranked first", **row} for row in ranks.to_dicts()),
        ],
        "stimuli": [
            *table_records(tables, "stimulus_effects", "paired effect", "d_paired", "n", effects),
            *table_records(
                tables, "stimulus_differences", "difference between personas", "difference", "n", [*effects, "flips"]
            ),
        ],
    }


def table_records(
    tables: Tables, table: str, name: str, value: str, n: str, keys: Sequence[str], layer: int | None = None
) -> list[Record]:
    """Records of a table that need not be there, of one layer where it is given.

    Where `value` has an interval of its own (`<value>_low`, `<value>_high`), it is that.
    """
    frame = tables.get(table, _EMPTY)
    if frame.is_empty():
        return []
    if f"{value}_low" in frame.columns:
        frame = frame.with_columns(low=pl.col(f"{value}_low"), high=pl.col(f"{value}_high"))
    return records(frame if layer is None else frame.filter(pl.col("layer") == layer), name, value, n, keys)


def _at(tables: Tables, table: str, layer: int) -> list[Record]:
    return tables[table].filter(pl.col("layer") == layer).to_dicts()
