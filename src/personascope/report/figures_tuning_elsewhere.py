"""Where else movement shows, and what training did besides: other forms, facets not taught, damage."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl

from personascope.report.dots import Panel, dot_trace, panel_columns
from personascope.report.estimate_marks import ROW, Mark, estimate_panels, left_margin, run_styles
from personascope.report.figures_sharing import plain_style
from personascope.report.findings_tuning import biased, gaps, hover_told, order, run_label, targets
from personascope.report.outline import Tables
from personascope.report.theme import MUTED, POOLED, PersonaStyle
from personascope.report.wording import label, number

_PANELS = (
    Panel("gap_closed", "Gap closed", "share of the gap"),
    Panel("ratio", "Carried over", "of that where taught"),
)
_RATIO = ("ratio", "ratio_low", "ratio_high")
_DAMAGE = (
    ("kl", "KL", "nats a token", 0.0),
    ("perplexity_ratio", "Perplexity", "tuned ÷ base", 1.0),
    ("label_mass", "Label mass", "probability", None),
    ("acquiescence", "Yea-saying", "mean agreement", None),
    ("order_bias", "Order bias", "ratings", None),
    ("entropy", "Entropy", "nats", None),
)
"""Column, title, unit, and what no change is; None where it is the value before training."""


def elsewhere(tables: Tables) -> go.Figure:
    """Gap closed in other forms by the first run, below that on the scale that was taught.

    Args:
        tables: "tuning_transfer" (form, gap_closed, low, high, refused, naive_biased, ratio with ratio_low, ratio_high
            and ratio_refused, n_items) and, for the first row, "tuning_gap".
    """
    frame = tables["tuning_transfer"]
    marks, names = [], []
    if "tuning_gap" in tables:
        row = gaps(tables["tuning_gap"]).row(0, named=True)
        names.append("as it was taught")
        marks.append(_mark(row | {"form": names[0]}, 1, 0, plain_style(MUTED, "square")))
    for row in frame.iter_rows(named=True):
        marks += _both(row, len(names), plain_style(POOLED))
        names.append(label(row["form"]))
    return estimate_panels(_PANELS, names, marks, ends={1: 1.0, 2: 1.0})


def held_out(tables: Tables) -> go.Figure:
    """The same for facets of which a run was taught nothing.

    Args:
        tables: "tuning_held_out" (as "tuning_transfer", with run) and, where it is there, "tuning_runs".
    """
    frame = tables["tuning_held_out"]
    styles = run_styles(list(dict.fromkeys([*targets(tables), *order(frame)])), targets(tables))
    names = [f"{run_label(row['run'])}: {label(row['form']).lower()}" for row in frame.iter_rows(named=True)]
    marks = [mark for at, row in enumerate(frame.iter_rows(named=True)) for mark in _both(row, at, styles[row["run"]])]
    return estimate_panels(_PANELS, names, marks, ends={1: 1.0, 2: 1.0})


def _both(row: dict[str, Any], at: int, style: PersonaStyle) -> list[Mark]:
    name = label(row["form"])
    ratio = f"<b>{name}</b>, by that where it was taught<br>{hover_told(row, _RATIO, 'ratio_refused')}"
    return [
        _mark(row, 1, at, style),
        Mark(2, float(at), row["ratio"], row["ratio_low"], row["ratio_high"], None, style, ratio),
    ]


def _mark(row: dict[str, Any], place: int, at: int, style: PersonaStyle) -> Mark:
    hover = f"<b>{label(row['form'])}</b><br>{hover_told(row)}<br>{biased(row)}<br>n = {row['n_items']}"
    return Mark(place, float(at), row["gap_closed"], row["low"], row["high"], row["naive_biased"], style, hover)


def side_effects(tables: Tables) -> go.Figure:
    """Damage and manner of answering after every run, each beside what no change would be (a line).

    Args:
        tables: "tuning_side_effects" (run, kl, perplexity_ratio, and _before and _after of label_mass, acquiescence,
            order_bias and entropy, n_tokens) and, where it is there, "tuning_runs".
    """
    frame = tables["tuning_side_effects"]
    runs = order(frame)
    styles = run_styles(runs, targets(tables))
    panels = [Panel(name, title, unit) for name, title, unit, _ in _DAMAGE]
    names = [run_label(run) for run in runs]
    figure = panel_columns(panels, names, ROW * max(4, len(runs)), banded=True)
    for place, (name, title, unit, still) in enumerate(_DAMAGE, start=1):
        after = name if name in frame.columns else f"{name}_after"
        base = still if still is not None else _first(frame[f"{name}_before"])
        for at, row in enumerate(frame.iter_rows(named=True)):
            hover = (
                f"<b>{names[at]}</b>, {title.lower()}<br>{number(row[after], 3)} {unit}, untrained {number(base, 3)}"
            )
            trace = dot_trace([row[after]], [at], [None], [None], style=styles[row["run"]], hover=[hover], size=9)
            figure.add_trace(trace, row=1, col=place)
        if base is not None:
            figure.add_vline(x=base, line={"color": MUTED, "width": 1.4, "dash": "dot"}, row=1, col=place)
        known = [value for value in [*frame[after], base] if value is not None] or [0.0]
        low, high = min(known), max(known)
        room = 0.12 * (high - low) or 0.1 * (abs(high) or 1.0)
        figure.update_xaxes(range=[low - room, high + room], nticks=4, exponentformat="none", row=1, col=place)
    return figure.update_layout(margin={"l": left_margin(names)}, showlegend=False)


def _first(values: pl.Series) -> float | None:
    known = values.drop_nulls()
    return float(known[0]) if known.len() else None
