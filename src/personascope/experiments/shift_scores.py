"""What is scored under induced preferences: choices of every condition, and the same tasks read by a fixed probe.

The probe is trained once, on tasks under the first persona, without the tasks that are scored. Beside it stand a probe
of sentence embeddings that sees the same words, system prompt included, and random directions with the covariance of
the activations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from personascope.activations.plan import Plan, Row
from personascope.activations.store import ActivationStore
from personascope.experiments.elicitation import (
    TASKS,
    ChoiceMaterial,
    answered_choices,
    choice_plan,
    task_plan,
)
from personascope.experiments.encoding import encoded, formatted
from personascope.experiments.plans import make_plan
from personascope.experiments.recipe import ShiftsRecipe
from personascope.experiments.recipe_parts import ActivationsPart
from personascope.experiments.rows import task_rows
from personascope.instruments.pairs import d_regular_pairs
from personascope.instruments.personas import Persona, Phrasing
from personascope.instruments.shifts import ShiftDesign
from personascope.instruments.stimuli import Stimuli
from personascope.measures.choices import choice_table
from personascope.models.engine import HookEngine
from personascope.probes.controls import covariance_matched_directions
from personascope.probes.ridge import RidgeProbe
from personascope.prompts.stimulus_templates import stimulus_prompt
from personascope.prompts.templates import TASK_ALONE

BASELINE = "baseline"
PROBE, ENCODER, RANDOM = "probe", "encoder", "random"
END_OF_TURN = {"bare": "eot", "say": "eot", "reply": "last:reply_end", "reply-open": "last:reply"}
"""Where a stimulus is read: the end of the turn in which it stands, where the probe was trained at one."""


def spread_out(design: ShiftDesign, most: int | None) -> ShiftDesign:
    """At most so many groups of matched conditions, taken evenly over the design."""
    groups = list(dict.fromkeys(condition.matched for condition in design.conditions))
    if most is None or most >= len(groups):
        return design
    kept = {groups[round(place)] for place in np.linspace(0, len(groups) - 1, most)}
    return replace(design, conditions=tuple(one for one in design.conditions if one.matched in kept))


def design_material(design: ShiftDesign, degree: int, seed: int) -> ChoiceMaterial:
    """The design's prompts as personas, its baseline first, with the same pairs for all."""
    prompts = {BASELINE: design.baseline} | {condition.id: condition.system for condition in design.conditions}
    choosers = (Persona(name=name, about="", phrasings=(Phrasing(system=text),)) for name, text in prompts.items())
    pairs = d_regular_pairs(len(design.tasks.tasks), degree, seed)
    return ChoiceMaterial(design.tasks, tuple(choosers), tuple(pairs))


def design_plans(engine: HookEngine, design: ShiftDesign, recipe: ShiftsRecipe) -> dict[str, Plan]:
    """Plans "choices" and "tasks" of a design."""
    material = design_material(design, recipe.shift_degree, recipe.seed)
    tasks = task_plan(engine, material, recipe.activations)
    return {
        "choices": choice_plan(engine, material, name=f"{design.name}-choices"),
        "tasks": replace(tasks, name=f"{design.name}-{TASKS}"),
    }


def stimulus_plan(
    engine: HookEngine, stimuli: Stimuli, personas: Sequence[Persona], turn: str, kept: ActivationsPart
) -> Plan:
    """Every stimulus under every persona in one turn; rows carry persona, stimulus."""
    rows = tuple(
        Row(
            id=f"{persona.name}/{stimulus.id}",
            prompt=stimulus_prompt(engine.tokenizer, stimulus, turn, system=persona.phrasings[0].system),
            meta={"persona": persona.name, "stimulus": stimulus.id},
        )
        for persona in personas
        for stimulus in stimuli.stimuli
    )
    # before a reply is said, what differs between labels is the question: the control of the assistant's turn
    positions = dict.fromkeys((END_OF_TURN[turn], "eot"))
    at_end = kept.model_copy(update={"positions": tuple(positions)})
    return make_plan(f"{stimuli.name}-{turn}", engine, rows, at_end, TASK_ALONE, {"stimuli": stimuli.hash()})


def choice_values(store: ActivationStore) -> pl.DataFrame:
    """How much each task is chosen under each condition, the baseline too: condition, task, choice.

    The mean over the task's pairs of the order-corrected log-odds of choosing it, in logits. All conditions have the
    same pairs, so differences between conditions hold nothing of which tasks met.
    """
    pairs = choice_table(answered_choices(store)).select("persona", "task_a", "task_b", "log_odds_a")
    sides = [
        pairs.select("persona", pl.col("task_a").alias("task"), choice=pl.col("log_odds_a")),
        pairs.select("persona", pl.col("task_b").alias("task"), choice=-pl.col("log_odds_a")),
    ]
    cell = [pl.col("persona").alias("condition"), "task"]
    return pl.concat(sides).group_by(cell, maintain_order=True).agg(pl.col("choice").mean())


@dataclass(frozen=True, eq=False)
class Scorers:
    """Fixed linear readers of one layer (and one of the words), all on the scale of utilities.

    Args:
        probe: trained on tasks under the first persona.
        directions: unit random directions (d_model, direction) with the covariance of the training rows.
    """

    probe: RidgeProbe
    directions: np.ndarray

    def scores(self, X: np.ndarray) -> dict[str, np.ndarray]:
        """(row,) for each scorer by name."""
        X = X.astype(np.float64)
        random = X @ self.directions
        named = {f"{RANDOM} {number + 1}": column for number, column in enumerate(random.T)}
        return {PROBE: np.asarray(self.probe.predict(X)), **named}


def train_scorers(
    store: ActivationStore,
    tables: Mapping[str, pl.DataFrame],
    recipe: ShiftsRecipe,
    layer: int,
    without: Sequence[str] = (),
) -> Scorers:
    """Train on all tasks of the pool but those of `without`, under the first persona."""
    persona, part = recipe.preferences.personas[0], recipe.probes
    rows = task_rows(store, tables["utilities"], persona, layer, part.position)
    own = tables["utilities"].filter(pl.col("persona") == persona)
    kept = ~own["task"].is_in(list(without)).to_numpy()
    X = rows.features[kept].astype(np.float64)
    probe = RidgeProbe(n_inner_folds=recipe.probes.folds, seed=recipe.seed).fit(
        X, rows.target[kept], groups=rows.groups[kept]
    )
    return Scorers(probe, covariance_matched_directions(X, part.directions, seed=recipe.seed))


def encoder_scores(
    tables: Mapping[str, pl.DataFrame],
    recipe: ShiftsRecipe,
    system: str,
    texts: Sequence[str],
    without: Sequence[str] = (),
) -> np.ndarray | None:
    """Scores of persona-formatted texts by a ridge on sentence embeddings of the tasks with the first persona's prompt.

    Args:
        tables: with the utilities.
        recipe: whose first persona is trained on.
        system: that persona's system prompt.
        texts: `formatted` ones.
        without: tasks that are not trained on.
    """
    own = tables["utilities"].filter(pl.col("persona") == recipe.preferences.personas[0])
    own = own.filter(~pl.col("task").is_in(list(without)))
    shown = [formatted(system, text) for text in own["text"]]
    vectors = encoded([*shown, *texts])
    if vectors is None:
        return None
    topics = own["topic"].to_numpy()
    probe = RidgeProbe(n_inner_folds=recipe.probes.folds, seed=recipe.seed).fit(
        vectors[: len(shown)], own["utility"].to_numpy(), groups=topics
    )
    return np.asarray(probe.predict(vectors[len(shown) :]))
