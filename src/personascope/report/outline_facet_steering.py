"""The page of steered facets: does a facet's direction move that facet, and what else does it move."""

from __future__ import annotations

import plotly.graph_objects as go

from personascope.report import figures_facet_steering as drawn
from personascope.report import sentences_facet_steering as spoken
from personascope.report.figures_steering import push_curves
from personascope.report.findings_steering import opening
from personascope.report.outline import Outline, Part, Tables, no_figure, no_words
from personascope.report.theme import Styles

_KEYS = ("facet", "layer")


def _curves(tables: Tables, _: Styles) -> go.Figure:
    frame = tables["facet_curves"]
    return push_curves(frame, _KEYS, opening(frame, _KEYS))


FACET_STEERING = (
    Outline(
        "facet-steering",
        "Steering traits",
        (
            Part("facet_selectivity_index", "selectivity-index", "", spoken.index, no_figure),
            Part(
                "facet_selectivity",
                "selectivity-map",
                "Rows: the facet whose direction is pushed; columns: the facet that is measured. Frames: the facet's "
                "own direction. Rows below the line: random directions.",
                spoken.matrix,
                lambda tables, _: drawn.selectivity_map(tables["facet_selectivity"]),
            ),
            Part(
                "facet_selectivity_rows",
                "own-and-others",
                "Each direction's effect on its own facet against the mean size of its effects on all others, and the "
                "difference with its 95 % interval over items.",
                spoken.by_direction,
                lambda tables, _: drawn.own_and_others(tables["facet_selectivity_rows"]),
            ),
            Part(
                "facet_selectivity",
                "keyed-effects",
                "The own facet's items by key, with 95 % intervals: a trait moves + and − items apart, yea-saying "
                "moves them together.",
                no_words,
                lambda tables, _: drawn.keyed_effects(tables["facet_selectivity"]),
            ),
            Part(
                "facet_curves",
                "facet-steering-curves",
                "Score of a facet against the coefficient of its own direction, label mass below. Grey: random "
                "directions.",
                spoken.curves,
                _curves,
            ),
        ),
        "A facet has few items, and its direction was fitted to answers to them or their like. Facets that are close "
        "in meaning move together for that alone.",
    ),
)
