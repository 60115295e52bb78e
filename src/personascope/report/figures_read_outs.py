"""Figures of other ways of asking: labels, scales and wordings beside the main way, and answers written in words."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl

from personascope.report.dots import Panel, column, dot_trace, panel_columns, persona_panels
from personascope.report.rows import dodge
from personascope.report.theme import Styles, persona_styles
from personascope.report.wording import count, estimate, figure_text, label, number, pretty, signed

VARIANTS = (
    Panel("r", "Correlation", "r over facets with the main way", (-1.08, 1.08)),
    Panel("mean_difference", "Level", "mean trait, this way − main way"),
    Panel("label_mass", "Label mass", "probability on the labels", (-0.03, 1.05)),
)
READ_OUTS = (
    Panel("r", "Correlation", "r over items", (-1.08, 1.08)),
    Panel("mean_difference", "Level", "agreement, expected − written"),
    Panel("value_share", "Ratings", "share of answers", (-0.05, 1.08)),
    Panel("refusal_share", "Refusals", "share of answers", (-0.05, 1.08)),
    Panel("unparsed_share", "Not parsed", "share of answers", (-0.05, 1.08)),
)
_DOT = 15


def variants(frame: pl.DataFrame, styles: Styles | None = None) -> go.Figure | None:
    """Each other way of asking against the main one: correlation and mean difference over facets, and label mass.

    Args:
        frame: columns variant, kind ("persona", "contrast"), profile, r, low, high, mean_difference, n_facets,
            label_mass. None without a number to show.
        styles: colour and marker per persona; a contrast has those of its first persona, hollow.
    """
    shown = [panel for panel in VARIANTS if frame[panel.column].drop_nulls().len()]
    if not shown:
        return None
    ways = frame["variant"].unique(maintain_order=True).to_list()
    profiles = (
        frame.sort(pl.col("kind") == "contrast", maintain_order=True)
        .select("kind", "profile")
        .unique(maintain_order=True)
    )
    known = styles or persona_styles(_first(kind, name) for kind, name in profiles.iter_rows())
    height = max(52, _DOT * (profiles.height + 1)) * len(ways)
    figure = panel_columns(shown, [label(way) for way in ways], height, legend=True, banded=True)
    for (kind, name), shift in zip(profiles.iter_rows(), dodge(profiles.height), strict=True):
        part = frame.filter((pl.col("kind") == kind) & (pl.col("profile") == name))
        style, hover = known[_first(kind, name)], [_variant_hover(row) for row in part.iter_rows(named=True)]
        marker: dict[str, Any] = {}
        if kind == "contrast":
            marker = {"color": "white", "line": {"color": style.colour, "width": 1.6}}
        y = [ways.index(way) + shift for way in part["variant"]]
        for place, panel in enumerate(shown, start=1):
            low, high = ([None] * part.height, [None] * part.height)
            if panel.column == "r":
                low, high = column(part, "low"), column(part, "high")
            trace = dot_trace(column(part, panel.column), y, low, high, style=style, hover=hover, marker=marker)
            trace.update(name=label(name), legendgroup=label(f"{kind}: {name}"), showlegend=place == 1)
            figure.add_trace(trace, row=1, col=place)
    return figure


def read_outs(frame: pl.DataFrame, styles: Styles | None = None) -> go.Figure | None:
    """Each persona's written answers against the expected ones, and how many could be read.

    Args:
        frame: columns read_out, persona, r, low, high, mean_difference (expected - written), difference_low,
            difference_high, value_share, refusal_share, unparsed_share. None without a number to show.
        styles: colour and marker per persona.
    """
    if all(frame[panel.column].drop_nulls().is_empty() for panel in READ_OUTS):
        return None
    ends = {"low": "r_low", "high": "r_high"}
    ends |= {f"difference_{end}": f"mean_difference_{end}" for end in ("low", "high")}
    names = [
        f"{label(row['persona'])}, {figure_text(pretty(row['read_out']).lower())}"
        for row in frame.iter_rows(named=True)
    ]
    return persona_panels(frame.rename(ends), READ_OUTS, styles, names)


def _first(kind: str, profile: str) -> str:
    """The persona that gives a profile its look."""
    return profile.split(" - ")[0] if kind == "contrast" else profile


def _variant_hover(row: dict[str, Any]) -> str:
    mass = "" if row["label_mass"] is None else f"<br>label mass {number(row['label_mass'])}"
    return (
        f"<b>{label(row['profile'])}</b>, {label(row['variant'])}<br>r {estimate(row['r'], row['low'], row['high'])}, "
        f"facets: {count(row['n_facets'])}<br>mean difference {signed(row['mean_difference'])}{mass}"
    )
