"""What narrow runs moved without being asked to: facets, utilities, and the personas that this goes toward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from personascope.activations.store import ActivationStore
from personascope.experiments.ideal_directions import persona_rows
from personascope.experiments.ideal_tables import shifts_of
from personascope.experiments.movement_tables import Items
from personascope.experiments.recipe_tuning import IDEAL, OTHER, OWN, TaughtRun
from personascope.experiments.task_choices import AGAIN, further_choosers
from personascope.experiments.tuned_runs import Tuned, TunedRuns
from personascope.tuning.persona_projection import projection_table
from personascope.tuning.selection import Selection, facet_selection
from personascope.tuning.selection_utilities import utility_selection

FACETS, UTILITIES = "facets", "utilities"


def unrequested_tables(
    runs: TunedRuns,
    base: ActivationStore,
    tuned: Mapping[str, Tuned],
    items: Items,
    tasks: pl.DataFrame | None,
    how: Mapping[str, Any],
) -> dict[str, pl.DataFrame]:
    """Tables over all narrow runs; each row names its run, and of what it is: facets or utilities of topics.

    Args:
        runs: of the study.
        base: answers and rows before training.
        tuned: of every run.
        items: `paired` test items of every run.
        tasks: `base_utilities`.
        how: n_resamples and seed.

    Returns:
        "tuning_unrequested" (run, of, unit, taught, moved, low, high, p, q ...), "tuning_unrequested_totals",
        "tuning_selected" (which personas that goes toward) and "tuning_projection" (shifts on persona directions).
    """
    found: dict[str, list[pl.DataFrame]] = {}
    narrow = [one for one in runs.recipe.runs if one.is_narrow]
    control = next((one.name for one in runs.recipe.runs if one.target == OWN and not one.is_narrow), None)

    def add(run: str, of: str, selection: Selection) -> None:
        label = [pl.lit(run).alias("run"), pl.lit(of).alias("of")]
        units = selection.units.rename({selection.units.columns[0]: "unit"})
        for name, frame in (("", units), ("_totals", selection.totals), ("_personas", selection.personas)):
            found.setdefault(name, []).append(frame.select(*label, pl.all()))

    for one in narrow:
        add(one.name, FACETS, _facets(runs, one, items, control, how))
        measured = tuned[one.name].utilities
        if tasks is not None and measured is not None:
            add(one.name, UTILITIES, _utilities(runs, one, tasks.with_columns(after=measured), how))
    tables = {name: pl.concat(frames, how="diagonal_relaxed") for name, frames in found.items()}
    return {
        "tuning_unrequested": tables[""],
        "tuning_unrequested_totals": tables["_totals"],
        "tuning_selected": tables["_personas"],
        "tuning_projection": _projection(runs, base, tuned, narrow),
    }


def _facets(runs: TunedRuns, one: TaughtRun, items: Items, control: str | None, how: Mapping[str, Any]) -> Selection:
    own = items[one.name]
    personas = {IDEAL: "ideal", OTHER: "other"}
    personas |= {name: name for name in runs.recipe.hexaco.personas if name in own.columns}
    if control is not None:
        left_alone = items[control].select("item", pl.col("after").alias("control"))
        own = own.join(left_alone, on="item", how="left", maintain_order="left")
    name = None if control is None else "control"
    return facet_selection(own, one.only, personas, control=name, cluster="cluster", **how)


def _utilities(runs: TunedRuns, one: TaughtRun, tasks: pl.DataFrame, how: Mapping[str, Any]) -> Selection:
    personas = {name: name for name in further_choosers(runs.recipe)}
    return utility_selection(tasks, one.topics, personas, again=AGAIN, **how)


def _projection(
    runs: TunedRuns, base: ActivationStore, tuned: Mapping[str, Tuned], narrow: list[TaughtRun]
) -> pl.DataFrame:
    """Mean shift of every narrow run, and of the first run, on the direction of every persona, layer by layer."""
    recipe, ids = runs.recipe, [item.id for item in runs.items.test.items]
    clusters = [runs.split.clusters[id_] for id_ in ids]
    shown = [recipe.runs[0], *narrow]
    shifts = {one.name: shifts_of(runs, base, tuned[one.name].store, runs.items.test) for one in shown}
    rows = []
    for layer in recipe.layers:
        by_persona = {name: persona_rows(base, name, ids, layer, recipe.position) for name in recipe.hexaco.personas}
        own = by_persona.pop(OWN)
        at = {name: by_layer[layer] for name, by_layer in shifts.items()}
        rows.append(projection_table(at, by_persona, own, layer=layer, clusters=clusters, seed=recipe.seed))
    return pl.concat(rows)
