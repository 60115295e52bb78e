"""The <select> elements of a section, read off its figures, so that page and figures cannot disagree.

A trace's `meta` says what it shows, e.g. {"layer": 13, "position": "eot"}. Choosing layer 13 shows the traces whose
meta has layer 13 and those that name no layer. In a figure whose layout has meta {"emphasis": true} the others are
dimmed instead of hidden. What is visible at first is what the figure function made visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from personascope.report.wording import pretty

ALL = "*"
_LABELS = {
    "run": "Run",
    "target": "Target",
    "pair_type": "Pairs",
    "facet": "Facet",
    "rubric": "Rubric",
    "asked": "Asked for",
    "persona": "Persona",
    "position": "Position",
    "layers": "Layers",
    "layer": "Layer",
    "coefficient": "Strength",
}


@dataclass(frozen=True)
class Selector:
    """One <select>: element id, key into trace meta, visible label, (value, text) options, value at the start."""

    id: str
    key: str
    label: str
    options: tuple[tuple[str, str], ...]
    initial: str


def selectors_of(section: str, figures: Sequence[go.Figure]) -> tuple[Selector, ...]:
    """Selectors for every meta key with at least two values among the figures' traces.

    When traces of all values are visible at first, the selector starts on "all"; otherwise there is no such option and
    it starts on the first visible value.
    """
    traces = [trace for figure in figures for trace in figure.data if isinstance(trace.meta, dict)]
    found = []
    for key, name in _LABELS.items():
        values = list(dict.fromkeys(trace.meta[key] for trace in traces if key in trace.meta))
        visible = [trace.meta[key] for trace in traces if key in trace.meta and trace.visible is not False]
        if len(values) < 2:
            continue
        values.sort(key=_order)
        options = [(str(value), _shown(key, value)) for value in values]
        everything = set(visible) == set(values)
        if everything:
            options.insert(0, (ALL, f"All {name.lower()}s"))
        found.append(Selector(f"{section}-{key}", key, name, tuple(options), ALL if everything else str(visible[0])))
    return tuple(found)


def _order(value: Any) -> float:
    """Layers by number; names stay as they came (sorting is stable)."""
    return float(value) if isinstance(value, int) else 0.0


def _shown(key: str, value: Any) -> str:
    """Names as words; those of runs are as the user wrote them."""
    return pretty(value) if isinstance(value, str) and key != "run" else str(value)
