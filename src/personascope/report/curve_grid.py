"""Small curves against the coefficient side by side, each with the random directions behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from personascope.report.findings_steering import matches
from personascope.report.push_traces import mass_traces, push_traces
from personascope.report.rows import legend_above
from personascope.report.theme import INK, MUTED, template

_PLOT, _GAP, _MASS = 230, 84, 76
"""Heights in pixels of a plot, between two rows of plots, and of a row of label masses."""
_ABOVE, _BELOW = 92, 62
_PER_ROW = 3


def curve_grid(
    panels: Mapping[str, pl.DataFrame],
    keys: Sequence[str],
    start: Mapping[str, Any],
    *,
    unit: str,
    shared: bool = True,
    bounds: tuple[float, float] | None = None,
    per_row: int = _PER_ROW,
    mass: bool = False,
) -> go.Figure:
    """One small plot for each panel.

    Args:
        panels: escaped title -> columns of `keys` and those that `push_traces` draws.
        keys: columns of which selectors choose one value.
        start: values shown at first.
        unit: of the vertical axes; empty where every panel's title says what is drawn.
        shared: whether all panels have one vertical scale.
        bounds: of the vertical axes; by default as the values are.
        per_row: most panels side by side.
        mass: label mass below every panel; for panels that fit into one row.
    """
    columns = max(1, min(per_row, len(panels)))
    mass = mass and len(panels) <= columns
    figure, cells = _empty(list(panels), columns, shared=shared, mass=mass)
    named: dict[tuple[Any, ...], set[str]] = {}
    for (row, col), (title, frame) in zip(cells, panels.items(), strict=True):
        for values, part in frame.sort("coefficient", maintain_order=True).group_by(*keys, maintain_order=True):
            meta = dict(zip(keys, values, strict=True))
            shown = {"meta": meta, "visible": matches(meta, start)}
            curves = push_traces(part, title, shown, named.setdefault(values, set()))
            masses = mass_traces(part, shown) if mass else []
            figure.add_traces([*curves, *masses], rows=[row] * len(curves) + [2] * len(masses), cols=col)
    for row, col in cells:
        figure.update_yaxes(range=None if bounds is None else list(bounds), row=row, col=col)
        if col == 1:
            figure.update_yaxes(title_text=unit, row=row, col=col)
    return figure


def _empty(titles: Sequence[str], columns: int, *, shared: bool, mass: bool) -> tuple[go.Figure, list[tuple[int, int]]]:
    """An empty figure, and the place of each panel."""
    rows = max(1, -(-len(titles) // columns))
    places = [(1 + place // columns, 1 + place % columns) for place in range(len(titles))]
    heights, gap = ([_PLOT, _MASS], 26) if mass else ([_PLOT] * rows, _GAP)
    inner = sum(heights) + gap * (len(heights) - 1)
    figure = make_subplots(
        rows=len(heights),
        cols=columns,
        row_heights=[height / sum(heights) for height in heights],
        shared_yaxes="all" if shared and not mass else shared and mass,
        shared_xaxes=mass,
        horizontal_spacing=0.035 if shared else 0.07,
        vertical_spacing=gap / inner if len(heights) > 1 else 0.0,
        subplot_titles=[f"<b>{title}</b>" for title in titles],
    )
    figure.update_layout(
        template=template(),
        height=inner + _ABOVE + _BELOW,
        margin={"l": 84, "r": 24, "t": _ABOVE, "b": _BELOW},
        showlegend=True,
    )
    legend_above(figure)
    figure.update_annotations(font={"size": 13}, yshift=4)
    axis = {"text": "coefficient", "font": {"size": 12, "color": MUTED}}
    figure.update_xaxes(zeroline=True, zerolinecolor=INK, zerolinewidth=1, nticks=6)
    figure.update_yaxes(zeroline=False)
    last = {col: row for row, col in places}
    for col, row in last.items():
        figure.update_xaxes(title=axis, row=2 if mass else row, col=col)
    if mass:
        figure.update_yaxes(range=[0, 1.05], nticks=3, row=2)
        figure.update_yaxes(title_text="label mass", row=2, col=1)
    return figure, places
