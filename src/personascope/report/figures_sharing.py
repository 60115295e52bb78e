"""Transfer between personas beyond its maps: over layers, who gives and who receives, angles of the probes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl

from personascope.report.dots import Panel, column, dot_trace, panel_columns
from personascope.report.figures_probes import beyond_null, transfer_maps
from personascope.report.findings import other_pairs
from personascope.report.heatmaps import cell_height, cell_map, diverging_axis
from personascope.report.rows import dodge
from personascope.report.theme import (
    MUTED,
    POOLED,
    SERIES,
    TEXT_BASELINE,
    PersonaStyle,
    Styles,
    new_figure,
    persona_styles,
)
from personascope.report.wording import estimate, label, number

Place = tuple[int, str]
MOST_PAIRS = 15
"""Pairs of personas that a figure of gaps has rows for."""
_ROW = 30
_CURVES = (
    ("r", "probe, to another persona", POOLED, "solid", "circle"),
    ("utility_r", "utilities alone", MUTED, "dash", "square"),
    ("encoder_r", "sentence embeddings of the same words", TEXT_BASELINE, "solid", "diamond"),
    ("r_corrected", "probe, corrected for errors", SERIES[4], "solid", "circle-open"),
    ("utility_r_corrected", "utilities, corrected for errors", "#9aa3ae", "dot", "square-open"),
)


def transfer_curves(frame: pl.DataFrame, truth: str = "utilities") -> go.Figure | None:
    """Means over ordered pairs of different personas, layer by layer; None of a single layer.

    Args:
        frame: columns train, test, layer, position, r, utility_r, and, where they exist, encoder_r, r_corrected and
            utility_r_corrected. The mean r of each persona's probe on itself is drawn too.
        truth: what the probes predict, in the plural.
    """
    if frame["layer"].n_unique() < 2:
        return None
    figure = new_figure(390, margin={"l": 76, "r": 290, "t": 24, "b": 58})
    own = frame.filter(pl.col("train") == pl.col("test")).select("layer", "position", pl.col("r").alias("own"))
    lines = [(other_pairs(frame), *curve) for curve in _CURVES]
    lines.insert(1, (own, "own", "probe, its own persona", SERIES[2], "solid", "triangle-up"))
    for part, name, text, colour, dash, symbol in lines:
        if name not in part.columns or part[name].drop_nulls().is_empty():
            continue
        shown = text.replace("utilities", truth)
        for (position,), of_position in part.group_by("position", maintain_order=True):
            means = of_position.drop_nulls(name).group_by("layer").agg(pl.col(name).mean(), pl.len()).sort("layer")
            figure.add_scatter(
                x=means["layer"].to_list(),
                y=column(means, name),
                mode="lines+markers",
                name=shown,
                line={"color": colour, "dash": dash, "width": 1.8},
                marker={"color": colour, "symbol": symbol, "size": 7},
                meta={"position": position},
                visible=position == frame["position"][0],
                customdata=[f"layer {row['layer']}<br>n = {row['len']}" for row in means.iter_rows(named=True)],
                hovertemplate=f"{shown}: %{{y:.2f}}, %{{customdata}}<extra></extra>",
            )
    figure.update_layout(legend={"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top"}, showlegend=True)
    figure.update_xaxes(title_text="layer (0 = first block)", zeroline=False)
    figure.update_yaxes(title_text="mean r over pairs", rangemode="tozero")
    return figure


def transfer_gaps(frame: pl.DataFrame, start: Place | None = None, styles: Styles | None = None) -> go.Figure:
    """How much better one persona's probe reads another than conversely, for the pairs whose gaps are largest.

    Args:
        frame: columns first, second, layer, position, gap, gap_low, gap_high, r_first_to_second, r_second_to_first, n.
        start: (layer, position) shown at first; by default the first of the table.
        styles: colour and marker per persona; a pair has those of its first.
    """
    sizes = frame.group_by("first", "second", maintain_order=True).agg(pl.col("gap").abs().mean().fill_null(0.0))
    pairs = sizes.sort("gap", descending=True, maintain_order=True).head(MOST_PAIRS).select("first", "second").rows()
    names = [f"{label(one)} → {label(other)}" for one, other in pairs]
    known = styles or persona_styles(frame["first"])
    gap = Panel("gap", "Gap", "r of first to second minus r of second to first")
    figure = panel_columns([gap], names, _ROW * max(4, len(pairs)), banded=True)
    first = start or _first_place(frame)
    for row in frame.iter_rows(named=True):
        if (row["first"], row["second"]) not in pairs:
            continue
        at = pairs.index((row["first"], row["second"]))
        hover = (
            f"<b>{names[at]}</b>, layer {row['layer']}<br>this way r {number(row['r_first_to_second'])}, the other way "
            f"{number(row['r_second_to_first'])}<br>gap {estimate(row['gap'], row['gap_low'], row['gap_high'])}"
            f"<br>n = {row['n']}"
        )
        ends = ([row["gap"]], [at], [row["gap_low"]], [row["gap_high"]])
        trace = dot_trace(*ends, style=known[row["first"]], hover=[hover], **at_place(row, first))
        figure.add_trace(trace, row=1, col=1)
    figure.update_layout(margin={"l": 230}, showlegend=False)
    return figure


def mean_transfer(frame: pl.DataFrame, start: Place | None = None, styles: Styles | None = None) -> go.Figure:
    """Mean r of each persona's probe on the others (filled), and of the others' probes on it (hollow).

    Args:
        frame: columns persona, layer, position, outbound, inbound and gap with their intervals, n_others, n.
        start: (layer, position) shown at first; by default the first of the table.
        styles: colour and marker per persona.
    """
    personas = frame["persona"].unique(maintain_order=True).to_list()
    known = styles or persona_styles(personas)
    panels = [
        Panel("both", "Given and received", "mean r over the other personas"),
        Panel("gap", "Given minus received", "difference of mean r"),
    ]
    figure = panel_columns(
        panels, [label(name) for name in personas], _ROW * max(4, len(personas)), legend=True, banded=True
    )
    first, (up, down) = start or _first_place(frame), dodge(2, 0.3)
    for row in frame.iter_rows(named=True):
        at, style = personas.index(row["persona"]), known[row["persona"]]
        hollow = {"color": "white", "line": {"color": style.colour, "width": 1.6}}
        for name, place, height, marker in (
            ("outbound", 1, at + up, {}),
            ("inbound", 1, at + down, hollow),
            ("gap", 2, at, {}),
        ):
            value, low, high = (row[name + end] for end in ("", "_low", "_high"))
            hover = (
                f"<b>{label(row['persona'])}</b>, layer {row['layer']}<br>{name} {estimate(value, low, high)}"
                f"<br>{row['n_others']} others, n = {row['n']}"
            )
            ends = ([value], [height], [low], [high])
            trace = dot_trace(*ends, style=style, hover=[hover], marker=marker, showlegend=False)
            figure.add_trace(trace.update(at_place(row, first)), row=1, col=place)
    legend_dots(
        figure,
        [("its probe on the others", MUTED, "circle", True), ("the others' probes on it", MUTED, "circle", False)],
    )
    figure.update_layout(margin={"l": 150})
    return figure


def probe_cosines(frame: pl.DataFrame, start: int | None = None) -> go.Figure:
    """Cosines of the weights of every two personas' probes, starred beyond the 95th percentile of random directions.

    Args:
        frame: columns direction, other, layer, cosine, null_high.
        start: layer shown at first; by default the first of the table.
    """
    names = list(dict.fromkeys([*frame["direction"], *frame["other"]]))
    first = frame["layer"][0] if start is None else start
    figure = new_figure(150 + cell_height(len(names)), margin={"l": 150, "r": 24, "t": 20, "b": 112})
    for (layer,), part in frame.group_by("layer", maintain_order=True):
        cells = {(row["direction"], row["other"]): row for row in part.iter_rows(named=True)}
        hover = {
            cell: f"probes of <b>{label(cell[0])}</b> and <b>{label(cell[1])}</b><br>cosine {number(row['cosine'])}, "
            f"random 95th percentile {number(row['null_high'])}"
            for cell, row in cells.items()
        }
        marked = {cell for cell, row in cells.items() if beyond_null(row)}
        values = {cell: row["cosine"] for cell, row in cells.items()}
        shown = {"meta": {"layer": layer}, "visible": layer == first}
        figure.add_trace(cell_map(values, names, names, hover=hover, marked=marked, **shown))
    figure.update_layout(coloraxis=diverging_axis(column(frame, "cosine"), "cosine"))
    figure.update_yaxes(autorange="reversed", showgrid=False, title_text="probe of")
    figure.update_xaxes(showgrid=False, title_text="probe of", tickangle=-35)
    return figure


def answer_maps(frame: pl.DataFrame, start: Place | None = None) -> go.Figure:
    """The maps of transfer for probes of keyed answers, whose yardstick is how the answers themselves correlate."""
    figure = transfer_maps(frame, start)
    figure.for_each_annotation(lambda note: note.update(text=_of_answers(note.text)))
    for trace in figure.data:
        trace.customdata = [[_of_answers(text) for text in row] for row in trace.customdata]
    return figure


def _of_answers(text: str) -> str:
    for ours, theirs in (
        ("<b>Utilities alone: r</b>", "<b>Answers alone: r</b>"),
        ("minus utilities", "minus answers"),
    ):
        text = text.replace(ours, theirs)
    return text.replace("<br>utilities alone r ", "<br>answers alone r ")


def at_place(row: dict[str, Any], first: Place) -> dict[str, Any]:
    """`meta` and first visibility of a trace that belongs to one layer and position."""
    place = (row["layer"], row["position"])
    return {"meta": {"layer": place[0], "position": place[1]}, "visible": place == first}


def legend_dots(figure: go.Figure, entries: Sequence[tuple[str, str, str, bool]]) -> None:
    """Entries of the legend that stand for all layers: name, colour, symbol, whether filled."""
    for name, colour, symbol, filled in entries:
        marker = {"size": 9, "symbol": symbol, "color": colour if filled else "white"}
        marker |= {"line": {"color": colour, "width": 1.6}}
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=name, hoverinfo="skip")


def plain_style(colour: str, symbol: str = "circle") -> PersonaStyle:
    """A style for what is no persona."""
    return PersonaStyle(colour, symbol)


def _first_place(frame: pl.DataFrame) -> Place:
    return frame["layer"][0], frame["position"][0]
