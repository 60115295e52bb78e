"""Other scales: do the same items, asked on another number of options, other labels or another instruction, agree?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from personascope.experiments.questionnaires import FIRST, item_table
from personascope.instruments.items import ItemBank
from personascope.measures.by_model import by_model
from personascope.measures.reliability import correlate
from personascope.measures.scales import facet_scores

MIN_FACETS = 3


def variant_table(
    answers: pl.DataFrame,
    others: pl.DataFrame,
    bank: ItemBank,
    pairs: Sequence[tuple[str, str]],
    how: Mapping[str, Any],
) -> pl.DataFrame:
    """Profiles and contrasts under each other scale against those under the main one, on the same items.

    Args:
        answers: `answer_table` on the main scale, with a column model that comes first.
        others: the same on the other scales, with a column variant besides.
        bank: the items.
        pairs: contrasts.
        how: n_resamples and seed.

    Returns:
        One row per model, variant and profile: model, variant, kind ("persona" or "contrast"), profile, r, low, high
        (Pearson over facets; null when either is constant), mean_difference (variant - main, over facets), n_facets,
        label_mass (mean under the variant; null for contrasts).
    """
    main = answers.filter(pl.col("phrasing") == FIRST)
    rows: list[dict[str, Any]] = []
    for (model, variant), asked in others.group_by("model", "variant", maintain_order=True):
        same = main.filter((pl.col("model") == model) & pl.col("item").is_in(asked["item"].unique().implode()))
        ours, theirs = (_profiles(frame, bank, pairs, how) for frame in (same, asked))
        mass = dict(asked.group_by("persona").agg(pl.col("label_mass").mean()).iter_rows())
        for (kind, profile), trait in theirs.items():
            found = _compared(ours[kind, profile], trait, how)
            if found is not None:
                of = {"model": model, "variant": variant, "kind": kind, "profile": profile}
                rows.append({**of, **found, "label_mass": mass.get(profile) if kind == "persona" else None})
    numbers = dict.fromkeys(("r", "low", "high", "mean_difference", "label_mass"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides=numbers, infer_schema_length=None)


def _profiles(
    answers: pl.DataFrame, bank: ItemBank, pairs: Sequence[tuple[str, str]], how: Mapping[str, Any]
) -> dict[tuple[str, str], dict[str, float]]:
    """Trait by facet, of every persona and every contrast."""
    scores = by_model(lambda own: facet_scores(item_table(own, bank), **how), answers.drop("variant", strict=False))
    found: dict[tuple[str, str], dict[str, float]] = {
        ("persona", str(persona)): dict(part.drop_nulls("trait").select("facet", "trait").iter_rows())
        for (persona,), part in scores.group_by("persona", maintain_order=True)
    }
    for persona, reference in pairs:
        one, other = found["persona", persona], found["persona", reference]
        difference = {facet: one[facet] - other[facet] for facet in one if facet in other}
        found["contrast", f"{persona} - {reference}"] = difference
    return found


def _compared(main: dict[str, float], variant: dict[str, float], how: Mapping[str, Any]) -> dict[str, Any] | None:
    facets = [facet for facet in main if facet in variant]
    if len(facets) < MIN_FACETS:
        return None
    x, y = (np.array([one[facet] for facet in facets]) for one in (main, variant))
    row: dict[str, Any] = {"r": None, "low": None, "high": None}
    if min(np.ptp(x), np.ptp(y)) > 1e-12:
        found = correlate(x, y, **how)
        row = {"r": found.r, "low": found.low, "high": found.high}
    return {**row, "mean_difference": float((y - x).mean()), "n_facets": len(facets)}
