"""The demo study: load, ask, cache, fit, test, steer, check, report, in that order.

A model answers HEXACO items and chooses between tasks under several personas; its residual stream is probed at every
layer, the probes are tested across personas, and the model is steered along what they found. The same chain is then
checked on a model whose preferences were planted.
"""

from __future__ import annotations

from pathlib import Path

from personascope.experiments.asking import demo_plans, load_material
from personascope.experiments.collecting import Progress, collect_plan, store_facts
from personascope.experiments.elicitation import CHOICES, Elicited, answered_choices
from personascope.experiments.organism import organism_facts, organism_plans, recover
from personascope.experiments.pages import write_page
from personascope.experiments.preferences import preference_tables
from personascope.experiments.probe_study import load_probed_model, preference_directions, save_directions
from personascope.experiments.probing import probe_tables
from personascope.experiments.profiles import profile_tables
from personascope.experiments.recipe import Recipe
from personascope.experiments.recipe_organism import OrganismRecipe
from personascope.experiments.results import headline_results
from personascope.experiments.results_organism import planted_records
from personascope.experiments.runs import RunFolder
from personascope.experiments.steering_study import facet_directions, steering_tables
from personascope.experiments.transfer_tables import transfer_tables
from personascope.models.engine import HookEngine
from personascope.models.requests import require_layers


def run_demo(recipe: Recipe, folder: Path, progress: Progress, *, fork: bool = False) -> Path:
    """Run, continue or find finished; returns the page's path. Arguments and errors: see `studies.run_study`."""
    run = RunFolder(folder, recipe, fork)
    if run.is_finished():
        return run.report
    material = load_material(recipe)
    engine = load_recipe_model(recipe)
    plans = demo_plans(engine, material, recipe.activations)
    planted = None if recipe.organism is None else OrganismRecipe.beside(recipe, recipe.organism)
    checked = None if planted is None else organism_plans(planted)
    further = [] if checked is None else [plan for state in checked[2].values() for plan in state]
    run.begin({plan.name: plan.fields() for plan in (*plans, *further)})
    if run.is_finished():  # a fork of before
        return run.report

    stores = {plan.name: collect_plan(plan, engine, run, progress) for plan in plans}
    elicited = Elicited(answered_choices(stores[CHOICES]))

    bank = material.questionnaire.bank
    tables = run.stage("hexaco", lambda: profile_tables(stores["hexaco"], bank, recipe, recipe.hexaco.contrasts))
    tables |= run.stage("preferences", lambda: preference_tables(elicited, material, recipe))
    tables |= run.stage("probes", lambda: probe_tables(stores, tables, material, recipe, progress))
    tables |= run.stage(
        "transfer", lambda: transfer_tables(stores["tasks"], tables, material, recipe, progress, further=False)
    )

    preference = preference_directions(
        engine, stores["tasks"], tables["utilities"], material, recipe, recipe.steering.layers
    )
    facet = facet_directions(engine, stores["hexaco"], tables["hexaco_items"], recipe)
    save_directions(run, "preference", preference)
    save_directions(run, f"facet-{recipe.steering.facet}", facet)
    tables |= run.stage(
        "steering", lambda: steering_tables(engine, material, recipe, stores, preference, facet, progress)
    )

    results, models = headline_results(tables), {recipe.model.label: engine.fingerprint()}
    if planted is not None and checked is not None:
        found, theirs = recover(run, planted, *checked, progress)
        tables, stores, results = tables | found, stores | theirs, results | {"planted": planted_records(found)}
        models |= organism_facts(checked[0])
    run.write_results(results)
    run.write_provenance(models, store_facts(stores))
    write_page(run, recipe, tables)
    return run.report


def load_recipe_model(recipe: Recipe) -> HookEngine:
    """The recipe's model, checked, with the layers that the recipe names."""
    engine = load_probed_model(recipe.model, recipe)
    require_layers(engine, recipe.steering.layers)
    return engine
