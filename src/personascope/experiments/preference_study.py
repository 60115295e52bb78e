"""The preferences study: what a model prefers under many personas, and how far that can be trusted.

Every pair is asked in both orders and read from the label probabilities; where the recipe wants it, pairs are chosen by
what was answered, other wordings are asked, tasks are rated one by one, and choices are made by beginning the task.
"""

from __future__ import annotations

import time
from pathlib import Path

import polars as pl

from personascope.activations.plan import Plan
from personascope.activations.store import ActivationStore
from personascope.activations.texts import Writing
from personascope.experiments.choice_judges import ChoiceJudge, EndpointJudge, LocalJudge
from personascope.experiments.collecting import Progress, collect_plan, named, store_facts
from personascope.experiments.elicitation import ChoiceMaterial, elicit, first_plans, load_choice_material
from personascope.experiments.pages import write_page
from personascope.experiments.plans import answers_only, load_model_part
from personascope.experiments.preferences import preference_tables, space_tables, trust_tables
from personascope.experiments.recipe import PreferencesRecipe
from personascope.experiments.recipe_parts import WrittenChoicesPart
from personascope.experiments.results_preferences import preference_results
from personascope.experiments.runs import RunFolder
from personascope.experiments.stated_ratings import rating_agreement, rating_plan, stated_rating_table
from personascope.experiments.written_choices import write_choices, written_tables
from personascope.instruments.personas import pick_personas
from personascope.models.endpoint import Endpoint
from personascope.models.engine import HookEngine

WRITTEN = "written_choices"


def run_preferences(recipe: PreferencesRecipe, folder: Path, progress: Progress, *, fork: bool = False) -> Path:
    """Run, continue or find finished; returns the page's path. Arguments and errors: see `studies.run_study`."""
    run = RunFolder(folder, recipe, fork)
    if run.is_finished():
        return run.report
    material = load_choice_material(recipe)
    engine = load_model_part(recipe.model)
    plans = preference_plans(engine, material, recipe)
    run.begin({plan.name: plan.fields() for plan in plans})
    if run.is_finished():  # a fork of before
        return run.report

    elicited = elicit(engine, material, recipe, run, progress)
    stores = dict(elicited.stores)
    tables = run.stage("preferences", lambda: preference_tables(elicited, material, recipe))
    tables |= run.stage("trust", lambda: trust_tables(elicited, tables, material, recipe))
    tables |= run.stage("personas", lambda: space_tables(tables, recipe))
    if recipe.ratings:
        plan = plans[-1]
        stores[plan.name] = collect_plan(plan, engine, run, progress)
        tables |= run.stage("ratings", lambda: _ratings(stores[plan.name], tables["utilities"], recipe))
    if recipe.written is not None:
        written = write(engine, material, recipe, recipe.written, run, progress)
        how = {"n_resamples": recipe.resamples, "seed": recipe.seed}
        tables |= run.stage("written", lambda: written_tables(written, elicited.choices, material.pool.tasks, **how))

    run.write_results(preference_results(tables))
    run.write_provenance({recipe.model.label: engine.fingerprint()}, store_facts(stores))
    write_page(run, recipe, tables)
    return run.report


def preference_plans(engine: HookEngine, material: ChoiceMaterial, recipe: PreferencesRecipe) -> list[Plan]:
    """All that is asked whatever the answers will be; the ratings last, where tasks are rated."""
    plans = first_plans(engine, material, recipe)
    if recipe.ratings:
        plans.append(rating_plan(engine, material.choosers, material.pool, answers_only(recipe.rows_per_shard)))
    return plans


def write(
    engine: HookEngine,
    material: ChoiceMaterial,
    recipe: PreferencesRecipe,
    part: WrittenChoicesPart,
    run: RunFolder,
    progress: Progress,
) -> pl.DataFrame:
    """Choices made by beginning the task, read by the parser and, where it cannot, by the judge."""
    names = list(part.personas or material.personas)
    personas = pick_personas({persona.name: persona for persona in material.choosers}, names)
    started, judge = time.monotonic(), _judge(engine, part)
    written = [  # each has its own pairs
        write_choices(
            engine,
            [persona],
            material.pool.tasks,
            material.pairs_of(persona.name)[: part.pairs],
            run.store(WRITTEN),
            Writing(part.max_new_tokens, part.temperature, part.samples, recipe.seed),
            thinking=part.thinking,
            judge=judge,
            progress=named(progress, f"written choices, {persona.name}"),
        )
        for persona in personas
    ]
    run.seconds["write choices"] = time.monotonic() - started
    return pl.concat(written)


def _judge(engine: HookEngine, part: WrittenChoicesPart) -> ChoiceJudge | None:
    if part.judge == "local":
        return LocalJudge(engine)
    if part.judge == "endpoint":
        assert part.endpoint is not None and part.endpoint_model is not None, "checked by the recipe"
        return EndpointJudge(Endpoint(part.endpoint, part.endpoint_model, temperature=0.0))
    return None


def _ratings(store: ActivationStore, utilities: pl.DataFrame, recipe: PreferencesRecipe) -> dict[str, pl.DataFrame]:
    ratings = stated_rating_table(store)
    agreement = rating_agreement(ratings, utilities, n_resamples=recipe.resamples, seed=recipe.seed)
    return {"stated_ratings": ratings, "rating_agreement": agreement}
