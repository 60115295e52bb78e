"""HEXACO figures: facet and domain profiles, contrasts between personas, answer quality, single items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import polars as pl

from personascope.report.dots import Panel, column, dot_trace, persona_panels
from personascope.report.rows import (
    DOMAIN_NAMES,
    FACET_LEFT,
    contrast_columns,
    dodge,
    domains_of,
    dress_domain_axis,
    dress_facet_axis,
    facet_rows,
)
from personascope.report.theme import INK, Styles, new_figure, persona_styles
from personascope.report.wording import estimate, label, number, probability, signed, wrapped

TRAIT_AXIS = "trait score (possible range −1 to 1; dots with 95 % intervals over items)"
STAR_AT = 0.05


def facet_profile(frame: pl.DataFrame, styles: Styles | None = None) -> go.Figure:
    """Trait of every persona on every facet, with 95 % intervals; facets grouped by domain, Altruism last.

    Args:
        frame: columns persona, facet, domain, trait, low, high, acquiescence, n_items; one row per persona and facet.
            A facet with a null trait keeps its row and shows no dot.
        styles: colour and marker per persona; by default those of `persona_styles`.
    """
    rows = facet_rows(frame["facet"].to_list(), domains_of(frame))
    figure = new_figure(900, margin={"l": FACET_LEFT, "r": 28, "t": 52, "b": 58}, meta={"emphasis": True})
    personas = frame["persona"].unique(maintain_order=True).to_list()
    known = styles or persona_styles(personas)
    for shift, (persona, part) in zip(dodge(len(personas)), _by_persona(frame), strict=True):
        hover = [
            f"<b>{label(persona)}</b>: {label(row['facet'])}<br>trait {estimate(row['trait'], row['low'], row['high'])}"
            f"<br>acquiescence {number(row['acquiescence'])}<br>{row['n_items']} items"
            for row in part.iter_rows(named=True)
        ]
        y = [rows.places[facet] + shift for facet in part["facet"]]
        x, low, high = (column(part, name) for name in ("trait", "low", "high"))
        style = known[persona]
        trace = dot_trace(x, y, low, high, style=style, hover=hover, name=label(persona), meta={"persona": persona})
        figure.add_trace(trace)
    dress_facet_axis(figure, rows)
    figure.update_xaxes(title_text=TRAIT_AXIS, zeroline=True, rangemode="tozero")
    return figure


def domain_profile(frame: pl.DataFrame, styles: Styles | None = None) -> go.Figure:
    """Trait of every persona on every domain, with 95 % intervals.

    Args:
        frame: columns persona, domain, trait, low, high.
        styles: colour and marker per persona.
    """
    domains = [d for d in DOMAIN_NAMES if d in set(frame["domain"])]
    places = {domain: float(index) for index, domain in enumerate(domains)}
    figure = new_figure(140 + 52 * len(domains), margin={"l": 160, "r": 28, "t": 52, "b": 58}, meta={"emphasis": True})
    personas = frame["persona"].unique(maintain_order=True).to_list()
    known = styles or persona_styles(personas)
    for shift, (persona, part) in zip(dodge(len(personas)), _by_persona(frame), strict=True):
        own = part.filter(pl.col("domain").is_in(domains))
        x, low, high = (column(own, name) for name in ("trait", "low", "high"))
        hover = [
            f"<b>{label(persona)}</b>: {DOMAIN_NAMES[domain]}<br>trait {estimate(*numbers)}"
            for domain, *numbers in zip(own["domain"], x, low, high, strict=True)
        ]
        y = [places[domain] + shift for domain in own["domain"]]
        style, shown = known[persona], {"name": label(persona), "meta": {"persona": persona}}
        figure.add_trace(dot_trace(x, y, low, high, style=style, hover=hover, size=9, **shown))
    dress_domain_axis(figure, domains)
    figure.update_xaxes(title_text=TRAIT_AXIS, rangemode="tozero")
    return figure


def contrasts(
    frame: pl.DataFrame, domains: Mapping[str, str | None] | None = None, styles: Styles | None = None
) -> go.Figure:
    """Paired differences per facet, one column per contrast; filled dots with a star have q < .05.

    Args:
        frame: columns contrast ("meta - self"), facet, difference, low, high, p, q, difference_positive,
            difference_negative, n.
        domains: facet -> domain, to group the facets as in the profile; without it they stand as they come.
        styles: colour per persona; a contrast has the colour of its first persona.
    """
    rows = facet_rows(frame["facet"].to_list(), domains or {})
    names = frame["contrast"].unique(maintain_order=True).to_list()
    known = styles or persona_styles(name.split(" - ")[0] for name in names)
    figure = contrast_columns(names, 860)
    for place, name in enumerate(names, start=1):
        part = frame.filter(pl.col("contrast") == name)
        style = known[name.split(" - ")[0]]
        stars = [q is not None and q < STAR_AT for q in column(part, "q")]
        x, low, high = (column(part, end) for end in ("difference", "low", "high"))
        y = [rows.places[facet] for facet in part["facet"]]
        marker: dict[str, Any] = {"color": [style.colour if star else "white" for star in stars]}
        marker["line"] = {"color": style.colour, "width": 1.6}
        hover = [_contrast_hover(row) for row in part.iter_rows(named=True)]
        dots = dot_trace(x, y, low, high, style=style, hover=hover, size=9, name=label(name), marker=marker)
        figure.add_trace(dots, row=1, col=place)
        figure.add_trace(_stars(x, high, y, stars), row=1, col=place)
    dress_facet_axis(figure, rows)
    figure.update_xaxes(title_text="difference in trait", nticks=6)
    return figure


def answer_quality(frame: pl.DataFrame, styles: Styles | None = None) -> go.Figure:
    """Per persona: mass on the answer labels, order bias, acquiescence, agreement of + and - keyed items.

    Args:
        frame: columns persona, label_mass, order_bias (mean absolute), acquiescence, key_consistency, n.
        styles: colour and marker per persona.
    """
    panels = [
        Panel("label_mass", "Label mass", "probability on the answer labels", (-0.03, 1.05)),
        Panel("order_bias", "Order bias", "mean absolute, agreement units"),
        Panel("acquiescence", "Acquiescence", "mean agreement (−1 to 1)"),
        Panel("key_consistency", "Key consistency", "r of + and reversed − items", (-1.08, 1.08)),
    ]
    return persona_panels(frame, panels, styles)


def single_items(
    frame: pl.DataFrame, domains: Mapping[str, str | None] | None = None, styles: Styles | None = None
) -> go.Figure:
    """Raw agreement with every statement, its text on hover; one persona is shown at a time.

    Filled dots are statements that speak for the facet, hollow ones against it. A persona with an opinion has them
    apart; one that says yes to everything has them together.

    Args:
        frame: columns persona, item, facet, key, text, agreement, order_bias, label_mass.
        domains: facet -> domain, to group the facets.
        styles: colour per persona.
    """
    rows = facet_rows(frame["facet"].to_list(), domains or (domains_of(frame) if "domain" in frame.columns else {}))
    figure = new_figure(860, margin={"l": FACET_LEFT, "r": 28, "t": 52, "b": 58})
    personas = frame["persona"].unique(maintain_order=True).to_list()
    known = styles or persona_styles(personas)
    for persona in personas:
        for key, name in ((1, "statements for the facet"), (-1, "statements against it")):
            part = frame.filter((pl.col("persona") == persona) & (pl.col("key") == key))
            colour = known[persona].colour
            figure.add_scatter(
                x=column(part, "agreement"),
                y=[rows.places[facet] - 0.17 * key for facet in part["facet"]],
                mode="markers",
                name=f"{label(persona)}: {name}",
                marker={"size": 8, "color": colour if key > 0 else "white", "line": {"color": colour, "width": 1.4}},
                opacity=0.85,
                customdata=[_item_hover(row) for row in part.iter_rows(named=True)],
                hovertemplate="%{customdata}<extra></extra>",
                visible=persona == personas[0],
                meta={"persona": persona},
            )
    dress_facet_axis(figure, rows)
    figure.update_xaxes(
        title_text="agreement with the statement as worded (−1 = strongly disagree, 1 = strongly agree)"
    )
    figure.update_layout(showlegend=True)
    return figure


def _by_persona(frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    return [(str(persona), part) for (persona,), part in frame.group_by("persona", maintain_order=True)]


def _stars(x: list[float | None], high: list[float | None], y: list[float], stars: list[bool]) -> go.Scatter:
    ends = [(at if end is None else end, row) for at, end, row, star in zip(x, high, y, stars, strict=True) if star]
    return go.Scatter(
        x=[end for end, _ in ends],
        y=[row for _, row in ends],
        mode="text",
        text=[" ★"] * len(ends),
        textposition="middle right",
        textfont={"size": 12, "color": INK},
        hoverinfo="skip",
    )


def _contrast_hover(row: dict[str, Any]) -> str:
    return (
        f"<b>{label(row['contrast'])}</b>: {label(row['facet'])}"
        f"<br>difference {estimate(row['difference'], row['low'], row['high'])}"
        f"<br>{probability('p', row['p'])}, {probability('q', row['q'])}, {row['n']} items"
        f"<br>change on + items {signed(row['difference_positive'])}, on − items {signed(row['difference_negative'])}"
    )


def _item_hover(row: dict[str, Any]) -> str:
    return (
        f"{wrapped(row['text'])}<br><b>{label(row['persona'])}</b>, {label(row['facet'])}, "
        f"{'for' if row['key'] > 0 else 'against'} the facet<br>agreement {number(row['agreement'])}, "
        f"order bias {number(row['order_bias'])}, label mass {number(row['label_mass'])}"
    )
