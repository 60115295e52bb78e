"""The page of induced shifts: does the probe follow when a prompt moves preferences, and what does it make of texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go

from personascope.report import figures_shifts as shifts
from personascope.report import figures_stimuli as stimuli
from personascope.report import sentences_shifts as spoken
from personascope.report.findings_sharing import best_shift_layer, best_stimulus_layer
from personascope.report.outline import Outline, Part, Tables, no_figure, no_words
from personascope.report.theme import Styles

_SHIFTS = ("shift_correlations", "shift_cells", "shift_targets", "shift_rank_summary")
_STIMULI = ("stimulus_effects", "stimulus_differences")
_Draw = Callable[[Tables, Styles], go.Figure | None]


def _layer(tables: Tables, names: Sequence[str], best: Callable[[Any], int]) -> int | None:
    """Where a section opens: the best layer of the first of its tables, or the first of another."""
    if names[0] in tables:
        return best(tables[names[0]])
    layers = [layer for name in names if name in tables for layer in tables[name]["layer"].drop_nulls()]
    return layers[0] if layers else None


def _shift(name: str, draw: Callable[..., go.Figure | None]) -> _Draw:
    return lambda tables, _: draw(tables[name], _layer(tables, _SHIFTS, best_shift_layer))


def _stimulus(name: str, draw: Callable[..., go.Figure | None]) -> _Draw:
    return lambda tables, styles: draw(tables[name], _layer(tables, _STIMULI, best_stimulus_layer), styles)


SHIFTS = (
    Outline(
        "induced-shifts",
        "Does the probe follow when a prompt moves preferences",
        (
            Part(
                "shift_correlations",
                "shift-correlations",
                "r of the shift of scores with that of choices, with 95 % intervals over subjects and tasks; random "
                "directions without. A probe is told from a reader of words by the first column.",
                spoken.correlations,
                _shift("shift_correlations", shifts.shift_correlations),
            ),
            Part(
                "shift_correlations",
                "shift-curves",
                "The same over layers: probe (solid), sentence embeddings (broken), largest random direction (dotted).",
                no_words,
                lambda tables, _: shifts.shift_curves(tables["shift_correlations"]),
            ),
            Part("shift_levels", "shift-levels", "", spoken.levels, no_figure),
            Part(
                "shift_cells",
                "shift-scatter",
                "Every dot is one task under one prompt, against the plain prompt. Of the cells that are not on target "
                f"at most {shifts.MOST_DOTS} of a kind are drawn.",
                no_words,
                _shift("shift_cells", shifts.shift_scatter),
            ),
            Part(
                "shift_targets",
                "shift-targets",
                "Do the prompts work: mean shifts on target, in standard deviations of all shifts of the measure, with "
                "95 % intervals. Directed: with the sign that the prompt means.",
                spoken.targets,
                _shift("shift_targets", shifts.target_shifts),
            ),
            Part(
                "shift_rank_summary",
                "shift-ranks",
                "Biographies: where the one task stands that is loved or hated, by its shift for minus against. Bars: "
                "chance; crosses: how often the targets of other biographies come first.",
                spoken.ranks,
                _shift("shift_rank_summary", shifts.target_ranks),
            ),
        ),
        "A prompt that names a subject changes the words that a probe sees as well as the choices; that scores and "
        "choices move together says neither that the one makes the other nor that the model likes anything.",
    ),
    Outline(
        "stimuli",
        "What it makes of true, harmful and left",
        (
            Part(
                "stimulus_effects",
                "stimulus-effects",
                "Mean difference between labels in standard deviations of the first persona, with 95 % intervals over "
                "pairs. Positive: the positive label of the set scores higher.",
                spoken.effects,
                _stimulus("stimulus_effects", stimuli.stimulus_dots),
            ),
            Part(
                "stimulus_effects",
                "stimulus-curves",
                "The same over layers. Grey: 95th percentile of the size among random directions; broken: sentence "
                "embeddings.",
                no_words,
                lambda tables, styles: stimuli.stimulus_curves(tables["stimulus_effects"], styles),
            ),
            Part(
                "stimulus_differences",
                "stimulus-differences",
                "Effect under each persona minus that under the first, with 95 % intervals. A star: both effects are "
                "clear and have opposite signs.",
                spoken.differences,
                _stimulus("stimulus_differences", stimuli.effect_differences),
            ),
        ),
        "Pairs of texts differ in more than their label, in words, length and style, and so do random directions tell "
        "them apart; an effect is not an attitude.",
    ),
)
