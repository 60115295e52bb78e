"""Preference figures: utilities by topic, their correlation between personas, and how far to trust the choices."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl

from personascope.report.dots import Panel, column, persona_panels
from personascope.report.heatmaps import cell_height, cell_map, diverging_axis, hover_number
from personascope.report.theme import INK, Styles, new_figure, persona_styles, translucent
from personascope.report.wording import label, number, wrapped

_ROW_HEIGHT = 15
_MOST_AT_ONCE = 6
"""More personas than these are shown one at a time, beside the mean of all."""


def utilities_by_topic(frame: pl.DataFrame, styles: Styles | None = None) -> go.Figure:
    """Every task's utility as a dot on its topic's box, per persona; topics by mean utility, the most liked on top.

    Of many personas only the first is visible at the start, with each topic's mean over all of them as a diamond.

    Args:
        frame: columns persona, task, topic, text, utility (logits, zero mean over the pool), se.
        styles: colour per persona.
    """
    order = frame.group_by("topic").agg(pl.col("utility").mean()).sort("utility", "topic", descending=[True, False])
    topics = order["topic"].to_list()
    personas = frame["persona"].unique(maintain_order=True).to_list()
    known = styles or persona_styles(personas)
    one_by_one = len(personas) > _MOST_AT_ONCE
    height = 120 + max(30, 12 + _ROW_HEIGHT * (2 if one_by_one else len(personas))) * len(topics)
    figure = new_figure(height, margin={"l": 160, "r": 28, "t": 52, "b": 58}, boxmode="group", boxgap=0.18)
    for persona in reversed(personas):  # horizontal boxes are stacked from the bottom
        part = frame.filter(pl.col("persona") == persona)
        colour = known[persona].colour
        figure.add_box(
            x=column(part, "utility"),
            y=[label(topic) for topic in part["topic"]],
            orientation="h",
            name=label(persona),
            boxpoints="all",
            pointpos=0,
            jitter=0.35,
            marker={"size": 4.5, "color": translucent(colour, 0.75)},
            line={"color": colour, "width": 1.2},
            fillcolor=translucent(colour, 0.14),
            customdata=[_task_hover(row) for row in part.iter_rows(named=True)],
            hovertemplate="%{customdata}<extra></extra>",
            hoveron="points",
            meta={"persona": persona},
            visible=not one_by_one or persona == personas[0],
        )
    if one_by_one:
        figure.add_trace(_topic_means(order, len(personas)))
    figure.update_yaxes(
        categoryorder="array", categoryarray=[label(topic) for topic in reversed(topics)], zeroline=False
    )
    # of boxes and dots together plotly would take the horizontal axis for one of names
    figure.update_xaxes(title_text="utility (logits, zero mean over the pool)", type="linear")
    figure.update_layout(legend={"traceorder": "reversed"})
    return figure


def utility_correlations(frame: pl.DataFrame) -> go.Figure:
    """Correlation of every two personas' utilities; a star marks intervals that exclude zero.

    Args:
        frame: columns persona_x, persona_y, r, low, high, n, with both triangles.
    """
    personas = frame["persona_x"].unique(maintain_order=True).to_list()
    values, hover, marked = {}, {}, set()
    for row in frame.iter_rows(named=True):
        cell = (row["persona_x"], row["persona_y"])
        values[cell] = row["r"]
        hover[cell] = (
            f"<b>{label(cell[0])}</b> and <b>{label(cell[1])}</b><br>"
            f"{hover_number('r', row['r'], row['low'], row['high'])}<br>{row['n']} tasks"
        )
        if cell[0] != cell[1] and row["low"] is not None and (row["low"] > 0 or row["high"] < 0):
            marked.add(cell)
    figure = new_figure(80 + cell_height(len(personas)), margin={"l": 130, "r": 24, "t": 20, "b": 50})
    figure.add_trace(cell_map(values, personas, personas, hover=hover, marked=marked))
    figure.update_layout(coloraxis=diverging_axis([1.0], "r"))
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False)
    return figure


def choice_quality(frame: pl.DataFrame, styles: Styles | None = None) -> go.Figure:
    """Per persona: position bias beside the spread of preferences, flips, label mass, split-half reliability.

    Args:
        frame: columns persona, order_bias, order_bias_low, order_bias_high, flip_share, label_mass, sd_log_odds,
            split_half, split_half_low, split_half_high, n_pairs.
        styles: colour and marker per persona.
    """
    panels = [
        Panel("order_bias", "Position bias", "logits, + favours the first"),
        Panel("sd_log_odds", "Spread of preferences", "sd of log-odds, logits"),
        Panel("flip_share", "Flips with order", "share of pairs", (-0.03, 1.05)),
        Panel("label_mass", "Label mass", "probability of choosing", (-0.03, 1.05)),
        Panel("split_half", "Split-half", "r, corrected", (-0.35, 1.05)),
    ]
    return persona_panels(frame, panels, styles)


def _topic_means(topics: pl.DataFrame, n_personas: int) -> go.Scatter:
    hover = [
        f"<b>{label(row['topic'])}</b><br>mean over {n_personas} personas {number(row['utility'])}"
        for row in topics.iter_rows(named=True)
    ]
    return go.Scatter(
        x=column(topics, "utility"),
        y=[label(topic) for topic in topics["topic"]],
        mode="markers",
        marker={"symbol": "diamond-open", "size": 11, "color": INK, "line": {"width": 1.6}},
        name=f"mean over {n_personas} personas",
        customdata=hover,
        hovertemplate="%{customdata}<extra></extra>",
    )


def _task_hover(row: dict[str, Any]) -> str:
    return (
        f"{wrapped(row['text'])}<br><b>{label(row['persona'])}</b>, {label(row['topic'])}"
        f"<br>utility {number(row['utility'])}, standard error {number(row['se'])}"
    )
