"""Steering beside tuning: the responses on which strengths were matched, and which facets each way moves."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl

from personascope.report.dots import column
from personascope.report.estimate_marks import left_margin
from personascope.report.figures_facet_steering import in_order
from personascope.report.findings_tuning import order
from personascope.report.findings_tuning_compared import TUNED, way_name, without_random
from personascope.report.heatmaps import cell_map, diverging_axis
from personascope.report.outline import Tables
from personascope.report.theme import INK, MUTED, SERIES, new_figure
from personascope.report.wording import label, number

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "hexagon2", "pentagon", "star", "bowtie")
_NUMBERED = 12


def responses(tables: Tables) -> go.Figure:
    """Response on validation items against the coefficient, by direction; the target as a line, matches as stars.

    Args:
        tables: "tuning_responses" (way, coefficient, response, is_match, past_peak) and, for the target,
            "tuning_compared". Points past the peak, where no match is sought, are hollow.
    """
    frame = tables["tuning_responses"]
    figure = new_figure(400, margin={"l": 76, "r": 230, "t": 24, "b": 58}, showlegend=True)
    for place, way in enumerate(order(frame, "way")):
        own = _with_zero(frame.filter(pl.col("way") == way))
        colour = SERIES[place % len(SERIES)]
        figure.add_scatter(
            x=own["coefficient"].to_list(),
            y=column(own, "response"),
            mode="lines+markers",
            name=label(way),
            line={"color": colour, "width": 2},
            marker={
                "symbol": _SYMBOLS[place % len(_SYMBOLS)],
                "size": [5 if at == 0 else 8 for at in own["coefficient"]],
                "color": ["white" if past else colour for past in column(own, "past_peak")],
                "line": {"color": colour, "width": 1.6},
            },
            customdata=[", past the peak" if past else "" for past in column(own, "past_peak")],
            hovertemplate=f"<b>{label(way)}</b>, coefficient %{{x:.3f}}%{{customdata}}: %{{y:.3f}}<extra></extra>",
        )
        match = own.filter(pl.col("is_match").fill_null(value=False))
        if match.height:
            figure.add_scatter(
                x=match["coefficient"].to_list(),
                y=column(match, "response"),
                mode="markers",
                name="match",
                legendgroup="match",
                legendrank=2000,
                showlegend=not any(trace.name == "match" for trace in figure.data),
                marker={"symbol": "star", "size": 17, "color": colour, "line": {"color": INK, "width": 1.2}},
                hovertemplate=f"<b>{label(way)}</b>, matched at %{{x:.3f}}<extra></extra>",
            )
    compared = tables.get("tuning_compared")
    target = None if compared is None else next(iter(compared["target"].drop_nulls()), None)
    if target is not None:
        figure.add_hline(y=target, line={"color": INK, "width": 1.4, "dash": "dash"})
        figure.add_annotation(
            text=f"training: {number(target)}",
            **{"x": 0, "xref": "paper", "xanchor": "left", "xshift": 6, "y": target, "yshift": 9, "showarrow": False},
            font={"size": 12, "color": MUTED},
        )
    figure.update_layout(legend={"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top"})
    figure.update_xaxes(title_text="coefficient (fraction of the mean residual norm)")
    figure.update_yaxes(title_text="plain slope on validation items (biased)")
    return figure


def _with_zero(own: pl.DataFrame) -> pl.DataFrame:
    """No push moves nothing: the curve goes through there, though it was not asked."""
    zero = {"way": own["way"][0], "coefficient": 0.0, "response": 0.0, "is_match": False, "past_peak": False}
    start = pl.DataFrame([zero], schema={name: own.schema[name] for name in zero})
    return pl.concat([own.select(list(zero)), start]).sort("coefficient")


def facet_map(tables: Tables) -> go.Figure | None:
    """How far each facet moved under training and under every way of steering; random directions are left out.

    Args:
        tables: "tuning_compared_facets" (kind, way, facet, moved) and, for the correlation with training, its rows in
            "tuning_compared". None without a facet.
    """
    frame = without_random(tables["tuning_compared_facets"])
    if frame.is_empty():
        return None
    alike = {}
    if (compared := tables.get("tuning_compared")) is not None:
        alike = {(row["kind"], row["way"]): row["like_tuned"] for row in compared.to_dicts()}
    facets = in_order(frame["facet"])
    keys = list(frame.select("kind", "way").unique(maintain_order=True).iter_rows())
    names = [_row_name(kind, way, alike.get((kind, way))) for kind, way in keys]
    values, hover = {}, {}
    for row in frame.iter_rows(named=True):
        cell = (names[keys.index((row["kind"], row["way"]))], row["facet"])
        values[cell] = None if row["moved"] is None else round(row["moved"], 4)
        hover[cell] = f"<b>{label(row['facet'])}</b>: moved {number(row['moved'])}<br>{cell[0]}"
    left = left_margin(names)
    figure = new_figure(190 + 34 * max(4, len(names)), margin={"l": left, "r": 24, "t": 20, "b": 150})
    trace = cell_map(values, names, facets, hover=hover)
    texts = [[values.get((name, facet)) for facet in facets] for name in names]
    trace.update(text=[["" if moved is None else number(moved) for moved in row] for row in texts])
    if len(facets) > _NUMBERED:
        trace.update(text=None, texttemplate=None, xgap=1)
    figure.add_trace(trace.update(y=names))
    figure.update_layout(coloraxis=diverging_axis(list(values.values()), "moved"))
    figure.update_yaxes(autorange="reversed", showgrid=False, automargin=False)
    return figure.update_xaxes(showgrid=False, tickangle=-60)


def _row_name(kind: str, way: str, alike: float | None) -> str:
    name = label(way_name(kind, way))
    return name if kind == TUNED or alike is None else f"{name} (r = {number(alike)})"
