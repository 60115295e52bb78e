"""What the probe makes of true and false, harmful and harmless, left and right: effects beside words and chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from personascope.report.dots import Panel, column, dot_trace, panel_columns
from personascope.report.figures_sharing import legend_dots
from personascope.report.findings_sharing import ENCODER, PROBE
from personascope.report.rows import dodge, legend_above
from personascope.report.theme import CONTROL, MUTED, Styles, persona_styles, template, translucent
from personascope.report.wording import count, estimate, label, number, probability

_ROW = 34
_EFFECT = "paired effect (sd)"


def stimulus_dots(frame: pl.DataFrame, start: int | None = None, styles: Styles | None = None) -> go.Figure:
    """Effect of the label on the score, a column for each set, a row for each turn and persona.

    Filled: the probe with its 95 % interval; hollow: sentence embeddings; a bar reaches to the 95th percentile of the
    size among random directions, to both sides.

    Args:
        frame: columns set, turn, persona, position, layer (null for the encoder), scorer, d_paired, low, high, p, q, n,
            random_d95.
        start: layer shown at first; by default the first of the table.
        styles: colour and marker per persona.
    """
    sets = frame["set"].unique(maintain_order=True).to_list()
    places = frame.select("turn", "persona").unique(maintain_order=True).sort("turn", maintain_order=True).rows()
    known = styles or persona_styles(frame["persona"])
    rows = [f"{label(turn)}: {label(persona)}" for turn, persona in places]
    figure = panel_columns(
        [Panel(name, label(name), _EFFECT) for name in sets], rows, _ROW * max(4, len(rows)), legend=True, banded=True
    )
    first = _first_layer(frame, start)
    up, down = dodge(2, 0.3)
    for row in frame.iter_rows(named=True):
        at, col = places.index((row["turn"], row["persona"])), sets.index(row["set"]) + 1
        style, probe = known[row["persona"]], row["scorer"] == PROBE
        shown = _of_layer(row["layer"], first)
        if probe and row["random_d95"] is not None:
            ends = {"x": [-row["random_d95"], row["random_d95"]], "y": [at + up] * 2}
            line = {"color": translucent(CONTROL, 0.5), "width": 9}
            bar = go.Scatter(mode="lines", line=line, showlegend=False, hoverinfo="skip", **ends, **shown)
            figure.add_trace(bar, row=1, col=col)
        marker = {} if probe else {"color": "white", "line": {"color": style.colour, "width": 1.6}}
        dot = ([row["d_paired"]], [at + (up if probe else down)], [row["low"]], [row["high"]])
        trace = dot_trace(*dot, style=style, hover=[_hover(row)], marker=marker, showlegend=False)
        figure.add_trace(trace.update(**shown), row=1, col=col)
    legend_dots(figure, [("probe", MUTED, "circle", True), ("sentence embeddings", MUTED, "circle", False)])
    if frame["random_d95"].drop_nulls().len():
        line = {"color": translucent(CONTROL, 0.5), "width": 9}
        name = "random directions, 95th percentile of the size"
        figure.add_scatter(x=[None], y=[None], mode="lines", line=line, name=name)
    figure.update_layout(margin={"l": 190})
    return figure


def stimulus_curves(frame: pl.DataFrame, styles: Styles | None = None) -> go.Figure | None:
    """The same over layers, a column for each set and a row for each turn; None of a single layer.

    Args:
        frame: as for `stimulus_dots`. The band is that of random directions, the widest of all personas; the encoder's
            effects are broken lines.
        styles: colour and marker per persona.
    """
    probe = frame.filter(pl.col("scorer") == PROBE).drop_nulls("layer").sort("layer", maintain_order=True)
    if probe["layer"].n_unique() < 2:
        return None
    sets, turns = (frame[name].unique(maintain_order=True).to_list() for name in ("set", "turn"))
    figure = make_subplots(
        rows=len(turns),
        cols=len(sets),
        shared_xaxes="all",
        shared_yaxes="rows",
        horizontal_spacing=0.03,
        vertical_spacing=0.06 if len(turns) < 4 else 0.035,
        subplot_titles=[f"<b>{label(name)}</b>" for name in sets],
    )
    height = 130 + 210 * len(turns)
    figure.update_layout(template=template(), height=height, margin={"l": 84, "r": 24, "t": 92, "b": 58})
    figure.update_annotations(font={"size": 13}, yshift=4)
    known = styles or persona_styles(frame["persona"])
    for (name, turn), part in probe.group_by("set", "turn", maintain_order=True):
        cell = {"row": turns.index(turn) + 1, "col": sets.index(name) + 1}
        for trace in _band(part):
            figure.add_trace(trace, **cell)
        words = frame.filter((pl.col("scorer") == ENCODER) & (pl.col("set") == name) & (pl.col("turn") == turn))
        for trace in _lines(part, words, known, legend=cell == {"row": 1, "col": 1}):
            figure.add_trace(trace, **cell)
    for row, turn in enumerate(turns, start=1):
        figure.update_yaxes(title_text=f"<b>{label(turn)}</b><br>{_EFFECT}", row=row, col=1)
    figure.update_xaxes(zeroline=False)
    figure.update_xaxes(title_text="layer (0 = first block)", row=len(turns))
    legend_above(figure)
    return figure


def effect_differences(frame: pl.DataFrame, start: int | None = None, styles: Styles | None = None) -> go.Figure:
    """How the effect under each persona differs from that under the first, starred where both are clear and opposed.

    Args:
        frame: columns set, turn, persona, reference, layer, scorer, d_persona, d_reference, difference, low, high,
            flips, p, q, n.
        start: layer shown at first; by default the first of the table.
        styles: colour and marker per persona.
    """
    sets = frame["set"].unique(maintain_order=True).to_list()
    places = frame.select("turn", "persona").unique(maintain_order=True).sort("turn", maintain_order=True).rows()
    known = styles or persona_styles(frame["persona"])
    rows = [f"{label(turn)}: {label(persona)}" for turn, persona in places]
    panels = [Panel(name, label(name), "difference of effects (sd)") for name in sets]
    figure = panel_columns(panels, rows, _ROW * max(4, len(rows)), legend=True, banded=True)
    first = _first_layer(frame, start)
    up, down = dodge(2, 0.3)
    for row in frame.iter_rows(named=True):
        style, probe = known[row["persona"]], row["scorer"] == PROBE
        at = places.index((row["turn"], row["persona"])) + (up if probe else down)
        marker = {} if probe else {"color": "white", "line": {"color": style.colour, "width": 1.6}}
        hover = (
            f"<b>{label(row['persona'])}</b> minus {label(row['reference'])}, {label(row['scorer']).lower()}<br>"
            f"{number(row['d_persona'])} minus {number(row['d_reference'])}: "
            f"{estimate(row['difference'], row['low'], row['high'])}<br>{probability('q', row['q'])}, n = "
            f"{count(row['n'])}" + ("<br>the two effects have opposite signs" if row["flips"] else "")
        )
        dot = ([row["difference"]], [at], [row["low"]], [row["high"]])
        trace = dot_trace(*dot, style=style, hover=[hover], marker=marker, showlegend=False)
        if row["flips"]:
            trace.update(mode="markers+text", text=["★"], textposition="top center", cliponaxis=False)
        figure.add_trace(trace.update(**_of_layer(row["layer"], first)), row=1, col=sets.index(row["set"]) + 1)
    legend_dots(figure, [("probe", MUTED, "circle", True), ("sentence embeddings", MUTED, "circle", False)])
    figure.update_layout(margin={"l": 190})
    return figure


def _band(part: pl.DataFrame) -> list[go.Scatter]:
    """The widest band of random directions at each layer, to both sides of zero."""
    widest = part.drop_nulls("random_d95").group_by("layer", maintain_order=True).agg(pl.col("random_d95").max())
    if widest.is_empty():
        return []
    at, reach = widest["layer"].to_list(), widest["random_d95"].to_list()
    return [
        go.Scatter(
            x=at + at[::-1],
            y=reach + [-value for value in reach[::-1]],
            fill="toself",
            fillcolor=translucent(CONTROL, 0.22),
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
        )
    ]


def _lines(probe: pl.DataFrame, words: pl.DataFrame, styles: Styles, *, legend: bool) -> list[go.Scatter]:
    traces = []
    ends: Sequence[int] = [probe["layer"].min(), probe["layer"].max()]  # type: ignore[list-item]
    for (persona,), own in probe.group_by("persona", maintain_order=True):
        style = styles[str(persona)]
        traces.append(
            go.Scatter(
                x=own["layer"].to_list(),
                y=column(own, "d_paired"),
                mode="lines+markers",
                line={"color": style.colour, "width": 1.9},
                marker={"color": style.colour, "symbol": style.symbol, "size": 7},
                name=label(str(persona)),
                legendgroup=label(str(persona)),
                showlegend=legend,
                customdata=[_hover(row) for row in own.iter_rows(named=True)],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
        for value in words.filter(pl.col("persona") == persona)["d_paired"].drop_nulls().to_list()[:1]:
            line = {"color": translucent(style.colour, 0.7), "dash": "dash", "width": 1.3}
            shown: dict[str, Any] = {"legendgroup": label(str(persona)), "showlegend": False}
            hover = f"{label(str(persona))}, sentence embeddings: %{{y:.2f}}<extra></extra>"
            traces.append(
                go.Scatter(x=list(ends), y=[value] * 2, mode="lines", line=line, hovertemplate=hover, **shown)
            )
    return traces


def _hover(row: dict[str, Any]) -> str:
    where = "" if row["layer"] is None else f", layer {row['layer']}"
    chance = "" if row["random_d95"] is None else f"<br>random directions, 95th percentile {number(row['random_d95'])}"
    return (
        f"<b>{label(row['set'])}</b>, {label(row['turn']).lower()}, {label(row['persona'])}, "
        f"{label(row['scorer']).lower()}{where}<br>effect {estimate(row['d_paired'], row['low'], row['high'])}, "
        f"{probability('q', row['q'])}{chance}<br>n = {count(row['n'])}"
    )


def _first_layer(frame: pl.DataFrame, start: int | None) -> int | None:
    return start if start is not None else next(iter(frame["layer"].drop_nulls()), None)


def _of_layer(layer: int | None, first: int | None) -> dict[str, Any]:
    """What belongs to no layer is always shown."""
    return {} if layer is None else {"meta": {"layer": layer}, "visible": layer == first}
