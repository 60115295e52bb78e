"""Steering figure: what the model does against how hard it is pushed, beside random pushes of the same length."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from personascope.report.dots import column
from personascope.report.figures_probes import band
from personascope.report.theme import CONTROL, INK, POOLED, template
from personascope.report.wording import estimate, figure_text, label, number

PROBE = "probe"


def steering_curves(frame: pl.DataFrame, target: str | None = None, layer: int | None = None) -> go.Figure:
    """Read-out against coefficient for the probe direction (with band) and the random ones, label mass below.

    One target and layer is shown at a time. Where the label mass falls, the model is no longer answering.

    Args:
        frame: columns target, read_out, layer, coefficient (fraction of the mean residual norm), direction ("probe",
            "random 1" ...), value, low, high, n, label_mass.
        target: shown at first; by default the first of the table.
        layer: shown at first; by default the first of the table.
    """
    start = (frame["target"][0] if target is None else target, frame["layer"][0] if layer is None else layer)
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.76, 0.24], vertical_spacing=0.06)
    groups = frame.sort("coefficient", maintain_order=True).group_by(
        "target", "layer", "read_out", "direction", maintain_order=True
    )
    named: set[tuple[str, int]] = set()
    for (of, at, read_out, direction), part in groups:
        meta = {"target": of, "layer": at, "y_title": figure_text(str(read_out))}
        shown: dict[str, Any] = {"meta": meta, "visible": (of, at) == start}
        if direction == PROBE:
            for trace in [*band(part, "coefficient", POOLED), _probe(part, str(read_out))]:
                figure.add_trace(trace.update(**shown), row=1, col=1)
            figure.add_trace(_label_mass(part, POOLED, 2.2).update(**shown), row=2, col=1)
            continue
        trace = _random(part, str(direction)).update(**shown, showlegend=(of, at) not in named)
        named.add((of, at))
        figure.add_trace(trace, row=1, col=1)
        figure.add_trace(_label_mass(part, CONTROL, 1.0).update(**shown), row=2, col=1)
    first = frame.filter(pl.col("target") == start[0])["read_out"][0]
    figure.update_layout(
        template=template(),
        height=560,
        margin={"l": 76, "r": 200, "t": 24, "b": 58},
        legend={"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top"},
    )
    figure.update_yaxes(title_text=figure_text(first), zeroline=False, row=1, col=1)
    figure.update_yaxes(title_text="label mass", range=[0, 1.05], nticks=3, row=2, col=1)
    figure.update_xaxes(title_text="coefficient (fraction of the mean residual norm)", row=2, col=1)
    figure.update_xaxes(zeroline=True, zerolinecolor=INK, zerolinewidth=1)
    return figure


def _probe(part: pl.DataFrame, read_out: str) -> go.Scatter:
    hover = [
        f"<b>probe direction</b>, coefficient {number(row['coefficient'])}<br>{figure_text(read_out)} "
        f"{estimate(row['value'], row['low'], row['high'])}<br>label mass {number(row['label_mass'])}<br>n = {row['n']}"
        for row in part.iter_rows(named=True)
    ]
    return go.Scatter(
        x=part["coefficient"].to_list(),
        y=column(part, "value"),
        mode="lines+markers",
        name="<b>probe direction</b>",
        line={"color": POOLED, "width": 2.4},
        marker={"color": POOLED, "size": 7},
        customdata=hover,
        hovertemplate="%{customdata}<extra></extra>",
        legendrank=1,
        zorder=2,
    )


def _random(part: pl.DataFrame, direction: str) -> go.Scatter:
    return go.Scatter(
        x=part["coefficient"].to_list(),
        y=column(part, "value"),
        mode="lines",
        name="random directions",
        legendgroup="random directions",
        line={"color": CONTROL, "width": 1.1},
        hovertemplate=f"{label(direction)}: %{{y:.3f}}<extra></extra>",
    )


def _label_mass(part: pl.DataFrame, colour: str, width: float) -> go.Scatter:
    return go.Scatter(
        x=part["coefficient"].to_list(),
        y=column(part, "label_mass"),
        mode="lines",
        line={"color": colour, "width": width},
        showlegend=False,
        hovertemplate="label mass %{y:.2f}<extra></extra>",
    )
