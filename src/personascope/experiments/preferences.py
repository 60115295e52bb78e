"""Preferences from choices: utilities per persona, how far they can be trusted, and how personas agree."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import binomtest

from personascope.errors import DataError
from personascope.experiments.elicitation import ChoiceMaterial, Elicited, design_table, outcomes_of
from personascope.experiments.recipe_bases import ChoiceStudy
from personascope.experiments.rows import utility_vector
from personascope.measures.choices import choice_table, order_bias
from personascope.measures.intervals import CONFIDENCE
from personascope.measures.outcomes import Outcomes
from personascope.measures.persona_space import (
    extreme_tasks,
    persona_clusters,
    persona_map,
    persona_profiles,
    representatives,
)
from personascope.measures.reliability import correlate, retest, split_half
from personascope.measures.transitivity import CHANCE, transitivity

MIN_PERSONAS = 3
"""Fewer personas have no map and no clusters."""
_CIRCLES = {
    **dict.fromkeys(("cyclic", "low", "high", "expected", "excess", "excess_low", "excess_high"), pl.Float64),
    **{"majority": pl.Float64, "n_triads": pl.Int64, "n_tied": pl.Int64, "sampled": pl.Boolean},
}


def preference_tables(
    elicited: Elicited, material: ChoiceMaterial, recipe: ChoiceStudy, *, prefix: str = ""
) -> dict[str, pl.DataFrame]:
    """Choices, utilities, their quality and their correlations, by name; `prefix` for those of a second model."""
    choices, number = choice_table(elicited.choices), material.number()
    tasks = material.pool.frame().rename({"id": "task"})
    how: dict[str, Any] = {"n_tasks": len(number), "prior_sd": recipe.preferences.prior_sd}
    utilities, quality = [], []
    for persona in material.personas:
        own = outcomes_of(elicited.choices, persona, number)
        fitted = own.fit(**how)
        halves = split_half(own.first, own.second, own.p_first, seed=recipe.seed, weights=own.weights, **how)
        frame = fitted.frame(tasks["task"].to_list()).rename({"standard_error": "se"})
        utilities.append(frame.select(pl.lit(persona).alias("persona"), pl.all()))
        quality.append(
            {
                "persona": persona,
                "order_term": fitted.order_bias,
                "order_term_se": fitted.order_bias_se,
                "connected": fitted.connected,
                "sd_utility": float(fitted.values.std()),
                "split_half": halves.r,
                "split_half_low": halves.low,
                "split_half_high": halves.high,
            }
        )
    bias = order_bias(choices, n_resamples=recipe.resamples, seed=recipe.seed).rename(
        {"position_bias": "order_bias", "low": "order_bias_low", "high": "order_bias_high"}
    )
    together = pl.concat(utilities).join(tasks, on="task", maintain_order="left")
    tables = {
        "choices": choices,
        "utilities": together,
        "preference_quality": bias.join(pl.DataFrame(quality), on="persona", maintain_order="left"),
        "utility_correlations": utility_correlations(together, recipe),
    }
    return {prefix + name: table for name, table in tables.items()}


def reliabilities(tables: Mapping[str, pl.DataFrame]) -> dict[str, float]:
    """Split-half reliability of each persona's utilities, stepped up to all pairs."""
    return dict(tables["preference_quality"].select("persona", "split_half").iter_rows())


def utility_correlations(utilities: pl.DataFrame, recipe: ChoiceStudy) -> pl.DataFrame:
    """Correlation of every two personas' utilities with bootstrap interval over tasks, both triangles."""
    rows = []
    for one, other in combinations_with_replacement(utilities["persona"].unique(maintain_order=True).to_list(), 2):
        x, y = utility_vector(utilities, one), utility_vector(utilities, other)
        found = correlate(x, y, n_resamples=recipe.resamples, seed=recipe.seed)
        both_ways = dict.fromkeys([(one, other), (other, one)])
        rows += [{"persona_x": x_name, "persona_y": y_name, **vars(found)} for x_name, y_name in both_ways]
    return pl.DataFrame(rows).sort("persona_x", "persona_y")


def trust_tables(
    elicited: Elicited, tables: Mapping[str, pl.DataFrame], material: ChoiceMaterial, recipe: ChoiceStudy
) -> dict[str, pl.DataFrame]:
    """Whether choices have a scale, whether it survives another wording, and whether it predicts pairs never fitted.

    Returns:
        "preference_circles" (see `Transitivity`; with chance), "preference_retest" (see `Retest`; by wording),
        "preference_accuracy" and "preference_design", each only where there is something to say.
    """
    number = material.number()
    how: dict[str, Any] = {"n_tasks": len(number), "prior_sd": recipe.preferences.prior_sd}
    seeds: dict[str, Any] = {"n_resamples": recipe.resamples, "seed": recipe.seed}
    circles, retests = [], []
    for persona in material.personas:
        own = outcomes_of(elicited.choices, persona, number)
        circles += _circles(persona, own, how, recipe)
        for wording, answered in elicited.wordings.items():
            if persona in answered["persona"]:
                first = outcomes_of(_same_pairs(elicited.choices, answered), persona, number)
                found = retest(first, outcomes_of(answered, persona, number), **seeds, **how)
                retests.append({"persona": persona, "wording": wording, **vars(found)})
    found_tables = {
        "preference_circles": pl.DataFrame(
            circles, schema={"persona": pl.String, **_CIRCLES, "chance": pl.Float64}, infer_schema_length=None
        ),
        "preference_retest": pl.DataFrame(retests),
        "preference_accuracy": accuracy_table(elicited, tables["utilities"]),
        "preference_design": design_table(elicited.designs),
    }
    return {name: table for name, table in found_tables.items() if not table.is_empty()}


def _same_pairs(choices: pl.DataFrame, answered: pl.DataFrame) -> pl.DataFrame:
    """Choices between the pairs that were answered in another wording too."""
    return choices.join(answered, on=["persona", "first", "second"], how="semi")


def _circles(persona: str, own: Outcomes, how: Mapping[str, Any], recipe: ChoiceStudy) -> list[dict[str, Any]]:
    try:
        found = transitivity(own, own.fit(**how), n_resamples=recipe.resamples, seed=recipe.seed)
    except DataError:  # a sparse design may hold no triangle, and then nothing can run in a circle
        return []
    return [{"persona": persona, **vars(found), "chance": CHANCE}]


def accuracy_table(elicited: Elicited, utilities: pl.DataFrame) -> pl.DataFrame:
    """Share of the uniform pairs, never fitted, whose order-corrected choice the utilities predict.

    Columns persona, accuracy, low, high (Wilson 1927, pairs as independent), chance, n; empty where none were asked.
    """
    if elicited.evaluation is None:
        return pl.DataFrame()
    value = utilities.select("persona", "task", "utility")
    pairs = choice_table(elicited.evaluation)
    for side in ("a", "b"):
        pairs = pairs.join(
            value.rename({"task": f"task_{side}", "utility": f"utility_{side}"}), on=["persona", f"task_{side}"]
        )
    right = (pl.col("utility_a") > pl.col("utility_b")) == (pl.col("log_odds_a") > 0)
    counts = pairs.group_by("persona", maintain_order=True).agg(right=right.sum(), n=pl.len())
    rows = []
    for persona, hits, n in counts.iter_rows():
        interval = binomtest(hits, n).proportion_ci(CONFIDENCE, method="wilson")
        ends = {"low": float(interval.low), "high": float(interval.high)}
        rows.append({"persona": persona, "accuracy": hits / n, **ends, "chance": 0.5, "n": n})
    return pl.DataFrame(rows)


def space_tables(tables: Mapping[str, pl.DataFrame], recipe: ChoiceStudy) -> dict[str, pl.DataFrame]:
    """Profiles of the personas over topics, the tasks that each likes most and least, their map and their clusters."""
    utilities, seeds = tables["utilities"], {"n_resamples": recipe.resamples, "seed": recipe.seed}
    found = {
        "persona_profiles": persona_profiles(utilities, **seeds),
        "persona_extremes": _with_texts(extreme_tasks(utilities), utilities),
    }
    if utilities["persona"].n_unique() < MIN_PERSONAS:
        return found
    reliable = {name: float(np.clip(r, 1e-3, 1.0)) for name, r in reliabilities(tables).items()}
    space = persona_map(utilities, reliabilities=reliable, **seeds)
    clusters = persona_clusters(utilities, seed=recipe.seed)
    return found | {
        "persona_map": space.scores,
        "persona_components": space.components,
        "persona_correlations": space.correlations,
        "persona_clusters": clusters.members,
        "persona_cluster_counts": clusters.candidates,
        "persona_representatives": representatives(clusters).with_columns(pl.col("members").list.join(", ")),
    }


def _with_texts(extremes: pl.DataFrame, utilities: pl.DataFrame) -> pl.DataFrame:
    texts = utilities.select("task", "text").unique("task", maintain_order=True)
    return extremes.join(texts, on="task", how="left", maintain_order="left")
