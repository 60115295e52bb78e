"""The study of steering across personas: does one persona's direction move the choices of all others?

The first persona's direction pushes the choices of every persona, beside that persona's own direction and random ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from personascope.activations.plan import Row
from personascope.experiments.collecting import Progress, store_facts
from personascope.experiments.elicitation import TASKS
from personascope.experiments.pages import write_page
from personascope.experiments.probe_study import ask_and_probe, begin_study, save_directions
from personascope.experiments.recipe_steering import CrossSteeringRecipe
from personascope.experiments.results_steering import cross_results
from personascope.experiments.runs import RunFolder
from personascope.experiments.steered_choices import (
    PUSHES,
    Sweeper,
    choice_rows_of,
    contrast_tables,
    fitted_directions,
    pushed_pairs,
)
from personascope.experiments.steered_texts import how_of
from personascope.measures.intervals import percentile_interval
from personascope.models.requests import require_layers
from personascope.steering.choice_read_outs import contrastive_curve
from personascope.steering.coefficient_sweep import PROBE, SweepAnswers, SweepGrid
from personascope.steering.curves import Curves

OWN = "own"


def run_cross_steering(recipe: CrossSteeringRecipe, folder: Path, progress: Progress, *, fork: bool = False) -> Path:
    """Run, continue or find finished; returns the page's path. Arguments and errors: see `studies.run_study`."""
    run = RunFolder(folder, recipe, fork)
    begun = begin_study(run, recipe, None)
    if begun is None:
        return run.report
    asked, engine = begun
    push, material = recipe.push, asked.material
    require_layers(engine, push.layers)
    pushed = pushed_pairs(material, push, recipe.seed)
    stores, tables = ask_and_probe(engine, asked, recipe, run, progress)
    store, how = stores[TASKS], how_of(recipe)
    features = {layer: store.layer(layer, recipe.probes.position) for layer in push.layers}
    own = {
        name: fitted_directions(engine, store, tables["utilities"], name, recipe, push.layers, pushed.held_out)
        for name in material.personas
    }
    for name, directions in own.items():
        save_directions(run, f"preference-{name}", directions)
    sweeper = Sweeper(engine, run, progress, {"data:tasks": material.pool.hash()}, how)
    first = material.personas[0]
    asked_of = {persona.name: choice_rows_of(engine, material, pushed, persona) for persona in material.choosers}
    answers = {}
    for name, rows in asked_of.items():
        grid = SweepGrid.of(
            own[first],
            coefficients=push.coefficients,
            where=PUSHES["contrast"],
            features=features,
            n_random=push.random_directions,
            seed=recipe.seed,
            further={} if name == first else {OWN: own[name]},
        )
        answers[name] = sweeper.sweep(f"sweep-{name}", rows, grid)

    def steered() -> dict[str, pl.DataFrame]:
        parts = [
            contrast_tables(answers[name], rows, tables["utilities"], name, {}, how) for name, rows in asked_of.items()
        ]
        found = {
            f"cross_{kind}": pl.concat([table for part in parts for table in part[kind]], how="diagonal")
            for kind in parts[0]
        }
        return found | {"cross_differences": _differences(answers, asked_of, how)}

    tables |= run.stage("cross-steering", steered)
    run.write_results(cross_results(tables))
    run.write_provenance({recipe.model.label: engine.fingerprint()}, store_facts(stores))
    write_page(run, recipe, tables)
    return run.report


def _differences(
    answers: Mapping[str, SweepAnswers], asked_of: Mapping[str, list[Row]], how: Mapping[str, int]
) -> pl.DataFrame:
    """Swing of each persona's own direction minus that of the first persona's, on the same pairs and resamples."""
    frames = []
    for name, rows in asked_of.items():
        found = answers[name]
        if OWN in found.kinds:
            curves = contrastive_curve(found, np.array([int(row.meta["pair"]) for row in rows]))
            frames.append(swing_differences(curves, how).select(pl.lit(name).alias("persona"), pl.all()))
    return pl.concat(frames) if frames else pl.DataFrame()


def swing_differences(curves: Curves, how: Mapping[str, int]) -> pl.DataFrame:
    """Columns layer, direction, control, coefficient, value (swing of "own" minus that of "probe"), low, high, n."""
    draws, value = curves.draws(**how), curves.value
    own, probe = curves.directions.index(OWN), curves.directions.index(PROBE)
    rows = []
    for number, layer in enumerate(curves.layers):
        for place, c in enumerate(curves.coefficients):
            if c <= 0:
                continue
            mirror = curves.coefficients.index(-c)

            def swing(of: np.ndarray, layer: int = number, up: int = place, down: int = mirror) -> np.ndarray:
                cells = of[..., layer, :, up] - of[..., layer, :, down]
                return np.asarray(cells[..., own] - cells[..., probe])

            low, high = percentile_interval(swing(draws))
            rows.append((layer, OWN, OWN, c, float(swing(value)), low, high, len(curves.units)))
    ends = dict.fromkeys(("coefficient", "value", "low", "high"), pl.Float64)
    schema = {"layer": pl.Int64, "direction": pl.String, "control": pl.String, **ends, "n": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")
