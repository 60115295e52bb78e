"""Steering curves: what the model does against how hard it is pushed, beside random pushes of the same length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from personascope.report.findings_steering import matches
from personascope.report.push_traces import COEFFICIENT, mass_traces, push_traces
from personascope.report.theme import INK, template
from personascope.report.wording import figure_text


def steering_curves(frame: pl.DataFrame, target: str | None = None, layer: int | None = None) -> go.Figure:
    """The curves of one target and layer at a time.

    Args:
        frame: columns target, read_out, layer, coefficient (fraction of the mean residual norm), direction ("probe",
            "random 1" ...), value, low, high, n, label_mass.
        target: shown at first; by default the first of the table.
        layer: shown at first; by default the first of the table.
    """
    asked = {"target": target, "layer": layer}
    return push_curves(frame, ("target", "layer"), {key: value for key, value in asked.items() if value is not None})


def push_curves(frame: pl.DataFrame, keys: Sequence[str], start: Mapping[str, Any] | None = None) -> go.Figure:
    """Read-out against coefficient for the probe direction (with band) and the random ones, label mass below.

    One value of each of `keys` is shown at a time. Where the label mass falls, the model is no longer answering.

    Args:
        frame: columns of `keys`, and those of `steering_curves`; hollow dots where a column `outside_usable` says so.
        keys: columns of which selectors choose one value.
        start: values shown at first; by default those of the first row.
    """
    opened = {key: frame[key][0] for key in keys} | dict(start or {})
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.76, 0.24], vertical_spacing=0.06)
    title = None
    groups = frame.sort("coefficient", maintain_order=True).group_by(*keys, "read_out", maintain_order=True)
    for values, part in groups:
        read_out = str(values[-1])
        meta = dict(zip(keys, values[:-1], strict=True))
        visible = matches(meta, opened)
        title = read_out if title is None or visible else title
        shown: dict[str, Any] = {"meta": meta | {"y_title": figure_text(read_out)}, "visible": visible}
        curves, masses = push_traces(part, read_out, shown), mass_traces(part, shown)
        figure.add_traces([*curves, *masses], rows=[1] * len(curves) + [2] * len(masses), cols=1)
    figure.update_layout(
        template=template(),
        height=560,
        margin={"l": 76, "r": 220, "t": 24, "b": 58},
        legend={"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top"},
        showlegend=True,
    )
    figure.update_yaxes(title_text=figure_text(title or ""), zeroline=False, row=1, col=1)
    figure.update_yaxes(title_text="label mass", range=[0, 1.05], nticks=3, row=2, col=1)
    figure.update_xaxes(title_text=COEFFICIENT, row=2, col=1)
    figure.update_xaxes(zeroline=True, zerolinecolor=INK, zerolinewidth=1)
    return figure
