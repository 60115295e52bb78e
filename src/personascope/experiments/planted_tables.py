"""What was planted in a model organism beside what is recovered: by choices, by items, by probes, by steering."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import beta

from personascope.activations.store import ActivationStore
from personascope.direction import Direction
from personascope.experiments.collecting import Progress
from personascope.experiments.elicitation import ChoiceMaterial, answered_choices, choice_prompt, outcomes_of
from personascope.experiments.questionnaires import Questionnaire, answer_table, item_table
from personascope.experiments.recipe_organism import OrganismRecipe
from personascope.experiments.rows import codes
from personascope.measures.reliability import correlate
from personascope.measures.scales import facet_scores
from personascope.models.engine import HookEngine
from personascope.probes.transfer import transfer_matrix
from personascope.prompts.labels import resolve_options
from personascope.prompts.templates import CHOICE
from personascope.steering.coefficient_sweep import coefficient_sweep
from personascope.tuning.organisms.truth import Truth

Stores = Mapping[str, ActivationStore]
Tables = Mapping[str, pl.DataFrame]
STATES = ("base", "organism")
"""The model with the adapter off, and with it on."""
WHERE = {"mean:task_a": 1.0, "mean:task_b": -1.0}
"""Where the planted direction is pushed, and in which sense: up on the first task, down on the second."""
UTILITIES, TRAITS = "utilities", "traits"
_QUANTILE = 0.95


def recovered_utilities(stores: Stores, material: ChoiceMaterial, truth: Truth) -> pl.DataFrame:
    """Utilities of tasks that were not taught, from choices in both orders.

    Returns:
        One row per state, persona and task: state, persona, task, topic, is_taught (its topic was), planted, utility
        (logits), se, order_bias (logits, of the persona).
    """
    number, frames = material.number(), []
    tasks = material.pool.frame().select(pl.col("id").alias("task"), "topic")
    for state in STATES:
        answered = answered_choices(stores[f"choices-{state}"])
        for persona in material.personas:
            fitted = outcomes_of(answered, persona, number).fit(n_tasks=len(number))
            frames.append(
                tasks.select(
                    pl.lit(state).alias("state"),
                    pl.lit(persona).alias("persona"),
                    pl.all(),
                    pl.col("topic").is_in(list(truth.utilities)).alias("is_taught"),
                    planted=pl.Series([truth.utility(persona, topic) for topic in tasks["topic"]]),
                    utility=pl.Series(fitted.values),
                    se=pl.Series(fitted.standard_errors),
                    order_bias=pl.lit(fitted.order_bias),
                )
            )
    return pl.concat(frames)


def recovered_traits(stores: Stores, asked: Questionnaire, truth: Truth, how: Mapping[str, Any]) -> pl.DataFrame:
    """Facet scores from items that were not taught.

    Returns:
        One row per state, persona and facet: state, persona, facet, domain, planted, trait with low and high,
        acquiescence, n_items.
    """
    frames = []
    for state in STATES:
        items = item_table(answer_table(stores[f"hexaco-{state}"], asked.bank), asked.bank)
        scores = facet_scores(items, **how)
        planted = [truth.level(*row) for row in scores.select("persona", "facet").iter_rows()]
        wanted = ("persona", "facet", "domain", "trait", "low", "high", "acquiescence", "n_items")
        frames.append(scores.select(pl.lit(state).alias("state"), *wanted, planted=pl.Series(planted)))
    return pl.concat(frames)


def recovery_tables(tables: Tables, how: Mapping[str, Any]) -> dict[str, pl.DataFrame]:
    """How much of what was planted came back, and whether personas are as opposed as they were made.

    Args:
        tables: "planted_utilities" and "planted_traits".
        how: n_resamples and seed.

    Returns:
        "planted_recovery": one row per state, persona and what: state, persona, what ("utilities" of the taught topics'
        tasks, or "traits" of all facets), r with low and high (of utilities over whole topics), slope (recovered per
        planted 1), n, spread (sd of the recovered), spread_untaught (of utilities in topics that were not taught).
        "planted_opposition": one row per state and pair of personas: state, persona, other, planted_r, r, low, high, n,
        of the taught topics' utilities.
    """
    taught = tables["planted_utilities"].filter("is_taught")
    rows, opposed = [], []
    for state in STATES:
        own = taught.filter(pl.col("state") == state)
        for persona in own["persona"].unique(maintain_order=True):
            mine = own.filter(pl.col("persona") == persona)
            spread = _untaught_spread(tables["planted_utilities"], state, persona)
            found = _recovered(mine, "utility", how, groups=codes(mine["topic"]))
            rows.append({"state": state, "persona": persona, "what": UTILITIES, **found, "spread_untaught": spread})
            traits = tables["planted_traits"].filter(pl.col("state") == state, pl.col("persona") == persona)
            found = _recovered(traits.drop_nulls("trait"), "trait", how)
            rows.append({"state": state, "persona": persona, "what": TRAITS, **found, "spread_untaught": None})
        opposed += _opposition(own, state, how)
    return {
        "planted_recovery": pl.DataFrame(rows, infer_schema_length=None),
        "planted_opposition": pl.DataFrame(opposed, infer_schema_length=None),
    }


def _recovered(
    frame: pl.DataFrame, column: str, how: Mapping[str, Any], groups: np.ndarray | None = None
) -> dict[str, Any]:
    planted, found = frame["planted"].to_numpy(), frame[column].to_numpy()
    agreed = correlate(planted, found, groups=groups, **how)
    slope = float(np.polyfit(planted, found, 1)[0])
    numbers = {"r": agreed.r, "low": agreed.low, "high": agreed.high, "slope": slope}
    return numbers | {"n": frame.height, "spread": float(found.std())}


def _untaught_spread(utilities: pl.DataFrame, state: str, persona: str) -> float | None:
    rows = utilities.filter(~pl.col("is_taught"), pl.col("state") == state, pl.col("persona") == persona)
    return float(rows["utility"].to_numpy().std()) if rows.height > 1 else None


def _opposition(own: pl.DataFrame, state: str, how: Mapping[str, Any]) -> list[dict[str, Any]]:
    by_persona = {name: own.filter(pl.col("persona") == name) for name in own["persona"].unique(maintain_order=True)}
    names = list(by_persona)
    rows = []
    for number, persona in enumerate(names):
        for other in names[number + 1 :]:
            one, two = by_persona[persona], by_persona[other]
            agreed = correlate(one["utility"].to_numpy(), two["utility"].to_numpy(), groups=codes(one["topic"]), **how)
            planted = float(np.corrcoef(one["planted"].to_numpy(), two["planted"].to_numpy())[0, 1])
            row = {"state": state, "persona": persona, "other": other, "planted_r": planted, "r": agreed.r}
            rows.append(row | {"low": agreed.low, "high": agreed.high, "n": one.height})
    return rows


def probe_tables(
    store: ActivationStore, utilities: pl.DataFrame, value: Direction, recipe: OrganismRecipe
) -> dict[str, pl.DataFrame]:
    """Probes of the recovered utilities at the layer where values are written.

    Args:
        store: tasks alone under every persona.
        utilities: as of `recovered_utilities`.
        value: the planted direction.
        recipe: of the study.

    Returns:
        "planted_transfer" (`TransferMatrix.frame`, whole topics left out) and "planted_cosines": persona, layer,
        cosine of its probe's weights with the planted direction, null_high (95th percentile of |cosine| of random
        directions).
    """
    own = utilities.filter(pl.col("state") == STATES[1], "is_taught")
    personas = own["persona"].unique(maintain_order=True).to_list()
    features, wanted = {}, {}
    for persona in personas:
        mine = own.filter(pl.col("persona") == persona)
        place = dict(zip(store.rows.select("persona", "task").iter_rows(), range(store.n_rows), strict=True))
        rows = [place[persona, task] for task in mine["task"]]
        features[persona] = store.layer(value.layer, value.position)[rows]
        wanted[persona] = mine["utility"].to_numpy()
    topics = codes(own.filter(pl.col("persona") == personas[0])["topic"])
    found = transfer_matrix(
        features,
        wanted,
        topics,
        layer=value.layer,
        position=value.position,
        n_resamples=recipe.resamples,
        seed=recipe.seed,
    )
    weights = np.asarray(found.weights, dtype=float)
    cosines = weights @ value.vector / np.linalg.norm(weights, axis=1)
    chance = float(np.sqrt(beta.ppf(_QUANTILE, 0.5, (len(value.vector) - 1) / 2)))  # squared cosine of random vectors
    return {
        "planted_transfer": found.frame(),
        "planted_cosines": pl.DataFrame(
            {"persona": personas, "layer": value.layer, "cosine": cosines, "null_high": chance}
        ),
    }


def planted_steering(
    engine: HookEngine,
    material: ChoiceMaterial,
    value: Direction,
    states: ActivationStore,
    recipe: OrganismRecipe,
    progress: Progress,
) -> pl.DataFrame:
    """Pushes along the planted direction, up on the first task and down on the second, beside random directions.

    Args:
        engine: with the adapter on.
        material: its pairs are asked, in both orders.
        value: the planted direction.
        states: tasks alone, for random directions that are matched in covariance.
        recipe: of the study.
        progress: of the study.

    Returns:
        One row per persona, direction and coefficient: persona, layer, direction, kind, coefficient, value (mean change
        of the log-odds of the first task), low, high (95 %, over pairs), n.
    """
    grid = sorted({0.0, *recipe.coefficients, *(-c for c in recipe.coefficients)})
    tasks, rows = material.pool.tasks, []
    for number, persona in enumerate(material.choosers):
        progress("steering", number, len(material.choosers))
        pairs = material.pairs_of(persona.name)[: recipe.pairs]
        prompts = [choice_prompt(engine, persona, tasks[a], tasks[b]) for i, j in pairs for a, b in ((i, j), (j, i))]
        answers = coefficient_sweep(
            engine,
            prompts,
            [value],
            coefficients=grid,
            where=WHERE,
            options=resolve_options(engine.tokenizer, CHOICE.answer_prefix, CHOICE.labels),
            features={value.layer: states.layer(value.layer, value.position)},
            n_random=recipe.random_directions,
            seed=recipe.seed,
        )
        odds = np.asarray(answers.option_logprobs[:, 0, ..., 0] - answers.option_logprobs[:, 0, ..., 1], dtype=float)
        change = odds - odds[..., [grid.index(0.0)]]
        of_pairs = change.reshape(len(pairs), 2, *change.shape[1:]).mean(axis=1)
        error = of_pairs.std(axis=0, ddof=1) / np.sqrt(len(pairs))
        for place, (name, kind) in enumerate(zip(answers.directions, answers.kinds, strict=True)):
            for cell, coefficient in enumerate(grid):
                mean, reach = of_pairs[:, place, cell].mean(), 1.96 * error[place, cell]
                row = {"persona": persona.name, "layer": value.layer, "direction": name, "kind": kind}
                row |= {"coefficient": coefficient, "value": mean}
                rows.append(row | {"low": mean - reach, "high": mean + reach, "n": len(pairs)})
    progress("steering", len(material.choosers), len(material.choosers))
    return pl.DataFrame(rows)
