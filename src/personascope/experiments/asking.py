"""What the demo asks: its material, plans of choices and of tasks, and choices as comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from personascope.activations.plan import Plan, Row
from personascope.activations.store import ActivationStore
from personascope.errors import DataError
from personascope.experiments.plans import make_plan
from personascope.experiments.questionnaires import Questionnaire, load_questionnaire, questionnaire_plan
from personascope.experiments.recipe import Recipe
from personascope.experiments.recipe_parts import ActivationsPart
from personascope.instruments.pairs import d_regular_pairs
from personascope.instruments.personas import Persona, load_personas, pick_personas
from personascope.instruments.tasks import Task, TaskPool, load_tasks
from personascope.models.engine import HookEngine
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render
from personascope.prompts.templates import CHOICE, TASK_ALONE


@dataclass(frozen=True)
class Material:
    """What a recipe asks: items and tasks, who answers them, and which tasks are compared."""

    questionnaire: Questionnaire
    pool: TaskPool
    choosers: tuple[Persona, ...]
    pairs: tuple[tuple[int, int], ...]


def load_material(recipe: Recipe) -> Material:
    """Load and cut down the instruments that a recipe names.

    Raises:
        FileFormatError, DataError: as the loaders of `instruments`.
    """
    pool = load_tasks(recipe.preferences.tasks)
    if recipe.preferences.per_topic is not None:
        pool = pool.subset(recipe.preferences.per_topic)
    personas = load_personas()
    if recipe.personas is not None:
        personas |= load_personas(recipe.personas)
    material = Material(
        questionnaire=load_questionnaire(recipe.hexaco, recipe.personas),
        pool=pool,
        choosers=tuple(pick_personas(personas, list(recipe.preferences.personas))),
        pairs=tuple(d_regular_pairs(len(pool.tasks), recipe.preferences.degree, recipe.seed)),
    )
    _check_sizes(material, recipe)
    return material


def _check_sizes(material: Material, recipe: Recipe) -> None:
    """Find before the first row what would stop the last stage."""
    folds = recipe.probes.folds
    for what, groups in (("facets", material.questionnaire.bank.facets), ("topics", material.pool.topics)):
        if len(groups) < folds:
            raise DataError(
                f"{len(groups)} {what} cannot fill {folds} folds.",
                f"Probes are tested on {what} that they were not trained on.",
                f"Use more {what} or a smaller probes.folds.",
            )
    steered = material.questionnaire.bank.subset([recipe.steering.facet])
    per_key = min(sum(item.key == key for item in steered.items) for key in (1, -1))
    if len(steered.items) < folds or per_key < 1:
        raise DataError(
            f"The steered facet {recipe.steering.facet!r} has {len(steered.items)} items, {per_key} of its rarer key.",
            f"Its direction needs {folds} items or more, and items of both keys tell trait from yea-saying.",
            "Steer another facet (steering.facet) or ask more of its items.",
        )


def choice_prompt(engine: HookEngine, persona: Persona, first: Task, second: Task) -> Prompt:
    """A choice between two tasks, in this order."""
    slots = {"task_a": first.text, "task_b": second.text}
    return render(engine.tokenizer, CHOICE, slots, system=persona.phrasings[0].system)


def demo_plans(engine: HookEngine, material: Material, kept: ActivationsPart) -> tuple[Plan, Plan, Plan]:
    """The plans "hexaco", "choices" and "tasks"."""
    hexaco = questionnaire_plan("hexaco", engine, material.questionnaire, kept)
    return hexaco, choice_plan(engine, material, kept), task_plan(engine, material, kept)


def choice_plan(engine: HookEngine, material: Material, kept: ActivationsPart) -> Plan:
    """Every pair in both orders under every persona; answers only, rows carry persona, first, second."""
    tasks = material.pool.tasks
    rows = tuple(
        Row(
            id=f"{persona.name}/{tasks[a].id}/{tasks[b].id}",
            prompt=choice_prompt(engine, persona, tasks[a], tasks[b]),
            meta={"persona": persona.name, "first": tasks[a].id, "second": tasks[b].id},
        )
        for persona in material.choosers
        for i, j in material.pairs
        for a, b in ((i, j), (j, i))
    )
    answers_only = kept.model_copy(update={"layers": (), "positions": ()})
    return make_plan("choices", engine, rows, answers_only, CHOICE, {"tasks": material.pool.hash()})


def task_plan(engine: HookEngine, material: Material, kept: ActivationsPart) -> Plan:
    """Every task alone under every persona; activations only, rows carry persona, task."""
    rows = tuple(
        Row(
            id=f"{persona.name}/{task.id}",
            prompt=render(engine.tokenizer, TASK_ALONE, {"item": task.text}, system=persona.phrasings[0].system),
            meta={"persona": persona.name, "task": task.id},
        )
        for persona in material.choosers
        for task in material.pool.tasks
    )
    return make_plan("tasks", engine, rows, kept, TASK_ALONE, {"tasks": material.pool.hash()})


def answered_choices(store: ActivationStore) -> pl.DataFrame:
    """Log-probabilities of every choice in both orders, as `measures.choices` takes them."""
    return store.rows.select("persona", "first", "second").with_columns(
        logprob_first=pl.Series(store.option_logprobs[:, 0].astype(np.float64)),
        logprob_second=pl.Series(store.option_logprobs[:, 1].astype(np.float64)),
        other_logmass=pl.Series(store.other_logmass.astype(np.float64)),
    )


@dataclass(frozen=True)
class Comparisons:
    """One persona's choices as arrays over comparisons, ready for `fit_utilities`."""

    first: np.ndarray
    second: np.ndarray
    p_first: np.ndarray
    weights: np.ndarray


def comparisons(choices: pl.DataFrame, persona: str, tasks: Sequence[Task]) -> Comparisons:
    """One persona's comparisons; the weight of each is the probability that any task was chosen."""
    own = choices.filter(pl.col("persona") == persona)
    number = {task.id: index for index, task in enumerate(tasks)}
    first, second = np.exp(own["logprob_first"].to_numpy()), np.exp(own["logprob_second"].to_numpy())
    return Comparisons(
        first=np.array([number[task] for task in own["first"]]),
        second=np.array([number[task] for task in own["second"]]),
        p_first=first / (first + second),
        weights=np.clip(first + second, 0.0, 1.0),
    )
