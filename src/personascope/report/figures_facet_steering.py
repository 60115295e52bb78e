"""Does steering one facet move that facet: the map of all effects, and each direction's own against the others."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl

from personascope.instruments.facets import DOMAIN_OF, DOMAINS
from personascope.report.dots import Panel, column, dot_trace, panel_columns
from personascope.report.figures_sharing import plain_style
from personascope.report.figures_sweep import marks
from personascope.report.heatmaps import cell_map, diverging_axis
from personascope.report.rows import dodge
from personascope.report.theme import CONTROL, INK, POOLED, SERIES, new_figure
from personascope.report.wording import estimate, label, number

_CELL, _ROW = 24, 26
_NUMBERED = 12
"""Numbers fit into the cells of maps with at most so many columns."""


def selectivity_map(frame: pl.DataFrame) -> go.Figure:
    """Effect of every direction on every facet by HEXACO domain; the own facet is framed, random directions below.

    Args:
        frame: columns direction, steered (null for a random direction), facet, own, coefficient, effect, low, high,
            n_items.
    """
    facets = in_order(frame["facet"])
    steered = frame.drop_nulls("steered")
    directions = [name for facet in facets for name in steered.filter(pl.col("steered") == facet)["direction"].unique()]
    random = frame.filter(pl.col("steered").is_null())["direction"].unique(maintain_order=True).to_list()
    rows = [*directions, *random]
    height = 220 + _CELL * max(6, len(rows))
    figure = new_figure(height, margin={"l": 170, "r": 24, "t": 24, "b": 180})
    cells = {(row["direction"], row["facet"]): row for row in frame.iter_rows(named=True)}
    values = {cell: None if row["effect"] is None else round(row["effect"], 3) for cell, row in cells.items()}
    trace = cell_map(values, rows, facets, hover={cell: _map_hover(row) for cell, row in cells.items()})
    if len(facets) > _NUMBERED:
        trace.update(text=None, texttemplate=None, xgap=1, ygap=1)
    names = dict(zip(steered["direction"], steered["steered"], strict=True))
    trace.update(x=list(range(len(facets))), y=list(range(len(rows))))
    figure.add_trace(trace)
    for row, name in enumerate(directions):
        at = facets.index(names[name])
        corners = {"x0": at - 0.5, "x1": at + 0.5, "y0": row - 0.5, "y1": row + 0.5}
        figure.add_shape(type="rect", line={"color": INK, "width": 1.8}, **corners)
    if random and directions:
        figure.add_hline(y=len(directions) - 0.5, line={"color": INK, "width": 1.4})
    figure.update_layout(coloraxis=diverging_axis(list(values.values()), "effect"))
    shown = [label(names.get(name, name)) for name in rows]
    figure.update_yaxes(
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
        tickvals=list(range(len(rows))),
        ticktext=shown,
        title_text="steered",
    )
    figure.update_xaxes(
        range=[-0.5, len(facets) - 0.5],
        showgrid=False,
        zeroline=False,
        tickangle=-60,
        tickvals=list(range(len(facets))),
        ticktext=[label(name) for name in facets],
        title={"text": "measured", "standoff": 18},
    )
    return figure


def own_and_others(rows: pl.DataFrame) -> go.Figure:
    """For each steered facet its own effect against the mean size on all others, and selectivity with its interval.

    Args:
        rows: columns steered, own_effect, off_diagonal, selectivity, low, high, rank, n_facets, random_largest.
    """
    facets = in_order(rows["steered"])
    panels = [
        Panel("own_effect", "Own effect and the others", "effect on the trait"),
        Panel("selectivity", "Selectivity", "own effect minus mean size on others"),
    ]
    figure = panel_columns(
        panels, [label(name) for name in facets], _ROW * max(4, len(facets)), legend=True, banded=True
    )
    at = [facets.index(name) for name in rows["steered"]]
    hover = [_own_hover(row) for row in rows.iter_rows(named=True)]
    none = [None] * rows.height
    own = dot_trace(column(rows, "own_effect"), at, none, none, style=_DOT, hover=hover, name="<b>own effect</b>")
    size = marks(column(rows, "off_diagonal"), at, "mean size on other facets", "diamond-open", SERIES[5])
    random = marks(column(rows, "random_largest"), at, "largest random direction, size", "line-ns-open", CONTROL)
    for trace in (random, size, own):
        figure.add_trace(trace, row=1, col=1)
    ends = (column(rows, "selectivity"), at, column(rows, "low"), column(rows, "high"))
    figure.add_trace(dot_trace(*ends, style=_DOT, hover=hover, showlegend=False), row=1, col=2)
    figure.update_layout(margin={"l": 170})
    return figure


def keyed_effects(frame: pl.DataFrame) -> go.Figure | None:
    """What a facet's direction does to agreement with its + and its − items; the trait moves when they part.

    Args:
        frame: columns steered, facet, own, positive, negative and acquiescence, each with _low and _high. None without
            a direction whose facet is measured.
    """
    own = frame.filter(pl.col("own"))
    if own.is_empty():
        return None
    facets = in_order(own["facet"])
    panels = [
        Panel("positive", "Agreement with + and − items", "change of agreement"),
        Panel("acquiescence", "Yea-saying: their mean", "change of agreement"),
    ]
    figure = panel_columns(
        panels, [label(name) for name in facets], _ROW * max(4, len(facets)), legend=True, banded=True
    )
    kinds = (
        ("positive", "+ items", SERIES[0], "triangle-up", 1, dodge(2, 0.3)[0]),
        ("negative", "− items", SERIES[5], "triangle-down", 1, dodge(2, 0.3)[1]),
        ("acquiescence", "mean of both", POOLED, "circle", 2, 0.0),
    )
    for name, text, colour, symbol, place, shift in kinds:
        at = [facets.index(facet) + shift for facet in own["facet"]]
        ends = (column(own, name), at, column(own, f"{name}_low"), column(own, f"{name}_high"))
        hover = [
            f"<b>{label(row['facet'])}</b>, {text}: "
            f"{estimate(row[name], row.get(f'{name}_low'), row.get(f'{name}_high'))}"
            for row in own.iter_rows(named=True)
        ]
        trace = dot_trace(*ends, style=plain_style(colour, symbol), hover=hover, name=text)
        figure.add_trace(trace, row=1, col=place)
    figure.update_layout(margin={"l": 170})
    return figure


def in_order(facets: pl.Series) -> list[str]:
    """Different facets by HEXACO domain, unknown ones last as they come."""
    own = facets.drop_nulls().unique(maintain_order=True).to_list()
    known = [facet for _, names in DOMAINS.values() for facet in names if facet in own]
    rest = [facet for facet in own if facet not in known]
    return [*known, *sorted(rest, key=lambda facet: facet not in DOMAIN_OF)]


_DOT = plain_style(POOLED)


def _map_hover(row: dict[str, Any]) -> str:
    steered = label(row["direction"]) if row["steered"] is None else label(row["steered"])
    return (
        f"steered: <b>{steered}</b>, measured: <b>{label(row['facet'])}</b><br>effect "
        f"{estimate(row['effect'], row['low'], row['high'])}<br>{row['n_items']} items"
    )


def _own_hover(row: dict[str, Any]) -> str:
    return (
        f"<b>{label(row['steered'])}</b><br>own effect {number(row['own_effect'])}, mean size on others "
        f"{number(row['off_diagonal'])}<br>selectivity {estimate(row['selectivity'], row['low'], row['high'])}<br>"
        f"rank {row['rank']} of {row['n_facets']}; largest random {number(row['random_largest'])}"
    )
