"""The steering study: does a preference direction cause choices, how hard may it be pushed, and is it needed?

Directions are fitted on some tasks and push pairs of others, beside random directions, a direction of another layer,
both signs and both orders. Label probabilities come first; what the model then writes, what breaks, and what choices
lose without the direction stand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from personascope.activations.plan import Row
from personascope.activations.store import ActivationStore
from personascope.direction import Direction
from personascope.errors import ModelError
from personascope.experiments.calibration import built_in_prompts
from personascope.experiments.collecting import Progress, named, store_facts
from personascope.experiments.elicitation import TASKS, ChoiceMaterial
from personascope.experiments.necessity import ablation_table, patching_table, spliced_table, successive_directions
from personascope.experiments.pages import write_page
from personascope.experiments.probe_study import ask_and_probe, begin_study, save_directions
from personascope.experiments.recipe_steering import CalibrationPart, NecessityPart, PushPart, SteeringSweepRecipe
from personascope.experiments.results_steering import steering_results
from personascope.experiments.rows import Rows, task_rows
from personascope.experiments.runs import RunFolder
from personascope.experiments.steered_choices import (
    PUSHES,
    PushedPairs,
    Sweeper,
    Usable,
    choice_rows_of,
    contrast_tables,
    fitted_directions,
    pushed_pairs,
    single_tables,
)
from personascope.experiments.steered_texts import (
    how_of,
    open_answer_tables,
    span_tables,
    text_directions,
    written_choice_table,
)
from personascope.instruments.personas import Persona, load_personas, pick_personas
from personascope.models.engine import HookEngine
from personascope.models.requests import require_layers
from personascope.shapes import Features
from personascope.steering.calibration import GIVEN, calibrate
from personascope.steering.coefficient_sweep import SweepGrid

OTHER_LAYER = "other layer"


def run_steering_sweep(recipe: SteeringSweepRecipe, folder: Path, progress: Progress, *, fork: bool = False) -> Path:
    """Run, continue or find finished; returns the page's path. Arguments and errors: see `studies.run_study`."""
    run = RunFolder(folder, recipe, fork)
    begun = begin_study(run, recipe, None)
    if begun is None:
        return run.report
    asked, engine = begun
    push, material = recipe.push, asked.material
    require_pushed_layers(engine, recipe)
    pushed = pushed_pairs(material, push, recipe.seed)
    known = load_personas() | ({} if recipe.personas is None else load_personas(recipe.personas))
    speakers = [] if recipe.answers is None else pick_personas(known, list(recipe.answers.personas))

    stores, tables = ask_and_probe(engine, asked, recipe, run, progress)
    store, persona, position = stores[TASKS], material.choosers[0], recipe.probes.position
    directions = fitted_directions(
        engine, store, tables["utilities"], persona.name, recipe, push.layers, pushed.held_out
    )
    save_directions(run, "preference", directions)
    features = {layer: store.layer(layer, position) for layer in push.layers}
    main = directions[push.layers.index(push.layer)]
    sweeper = Sweeper(engine, run, progress, {"data:tasks": material.pool.hash()}, how_of(recipe))
    rows = choice_rows_of(engine, material, pushed, persona)

    part = recipe.calibration
    if part is not None:
        tables |= run.stage(
            "calibration", lambda: calibration_tables(engine, directions, features, part, recipe, progress)
        )
    grid = layer_grid(engine, store, tables, recipe, directions, features, pushed.held_out)
    singles = {slot: one_layer(main, features, push, recipe.seed, PUSHES[slot]) for slot in ("first", "second")}
    tables |= choice_stage(sweeper, rows, grid, singles, tables)
    shown = one_layer(main, features, push, recipe.seed, PUSHES["contrast"])
    tables |= text_stages(sweeper, material, pushed, speakers, shown, recipe)
    necessity = recipe.necessity
    if necessity is not None:
        kept = ~tables["utilities"].filter(pl.col("persona") == persona.name)["task"].is_in(list(pushed.held_out))
        own = task_rows(store, tables["utilities"], persona.name, push.layer, position).of(kept.to_numpy())
        tables |= run.stage("necessity", lambda: need(sweeper, rows, own, main, features, recipe, necessity))

    run.write_results(steering_results(tables))
    run.write_provenance({recipe.model.label: engine.fingerprint()}, store_facts(stores))
    write_page(run, recipe, tables)
    return run.report


def choice_stage(
    sweeper: Sweeper,
    rows: Sequence[Row],
    grid: SweepGrid,
    singles: Mapping[str, SweepGrid],
    tables: Mapping[str, pl.DataFrame],
) -> dict[str, pl.DataFrame]:
    """Contrastive pushes at all layers and pushes on one task at one, and their tables."""
    contrast = sweeper.sweep("sweep-contrast", rows, grid)
    first, second = (sweeper.sweep(f"sweep-{slot}", rows, one) for slot, one in singles.items())
    usable = usable_ranges(tables["steering_ranges"]) if "steering_ranges" in tables else {}
    persona, utilities, how = rows[0].meta["persona"], tables["utilities"], sweeper.how
    return sweeper.run.stage(
        "steering",
        lambda: joined(
            contrast_tables(contrast, rows, utilities, persona, usable, how),
            single_tables(first, second, rows, persona, usable, how),
        ),
    )


def text_stages(
    sweeper: Sweeper,
    material: ChoiceMaterial,
    pushed: PushedPairs,
    speakers: Sequence[Persona],
    shown: SweepGrid,
    recipe: SteeringSweepRecipe,
) -> dict[str, pl.DataFrame]:
    """What is written under the directions of `shown`: begun tasks, free answers, answers to a steered span."""
    main, *others = shown.directions[0]
    random = list(zip(shown.kinds[1:], others, strict=True))
    tables: dict[str, pl.DataFrame] = {}
    written, answers, stage = recipe.written, recipe.answers, sweeper.run.stage
    if written is not None:
        few = text_directions(main, random, written.random_directions)
        tables |= stage(
            "written", lambda: {"steered_written": written_choice_table(sweeper, material, pushed, few, written)}
        )
    if answers is not None:
        some = text_directions(main, random, answers.random_directions)
        tables |= stage("answers", lambda: open_answer_tables(sweeper, speakers, some, answers))
        if answers.scenarios:
            tables |= stage("spans", lambda: span_tables(sweeper, some, answers))
    return tables


def need(
    sweeper: Sweeper,
    rows: Sequence[Row],
    own: Rows,
    main: Direction,
    features: Mapping[int, Features],
    recipe: SteeringSweepRecipe,
    part: NecessityPart,
) -> dict[str, pl.DataFrame]:
    """Tables "ablation", "patching" and "spliced"; `own` are the rows that directions are fitted on."""
    engine, push, how = sweeper.engine, recipe.push, sweeper.how
    persona, position = rows[0].meta["persona"], recipe.probes.position
    several = successive_directions(own, push.layer, position, persona, max(part.ranks), recipe.seed)
    return {
        "ablation": ablation_table(engine, rows, several, features, part, push, how),
        "patching": patching_table(engine, rows, part, how),
        "spliced": spliced_table(engine, rows, main, features, push, how),
    }


def require_pushed_layers(engine: HookEngine, recipe: SteeringSweepRecipe) -> None:
    """Hold before the first row that all layers exist and are kept.

    Raises:
        ModelError: one does not.
    """
    push, kept = recipe.push, recipe.activations.layers
    wanted = [*push.layers, *([] if push.other_layer is None else [push.other_layer])]
    require_layers(engine, wanted)
    lacking = [] if kept == "all" else sorted(set(wanted) - set(kept))
    if lacking:
        raise ModelError(
            f"Layer {lacking[0]} is steered and not kept.",
            f"activations.layers keeps {list(kept)}; directions are fitted on what is kept.",
            "Add the layers of `push` to activations.layers.",
        )


def layer_grid(
    engine: HookEngine,
    store: ActivationStore,
    tables: Mapping[str, pl.DataFrame],
    recipe: SteeringSweepRecipe,
    directions: list[Direction],
    features: Mapping[int, Features],
    held_out: frozenset[str],
) -> SweepGrid:
    """The contrastive sweep over all layers, with the direction of another layer among its controls."""
    push, further, utilities = recipe.push, {}, tables["utilities"]
    if push.other_layer is not None:
        (other,) = fitted_directions(
            engine, store, utilities, str(utilities["persona"][0]), recipe, [push.other_layer], held_out
        )
        further = {OTHER_LAYER: [moved(other, direction) for direction in directions]}
    return SweepGrid.of(
        directions,
        coefficients=push.coefficients,
        where=PUSHES["contrast"],
        features=features,
        n_random=push.random_directions,
        seed=recipe.seed,
        further=further,
    )


def moved(other: Direction, to: Direction) -> Direction:
    """A direction of another layer as a control at this one: its vector, as long as what is pushed here."""
    return Direction(
        vector=np.asarray(other.vector),
        layer=to.layer,
        position=to.position,
        model=to.model,
        reference_norm=to.reference_norm,
        means=f"what means {other.means!r} at layer {other.layer}",
        fit=other.fit,
        model_hash=to.model_hash,
        data_hash=to.data_hash,
    )


def one_layer(
    direction: Direction, features: Mapping[int, Features], push: PushPart, seed: int, where: Mapping[str, float]
) -> SweepGrid:
    """The sweep of one direction with its random ones."""
    return SweepGrid.of(
        [direction],
        coefficients=push.coefficients,
        where=where,
        features=features,
        n_random=push.random_directions,
        seed=seed,
    )


def calibration_tables(
    engine: HookEngine,
    directions: list[Direction],
    features: Mapping[int, Features],
    part: CalibrationPart,
    recipe: SteeringSweepRecipe,
    progress: Progress,
) -> dict[str, pl.DataFrame]:
    """Norms, guards and usable ranges at every swept layer, pushed where directions were fitted."""
    found = calibrate(
        engine,
        directions,
        where=recipe.probes.position,
        coefficients=part.coefficients,
        asked=built_in_prompts(engine),
        features=dict(features),
        n_random=recipe.push.random_directions,
        seed=recipe.seed,
        progress=named(progress, "calibration"),
    )
    ranges = found.range_frame().with_columns(pl.col("stopped_by").list.join(", "))
    return {"steering_norms": found.norm_frame(), "steering_guards": found.guard_frame(), "steering_ranges": ranges}


def usable_ranges(ranges: pl.DataFrame) -> Usable:
    """Layer -> range of coefficients at which the probe's direction does no damage; 0 alone where all did."""
    own = ranges.filter(pl.col("kind") == GIVEN)
    return {layer: (-(usable or 0.0), usable or 0.0) for layer, usable in own.select("layer", "usable").iter_rows()}


def joined(contrast: Mapping[str, list[pl.DataFrame]], single: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Tables of all read-outs of choices, under the names that the page knows."""
    found = {name: [*parts, *([single[name]] if name in single else [])] for name, parts in contrast.items()}
    return {f"steering_{name}": pl.concat(parts, how="diagonal") for name, parts in found.items()}
