"""Figures of a probe's controls: groups it never saw, what might explain it taken away, and directions removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from personascope.report.dots import column, dot_trace
from personascope.report.figures_probes import band
from personascope.report.findings import best_text
from personascope.report.findings_sweep import split_target
from personascope.report.layer_grid import LAYER_AXIS, add_once, layer_grid
from personascope.report.theme import CONTROL, POOLED, TEXT_BASELINE, PersonaStyle, template, translucent
from personascope.report.wording import estimate, label, number

WHATS = {"pooled": "All rows pooled", "mean over groups": "Mean over groups", "within groups": "Within groups"}
"""Of the ways to sum up left-out groups, those that are drawn over layers."""
_DOT = PersonaStyle(POOLED, "circle")
_RANDOM = "#7a5195"


def left_out_curves(frame: pl.DataFrame) -> go.Figure | None:
    """Groups left out one at a time: r over all rows, on average over groups, and within groups, over layers.

    Args:
        frame: columns target, layer, what, group, metric, value, low, high, n, shuffled_high, text_baseline,
            encoder_baseline, ceiling; accuracies are not drawn.
    """
    own = frame.filter(pl.col("metric") == "r", pl.col("what").is_in(list(WHATS)))
    panels = {
        (label(target), name): part
        for target in own["target"].unique(maintain_order=True)
        for what, name in WHATS.items()
        if (part := own.filter(pl.col("target") == target, pl.col("what") == what)).height
    }
    return layer_grid(panels) if panels else None


def group_dots(frame: pl.DataFrame, layer: int | None = None) -> go.Figure | None:
    """The r inside each group that was left out, at one layer, beside the better text baseline and shuffled labels.

    Args:
        frame: as for `left_out_curves`; rows whose `what` is "group".
        layer: the layer shown at first; by default the first of the table.
    """
    own = frame.filter(pl.col("metric") == "r", pl.col("what") == "group")
    if own.is_empty():
        return None
    start = own["layer"][0] if layer is None else layer
    parts = own.partition_by("target", maintain_order=True)
    most = max(part["group"].n_unique() for part in parts)
    figure = _side_by_side(
        [label(part["target"][0]) for part in parts], height=150 + 24 * max(4, most), spacing=0.2, shared=False
    )
    named: set[str] = set()
    for place, part in enumerate(parts, start=1):
        groups = part["group"].unique(maintain_order=True).to_list()
        for (at,), rows in part.group_by("layer", maintain_order=True):
            traces = [trace.update(meta={"layer": at}, visible=at == start) for trace in _group_traces(rows, groups)]
            add_once(figure, traces, named if at == start else set(), 1, place)
        ticks = {"tickvals": list(range(len(groups))), "ticktext": [label(group) for group in groups]}
        figure.update_yaxes(range=[len(groups) - 0.5, -0.5], zeroline=False, row=1, col=place, **ticks)
    figure.update_xaxes(title_text="r in the group, trained on all others", range=[-1.06, 1.06])
    return figure


def confound_curves(frame: pl.DataFrame) -> go.Figure:
    """Probes with the means of groups or what the text predicts taken away, over layers, and the same controls.

    Args:
        frame: columns of `layer_curves`, with targets such as "utility, text removed".
    """
    parts = split_target(frame).partition_by("of", "without", maintain_order=True)
    return layer_grid({(label(part["of"][0]), label(part["without"][0])): part for part in parts})


def variance_left(frame: pl.DataFrame) -> go.Figure | None:
    """Share of the activations' variance that the text does not predict, over layers.

    Args:
        frame: as for `confound_curves`; rows with `variance_left`.
    """
    known = split_target(frame.drop_nulls("variance_left")).sort("layer", maintain_order=True)
    if known.is_empty():
        return None
    parts = known.partition_by("of", maintain_order=True)
    figure = _side_by_side([label(part["of"][0]) for part in parts], height=300, spacing=0.06)
    for place, part in enumerate(parts, start=1):
        figure.add_scatter(
            x=part["layer"].to_list(),
            y=column(part, "variance_left"),
            mode="lines+markers",
            line={"color": POOLED, "width": 2},
            marker={"size": 5},
            showlegend=False,
            hovertemplate="layer %{x}: %{y:.2f} left<extra></extra>",
            row=1,
            col=place,
        )
    figure.add_hline(y=1.0, line={"color": CONTROL, "dash": "dash", "width": 1.2})
    figure.update_xaxes(title_text=LAYER_AXIS, zeroline=False)
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title_text="share of variance left", col=1)
    figure.update_layout(margin={"b": 60})
    return figure


def removal_curves(frame: pl.DataFrame, layer: int | None = None) -> go.Figure:
    """Held-out r after removing the probe's directions, or random ones, one after another, at one layer.

    Args:
        frame: columns target, layer, step, removed ("probe" or "random"), draw, r, low, high, shuffled_high, n.
        layer: the layer shown at first; by default the first of the table.
    """
    start = frame["layer"][0] if layer is None else layer
    parts = frame.sort("step", maintain_order=True).partition_by("target", maintain_order=True)
    figure = _side_by_side([label(part["target"][0]) for part in parts], height=430, spacing=0.06)
    named: set[str] = set()
    for place, part in enumerate(parts, start=1):
        for (at,), rows in part.group_by("layer", maintain_order=True):
            traces = [trace.update(meta={"layer": at}, visible=at == start) for trace in _removal_traces(rows)]
            add_once(figure, traces, named if at == start else set(), 1, place)
    figure.update_xaxes(title_text="directions removed", zeroline=False, tickformat="d", dtick=_step(frame))
    figure.update_yaxes(title_text="r (held out)", col=1)
    return figure


def marks(x: Sequence[float | None], y: Sequence[Any], name: str, symbol: str, colour: str) -> go.Scatter:
    """What a dot is compared with, as an open mark in its row; `name` is escaped."""
    marker = {"symbol": symbol, "color": colour, "size": 9, "line": {"width": 1.8, "color": colour}}
    return go.Scatter(
        x=x, y=y, mode="markers", name=name, marker=marker, hovertemplate=f"{name}: %{{x:.2f}}<extra></extra>"
    )


def _side_by_side(titles: list[str], *, height: int, spacing: float, shared: bool = True) -> go.Figure:
    figure = make_subplots(
        rows=1,
        cols=len(titles),
        shared_yaxes=shared,
        horizontal_spacing=spacing,
        subplot_titles=[f"<b>{title}</b>" for title in titles],
    )
    margin = {"l": 80, "r": 24, "t": 40, "b": 110}
    legend = {"y": -60 / (height - 150), "yanchor": "top"}
    figure.update_layout(template=template(), height=height, margin=margin, legend=legend)
    figure.update_annotations(font={"size": 13}, yshift=4)
    return figure


def _group_traces(rows: pl.DataFrame, groups: list[str]) -> list[go.Scatter]:
    at = [groups.index(group) for group in rows["group"]]
    dots = dot_trace(
        column(rows, "value"),
        at,
        column(rows, "low"),
        column(rows, "high"),
        style=_DOT,
        hover=[_group_hover(row) for row in rows.iter_rows(named=True)],
        name="<b>probe</b>",
        legendrank=1,
    )
    text = [best_text(row) for row in rows.iter_rows(named=True)]
    return [
        marks(column(rows, "shuffled_high"), at, "shuffled labels, 95th percentile", "line-ns-open", CONTROL),
        marks(text, at, "better of words and encoder", "diamond-open", TEXT_BASELINE),
        dots,
    ]


def _group_hover(row: dict[str, Any]) -> str:
    return (
        f"<b>{label(row['group'])}</b>, layer {row['layer']}<br>r {estimate(row['value'], row['low'], row['high'])}"
        f"<br>shuffled 95th percentile {number(row['shuffled_high'])}<br>words alone {number(row['text_baseline'])}, "
        f"sentence encoder alone {number(row['encoder_baseline'])}<br>n = {row['n']}"
    )


def _removal_traces(rows: pl.DataFrame) -> list[go.Scatter]:
    probe, random = (rows.filter(pl.col("removed") == kind) for kind in ("probe", "random"))
    ends = random.group_by("step", maintain_order=True).agg(
        pl.col("r").mean().alias("mean"), pl.col("r").min().alias("low"), pl.col("r").max().alias("high")
    )
    spread = [trace.update(name="random directions, range") for trace in band(ends, "step", _RANDOM)]
    hover = [
        f"<b>{row['step']} removed</b>, layer {row['layer']}<br>r {estimate(row['r'], row['low'], row['high'])}"
        f"<br>shuffled 95th percentile {number(row['shuffled_high'])}<br>n = {row['n']}"
        for row in probe.iter_rows(named=True)
    ]
    curve = _line(probe, "r", "<b>probe's directions</b>", POOLED, "solid")
    curve.update(mode="lines+markers", marker={"size": 6}, customdata=hover, legendrank=1)
    curve.update(hovertemplate="%{customdata}<extra></extra>")
    random_line = _line(ends, "mean", "random directions, mean", _RANDOM, "dashdot")
    shuffled = _line(probe, "shuffled_high", "shuffled labels, 95th percentile", CONTROL, "dash")
    return [*spread, *band(probe, "step", POOLED), shuffled, random_line, curve]


def _line(rows: pl.DataFrame, name: str, title: str, colour: str, dash: str) -> go.Scatter:
    return go.Scatter(
        x=rows["step"].to_list(),
        y=column(rows, name),
        mode="lines",
        name=title,
        line={"color": colour, "dash": dash, "width": 1.8},
        fillcolor=translucent(colour, 0.16),
        hovertemplate=f"{title}: %{{y:.2f}}<extra></extra>",
    )


def _step(frame: pl.DataFrame) -> int:
    """Whole numbers on the axis of removals, not more than about ten."""
    return 1 + int(frame["step"].to_numpy().max()) // 10
