"""Rows and columns of a figure: facets by domain or names one below the other, and a column for each contrast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from personascope.instruments.facets import DOMAINS
from personascope.report.theme import BAND, INK, MUTED, template
from personascope.report.wording import label

DOMAIN_NAMES = {domain: name for domain, (name, _) in DOMAINS.items()}
BETWEEN = "Between domains"
FACET_LEFT = 272
"""Left margin in pixels that holds the names of domains and facets."""
_GAP = 0.7
_LEGEND = 34
"""Pixels between the plot area and a legend that stands above the titles of columns."""


@dataclass(frozen=True)
class FacetRows:
    """Where each facet stands on a vertical axis: domains in HEXACO order with gaps, facets of no domain last.

    Args:
        places: facet -> height, growing downwards.
        blocks: (domain name, first height, last height) from top to bottom.
    """

    places: dict[str, float]
    blocks: tuple[tuple[str, float, float], ...]

    @property
    def bottom(self) -> float:
        """Height below the last facet."""
        return max(self.places.values(), default=0.0) + 0.5


def facet_rows(facets: Sequence[str], domains: Mapping[str, str | None]) -> FacetRows:
    """Lay out facets by domain, in order of first appearance within one."""
    found = dict.fromkeys(domains.get(facet) for facet in facets)
    order: list[str | None] = [*(d for d in DOMAIN_NAMES if d in found), *(d for d in found if d not in DOMAIN_NAMES)]
    order.sort(key=lambda domain: domain is None)
    places: dict[str, float] = {}
    blocks = []
    height = 0.0
    for domain in order:
        own = [facet for facet in dict.fromkeys(facets) if domains.get(facet) == domain]
        places |= {facet: height + index for index, facet in enumerate(own)}
        name = BETWEEN if domain is None else DOMAIN_NAMES.get(domain, domain)
        blocks.append((name, height, height + len(own) - 1))
        height += len(own) - 1 + 1 + _GAP
    return FacetRows(places, tuple(blocks))


def domains_of(frame: pl.DataFrame) -> dict[str, str | None]:
    """Domain of each facet (null for interstitial facets), from any frame with both columns."""
    return dict(frame.select("facet", "domain").unique(maintain_order=True).iter_rows())


def dodge(n: int, most: float = 0.2) -> list[float]:
    """Vertical shifts that set the n dots of one row apart by `most` or less, the first on top."""
    step = min(most, 0.76 / max(1, n))
    return [(index - (n - 1) / 2) * step for index in range(n)]


def dress_facet_axis(figure: go.Figure, rows: FacetRows) -> None:
    """Facet names as ticks, domain names to their left, a band behind every second domain."""
    ticks = {"tickvals": list(rows.places.values()), "ticktext": [label(facet) for facet in rows.places]}
    figure.update_yaxes(range=[rows.bottom + 0.1, -0.6], zeroline=False, showgrid=True, automargin=False, **ticks)
    for index, (name, first, last) in enumerate(rows.blocks):
        if len(rows.blocks) > 1:
            figure.add_annotation(
                text=f"<b>{label(name)}</b>",
                font={"size": 12.5, "color": INK if name != BETWEEN else MUTED},
                **{"xref": "paper", "x": 0, "xanchor": "left", "xshift": 8 - FACET_LEFT, "showarrow": False},
                **{"y": (first + last) / 2, "yref": "y", "yanchor": "middle"},
            )
        if index % 2 == 0:
            corners = {"xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": first - 0.5, "y1": last + 0.5}
            figure.add_shape(type="rect", fillcolor=BAND, line_width=0, layer="below", **corners)


def dress_named_axis(figure: go.Figure, ticktext: Sequence[str], *, banded: bool = False) -> None:
    """One row for each name at heights 0, 1, ... from the top; where asked, a band behind every second one.

    Args:
        figure: with any number of columns; traces need not be there yet.
        ticktext: escaped names.
        banded: bands in place of grid lines.
    """
    ticks = {"tickvals": list(range(len(ticktext))), "ticktext": list(ticktext)}
    figure.update_yaxes(range=[len(ticktext) - 0.5, -0.5], zeroline=False, showgrid=not banded, **ticks)
    for place in range(1, len(ticktext), 2) if banded else ():
        corners = {"xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": place - 0.5, "y1": place + 0.5}
        figure.add_shape(type="rect", fillcolor=BAND, line_width=0, layer="below", **corners)


def dress_domain_axis(figure: go.Figure, domains: Sequence[str]) -> None:
    """One banded row for each HEXACO domain, under its full name."""
    dress_named_axis(figure, [f"<b>{DOMAIN_NAMES[domain]}</b>" for domain in domains], banded=True)


def contrast_columns(names: Sequence[str], height: int, *, left: int = FACET_LEFT, legend: bool = False) -> go.Figure:
    """An empty figure with one titled column for each contrast; all share their horizontal range.

    Args:
        names: of the contrasts, as stored.
        height: of the figure in pixels.
        left: margin in pixels, for the names of the rows.
        legend: whether to leave room for one above the titles.
    """
    figure = make_subplots(
        rows=1,
        cols=len(names),
        shared_xaxes="all",
        horizontal_spacing=0.03,
        subplot_titles=[f"<b>{label(name)}</b>" for name in names],
    )
    margin = {"l": left, "r": 24, "t": 92 if legend else 44, "b": 58}
    figure.update_layout(template=template(), height=height, margin=margin, showlegend=legend)
    if legend:
        legend_above(figure)
    figure.update_annotations(font={"size": 13.5})
    for place in range(2, len(names) + 1):
        figure.update_yaxes(showticklabels=False, col=place)
    return figure


def legend_above(figure: go.Figure) -> None:
    """Move the legend above the titles of the figure's columns; height and margin must be set."""
    plot = figure.layout.height - figure.layout.margin.t - figure.layout.margin.b
    figure.update_layout(legend={"y": 1 + _LEGEND / plot})
