"""Tables of induced shifts and of stimuli: every design and set, at every layer, by every scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from personascope.activations.store import ActivationStore
from personascope.experiments.collecting import Progress
from personascope.experiments.elicitation import TASKS
from personascope.experiments.encoding import formatted
from personascope.experiments.layers import over_layers
from personascope.experiments.recipe import ShiftsRecipe
from personascope.experiments.shift_scores import (
    BASELINE,
    ENCODER,
    END_OF_TURN,
    PROBE,
    RANDOM,
    choice_values,
    encoder_scores,
    train_scorers,
)
from personascope.instruments.personas import Persona
from personascope.instruments.shifts import ShiftDesign
from personascope.instruments.stimuli import Stimuli, Stimulus
from personascope.measures.shift_targets import rank_summary, target_ranks, target_shifts
from personascope.measures.shifts import KNOWN, level_table, shift_correlations, shift_table
from personascope.measures.stimulus_effects import persona_effect_differences, stimulus_effects

Stores = Mapping[str, ActivationStore]
Tables = Mapping[str, pl.DataFrame]
RANDOM_SCORERS = 5
"""Random directions that go through all statistics of the shifts; stimuli have as many as the probes."""
BIOGRAPHY = "biography"
"""The design whose conditions have one target each, which can be ranked among all tasks."""
REPLIES = ("reply", "reply-open")


def shift_tables(
    designs: Sequence[ShiftDesign],
    stores: Stores,
    tables: Tables,
    systems: Mapping[str, str],
    recipe: ShiftsRecipe,
    progress: Progress,
) -> dict[str, pl.DataFrame]:
    """Shifts of choices against shifts of scores.

    Returns:
        "shift_cells" (probe and encoder; see `shift_table`), "shift_correlations", "shift_levels" (the same of values
        instead of shifts, against the choices without the prompt), "shift_targets", "shift_ranks" and
        "shift_rank_summary", all with a column layer; what is not read from a layer (choices, encoder) is repeated at
        each, so that it can stand beside the probe.
    """
    words = {design.name: _words(design, tables, systems, recipe) for design in designs}
    choices = {design.name: choice_values(stores[f"{design.name}-choices"]) for design in designs}
    seeds: dict[str, Any] = {"n_resamples": recipe.resamples, "seed": recipe.seed}

    def at_layer(layer: int) -> dict[str, pl.DataFrame]:
        cells, levels = [], []
        for design in designs:
            read = _read(design, stores, tables, recipe, layer)
            scores = pl.concat([part for part in (read, words[design.name]) if part is not None])
            material = choices[design.name], scores, design.frame()
            cells.append(shift_table(*material, baseline=BASELINE))
            levels.append(level_table(*material, baseline=BASELINE))
        table = pl.concat(cells)
        shown = table.filter(pl.col("scorer").is_in([PROBE, ENCODER]))
        against = ENCODER if ENCODER in table["scorer"] else None
        found = {
            "shift_cells": shown,
            "shift_correlations": shift_correlations(table, against=against, **seeds),
            "shift_levels": shift_correlations(pl.concat(levels), against=KNOWN, **seeds),
            "shift_targets": target_shifts(table, **seeds),
        }
        lives = shown.filter(pl.col("design") == BIOGRAPHY)
        if not lives.is_empty():
            found |= {"shift_ranks": target_ranks(lives), "shift_rank_summary": rank_summary(lives)}
        return {name: frame.with_columns(layer=pl.lit(layer)) for name, frame in found.items()}

    layers = stores[TASKS].layers
    by_layer = over_layers(at_layer, layers, progress, "shifts")
    return {name: pl.concat([found[name] for found in by_layer]) for name in by_layer[0]}


def _read(design: ShiftDesign, stores: Stores, tables: Tables, recipe: ShiftsRecipe, layer: int) -> pl.DataFrame:
    """Scores of the design's tasks under all its prompts by the probe and random directions."""
    tasks = [task.id for task in design.tasks.tasks]
    scorers = train_scorers(stores[TASKS], tables, recipe, layer, without=tasks)
    store = stores[f"{design.name}-{TASKS}"]
    scores = scorers.scores(store.layer(layer, recipe.probes.position))
    kept = [PROBE, *[f"{RANDOM} {number + 1}" for number in range(RANDOM_SCORERS)]]
    cells = store.rows.select(pl.col("persona").alias("condition"), "task")
    return pl.concat([_scored(cells, name, scores[name]) for name in kept if name in scores])


def _words(
    design: ShiftDesign, tables: Tables, systems: Mapping[str, str], recipe: ShiftsRecipe
) -> pl.DataFrame | None:
    """The same by the text encoder, which sees system prompt and task."""
    prompts = {BASELINE: design.baseline} | {condition.id: condition.system for condition in design.conditions}
    tasks = design.tasks.tasks
    cells = [(name, task.id, formatted(system, task.text)) for name, system in prompts.items() for task in tasks]
    own = systems[recipe.preferences.personas[0]]
    without = [task.id for task in tasks]
    scores = encoder_scores(tables, recipe, own, [text for _, _, text in cells], without=without)
    if scores is None:
        return None
    frame = pl.DataFrame([cell[:2] for cell in cells], schema=["condition", "task"], orient="row")
    return _scored(frame, ENCODER, scores)


def _scored(cells: pl.DataFrame, scorer: str, scores: np.ndarray) -> pl.DataFrame:
    return cells.with_columns(pl.lit(scorer).alias("scorer"), pl.Series("score", scores, dtype=pl.Float64))


def stimulus_tables(
    sets: Sequence[Stimuli],
    readers: Sequence[Persona],
    stores: Stores,
    tables: Tables,
    systems: Mapping[str, str],
    recipe: ShiftsRecipe,
    progress: Progress,
) -> dict[str, pl.DataFrame]:
    """Effects of the label on the scores, at the end of the turn in which a text stands.

    In the assistant's turns also at the end of the user's turn before it, where only the questions can differ.

    Returns:
        "stimulus_effects", and of several personas "stimulus_differences" (against the first).
    """
    reference = readers[0].name
    seeds: dict[str, Any] = {"n_resamples": recipe.resamples, "seed": recipe.seed}
    places = [(stimuli, turn) for stimuli in sets for turn in recipe.turns]

    def at_layer(layer: int) -> dict[str, pl.DataFrame]:
        scorers = train_scorers(stores[TASKS], tables, recipe, layer)
        found, random = [], []
        for stimuli, turn in places:
            store = stores[f"{stimuli.name}-{turn}"]
            for position in store.positions:
                rows = _about(store, stimuli, turn, layer, position)
                for name, values in scorers.scores(store.layer(layer, position)).items():
                    scored = rows.with_columns(pl.Series("score", values, dtype=pl.Float64))
                    if name == PROBE:
                        found.append(scored.with_columns(scorer=pl.lit(PROBE)))
                    else:
                        random.append(scored.with_columns(draw=pl.lit(int(name.rpartition(" ")[2]))))
        return _effects(pl.concat(found), pl.concat(random), reference, seeds)

    layers = stores[TASKS].layers
    by_layer = over_layers(at_layer, layers, progress, "stimuli")
    words = _stimulus_words(places, stores, tables, systems, recipe)
    parts = by_layer if words is None else [*by_layer, _effects(words, None, reference, seeds)]
    return {name: pl.concat([part[name] for part in parts]) for name in parts[0]}


def _effects(
    scores: pl.DataFrame, random: pl.DataFrame | None, reference: str, seeds: Mapping[str, Any]
) -> dict[str, pl.DataFrame]:
    found = {"stimulus_effects": stimulus_effects(scores, reference=reference, random=random, **seeds)}
    if scores["persona"].n_unique() > 1:
        found["stimulus_differences"] = persona_effect_differences(scores, reference=reference, **seeds)
    return found


def _about(
    store: ActivationStore, stimuli: Stimuli, turn: str, layer: int | None, position: str | None
) -> pl.DataFrame:
    """What is known of each row of a store of stimuli; layer and position are null for what is not read from one.

    What is read before the assistant's turn is a control and stands as a turn of its own, "before the reply".
    """
    is_before = position is not None and position != END_OF_TURN[turn]
    known = stimuli.frame().select(pl.col("id").alias("stimulus"), "pair", "positive")
    rows = store.rows.select("persona", "stimulus").join(known, on="stimulus", maintain_order="left")
    return rows.rename({"stimulus": "item"}).with_columns(
        set=pl.lit(stimuli.name),
        turn=pl.lit(f"before the {turn}" if is_before else turn),
        position=pl.lit(position, pl.String),
        layer=pl.lit(layer, pl.Int64),
    )


def _stimulus_words(
    places: Sequence[tuple[Stimuli, str]],
    stores: Stores,
    tables: Tables,
    systems: Mapping[str, str],
    recipe: ShiftsRecipe,
) -> pl.DataFrame | None:
    """The same texts by the encoder, which sees the persona's prompt and everything said so far."""
    frames = []
    for stimuli, turn in places:
        rows = _about(stores[f"{stimuli.name}-{turn}"], stimuli, turn, None, None)
        said = {stimulus.id: _said(stimulus, turn) for stimulus in stimuli.stimuli}
        texts = [
            formatted(systems[persona], said[item]) for persona, item in rows.select("persona", "item").iter_rows()
        ]
        scores = encoder_scores(tables, recipe, systems[recipe.preferences.personas[0]], texts)
        if scores is None:
            return None
        frames.append(rows.with_columns(pl.Series("score", scores, dtype=pl.Float64), scorer=pl.lit(ENCODER)))
    return pl.concat(frames)


def _said(stimulus: Stimulus, turn: str) -> str:
    if turn not in REPLIES:
        return stimulus.text
    return f"{stimulus.question or stimulus.text}\n{stimulus.reply or stimulus.text}"
