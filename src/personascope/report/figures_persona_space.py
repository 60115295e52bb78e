"""How personas lie to each other by what they prefer: topics, a map, correlations, clusters, tasks at the ends."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from personascope.report.dots import column
from personascope.report.findings import excludes_zero
from personascope.report.heatmaps import cell_map, diverging_axis, hover_number
from personascope.report.label_places import FILLED, label_places
from personascope.report.outline import Tables
from personascope.report.rows import dress_named_axis
from personascope.report.theme import INK, MUTED, POOLED, Styles, new_figure, persona_styles, template
from personascope.report.wording import count, label, number, probability, wrapped

_ROW_HEIGHT = 30
_MAP_PLOT = (700, 470)
"""About the size of the map in pixels, for placing names."""
_WHITE_EDGE = {"width": 0.8, "color": "white"}
_MANY = 12
"""From so many columns on the numbers in the cells are smaller."""


def topic_profiles(tables: Tables) -> go.Figure:
    """Mean standardised utility of every persona on every topic; a star marks an interval that excludes 0.

    Args:
        tables: "persona_profiles" (persona, topic, z, low, high, n); personas stand by cluster where
            "persona_clusters" is there, topics by their mean.
    """
    frame = tables["persona_profiles"]
    means = frame.group_by("topic").agg(pl.col("z").mean()).sort("z", "topic", descending=[True, False])
    cells = {(row["persona"], row["topic"]): row for row in frame.iter_rows(named=True)}
    hover = {
        cell: f"<b>{label(cell[0])}</b> on <b>{label(cell[1])}</b><br>"
        f"{hover_number('z', row['z'], row['low'], row['high'])}<br>tasks: {count(row['n'])}"
        for cell, row in cells.items()
    }
    sure = set(frame.filter(excludes_zero()).select("persona", "topic").iter_rows())
    rows, topics = _by_cluster(tables, frame["persona"].unique(maintain_order=True).to_list()), means["topic"].to_list()
    figure = _map_figure(len(rows), bottom=112)
    values = {cell: row["z"] for cell, row in cells.items()}
    figure.add_trace(_legible(cell_map(values, rows, topics, hover=hover, marked=sure), len(topics)))
    figure.update_layout(coloraxis=diverging_axis(list(values.values()), "z"))
    return figure


def correlation_map(tables: Tables) -> go.Figure:
    """Correlations of personas over tasks below the diagonal, corrected for unreliability above it.

    A star marks an interval that excludes 0; a corrected correlation has no interval and no star.

    Args:
        tables: "persona_correlations" (persona, other, r, low, high, n, r_corrected, above_one), each pair once; order
            as in `topic_profiles`.
    """
    frame = tables["persona_correlations"]
    names = _by_cluster(tables, pl.concat([frame["persona"], frame["other"]]).unique(maintain_order=True).to_list())
    place = {name: index for index, name in enumerate(names)}
    values: dict[tuple[str, str], float | None] = {}
    hover, marked = {}, set()
    for row, sure in zip(frame.iter_rows(named=True), frame.select(excludes_zero()).to_series(), strict=True):
        upper, lower = sorted((row["persona"], row["other"]), key=lambda name: place[name])
        who = f"<b>{label(upper)}</b> and <b>{label(lower)}</b><br>"
        beyond = " (beyond 1: too few tasks, or reliabilities too low)" if row["above_one"] else ""
        texts = (
            f"{hover_number('r', row['r'], row['low'], row['high'])}<br>tasks: {count(row['n'])}",
            f"corrected for unreliability {number(row['r_corrected'])}{beyond}",
        )
        for cell, name in (((lower, upper), "r"), ((upper, lower), "r_corrected")):
            values[cell], hover[cell] = row[name], who + "<br>".join(texts)
        if sure:
            marked.add((lower, upper))
    figure = _map_figure(len(names), bottom=112)
    figure.add_trace(_legible(cell_map(values, names, names, hover=hover, marked=marked), len(names)))
    figure.update_layout(coloraxis=diverging_axis([1.0], "r"))
    return figure


def persona_map(tables: Tables, styles: Styles) -> go.Figure | None:
    """The first two principal components of personas, beside the share of each component and of its null.

    Args:
        tables: "persona_map" (persona, component_1, component_2 ...) and, where it is there, "persona_components"
            (component, share, null_mean, null_95, p).
        styles: colour and marker per persona.

    Returns:
        None without a number.
    """
    known = tables["persona_map"].drop_nulls(["component_1", "component_2"])
    if known.is_empty():
        return None
    titles = ("<b>Personas</b>", "<b>Share of the variance between personas</b>")
    figure = make_subplots(rows=1, cols=2, column_widths=[0.66, 0.34], horizontal_spacing=0.09, subplot_titles=titles)
    figure.update_layout(template=template(), height=570, margin={"l": 70, "r": 24, "t": 44, "b": 58})
    figure.update_annotations(font={"size": 13}, yshift=4)
    x, y, names = (column(known, name) for name in ("component_1", "component_2", "persona"))
    places = label_places(x, y, [label(name) for name in names], _MAP_PLOT)
    for at, height, persona, where in zip(x, y, names, places, strict=True):
        style = styles[persona]
        figure.add_scatter(
            x=[at],
            y=[height],
            mode="markers+text",
            marker={"color": style.colour, "symbol": style.symbol, "size": 11, "line": _WHITE_EDGE},
            text=[label(persona)],
            textposition=where,
            textfont={"size": 12, "color": INK},
            customdata=[f"<b>{label(persona)}</b><br>{number(at)}, {number(height)}"],
            hovertemplate="%{customdata}<extra></extra>",
            showlegend=False,
            cliponaxis=False,
            row=1,
            col=1,
        )
    shares = tables.get("persona_components")
    for component, (axis, values) in enumerate((("xaxis", x), ("yaxis", y)), start=1):
        figure.layout[axis].title.text = _component_title(component, shares)
        room = (max(values) - min(values) or 1.0) * (1 / FILLED - 1) / 2
        figure.layout[axis].range = [min(values) - room, max(values) + room]
    figure.update_yaxes(scaleanchor="x", row=1, col=1)  # distances on the map mean something
    if shares is not None:
        figure.add_traces(_share_traces(shares), rows=1, cols=2)
        figure.update_xaxes(title_text="component", row=1, col=2)
        figure.update_layout(legend={"x": 1, "xanchor": "right", "y": 0.98, "yanchor": "top", "orientation": "v"})
    return figure


def component_shares(tables: Tables) -> go.Figure | None:
    """The share of each component and of its null, where there is no map to stand beside; None without a share.

    Args:
        tables: "persona_components", as for `persona_map`.
    """
    shares = tables["persona_components"].drop_nulls("share")
    if shares.is_empty():
        return None
    figure = new_figure(360, margin={"l": 70, "r": 24, "t": 52, "b": 58}, showlegend=True)
    figure.add_traces(_share_traces(shares))
    figure.update_xaxes(title_text="component", zeroline=False)
    return figure.update_yaxes(title_text="share of the variance between personas", rangemode="tozero")


def cluster_counts(frame: pl.DataFrame) -> go.Figure | None:
    """Silhouette and stability against the number of clusters; None without a silhouette.

    Args:
        frame: columns n_clusters, silhouette, stability, stability_low, stability_high, n_resamples.
    """
    known = frame.drop_nulls("silhouette").sort("n_clusters")
    if known.is_empty():
        return None
    figure = new_figure(360, margin={"l": 76, "r": 24, "t": 52, "b": 58}, showlegend=True)
    at = column(known, "n_clusters")
    ends = [column(known, f"stability{end}") for end in ("", "_high", "_low")]
    arms = [
        [0.0 if None in (mean, end) else abs(end - mean) for mean, end in zip(ends[0], side, strict=True)]
        for side in ends[1:]
    ]
    stable = {"type": "data", "symmetric": False, "array": arms[0], "arrayminus": arms[1], "width": 0, "thickness": 1.2}
    for name, title, colour, symbol, error in (
        ("silhouette", "mean silhouette", POOLED, "circle", None),
        ("stability", "stability, 95 % of resamples", MUTED, "square", stable),
    ):
        figure.add_scatter(
            x=at,
            y=column(known, name),
            mode="lines+markers",
            line={"color": colour, "width": 2},
            marker={"color": colour, "size": 8, "symbol": symbol},
            error_y=error,
            name=title,
            hovertemplate=f"%{{x}} clusters<br>{title}: %{{y:.2f}}<extra></extra>",
        )
    figure.update_xaxes(title_text="number of clusters", dtick=1, zeroline=False)
    figure.update_yaxes(title_text="silhouette, adjusted Rand index", rangemode="tozero")
    return figure


def extreme_tasks(tables: Tables, styles: Styles | None = None) -> go.Figure | None:
    """The tasks that each persona likes most and least, beside what all personas make of them; None without any.

    Args:
        tables: "persona_extremes" (persona, end, rank, task, topic, utility, z, mean_z, difference, and where it is
            there text); otherwise texts come from "utilities".
        styles: colour and marker per persona.
    """
    frame = with_texts(tables).drop_nulls(["z", "mean_z"])
    if frame.is_empty():
        return None
    names = _by_cluster(tables, frame["persona"].unique(maintain_order=True).to_list())
    known = styles or persona_styles(names)
    figure = new_figure(
        130 + _ROW_HEIGHT * max(3, len(names)), margin={"l": 130, "r": 24, "t": 52, "b": 58}, showlegend=True
    )
    for place, persona in enumerate(names):
        part = frame.filter(pl.col("persona") == persona)
        hover = [
            f"{wrapped(row['text'])}<br><b>{label(persona)}</b>, {label(row['topic'])}<br>z {number(row['z'])}, "
            f"mean over personas {number(row['mean_z'])}, utility {number(row['utility'])} logits"
            for row in part.iter_rows(named=True)
        ]
        own = {"color": known[persona].colour, "symbol": known[persona].symbol, "size": 9}
        mean = {"color": INK, "symbol": "line-ns-open", "size": 13, "line": {"width": 1.6}}
        for name, text, marker in (("z", "the persona", own), ("mean_z", "mean over personas, same tasks", mean)):
            figure.add_scatter(
                x=column(part, name),
                y=[place] * part.height,
                mode="markers",
                marker=marker,
                name=text,
                legendgroup=text,
                showlegend=place == 0,
                customdata=hover,
                hovertemplate="%{customdata}<extra></extra>",
            )
    dress_named_axis(figure, [label(name) for name in names], banded=True)
    figure.update_xaxes(title_text="standardised utility (z over tasks)")
    return figure


def with_texts(tables: Tables) -> pl.DataFrame:
    """Table "persona_extremes" with the text of each task: its own, that of "utilities", or else the task's id."""
    frame = tables["persona_extremes"]
    if "text" not in frame.columns and "utilities" in tables:
        texts = tables["utilities"].select("task", "text").unique("task", keep="first", maintain_order=True)
        frame = frame.join(texts, on="task", how="left", maintain_order="left")
    given = pl.col("text") if "text" in frame.columns else pl.lit(None, pl.String)
    return frame.with_columns(text=pl.coalesce(given, pl.col("task")))


def _by_cluster(tables: Tables, personas: list[str]) -> list[str]:
    """Personas of a cluster side by side, where clusters are known."""
    if "persona_clusters" not in tables:
        return personas
    cluster = dict(tables["persona_clusters"].select("persona", "cluster").iter_rows())
    return sorted(personas, key=lambda name: (cluster.get(name) or len(cluster) + 1, personas.index(name)))


def _map_figure(n_rows: int, bottom: int) -> go.Figure:
    figure = new_figure(20 + bottom + _ROW_HEIGHT * max(4, n_rows), margin={"l": 130, "r": 24, "t": 20, "b": bottom})
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure.update_xaxes(showgrid=False, tickangle=-35)


def _legible(trace: go.Heatmap, n_columns: int) -> go.Heatmap:
    """Numbers that fit into the cells of a map of many columns."""
    return trace.update(textfont={"size": 12 if n_columns < _MANY else 10})


def _component_title(component: int, shares: pl.DataFrame | None) -> str:
    own = [] if shares is None else shares.filter(pl.col("component") == component).to_dicts()
    if not own or own[0]["share"] is None:
        return f"component {component}"
    return f"component {component}: {number(100 * own[0]['share'], 0)} %, {probability('p', own[0]['p'])}"


def _share_traces(shares: pl.DataFrame) -> list[go.Bar | go.Scatter]:
    """Share of every component, with the mean and the 95th percentile of shuffled tasks."""
    at = column(shares, "component")
    hover = [
        f"<b>component {row['component']}</b><br>share {number(row['share'])}<br>shuffled tasks: mean "
        f"{number(row['null_mean'])}, 95th percentile {number(row['null_95'])}<br>{probability('p', row['p'])}"
        for row in shares.iter_rows(named=True)
    ]
    told = {"customdata": hover, "hovertemplate": "%{customdata}<extra></extra>"}
    traces: list[go.Bar | go.Scatter] = [
        go.Bar(x=at, y=column(shares, "share"), marker={"color": POOLED}, name="share", **told)
    ]
    for name, text, dash in (
        ("null_95", "shuffled tasks, 95th percentile", "dash"),
        ("null_mean", "mean", "dot"),
    ):
        line = {"color": INK, "dash": dash, "width": 1.8}
        traces.append(go.Scatter(x=at, y=column(shares, name), mode="lines", line=line, name=text, **told))
    return traces
