"""The demo study: load, ask, cache, fit, test, steer, report, in that order.

A model answers HEXACO items and chooses between tasks under several personas; its residual stream is probed at every
layer, the probes are tested across personas, and the model is steered along what they found.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from personascope.activations.collect import collect
from personascope.activations.store import ActivationStore
from personascope.direction import Direction
from personascope.experiments.asking import demo_plans, load_material
from personascope.experiments.plans import load_model_part
from personascope.experiments.preferences import preference_tables
from personascope.experiments.probing import probe_tables, transfer_tables
from personascope.experiments.profiles import profile_tables
from personascope.experiments.recipe import Recipe
from personascope.experiments.results import headline_results
from personascope.experiments.runs import RunFolder
from personascope.experiments.steering_study import facet_directions, preference_directions, steering_tables
from personascope.models.engine import HookEngine
from personascope.models.requests import require_layers
from personascope.report.page import build_page

Progress = Callable[[str, int, int], None]


def run_demo(recipe: Recipe, folder: Path, progress: Progress, *, fork: bool = False) -> Path:
    """Run, continue or find finished; returns the page's path. Arguments and errors: see `studies.run_study`."""
    run = RunFolder(folder, recipe, fork)
    if run.is_finished():
        return run.report
    material = load_material(recipe)
    engine = load_recipe_model(recipe)
    plans = demo_plans(engine, material, recipe.activations)
    run.begin({plan.name: plan.fields() for plan in plans})
    if run.is_finished():  # a fork of before
        return run.report

    stores: dict[str, ActivationStore] = {}
    for plan in plans:
        started, total = time.monotonic(), len(plan.rows)
        progress(plan.name, 0, total)
        stores[plan.name] = collect(
            plan,
            engine,
            run.store(plan.name),
            progress=lambda rows, _tokens, name=plan.name, total=total: progress(name, rows, total),  # type: ignore[misc]
        )
        run.seconds[f"collect {plan.name}"] = time.monotonic() - started

    tables = run.stage("hexaco", lambda: profile_tables(stores["hexaco"], material.questionnaire.bank, recipe))
    tables |= run.stage("preferences", lambda: preference_tables(stores["choices"], material, recipe))
    tables |= run.stage("probes", lambda: probe_tables(stores, tables, material, recipe, progress))
    tables |= run.stage("transfer", lambda: transfer_tables(stores["tasks"], tables, material, recipe, progress))

    preference = preference_directions(engine, stores["tasks"], tables["utilities"], material, recipe)
    facet = facet_directions(engine, stores["hexaco"], tables["hexaco_items"], recipe)
    save_directions(run, {"preference": preference, f"facet-{recipe.steering.facet}": facet})
    tables |= run.stage(
        "steering", lambda: steering_tables(engine, material, recipe, stores, preference, facet, progress)
    )

    run.write_results(headline_results(tables))
    run.write_provenance({recipe.model.label: engine.fingerprint()}, _material_facts(stores))
    write_page(run, recipe, tables)
    return run.report


def load_recipe_model(recipe: Recipe) -> HookEngine:
    """The recipe's model, checked, with the layers that the recipe names."""
    engine = load_model_part(recipe.model)
    kept = recipe.activations.layers
    require_layers(engine, [*recipe.steering.layers, *(kept if kept != "all" else ())])
    return engine


def save_directions(run: RunFolder, directions: Mapping[str, list[Direction]]) -> None:
    """Every direction as safetensors + JSON under directions/."""
    for name, by_layer in directions.items():
        for direction in by_layer:
            direction.save(run.path / "directions" / f"{name}-layer{direction.layer:02d}")


def _material_facts(stores: Mapping[str, ActivationStore]) -> dict[str, object]:
    return {"stores": {name: {"rows": store.n_rows, "plan_key": store.key} for name, store in stores.items()}}


def write_page(run: RunFolder, recipe: Recipe, tables: Mapping[str, pl.DataFrame]) -> None:
    """The page of a run from its tables."""
    provenance = run.provenance()
    backend = provenance["backends"][recipe.model.label]
    facts = {
        "model": f"{recipe.model.name} ({backend['dtype']}, weights {backend['weights'][:12]})",
        "recipe": f"{recipe.name} ({provenance['recipe_sha256'][:12]}), seed {recipe.seed}",
        "rows": ", ".join(f"{name} {facts['rows']:,}" for name, facts in provenance["stores"].items()),
        "intervals": f"95 %, {recipe.resamples:,} bootstrap resamples",
        "prefix reuse": backend["prefix_reuse"],
        "versions": ", ".join(f"{name} {version}" for name, version in provenance["versions"].items()),
        "seconds": ", ".join(f"{name} {value:.0f}" for name, value in provenance["seconds"].items()),
    }
    run.write_report(build_page(dict(tables), title=f"personascope: {recipe.name}", facts=facts))
