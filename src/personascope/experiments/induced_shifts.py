"""The study of induced shifts: when a prompt moves what is preferred, does the probe move with it?

A probe is trained once, on tasks under the first persona. Then system prompts praise or condemn subjects, kinds of task
or, in one sentence of a life, a single task; choices between tasks are asked again, and the same probe reads the same
tasks. A text encoder that sees the same words, prompts that mention without valence and random directions stand beside
it. Last, the probe reads statements that are true or false, harmful or not, left or right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from personascope.activations.plan import Plan
from personascope.activations.store import ActivationStore
from personascope.errors import DataError
from personascope.experiments.collecting import Progress, collect_plan, store_facts
from personascope.experiments.elicitation import TASKS
from personascope.experiments.pages import write_page
from personascope.experiments.probe_study import (
    Asked,
    ask_and_probe,
    load_asked,
    load_probed_model,
    preference_directions,
    save_directions,
)
from personascope.experiments.recipe import ShiftsRecipe
from personascope.experiments.results_preferences import shift_results
from personascope.experiments.runs import RunFolder
from personascope.experiments.shift_scores import design_plans, spread_out, stimulus_plan
from personascope.experiments.shift_tables import shift_tables, stimulus_tables
from personascope.instruments.personas import Persona, load_personas, pick_personas
from personascope.instruments.shifts import ShiftDesign, load_shift_design
from personascope.instruments.stimuli import Stimuli, load_stimuli
from personascope.instruments.tasks import load_tasks
from personascope.models.engine import HookEngine


@dataclass(frozen=True)
class Moved:
    """What is asked beside the pool: designs that move preferences, and stimuli with who reads them."""

    asked: Asked
    designs: tuple[ShiftDesign, ...]
    stimuli: tuple[Stimuli, ...]
    readers: tuple[Persona, ...]

    def plans(self, engine: HookEngine, recipe: ShiftsRecipe) -> dict[str, Plan]:
        """By name; all but those of the pool."""
        plans = [plan for design in self.designs for plan in design_plans(engine, design, recipe).values()]
        plans += [
            stimulus_plan(engine, stimuli, self.readers, turn, recipe.activations)
            for stimuli in self.stimuli
            for turn in recipe.turns
        ]
        return {plan.name: plan for plan in plans}


def load_moved(recipe: ShiftsRecipe) -> Moved:
    """Load and cut down everything that a recipe names.

    Raises:
        FileFormatError, DataError: as the loaders of `instruments`.
    """
    asked = load_asked(recipe, None)
    own = {"subjects": recipe.subjects, "tasks": recipe.shift_tasks, "biographies": recipe.biographies}
    pool = None if recipe.biographies is None else load_tasks(recipe.preferences.tasks)
    loaded = (load_shift_design(name, pool=pool, **own) for name in recipe.designs)
    designs = tuple(spread_out(design, recipe.matched) for design in loaded)
    for design in designs:
        _require_training_tasks(design, asked, recipe)
    personas = load_personas() | (load_personas(recipe.personas) if recipe.personas is not None else {})
    return Moved(
        asked=asked,
        designs=designs,
        stimuli=tuple(load_stimuli(source) for source in recipe.stimuli),
        readers=tuple(pick_personas(personas, list(recipe.stimulus_personas))),
    )


def _require_training_tasks(design: ShiftDesign, asked: Asked, recipe: ShiftsRecipe) -> None:
    """The probe is trained without the tasks of the design, and its penalty is chosen over folds of topics."""
    scored = {task.id for task in design.tasks.tasks}
    left = [task for task in asked.material.pool.tasks if task.id not in scored]
    topics = {task.topic for task in left}
    if len(topics) < recipe.probes.folds:
        raise DataError(
            f"Without the tasks of the design {design.name!r}, {len(left)} tasks of {len(topics)} topics are left to "
            "train on.",
            f"A probe is not trained on what it scores, and {recipe.probes.folds} folds need as many topics.",
            "Raise preferences.per_topic, or leave the design out.",
        )


def run_shifts(recipe: ShiftsRecipe, folder: Path, progress: Progress, *, fork: bool = False) -> Path:
    """Run, continue or find finished; returns the page's path. Arguments and errors: see `studies.run_study`."""
    run = RunFolder(folder, recipe, fork)
    if run.is_finished():
        return run.report
    moved = load_moved(recipe)
    engine = load_probed_model(recipe.model, recipe)
    plans = moved.plans(engine, recipe)
    run.begin({plan.name: plan.fields() for plan in [*moved.asked.plans(engine, recipe), *plans.values()]})
    if run.is_finished():  # a fork of before
        return run.report

    stores, tables = ask_and_probe(engine, moved.asked, recipe, run, progress)
    material = moved.asked.material
    stores |= {name: collect_plan(plan, engine, run, progress) for name, plan in plans.items()}
    systems = {persona.name: persona.phrasings[0].system for persona in (*material.choosers, *moved.readers)}
    tables |= _scored(moved, stores, tables, systems, recipe, run, progress)
    found = preference_directions(engine, stores[TASKS], tables["utilities"], material, recipe, stores[TASKS].layers)
    save_directions(run, "preference", found)

    run.write_results(shift_results(tables))
    run.write_provenance({recipe.model.label: engine.fingerprint()}, store_facts(stores))
    write_page(run, recipe, tables)
    return run.report


def _scored(
    moved: Moved,
    stores: Mapping[str, ActivationStore],
    tables: Mapping[str, pl.DataFrame],
    systems: Mapping[str, str],
    recipe: ShiftsRecipe,
    run: RunFolder,
    progress: Progress,
) -> dict[str, Any]:
    """The stages that score designs and stimuli."""
    found = run.stage("shifts", lambda: shift_tables(moved.designs, stores, tables, systems, recipe, progress))
    if moved.stimuli:
        found |= run.stage(
            "stimuli", lambda: stimulus_tables(moved.stimuli, moved.readers, stores, tables, systems, recipe, progress)
        )
    return found
