"""Effects of each facet before and after they are shrunken toward their mean, or adjusted for desirability."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import polars as pl

from personascope.report.dots import column, dot_trace
from personascope.report.rows import FacetRows, contrast_columns, dodge, dress_facet_axis, facet_rows
from personascope.report.theme import MUTED, PersonaStyle, Styles, persona_styles, translucent
from personascope.report.wording import count, estimate, label, number, signed

_FACET_HEIGHT = 27


@dataclass(frozen=True)
class _Estimate:
    """Columns of an estimate and its interval (which need not exist), and what the legend calls it."""

    name: str
    value: str
    low: str = ""
    high: str = ""


def shrunken(
    frame: pl.DataFrame, domains: Mapping[str, str | None] | None = None, styles: Styles | None = None
) -> go.Figure | None:
    """Raw and shrunken effect of each facet, one column per contrast, with the mean they are drawn to.

    Args:
        frame: columns contrast, facet, effect, se, weight, shrunken, low, high, mean, mean_se, tau
            (`measures.shrinkage.shrunken_contrasts`). None without a shrunken effect.
        domains: facet -> domain, to group the facets.
        styles: colour per persona; a contrast has the colour of its first persona.
    """

    def hover(row: dict[str, Any]) -> str:
        return (
            f"raw {signed(row['effect'])} (standard error {number(row['se'])})"
            f"<br>shrunken {estimate(row['shrunken'], row['low'], row['high'])}"
            f"<br>weight of the facet's own items {number(row['weight'])}"
        )

    after = _Estimate("shrunken, 95 % interval", "shrunken", "low", "high")
    pair = (_Estimate("raw difference", "effect"), after)
    return _two_estimates(frame, pair, hover, domains, styles, mean="mean")


def adjusted(
    frame: pl.DataFrame, domains: Mapping[str, str | None] | None = None, styles: Styles | None = None
) -> go.Figure | None:
    """Raw contrast of each facet beside the one adjusted for desirability, one column per contrast.

    Args:
        frame: columns contrast, facet, raw, raw_low, raw_high, adjusted, low, high, n, n_left_out
            (`measures.partial_effects.partial_effects`). None without an adjusted effect.
        domains: facet -> domain, to group the facets.
        styles: colour per persona; a contrast has the colour of its first persona.
    """

    def hover(row: dict[str, Any]) -> str:
        left_out = row["n_left_out"]
        return (
            f"raw {estimate(row['raw'], row['raw_low'], row['raw_high'])}"
            f"<br>adjusted {estimate(row['adjusted'], row['low'], row['high'])}"
            f"<br>items: {count(row['n'])}" + (f" ({left_out} without a rating left out)" if left_out else "")
        )

    pair = (
        _Estimate("raw", "raw", "raw_low", "raw_high"),
        _Estimate("adjusted for desirability", "adjusted", "low", "high"),
    )
    return _two_estimates(frame, pair, hover, domains, styles)


def _two_estimates(
    frame: pl.DataFrame,
    pair: tuple[_Estimate, _Estimate],
    hover: Callable[[dict[str, Any]], str],
    domains: Mapping[str, str | None] | None,
    styles: Styles | None,
    mean: str | None = None,
) -> go.Figure | None:
    """Hollow and filled dot of each facet, joined by a line; where named, the column's mean as a broken line."""
    if frame[pair[1].value].drop_nulls().is_empty():
        return None
    names = frame["contrast"].unique(maintain_order=True).to_list()
    known = styles or persona_styles(name.split(" - ")[0] for name in names)
    rows = facet_rows(frame["facet"].to_list(), domains or {})
    figure = contrast_columns(names, round(150 + _FACET_HEIGHT * max(4.0, rows.bottom)), legend=True)
    for place, name in enumerate(names, start=1):
        part = frame.filter(pl.col("contrast") == name)
        for trace in _pair_traces(part, pair, hover, rows, known[name.split(" - ")[0]]):
            figure.add_trace(trace.update(showlegend=place == 1 and trace.mode == "markers"), row=1, col=place)
        centre = part[mean].drop_nulls().to_list()[:1] if mean else []
        if centre:
            line = {"color": MUTED, "dash": "dash", "width": 1.4}
            shown = {"name": "mean over facets", "legendgroup": "mean", "showlegend": place == 1, "hoverinfo": "skip"}
            ends = {"x": centre * 2, "y": [-0.5, rows.bottom]}
            figure.add_trace(go.Scatter(mode="lines", line=line, **ends, **shown), row=1, col=place)
    dress_facet_axis(figure, rows)
    figure.update_xaxes(title_text="difference in trait", nticks=5, rangemode="tozero")
    return figure


def _pair_traces(
    part: pl.DataFrame,
    pair: tuple[_Estimate, _Estimate],
    hover: Callable[[dict[str, Any]], str],
    rows: FacetRows,
    style: PersonaStyle,
) -> list[go.Scatter]:
    heights = [[rows.places[facet] + shift for facet in part["facet"]] for shift in dodge(2, 0.3)]
    ends = [column(part, one.value) for one in pair]
    joined = {"x": _broken(*ends), "y": _broken(*heights), "hoverinfo": "skip", "legendgroup": pair[1].name}
    line = {"color": translucent(style.colour, 0.45), "width": 1.4}
    traces = [go.Scatter(mode="lines", line=line, name="", **joined)]
    texts = [
        f"<b>{label(row['contrast'])}</b>: {label(row['facet'])}<br>{hover(row)}" for row in part.iter_rows(named=True)
    ]
    for one, x, y, filled in zip(pair, ends, heights, (False, True), strict=True):
        low, high = (column(part, end) for end in (one.low, one.high))
        marker = {"color": style.colour if filled else "white", "line": {"color": style.colour, "width": 1.6}}
        dots = dot_trace(x, y, low, high, style=style, hover=texts, marker=marker)
        traces.append(dots.update(name=one.name, legendgroup=one.name))
    return traces


def _broken(starts: Sequence[float | None], ends: Sequence[float | None]) -> list[float | None]:
    """Points of separate line segments."""
    return [point for start, end in zip(starts, ends, strict=True) for point in (start, end, None)]
