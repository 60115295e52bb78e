"""What a push does by layer and strength: maps, amplification and suppression apart, types of pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from personascope.report.dots import Panel, column, dot_trace, panel_columns
from personascope.report.figures_sharing import plain_style
from personascope.report.findings_steering import (
    PROBE,
    RANDOM,
    SWING,
    beside_random,
    by_kind,
    matches,
    named_keys,
    strength,
)
from personascope.report.heatmaps import cell_map, diverging_axis
from personascope.report.layer_grid import LAYER_AXIS
from personascope.report.push_traces import OTHERS, RANDOM_NAME
from personascope.report.rows import legend_above
from personascope.report.theme import CONTROL, POOLED, template
from personascope.report.wording import estimate, label, number

EFFECTS = ("amplification", "suppression", SWING)
TITLES = ("Amplification: + against none", "Suppression: none against −", "Swing: + against −")
_ROW = 26


def effect_maps(frame: pl.DataFrame, start: Mapping[str, Any]) -> go.Figure:
    """Swing of the probe direction at every layer and strength, starred beyond all random ones, beside their largest.

    Args:
        frame: columns persona, target, pair_type, effect, layer, direction, coefficient, value, low, high, n.
        start: persona, target and pair_type shown at first.
    """
    own = named_keys(frame).filter(pl.col("effect") == SWING)
    keys = [key for key in ("persona", "target", "pair_type") if key in own.columns]
    rows = beside_random(own, keys).sort("layer", "coefficient")
    layers, strengths = (rows[name].unique().sort().to_list() for name in ("layer", "coefficient"))
    titles = ["<b>Probe direction</b>", "<b>Largest random direction, size</b>"]
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=titles)
    for values, part in rows.group_by(keys, maintain_order=True):
        meta = dict(zip(keys, values, strict=True))
        cells = {(str(row["layer"]), strength(row["coefficient"])): row for row in part.iter_rows(named=True)}
        hover = {cell: _cell_hover(row) for cell, row in cells.items()}
        won = {cell for cell, row in cells.items() if row["n_random"] and not row["as_much"]}
        for place, (name, marked) in enumerate((("value", won), ("largest_random", set[tuple[str, str]]())), start=1):
            trace = cell_map(
                {cell: row[name] for cell, row in cells.items()},
                [str(layer) for layer in layers],
                [strength(c) for c in strengths],
                hover=hover,
                marked=marked,
                meta=meta,
                visible=matches(meta, start),
            )
            figure.add_trace(trace, row=1, col=place)
    plot = max(150, _ROW * len(layers))
    figure.update_layout(
        template=template(),
        height=plot + 110,
        margin={"l": 76, "r": 24, "t": 46, "b": 64},
        coloraxis=diverging_axis([*rows["value"], *rows["largest_random"]], "swing"),
    )
    figure.update_annotations(font={"size": 13}, yshift=4)
    figure.update_xaxes(type="category", showgrid=False, title_text="strength c of + against −")
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed")
    figure.update_yaxes(title_text=LAYER_AXIS, col=1)
    return figure


def effects_by_layer(frame: pl.DataFrame, start: Mapping[str, Any]) -> go.Figure:
    """Amplification, suppression and their sum over layers, at one strength, before each random direction.

    Args:
        frame: columns of `effect_maps`.
        start: persona, target, pair_type and coefficient (text) shown at first.
    """
    own = named_keys(frame).sort("coefficient", "layer", maintain_order=True)
    keys = [key for key in ("persona", "target", "pair_type") if key in own.columns]
    titles = [f"<b>{title}</b>" for title in TITLES]
    figure = make_subplots(rows=1, cols=3, shared_yaxes=True, horizontal_spacing=0.03, subplot_titles=titles)
    for values, part in own.group_by(*keys, "coefficient", maintain_order=True):
        meta = dict(zip(keys, values[:-1], strict=True)) | {"coefficient": strength(float(str(values[-1])))}
        shown: dict[str, Any] = {"meta": meta, "visible": matches(meta, start)}
        for place, effect in enumerate(EFFECTS, start=1):
            traces = _layer_traces(part.filter(pl.col("effect") == effect), shown | {"showlegend": place == 1})
            figure.add_traces(traces, rows=1, cols=place)
    figure.update_layout(template=template(), height=430, margin={"l": 76, "r": 24, "t": 92, "b": 58}, showlegend=True)
    legend_above(figure)
    figure.update_annotations(font={"size": 13}, yshift=4)
    figure.update_xaxes(title_text=LAYER_AXIS, zeroline=False, tickformat="d")
    figure.update_yaxes(title_text="change of the read-out", col=1)
    return figure


def pair_types(frame: pl.DataFrame, start: Mapping[str, Any]) -> go.Figure | None:
    """The three effects for every type of pair at one layer and strength; None where there is one type only.

    Args:
        frame: columns of `effect_maps`.
        start: persona, target, layer and coefficient (text) shown at first.
    """
    if "pair_type" not in frame.columns or frame["pair_type"].n_unique() < 2:
        return None
    own = named_keys(frame).sort("coefficient", maintain_order=True)
    types = own["pair_type"].unique(maintain_order=True).to_list()
    panels = [Panel(effect, title, "change of the read-out") for effect, title in zip(EFFECTS, TITLES, strict=True)]
    figure = panel_columns(panels, [label(name) for name in types], 44 * max(3, len(types)), legend=True, banded=True)
    keys = [key for key in ("persona", "target", "layer") if key in own.columns]
    for values, part in own.group_by(*keys, "coefficient", maintain_order=True):
        meta = dict(zip(keys, values[:-1], strict=True)) | {"coefficient": strength(float(str(values[-1])))}
        shown: dict[str, Any] = {"meta": meta, "visible": matches(meta, start)}
        for place, effect in enumerate(EFFECTS, start=1):
            cells = part.filter(pl.col("effect") == effect)
            at = [types.index(name) for name in cells["pair_type"]]
            placed = cells.with_columns(_at=pl.Series(at, dtype=pl.Float64))
            traces = dots_beside_random(placed, "value", shown | {"showlegend": place == 1})
            figure.add_traces(traces, rows=1, cols=place)
    figure.update_layout(margin={"l": 150})
    return figure


def dots_beside_random(cells: pl.DataFrame, name: str, common: Mapping[str, Any]) -> list[go.Scatter]:
    """Horizontal dots at the heights in column `_at`: random directions as grey bars behind, the named in front.

    Args:
        cells: columns direction, _at, and `name` with its interval.
        name: of the value.
        common: properties of all traces.
    """
    low, high = ("low", "high") if name == "value" else (f"{name}_low", f"{name}_high")
    traces = []
    kinds = by_kind(cells)
    if (random := kinds.get(RANDOM)) is not None:
        hover = [f"{label(row['direction'])}: {number(row[name])}" for row in random.iter_rows(named=True)]
        traces.append(
            go.Scatter(
                x=column(random, name),
                y=random["_at"].to_list(),
                mode="markers",
                name=RANDOM_NAME,
                marker={"color": CONTROL, "size": 6, "symbol": "line-ns", "line": {"width": 1.4, "color": CONTROL}},
                customdata=hover,
                hovertemplate="%{customdata}<extra></extra>",
                legendgroup=RANDOM_NAME,
                **common,
            )
        )
    for kind, (text, colour, symbol) in (*OTHERS.items(), (PROBE, ("<b>probe direction</b>", POOLED, "circle"))):
        if (own := kinds.get(kind)) is None:
            continue
        said = [f"{text}: {estimate(row[name], row[low], row[high])}" for row in own.iter_rows(named=True)]
        ends = (column(own, name), own["_at"].to_list(), column(own, low), column(own, high))
        traces.append(
            dot_trace(*ends, style=plain_style(colour, symbol), hover=said, name=text, legendgroup=text, **common)
        )
    return traces


def _layer_traces(part: pl.DataFrame, common: Mapping[str, Any]) -> list[go.Scatter]:
    """Every random direction as a small dot, then those that mean something as lines with intervals."""
    traces = []
    kinds = by_kind(part)
    if (random := kinds.get(RANDOM)) is not None:
        traces.append(
            go.Scatter(
                x=random["layer"].to_list(),
                y=column(random, "value"),
                mode="markers",
                name=RANDOM_NAME,
                marker={"color": CONTROL, "size": 5},
                customdata=[label(name) for name in random["direction"]],
                hovertemplate="%{customdata}, layer %{x}: %{y:.3f}<extra></extra>",
                legendgroup=RANDOM_NAME,
                **common,
            )
        )
    for kind, (text, colour, symbol) in (*OTHERS.items(), (PROBE, ("<b>probe direction</b>", POOLED, "circle"))):
        if (own := kinds.get(kind)) is not None:
            line = {"color": colour, "width": 2, "dash": "solid" if kind == PROBE else "dash"}
            traces.append(_line_with_intervals(own, text, line, symbol, common))
    return traces


def _line_with_intervals(
    own: pl.DataFrame, text: str, line: Mapping[str, Any], symbol: str, common: Mapping[str, Any]
) -> go.Scatter:
    values = column(own, "value")

    def arm(end: str, sign: float) -> list[float]:
        pairs = zip(values, column(own, end), strict=True)
        return [0.0 if at is None or to is None else sign * (to - at) for at, to in pairs]

    hover = [
        f"{text}, layer {row['layer']}<br>{estimate(row['value'], row['low'], row['high'])}<br>lowest label mass "
        f"{number(row['label_mass'])}<br>n = {row['n']}"
        for row in own.iter_rows(named=True)
    ]
    bars = {"type": "data", "symmetric": False, "array": arm("high", 1.0), "arrayminus": arm("low", -1.0)}
    return go.Scatter(
        x=own["layer"].to_list(),
        y=values,
        mode="lines+markers",
        name=text,
        legendgroup=text,
        line=line,
        marker={"color": line["color"], "symbol": symbol, "size": 7},
        error_y=bars | {"thickness": 1.3, "width": 0, "color": line["color"]},
        customdata=hover,
        hovertemplate="%{customdata}<extra></extra>",
        **common,
    )


def _cell_hover(row: dict[str, Any]) -> str:
    return (
        f"<b>layer {row['layer']}, strength {number(row['coefficient'])}</b><br>swing "
        f"{estimate(row['value'], row['low'], row['high'])}<br>{row['as_much']} of {row['n_random']} random directions "
        f"do as much, the largest {number(row['largest_random'])}<br>n = {row['n']}"
    )
