"""results.json: every headline number of a study with its n and interval, in five sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from personascope.measures.parsing import KINDS

Record = dict[str, Any]
CONTROLS = (
    "shuffled",
    "shuffled_high",
    "p_value",
    "random_direction",
    "random_direction_high",
    "matched_direction",
    "matched_direction_high",
    "text_baseline",
    "encoder_baseline",
    "over_text",
    "over_text_low",
    "over_text_high",
)
"""What stands beside the value of every probe."""


def headline_results(tables: Mapping[str, pl.DataFrame]) -> dict[str, list[Record]]:
    """Sections hexaco, preferences, probes, transfer and steering; the parquet tables hold all the rest.

    Each record has `name`, `value`, `low`, `high`, `n`, and the keys that say of what it is. Probes are given at the
    layer with the highest value for each target, persona and position: chosen on the same data, and marked so.
    """
    return {
        "hexaco": _hexaco(tables),
        "preferences": preference_records(tables),
        "probes": probe_records(tables["probes"]),
        "transfer": transfer_records(tables["transfer"], tables["direction_cosines"]),
        "steering": _steering(tables["steering"]),
    }


def questionnaire_results(tables: Mapping[str, pl.DataFrame]) -> dict[str, list[Record]]:
    """Sections hexaco, statistics, wordings, ways of asking and models of a questionnaire study."""
    just_helpful = tables.get("hexaco_just_helpful", pl.DataFrame())
    wordings = tables["hexaco_specifications"].unique(["model", "group"], keep="first", maintain_order=True)
    between = tables.get("hexaco_between_models", pl.DataFrame())
    scales = tables.get("hexaco_variants", pl.DataFrame())
    read_outs = tables.get("hexaco_read_outs", pl.DataFrame())
    shares = [f"{kind}_share" for kind in KINDS]
    ends = {"low": pl.col("smallest"), "high": pl.col("largest"), "range": pl.lit("over wordings and orders")}
    domain, wording = ["model", "contrast", "domain", "p", "q", "p_holm", "p_max_t"], ["model", "group", "robust"]
    return {
        "hexaco": _hexaco(tables),
        "statistics": [
            *records(tables["hexaco_domain_contrasts"], "domain difference", "difference", "n", domain),
            *records(
                just_helpful, "slope of meta - self on helpful - self", "slope", "n_items", ["model", "reducible"]
            ),
            *records(tables["hexaco_bias"], "bias index", "value", "n", ["model", "persona", "index", "flag"]),
        ],
        "wordings": records(
            wordings.with_columns(**ends), "median difference", "median", "n_specifications", [*wording, "range"]
        ),
        "ways of asking": [
            *records(
                scales, "correlation with another scale", "r", "n_facets", ["model", "variant", "kind", "profile"]
            ),
            *records(
                read_outs, "correlation with written answers", "r", "n", ["model", "read_out", "persona", *shares]
            ),
        ],
        "models": records(between, "profile correlation", "r", "n", ["profile", "subject", "model_x", "model_y"]),
    }


def _hexaco(tables: Mapping[str, pl.DataFrame]) -> list[Record]:
    facets, domains = tables["hexaco_facets"], tables["hexaco_domains"]
    contrasts, quality = tables.get("hexaco_contrasts", pl.DataFrame()), tables["hexaco_quality"]
    consistency = quality.rename({"key_consistency_low": "low", "key_consistency_high": "high"})
    return [
        *records(facets, "facet trait", "trait", "n_items", ["model", "persona", "facet", "acquiescence"]),
        *records(domains, "domain trait", "trait", "n_items", ["model", "persona", "domain"]),
        *records(contrasts, "difference", "difference", "n", ["model", "contrast", "facet", "p", "q", "p_holm"]),
        *records(
            consistency,
            "correlation of + and - items over facets",
            "key_consistency",
            "n",
            ["model", "persona", "label_mass", "order_bias", "acquiescence"],
        ),
    ]


def preference_records(tables: Mapping[str, pl.DataFrame]) -> list[Record]:
    """Reliability and position bias of each persona, and how their utilities correlate."""
    quality = tables["preference_quality"]
    halves = quality.rename({"split_half_low": "low", "split_half_high": "high"})
    bias = quality.rename({"order_bias_low": "low", "order_bias_high": "high"})
    return [
        *records(halves, "split-half reliability", "split_half", "n_pairs", ["persona", "sd_log_odds"]),
        *records(bias, "position bias in logits", "order_bias", "n_pairs", ["persona", "label_mass", "flip_share"]),
        *records(tables["utility_correlations"], "utility correlation", "r", "n", ["persona_x", "persona_y"]),
    ]


def probe_records(probes: pl.DataFrame) -> list[Record]:
    """The best layer of each target, persona and position; chosen on the same data, and marked so."""
    best = (
        probes.sort("value", descending=True, maintain_order=True)
        .group_by("target", "persona", "position", maintain_order=True)
        .first()
        .sort("target", "persona", "position")
        .with_columns(layer_chosen_on=pl.lit("the same data"), layers_compared=pl.lit(probes["layer"].n_unique()))
    )
    keys = ["target", "persona", "position", "layer", "metric", "within_group", *CONTROLS]
    return records(best, "probe", "value", "n", [*keys, "layer_chosen_on", "layers_compared"])


def transfer_records(transfer: pl.DataFrame, cosines: pl.DataFrame) -> list[Record]:
    """Transfer, its difference to the correlation of utilities, and cosines with identity, at the headline layer."""
    layer = headline_layer(transfer)
    own = transfer.filter(pl.col("layer") == layer)
    gains = own.filter(pl.col("train") != pl.col("test")).with_columns(
        low=pl.col("difference_low"), high=pl.col("difference_high")
    )
    at_layer = cosines.filter(pl.col("layer") == layer).with_columns(
        low=-pl.col("null_high"), high=pl.col("null_high"), interval=pl.lit("95 % band of random directions")
    )
    where = ["train", "test", "layer", "position"]
    return [
        *records(own, "transfer r", "r", "n", where),
        *records(gains, "transfer r minus utility correlation", "difference", "n", [*where, "utility_r"]),
        *records(at_layer, "cosine with persona identity", "cosine", "n", ["direction", "other", "layer", "interval"]),
    ]


def headline_layer(transfer: pl.DataFrame) -> int:
    """The layer whose probes predict their own persona best on average; chosen without looking at transfer."""
    own = transfer.filter(pl.col("train") == pl.col("test")).group_by("layer").agg(pl.col("r").mean())
    return int(own.sort(["r", "layer"], descending=[True, False])["layer"][0])


def _steering(steering: pl.DataFrame) -> list[Record]:
    keys = ["target", "read_out", "layer", "coefficient"]
    random = (
        steering.filter(pl.col("direction") != "probe")
        .group_by(keys, maintain_order=True)
        .agg(random_low=pl.col("value").min(), random_high=pl.col("value").max(), random_directions=pl.len())
    )
    probe = steering.filter(pl.col("direction") == "probe").join(random, on=keys, maintain_order="left")
    return records(
        probe, "steered read-out", "value", "n", [*keys, "label_mass", "random_low", "random_high", "random_directions"]
    )


def records(frame: pl.DataFrame, name: str, value: str, n: str, keys: Sequence[str]) -> list[Record]:
    """One record per row: name, value, low, high, n and those of the keys that there are; none of an empty table."""
    if frame.is_empty() or value not in frame.columns:
        return []
    named = frame.select(
        pl.lit(name).alias("name"),
        pl.col(value).alias("value"),
        "low",
        "high",
        pl.col(n).alias("n"),
        *[key for key in keys if key in frame.columns],
    )
    return named.to_dicts()
