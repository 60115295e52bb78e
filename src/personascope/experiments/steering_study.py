"""Steer choices along the preference direction and one facet along its own, with random directions beside each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl

from personascope.activations.store import ActivationStore
from personascope.direction import Direction
from personascope.experiments.asking import Material
from personascope.experiments.elicitation import choice_prompt
from personascope.experiments.probe_study import ridge_direction
from personascope.experiments.questionnaires import item_prompt, rating_template
from personascope.experiments.recipe import Recipe
from personascope.experiments.rows import facet_rows
from personascope.models.engine import HookEngine
from personascope.prompts.labels import resolve_options
from personascope.prompts.prompt import Prompt
from personascope.prompts.templates import CHOICE, ORDERS, Template
from personascope.shapes import Features
from personascope.steering.coefficient_sweep import SweepAnswers, coefficient_sweep
from personascope.steering.read_outs import choice_curve, facet_curve

PUSH_FIRST_TASK = {"mean:task_a": 1.0, "mean:task_b": -1.0}
FROM_ITEM = {"from:item": 1.0}


def facet_directions(
    engine: HookEngine, store: ActivationStore, items: pl.DataFrame, recipe: Recipe
) -> list[Direction]:
    """The facet's direction at every swept layer: ridge weights for keyed answers to its items under all personas."""
    facet = recipe.steering.facet
    means = f"answers to items of {facet} nearer to its + pole"
    position = recipe.probes.position
    return [
        ridge_direction(
            engine, store, facet_rows(store, items, facet, layer, position), layer, position, means, recipe.seed
        )
        for layer in recipe.steering.layers
    ]


def steering_tables(
    engine: HookEngine,
    material: Material,
    recipe: Recipe,
    stores: Mapping[str, ActivationStore],
    preference: Sequence[Direction],
    facet: Sequence[Direction],
    progress: Callable[[str, int, int], None],
) -> dict[str, pl.DataFrame]:
    """Both sweeps as one table."""
    features = {
        kind: {layer: stores[kind].layer(layer, recipe.probes.position) for layer in recipe.steering.layers}
        for kind in ("tasks", "hexaco")
    }
    progress("steering", 0, 2)
    choices = steer_choices(engine, material, recipe, preference, features["tasks"])
    progress("steering", 1, 2)
    scores = steer_facet(engine, material, recipe, facet, features["hexaco"])
    progress("steering", 2, 2)
    return {"steering": pl.concat([choices, scores], how="diagonal")}


def steer_choices(
    engine: HookEngine,
    material: Material,
    recipe: Recipe,
    directions: Sequence[Direction],
    features: Mapping[int, Features],
) -> pl.DataFrame:
    """Push one task's tokens up and the other's down; the baseline persona chooses, in both orders."""
    rng = np.random.default_rng(recipe.seed)
    drawn = rng.permutation(len(material.pairs))[: recipe.steering.pairs]
    prompts, pair = [], []
    for number in sorted(drawn.tolist()):
        i, j = (material.pool.tasks[index] for index in material.pairs[number])
        prompts += [choice_prompt(engine, material.choosers[0], *order) for order in ((i, j), (j, i))]
        pair += [number, number]
    answers = _sweep(engine, prompts, directions, PUSH_FIRST_TASK, CHOICE, features, recipe)
    curve = choice_curve(answers, np.array(pair), n_resamples=recipe.resamples, seed=recipe.seed)
    return curve.select(pl.lit("choice").alias("target"), pl.all())


def steer_facet(
    engine: HookEngine,
    material: Material,
    recipe: Recipe,
    directions: Sequence[Direction],
    features: Mapping[int, Features],
) -> pl.DataFrame:
    """Push every token from the item on; the first persona answers the facet's items in both anchor orders."""
    items = material.questionnaire.bank.subset([recipe.steering.facet]).items
    asked = [(number, item, order) for number, item in enumerate(items) for order in ORDERS]
    questionnaire = material.questionnaire
    templates = {order: rating_template(engine, questionnaire.scale, order) for order in ORDERS}
    prompts = [item_prompt(engine, questionnaire.respondents[0], item, templates[order]) for _, item, order in asked]
    answers = _sweep(engine, prompts, directions, FROM_ITEM, templates[ORDERS[0]], features, recipe)
    curve = facet_curve(
        answers,
        item=np.array([number for number, _, _ in asked]),
        key=np.array([item.key for _, item, _ in asked]),
        descending=np.array([order == "descending" for _, _, order in asked]),
        n_resamples=recipe.resamples,
        seed=recipe.seed,
    )
    return curve.select(pl.lit(f"facet:{recipe.steering.facet}").alias("target"), pl.all())


def _sweep(
    engine: HookEngine,
    prompts: Sequence[Prompt],
    directions: Sequence[Direction],
    where: Mapping[str, float],
    template: Template,
    features: Mapping[int, Features],
    recipe: Recipe,
) -> SweepAnswers:
    context = prompts[0].text.splitlines()[-1]
    return coefficient_sweep(
        engine,
        prompts,
        directions,
        coefficients=recipe.steering.coefficients,
        where=where,
        options=resolve_options(engine.tokenizer, context, template.labels),
        features=features,
        n_random=recipe.steering.random_directions,
        seed=recipe.seed,
    )
