"""Estimates that can be refused, run by run: the value with its interval, beside it the plain slope as what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from personascope.report.dots import Panel, dot_trace, panel_columns
from personascope.report.figures_sharing import legend_dots
from personascope.report.findings_tuning import LESSONS, TAUGHT
from personascope.report.theme import CONTROL, INK, MUTED, SERIES, PersonaStyle, persona_styles

ROW = 30
_VARIANTS = ("diamond", "triangle-up", "triangle-down", "hexagon2", "star", "pentagon", "bowtie", "hourglass")
"""Markers of runs that were taught the same."""
_LETTER, _MARGIN = 7.4, 34


@dataclass(frozen=True)
class Mark:
    """One estimate: in which panel (from 1), at which height, with what interval, and what stands beside it.

    Args:
        panel: from 1.
        at: height.
        value: None where it is refused.
        low: of its interval.
        high: of its interval.
        plain: the biased estimate, or None where there is none.
        style: colour and marker.
        hover: escaped.
    """

    panel: int
    at: float
    value: float | None
    low: float | None
    high: float | None
    plain: float | None
    style: PersonaStyle
    hover: str


def run_styles(runs: Sequence[str], targets: Mapping[str, str]) -> dict[str, PersonaStyle]:
    """Runs have the colour of the persona whose answers they were taught; those of one lesson differ by marker."""
    base = persona_styles(LESSONS)
    base |= {"shuffled": PersonaStyle(MUTED, "x"), "opposite": PersonaStyle("#d55e00", "triangle-down")}
    found: dict[str, PersonaStyle] = {}
    seen: dict[str, int] = {}
    for place, run in enumerate(runs):
        lesson = targets.get(run, "")
        turn = seen[lesson] = seen.get(lesson, -1) + 1
        own = base.get(lesson, PersonaStyle(SERIES[place % len(SERIES)], "circle"))
        varied = lesson == TAUGHT or turn or lesson not in base
        found[run] = PersonaStyle(own.colour, _VARIANTS[turn % len(_VARIANTS)]) if varied else own
    return found


def left_margin(names: Sequence[str]) -> int:
    """Pixels that the names of rows need."""
    return int(_MARGIN + _LETTER * max([10, *map(len, names)]))


def estimate_panels(
    panels: Sequence[Panel],
    names: Sequence[str],
    marks: Sequence[Mark],
    *,
    plain: str = "plain slope (biased)",
    ends: Mapping[int, float] | None = None,
    shared: bool = False,
) -> go.Figure:
    """Panels of estimates with one row for each name.

    Args:
        panels: from left to right.
        names: of rows, escaped.
        marks: what is drawn; one without a value shows the plain estimate and the word "refused".
        plain: what the biased estimate is called.
        ends: by panel, where the goal stands: a broken line.
        shared: whether all panels have one horizontal range.
    """
    figure = panel_columns(panels, names, ROW * max(4, len(names)), legend=True, banded=True)
    for mark in marks:
        if mark.plain is not None or mark.value is None:
            figure.add_trace(_plain(mark), row=1, col=mark.panel)
        value = ([mark.value], [mark.at], [mark.low], [mark.high])
        trace = dot_trace(*value, style=mark.style, hover=[mark.hover], size=9, showlegend=False)
        figure.add_trace(trace, row=1, col=mark.panel)
    for panel, goal in (ends or {}).items():
        figure.add_vline(x=goal, line={"color": INK, "width": 1, "dash": "dash"}, row=1, col=panel)
    for panel in range(1, len(panels) + 1):
        own = [mark for mark in marks if shared or mark.panel == panel]
        if panels[panel - 1].bounds is None:
            figure.update_xaxes(range=_range(own, (ends or {}).get(panel)), row=1, col=panel)
    entries = [("estimate, 95 % interval", INK, "circle", True)]
    if any(mark.plain is not None for mark in marks):
        entries.append((plain, CONTROL, "circle", False))
    legend_dots(figure, entries)
    return figure.update_layout(margin={"l": left_margin(names)})


def _plain(mark: Mark) -> go.Scatter:
    """The open grey mark of a biased estimate; a refused one is called so beside it."""
    refused = mark.value is None
    return go.Scatter(
        x=[0.0 if mark.plain is None else mark.plain],
        y=[mark.at],
        mode="markers+text" if refused else "markers",
        marker={
            "symbol": "circle-open",
            "size": 8,
            "color": CONTROL,
            "line": {"width": 1.6, "color": CONTROL},
            "opacity": 0 if mark.plain is None else 1,
        },
        text=["  refused"] if refused else None,
        textposition="middle right",
        textfont={"size": 11, "color": MUTED},
        customdata=[mark.hover],
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )


def _range(marks: Sequence[Mark], goal: float | None) -> list[Any] | None:
    """From the lowest to the highest mark, with 0 and the goal, and room for the word beside a refused one."""
    values = [0.0, *(mark.value for mark in marks), *(mark.plain for mark in marks), goal]
    values += [end for mark in marks if mark.value is not None for end in (mark.low, mark.high)]
    known = [value for value in values if value is not None]
    low, high = min(known), max(known)
    width = (high - low) or 1.0
    refused = any(mark.value is None for mark in marks)
    return [low - 0.06 * width, high + (0.42 if refused else 0.06) * width]
