"""Dot-and-interval traces, and panels of them with one row per persona."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from personascope.report.rows import dress_named_axis, legend_above
from personascope.report.theme import MUTED, PersonaStyle, Styles, persona_styles, template
from personascope.report.wording import estimate, label

_BELOW_PLOT, _ABOVE_PLOT = 64, 58
_ROW_HEIGHT = 30
_LEGEND_ROW = 34
_MANY_PANELS = 5
"""From so many panels on, five tick labels do not fit below one."""


def column(frame: pl.DataFrame, name: str) -> list[Any]:
    """A column as a list, or nulls where an optional column is absent."""
    return frame[name].to_list() if name in frame.columns else [None] * frame.height


def dot_trace(
    x: Sequence[float | None],
    y: Sequence[Any],
    low: Sequence[float | None],
    high: Sequence[float | None],
    *,
    style: PersonaStyle,
    hover: Sequence[str],
    size: int = 8,
    **more: Any,
) -> go.Scatter:
    """Markers with horizontal 95 % intervals; a null interval leaves a bare dot, a null value nothing."""

    def arm(ends: Sequence[float | None], sign: float) -> list[float]:
        pairs = zip(x, ends, strict=True)
        return [0.0 if at is None or end is None else sign * (end - at) for at, end in pairs]

    area = 1.3 if style.symbol.startswith("triangle") else 1.0  # a triangle covers half of its square
    marker = {
        "size": size * area,
        "color": style.colour,
        "symbol": style.symbol,
        "line": {"width": 0.8, "color": "white"},
    }
    return go.Scatter(
        x=list(x),
        y=list(y),
        mode="markers",
        marker=marker | more.pop("marker", {}),
        error_x={
            "type": "data",
            "symmetric": False,
            "array": arm(high, 1.0),
            "arrayminus": arm(low, -1.0),
            "thickness": 1.5,
            "width": 0,
            "color": style.colour,
        },
        customdata=list(hover),
        hovertemplate="%{customdata}<extra></extra>",
        **more,
    )


@dataclass(frozen=True)
class Panel:
    """One column of a panel figure: which number, what it is called, and the range it lives in (None: automatic).

    `column + "_low"` and `column + "_high"` are drawn as its interval where they exist.
    """

    column: str
    title: str
    unit: str = ""
    bounds: tuple[float, float] | None = None


def persona_panels(
    frame: pl.DataFrame, panels: Sequence[Panel], styles: Styles | None = None, names: Sequence[str] | None = None
) -> go.Figure:
    """Side-by-side dot plots with one row per row of the frame; panels whose column is absent or all null are left out.

    Args:
        frame: column persona, and those of the panels.
        panels: from left to right.
        styles: colour and marker per persona.
        names: of the rows, escaped; by default those of the personas.
    """
    shown = [panel for panel in panels if any(value is not None for value in column(frame, panel.column))]
    personas = frame["persona"].to_list()
    known = styles or persona_styles(personas)
    rows = [label(name) for name in personas] if names is None else list(names)
    figure = panel_columns(shown, rows, _ROW_HEIGHT * max(3, len(personas)))
    for place, panel in enumerate(shown, start=1):
        _add_panel(figure, place, panel, frame, known, rows)
    return figure


def panel_columns(
    panels: Sequence[Panel], rows: Sequence[str], plot_height: int, *, legend: bool = False, banded: bool = False
) -> go.Figure:
    """An empty figure with one titled column per panel and one row for each name in `rows`.

    Args:
        panels: from left to right.
        rows: escaped names from top to bottom, at heights 0, 1, ...; none leave the vertical axis to the caller.
        plot_height: of the plot area, in pixels.
        legend: whether to leave room for one above the titles.
        banded: a band behind every second row.
    """
    figure = make_subplots(
        rows=1,
        cols=max(1, len(panels)),
        shared_yaxes=True,
        horizontal_spacing=0.035,
        subplot_titles=[f"<b>{panel.title}</b>" for panel in panels] or None,
    )
    above = _ABOVE_PLOT + (_LEGEND_ROW if legend else 0)
    figure.update_layout(
        template=template(),
        height=_BELOW_PLOT + above + plot_height,
        margin={"l": 100, "r": 24, "t": above, "b": _BELOW_PLOT},
        showlegend=legend,
    )
    if legend:
        legend_above(figure)
    figure.update_annotations(font={"size": 13}, yshift=4)
    if rows:
        dress_named_axis(figure, rows, banded=banded)
    for place, panel in enumerate(panels, start=1):
        figure.update_xaxes(
            title={"text": panel.unit, "font": {"size": 12, "color": MUTED}},
            range=None if panel.bounds is None else list(panel.bounds),
            nticks=5 if len(panels) < _MANY_PANELS else 4,
            row=1,
            col=place,
        )
        if panel.bounds is None:
            figure.update_xaxes(rangemode="tozero", row=1, col=place)
    return figure


def _add_panel(
    figure: go.Figure, place: int, panel: Panel, frame: pl.DataFrame, styles: Styles, names: Sequence[str]
) -> None:
    values, lows, highs = (column(frame, panel.column + end) for end in ("", "_low", "_high"))
    for row, (persona, name) in enumerate(zip(frame["persona"].to_list(), names, strict=True)):
        value, low, high = values[row], lows[row], highs[row]
        text = number_with_interval(value, low, high)
        trace = dot_trace(
            [value],
            [row],
            [low],
            [high],
            style=styles[persona],
            hover=[f"<b>{name}</b><br>{panel.title}: {text}"],
            name=name,
            size=9,
        )
        figure.add_trace(trace, row=1, col=place)


def number_with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """A value for a hover box, with its interval only where there is one."""
    return estimate(value, low, high).removesuffix(" [no interval]")
