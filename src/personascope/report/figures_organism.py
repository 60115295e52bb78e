"""What was planted in a model organism and what came back, beside the base model, in which nothing is planted."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl

from personascope.report.dots import Panel, column, dot_trace, panel_columns
from personascope.report.outline import Tables
from personascope.report.theme import CONTROL, INK, POOLED, PersonaStyle
from personascope.report.wording import estimate, label, number, signed

_ROW, _LEFT = 26, 190
_STATES = {"organism": PersonaStyle(POOLED, "circle"), "base": PersonaStyle(CONTROL, "circle-open")}
_PLANTED = PersonaStyle(INK, "line-ns-open")


def recovered(tables: Tables) -> go.Figure:
    """Correlation of what each persona shows with what was planted in it, organism and base.

    Args:
        tables: "planted_recovery" (state, persona, what, r, low, high, slope, n, spread, spread_untaught).
    """
    frame = tables["planted_recovery"]
    rows = list(frame.select("what", "persona").unique(maintain_order=True).sort("what").iter_rows())
    names = [f"{label(persona)}, {label(what).lower()}" for what, persona in rows]
    panel = Panel("r", "Planted and recovered", "r", (-1.05, 1.05))
    figure = panel_columns([panel], names, _ROW * max(4, len(rows)), legend=True, banded=True)
    for state, style in _STATES.items():
        own = frame.filter(pl.col("state") == state)
        at = [rows.index((row["what"], row["persona"])) for row in own.iter_rows(named=True)]
        hover = [
            f"<b>{names[place]}</b>, {state}<br>r {estimate(row['r'], row['low'], row['high'])}<br>recovered per "
            f"planted 1: {number(row['slope'])}<br>n = {row['n']}"
            for place, row in zip(at, own.iter_rows(named=True), strict=True)
        ]
        trace = dot_trace(column(own, "r"), at, column(own, "low"), column(own, "high"), style=style, hover=hover,
                          name=state)  # fmt: skip
        figure.add_trace(trace)
    return figure.update_layout(margin={"l": _LEFT})


def topics(tables: Tables) -> go.Figure:
    """Mean recovered utility of each topic by persona, beside what was planted.

    Args:
        tables: "planted_utilities" (state, persona, task, topic, is_taught, planted, utility).
    """
    frame = tables["planted_utilities"]
    keys = ["state", "persona", "topic", "is_taught"]
    means = frame.group_by(keys, maintain_order=True).agg(
        pl.col("planted").first(), pl.col("utility").mean(), n=pl.len()
    )
    personas = list(frame["persona"].unique(maintain_order=True))
    first = means.filter(pl.col("persona") == personas[0]).unique("topic", maintain_order=True)
    ordered = first.sort("is_taught", "planted", descending=True, maintain_order=True)
    names = list(ordered["topic"])
    shown = [label(row["topic"]) + ("" if row["is_taught"] else " (not taught)") for row in ordered.to_dicts()]
    panels = [Panel("utility", label(persona), "utility (logits)") for persona in personas]
    figure = panel_columns(panels, shown, _ROW * max(4, len(names)), legend=True, banded=True)
    for place, persona in enumerate(personas, start=1):
        own = means.filter(pl.col("persona") == persona)
        for state, style in _STATES.items():
            part = own.filter(pl.col("state") == state)
            _dots(figure, place, part, names, "utility", state, style)
        planted = own.filter("is_taught").unique("topic", maintain_order=True)
        _dots(figure, place, planted, names, "planted", "planted", _PLANTED)
    return figure.update_layout(margin={"l": _LEFT})


def _dots(
    figure: go.Figure, place: int, part: pl.DataFrame, names: list[str], value: str, name: str, style: PersonaStyle
) -> None:
    at = [names.index(topic) for topic in part["topic"]]
    hover = [
        f"<b>{label(row['topic'])}</b>, {label(row['persona'])}, {name}<br>{signed(row[value])}<br>n = {row['n']} tasks"
        for row in part.iter_rows(named=True)
    ]
    none: list[Any] = [None] * part.height
    known: dict[str, Any] = {"name": name, "legendgroup": name, "showlegend": place == 1}
    trace = dot_trace(column(part, value), at, none, none, style=style, hover=hover, **known)
    figure.add_trace(trace, row=1, col=place)
