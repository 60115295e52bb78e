"""Where training moved the residual stream: its shift against directions, other runs and the span of the facets."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl

from personascope.report.dots import Panel, column, dot_trace, panel_columns
from personascope.report.estimate_marks import ROW, left_margin, run_styles
from personascope.report.figures_sharing import legend_dots
from personascope.report.figures_tuning_ideal import run_map
from personascope.report.findings_tuning import order, run_label, targets
from personascope.report.outline import Tables
from personascope.report.rows import dodge
from personascope.report.theme import CONTROL, INK, SERIES, translucent
from personascope.report.wording import label, number, probability

RANDOM_KINDS = {"isotropic": SERIES[4], "variance-matched": SERIES[7], "moment-matched": SERIES[3]}


def shift_cosines(tables: Tables) -> go.Figure | None:
    """Cosine of every run's shift with each direction, over layers; shaded: where 95 % of random directions lie.

    Args:
        tables: "tuning_shift" (run, other, kind, layer, cosine, null_high, length, halves, n) and, where it is there,
            "tuning_runs". None without a direction.
    """
    frame = tables["tuning_shift"].filter(pl.col("kind") == "direction").sort("layer", maintain_order=True)
    if frame.is_empty():
        return None
    names, runs = order(frame, "other"), order(tables["tuning_shift"])
    styles = run_styles(runs, targets(tables))
    layers = frame["layer"].unique().sort().to_list()
    figure = panel_columns(
        [Panel(name, label(name), "layer (0 = first block)") for name in names], [], 300, legend=True
    )
    for place, name in enumerate(names, start=1):
        part = frame.filter(pl.col("other") == name)
        highest = part.group_by("layer").agg(pl.col("null_high").max()).sort("layer")
        ends = [abs(value) if value is not None else None for value in highest["null_high"]]
        at = highest["layer"].to_list()
        for value, fill in ((ends, None), ([None if end is None else -end for end in ends], "tonexty")):
            figure.add_scatter(
                x=at,
                y=value,
                mode="lines",
                line={"width": 0 if len(layers) > 1 else 8, "color": CONTROL},
                fill=fill,
                fillcolor=translucent(CONTROL, 0.28),
                hoverinfo="skip",
                showlegend=False,
                row=1,
                col=place,
            )
        for number_of, run in enumerate(runs):
            own = part.filter(pl.col("run") == run)
            figure.add_scatter(
                x=own["layer"].to_list(),
                y=column(own, "cosine"),
                mode="lines+markers",
                name=run_label(run),
                legendgroup=run_label(run),
                showlegend=place == 1,
                line={"color": styles[run].colour, "width": 2.4 if number_of == 0 else 1.2},
                marker={"color": styles[run].colour, "symbol": styles[run].symbol, "size": 9 if number_of == 0 else 7},
                customdata=[
                    f"random 95th percentile {number(row['null_high'])}<br>its halves agree {number(row['halves'])}, "
                    f"length {number(row['length'])} of the mean norm, n = {row['n']} items"
                    for row in own.iter_rows(named=True)
                ],
                hovertemplate=f"<b>{run_label(run)}</b>, layer %{{x}}: %{{y:.2f}}<br>%{{customdata}}<extra></extra>",
                row=1,
                col=place,
            )
    figure.update_xaxes(zeroline=False, rangemode="normal", tickvals=layers)
    figure.update_yaxes(range=[-1.05, 1.05])
    figure.update_yaxes(title_text="cosine with training's shift", row=1, col=1)
    return _legend_in_rows(figure, [run_label(run) for run in runs])


def _legend_in_rows(figure: go.Figure, names: list[str]) -> go.Figure:
    """Room above the titles for a legend of as many rows as its names need."""
    rows = -(-sum(46 + 7 * len(name) for name in names) // 1000)
    more = 20 * (rows - 1)
    top = figure.layout.margin.t + more
    return figure.update_layout(height=figure.layout.height + more, margin={"l": 76, "t": top})


def run_cosines(tables: Tables) -> go.Figure | None:
    """Cosines of the runs' shifts at each layer; a star marks those beyond the 95th percentile of random directions.

    Args:
        tables: "tuning_shift", as for `shift_cosines`. None of a single run.
    """
    frame = tables["tuning_shift"].filter(pl.col("kind") == "run")
    if frame.is_empty():
        return None
    layers = frame["layer"].unique().sort().to_list()
    figure: go.Figure | None = None
    for layer in layers:
        part = frame.filter(pl.col("layer") == layer)
        shown = {"visible": layer == layers[len(layers) // 2]}
        shown |= {"meta": {"layer": layer}} if len(layers) > 1 else {}
        own = run_map(part, "cosine", "cosine", lambda _: (None, None), **shown)
        _star(own.data[0], part)
        if figure is None:
            figure = own
        else:
            figure.add_trace(own.data[0])
    return figure


def _star(trace: go.Heatmap, part: pl.DataFrame) -> None:
    """Mark cells beyond the null, and say it in their boxes."""
    names = list(dict.fromkeys([*order(part), *part["other"]]))
    text, boxes = [list(row) for row in trace.text], [list(row) for row in trace.customdata]
    for row in part.iter_rows(named=True):
        at, to = names.index(row["run"]), names.index(row["other"])
        boxes[at][to] += f"<br>random 95th percentile {number(row['null_high'])}"
        if row["cosine"] is not None and row["null_high"] is not None and abs(row["cosine"]) > row["null_high"]:
            text[at][to] = f"<b>{text[at][to]} ★</b>"
    trace.update(text=text, customdata=boxes)


def facet_span(tables: Tables) -> go.Figure:
    """Share of every run's shift in the span of the facets' directions, and of random spans of the same rank.

    Args:
        tables: "tuning_subspace" (run, layer, rank, share, kind, random_mean, random_high, p) and, where it is there,
            "tuning_runs". A panel for each layer.
    """
    frame = tables["tuning_subspace"]
    runs, layers = order(frame), frame["layer"].unique().sort().to_list()
    styles, names = run_styles(runs, targets(tables)), [run_label(run) for run in runs]
    panels = [Panel(str(layer), f"Layer {layer}", "share of the shift's squared length") for layer in layers]
    figure = panel_columns(panels, names, ROW * max(4, len(runs)), legend=True, banded=True)
    shifts = dict(zip(RANDOM_KINDS, dodge(len(RANDOM_KINDS), 0.24), strict=True))
    for row in frame.iter_rows(named=True):
        at, place = runs.index(row["run"]), layers.index(row["layer"]) + 1
        colour = RANDOM_KINDS.get(row["kind"], CONTROL)
        line = {"color": colour, "width": 4}
        height = [at + shifts.get(row["kind"], 0.0)] * 2
        said = (
            f"{label(row['kind'])} spans: mean {number(row['random_mean'])}, 95th percentile "
            f"{number(row['random_high'])}, {probability('p', row['p'])}"
        )
        ends = [row["random_mean"], row["random_high"]]
        bar = go.Scatter(x=ends, y=height, mode="lines", line=line, hovertemplate=f"{said}<extra></extra>")
        figure.add_trace(bar.update(showlegend=False), row=1, col=place)
    for row in frame.unique(["run", "layer"], keep="first", maintain_order=True).iter_rows(named=True):
        at, place = runs.index(row["run"]), layers.index(row["layer"]) + 1
        hover = f"<b>{names[at]}</b>, layer {row['layer']}: {number(row['share'])} in the span of {row['rank']}"
        trace = dot_trace([row["share"]], [at], [None], [None], style=styles[row["run"]], hover=[hover], size=10)
        figure.add_trace(trace.update(showlegend=False), row=1, col=place)
    known = [value for name in ("share", "random_high") for value in frame[name].drop_nulls()]
    figure.update_xaxes(range=[0, 1.06 * max(known, default=1.0)])
    spans = [(f"{kind} spans, mean to 95 %", colour, "line-ew-open", True) for kind, colour in RANDOM_KINDS.items()]
    legend_dots(figure, [("training's shift", INK, "circle", True), *spans])
    return figure.update_layout(margin={"l": left_margin(names)})
