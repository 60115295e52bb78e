"""Traces of a read-out against the coefficient: the probe direction, directions of other origin, and random ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import polars as pl

from personascope.report.dots import column
from personascope.report.figures_probes import band
from personascope.report.findings_steering import NAMED, PROBE, RANDOM, by_kind
from personascope.report.theme import CONTROL, POOLED, SERIES
from personascope.report.wording import estimate, figure_text, label, number

COEFFICIENT = "coefficient (fraction of the mean residual norm)"
RANDOM_NAME = "random directions"
OTHERS = {
    NAMED[1]: ("own direction", SERIES[2], "square"),
    NAMED[2]: ("direction of another layer", SERIES[5], "diamond"),
}
"""Name, colour and marker of directions that are neither the probe's nor random."""


def push_traces(
    part: pl.DataFrame, read_out: str, common: Mapping[str, Any], seen: set[str] | None = None
) -> list[go.Scatter]:
    """One curve for each direction, from back to front: random ones as one trace of thin lines, others, the probe.

    Args:
        part: columns direction, coefficient, value, low, high, n, label_mass and, where they exist, control,
            outside_usable (such dots are hollow) and past_peak; sorted by coefficient.
        read_out: what `value` is.
        common: properties of all traces, such as `meta`.
        seen: names that the legend has already; those of these curves are added to it.
    """
    names = set[str]() if seen is None else seen

    def shared(name: str) -> dict[str, Any]:
        first = name not in names
        names.add(name)
        return {"name": name, "legendgroup": name, "showlegend": first, **common}

    kinds = by_kind(part)
    traces = [_random_lines(kinds[RANDOM], "value", shared(RANDOM_NAME))] if RANDOM in kinds else []
    for kind, (name, colour, symbol) in OTHERS.items():
        if kind in kinds:
            line = {"color": colour, "width": 1.6, "dash": "dash"}
            traces.append(_curve(kinds[kind], read_out, name, line, {"symbol": symbol, "size": 6}, shared(name)))
    if (probe := kinds.get(PROBE)) is not None:
        traces += [trace.update(**shared(trace.name)) for trace in band(probe, "coefficient", POOLED)]
        line = {"color": POOLED, "width": 2.4}
        front = shared("<b>probe direction</b>") | {"legendrank": 1, "zorder": 2}
        traces.append(_curve(probe, read_out, "probe direction", line, {"size": 7}, front))
    return traces


def mass_traces(part: pl.DataFrame, common: Mapping[str, Any]) -> list[go.Scatter]:
    """Label mass of every direction, in the colours of `push_traces` and without entries in the legend."""
    shared, kinds = {"showlegend": False, **common}, by_kind(part)
    traces = [_random_lines(kinds[RANDOM], "label_mass", shared)] if RANDOM in kinds else []
    lines = {kind: {"color": colour, "width": 1.4} for kind, (_, colour, _) in OTHERS.items()}
    for kind, line in (lines | {PROBE: {"color": POOLED, "width": 2.2}}).items():
        if (own := kinds.get(kind)) is not None:
            x, y = own["coefficient"].to_list(), column(own, "label_mass")
            hover = "label mass %{y:.2f}<extra></extra>"
            traces.append(go.Scatter(x=x, y=y, mode="lines", line=line, hovertemplate=hover, **shared))
    return traces


def _random_lines(own: pl.DataFrame, name: str, common: Mapping[str, Any]) -> go.Scatter:
    """All random directions as one trace of thin lines with gaps between them."""
    x: list[float | None] = []
    y: list[float | None] = []
    which: list[str] = []
    for line in own.partition_by("direction", maintain_order=True):
        x += [*line["coefficient"], None]
        y += [*(None if value is None else round(value, 4) for value in column(line, name)), None]
        which += [label(line["direction"][0])] * (line.height + 1)
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": CONTROL, "width": 1.1},
        customdata=which,
        hovertemplate="%{customdata}: %{y:.3f}<extra></extra>",
        zorder=-1,
        **common,
    )


def _curve(
    part: pl.DataFrame,
    read_out: str,
    name: str,
    line: Mapping[str, Any],
    marker: Mapping[str, Any],
    common: Mapping[str, Any],
) -> go.Scatter:
    """A curve with dots, hollow where the push damages the model."""
    colours = ["white" if damaged else line["color"] for damaged in column(part, "outside_usable")]
    return go.Scatter(
        x=part["coefficient"].to_list(),
        y=column(part, "value"),
        mode="lines+markers",
        line=line,
        marker={**marker, "color": colours, "line": {"width": 1.6, "color": line["color"]}},
        customdata=[_hover(row, read_out, f"<b>{name}</b>") for row in part.iter_rows(named=True)],
        hovertemplate="%{customdata}<extra></extra>",
        **common,
    )


def _hover(row: dict[str, Any], read_out: str, name: str) -> str:
    lines = [
        f"{name}, coefficient {number(row['coefficient'])}",
        f"{figure_text(read_out)} {estimate(row['value'], row['low'], row['high'])}",
        f"label mass {number(row['label_mass'])}" if row.get("label_mass") is not None else "",
        f"n = {row['n']}",
        "outside the usable range" if row.get("outside_usable") else "",
        "past the peak of the curve" if row.get("past_peak") else "",
    ]
    return "<br>".join(line for line in lines if line)
