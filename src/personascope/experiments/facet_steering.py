"""The study of facet steering: can one facet be raised or lowered, and what moves along with it?

Each facet's direction is fitted on some of its items under several personas; all facets are then measured on other
items while each direction, and random ones, push the tokens from the item on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from personascope.activations.plan import Plan, Row
from personascope.activations.store import ActivationStore
from personascope.direction import Direction
from personascope.errors import DataError
from personascope.experiments.collecting import Progress, collect_plan, named, store_facts
from personascope.experiments.facet_effects import FACET, facet_grid, selectivity_tables
from personascope.experiments.pages import write_page
from personascope.experiments.plans import load_model_part
from personascope.experiments.probe_study import ridge_direction, save_directions
from personascope.experiments.profiles import profile_tables
from personascope.experiments.questionnaires import (
    Questionnaire,
    item_prompt,
    load_questionnaire,
    questionnaire_plan,
    rating_template,
)
from personascope.experiments.recipe_parts import ActivationsPart
from personascope.experiments.recipe_steering import FacetSteeringRecipe
from personascope.experiments.results_steering import facet_results
from personascope.experiments.rows import facet_rows
from personascope.experiments.runs import RunFolder
from personascope.experiments.steering_study import FROM_ITEM
from personascope.instruments.items import ItemBank, load_items
from personascope.measures.likert import score_likert
from personascope.models.engine import HookEngine
from personascope.models.requests import require_layers
from personascope.prompts.labels import resolve_options
from personascope.prompts.templates import ORDERS
from personascope.steering.coefficient_sweep import SweepAnswers, SweepGrid, stored_coefficient_sweep
from personascope.steering.dose_response import dose_response
from personascope.steering.read_outs import facet_curve
from personascope.steering.selectivity import Selectivity, selectivity

HEXACO = "hexaco"


def run_facet_steering(recipe: FacetSteeringRecipe, folder: Path, progress: Progress, *, fork: bool = False) -> Path:
    """Run, continue or find finished; returns the page's path. Arguments and errors: see `studies.run_study`."""
    run = RunFolder(folder, recipe, fork)
    if run.is_finished():
        return run.report
    asked = load_questionnaire(recipe.hexaco, recipe.personas)
    measured = measured_items(recipe, asked.bank)
    engine = load_model_part(recipe.model)
    plan = fitting_plan(engine, asked, recipe)
    run.begin({plan.name: plan.fields()})
    if run.is_finished():  # a fork of before
        return run.report
    store = collect_plan(plan, engine, run, progress)
    how: dict[str, Any] = {"n_resamples": recipe.resamples, "seed": recipe.seed}
    tables = run.stage("hexaco", lambda: profile_tables(store, asked.bank, recipe, ()))
    directions = facet_directions(engine, store, tables["hexaco_items"], measured.facets, recipe)
    save_directions_of(run, directions)

    rows, data = measured_rows(engine, asked, measured), {"data:measured": measured.hash()}
    options = resolve_options(engine.tokenizer, rows[0].prompt.text.splitlines()[-1], _labels(engine, asked))
    features = {recipe.layer: store.layer(recipe.layer, recipe.position)}
    ask: dict[str, Any] = {"context": data, "progress": named(progress, "sweep-facets")}
    push: dict[str, Any] = {"strength": recipe.strength, "n_random": recipe.random_directions, "seed": recipe.seed}
    grid = facet_grid(directions, features[recipe.layer], **push)
    answers = stored_coefficient_sweep(engine, rows, grid, options, run.store("sweep-facets"), **ask)
    tables |= run.stage(
        "facet-steering",
        lambda: selectivity_tables(effects_of(answers, rows, measured, recipe, how), directions, recipe.seed),
    )

    curves = {}
    for facet in recipe.curves:
        own = [row for row in rows if row.meta["facet"] == facet]
        swept = SweepGrid.of(
            [directions[facet]],
            coefficients=recipe.coefficients,
            where=FROM_ITEM,
            features=features,
            n_random=recipe.random_directions,
            seed=recipe.seed,
        )
        name = f"sweep-{facet}"
        curves[facet] = stored_coefficient_sweep(
            engine, own, swept, options, run.store(name), context=data, progress=named(progress, name)
        )
    if curves:
        tables |= run.stage("facet-curves", lambda: curve_tables(curves, rows, how))

    run.write_results(facet_results(tables))
    run.write_provenance({recipe.model.label: engine.fingerprint()}, store_facts({plan.name: store}))
    write_page(run, recipe, tables)
    return run.report


def measured_items(recipe: FacetSteeringRecipe, fitted: ItemBank) -> ItemBank:
    """The first items of each key and facet that no direction is fitted on.

    Raises:
        DataError: a facet has none left of a key, or too few are fitted on; a facet of `curves` is not asked.
    """
    taken = {item.id for item in fitted.items}
    rest = ItemBank(tuple(item for item in load_items(recipe.hexaco.items).items if item.id not in taken), fitted.name)
    lacking = [
        (facet, key)
        for facet in fitted.facets
        for key in (1, -1)
        if not any(item.facet == facet and item.key == key for item in rest.items)
    ]
    if lacking:
        facet, key = lacking[0]
        raise DataError(
            f"All items of facet {facet!r} keyed {key:+d} are fitted on.",
            "What is measured under steering must not have been fitted on, and needs items of both keys.",
            "Fit on a shorter form (hexaco.form, hexaco.per_key).",
        )
    unknown = [facet for facet in recipe.curves if facet not in fitted.facets]
    if unknown:
        raise DataError(f"curves names {unknown[0]!r}, which is not asked.", "", f"Use {', '.join(fitted.facets)}.")
    return rest.subset(fitted.facets, recipe.measured)


def fitting_plan(engine: HookEngine, asked: Questionnaire, recipe: FacetSteeringRecipe) -> Plan:
    """Items that directions are fitted on, read at one layer and position."""
    require_layers(engine, [recipe.layer])
    kept = ActivationsPart(layers=(recipe.layer,), positions=(recipe.position,), rows_per_shard=recipe.rows_per_shard)
    return questionnaire_plan(HEXACO, engine, asked, kept)


def facet_directions(
    engine: HookEngine,
    store: ActivationStore,
    items: pl.DataFrame,
    facets: Sequence[str],
    recipe: FacetSteeringRecipe,
) -> dict[str, Direction]:
    """Each facet's direction: ridge weights for keyed answers to its items under all personas."""
    return {
        facet: ridge_direction(
            engine,
            store,
            facet_rows(store, items, facet, recipe.layer, recipe.position),
            recipe.layer,
            recipe.position,
            f"answers to items of {facet} nearer to its + pole",
            recipe.seed,
        )
        for facet in facets
    }


def save_directions_of(run: RunFolder, directions: Mapping[str, Direction]) -> None:
    """One file for each facet."""
    for facet, direction in directions.items():
        save_directions(run, f"facet-{facet}", [direction])


def measured_rows(engine: HookEngine, asked: Questionnaire, measured: ItemBank) -> list[Row]:
    """Every measured item in both anchor orders, as the first persona; rows carry item, facet, key and order."""
    templates = {order: rating_template(engine, asked.scale, order) for order in ORDERS}
    return [
        Row(
            f"{item.id}/{order}",
            item_prompt(engine, asked.respondents[0], item, template),
            {"item": item.id, "facet": item.facet, "key": str(item.key), "order": order},
        )
        for order, template in templates.items()
        for item in measured.items
    ]


def _labels(engine: HookEngine, asked: Questionnaire) -> tuple[str, ...]:
    return rating_template(engine, asked.scale, ORDERS[0]).labels


def effects_of(
    answers: SweepAnswers,
    rows: Sequence[Row],
    measured: ItemBank,
    recipe: FacetSteeringRecipe,
    how: Mapping[str, Any],
) -> Selectivity:
    """What every direction does to every measured facet, both anchor orders averaged."""
    logprobs = answers.option_logprobs[:, 0]
    scored = score_likert(
        logprobs.reshape(-1, logprobs.shape[-1]),
        answers.other_logmass[:, 0].reshape(-1),
        n_options=logprobs.shape[-1],
        descending=np.repeat([row.meta["order"] == "descending" for row in rows], logprobs[0, ..., 0].size),
    )
    by_order = scored.agreement.reshape(len(ORDERS), len(measured.items), *logprobs.shape[1:-1])
    return selectivity(
        by_order.mean(axis=0),
        [item.facet for item in measured.items],
        np.array([item.key for item in measured.items]),
        directions=answers.directions,
        steered=[name if kind == FACET else None for name, kind in zip(answers.directions, answers.kinds, strict=True)],
        coefficients=answers.coefficients,
        at=recipe.strength,
        **how,
    )


def curve_tables(
    curves: Mapping[str, SweepAnswers], rows: Sequence[Row], how: Mapping[str, Any]
) -> dict[str, pl.DataFrame]:
    """Tables "facet_curves" and "facet_dose": single facets over all coefficients, beside random directions."""
    found, doses = [], []
    for facet, answers in curves.items():
        own = [row for row in rows if row.meta["facet"] == facet]
        numbers = {item: number for number, item in enumerate(dict.fromkeys(row.meta["item"] for row in own))}
        curve = facet_curve(
            answers,
            item=np.array([numbers[row.meta["item"]] for row in own]),
            key=np.array([int(row.meta["key"]) for row in own]),
            descending=np.array([row.meta["order"] == "descending" for row in own]),
            **how,
        )
        label = pl.lit(facet).alias("facet")
        found.append(curve.select(label, pl.all()))
        if not curve["low"].null_count():  # of one item of a key no spread can be seen
            doses.append(dose_response(curve).select(label, pl.all()))
    return {"facet_curves": pl.concat(found)} | ({"facet_dose": pl.concat(doses)} if doses else {})
