"""Figures of a study's statistics: equivalence, agreement over wordings, and how many items and wordings it takes."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl

from personascope.report.dots import Panel, column, dot_trace, number_with_interval, panel_columns
from personascope.report.findings import TARGET, VERDICTS, verdicts
from personascope.report.rows import dodge, dress_named_axis
from personascope.report.theme import CONTROL, MUTED, POOLED, SERIES, TEXT_BASELINE, Styles, new_figure, persona_styles
from personascope.report.wording import count, figure_text, label, listed, number, plural, pretty, wrapped

_SINGLE, _MEAN = "ICC(2,1)", "ICC(2,k)"
_ICC_NAMES = {_SINGLE: "one wording, ICC(2,1)", _MEAN: "mean of all wordings, ICC(2,k)"}
_VERDICT_COLOURS = dict(zip(VERDICTS, (POOLED, TEXT_BASELINE, CONTROL, "#ffffff"), strict=True))
_COEFFICIENTS = (
    Panel("g", "Reliability (G)", "items per facet"),
    Panel("phi", "Dependability (Φ)", "items per facet"),
)


def equivalence(frame: pl.DataFrame) -> go.Figure | None:
    """How many facets of each contrast are equivalent within the margin, different, undecided, or not tested.

    Args:
        frame: columns contrast, facet, difference, low, high, bound, equivalent (`measures.equivalence.equivalence`).
            None where no facet was tested.
    """
    judged = verdicts(frame)
    if (judged["verdict"] == VERDICTS[-1]).all():
        return None
    names = judged["contrast"].unique(maintain_order=True).to_list()
    figure = new_figure(150 + 46 * len(names), margin={"l": 150, "r": 24, "t": 52, "b": 58}, barmode="stack")
    for verdict in VERDICTS:
        parts = [judged.filter((pl.col("contrast") == name) & (pl.col("verdict") == verdict)) for name in names]
        counts = [part.height for part in parts]
        if not any(counts):
            continue
        texts = [
            f"<b>{label(name)}</b>: {n} {plural('facet', n)} {verdict}<br>"
            f"{wrapped(listed([pretty(facet) for facet in part['facet']]))}"
            for name, n, part in zip(names, counts, parts, strict=True)
        ]
        figure.add_bar(
            x=counts,
            y=list(range(len(names))),
            orientation="h",
            name=verdict,
            width=0.62,
            marker={"color": _VERDICT_COLOURS[verdict], "line": {"color": CONTROL, "width": 1}},
            text=[str(n) if n else "" for n in counts],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            customdata=texts,
            hovertemplate="%{customdata}<extra></extra>",
        )
    dress_named_axis(figure, [label(name) for name in names])
    figure.update_layout(legend={"traceorder": "normal"}, showlegend=True)
    bounds = [f"±{number(bound)}" for bound in sorted(judged["bound"].drop_nulls().unique())]
    figure.update_xaxes(title_text=f"facets (margin {listed(bounds)})" if bounds else "facets")
    return figure


def icc(frame: pl.DataFrame, styles: Styles | None = None) -> go.Figure | None:
    """Agreement over wordings of each persona's profile and each contrast: of one wording, and of their mean.

    Args:
        frame: columns profile, kind, coefficient ("ICC(2,1)", "ICC(2,k)"), icc, low, high, n_facets, n_variants
            (`measures.agreement.variant_agreement`). None without a coefficient.
        styles: colour and marker per persona; a contrast has those of its first persona.
    """
    known = frame.drop_nulls("icc")
    if known.is_empty():
        return None
    profiles = known["profile"].unique(maintain_order=True).to_list()
    looks = styles or persona_styles(name.split(" - ")[0] for name in profiles)
    figure = new_figure(140 + 40 * len(profiles), margin={"l": 150, "r": 24, "t": 52, "b": 58}, showlegend=True)
    for (name, text), shift in zip(_ICC_NAMES.items(), dodge(2, 0.3), strict=True):
        own = known.filter(pl.col("coefficient") == name)
        for index, row in enumerate(own.iter_rows(named=True)):
            style = looks[row["profile"].split(" - ")[0]]
            marker = {
                "color": "white" if name == _SINGLE else style.colour,
                "line": {"color": style.colour, "width": 1.6},
            }
            hover = (
                f"<b>{label(row['profile'])}</b><br>{text}: {number_with_interval(row['icc'], row['low'], row['high'])}"
                f"<br>facets: {count(row['n_facets'])}, wordings: {count(row['n_variants'])}"
            )
            trace = dot_trace(
                [row["icc"]],
                [profiles.index(row["profile"]) + shift],
                [row["low"]],
                [row["high"]],
                style=style,
                hover=[hover],
                size=9,
                marker=marker,
            )
            figure.add_trace(trace.update(name=text, legendgroup=name, showlegend=index == 0))
    dress_named_axis(figure, [label(name) for name in profiles], banded=True)
    least = min([0.0, *known["icc"], *known["low"].drop_nulls()])
    figure.update_xaxes(title_text="intraclass correlation over facets", range=[max(-1.05, least - 0.05), 1.05])
    return figure


def d_study(frame: pl.DataFrame) -> go.Figure | None:
    """Reliability and dependability of a facet score against its number of items, a line per number of wordings.

    Args:
        frame: columns n_item, n_phrasing, g, phi, and others that begin with n_, of which each combination has lines of
            its own (`measures.generalizability.d_study`). None without a coefficient.
    """
    known = frame.filter(pl.any_horizontal(pl.col("g", "phi").is_not_null()))
    if known.is_empty():
        return None
    figure = panel_columns(_COEFFICIENTS, [], 330, legend=True)
    figure.update_yaxes(range=[-0.02, 1.04])
    items = sorted(known["n_item"].unique())
    for index, (name, part) in enumerate(_lines(known)):
        for place, panel in enumerate(_COEFFICIENTS, start=1):
            texts = [
                f"<b>{panel.title} {number(row[panel.column])}</b><br>{row['n_item']} "
                f"{plural('item', row['n_item'])}, {name}"
                for row in part.iter_rows(named=True)
            ]
            line = {
                "color": SERIES[index % len(SERIES)],
                "width": 2,
                "dash": ("solid", "dot")[index // len(SERIES) % 2],
            }
            figure.add_scatter(
                x=column(part, "n_item"),
                y=column(part, panel.column),
                mode="lines+markers",
                line=line,
                marker={"size": 7},
                name=name,
                legendgroup=name,
                showlegend=place == 1,
                customdata=texts,
                hovertemplate="%{customdata}<extra></extra>",
                row=1,
                col=place,
            )
    figure.add_hline(TARGET, line={"color": MUTED, "dash": "dot", "width": 1.2})
    figure.update_xaxes(
        type="log", tickvals=items, ticktext=[str(n) for n in items], rangemode="normal", zeroline=False
    )
    return figure


def _lines(frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """Name and points of every line: numbers of wordings, and of whatever else was tried in several numbers."""
    others = [name for name in frame.columns if name.startswith("n_") and name not in ("n_item", "n_phrasing")]
    varied = ["n_phrasing", *(name for name in others if frame[name].n_unique() > 1)]
    found = []
    for levels, part in frame.sort("n_item").group_by(varied, maintain_order=True):
        words = ["wording", *(figure_text(name.removeprefix("n_")) for name in varied[1:])]
        texts = [f"{n} {plural(word, int(str(n)))}" for n, word in zip(levels, words, strict=True)]
        found.append((levels, ", ".join(texts), part))
    return [(text, part) for _, text, part in sorted(found, key=lambda line: line[0])]
