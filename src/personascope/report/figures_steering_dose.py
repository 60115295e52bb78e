"""Dose and response by layer, and what a push does to the preference for a place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import polars as pl

from personascope.report.curve_grid import curve_grid
from personascope.report.dots import Panel, column, panel_columns
from personascope.report.figures_steering_effects import dots_beside_random
from personascope.report.findings_steering import PROBE, matches, named_keys, of_kind
from personascope.report.theme import CONTROL, MUTED, POOLED
from personascope.report.wording import label, number, signed

_ROW = 30
_PANELS = (
    Panel("slope", "Slope at 0", "read-out per unit of coefficient"),
    Panel("saturation", "Saturation", "share of the slope lost far out"),
    Panel("linearity", "Straightness", "R² of a straight line", (-0.05, 1.05)),
    Panel("range", "Where it does not turn back", "coefficient"),
)


def dose_summary(frame: pl.DataFrame, start: Mapping[str, Any]) -> go.Figure:
    """Slope with its interval and every random one, saturation, straightness, and the range of a steady course.

    Args:
        frame: columns persona, target, pair_type, and those of `steering.dose_response.dose_response`.
        start: persona, target and pair_type shown at first.
    """
    own = named_keys(frame)
    layers = own["layer"].unique().sort().to_list()
    rows = [f"layer {layer}" for layer in layers]
    figure = panel_columns(_PANELS, rows, _ROW * max(4, len(layers)), legend=True, banded=True)
    several = own["pair_type"].n_unique() > 1
    keys = [key for key in ("persona", "target", "pair_type") if key != "pair_type" or several]
    for values, part in own.group_by(keys, maintain_order=True):
        meta = dict(zip(keys, values, strict=True))
        shown: dict[str, Any] = {"meta": meta, "visible": matches(meta, start)}
        at = [float(layers.index(layer)) for layer in part["layer"]]
        placed = part.with_columns(_at=pl.Series(at, dtype=pl.Float64))
        figure.add_traces(dots_beside_random(placed, "slope", shown), rows=1, cols=1)
        probe = of_kind(placed, PROBE)
        for place, name in ((2, "saturation"), (3, "linearity")):
            figure.add_trace(_marks(probe, name).update(showlegend=False, **shown), row=1, col=place)
        for trace in _ranges(probe):
            figure.add_trace(trace.update(**shown), row=1, col=4)
    figure.update_layout(margin={"l": 84})
    return figure


def position_curves(frame: pl.DataFrame, start: Mapping[str, Any]) -> go.Figure:
    """P(first) and the share of pairs that flip with the order, against the coefficient.

    Args:
        frame: columns persona, read_out, layer, direction, coefficient, value, low, high, n, label_mass.
        start: persona and layer shown at first.
    """
    keys = [key for key in ("persona", "layer") if key in frame.columns]
    panels = {label(part["read_out"][0]): part for part in frame.partition_by("read_out", maintain_order=True)}
    return curve_grid(panels, keys, start, unit="", shared=False, per_row=2, mass=True)


def _marks(probe: pl.DataFrame, name: str) -> go.Scatter:
    hover = [f"layer {row['layer']}: {number(row[name])}" for row in probe.iter_rows(named=True)]
    return go.Scatter(
        x=column(probe, name),
        y=probe["_at"].to_list(),
        mode="markers",
        marker={"color": POOLED, "size": 8},
        customdata=hover,
        hovertemplate="%{customdata}<extra></extra>",
    )


def _ranges(probe: pl.DataFrame) -> list[go.Scatter]:
    """Steady range as a line, with crosses where the curve turns back; the usable range as a broader one behind."""
    usable = _segments(probe, "usable_low", "usable_high")
    steady = _segments(probe, "monotone_low", "monotone_high")
    turns = [
        (row[f"peak_{side}"], row["_at"])
        for row in probe.iter_rows(named=True)
        for side in ("plus", "minus")
        if row[f"turns_{side}"] and row[f"peak_{side}"] is not None
    ]
    hover = [f"turns back at {signed(x)}" for x, _ in turns]
    return [
        usable.update(name="usable range", line={"color": CONTROL, "width": 9}, opacity=0.45),
        steady.update(name="steady course", line={"color": POOLED, "width": 2.4}),
        go.Scatter(
            x=[x for x, _ in turns],
            y=[y for _, y in turns],
            mode="markers",
            name="turns back",
            marker={"symbol": "x-thin", "size": 9, "line": {"width": 2, "color": MUTED}},
            customdata=hover,
            hovertemplate="%{customdata}<extra></extra>",
        ),
    ]


def _segments(probe: pl.DataFrame, low: str, high: str) -> go.Scatter:
    """One line for each layer; ends beyond the swept coefficients are drawn at the last of these."""
    ends = [column(probe, name) for name in ("monotone_low", "monotone_high", "peak_minus", "peak_plus")]
    swept = [value for values in ends for value in values if value is not None]
    x: list[float | None] = []
    y: list[float | None] = []
    for row in probe.iter_rows(named=True):
        if swept and row[low] is not None and row[high] is not None:
            x += [max(row[low], min(swept)), min(row[high], max(swept)), None]
            y += [row["_at"], row["_at"], None]
    return go.Scatter(x=x, y=y, mode="lines", hoverinfo="skip")
