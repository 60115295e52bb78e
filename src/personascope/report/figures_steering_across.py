"""Steering under other personas, and tasks that are steered each in a run of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import polars as pl

from personascope.report.curve_grid import curve_grid
from personascope.report.dots import Panel, column, dot_trace, panel_columns
from personascope.report.figures_sharing import legend_dots
from personascope.report.findings_steering import (
    PROBE,
    RANDOM,
    SWING,
    matches,
    named_keys,
    of_all_pairs,
    of_kind,
    strength,
)
from personascope.report.push_traces import RANDOM_NAME
from personascope.report.theme import CONTROL, MUTED, Styles, persona_styles
from personascope.report.wording import estimate, figure_text, label, number

_ROW = 40


def spliced_curves(frame: pl.DataFrame, start: Mapping[str, Any]) -> go.Figure:
    """The same push with both tasks steered in one run and with each steered alone, label mass below.

    Args:
        frame: columns mode, read_out, layer, direction, coefficient, value, low, high, n, label_mass.
        start: layer shown at first.
    """
    panels = {label(part["mode"][0]): part for part in frame.partition_by("mode", maintain_order=True)}
    keys = [key for key in ("persona", "layer") if key in frame.columns]
    return curve_grid(panels, keys, start, unit=figure_text(frame["read_out"][0]), mass=True)


def cross_swings(frame: pl.DataFrame, start: Mapping[str, Any], styles: Styles | None = None) -> go.Figure:
    """Swing under each persona by the first persona's direction (filled), its own (hollow) and random ones (bars).

    Args:
        frame: columns persona, target, effect, layer, direction, coefficient, value, low, high, n.
        start: layer and coefficient (text) shown at first.
        styles: colour and marker per persona.
    """
    every = named_keys(of_all_pairs(frame))
    own = every.filter(pl.col("effect") == SWING).sort("coefficient", maintain_order=True)
    personas, targets = (own[name].unique(maintain_order=True).to_list() for name in ("persona", "target"))
    known = styles or persona_styles(personas)
    panels = [Panel(target, label(target), "swing of the read-out") for target in targets]
    rows = [label(name) for name in personas]
    figure = panel_columns(panels, rows, _ROW * max(3, len(rows)), legend=True, banded=True)
    for (target, layer, coefficient), part in own.group_by("target", "layer", "coefficient", maintain_order=True):
        meta = {"layer": layer, "coefficient": strength(float(str(coefficient)))}
        for trace in _swing_traces(part, personas, known):
            trace.update(meta=meta, visible=matches(meta, start), showlegend=False)
            figure.add_trace(trace, row=1, col=1 + targets.index(target))
    legend_dots(
        figure,
        [
            (f"direction of {rows[0]}" if rows else "direction", MUTED, "circle", True),
            ("the persona's own direction", MUTED, "circle", False),
            (RANDOM_NAME, CONTROL, "line-ns", True),
        ],
    )
    figure.update_layout(margin={"l": 140})
    return figure


def _swing_traces(part: pl.DataFrame, personas: list[str], styles: Styles) -> list[go.Scatter]:
    random = of_kind(part, RANDOM)
    bars = go.Scatter(
        x=column(random, "value"),
        y=[personas.index(name) for name in random["persona"]],
        mode="markers",
        marker={"symbol": "line-ns", "size": 9, "line": {"width": 1.4, "color": CONTROL}},
        customdata=[f"{label(row['direction'])}: {number(row['value'])}" for row in random.iter_rows(named=True)],
        hovertemplate="%{customdata}<extra></extra>",
    )
    traces = [bars] if random.height else []
    for kind, shift, filled in ((PROBE, -0.16, True), ("own", 0.16, False)):
        for row in of_kind(part, kind).iter_rows(named=True):
            style = styles[row["persona"]]
            marker = {} if filled else {"color": "white", "line": {"color": style.colour, "width": 1.7}}
            whose = f"direction of {label(personas[0])}" if filled else "own direction"
            hover = (
                f"<b>{label(row['persona'])}</b>, {whose}<br>swing {estimate(row['value'], row['low'], row['high'])}"
                f"<br>n = {row['n']}"
            )
            dot = ([row["value"]], [personas.index(row["persona"]) + shift], [row["low"]], [row["high"]])
            traces.append(dot_trace(*dot, style=style, hover=[hover], marker=marker, size=9))
    return traces
