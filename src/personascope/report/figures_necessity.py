"""Is the direction needed, and where is the choice carried: removal of subspaces, and residuals of other prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from personascope.report.dots import column
from personascope.report.figures_probes import MATCHED
from personascope.report.findings_steering import PROBE, matches
from personascope.report.layer_grid import LAYER_AXIS
from personascope.report.rows import legend_above
from personascope.report.theme import CONTROL, MUTED, POOLED, SERIES, template
from personascope.report.wording import estimate, label, layer_runs, number

JOINTLY = -1
"""Layer of rows in which all layers are patched together."""
SUBSPACES = {
    "isotropic": ("isotropic random subspaces", CONTROL, "circle"),
    "variance-matched": ("random ones with as much variance", MATCHED, "diamond"),
    "moment-matched": ("random ones with as much mean square", SERIES[3], "square"),
}
MEASURES = {
    "agreement": "Same choice as before",
    "swap_flips": "Task changes with the order",
    "change": "Change of log-odds (nats)",
}
DONORS = {
    "swapped order": ("the same pair, other order", POOLED, "solid", "circle"),
    "unrelated": ("an unrelated prompt", SERIES[5], "solid", "diamond"),
    "own": ("the prompt's own", MUTED, "dot", "circle-open"),
}
TAKEN = {
    "takes donor's task": "Takes the donor's task",
    "takes donor's label": "Takes the donor's label",
    "content flips": "Another task than before",
    "label flips": "Another label than before",
}


def ablation_curves(frame: pl.DataFrame, start: Mapping[str, Any]) -> go.Figure:
    """What is left of choices when directions are taken out, against random subspaces that hold as much.

    Args:
        frame: columns layers, rank, subspace, kind, agreement, swap_flips (both with _low and _high), change,
            variance_ratio, n.
        start: layers (text) shown at first.
    """
    shown = {name: title for name, title in MEASURES.items() if any(value is not None for value in frame[name])}
    titles = [f"<b>{title}</b>" for title in shown.values()]
    figure = make_subplots(rows=1, cols=max(1, len(shown)), horizontal_spacing=0.065, subplot_titles=titles or None)
    ranks = frame["rank"].drop_nulls().unique().sort().to_list()
    for (layers,), part in frame.sort("rank", maintain_order=True).group_by("layers", maintain_order=True):
        meta = {"layers": layer_runs(str(layers))}
        for place, name in enumerate(shown, start=1):
            for trace in _ablation_traces(part, name, ranks):
                trace.update(meta=meta, visible=matches(meta, start), showlegend=place == 1, legendgroup=trace.name)
                figure.add_trace(trace, row=1, col=place)
    _dress(figure, 430)
    ticks = {"tickvals": list(range(len(ranks))), "ticktext": [str(rank) for rank in ranks]}
    figure.update_xaxes(title_text="directions taken out", range=[-0.5, len(ranks) - 0.5], zeroline=False, **ticks)
    for place, name in enumerate(shown, start=1):
        share = name != "change"
        figure.update_yaxes(title_text="share" if share else "nats", row=1, col=place, zeroline=False)
        figure.update_yaxes(rangemode="tozero" if not share else "normal", row=1, col=place)
    return figure


def patching_curves(frame: pl.DataFrame, start: Mapping[str, Any]) -> go.Figure:
    """Rates at which a choice goes over to another prompt's, by patched layer; all layers together as a broken line.

    Args:
        frame: columns where, donor, layer (-1: all together), what, rate, low, high, n, n_pairs.
        start: position shown at first.
    """
    whats = [what for what in TAKEN if what in frame["what"].to_list()] or frame["what"].unique().to_list()
    titles = [f"<b>{TAKEN.get(what, label(what))}</b>" for what in whats]
    figure = make_subplots(rows=1, cols=len(whats), shared_yaxes=True, horizontal_spacing=0.025, subplot_titles=titles)
    layers = frame.filter(pl.col("layer") != JOINTLY)["layer"]
    ends = [float(min(layers, default=0)), float(max(layers, default=1))]
    for (where, donor, what), part in frame.sort("layer", maintain_order=True).group_by(
        "where", "donor", "what", maintain_order=True
    ):
        if what not in whats:
            continue
        meta = {"position": where}
        for trace in _patching_traces(part, str(donor), ends):
            trace.update(meta=meta, visible=matches(meta, start), showlegend=what == whats[0])
            figure.add_trace(trace.update(legendgroup=trace.name), row=1, col=1 + whats.index(what))
    _dress(figure, 440)
    figure.update_xaxes(title_text=LAYER_AXIS, zeroline=False, tickformat="d")
    figure.update_yaxes(range=[-0.04, 1.04], zeroline=False)
    figure.update_yaxes(title_text="share of prompts that can show it", col=1)
    return figure


def _dress(figure: go.Figure, height: int) -> None:
    margin = {"l": 76, "r": 24, "t": 110, "b": 58}
    figure.update_layout(template=template(), height=height, margin=margin, showlegend=True)
    legend_above(figure)
    figure.update_annotations(font={"size": 13}, yshift=4)


def _ablation_traces(part: pl.DataFrame, name: str, ranks: Sequence[int]) -> list[go.Scatter]:
    """Random subspaces as dots beside each other, the probe's as a line with intervals."""
    traces = []
    kinds = [kind for kind in SUBSPACES if kind in part["kind"].to_list()]
    for place, kind in enumerate(kinds, start=1):
        text, colour, symbol = SUBSPACES[kind]
        own = part.filter(pl.col("kind") == kind)
        x = [ranks.index(rank) + 0.13 * place for rank in own["rank"]]
        marker = {"color": colour, "symbol": f"{symbol}-open", "size": 7, "line": {"width": 1.3}}
        dots = go.Scatter(x=x, y=column(own, name), mode="markers", name=text, marker=marker)
        traces.append(dots.update(customdata=_ablation_hovers(own, name, text)))
    probe = part.filter(pl.col("kind") == PROBE)
    if probe.height:
        line = _with_bars(probe, [ranks.index(rank) for rank in probe["rank"]], name, f"{name}_low", f"{name}_high")
        text = "<b>directions of the probe</b>"
        line.update(name=text, line={"color": POOLED, "width": 2.2}, marker={"color": POOLED, "size": 8})
        traces.append(line.update(error_y={"color": POOLED}, customdata=_ablation_hovers(probe, name, text)))
    return [trace.update(hovertemplate="%{customdata}<extra></extra>") for trace in traces]


def _ablation_hovers(own: pl.DataFrame, name: str, text: str) -> list[str]:
    low, high = column(own, f"{name}_low"), column(own, f"{name}_high")
    return [
        f"{text}, {row['rank']} taken out<br>{estimate(row[name], *ends)}<br>variance inside, against the probe's: "
        f"{number(row['variance_ratio'])}<br>n = {row['n']}"
        for row, *ends in zip(own.to_dicts(), low, high, strict=True)
    ]


def _patching_traces(part: pl.DataFrame, donor: str, ends: list[float]) -> list[go.Scatter]:
    text, colour, dash, symbol = DONORS.get(donor, (label(donor), SERIES[4], "solid", "square"))
    each, jointly = part.filter(pl.col("layer") != JOINTLY), part.filter(pl.col("layer") == JOINTLY)
    traces = []
    if each.height:
        line = _with_bars(each, each["layer"].to_list(), "rate", "low", "high")
        line.update(name=text, line={"color": colour, "dash": dash, "width": 2})
        line.update(marker={"color": colour, "symbol": symbol, "size": 7}, error_y={"color": colour})
        hover = [
            f"<b>{text}</b>, layer {row['layer']}<br>{estimate(row['rate'], row['low'], row['high'])}<br>n = "
            f"{row['n']} prompts of {row['n_pairs']} pairs"
            for row in each.iter_rows(named=True)
        ]
        traces.append(line.update(customdata=hover, hovertemplate="%{customdata}<extra></extra>"))
    for row in jointly.drop_nulls("rate").head(1).iter_rows(named=True):
        name = f"{text}: all layers together"
        line = {"color": colour, "dash": "longdash", "width": 1.6}
        about = f"<b>{name}</b><br>{estimate(row['rate'], row['low'], row['high'])}, n = {row['n']}"
        flat = go.Scatter(x=ends, y=[row["rate"]] * 2, mode="lines", name=name, line=line, customdata=[about] * 2)
        traces.append(flat.update(hovertemplate="%{customdata}<extra></extra>"))
    return traces


def _with_bars(own: pl.DataFrame, x: Sequence[Any], value: str, low: str, high: str) -> go.Scatter:
    values = column(own, value)

    def arm(name: str, sign: float) -> list[float]:
        pairs = zip(values, column(own, name), strict=True)
        return [0.0 if at is None or end is None else sign * (end - at) for at, end in pairs]

    bars = {"type": "data", "symmetric": False, "array": arm(high, 1.0), "arrayminus": arm(low, -1.0)}
    return go.Scatter(x=list(x), y=values, mode="lines+markers", error_y=bars | {"thickness": 1.3, "width": 0})
