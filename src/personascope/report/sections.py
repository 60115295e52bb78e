"""The page's sections: words and figures of every outline for which there are tables, model by model."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go
import polars as pl

from personascope.report.outline import Grid, Outline, Quote, Tables
from personascope.report.outline_elicitation import ELICITATION
from personascope.report.outline_facet_steering import FACET_STEERING
from personascope.report.outline_interview import INTERVIEW
from personascope.report.outline_necessity import NECESSITY
from personascope.report.outline_organism import ORGANISM
from personascope.report.outline_preferences import PREFERENCES
from personascope.report.outline_questionnaire import COMPARISON, QUESTIONNAIRE
from personascope.report.outline_responder import RESPONDER
from personascope.report.outline_sharing import with_sharing
from personascope.report.outline_shifts import SHIFTS
from personascope.report.outline_steering import STEERING
from personascope.report.outline_sweep import ACROSS, SWEEP
from personascope.report.outline_tuning import TUNING
from personascope.report.selectors import Selector, selectors_of
from personascope.report.theme import Styles

_AFTER = (
    *with_sharing(PREFERENCES[2:]),
    *SHIFTS,
    *STEERING,
    *NECESSITY,
    *RESPONDER,
    *FACET_STEERING,
    *TUNING,
    *ORGANISM,
    *INTERVIEW,
)
STUDY = (*QUESTIONNAIRE, *PREFERENCES[:1], *ELICITATION, *PREFERENCES[1:2], *SWEEP, *_AFTER)
"""Sections on one model, in the order of the page."""


@dataclass(frozen=True)
class Drawing:
    """A figure on the page: element id, caption, figure."""

    id: str
    caption: str
    figure: go.Figure


@dataclass(frozen=True)
class Section:
    """Heading, paragraphs of findings, tables, figures, quotes, and one line on what the numbers cannot bear."""

    id: str
    heading: str
    paragraphs: tuple[str, ...]
    drawings: tuple[Drawing, ...]
    quotes: tuple[Quote, ...]
    care: str
    grids: tuple[Grid, ...] = ()

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """The <select> elements that its figures call for."""
        return selectors_of(self.id, [drawing.figure for drawing in self.drawings])


def sections(tables: Tables, styles: Styles) -> list[Section]:
    """All sections for which there are tables.

    Tables with a column `model` that holds several models give a block of sections for each of them; tables without
    one belong to no single model and follow once, before what compares the models. So do tables of ACROSS, whose
    column `model` says which of them is read.

    Args:
        tables: what `tables.present` returned.
        styles: colour and marker of every persona on the page.
    """
    across = {part.table for outline in ACROSS for part in outline.parts}
    by_model = {name for name, frame in tables.items() if "model" in frame.columns and name not in across}
    named = [tables[name]["model"] for name in tables if name in by_model]
    models = list(dict.fromkeys(model for column in named for model in column.unique(maintain_order=True)))
    found = []
    shared = dict(tables)
    if len(models) > 1:
        shared = {name: frame for name, frame in tables.items() if name not in by_model}
        for number, model in enumerate(models, start=1):
            own = {name: frame.filter(pl.col("model") == model) for name, frame in tables.items() if name in by_model}
            for outline in STUDY:
                found += _section(outline, own, styles, suffix=f"-m{number}", title=f": {model}")
    for outline in (*STUDY, *ACROSS, *COMPARISON):
        found += _section(outline, shared, styles)
    return found


def _section(outline: Outline, tables: Tables, styles: Styles, *, suffix: str = "", title: str = "") -> list[Section]:
    """The section of an outline, or none; `suffix` keeps element ids apart."""
    tables = {name: frame for name, frame in tables.items() if not frame.is_empty()}
    parts = [part for part in outline.parts if part.table in tables]
    words = [text for part in parts for text in (*part.words(tables[part.table]), *part.told(tables))]
    grids = tuple(grid for part in parts if (grid := part.grid(tables)) is not None)
    figures = [(part, part.draw(tables, styles)) for part in parts]
    drawings = [Drawing(part.id + suffix, part.caption, figure) for part, figure in figures if figure is not None]
    if not drawings and not words and not grids:
        return []
    quotes = tuple(quote for part in parts for quote in part.quotes(tables[part.table]))
    names = outline.id + suffix, outline.heading + title
    return [Section(*names, tuple(words), tuple(drawings), quotes, outline.care, grids)]
