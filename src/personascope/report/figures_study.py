"""Figures of a questionnaire study: response bias, wordings, helpful against meta, short form against rest, models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import plotly.graph_objects as go
import polars as pl

from personascope.report.dots import Panel, column, dot_trace, persona_panels
from personascope.report.rows import DOMAIN_NAMES, contrast_columns, dodge, dress_domain_axis, dress_named_axis
from personascope.report.theme import CONTROL, POOLED, SERIES, PersonaStyle, Styles, new_figure, persona_styles
from personascope.report.wording import count, estimate, figure_text, label, number

BIAS = (
    Panel("acquiescence", "Acquiescence", "mean agreement"),
    Panel("order_bias", "Order bias", "half of ascending − descending"),
    Panel("sign_flips", "Sign flips", "share of items", (-0.03, 1.03)),
    Panel("desirability_r", "Desirability", "r within facet and key", (-1.08, 1.08)),
    Panel("midpoint_share", "Mid-point", "share of answers", (-0.03, 1.03)),
    Panel("key_consistency", "Key consistency", "r of + and reversed − items", (-1.08, 1.08)),
)
_SYMBOLS = {"ascending": "circle", "descending": "circle-open"}
_OTHER_SYMBOL = "square"


def bias_panels(frame: pl.DataFrame, styles: Styles | None = None) -> go.Figure | None:
    """Each index of response bias by persona, with 95 % intervals; None without a value of any index shown.

    Args:
        frame: columns persona, index, value, low, high (`measures.bias.bias_panel`).
        styles: colour and marker per persona.
    """
    shown = [panel.column for panel in BIAS]
    if frame.filter(pl.col("index").is_in(shown))["value"].drop_nulls().is_empty():
        return None
    wide = frame.select("persona", "index", "value", "low", "high").pivot(
        "index", index="persona", values=["value", "low", "high"], maintain_order=True
    )
    names = {f"value_{panel.column}": panel.column for panel in BIAS}
    names |= {f"{end}_{panel.column}": f"{panel.column}_{end}" for panel in BIAS for end in ("low", "high")}
    wide = wide.rename({old: new for old, new in names.items() if old in wide.columns})
    return persona_panels(wide, BIAS, styles)


def wordings(frame: pl.DataFrame, styles: Styles | None = None) -> go.Figure | None:
    """Every contrast and domain under every wording and order, smallest effect first within a domain.

    Args:
        frame: columns contrast, domain, phrasing, order, difference, low, high, rank, robust, n, n_specifications;
            rows without a difference, a rank or a HEXACO domain have no place and are left out. None without others.
        styles: not used; the colours here are those of wordings.
    """
    del styles
    frame = frame.filter(pl.col("domain").is_in(list(DOMAIN_NAMES))).drop_nulls(["difference", "rank"])
    if frame.is_empty():
        return None
    contrasts = frame["contrast"].unique(maintain_order=True).to_list()
    domains = [name for name in DOMAIN_NAMES if name in set(frame["domain"])]
    known = list(dict.fromkeys([*_SYMBOLS, *frame["order"]]))
    phrasings = sorted(frame["phrasing"].unique(), key=lambda name: (len(name), name))
    figure = contrast_columns(contrasts, 150 + 84 * len(domains), left=150, legend=True)
    for place, contrast in enumerate(contrasts, start=1):
        for index, phrasing in enumerate(phrasings):
            for order in known:
                part = frame.filter(
                    (pl.col("contrast") == contrast) & (pl.col("phrasing") == phrasing) & (pl.col("order") == order)
                )
                if part.is_empty():
                    continue
                symbol = _SYMBOLS.get(order, _OTHER_SYMBOL)
                trace = _specifications(part, domains, PersonaStyle(SERIES[index % len(SERIES)], symbol))
                name = f"wording {label(phrasing)}, {figure_text(order)}"
                trace.update(name=name, legendgroup=name, showlegend=name not in {other.name for other in figure.data})
                figure.add_trace(trace, row=1, col=place)
    dress_domain_axis(figure, domains)
    figure.update_xaxes(title_text="difference in trait", nticks=5)
    return figure


def _specifications(part: pl.DataFrame, domains: list[str], style: PersonaStyle) -> go.Scatter:
    """One wording and order: a dot in each domain, at the height of its rank there."""
    most = max([*part["n_specifications"].drop_nulls(), *part["rank"], 2])
    y = [
        domains.index(domain) + 0.72 * ((rank - 1) / (most - 1) - 0.5)
        for domain, rank in zip(part["domain"], part["rank"], strict=True)
    ]
    x, low, high = (column(part, name) for name in ("difference", "low", "high"))
    signs = {True: "; the same sign in 90 % of specifications", False: "; not the same sign in 90 % of specifications"}
    hover = [
        f"<b>{DOMAIN_NAMES[row['domain']]}</b>, wording {label(row['phrasing'])}, {figure_text(row['order'])} anchors"
        f"<br>difference {estimate(row['difference'], row['low'], row['high'])}<br>items: {count(row['n'])}"
        f"{signs.get(row['robust'], '')}"
        for row in part.iter_rows(named=True)
    ]
    return dot_trace(x, y, low, high, style=style, hover=hover, size=7)


def just_helpful(tables: Mapping[str, pl.DataFrame], styles: Styles | None = None) -> go.Figure | None:
    """Each facet's meta - self against its helpful - self, with the errors-in-variables line; None without either.

    Args:
        tables: "hexaco_just_helpful" (one row: slope, low, high) and "hexaco_just_helpful_residuals" (facet, x, y,
            residual, low, high).
        styles: colour per persona.
    """
    fit = tables["hexaco_just_helpful"].row(0, named=True)
    if fit.get("slope") is None or "hexaco_just_helpful_residuals" not in tables:
        return None
    facets = tables["hexaco_just_helpful_residuals"].drop_nulls(["x", "y"])
    if facets.is_empty():
        return None
    style = (styles or {}).get("meta") or persona_styles(["meta"])["meta"]
    hover = [
        f"<b>{label(row['facet'])}</b><br>helpful − self {number(row['x'])}, meta − self "
        f"{number(row['y'])}<br>residual "
        f"{estimate(row['residual'], row['low'], row['high'])}"
        for row in facets.iter_rows(named=True)
    ]
    figure = _scatter(facets, "x", "y", hover, lambda _: style, size=(520, "helpful − self", "meta − self"))
    ends = _ends(facets, "x")
    for slope, name, dash in ((fit["slope"], f"slope {number(fit['slope'])}", "solid"), (1.0, "equal", "dot")):
        figure.add_scatter(
            x=ends,
            y=[slope * x for x in ends],
            mode="lines",
            name=name,
            line={"color": POOLED if dash == "solid" else CONTROL, "dash": dash, "width": 1.6},
            hoverinfo="skip",
        )
    return figure


def short_and_rest(frame: pl.DataFrame, styles: Styles | None = None) -> go.Figure | None:
    """Each facet's contrast from the items of the short form against that from all others; None without any.

    Args:
        frame: columns contrast, facet, short_difference, rest_difference, gap, gap_se, z.
        styles: colour and marker per persona; a contrast has those of its first persona.
    """
    frame = frame.drop_nulls(["short_difference", "rest_difference"])
    if frame.is_empty():
        return None
    known = styles or persona_styles(name.split(" - ")[0] for name in frame["contrast"].unique())
    hover = [
        f"<b>{label(row['contrast'])}</b>: {label(row['facet'])}<br>short form {number(row['short_difference'])}, "
        f"other items {number(row['rest_difference'])}<br>apart by {number(row['gap'])} (standard error "
        f"{number(row['gap_se'])})"
        for row in frame.iter_rows(named=True)
    ]
    axes = (520, "difference on the items of the short form", "difference on the other items")
    figure = _scatter(
        frame,
        "short_difference",
        "rest_difference",
        hover,
        lambda row: known[row["contrast"].split(" - ")[0]],
        size=axes,
    )
    ends = _ends(frame, "short_difference")
    line = {"color": CONTROL, "dash": "dot", "width": 1.6}
    figure.add_scatter(x=ends, y=ends, mode="lines", name="equal", line=line, hoverinfo="skip")
    return figure


def _scatter(
    frame: pl.DataFrame,
    x: str,
    y: str,
    hover: list[str],
    style_of: Callable[[dict[str, Any]], PersonaStyle],
    *,
    size: tuple[int, str, str],
) -> go.Figure:
    """Dots in groups by contrast (or all in one), with both axes through 0."""
    height, x_title, y_title = size
    figure = new_figure(height, margin={"l": 80, "r": 24, "t": 52, "b": 58})
    groups = frame["contrast"].unique(maintain_order=True).to_list() if "contrast" in frame.columns else [None]
    for group in groups:
        own = frame if group is None else frame.filter(pl.col("contrast") == group)
        texts = hover if group is None else [t for t, g in zip(hover, frame["contrast"], strict=True) if g == group]
        style = style_of(own.row(0, named=True))
        figure.add_scatter(
            x=column(own, x),
            y=column(own, y),
            mode="markers",
            name=label(group) if group is not None else "facets",
            marker={"size": 9, "color": style.colour, "symbol": style.symbol, "line": {"width": 0.8, "color": "white"}},
            customdata=texts,
            hovertemplate="%{customdata}<extra></extra>",
        )
    figure.update_xaxes(title_text=x_title)
    figure.update_yaxes(title_text=y_title)
    return figure


def _ends(frame: pl.DataFrame, name: str) -> list[float]:
    values = [abs(value) for value in frame[name].drop_nulls()]
    most = max([*values, 1e-3])
    return [-most, most]


def between_models(frame: pl.DataFrame) -> go.Figure | None:
    """Correlation over facets of every contrast, and of every persona's profile, between two models; None without any.

    Args:
        frame: columns profile ("contrast", "persona"), subject, model_x, model_y, r, low, high, n.
    """
    pair_name = pl.concat_str("model_x", "model_y", separator=" and ")
    rows = frame.drop_nulls("r").with_columns(pair=pair_name, row=pl.concat_str("profile", "subject", separator=": "))
    if rows.is_empty():
        return None
    pairs = rows["pair"].unique(maintain_order=True).to_list()
    names = rows["row"].unique(maintain_order=True).to_list()
    figure = new_figure(150 + 30 * len(names), margin={"l": 210, "r": 24, "t": 52, "b": 58}, showlegend=True)
    for index, (pair, shift) in enumerate(zip(pairs, dodge(len(pairs), 0.12), strict=True)):
        own = rows.filter(pl.col("pair") == pair)
        hover = [
            f"<b>{label(row['subject'])}</b>, {figure_text(pair)}<br>r {estimate(row['r'], row['low'], row['high'])}, "
            f"facets: {count(row['n'])}"
            for row in own.iter_rows(named=True)
        ]
        y = [names.index(row) + shift for row in own["row"]]
        style = PersonaStyle(SERIES[index % len(SERIES)], "circle")
        x, low, high = (column(own, end) for end in ("r", "low", "high"))
        figure.add_trace(dot_trace(x, y, low, high, style=style, hover=hover, size=9, name=figure_text(pair)))
    labels = [label(name) for _, name in rows.select("row", "subject").unique(maintain_order=True).iter_rows()]
    dress_named_axis(figure, labels)
    figure.update_xaxes(title_text="correlation over facets", range=[-1.05, 1.05])
    return figure
