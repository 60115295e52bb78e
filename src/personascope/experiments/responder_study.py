"""A language model that reads interviews: taught to answer for people, probed for what it knows, pushed along traits.

Two states of one model, before training and after, are asked the same. Tested people were learned from by nobody: not
by the model, and not by the models of answers that stand beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from personascope.activations.store import ActivationStore
from personascope.experiments.collecting import Progress, collect_plan, named, store_facts
from personascope.experiments.pages import write_page
from personascope.experiments.plans import load_model_part
from personascope.experiments.recipe_responder import ResponderRecipe
from personascope.experiments.responder_interviewer import interviewer_tables
from personascope.experiments.responder_material import Material, lessons, load_material
from personascope.experiments.responder_people import recognition_table
from personascope.experiments.responder_plans import answer_rows, reader, reading_plans
from personascope.experiments.responder_steering import steered_tables
from personascope.experiments.responder_tables import TRAINED, UNTRAINED, answer_tables, probe_tables
from personascope.experiments.responder_writing import novel_table, synthetic_items, synthetic_table
from personascope.experiments.results_responder import responder_results
from personascope.experiments.runs import RunFolder
from personascope.models.adapters import attached
from personascope.models.engine import HookEngine
from personascope.models.requests import require_layers
from personascope.prompts.positions import resolve
from personascope.tuning.lora import require_trainer
from personascope.tuning.training import Trained, train_adapter

STATES = (UNTRAINED, TRAINED)


def run_responder(recipe: ResponderRecipe, folder: Path, progress: Progress, *, fork: bool = False) -> Path:
    """Run, continue or find finished; returns the page's path. Arguments and errors: see `studies.run_study`."""
    run = RunFolder(folder, recipe, fork)
    if run.is_finished():
        return run.report
    material, engine = load_responder(recipe)
    plans = reading_plans(engine, material, recipe, UNTRAINED)
    run.begin({plan.name: plan.fields() for plan in plans.values()})
    if run.is_finished():  # a fork of before
        return run.report
    stores = {UNTRAINED: {name: collect_plan(plan, engine, run, progress) for name, plan in plans.items()}}
    trained = _train(engine, material, recipe, run, progress)
    with attached(engine, trained.folder):
        plans = reading_plans(engine, material, recipe, TRAINED)
        stores[TRAINED] = {name: collect_plan(plan, engine, run, progress) for name, plan in plans.items()}
        tables = _tables(stores, trained, material, recipe, run)
        if recipe.steering is not None:
            states = stores[TRAINED]["states"]
            tables |= steered_tables(engine, states, material, recipe, run, progress)
        tables |= _made_up(engine, material, recipe, run, progress)
    if recipe.interviewer is not None:
        tables |= interviewer_tables(engine, material, recipe, run, progress)
    run.write_results(responder_results(tables))
    run.write_provenance({recipe.model.label: engine.fingerprint()}, _facts(stores, material))
    write_page(run, recipe, tables)
    return run.report


def load_responder(recipe: ResponderRecipe) -> tuple[Material, HookEngine]:
    """What is read, and by which model.

    Raises:
        PersonascopeError: everything that can be found wrong before the first row.
    """
    require_trainer()
    material = load_material(recipe)
    if recipe.synthetic is not None:
        synthetic_items(material, recipe.synthetic, recipe.seed)
    engine = load_model_part(recipe.model)
    if recipe.probes is not None:
        require_layers(engine, recipe.probes.layers)
    if recipe.recognition is not None:
        require_layers(engine, (recipe.recognition.layer,))
    if recipe.steering is not None:
        for row in answer_rows(reader(engine, material, recipe), material, 1, (0,)):
            resolve(row.prompt, recipe.steering.where)
    return material, engine


def _train(
    engine: HookEngine, material: Material, recipe: ResponderRecipe, run: RunFolder, progress: Progress
) -> Trained:
    started = time.monotonic()
    train, validation = lessons(engine, material, recipe)
    settings = recipe.training.settings(recipe.seed)
    folder = run.path / "adapters" / "responder"
    trained = train_adapter(engine, train, validation, folder, settings, progress=named(progress, "train"))
    run.seconds["train"] = time.monotonic() - started
    return trained


def _tables(
    stores: dict[str, dict[str, ActivationStore]],
    trained: Trained,
    material: Material,
    recipe: ResponderRecipe,
    run: RunFolder,
) -> dict[str, pl.DataFrame]:
    how: dict[str, Any] = {"n_resamples": recipe.resamples, "seed": recipe.seed}
    history = trained.history.with_columns(
        people=pl.lit(len(material.train.respondents)), answers=pl.lit(trained.n_taught)
    )
    tables = run.stage("training", lambda: {"responder_training": history})
    answers = {state: own["answers"] for state, own in stores.items()}
    tables |= run.stage("answers", lambda: answer_tables(answers, material, recipe, how))
    if recipe.probes is not None:
        states = {state: own["states"] for state, own in stores.items()}
        tables |= run.stage("probes", lambda: probe_tables(states, material, recipe, how))
    if recipe.recognition is not None:
        people = {state: own["people"] for state, own in stores.items()}
        tables |= run.stage("people", lambda: {"responder_people": recognition_table(people, material, recipe, how)})
    return tables


def _made_up(
    engine: HookEngine, material: Material, recipe: ResponderRecipe, run: RunFolder, progress: Progress
) -> dict[str, pl.DataFrame]:
    """People and questions that the taught model makes up."""
    how: dict[str, Any] = {"n_resamples": recipe.resamples, "seed": recipe.seed}
    makers: dict[str, Callable[[], pl.DataFrame]] = {}
    if recipe.synthetic is not None:
        makers["synthetic"] = lambda: synthetic_table(engine, material, recipe)
    if recipe.novel is not None:
        makers["novel"] = lambda: novel_table(engine, material, recipe, how)
    tables: dict[str, pl.DataFrame] = {}
    for name, make in makers.items():
        progress(name, 0, 1)
        tables |= run.stage(name, partial(_one_table, f"responder_{name}", make))
        progress(name, 1, 1)
    return tables


def _one_table(name: str, make: Callable[[], pl.DataFrame]) -> dict[str, pl.DataFrame]:
    return {name: make()}


def _facts(stores: dict[str, dict[str, ActivationStore]], material: Material) -> dict[str, Any]:
    flat = {store.name: store for own in stores.values() for store in own.values()}
    return store_facts(flat) | {"notes": list(material.train.notes)}
