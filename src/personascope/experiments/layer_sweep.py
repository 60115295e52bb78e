"""The layer sweep: where preferences and facets are written, at every layer and position, with every control."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from personascope.experiments.collecting import ModelStores, Progress, store_facts
from personascope.experiments.cross_model import cross_model_tables
from personascope.experiments.elicitation import TASKS
from personascope.experiments.layer_controls import control_tables
from personascope.experiments.layer_geometry import facet_geometry, layer_agreement, residual_norms
from personascope.experiments.pages import write_page
from personascope.experiments.preferences import preference_tables
from personascope.experiments.probe_study import (
    Asked,
    ask,
    ask_and_probe,
    begin_study,
    load_probed_model,
    preference_directions,
    save_directions,
)
from personascope.experiments.probing import Stores
from personascope.experiments.recipe import LayerSweepRecipe
from personascope.experiments.results_preferences import sweep_results
from personascope.experiments.runs import RunFolder


def run_layer_sweep(recipe: LayerSweepRecipe, folder: Path, progress: Progress, *, fork: bool = False) -> Path:
    """Run, continue or find finished; returns the page's path. Arguments and errors: see `studies.run_study`."""
    run = RunFolder(folder, recipe, fork)
    begun = begin_study(run, recipe, recipe.hexaco)
    if begun is None:
        return run.report
    asked, engine = begun
    stores, tables = ask_and_probe(engine, asked, recipe, run, progress)
    material = asked.material
    tables |= run.stage("controls", lambda: control_tables(stores, tables, material, recipe, progress))
    tables |= run.stage(
        "layers",
        lambda: {
            "residual_norms": residual_norms(stores),
            "layer_agreement": layer_agreement(stores[TASKS], tables, material, recipe, progress),
        },
    )
    if asked.questionnaire is not None:
        tables |= run.stage("facets", lambda: facet_geometry(stores, tables, material, recipe, progress))
    layers = stores[TASKS].layers
    found = preference_directions(engine, stores[TASKS], tables["utilities"], material, recipe, layers)
    save_directions(run, "preference", found)

    backends = {recipe.model.label: engine.fingerprint()}
    del engine  # before another model is loaded
    if recipe.other_model is not None:
        tables |= other_model(stores, asked, tables, recipe, run, progress, backends)
    run.write_results(sweep_results(tables))
    run.write_provenance(backends, store_facts(stores))
    write_page(run, recipe, tables)
    return run.report


def other_model(
    stores: Stores,
    asked: Asked,
    tables: dict[str, pl.DataFrame],
    recipe: LayerSweepRecipe,
    run: RunFolder,
    progress: Progress,
    backends: dict[str, dict[str, str]],
) -> dict[str, pl.DataFrame]:
    """Ask the other model the same choices and tasks, and let both read each other's utilities.

    Its layers are all it has, whatever layers of the first model are kept.
    """
    assert recipe.other_model is not None
    label = recipe.other_model.label
    kept = recipe.activations.model_copy(update={"layers": "all"})
    theirs = recipe.model_copy(update={"model": recipe.other_model, "activations": kept})
    engine = load_probed_model(recipe.other_model, theirs)
    backends[label] = engine.fingerprint()
    only_tasks = Asked(asked.material, None)
    found = ask(engine, only_tasks, theirs, ModelStores(run, label), progress)
    other = run.stage("other-model", lambda: preference_tables(found.elicited, asked.material, recipe, prefix="other_"))
    pair = {name.removeprefix("other_"): table for name, table in other.items()}
    return other | run.stage(
        "cross-model",
        lambda: cross_model_tables(
            (recipe.model.label, label),
            (stores, found.stores),
            (tables, pair),
            asked.material,
            recipe,
            progress,
        ),
    )
