"""Figures of directions: between layers, between facets and preference, and between models."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from personascope.instruments.facets import DOMAIN_OF, DOMAINS
from personascope.report.dots import column, dot_trace
from personascope.report.figures_probes import MATCHED, beyond_null, probe_hover
from personascope.report.figures_sweep import marks
from personascope.report.findings import best_text
from personascope.report.findings_sweep import between_facets, preference_cosines
from personascope.report.heatmaps import cell_map, diverging_axis
from personascope.report.layer_grid import LAYER_AXIS, layer_grid
from personascope.report.rows import FACET_LEFT, FacetRows, dress_facet_axis, facet_rows
from personascope.report.theme import (
    CONTROL,
    INK,
    POOLED,
    SERIES,
    TEXT_BASELINE,
    PersonaStyle,
    new_figure,
    template,
)
from personascope.report.wording import figure_text, label, number

_NUMBERED = 12
"""Numbers fit into the cells of maps with at most so many columns."""
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_DOT = PersonaStyle(POOLED, "circle")


def layer_maps(frame: pl.DataFrame) -> go.Figure:
    """Cosines of the probes of all layers, and r of the probe of one layer applied to another.

    Args:
        frame: columns layer (trained), other (applied), cosine, r, n.
    """
    layers = frame["layer"].unique().sort().to_list()
    names = [str(layer) for layer in layers]
    titles = ["<b>Cosine of the probes</b>", "<b>r of one layer's probe on another</b>"]
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.16, subplot_titles=titles)
    rows = {(str(row["layer"]), str(row["other"])): row for row in frame.iter_rows(named=True)}
    hover = {cell: _layers_hover(row) for cell, row in rows.items()}
    for place, name in enumerate(("cosine", "r"), start=1):
        values = {cell: row[name] for cell, row in rows.items()}
        trace = cell_map(values, names, names, hover=hover)
        axis = f"coloraxis{place if place > 1 else ''}"
        figure.add_trace(_fitted(trace, len(names)).update(coloraxis=axis), row=1, col=place)
        bar = diverging_axis(column(frame, name), name)
        bar["colorbar"] |= {"x": 0.42 + 0.58 * (place - 1), "xanchor": "left", "xpad": 6}
        figure.update_layout({axis: bar})
    figure.update_layout(template=template(), height=500, margin={"l": 70, "r": 70, "t": 44, "b": 62})
    figure.update_annotations(font={"size": 13}, yshift=4)
    figure.update_xaxes(type="category", showgrid=False, title_text="applied to layer", nticks=12, tickangle=0)
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed", nticks=12)
    figure.update_yaxes(title_text="trained on layer", col=1)
    return figure


def norm_curves(frame: pl.DataFrame) -> go.Figure:
    """Mean length of the residual stream over layers, for each kind of prompt and position, on a log scale.

    Args:
        frame: columns store, layer, position, mean, sd, n.
    """
    figure = new_figure(400, margin={"l": 76, "r": 280, "t": 24, "b": 58})
    stores, positions = (frame[name].unique(maintain_order=True).to_list() for name in ("store", "position"))
    for (store, position), part in frame.sort("layer", maintain_order=True).group_by(
        "store", "position", maintain_order=True
    ):
        colour = SERIES[stores.index(store) % len(SERIES)]
        name = f"{label(str(store))}, {label(str(position))}"
        figure.add_scatter(
            x=part["layer"].to_list(),
            y=column(part, "mean"),
            mode="lines+markers",
            line={"color": colour, "dash": _DASHES[positions.index(position) % len(_DASHES)], "width": 1.8},
            marker={"size": 5},
            name=name,
            customdata=[
                f"<b>layer {row['layer']}</b>, {name}<br>mean {number(row['mean'])}, sd {number(row['sd'])}"
                f"<br>n = {row['n']}"
                for row in part.iter_rows(named=True)
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    figure.update_layout(legend={"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top"})
    figure.update_xaxes(title_text=LAYER_AXIS, zeroline=False)
    figure.update_yaxes(title_text="mean length (log scale)", type="log", zeroline=False, dtick="D2")
    return figure


def facet_probe_dots(frame: pl.DataFrame, layer: int) -> go.Figure:
    """Held-out r of each facet at one layer, beside the better text baseline and shuffled labels.

    Args:
        frame: columns of `layer_curves`; targets are facets.
        layer: the layer shown at first.
    """
    rows = _rows(frame["target"])
    figure = _facet_figure(rows)
    for (at,), part in frame.group_by("layer", maintain_order=True):
        places = [rows.places[facet] for facet in part["target"]]
        text = [best_text(row) for row in part.iter_rows(named=True)]
        dots = dot_trace(
            column(part, "value"),
            places,
            column(part, "low"),
            column(part, "high"),
            style=_DOT,
            hover=[probe_hover(row, f"<b>{label(row['target'])}</b>") for row in part.iter_rows(named=True)],
            name="<b>probe</b>",
        )
        beside = [
            marks(column(part, "shuffled_high"), places, "shuffled labels, 95th percentile", "line-ns-open", CONTROL),
            marks(
                column(part, "matched_direction_high"),
                places,
                "matched directions, 95th percentile",
                "line-ns-open",
                MATCHED,
            ),
            marks(text, places, "better of words and encoder", "diamond-open", TEXT_BASELINE),
        ]
        for trace in (*beside, dots):
            figure.add_trace(trace.update(meta={"layer": at}, visible=at == layer))
    figure.update_xaxes(title_text="r over items held out")
    return figure


def preference_dots(frame: pl.DataFrame, layer: int) -> go.Figure | None:
    """Cosine of the preference direction with each facet's at one layer, before the band of random directions.

    Args:
        frame: columns direction, other, layer, cosine, null_high.
        layer: the layer shown at first.
    """
    own = preference_cosines(frame)
    if own.is_empty():
        return None
    rows = _rows(own["other"])
    figure = _facet_figure(rows)
    for (at,), part in own.group_by("layer", maintain_order=True):
        places = [rows.places[facet] for facet in part["other"]]
        null = column(part, "null_high")
        shown = {"meta": {"layer": at}, "visible": at == layer}
        figure.add_bar(
            x=[None if end is None else 2 * end for end in null],
            base=[None if end is None else -end for end in null],
            y=places,
            width=0.55,
            orientation="h",
            marker={"color": "#dfe3e8"},
            name="random directions with the same covariance, 95 %",
            hoverinfo="skip",
            **shown,
        )
        inside = [not beyond_null(row) for row in part.iter_rows(named=True)]
        marker = {"color": ["white" if calm else POOLED for calm in inside], "size": 9}
        marker["line"] = {"width": 1.6, "color": POOLED}
        figure.add_scatter(
            x=column(part, "cosine"),
            y=places,
            mode="markers",
            marker=marker,
            name="cosine (open: inside the band)",
            customdata=[_cosine_hover(row) for row in part.iter_rows(named=True)],
            hovertemplate="%{customdata}<extra></extra>",
            **shown,
        )
    figure.update_xaxes(title_text="cosine of the facet's and the preference direction")
    return figure


def facet_map(frame: pl.DataFrame, layer: int) -> go.Figure | None:
    """Cosines of the facets' directions with each other at one layer, by HEXACO domain.

    Args:
        frame: as for `preference_dots`.
        layer: the layer shown at first.
    """
    own = between_facets(frame)
    if own.is_empty():
        return None
    facets = list(_rows(own["direction"]).places)
    figure = new_figure(150 + max(260, 24 * len(facets)), margin={"l": 150, "r": 24, "t": 20, "b": 130})
    for (at,), part in own.group_by("layer", maintain_order=True):
        cells = {(row["direction"], row["other"]): row for row in part.iter_rows(named=True)}
        values = {cell: _rounded(row["cosine"]) for cell, row in cells.items()}
        hover = {cell: _cosine_hover(row) for cell, row in cells.items()}
        beyond = {cell for cell, row in cells.items() if beyond_null(row)}
        trace = cell_map(values, facets, facets, hover=hover, marked=beyond, meta={"layer": at}, visible=at == layer)
        if len(facets) > _NUMBERED:
            stars = [["★" if (row, name) in beyond else "" for name in facets] for row in facets]
            trace.update(text=stars, textfont={"size": 8}, xgap=1, ygap=1)
        figure.add_trace(trace)
    figure.update_layout(coloraxis=diverging_axis(column(own, "cosine"), "cosine"))
    figure.update_yaxes(autorange="reversed", showgrid=False, dtick=1)
    figure.update_xaxes(showgrid=False, tickangle=-60, dtick=1)
    _between_domains(figure, facets)
    return figure


def cross_model_curves(frame: pl.DataFrame) -> go.Figure:
    """Held-out r of every model's activations for every model's utilities, over the layers of the model that is read.

    Args:
        frame: columns of `layer_curves` but target; model (whose activations) and utilities_of.
    """
    parts = frame.partition_by("utilities_of", "model", maintain_order=True)
    parts.sort(key=lambda part: list(frame["utilities_of"].unique(maintain_order=True)).index(part["utilities_of"][0]))
    return layer_grid(
        {
            (
                f"Utilities of<br>{figure_text(part['utilities_of'][0])}",
                f"Activations of {figure_text(part['model'][0])}",
            ): part
            for part in parts
        }
    )


def _rows(facets: pl.Series) -> FacetRows:
    own = facets.unique(maintain_order=True).to_list()
    known = [facet for _, names in DOMAINS.values() for facet in names if facet in own]
    return facet_rows([*known, *(facet for facet in own if facet not in known)], DOMAIN_OF)


def _facet_figure(rows: FacetRows) -> go.Figure:
    height = 150 + int(23 * (rows.bottom + 1))
    figure = new_figure(height, margin={"l": FACET_LEFT, "r": 24, "t": 44, "b": 58}, barmode="overlay")
    dress_facet_axis(figure, rows)
    return figure


def _between_domains(figure: go.Figure, facets: list[str]) -> None:
    for place in range(1, len(facets)):
        if DOMAIN_OF.get(facets[place - 1]) != DOMAIN_OF.get(facets[place]):
            figure.add_hline(y=place - 0.5, line={"color": INK, "width": 1})
            figure.add_vline(x=place - 0.5, line={"color": INK, "width": 1})


def _fitted(trace: go.Heatmap, n: int) -> go.Heatmap:
    """Without numbers, and with thin gaps, where there are too many cells for them."""
    return trace if n <= _NUMBERED else trace.update(text=None, texttemplate=None, xgap=0, ygap=0)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _layers_hover(row: dict[str, Any]) -> str:
    return (
        f"trained on layer {row['layer']}, applied to {row['other']}<br>cosine {number(row['cosine'])}, "
        f"r {number(row['r'])}"
    )


def _cosine_hover(row: dict[str, Any]) -> str:
    return (
        f"{label(row['direction'])} and {label(row['other'])}<br>cosine {number(row['cosine'])}, "
        f"random {number(row['null_high'])}"
    )
