"""Square heat maps of one persona against another, with the number in every cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from personascope.report.theme import DIVERGING, MUTED
from personascope.report.wording import label, number, two_decimals

Cell = tuple[str, str]


def cell_map(
    values: Mapping[Cell, float | None],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    hover: Mapping[Cell, str],
    marked: frozenset[Cell] | set[Cell] = frozenset(),
    **more: Any,
) -> go.Heatmap:
    """One heat map on the figure's shared colour axis; `marked` cells are bold with a star.

    Args:
        values: (row, column) -> value; a missing or null cell stays empty.
        rows: row names from top to bottom.
        columns: column names from left to right.
        hover: (row, column) -> escaped hover text.
        marked: cells to be starred.
        **more: passed to the trace (name, meta, visible ...).
    """

    def text(cell: Cell) -> str:
        value = values.get(cell)
        if value is None:
            return ""
        shown = two_decimals(value)
        return f"<b>{shown} ★</b>" if cell in marked else shown

    return go.Heatmap(
        z=[[values.get((row, column)) for column in columns] for row in rows],
        x=[label(name) for name in columns],
        y=[label(name) for name in rows],
        text=[[text((row, column)) for column in columns] for row in rows],
        texttemplate="%{text}",
        textfont={"size": 12},
        customdata=[[hover.get((row, column), "") for column in columns] for row in rows],
        hovertemplate="%{customdata}<extra></extra>",
        coloraxis="coloraxis",
        xgap=2,
        ygap=2,
        **more,
    )


def diverging_axis(values: Sequence[float | None], title: str) -> dict[str, Any]:
    """A colour axis with white at zero, reaching as far as the largest absolute value."""
    reach = max((abs(value) for value in values if value is not None), default=1.0) or 1.0
    return {
        "colorscale": DIVERGING,
        "cmin": -reach,
        "cmid": 0.0,
        "cmax": reach,
        "colorbar": {
            "title": {"text": title, "font": {"size": 12, "color": MUTED}},
            "thickness": 12,
            "outlinewidth": 0,
            "tickfont": {"size": 11},
            "nticks": 7,
        },
    }


def cell_height(n_rows: int) -> int:
    """Height of the plot area for `n_rows` rows, in pixels."""
    return max(160, 44 * n_rows)


def hover_number(name: str, value: float | None, low: float | None, high: float | None) -> str:
    """A hover line: name, value and, where there is one, interval."""
    ends = "" if low is None or high is None else f" [{number(low)}, {number(high)}]"
    return f"{name} {number(value)}{ends}"
