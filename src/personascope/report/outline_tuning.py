"""The page of the ideal-self study: what was taught, what moved, toward whom, where; does steering do it too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go

from personascope.report import figures_tuning as drawn
from personascope.report import figures_tuning_compared as ways
from personascope.report import figures_tuning_elsewhere as beside
from personascope.report import figures_tuning_ideal as ideal
from personascope.report import figures_tuning_shift as shift
from personascope.report import figures_unrequested as narrow
from personascope.report import sentences_tuning as spoken
from personascope.report import sentences_tuning_compared as compared
from personascope.report import sentences_tuning_elsewhere as elsewhere
from personascope.report import sentences_tuning_ideal as toward
from personascope.report import sentences_tuning_shift as moved
from personascope.report import sentences_unrequested as aside
from personascope.report.grid_tuning import compared_grid
from personascope.report.outline import Outline, Part, Tables, no_figure, no_words
from personascope.report.theme import Styles

_REFUSED = "Where an estimate is refused, only the biased one is drawn, open and grey."


def _all(draw: Callable[[Tables], go.Figure | None]) -> Callable[[Tables, Styles], go.Figure | None]:
    """A figure that takes the tables alone: runs have styles of their own."""
    return lambda tables, _: draw(tables)


def _part(table: str, id_: str, caption: str, draw: Callable[[Tables], go.Figure | None], **more: Any) -> Part:
    return Part(table, id_, caption, more.pop("words", no_words), _all(draw), **more)


TUNING = (
    Outline(
        "taught",
        "What was taught",
        (
            Part(
                "tuning_runs",
                "tuning-runs",
                "",
                spoken.runs_taught,
                no_figure,
                grid=spoken.run_grid,
            ),
            _part(
                "tuning_history",
                "tuning-losses",
                "Loss on validation items by epoch. A dark ring: the epoch that was kept. Thick: the first run. "
                "Colour: what was taught. Levels of runs that are taught different answers cannot be compared.",
                drawn.loss_curves,
            ),
            Part("tuning_examples", "tuning-examples", "", spoken.shown_examples, no_figure, spoken.examples),
        ),
        "The epoch is chosen on validation items and test items take no part in it. A loss that falls says that "
        "answers were learned, not that anything moved which was not taught.",
    ),
    Outline(
        "toward-ideal",
        "Movement toward the ideal self",
        (
            _part(
                "tuning_profiles",
                "toward-ideal-facets",
                "Test items by facet: self before (open) and after (filled) training, joined, with the interval after; "
                "the ideal before training below, with its interval.",
                drawn.toward_the_ideal,
            ),
            _part(
                "tuning_gap",
                "gap-closed",
                f"Gap closed by run, with 95 % intervals; broken line: at the ideal. {_REFUSED} A movement of the "
                "trait closes the gap of + and − items alike, an answer shift moves them apart.",
                drawn.gap_by_run,
                told=spoken.movement,
            ),
            _part(
                "tuning_beyond",
                "gap-beyond",
                f"How much more of the gap the first run closed than every other one, on the same items. {_REFUSED}",
                drawn.beyond_by_run,
                told=spoken.beyond,
            ),
            Part("tuning_closure", "toward-ideal-closed", "", spoken.facets_moved, no_figure),
        ),
        "The error of the self before training is in the gap and in the movement, so plain slopes rise without any "
        "movement; estimates from halves of the items do not. Intervals cover items, not further seeds or wordings.",
    ),
    Outline(
        "ideal-drift",
        "Does the ideal change?",
        (
            Part("tuning_drift", "ideal-drift-runs", "", toward.ideal_drift, no_figure),
            _part(
                "tuning_drift_facets",
                "ideal-drift-facets",
                "The ideal self's answers before (open) and after (filled) training, and the difference with its 90 % "
                "interval, which is that of the two one-sided tests of equivalence.",
                ideal.ideal_before_and_after,
                words=toward.drift_by_facet,
            ),
        ),
        "That a drift is not significant shows nothing; only a facet inside the bound is shown to have stayed. Drifts "
        "of opposite signs cancel in the mean.",
    ),
    Outline(
        "toward-whom",
        "Toward whom?",
        (
            _part(
                "tuning_specificity",
                "toward-whom-runs",
                "Left: gap closed toward the ideal and toward the helpful assistant. Right: cosine of the movement "
                f"with either gap when the other is taken out. {_REFUSED}",
                ideal.toward_whom,
                words=toward.specificity,
            ),
            _part(
                "tuning_shape",
                "movement-shape",
                "Movement against the gap, error taken off: direction, length, share that goes elsewhere, order of "
                f"facets. Broken line: straight to the ideal, or as long as the gap. {_REFUSED}",
                ideal.shapes,
                words=toward.shape,
            ),
            _part(
                "tuning_likeness",
                "run-likeness",
                "Do runs move the same facets? Correlation of their movements; a star marks an interval off 0.",
                ideal.likeness_map,
                words=toward.likeness,
            ),
        ),
        "An ideal self and an ideal assistant want much the same, and where their gaps point the same way no movement "
        "can be toward one alone.",
    ),
    Outline(
        "tuning-elsewhere",
        "Where else it shows",
        (
            _part(
                "tuning_transfer",
                "other-forms",
                f"The first run in other forms. Right: share of what it closed where it was taught. {_REFUSED}",
                beside.elsewhere,
                words=elsewhere.transfer,
            ),
            _part(
                "tuning_held_out",
                "held-out-facets",
                f"Facets of which a run was taught nothing, against those that it was taught. {_REFUSED}",
                beside.held_out,
                words=elsewhere.held_out,
            ),
        ),
        "Only what was not taught can show a disposition and not learned answers; few facets held out make wide "
        "intervals.",
    ),
    Outline(
        "tuning-damage",
        "Side effects of training",
        (
            _part(
                "tuning_side_effects",
                "tuning-damage-runs",
                "Dots: after training. Dotted lines: the untrained model. KL and perplexity are of neutral text, the "
                "rest of the self's answers to test items.",
                beside.side_effects,
                words=elsewhere.side_effects,
            ),
        ),
        "These see only what they measure: a few plain passages and the answers to the questionnaire. No interval.",
    ),
    Outline(
        "tuning-shift",
        "Where training moved the residual stream",
        (
            _part(
                "tuning_shift",
                "shift-directions",
                "Cosine of the mean shift of the self with directions of the base model. Shaded: 95 % of random "
                "directions of the same covariance. Thick: the first run.",
                shift.shift_cosines,
                words=moved.shift,
            ),
            _part(
                "tuning_shift",
                "shift-runs",
                "Cosines of the runs' shifts with each other; a star marks those beyond the 95th percentile of random "
                "directions.",
                shift.run_cosines,
            ),
            _part(
                "tuning_subspace",
                "shift-span",
                "Share of the shift inside the span of the facets' directions (dots); bars: random spans of the same "
                "rank, from their mean to their 95th percentile.",
                shift.facet_span,
                words=moved.span,
            ),
        ),
        "Directions were fitted on training items of the untrained model. That a shift lies along one says where "
        "training moved the stream, not that the movement does anything.",
    ),
    Outline(
        "unrequested",
        "What nobody asked for",
        (
            _part(
                "tuning_unrequested",
                "unrequested-facets",
                "Narrow runs: movement of every facet of the self, with 95 % intervals. Diamonds: what was taught.",
                narrow.facets_moved,
                words=aside.units,
            ),
            _part(
                "tuning_unrequested",
                "unrequested-topics",
                "The same for the utilities of topics, relative to the mean of those that were not taught.",
                narrow.topics_moved,
            ),
            Part("tuning_unrequested_totals", "unrequested-totals", "", aside.totals, no_figure),
            Part("tuning_selected", "unrequested-personas", "", aside.personas, no_figure),
            _part(
                "tuning_projection",
                "unrequested-projection",
                "How far the mean shift goes toward each persona: 0 is no movement that way, 1 the whole way.",
                narrow.way_to_personas,
                words=aside.projection,
            ),
        ),
        "A few facets make a weak profile: that no persona is named does not show that none was selected. The control "
        "run says what training moves whatever it teaches.",
    ),
    Outline(
        "steered-or-tuned",
        "Steered or tuned",
        (
            Part("tuning_compared", "steered-or-tuned", "", compared.compared, no_figure, grid=compared_grid),
            _part(
                "tuning_responses",
                "steering-responses",
                "How far each push moves the validation items. Broken line: what training moved. Stars: matched "
                "strengths; hollow: past the peak, where no match is sought.",
                ways.responses,
                words=compared.responses,
            ),
            _part(
                "tuning_compared_facets",
                "steered-or-tuned-facets",
                "Movement of every facet on test items under training and under each way of steering; in brackets the "
                "correlation with training.",
                ways.facet_map,
                words=compared.facets_compared,
            ),
        ),
        "Ways are matched on one number, the plain slope of validation items; they can differ in all others. All share "
        "the self before training, and with it its error, which makes their facets move alike by itself.",
    ),
)
