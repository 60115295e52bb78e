"""Whose preference a probe reads: partial correlations, personas compared where they agree, and diverse training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import polars as pl

from personascope.report.dots import Panel, column, panel_columns
from personascope.report.figures_sharing import Place, legend_dots
from personascope.report.findings_sharing import bias_role
from personascope.report.rows import dodge
from personascope.report.theme import MUTED, POOLED, Styles, new_figure, persona_styles, translucent
from personascope.report.wording import estimate, label, number

_ROW = 46
_PAIR = translucent(MUTED, 0.45)


@dataclass(frozen=True)
class _Point:
    """A pair's value in a row (counted from the top) of a panel, with its hover text."""

    panel: int
    row: int
    value: float
    hover: str


def probe_bias(frame: pl.DataFrame, start: Place | None = None) -> go.Figure:
    """Correlations of transferred predictions with whose utilities: a dot for each ordered pair, and their mean.

    Args:
        frame: columns train, test, third, kind, layer, position, r, low, high, n.
        start: (layer, position) shown at first; by default the first of the table.
    """
    frame = frame.with_columns(role=bias_role())
    order = ["read", "trained", "yardstick", "partial trained", "partial yardstick", "double partial"]
    texts = {
        "read": "raw: the persona it reads",
        "trained": "raw: the persona it was trained on",
        "yardstick": "raw: the persona without a prompt",
        "partial trained": "given the one it reads: trained on",
        "partial yardstick": "given the one it reads: without a prompt",
        "double partial": "given both: any third persona",
    }
    roles = [role for role in order if role in set(frame["role"])]

    def points(part: pl.DataFrame) -> list[_Point]:
        return [
            _Point(
                1,
                roles.index(row["role"]),
                row["r"],
                f"trained on <b>{label(row['train'])}</b>, reads <b>{label(row['test'])}</b>, layer {row['layer']}<br>"
                f"with the utilities of {label(row['third'])}, {label(row['kind']).lower()}: "
                f"{estimate(row['r'], row['low'], row['high'])}<br>n = {row['n']}",
            )
            for row in part.drop_nulls("r").iter_rows(named=True)
        ]

    panel = Panel("r", "Whom the probe's predictions follow", "r with utilities")
    return _strips(frame, [panel], [texts[role] for role in roles], points, start)


def matched_choices(frame: pl.DataFrame, start: Place | None = None) -> go.Figure:
    """Two personas on the same tasks: do differences of scores follow utilities, and what is left where both agree?

    Args:
        frame: columns first, second, direction, layer, position, r, low, high, offset, offset_low, offset_high,
            n_matched, n.
        start: (layer, position) shown at first; by default the first of the table.
    """
    texts = {
        "preference": "preference, of both personas",
        "preference of first": "preference, of one of them",
        "preference of second": "preference, of one of them",
        "identity": "identity of the persona",
    }
    rows = list(dict.fromkeys(texts.get(name, label(name)) for name in frame["direction"]))

    def points(part: pl.DataFrame) -> list[_Point]:
        found = []
        for row in part.iter_rows(named=True):
            at = rows.index(texts.get(row["direction"], label(row["direction"])))
            about = (
                f"<b>{label(row['first'])}</b> and <b>{label(row['second'])}</b>, {label(row['direction']).lower()}, "
                f"layer {row['layer']}<br>r {estimate(row['r'], row['low'], row['high'])}, n = {row['n']}<br>offset "
                f"{estimate(row['offset'], row['offset_low'], row['offset_high'])}, matched n = {row['n_matched']}"
            )
            sizes = (row["r"], None if row["offset"] is None else abs(row["offset"]))
            found += [_Point(place, at, size, about) for place, size in enumerate(sizes, start=1) if size is not None]
        return found

    panels = [
        Panel("r", "Differences follow utilities", "r of differences"),
        Panel("offset", "Apart where both like a task equally", "size of the offset (d)"),
    ]
    return _strips(frame, panels, rows, points, start)


def diversity(frame: pl.DataFrame, start: Place | None = None, styles: Styles | None = None) -> go.Figure:
    """Correlation on a persona never trained on, by how many others the probe was trained on, at one number of rows.

    Args:
        frame: columns test, n_personas, layer, position, r, low, high, utility_r, own_r, n_rows, n_subsets, n.
        start: (layer, position) shown at first; by default the first of the table.
        styles: colour and marker per persona.
    """
    figure = new_figure(400, margin={"l": 76, "r": 290, "t": 24, "b": 58})
    known = styles or persona_styles(frame["test"])
    first = start or (frame["layer"][0], frame["position"][0])
    for (layer, position), part in frame.sort("n_personas", maintain_order=True).group_by(
        "layer", "position", maintain_order=True
    ):
        shown: dict[str, Any] = {"meta": {"layer": layer, "position": position}, "visible": (layer, position) == first}
        for (test,), own in part.group_by("test", maintain_order=True):
            style = known[str(test)]
            hover = [
                f"<b>{label(row['test'])}</b> read by a probe of {row['n_personas']} others, layer {row['layer']}<br>"
                f"r {estimate(row['r'], row['low'], row['high'])}<br>a probe of its own {number(row['own_r'])}, "
                f"utilities alone {number(row['utility_r'])}<br>{row['n_rows']} training rows, "
                f"{row['n_subsets']} subsets, n = {row['n']}"
                for row in own.iter_rows(named=True)
            ]
            figure.add_scatter(
                x=own["n_personas"].to_list(),
                y=column(own, "r"),
                mode="lines+markers",
                name=label(str(test)),
                line={"color": translucent(style.colour, 0.55), "width": 1.3},
                marker={"color": style.colour, "symbol": style.symbol, "size": 7},
                customdata=hover,
                hovertemplate="%{customdata}<extra></extra>",
                **shown,
            )
        lines = (("r", "mean over personas", "solid"), ("own_r", "mean: a probe of its own", "dash"))
        means = part.group_by("n_personas", maintain_order=True).agg(pl.col("r", "own_r", "utility_r").mean())
        for name, text, dash in (*lines, ("utility_r", "mean: utilities alone", "dot")):
            figure.add_scatter(
                x=means["n_personas"].to_list(),
                y=column(means, name),
                mode="lines",
                name=f"<b>{text}</b>",
                line={"color": POOLED if name == "r" else MUTED, "dash": dash, "width": 2.6 if name == "r" else 1.8},
                hovertemplate=f"{text}: %{{y:.2f}}<extra></extra>",
                **shown,
            )
    figure.update_layout(legend={"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top"}, showlegend=True)
    most = int(frame["n_personas"].max() or 1)  # type: ignore[arg-type]
    figure.update_xaxes(title_text="personas trained on", zeroline=False, dtick=max(1, most // 8))
    figure.update_yaxes(title_text="r on a persona not trained on", rangemode="tozero")
    return figure


def _strips(
    frame: pl.DataFrame, panels: Sequence[Panel], rows: Sequence[str], points: Any, start: Place | None
) -> go.Figure:
    """A row of dots for each kind, dodged within it, with a large diamond for their mean."""
    figure = panel_columns(panels, rows, _ROW * max(3, len(rows)), legend=True, banded=True)
    first = start or (frame["layer"][0], frame["position"][0])
    for (layer, position), part in frame.group_by("layer", "position", maintain_order=True):
        found: list[_Point] = points(part)
        shown: dict[str, Any] = {"meta": {"layer": layer, "position": position}, "visible": (layer, position) == first}
        shown |= {"showlegend": False, "hovertemplate": "%{customdata}<extra></extra>", "mode": "markers"}
        for place, _ in enumerate(panels, start=1):
            by_row = {row: [one for one in found if (one.panel, one.row) == (place, row)] for row in range(len(rows))}
            figure.add_trace(_pair_dots(by_row, shown), row=1, col=place)
            figure.add_trace(_mean_dots(by_row, shown, rows), row=1, col=place)
    legend_dots(figure, [("one pair of personas", _PAIR, "circle", True), ("mean over pairs", POOLED, "diamond", True)])
    figure.update_layout(margin={"l": 275})
    return figure


def _pair_dots(by_row: Mapping[int, Sequence[_Point]], shown: Mapping[str, Any]) -> go.Scatter:
    places = [
        (one, row + shift) for row, own in by_row.items() for one, shift in zip(own, _spread(len(own)), strict=True)
    ]
    return go.Scatter(
        x=[one.value for one, _ in places],
        y=[height for _, height in places],
        customdata=[one.hover for one, _ in places],
        marker={"color": _PAIR, "size": 6},
        **shown,
    )


def _mean_dots(by_row: Mapping[int, Sequence[_Point]], shown: Mapping[str, Any], rows: Sequence[str]) -> go.Scatter:
    means = {row: sum(one.value for one in own) / len(own) for row, own in by_row.items() if own}
    return go.Scatter(
        x=list(means.values()),
        y=list(means),
        customdata=[f"<b>{rows[row]}</b><br>mean {number(means[row])} over {len(by_row[row])}" for row in means],
        marker={"color": POOLED, "size": 12, "symbol": "diamond", "line": {"color": "white", "width": 1}},
        zorder=2,
        **shown,
    )


def _spread(n: int) -> list[float]:
    """Heights of so many dots in one row, neighbours far apart."""
    lanes = dodge(min(n, 7), 0.09)
    return [lanes[(3 * index) % len(lanes)] for index in range(n)]
