"""How far preferences can be trusted: one row per persona, each number beside its chance and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import plotly.graph_objects as go
import polars as pl

from personascope.report.dots import Panel, column, persona_panels
from personascope.report.outline import Tables
from personascope.report.rows import legend_above
from personascope.report.theme import INK, MUTED, Styles, new_figure, persona_styles
from personascope.report.wording import MISSING, label, number

TRUST = ("preference_retest", "preference_accuracy", "preference_circles", "rating_agreement")
"""Tables that `trust_panels` draws."""
READ_AGAIN = ("written_consistency", "written_agreement")
"""Tables that `written_panels` draws."""
_R = (-1.05, 1.05)
_SHARE = (-0.03, 1.05)
_LEGEND_ROW = 34
_MANY_LINES = 6
_MARKS = (
    ("_chance", "chance", {"symbol": "line-ns-open", "size": 17, "color": MUTED, "line": {"width": 2}}),
    ("_expected", "as the scale expects", {"symbol": "circle-open", "size": 10, "color": INK, "line": {"width": 1.5}}),
)
_OUTCOMES = (
    Panel("first", "Task shown first", "share of answers", _SHARE),
    Panel("second", "Task shown second", "share of answers", _SHARE),
    Panel("refusal", "Refused", "share of answers", _SHARE),
    Panel("other", "Not to be read", "share of answers", _SHARE),
    Panel("truncated", "Cut off", "share of answers", _SHARE),
    Panel("p_first", "First, where it chose", "share of choices", _SHARE),
)
_WRITTEN = (
    Panel("flip_rate", "Flips with order", "share of pairs", _SHARE),
    Panel("again", "Same again", "share of samples", _SHARE),
    Panel("corrected", "As labels prefer", "share of choices", _SHARE),
    Panel("same_order", "As labels in this order", "share of choices", _SHARE),
    Panel("r", "With log-odds", "r over pairs", _R),
)


def trust_panels(tables: Tables, styles: Styles) -> go.Figure | None:
    """Retest over wordings, accuracy on pairs never fitted, circles, and stated ratings; None without a number.

    Args:
        tables: any of TRUST: preference_retest (persona, wording, r, low, high), preference_accuracy (persona,
            accuracy, low, high, chance), preference_circles (persona, cyclic, low, high, expected, chance, excess,
            excess_low, excess_high), rating_agreement (persona, r, low, high).
        styles: colour and marker per persona.
    """
    found, panels = [], []
    if "preference_retest" in tables:
        for (wording,), part in tables["preference_retest"].sort("wording").group_by("wording", maintain_order=True):
            name = f"wording_{wording}"
            found.append(_named(part, name, r="", low="_low", high="_high"))
            panels.append(Panel(name, f"Wording {wording}", "r with wording 1", _R))
    if "preference_accuracy" in tables:
        part = tables["preference_accuracy"]
        found.append(_named(part, "accuracy", accuracy="", low="_low", high="_high", chance="_chance"))
        panels.append(Panel("accuracy", "Pairs never fitted", "share predicted", _SHARE))
    if "preference_circles" in tables:
        part = tables["preference_circles"]
        ends = {"low": "_low", "high": "_high", "chance": "_chance", "expected": "_expected"}
        found.append(_named(part, "circles", cyclic="", **ends))
        found.append(_named(part, "excess", excess="", excess_low="_low", excess_high="_high"))
        panels.append(Panel("circles", "Circles", "share of triads"))
        panels.append(Panel("excess", "Circles, excess", "over what the scale expects"))
    if "rating_agreement" in tables:
        found.append(_named(tables["rating_agreement"], "rated", r="", low="_low", high="_high"))
        panels.append(Panel("rated", "Stated ratings", "r with utilities", _R))
    return _marked_panels(_joined(found), panels, styles)


def written_outcomes(frame: pl.DataFrame, styles: Styles | None = None) -> go.Figure | None:
    """What became of the written answers, and which place the choices went to; None without a share.

    Args:
        frame: columns persona, what, share, low, high (`measures.sampled_choices.sampled_outcomes`).
        styles: colour and marker per persona.
    """
    names = frame["what"].unique(maintain_order=True).to_list()
    parts = [_named(frame.filter(pl.col("what") == name), name, share="", low="_low", high="_high") for name in names]
    wide = _joined(parts).with_columns(p_first_chance=pl.lit(0.5))
    return _marked_panels(wide, _OUTCOMES, styles or persona_styles(wide["persona"]))


def written_panels(tables: Tables, styles: Styles) -> go.Figure | None:
    """Whether written choices are steady, and whether they are what the labels say; None without a number.

    Args:
        tables: any of READ_AGAIN, as `measures.sampled_choices.sample_consistency` and
            `measures.sampled_agreement.agreement_with_log_odds` give them.
        styles: colour and marker per persona.
    """
    found = []
    if "written_consistency" in tables:
        part = tables["written_consistency"]
        found.append(_named(part, "flip_rate", flip_rate="", flip_low="_low", flip_high="_high"))
        found.append(_named(part, "again", agreement="", chance="_chance"))
    if "written_agreement" in tables:
        part = tables["written_agreement"]
        for name in ("corrected", "same_order"):
            ends = {f"agreement_{name}{end}": end for end in ("", "_low", "_high", "_chance")}
            found.append(_named(part, name, **ends))
        found.append(_named(part, "r", r="", r_low="_low", r_high="_high"))
    return _marked_panels(_joined(found), _WRITTEN, styles)


def design_rounds(frame: pl.DataFrame, styles: Styles | None = None) -> go.Figure | None:
    """Rank correlation of the utilities with those of the round before, against the pairs asked; None without any.

    Args:
        frame: columns persona, round, pairs, rank_r.
        styles: colour and marker per persona.
    """
    known = frame.drop_nulls("rank_r").sort("round", maintain_order=True)
    if known.is_empty():
        return None
    return _curves(known, styles, ("pairs", "rank_r"), ("pairs asked", "rank correlation with the round before"))


def sample_curves(frame: pl.DataFrame, styles: Styles | None = None) -> go.Figure | None:
    """How well k samples rank the tasks as the samples left out do; None where one sample was written.

    Args:
        frame: columns persona, k, rank_r_apart, n_subsets (`measures.sampled_agreement.sample_calibration`).
        styles: colour and marker per persona.
    """
    known = frame.drop_nulls("rank_r_apart").sort("k", maintain_order=True)
    if known.is_empty():
        return None
    titles = ("samples of each ordered pair", "rank correlation with the samples left out")
    figure = _curves(known, styles, ("k", "rank_r_apart"), titles)
    figure.update_yaxes(rangemode="tozero")
    return figure.update_xaxes(dtick=1)


def _curves(frame: pl.DataFrame, styles: Styles | None, names: tuple[str, str], titles: tuple[str, str]) -> go.Figure:
    """One line per persona; of many, choosing one on the page dims the others."""
    n = frame["persona"].n_unique()
    many = n > _MANY_LINES
    height = max(470, 100 + 20 * n)  # the legend must not need a scroll bar
    figure = new_figure(height, margin={"l": 76, "r": 220, "t": 24, "b": 58}, showlegend=True)
    if many:
        figure.update_layout(meta={"emphasis": True})
    known = styles or persona_styles(frame["persona"])
    for (persona,), part in frame.group_by("persona", maintain_order=True):
        style, name = known[str(persona)], label(str(persona))
        x, y = (column(part, column_name) for column_name in names)
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines+markers",
            line={"color": style.colour, "width": 1.8},
            marker={"color": style.colour, "symbol": style.symbol, "size": 8},
            name=name,
            customdata=[
                f"<b>{name}</b><br>{titles[0]}: {at}<br>{titles[1]}: {number(value)}"
                for at, value in zip(x, y, strict=True)
            ],
            hovertemplate="%{customdata}<extra></extra>",
            meta={"persona": persona} if many else None,
        )
    figure.update_layout(legend={"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top"})
    figure.update_xaxes(title_text=titles[0], zeroline=False)
    figure.update_yaxes(title_text=titles[1])
    return figure


def _named(part: pl.DataFrame, name: str, **ends: str) -> pl.DataFrame:
    """persona, and `name` + end for each column: one value per persona."""
    columns = [pl.col(old).alias(name + end) for old, end in ends.items()]
    return part.select("persona", *columns).unique("persona", keep="first", maintain_order=True)


def _joined(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """One row for every persona of any part."""
    personas = pl.concat([part.select("persona") for part in parts]).unique(maintain_order=True)
    return reduce(lambda one, other: one.join(other, on="persona", how="left", maintain_order="left"), parts, personas)


def _marked_panels(frame: pl.DataFrame, panels: Sequence[Panel], styles: Styles) -> go.Figure | None:
    """Panels with chance, and what else a number is to be read against, on the rows that have it."""
    shown = [panel for panel in panels if any(value is not None for value in column(frame, panel.column))]
    if not shown:
        return None
    figure = persona_panels(frame, shown, styles).update_traces(showlegend=False)
    named: set[str] = set()
    for end, name, marker in _MARKS:
        for place, panel in enumerate(shown, start=1):
            values = column(frame, panel.column + end)
            if all(value is None for value in values):
                continue
            hover = [
                f"<b>{label(persona)}</b><br>{panel.title}, {name}: {MISSING if value is None else number(value)}"
                for persona, value in zip(frame["persona"], values, strict=True)
            ]
            figure.add_scatter(
                x=values,
                y=list(range(len(values))),
                mode="markers",
                marker=marker,
                name=name,
                legendgroup=name,
                showlegend=name not in named,
                customdata=hover,
                hovertemplate="%{customdata}<extra></extra>",
                row=1,
                col=place,
            )
            named.add(name)
    figure.update_layout(margin={"l": 130})
    if named:
        margin = figure.layout.margin.t + _LEGEND_ROW
        figure.update_layout(height=figure.layout.height + _LEGEND_ROW, margin={"t": margin}, showlegend=True)
        legend_above(figure)
    return figure
