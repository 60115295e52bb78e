"""Choices between some tasks of every topic: utilities before and after training, and the preference direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from personascope.direction import Direction
from personascope.experiments.collecting import Progress, collect_plan
from personascope.experiments.elicitation import ChoiceMaterial, answered_choices, choice_plan, outcomes_of, task_plan
from personascope.experiments.probe_study import ridge_direction
from personascope.experiments.recipe_parts import ActivationsPart
from personascope.experiments.recipe_tuning import IdealSelfRecipe
from personascope.experiments.rows import Rows, codes
from personascope.experiments.runs import RunFolder
from personascope.experiments.taught_choices import CHOOSER
from personascope.instruments.personas import load_personas
from personascope.instruments.tasks import TaskPool, load_tasks
from personascope.models.engine import HookEngine

AGAIN = "again"
_AT_TASKS = "mean:item"


def measured_tasks(recipe: IdealSelfRecipe) -> TaskPool:
    """The tasks of each topic whose utilities are measured; nothing is taught about them."""
    assert recipe.preferences is not None
    return load_tasks().subset(recipe.preferences.per_topic)


def further_choosers(recipe: IdealSelfRecipe) -> list[str]:
    """Of the personas that are asked, those that are characters: they have a system message, and so can choose."""
    known = load_personas()
    return [name for name in recipe.hexaco.personas if name in known and known[name].phrasings[0].system]


def utilities(
    engine: HookEngine,
    recipe: IdealSelfRecipe,
    run: RunFolder,
    progress: Progress,
    name: str,
    *,
    persona: str = CHOOSER,
    again: bool = False,
) -> np.ndarray:
    """Utilities of `measured_tasks` in logits, shape (task,), from choices in both orders.

    Args:
        engine: the model, as it is.
        recipe: of the study.
        run: keeps the choices.
        progress: of the study.
        name: of the store.
        persona: who chooses.
        again: ask other pairs, so that no error is shared with the first measurement.
    """
    part = recipe.preferences
    assert part is not None
    chooser, pool = load_personas()[persona], measured_tasks(recipe)
    seed = recipe.seed + 1000 * again
    material = ChoiceMaterial.regular(pool, [chooser], degree=part.degree, seed=seed)
    answered = answered_choices(collect_plan(choice_plan(engine, material, name=name), engine, run, progress))
    fitted = outcomes_of(answered, persona, material.number()).fit(n_tasks=len(pool.tasks))
    return np.asarray(fitted.values)


def base_utilities(
    engine: HookEngine, recipe: IdealSelfRecipe, run: RunFolder, progress: Progress
) -> pl.DataFrame | None:
    """Utilities before training: task, topic, before, again, and one column for each further character.

    None where the recipe asks no choices.
    """
    if recipe.preferences is None:
        return None
    tasks = measured_tasks(recipe).frame().select(pl.col("id").alias("task"), "topic")
    columns = {"before": utilities(engine, recipe, run, progress, "choices")}
    if any(one.is_narrow for one in recipe.runs):
        columns[AGAIN] = utilities(engine, recipe, run, progress, f"choices-{AGAIN}", again=True)
        for name in further_choosers(recipe):
            columns[name] = utilities(engine, recipe, run, progress, f"choices-{name}", persona=name)
    return tasks.with_columns(pl.Series(name, values) for name, values in columns.items())


def preference_directions_at(
    engine: HookEngine, known: pl.DataFrame, recipe: IdealSelfRecipe, run: RunFolder, progress: Progress
) -> dict[int, Direction]:
    """The assistant's preference direction at each layer of the recipe: ridge weights for `base_utilities`."""
    pool = measured_tasks(recipe)
    material = ChoiceMaterial(pool, (load_personas()[CHOOSER],), ())
    kept = ActivationsPart(layers=recipe.layers, positions=(_AT_TASKS,), rows_per_shard=recipe.rows_per_shard)
    store = collect_plan(task_plan(engine, material, kept), engine, run, progress)
    target, topics = known["before"].to_numpy(), codes(known["topic"])
    texts: Sequence[str] = [task.text for task in pool.tasks]
    return {
        layer: ridge_direction(
            engine,
            store,
            Rows(store.layer(layer, _AT_TASKS), target, topics, list(texts)),
            layer,
            _AT_TASKS,
            f"higher task utility under persona {CHOOSER}",
            recipe.seed,
        )
        for layer in recipe.layers
    }
