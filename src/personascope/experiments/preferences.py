"""Preferences from stored choices: utilities per persona, their reliability, and how personas agree."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import Any

import polars as pl

from personascope.activations.store import ActivationStore
from personascope.experiments.asking import Material, answered_choices, comparisons
from personascope.experiments.recipe import Recipe
from personascope.experiments.rows import utility_vector
from personascope.measures.choices import choice_table, order_bias
from personascope.measures.reliability import correlate, split_half
from personascope.measures.utilities import fit_utilities


def preference_tables(store: ActivationStore, material: Material, recipe: Recipe) -> dict[str, pl.DataFrame]:
    """All preference tables of a study, by name."""
    answered = answered_choices(store)
    choices = choice_table(answered)
    tasks = material.pool.frame().rename({"id": "task"})
    utilities, quality = [], []
    for persona in (persona.name for persona in material.choosers):
        own = comparisons(answered, persona, material.pool.tasks)
        how: dict[str, Any] = {"n_tasks": len(tasks), "weights": own.weights, "prior_sd": recipe.preferences.prior_sd}
        fitted = fit_utilities(own.first, own.second, own.p_first, **how)
        halves = split_half(own.first, own.second, own.p_first, seed=recipe.seed, **how)
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
    return {
        "choices": choices,
        "utilities": together,
        "preference_quality": bias.join(pl.DataFrame(quality), on="persona", maintain_order="left"),
        "utility_correlations": utility_correlations(together, recipe),
    }


def utility_correlations(utilities: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """Correlation of every two personas' utilities with bootstrap interval over tasks, both triangles."""
    rows = []
    for one, other in combinations_with_replacement(utilities["persona"].unique(maintain_order=True).to_list(), 2):
        x, y = utility_vector(utilities, one), utility_vector(utilities, other)
        found = correlate(x, y, n_resamples=recipe.resamples, seed=recipe.seed)
        both_ways = dict.fromkeys([(one, other), (other, one)])
        rows += [{"persona_x": x_name, "persona_y": y_name, **vars(found)} for x_name, y_name in both_ways]
    return pl.DataFrame(rows).sort("persona_x", "persona_y")
