"""HEXACO profiles from stored answers: facets, domains, contrasts, and what speaks against trusting them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from personascope.activations.store import ActivationStore
from personascope.experiments.questionnaires import answer_table, item_table
from personascope.experiments.recipe_bases import Study
from personascope.instruments.items import ItemBank
from personascope.measures.contrasts import paired_contrasts
from personascope.measures.scales import domain_scores, facet_scores, key_consistency

MIN_FACETS_TO_CORRELATE = 3


def profile_tables(
    store: ActivationStore, bank: ItemBank, recipe: Study, contrasts: Sequence[tuple[str, str]]
) -> dict[str, pl.DataFrame]:
    """All HEXACO tables of a study, by name; without contrasts that table is left out."""
    items = item_table(answer_table(store, bank), bank)
    how: dict[str, Any] = {"n_resamples": recipe.resamples, "seed": recipe.seed}
    found = {
        "hexaco_items": items,
        "hexaco_facets": facet_scores(items, **how),
        "hexaco_domains": domain_scores(items, **how).drop("facets", "left_out"),
        "hexaco_quality": answer_quality(items, recipe),
    }
    if contrasts:
        found["hexaco_contrasts"] = paired_contrasts(items, contrasts, **how)
    return found


def answer_quality(items: pl.DataFrame, recipe: Study) -> pl.DataFrame:
    """Per persona: label mass, order bias, acquiescence, and whether + and - items tell the same story.

    Columns persona, label_mass (mean), label_mass_low (lowest item), order_bias (mean absolute), acquiescence
    (mean agreement with + and - items, averaged), key_consistency with its interval, n (items).
    """
    by_key = items.group_by("persona", "key").agg(pl.col("agreement").mean())
    acquiescence = by_key.group_by("persona").agg(acquiescence=pl.col("agreement").mean())
    quality = items.group_by("persona", maintain_order=True).agg(
        label_mass=pl.col("label_mass").mean(),
        label_mass_low=pl.col("label_mass").min(),
        order_bias=pl.col("order_bias").abs().mean(),
        n=pl.len(),
    )
    quality = quality.join(acquiescence, on="persona", maintain_order="left")
    if items["facet"].n_unique() < MIN_FACETS_TO_CORRELATE:
        return quality.with_columns(
            pl.lit(None, pl.Float64).alias(f"key_consistency{end}") for end in ("", "_low", "_high")
        )
    consistency = key_consistency(items, n_resamples=recipe.resamples, seed=recipe.seed).select(
        "persona", key_consistency="r", key_consistency_low="low", key_consistency_high="high"
    )
    return quality.join(consistency, on="persona", maintain_order="left")
