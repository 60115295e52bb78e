"""Interviews by every planner: what is known after some questions, and how many different questions that took."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from personascope.report.dots import column, number_with_interval
from personascope.report.outline import Tables
from personascope.report.theme import CONTROL, INK, SERIES, template, translucent
from personascope.report.wording import label, number

_HEIGHT, _BELOW = 430, 128
_LINES = {"random": (CONTROL, "dot"), "fixed": (CONTROL, "dash"), "hindsight": (INK, "longdash")}
"""Baselines and the bound are told apart from planners by colour and dash."""


def identified(tables: Tables) -> go.Figure:
    """Mean log2 posterior of the true person by questions.

    Args:
        tables: "interview_identification" (see `experiments.interview_tables`).
    """
    frame = tables["interview_identification"]
    styles = line_styles(frame)
    figure = empty_panels([""], "questions", "log2 p (true person)")
    for (planner,), part in frame.sort("questions", maintain_order=True).group_by("planner", maintain_order=True):
        hover = [
            f"<b>{label(str(planner))}</b>, {row['questions']} questions<br>log2 p "
            f"{number_with_interval(row['log2_p'], row['low'], row['high'])}<br>median place {number(row['rank'])}, "
            "first "
            f"{number_with_interval(row['top_1'], row['top_1_low'], row['top_1_high'])}<br>n = {row['n']}"
            for row in part.iter_rows(named=True)
        ]
        for trace in curve_traces(part, "questions", "log2_p", styles[str(planner)], str(planner), hover, named=True):
            figure.add_trace(trace, row=1, col=1)
    return figure


def predicted(tables: Tables) -> go.Figure:
    """Error on held-out items by questions, for each model that predicts.

    Args:
        tables: "interview_prediction" (see `experiments.interview_tables`).
    """
    frame = tables["interview_prediction"]
    styles = line_styles(frame)
    predictors = list(frame["predictor"].unique(maintain_order=True))
    figure = empty_panels(
        [f"Predicted by: {label(name).lower()}" for name in predictors], "questions", "error (item sd)"
    )
    groups = frame.sort("questions", maintain_order=True).group_by("predictor", "planner", maintain_order=True)
    for (predictor, planner), part in groups:
        hover = [
            f"<b>{label(str(planner))}</b>, {row['questions']} questions<br>error "
            f"{number_with_interval(row['rmse'], row['low'], row['high'])}<br>{number(row['bits'])} bits an answer"
            f"<br>n = {row['n']}"
            for row in part.iter_rows(named=True)
        ]
        place = predictors.index(str(predictor)) + 1
        curves = curve_traces(part, "questions", "rmse", styles[str(planner)], str(planner), hover, named=place == 1)
        for trace in curves:
            figure.add_trace(trace, row=1, col=place)
    return figure


def asked(tables: Tables) -> go.Figure:
    """Different items at each place.

    Args:
        tables: "interview_questions" (see `experiments.interview_tables`).
    """
    frame = tables["interview_questions"]
    styles = line_styles(frame)
    figure = empty_panels([""], "question", "different items")
    for (planner,), part in frame.sort("question", maintain_order=True).group_by("planner", maintain_order=True):
        hover = [
            f"<b>{label(str(planner))}</b>, question {row['question']}<br>{row['n_items']} items among {row['n']} "
            f"interviews, the most frequent in {number(row['share'])} of them"
            for row in part.iter_rows(named=True)
        ]
        curve = curve_traces(part, "question", "n_items", styles[str(planner)], str(planner), hover, named=True)
        figure.add_trace(curve[-1], row=1, col=1)
    return figure.update_yaxes(rangemode="tozero")


def line_styles(frame: pl.DataFrame) -> dict[str, tuple[str, str]]:
    """Colour and dash of every planner, by name."""
    names = list(frame["planner"].unique(maintain_order=True))
    others = [name for name in names if name not in _LINES]
    own = {name: (SERIES[place % len(SERIES)], "solid") for place, name in enumerate(others)}
    return {name: _LINES.get(name) or own[name] for name in names}


def empty_panels(titles: list[str], x: str, y: str) -> go.Figure:
    """Panels side by side on one vertical scale, with the legend below; a title of "" is none."""
    figure = make_subplots(
        rows=1,
        cols=len(titles),
        shared_yaxes=True,
        horizontal_spacing=0.03,
        subplot_titles=[f"<b>{title}</b>" if title else "" for title in titles],
    )
    figure.update_layout(
        template=template(),
        height=_HEIGHT,
        margin={"l": 76, "r": 24, "t": 34, "b": _BELOW},
        legend={"y": -64 / (_HEIGHT - 34 - _BELOW), "yanchor": "top"},
    )
    figure.update_annotations(font={"size": 13}, yshift=4)
    figure.update_xaxes(title_text=x, zeroline=False)
    figure.update_yaxes(zeroline=False)
    figure.update_yaxes(title_text=y, row=1, col=1)
    return figure


def curve_traces(
    part: pl.DataFrame, x: str, y: str, style: tuple[str, str], planner: str, hover: list[str], *, named: bool
) -> list[go.Scatter]:
    """A line, and below it the band of its interval where there is one."""
    colour, dash = style
    shared: Mapping[str, object] = {"legendgroup": planner, "name": label(planner)}
    line = go.Scatter(
        x=part[x].to_list(),
        y=column(part, y),
        mode="lines+markers",
        line={"color": colour, "dash": dash, "width": 2},
        marker={"size": 5},
        hovertext=hover,
        hoverinfo="text",
        showlegend=named,
        **shared,
    )
    if "low" not in part.columns:
        return [line]
    known = part.drop_nulls(["low", "high"])
    band = go.Scatter(
        x=[*known[x], *known[x][::-1]],
        y=[*column(known, "high"), *column(known, "low")[::-1]],
        fill="toself",
        fillcolor=translucent(colour, 0.12),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        **shared,
    )
    return [band, line]
