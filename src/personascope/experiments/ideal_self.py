"""The ideal self: asked, taught, and compared with steered.

A model answers a questionnaire as itself, as the self that it would like to be and as an ideal assistant. Then it is
trained so that its answer as itself is the one of its ideal self, beside runs that are taught something else. What
moved on items that were never taught, where it moved the residual stream, and whether steering does the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from personascope.errors import DataError, nearest
from personascope.experiments.collecting import Progress, collect_plan, store_facts
from personascope.experiments.ideal_tables import compared_tables, geometry_tables, run_tables, transfer_tables
from personascope.experiments.movement_tables import movement_tables
from personascope.experiments.narrow_tables import unrequested_tables
from personascope.experiments.pages import write_page
from personascope.experiments.plans import load_model_part
from personascope.experiments.questionnaires import FIRST, Questionnaire, answer_table, load_questionnaire
from personascope.experiments.recipe_tuning import IdealSelfRecipe
from personascope.experiments.results_tuning import tuning_results
from personascope.experiments.runs import RunFolder
from personascope.experiments.task_choices import base_utilities, preference_directions_at
from personascope.experiments.tuned_answers import TestItems, base_plan, other_forms, paired, scores
from personascope.experiments.tuned_runs import TunedRuns
from personascope.instruments.splits import ItemSplit, split_items
from personascope.instruments.tasks import load_tasks
from personascope.models.requests import require_layers
from personascope.tuning.lora import require_trainer


def run_ideal_self(recipe: IdealSelfRecipe, folder: Path, progress: Progress, *, fork: bool = False) -> Path:
    """Run, continue or find finished; returns the page's path. Arguments and errors: see `studies.run_study`."""
    run = RunFolder(folder, recipe, fork)
    if run.is_finished():
        return run.report
    asked, split, items = load_ideal_self(recipe)
    engine = load_model_part(recipe.model)
    require_layers(engine, recipe.layers)
    plan = base_plan(engine, asked, items, recipe)
    run.begin({plan.name: plan.fields()})
    if run.is_finished():  # a fork of before
        return run.report
    runs = TunedRuns(engine, asked, split, items, recipe, run, progress)

    base = collect_plan(plan, engine, run, progress)
    forms = other_forms(engine, "base", asked, items, recipe, run, progress)
    tasks = base_utilities(engine, recipe, run, progress)
    answers = answer_table(base, asked.bank).filter(pl.col("phrasing") == FIRST)
    trained = {one.name: runs.train(one, answers) for one in recipe.runs}
    tuned = {one.name: runs.ask(one, trained[one.name][0]) for one in recipe.runs}
    first = recipe.runs[0].name

    before = scores(base, asked.bank)
    moved = {name: paired(before, scores(own.store, items.test), split.clusters) for name, own in tuned.items()}
    how: dict[str, Any] = {"n_resamples": recipe.resamples, "seed": recipe.seed}
    tables = run.stage("runs", lambda: run_tables(runs, trained, tuned, base))
    broad = {one.name: tuned[one.name] for one in recipe.runs if not one.is_narrow}
    tables |= run.stage("movement", lambda: movement_tables({name: moved[name] for name in broad}, how))
    tables |= run.stage("transfer", lambda: transfer_tables(runs, base, tuned[first], forms, moved, how))
    preference = preference_directions_at(engine, tasks, recipe, run, progress) if tasks is not None else {}
    tables |= run.stage("geometry", lambda: geometry_tables(runs, base, broad, preference))
    if any(one.is_narrow for one in recipe.runs):
        tables |= run.stage("unrequested", lambda: unrequested_tables(runs, base, tuned, moved, tasks, how))
    if recipe.comparison is not None:
        effects = tables["tuning_side_effects"]
        ends = (tuned[first], trained[first][0], moved[first], effects, preference, how)
        tables |= run.stage("comparison", lambda: compared_tables(runs, base, *ends))

    run.write_results(tuning_results(tables))
    stores = {plan.name: base, **{f"after-{name}": own.store for name, own in tuned.items()}}
    run.write_provenance({recipe.model.label: engine.fingerprint()}, store_facts(stores))
    write_page(run, recipe, tables)
    return run.report


def load_ideal_self(recipe: IdealSelfRecipe) -> tuple[Questionnaire, ItemSplit, TestItems]:
    """What is asked, how the items are split, and what is asked after training.

    Raises:
        DataError: as the loaders; a facet or topic of a run that there is not; a facet or key with too few items for
            every part.
        ModelError: training is not possible here (`require_trainer`).
    """
    require_trainer()
    asked = load_questionnaire(recipe.hexaco, recipe.personas, phrasings=1 + recipe.transfer.wordings)
    topics = list(dict.fromkeys(task.topic for task in load_tasks().tasks))
    for one in recipe.runs:
        for what, named, known in (
            ("facet", (*one.held_out, *one.only), asked.bank.facets),
            ("topic", one.topics, topics),
        ):
            unknown = next((name for name in named if name not in known), None)
            if unknown is not None:
                raise DataError(
                    f"Run {one.name} names the {what} {unknown!r}, which is not asked.{nearest(unknown, known)}",
                    f"There are {', '.join(known)}.",
                    "Mend `runs`.",
                )
    split = split_items(asked.bank, ratios=recipe.ratios, salt=str(recipe.seed))
    return asked, split, TestItems.of(asked.bank, split)
