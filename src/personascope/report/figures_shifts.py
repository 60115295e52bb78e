"""Does the probe follow when a prompt moves preferences: both shifts, their correlations, and whether prompts work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from personascope.report.dots import Panel, column, dot_trace, panel_columns
from personascope.report.figures_sharing import legend_dots
from personascope.report.findings_sharing import ENCODER, PROBE, RANDOM
from personascope.report.rows import dodge, legend_above
from personascope.report.theme import CONTROL, INK, MUTED, POOLED, SERIES, TEXT_BASELINE, PersonaStyle, template
from personascope.report.wording import estimate, label, number, probability

SETS = {"all": "All tasks", "on_target": "On target", "off_target": "Off target", "opposed": "Pulled both ways"}
CONTRASTS = ("directed", "toward", "away", "mention", "toward - mention", "mention - away")
MOST_DOTS = 400
"""Cells off target, or of another kind, that a scatter plot draws at one layer."""
_CELLS = (
    ("off target", CONTROL, "circle", 4, 0.35),
    ("pulled both ways", SERIES[6], "x", 6, 0.6),
    ("mentioned only", SERIES[1], "square-open", 6, 0.8),
    ("meant to fall", SERIES[5], "triangle-down", 7, 0.8),
    ("meant to rise", SERIES[0], "triangle-up", 7, 0.8),
)
_CHOICE = PersonaStyle(INK, "diamond")
_SCORERS = {
    PROBE: PersonaStyle(POOLED, "circle"),
    ENCODER: PersonaStyle(TEXT_BASELINE, "square"),
    RANDOM: PersonaStyle(CONTROL, "x"),
}
_NAMES = {PROBE: "probe", ENCODER: "sentence embeddings", RANDOM: "random directions"}


def shift_scatter(frame: pl.DataFrame, start: int | None = None) -> go.Figure:
    """Shift of the score against shift of the choice, a column for each design; above the probe, below the encoder.

    Args:
        frame: columns design, condition, task, role, sign, polarity, scorer, choice_shift, score_shift, layer. Of each
            kind of cell but those on target at most MOST_DOTS are drawn, taken evenly; the encoder, which has no
            layers, is drawn once.
        start: layer shown at first; by default the first of the table.
    """
    designs = frame["design"].unique(maintain_order=True).to_list()
    scorers = [name for name in (PROBE, ENCODER) if name in frame["scorer"]] or [PROBE]
    figure = make_subplots(
        rows=len(scorers),
        cols=len(designs),
        shared_xaxes="columns",
        shared_yaxes="rows",
        horizontal_spacing=0.025,
        vertical_spacing=0.06,
        subplot_titles=[f"<b>{label(name)}</b>" for name in designs],
    )
    height = 120 + 290 * len(scorers)
    figure.update_layout(template=template(), height=height, margin={"l": 76, "r": 24, "t": 92, "b": 58})
    figure.update_annotations(font={"size": 13}, yshift=4)
    first, drawn = frame["layer"][0] if start is None else start, set()
    for row, scorer in enumerate(scorers, start=1):
        own = frame.filter(pl.col("scorer") == scorer)
        own = own if scorer == PROBE else own.filter(pl.col("layer") == frame["layer"][0])
        for (design, layer), part in own.group_by("design", "layer", maintain_order=True):
            shown = {"meta": {"layer": layer}, "visible": layer == first} if scorer == PROBE else {}
            for trace in _cells(part, shown):
                drawn |= {trace.name} if trace.x else set()
                figure.add_trace(trace, row=row, col=designs.index(design) + 1)
        figure.update_yaxes(title_text=f"shift of the score<br>({_NAMES[scorer]})", row=row, col=1)
    legend_dots(
        figure, [(name, colour, symbol, True) for name, colour, symbol, *_ in reversed(_CELLS) if name in drawn]
    )
    figure.update_xaxes(title_text="shift of the choice (logits)", row=len(scorers))
    figure.update_xaxes(nticks=6)
    legend_above(figure)
    return figure


def shift_correlations(frame: pl.DataFrame, start: int | None = None) -> go.Figure:
    """Pearson's r of both shifts over all cells, on and off target: probe, encoder and each random direction.

    Args:
        frame: columns design, scorer, cells, statistic, value, low, high, p, p_within, null_mean, difference,
            difference_low, difference_high, n, layer.
        start: layer shown at first; by default the first of the table.
    """
    designs = frame["design"].unique(maintain_order=True).to_list()
    sets = [name for name in SETS if name in frame["cells"]] or ["all"]
    panels = [Panel(name, SETS[name], "r of both shifts", (-1.05, 1.05)) for name in sets]
    figure = panel_columns(
        panels, [label(name) for name in designs], 62 * max(3, len(designs)), legend=True, banded=True
    )
    first = frame["layer"][0] if start is None else start
    heights = dict(zip(_SCORERS, dodge(3, 0.22), strict=True))
    pearson = frame.filter(pl.col("statistic") == "pearson")
    for row in pearson.iter_rows(named=True):
        kind = kind_of(row["scorer"])
        if row["cells"] not in sets or kind is None or (kind == ENCODER and row["layer"] != frame["layer"][0]):
            continue
        shown = {} if kind == ENCODER else {"meta": {"layer": row["layer"]}, "visible": row["layer"] == first}
        low, high = (None, None) if kind == RANDOM else (row["low"], row["high"])
        height = designs.index(row["design"]) + heights[kind]
        trace = dot_trace([row["value"]], [height], [low], [high], style=_SCORERS[kind], hover=[_r_hover(row)])
        figure.add_trace(trace.update(showlegend=False, **shown), row=1, col=sets.index(row["cells"]) + 1)
    legend_dots(figure, [(_NAMES[kind], style.colour, style.symbol, True) for kind, style in _SCORERS.items()])
    figure.update_layout(margin={"l": 120})
    return figure


def shift_curves(frame: pl.DataFrame) -> go.Figure | None:
    """The same over layers: the probe by design, encoder (broken) and largest random direction (dotted); None of one.

    Args:
        frame: as for `shift_correlations`.
    """
    if frame["layer"].n_unique() < 2:
        return None
    designs = frame["design"].unique(maintain_order=True).to_list()
    sets = [name for name in SETS if name in frame["cells"]] or ["all"]
    panels = [Panel(name, SETS[name], "layer (0 = first block)") for name in sets]
    figure = panel_columns(panels, [], 270, legend=True)
    known = frame.filter(pl.col("statistic") == "pearson").sort("layer", maintain_order=True)
    random = known.filter(pl.col("scorer").str.starts_with(RANDOM)).with_columns(pl.col("value").abs())
    random = random.group_by("layer", "cells", "design", maintain_order=True).agg(pl.col("value").max())
    for place, cells in enumerate(sets, start=1):
        for number_of, design in enumerate(designs):
            colour = SERIES[number_of % len(SERIES)]
            kept = (pl.col("cells") == cells) & (pl.col("design") == design)
            parts = {name: known.filter(kept & (pl.col("scorer") == name)) for name in (PROBE, ENCODER)}
            for kind, part in (*parts.items(), (RANDOM, random.filter(kept))):
                if part.is_empty():
                    continue
                line = {"color": colour, "width": 2.2 if kind == PROBE else 1.3}
                line["dash"] = {PROBE: "solid", ENCODER: "dash", RANDOM: "dot"}[kind]
                figure.add_scatter(
                    x=part["layer"].to_list(),
                    y=column(part, "value"),
                    mode="lines+markers" if kind == PROBE else "lines",
                    line=line,
                    marker={"color": colour, "size": 6},
                    name=label(design),
                    legendgroup=label(design),
                    showlegend=kind == PROBE and place == 1,
                    hovertemplate=f"{label(design)}, {_NAMES[kind]}, layer %{{x}}: %{{y:.2f}}<extra></extra>",
                    row=1,
                    col=place,
                )
    figure.update_xaxes(zeroline=False, rangemode="normal")
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title_text="r of both shifts", col=1)
    figure.update_layout(margin={"l": 76})
    return figure


def target_shifts(frame: pl.DataFrame, start: int | None = None) -> go.Figure:
    """The manipulation check: mean shift on target by contrast, in standard deviations of all shifts of the measure.

    Args:
        frame: columns design, measure, contrast, mean, low, high, standardised, p, n, layer. Random directions are left
            out; choice and encoder, which have no layers, are drawn once.
        start: layer shown at first; by default the first of the table.
    """
    designs = frame["design"].unique(maintain_order=True).to_list()
    contrasts = [name for name in CONTRASTS if name in frame["contrast"]]
    panels = [Panel(name, label(name), "mean shift (sd)") for name in designs]
    figure = panel_columns(
        panels, [label(name) for name in contrasts], 50 * max(3, len(contrasts)), legend=True, banded=True
    )
    styles = {"choice": _CHOICE, PROBE: _SCORERS[PROBE], ENCODER: _SCORERS[ENCODER]}
    heights = dict(zip(styles, dodge(3, 0.22), strict=True))
    first = frame["layer"][0] if start is None else start
    for row in frame.iter_rows(named=True):
        measure, once = row["measure"], row["measure"] != PROBE
        if measure not in styles or row["contrast"] not in contrasts or (once and row["layer"] != frame["layer"][0]):
            continue
        value, low, high = _standardised(row)
        hover = (
            f"<b>{label(row['design'])}</b>: {label(row['contrast']).lower()}, {measure}<br>mean "
            f"{estimate(row['mean'], row['low'], row['high'])}, {number(row['standardised'])} sd"
            + (f"<br>{probability('p', row['p'])}" if row["p"] is not None else "")
            + f"<br>n = {row['n']} cells"
        )
        height = contrasts.index(row["contrast"]) + heights[measure]
        shown = {} if once else {"meta": {"layer": row["layer"]}, "visible": row["layer"] == first}
        trace = dot_trace([value], [height], [low], [high], style=styles[measure], hover=[hover])
        figure.add_trace(trace.update(showlegend=False, **shown), row=1, col=designs.index(row["design"]) + 1)
    names = {"choice": "choice"} | _NAMES
    legend_dots(figure, [(names[kind], style.colour, style.symbol, True) for kind, style in styles.items()])
    figure.update_layout(margin={"l": 150})
    return figure


def target_ranks(frame: pl.DataFrame, start: int | None = None) -> go.Figure:
    """How often the one task that a biography loves or hates moves most of all, beside chance.

    Args:
        frame: columns measure, first, share, low, high, chance, null_first, mean_rank, n, n_subjects, n_tasks, layer.
        start: layer shown at first; by default the first of the table.
    """
    measures = [name for name in frame["measure"].unique(maintain_order=True) if name in {"choice", *_NAMES}]
    panels = [
        Panel("share", "Target moves most", "share of targets", (-0.03, 1.05)),
        Panel("mean_rank", "Where the target stands", "mean rank (1: moves most)"),
    ]
    names = {"choice": "choice"} | _NAMES
    figure = panel_columns(panels, [names[name].capitalize() for name in measures], 150, legend=True, banded=True)
    first = frame["layer"][0] if start is None else start
    styles = {"choice": _CHOICE} | _SCORERS
    for row in frame.iter_rows(named=True):
        once = row["measure"] != PROBE
        if row["measure"] not in measures or (once and row["layer"] != frame["layer"][0]):
            continue
        at, style = measures.index(row["measure"]), styles[row["measure"]]
        shown = {} if once else {"meta": {"layer": row["layer"]}, "visible": row["layer"] == first}
        hover = (
            f"<b>{names[row['measure']]}</b><br>first in {row['first']} of {row['n']}: "
            f"{estimate(row['share'], row['low'], row['high'])}<br>chance {number(row['chance'])}, targets of others "
            f"first {number(row['null_first'])}<br>mean rank {number(row['mean_rank'])} of {row['n_tasks']}"
        )
        middle = None if row["n_tasks"] is None else (row["n_tasks"] + 1) / 2
        ends = (row["low"], row["high"])
        for place, value, low, high in ((1, row["share"], *ends), (2, row["mean_rank"], None, None)):
            trace = dot_trace([value], [at], [low], [high], style=style, hover=[hover], size=10, showlegend=False)
            figure.add_trace(trace.update(**shown), row=1, col=place)
        marks = (
            (1, row["chance"], "line-ns-open", 17),
            (2, middle, "line-ns-open", 17),
            (1, row["null_first"], "x-thin-open", 9),
        )
        for place, value, symbol, size in marks:
            marker = {"symbol": symbol, "size": size, "color": MUTED, "line": {"width": 2, "color": MUTED}}
            mark = go.Scatter(x=[value], y=[at], mode="markers", marker=marker, showlegend=False, hoverinfo="skip")
            figure.add_trace(mark.update(**shown), row=1, col=place)
    legend_dots(
        figure, [("chance", MUTED, "line-ns-open", True), ("targets of other biographies", MUTED, "x-thin-open", True)]
    )
    return figure.update_layout(margin={"l": 170})


def kind_of(scorer: str) -> str | None:
    """One of "probe", "encoder" and "random"; None for another scorer."""
    return RANDOM if scorer.startswith(RANDOM) else scorer if scorer in _SCORERS else None


def _cells(part: pl.DataFrame, shown: dict[str, Any]) -> list[go.Scatter]:
    """The cells of one design at one layer, by kind; of those that are not on target only some."""
    target = pl.col("role") == "target"
    mentioned = pl.when(target & (pl.col("polarity") == 0)).then(pl.lit("mentioned only"))
    meant_to = mentioned.when(target & (pl.col("sign") > 0)).then(pl.lit("meant to rise"))
    opposed = meant_to.when(target).then(pl.lit("meant to fall")).when(pl.col("role") == "opposed")
    kind = opposed.then(pl.lit("pulled both ways")).otherwise(pl.lit("off target"))
    kept = part.drop_nulls(["choice_shift", "score_shift"]).with_columns(kind=kind)
    traces = []
    for name, colour, symbol, size, opacity in _CELLS:
        own = kept.filter(pl.col("kind") == name)
        meant, step = name.startswith("meant"), -(-own.height // MOST_DOTS) or 1
        own = own if meant else own.gather_every(step)
        hover = [f"<b>{label(row['condition'])}</b><br>{label(row['task'])}" for row in own.iter_rows(named=True)]
        traces.append(
            go.Scatter(
                x=_rounded(own["choice_shift"].to_list()),
                y=_rounded(own["score_shift"].to_list()),
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": size, "opacity": opacity},
                name=name,
                showlegend=False,
                customdata=hover if meant else None,
                hovertemplate="%{customdata}<br>choice %{x:.2f}, score %{y:.2f}<extra></extra>" if meant else None,
                hoverinfo=None if meant else "skip",
                **shown,
            )
        )
    return traces


def _rounded(values: Sequence[float]) -> list[float]:
    """Four digits, which no dot shows more of; a page holds many thousands."""
    return [float(f"{value:.4g}") for value in values]


def _standardised(row: dict[str, Any]) -> tuple[float | None, ...]:
    """Mean and interval in standard deviations; bare of an interval where there is none or the mean is 0."""
    if row["standardised"] is None or not row["mean"]:
        return row["standardised"], None, None
    scale = row["standardised"] / row["mean"]
    return row["standardised"], *(None if row[end] is None else row[end] * scale for end in ("low", "high"))


def _r_hover(row: dict[str, Any]) -> str:
    paired = ""
    if row["difference"] is not None:
        ends = estimate(row["difference"], row["difference_low"], row["difference_high"])
        paired = f"<br>minus that of sentence embeddings {ends}"
    return (
        f"<b>{label(row['design'])}</b>, {label(row['scorer']).lower()}, layer {row['layer']}<br>r "
        f"{estimate(row['value'], row['low'], row['high'])}, {probability('p', row['p'])}<br>within one subject "
        f"{probability('p', row['p_within'])}{paired}<br>n = {row['n']} cells"
    )
