"""Probe figures: curves over layers with their controls, transfer between personas, and angles of directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from personascope.report.dots import column
from personascope.report.heatmaps import cell_height, cell_map, diverging_axis, hover_number
from personascope.report.theme import (
    CONTROL,
    TEXT_BASELINE,
    Styles,
    new_figure,
    persona_styles,
    template,
    translucent,
)
from personascope.report.wording import estimate, label, number, probability

MATCHED = "#2a9d8f"
METRIC_NAMES = {"r": "correlation of prediction and truth (held out)", "accuracy": "accuracy (held out)"}


@dataclass(frozen=True)
class Control:
    """A line that the probe has to be compared with: its column, its name in the legend, and how it is drawn."""

    column: str
    name: str
    colour: str
    dash: str


CONTROLS = (
    Control("shuffled_high", "shuffled labels, 95th percentile", CONTROL, "dash"),
    Control("shuffled", "chance (shuffled labels, mean)", CONTROL, "dot"),
    Control("random_direction_high", "random directions, 95th percentile", "#7a5195", "dashdot"),
    Control("random_direction", "random directions, mean", "#7a5195", "dot"),
    Control("matched_direction_high", "matched directions, 95th percentile", MATCHED, "dashdot"),
    Control("matched_direction", "matched directions, mean", MATCHED, "dot"),
    Control("text_baseline", "words alone", TEXT_BASELINE, "solid"),
    Control("encoder_baseline", "sentence encoder alone", TEXT_BASELINE, "dash"),
)


def layer_curves(frame: pl.DataFrame, styles: Styles | None = None) -> go.Figure:
    """Probe score against layer with its 95 % band and controls; one target, persona and position is shown at a time.

    Args:
        frame: columns target, persona ("all" where pooled), position, layer, metric ("r" or "accuracy"), value, low,
            high, n, shuffled, shuffled_high, p_value, random_direction, random_direction_high, matched_direction,
            matched_direction_high (random directions with the covariance of the activations), text_baseline,
            encoder_baseline (null without an encoder), over_text, over_text_low, over_text_high, within_group (score
            within groups; null where there are none), penalty.
        styles: colour per persona.
    """
    figure = new_figure(470, margin={"l": 76, "r": 280, "t": 24, "b": 58})
    known = styles or persona_styles(frame["persona"])
    groups = frame.sort("layer", maintain_order=True).group_by(
        "target", "persona", "position", "metric", maintain_order=True
    )
    first = frame.row(0, named=True)
    for (target, persona, position, metric), part in groups:
        title = METRIC_NAMES.get(str(metric), label(str(metric)))
        meta = {"target": target, "persona": persona, "position": position, "y_title": title}
        shown = all(meta[key] == first[key] for key in ("target", "persona", "position"))
        colour = known[str(persona)].colour
        traces = [
            *band(part, "layer", colour),
            *control_lines(part),
            _within_groups(part, colour),
            _probe_line(part, colour, label(str(persona))),
        ]
        for trace in traces:
            if trace is not None:
                figure.add_trace(trace.update(meta=meta, visible=shown))
    title = METRIC_NAMES.get(first["metric"], label(first["metric"]))
    figure.update_layout(legend={"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top"})
    figure.update_xaxes(title_text="layer (0 = first block)", zeroline=False)
    figure.update_yaxes(title_text=title, rangemode="tozero")
    return figure


def transfer_maps(frame: pl.DataFrame, start: tuple[int, str] | None = None) -> go.Figure:
    """Probes trained on one persona and tested on another, beside what the utilities alone would give.

    Three maps: r of the transferred probe; r of the two personas' utilities, which a probe of the first persona reaches
    by knowing the first persona only; and the difference, starred where its interval lies above zero.

    Args:
        frame: columns train, test, layer, position, r, low, high, utility_r, difference, difference_low,
            difference_high, n.
        start: (layer, position) shown at first; by default the first of the table.
    """
    train, test = (frame[name].unique(maintain_order=True).to_list() for name in ("train", "test"))
    titles = ["<b>Probe: r</b>", "<b>Utilities alone: r</b>", "<b>Probe minus utilities</b>"]
    figure = make_subplots(rows=1, cols=3, shared_yaxes=True, horizontal_spacing=0.03, subplot_titles=titles)
    first = start or (frame["layer"][0], frame["position"][0])
    for (at, position), part in frame.group_by("layer", "position", maintain_order=True):
        rows = {(row["train"], row["test"]): row for row in part.iter_rows(named=True)}
        above = {
            cell
            for cell, row in rows.items()
            if cell[0] != cell[1] and row["difference_low"] is not None and row["difference_low"] > 0
        }
        hover = {cell: _transfer_hover(row) for cell, row in rows.items()}
        shown = {"meta": {"layer": at, "position": position}, "visible": (at, position) == first}
        for place, name in enumerate(("r", "utility_r", "difference"), start=1):
            values = {cell: row[name] for cell, row in rows.items()}
            marked = above if name == "difference" else frozenset[tuple[str, str]]()
            trace = cell_map(values, train, test, hover=hover, marked=marked, **shown)
            figure.add_trace(trace, row=1, col=place)
    numbers = [value for name in ("r", "utility_r", "difference") for value in column(frame, name)]
    figure.update_layout(
        template=template(),
        height=160 + cell_height(len(train)),
        margin={"l": 130, "r": 24, "t": 44, "b": 112},
        coloraxis=diverging_axis(numbers, "r"),
    )
    figure.update_annotations(font={"size": 13})
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_yaxes(title_text="trained on", col=1)
    figure.update_xaxes(title_text="tested on", showgrid=False, tickangle=-35)
    return figure


def direction_map(frame: pl.DataFrame, layer: int | None = None) -> go.Figure:
    """Cosines of each persona's preference direction with each persona's identity direction, at one layer.

    Args:
        frame: columns direction, other, layer, cosine, null_high (95th percentile of |cosine| with random directions);
            cells beyond it are starred.
        layer: the layer shown at first; by default the first of the table.
    """
    rows, columns = (frame[name].unique(maintain_order=True).to_list() for name in ("direction", "other"))
    start = frame["layer"][0] if layer is None else layer
    figure = new_figure(100 + cell_height(len(rows)), margin={"l": 130, "r": 24, "t": 20, "b": 70})
    for (at,), part in frame.group_by("layer", maintain_order=True):
        cells = {(row["direction"], row["other"]): row for row in part.iter_rows(named=True)}
        values = {cell: row["cosine"] for cell, row in cells.items()}
        marked = {cell for cell, row in cells.items() if beyond_null(row)}
        hover = {cell: _cosine_hover(row) for cell, row in cells.items()}
        trace = cell_map(values, rows, columns, hover=hover, marked=marked, meta={"layer": at}, visible=at == start)
        figure.add_trace(trace)
    figure.update_layout(coloraxis=diverging_axis(column(frame, "cosine"), "cosine"))
    figure.update_yaxes(autorange="reversed", showgrid=False, title_text="preference direction of")
    figure.update_xaxes(showgrid=False, title_text="identity direction of")
    return figure


def own_direction_curves(frame: pl.DataFrame, styles: Styles | None = None) -> go.Figure:
    """Cosine of each persona's preference direction with its own identity direction, over layers.

    Args:
        frame: as for `direction_map`; only rows with direction == other are drawn.
        styles: colour and marker per persona.
    """
    own = frame.filter(pl.col("direction") == pl.col("other")).sort("layer", maintain_order=True)
    figure = new_figure(390, margin={"l": 76, "r": 220, "t": 24, "b": 58})
    known = styles or persona_styles(own["direction"])
    null = own.group_by("layer", maintain_order=True).agg(pl.col("null_high").max())
    for sign in (1, -1):
        figure.add_scatter(
            x=null["layer"].to_list(),
            y=[None if value is None else sign * value for value in column(null, "null_high")],
            mode="lines",
            line={"color": CONTROL, "dash": "dash", "width": 1.2},
            name="random directions, 95 %",
            showlegend=sign > 0,
            legendgroup="null",
            hoverinfo="skip",
        )
    for (persona,), part in own.group_by("direction", maintain_order=True):
        style = known[str(persona)]
        figure.add_scatter(
            x=part["layer"].to_list(),
            y=column(part, "cosine"),
            mode="lines+markers",
            line={"color": style.colour, "width": 1.8},
            marker={"color": style.colour, "symbol": style.symbol, "size": 7},
            name=label(str(persona)),
            customdata=[f"layer {row['layer']}<br>{_cosine_hover(row)}" for row in part.iter_rows(named=True)],
            hovertemplate="%{customdata}<extra></extra>",
        )
    figure.update_layout(legend={"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top"})
    figure.update_xaxes(title_text="layer (0 = first block)", zeroline=False)
    figure.update_yaxes(title_text="cosine with own identity direction")
    return figure


def band(frame: pl.DataFrame, x: str, colour: str) -> list[go.Scatter]:
    """The 95 % interval of a curve as a filled outline; nothing where no row has one."""
    part = frame.filter(pl.col("low").is_not_null() & pl.col("high").is_not_null())
    if part.is_empty():
        return []
    at = part[x].to_list()
    return [
        go.Scatter(
            x=at + at[::-1],
            y=column(part, "high") + column(part, "low")[::-1],
            fill="toself",
            fillcolor=translucent(colour, 0.16),
            line={"width": 0},
            mode="lines",
            name="95 % interval",
            hoverinfo="skip",
        )
    ]


def control_lines(part: pl.DataFrame, controls: Sequence[Control] = CONTROLS) -> list[go.Scatter]:
    """A line over layers for each control whose column has a value."""
    return [
        go.Scatter(
            x=part["layer"].to_list(),
            y=column(part, control.column),
            mode="lines",
            name=control.name,
            line={"color": control.colour, "dash": control.dash, "width": 1.5},
            hovertemplate=f"{control.name}: %{{y:.2f}}<extra></extra>",
        )
        for control in controls
        if any(value is not None for value in column(part, control.column))
    ]


def probe_hover(row: dict[str, Any], name: str) -> str:
    """What a dot of a probe's curve says: place, value with interval, controls and n; `name` is escaped."""
    over = [row.get(f"over_text{end}") for end in ("", "_low", "_high")]
    lines = [
        f"<b>layer {row['layer']}</b>, {name}<br>{label(row['metric'])} "
        f"{estimate(row['value'], row['low'], row['high'])}",
        f"shuffled 95th percentile {number(row['shuffled_high'])}"
        + (f", {probability('p', row['p_value'])}" if "p_value" in row else ""),
        f"words alone {number(row['text_baseline'])}, sentence encoder alone {number(row['encoder_baseline'])}",
    ]
    if "over_text" in row:
        lines.append(f"above the better of both by {estimate(*over)}")
    return "<br>".join([*lines, f"n = {row['n']}"])


def beyond_null(row: dict[str, Any]) -> bool:
    """Whether a cosine lies beyond the 95th percentile of random directions."""
    return row["cosine"] is not None and row["null_high"] is not None and abs(row["cosine"]) > row["null_high"]


def _within_groups(part: pl.DataFrame, colour: str) -> go.Scatter | None:
    values = column(part, "within_group")
    if all(value is None for value in values):
        return None
    return go.Scatter(
        x=part["layer"].to_list(),
        y=values,
        mode="lines",
        name="probe within groups only",
        line={"color": colour, "dash": "dot", "width": 1.8},
        hovertemplate="within groups: %{y:.2f}<extra></extra>",
    )


def _probe_line(part: pl.DataFrame, colour: str, persona: str) -> go.Scatter:
    hover = [probe_hover(row, persona) for row in part.iter_rows(named=True)]
    return go.Scatter(
        x=part["layer"].to_list(),
        y=column(part, "value"),
        mode="lines+markers",
        name="<b>probe</b>",
        line={"color": colour, "width": 2.4},
        marker={"color": colour, "size": 7},
        customdata=hover,
        hovertemplate="%{customdata}<extra></extra>",
        legendrank=1,
        zorder=2,
    )


def _transfer_hover(row: dict[str, Any]) -> str:
    ends = ("difference_low", "difference_high")
    return (
        f"trained on <b>{label(row['train'])}</b>, tested on <b>{label(row['test'])}</b>"
        f"<br>{hover_number('probe r', row['r'], row['low'], row['high'])}"
        f"<br>utilities alone r {number(row['utility_r'])}"
        f"<br>{hover_number('difference', row['difference'], *(row[end] for end in ends))}<br>n = {row['n']}"
    )


def _cosine_hover(row: dict[str, Any]) -> str:
    return (
        f"preference direction of <b>{label(row['direction'])}</b><br>identity direction of "
        f"<b>{label(row['other'])}</b><br>cosine {number(row['cosine'])}, random 95th percentile "
        f"{number(row['null_high'])}"
    )
