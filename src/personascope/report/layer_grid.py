"""Small curves over layers side by side, each with its interval and its controls, on one vertical scale."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from personascope.report.dots import column
from personascope.report.figures_probes import CONTROLS, Control, band, control_lines, probe_hover
from personascope.report.theme import INK, POOLED, template

LAYER_AXIS = "layer (0 = first block)"
LEVELS = (
    *(control for control in CONTROLS if control.column in ("shuffled_high", "random_direction_high")),
    *(control for control in CONTROLS if control.column in ("matched_direction_high",)),
    *(control for control in CONTROLS if control.column in ("text_baseline", "encoder_baseline")),
    Control("ceiling", "ceiling: root of the reliability", INK, "longdash"),
)
"""What every small curve is compared with, where its table has it."""
_ROW, _GAP, _ABOVE, _BELOW = 240, 52, 44, 150


def layer_grid(panels: Mapping[tuple[str, str], pl.DataFrame], *, unit: str = "r") -> go.Figure:
    """One small curve for each (row, column); all share their vertical range, and one legend below.

    Args:
        panels: (row name, column name), both escaped -> columns layer, metric, value, low, high, n, shuffled_high,
            text_baseline, encoder_baseline and, where they exist, the other LEVELS.
        unit: what is drawn, for the vertical axes.
    """
    rows, columns = (list(dict.fromkeys(place[side] for place in panels)) for side in (0, 1))
    figure = empty_grid(rows, columns, unit)
    named: set[str] = set()
    for (row, name), frame in panels.items():
        part = frame.sort("layer", maintain_order=True)
        traces = [*band(part, "layer", POOLED), *control_lines(part, LEVELS), _curve(part, f"{row}, {name}")]
        add_once(figure, traces, named, rows.index(row) + 1, columns.index(name) + 1)
    return figure


def empty_grid(rows: list[str], columns: list[str], unit: str) -> go.Figure:
    """A grid of empty plots over layers, titled by column and, on the vertical axes, by row."""
    inner = _ROW * len(rows) + _GAP * (len(rows) - 1)
    figure = make_subplots(
        rows=max(1, len(rows)),
        cols=max(1, len(columns)),
        shared_yaxes="all",
        horizontal_spacing=0.045,
        vertical_spacing=_GAP / inner if len(rows) > 1 else 0.0,
        column_titles=[f"<b>{name}</b>" for name in columns],
    )
    figure.update_layout(
        template=template(),
        height=inner + _ABOVE + _BELOW,
        margin={"l": 80, "r": 24, "t": _ABOVE, "b": _BELOW},
        legend={"y": -64 / inner, "yanchor": "top"},
    )
    figure.update_annotations(font={"size": 13}, yshift=4)
    figure.update_xaxes(zeroline=False)
    figure.update_xaxes(title_text=LAYER_AXIS, row=len(rows))
    for place, row in enumerate(rows, start=1):
        figure.update_yaxes(title_text=f"{row}: {unit}", row=place, col=1)
    return figure


def add_once(figure: go.Figure, traces: list[go.Scatter], named: set[str], row: int, col: int) -> None:
    """Add traces to one plot; each name enters the legend the first time it is in `named` alone."""
    for trace in traces:
        trace.update(legendgroup=trace.name, showlegend=trace.name not in named)
        named.add(trace.name)
        figure.add_trace(trace, row=row, col=col)


def _curve(part: pl.DataFrame, name: str) -> go.Scatter:
    return go.Scatter(
        x=part["layer"].to_list(),
        y=column(part, "value"),
        mode="lines+markers",
        name="<b>probe</b>",
        line={"color": POOLED, "width": 2.2},
        marker={"color": POOLED, "size": 5},
        customdata=[probe_hover(row, name) for row in part.iter_rows(named=True)],
        hovertemplate="%{customdata}<extra></extra>",
        legendrank=1,
        zorder=2,
    )
