"""How far a model can be pushed: usable strengths by layer, and the guards that stop them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from personascope.report.dots import column
from personascope.report.figures_layers import norm_curves
from personascope.report.findings_steering import matches
from personascope.report.push_traces import COEFFICIENT
from personascope.report.rows import dodge, dress_named_axis, legend_above
from personascope.report.theme import CONTROL, INK, MUTED, POOLED, SERIES, new_figure, template
from personascope.report.wording import figure_text, label, number

GUARD_NAMES = {
    "perplexity_ratio": "perplexity, times",
    "kl": "KL, nats a token",
    "label_mass": "label mass, share left",
    "repetition": "repetition, more",
}
KIND_NAMES = {
    **dict.fromkeys(("given", "probe"), "probe direction"),
    "isotropic": "random, isotropic",
    "covariance-matched": "random, matched",
}
_COLOURS = {"given": POOLED, "probe": POOLED, "isotropic": CONTROL, "covariance-matched": SERIES[3]}
_ROW = 46


def usable_ranges(frame: pl.DataFrame) -> go.Figure:
    """Strengths up to which no guard stops, for each layer and kind of direction, and what stops the next one.

    Args:
        frame: columns layer, kind, usable (null where the smallest fails), stopped_at (null where none does),
            stopped_by (text).
    """
    layers = frame["layer"].unique().sort().to_list()
    kinds = frame["kind"].unique(maintain_order=True).to_list()
    figure = new_figure(150 + _ROW * max(3, len(layers)), margin={"l": 84, "r": 24, "t": 44, "b": 58}, showlegend=True)
    dress_named_axis(figure, [f"layer {layer}" for layer in layers], banded=True)
    for kind, shift in zip(kinds, dodge(len(kinds), 0.26), strict=True):
        own = frame.filter(pl.col("kind") == kind)
        at = [layers.index(layer) + shift for layer in own["layer"]]
        name, colour = label(KIND_NAMES.get(kind, kind)), _COLOURS.get(kind, SERIES[4])
        x: list[float | None] = []
        y: list[float | None] = []
        for row, height in zip(own.iter_rows(named=True), at, strict=True):
            x += [0.0, row["usable"] or 0.0, None]
            y += [height, height, None]
        line = {"color": colour, "width": 6}
        figure.add_scatter(x=x, y=y, mode="lines", name=f"{name}: usable", line=line, hoverinfo="skip")
        stops = [None if row["stopped_at"] is None else stop_text(row["stopped_by"]) for row in own.to_dicts()]
        figure.add_scatter(
            x=column(own, "stopped_at"),
            y=at,
            mode="markers+text",
            marker={"symbol": "x", "size": 8, "color": colour},
            text=[None if stop is None else figure_text(stop) for stop in stops],
            textposition="middle right",
            textfont={"size": 11, "color": MUTED},
            cliponaxis=False,
            showlegend=False,
            customdata=[figure_text(stop or "") for stop in stops],
            hovertemplate=f"{name}: stopped at %{{x}} by %{{customdata}}<extra></extra>",
        )
    reach = max([*frame["usable"].drop_nulls(), *frame["stopped_at"].drop_nulls()], default=1.0)
    figure.update_xaxes(title_text=f"strength |c|: {COEFFICIENT}", range=[0, 1.28 * reach], zeroline=True)
    return figure


def guard_curves(frame: pl.DataFrame, start: Mapping[str, Any]) -> go.Figure:
    """The worst direction of each kind under every guard, against the coefficient, before the limit.

    Args:
        frame: columns layer, kind, coefficient, guard, median, worst, limit, holds, n.
        start: layer shown at first.
    """
    guards = frame["guard"].unique(maintain_order=True).to_list()
    titles = [f"<b>{label(GUARD_NAMES.get(guard, guard))}</b>" for guard in guards]
    figure = make_subplots(rows=1, cols=len(guards), horizontal_spacing=0.055, subplot_titles=titles)
    named: set[tuple[Any, str]] = set()
    for (layer, kind, guard), part in frame.sort("coefficient", maintain_order=True).group_by(
        "layer", "kind", "guard", maintain_order=True
    ):
        meta = {"layer": layer}
        name, colour = label(KIND_NAMES.get(str(kind), str(kind))), _COLOURS.get(str(kind), SERIES[4])
        marker = {"size": 6, "color": [colour if holds else "white" for holds in part["holds"]]}
        figure.add_scatter(
            x=part["coefficient"].to_list(),
            y=column(part, "worst"),
            mode="lines+markers",
            name=f"{name}, worst",
            legendgroup=name,
            showlegend=(layer, name) not in named,
            line={"color": colour, "width": 1.8},
            marker=marker | {"line": {"color": colour, "width": 1.5}},
            customdata=[_guard_hover(row, name) for row in part.iter_rows(named=True)],
            hovertemplate="%{customdata}<extra></extra>",
            meta=meta,
            visible=matches(meta, start),
            row=1,
            col=1 + guards.index(guard),
        )
        named.add((layer, name))
    for place, guard in enumerate(guards, start=1):
        limits = frame.filter(pl.col("guard") == guard)["limit"].drop_nulls()
        if limits.len():
            line = {"color": INK, "dash": "dash", "width": 1.2}
            figure.add_hline(y=limits[0], line=line, row=1, col=place)
    margin = {"l": 60, "r": 24, "t": 92, "b": 58}
    figure.update_layout(template=template(), height=400, margin=margin, showlegend=True)
    legend_above(figure)
    figure.update_annotations(font={"size": 13}, yshift=4)
    figure.update_xaxes(title_text="coefficient", nticks=5)
    figure.update_yaxes(zeroline=False)
    return figure


def steered_norms(frame: pl.DataFrame) -> go.Figure:
    """Mean length of the residual stream at the steered and the answering tokens.

    Args:
        frame: columns layer, position, mean, sd, n.
    """
    return norm_curves(frame.with_columns(store=pl.lit("prompts")))


def stop_text(stopped_by: str | None) -> str:
    """The guards that stop a push, as words."""
    names = [name.strip() for name in (stopped_by or "").split(",") if name.strip()]
    short = {guard: text.partition(",")[0] for guard, text in GUARD_NAMES.items()}
    return ", ".join(short.get(name, name) for name in names) or "no guard named"


def _guard_hover(row: dict[str, Any], name: str) -> str:
    return (
        f"<b>{name}</b>, layer {row['layer']}, coefficient {number(row['coefficient'])}<br>worst "
        f"{number(row['worst'])}, median {number(row['median'])} of {row['n']}<br>limit {number(row['limit'])}: "
        f"{'holds' if row['holds'] else 'fails'}"
    )
