"""Whether the ideal stayed where it was, and toward whom the model moved."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from personascope.report.dots import Panel, column, dot_trace
from personascope.report.estimate_marks import Mark, estimate_panels, left_margin, run_styles
from personascope.report.figures_sharing import legend_dots, plain_style
from personascope.report.figures_tuning import FACET_ROW, facet_places
from personascope.report.findings_tuning import biased, hover_told, order, run_label, targets
from personascope.report.heatmaps import cell_height, cell_map, diverging_axis, hover_number
from personascope.report.outline import Tables
from personascope.report.rows import FACET_LEFT, FacetRows, dodge, dress_facet_axis, legend_above
from personascope.report.theme import MUTED, PersonaStyle, new_figure, persona_styles, template, translucent
from personascope.report.wording import estimate, figure_text, label, number

_SHAPES = (
    ("cosine", "Direction", "cosine with the gap"),
    ("norm_ratio", "Length", "of the gap's length"),
    ("orthogonal_share", "Elsewhere", "share off the gap"),
    ("rank_correlation", "Order of facets", "rank correlation"),
)
_VALUE = ("value", "low", "high")
_WITHIN = PersonaStyle("#00724f", "circle")


def ideal_before_and_after(tables: Tables) -> go.Figure:
    """The ideal's facets before and after a run, and their difference within the bound of equivalence.

    Args:
        tables: "tuning_drift_facets" (run, facet, difference, low, high, bound, equivalent, n) and, for the left
            column, "tuning_profiles". One run is shown, the first at first.
    """
    frame, profiles = tables["tuning_drift_facets"], tables.get("tuning_profiles")
    runs, rows = order(frame), facet_places(frame["facet"])
    titles = ["<b>Ideal before and after</b>", "<b>Difference</b>"] if profiles is not None else ["<b>Difference</b>"]
    figure = make_subplots(rows=1, cols=len(titles), horizontal_spacing=0.03, subplot_titles=titles)
    height = 92 + 58 + int(FACET_ROW * (rows.bottom + 0.7))
    figure.update_layout(
        template=template(), height=height, margin={"l": FACET_LEFT, "r": 24, "t": 92, "b": 58}, showlegend=True
    )
    figure.update_annotations(font={"size": 13.5})
    for run in runs:
        shown: dict[str, Any] = {"visible": run == runs[0]}
        shown |= {"meta": {"run": run}} if len(runs) > 1 else {}
        if profiles is not None:
            for trace in _ideals(profiles.filter(pl.col("run") == run), rows):
                figure.add_trace(trace.update(showlegend=False, **shown), row=1, col=1)
        for trace in _differences(frame.filter(pl.col("run") == run), rows):
            figure.add_trace(trace.update(showlegend=False, **shown), row=1, col=len(titles))
    if profiles is not None:
        figure.update_xaxes(title_text="trait score on test items", row=1, col=1)
    meta = persona_styles(["meta"])["meta"]
    before = [("before", meta.colour, "diamond", False), ("after", meta.colour, "diamond", True)]
    kinds = [("shown to lie within", _WITHIN.colour, "circle", True), ("not shown", MUTED, "circle", False)]
    legend_dots(figure, [*(before if profiles is not None else []), *kinds])
    dress_facet_axis(figure, rows)
    _shade_bound(figure, frame, len(titles))
    if profiles is not None:
        figure.update_yaxes(showticklabels=False, col=2)
    legend_above(figure)
    return figure


def _shade_bound(figure: go.Figure, frame: pl.DataFrame, column_of: int) -> None:
    """The bound of equivalence as a band, over the bands of domains and below all marks."""
    bounds = frame["bound"].drop_nulls()
    if bounds.is_empty():
        return
    bound = float(bounds[0])
    ends = {"x0": -bound, "x1": bound, "fillcolor": translucent(_WITHIN.colour, 0.1), "line_width": 0, "layer": "below"}
    figure.add_vrect(row=1, col=column_of, **ends)
    reach = 1.08 * max([bound, *(abs(end) for name in ("low", "high") for end in frame[name].drop_nulls())])
    title = f"after − before (shaded: ±{number(bound)})"
    figure.update_xaxes(title_text=title, range=[-reach, reach], row=1, col=column_of)


def _ideals(own: pl.DataFrame, rows: FacetRows) -> list[go.Scatter]:
    meta = persona_styles(["meta"])["meta"]
    hollow = {"color": "white", "line": {"color": meta.colour, "width": 1.8}}
    traces = []
    for point, name, marker, shift in (("ideal", "before", hollow, -0.16), ("ideal_after", "after", {}, 0.16)):
        part = own.filter(pl.col("point") == point, pl.col("facet").is_in(list(rows.places)))
        at = [rows.places[facet] + shift for facet in part["facet"]]
        hover = [
            f"<b>{label(row['facet'])}</b>, ideal {name}: {estimate(row['trait'], row['low'], row['high'])}"
            for row in part.iter_rows(named=True)
        ]
        ends = (column(part, "trait"), at, column(part, "low"), column(part, "high"))
        traces.append(dot_trace(*ends, style=meta, hover=hover, marker=marker))
    return traces


def _differences(own: pl.DataFrame, rows: FacetRows) -> list[go.Scatter]:
    hollow = {"color": "white", "line": {"color": MUTED, "width": 1.6}}
    traces = []
    within = pl.col("equivalent").fill_null(value=False)
    for part, style, marker, said in (
        (own.filter(within), _WITHIN, {}, "shown to lie within the bound"),
        (own.filter(~within), plain_style(MUTED), hollow, "not shown to lie within the bound"),
    ):
        at = [rows.places[facet] for facet in part["facet"]]
        hover = [
            f"<b>{label(row['facet'])}</b>: {number(row['difference'])} [{number(row['low'])}, {number(row['high'])}] "
            f"(90 %)<br>{said}<br>n = {row['n']} items"
            for row in part.iter_rows(named=True)
        ]
        ends = (column(part, "difference"), at, column(part, "low"), column(part, "high"))
        traces.append(dot_trace(*ends, style=style, hover=hover, marker=marker))
    return traces


def toward_whom(tables: Tables) -> go.Figure:
    """Gap closed toward the ideal and toward the helpful assistant, and the partial cosine of each given the other.

    Args:
        tables: "tuning_specificity" (run, statistic, toward, given, value, low, high, naive_biased, refused, n_items).
    """
    frame = tables["tuning_specificity"]
    runs = order(frame)
    panels = [
        Panel("gap", "Gap closed", "share of the gap"),
        Panel("cosine", "Partial cosine", "given the other", (-1.3, 1.9)),
    ]
    styles = persona_styles(["meta", "helpful"])
    ways = (("ideal", styles["meta"], "its ideal"), ("other", styles["helpful"], "the helpful assistant"))
    marks = []
    for place, statistic in enumerate(("gap closed", "partial cosine"), start=1):
        for (toward, style, name), shift in zip(ways, dodge(2, 0.34), strict=True):
            part = frame.filter(pl.col("statistic") == statistic, pl.col("toward") == toward)
            marks += [
                _mark(row, place, runs.index(row["run"]) + shift, style, f"{statistic} toward {name}")
                for row in part.iter_rows(named=True)
            ]
    figure = estimate_panels(panels, [run_label(run) for run in runs], marks, ends={1: 1.0})
    legend_dots(figure, [(f"toward {name}", style.colour, style.symbol, True) for _, style, name in ways])
    return figure


def shapes(tables: Tables) -> go.Figure:
    """Direction and length of every run's movement beside the gap's, what goes elsewhere, and the order of facets.

    Args:
        tables: "tuning_shape" (run, statistic, value, low, high, naive_biased, refused, n_items) and, where it is
            there, "tuning_runs".
    """
    frame = tables["tuning_shape"]
    runs = order(frame)
    styles = run_styles(runs, targets(tables))
    panels = [Panel(name, title, unit) for name, title, unit in _SHAPES]
    marks = [
        _mark(row, place, float(runs.index(row["run"])), styles[row["run"]], title.lower())
        for place, (name, title, _) in enumerate(_SHAPES, start=1)
        for row in frame.filter(pl.col("statistic") == name).iter_rows(named=True)
    ]
    return estimate_panels(
        panels, [run_label(run) for run in runs], marks, plain="plain value (biased)", ends={1: 1.0, 2: 1.0}
    )


def _mark(row: dict[str, Any], place: int, at: float, style: PersonaStyle, name: str) -> Mark:
    hover = (
        f"<b>{run_label(row['run'])}</b>, {name}<br>{hover_told(row, _VALUE)}<br>"
        f"{biased(row).replace('slope', 'value')}<br>n = {row['n_items']} items"
    )
    return Mark(place, at, row["value"], row["low"], row["high"], row["naive_biased"], style, hover)


def likeness_map(tables: Tables) -> go.Figure:
    """Correlation over facets of the movements of every two runs; a star marks an interval off 0.

    Args:
        tables: "tuning_likeness" (run, other, r, low, high, n).
    """
    frame = tables["tuning_likeness"]
    return run_map(frame, "r", "r over facets", lambda row: (row["low"], row["high"]))


def run_map(frame: pl.DataFrame, name: str, title: str, ends: Any, **more: Any) -> go.Figure:
    """A map of runs against runs; `ends` gives the interval of a row.

    Args:
        frame: columns run, other, n and `name`.
        name: of the value.
        title: of the colours.
        ends: of a row, (low, high).
        **more: passed to the trace.
    """
    names = list(dict.fromkeys([*order(frame), *frame["other"]]))
    shown = [run_label(one) for one in names]
    values, hover, sure = {}, {}, set()
    for row in frame.iter_rows(named=True):
        cell, (low, high) = (row["run"], row["other"]), ends(row)
        values[cell] = row[name]
        who = f"<b>{run_label(cell[0])}</b> and <b>{run_label(cell[1])}</b>"
        hover[cell] = f"{who}<br>{hover_number(figure_text(name), row[name], low, high)}<br>n = {row['n']}"
        if low is not None and high is not None and (low > 0 or high < 0):
            sure.add(cell)
    left = left_margin(shown)
    figure = new_figure(150 + cell_height(len(names)), margin={"l": left, "r": 24, "t": 20, "b": 24 + int(0.6 * left)})
    trace = cell_map(values, names, names, hover=hover, marked=sure, **more)
    figure.add_trace(trace.update(x=shown, y=shown))
    figure.update_layout(coloraxis=diverging_axis([1.0], title))
    figure.update_yaxes(autorange="reversed", showgrid=False, automargin=False)
    return figure.update_xaxes(showgrid=False, tickangle=-35)
