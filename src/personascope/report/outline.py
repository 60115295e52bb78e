"""What a section of the page is made of: which table gives which words, which figure and which quotes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import plotly.graph_objects as go
import polars as pl

from personascope.report.theme import Styles

Tables = Mapping[str, pl.DataFrame]


@dataclass(frozen=True)
class Quote:
    """What a respondent wrote, and who wrote it of what; both are shown as they are, as text."""

    text: str
    source: str


def no_words(_: pl.DataFrame) -> list[str]:
    """For a table whose figure speaks beside the words of another."""
    return []


def no_figure(_tables: Tables, _styles: Styles) -> go.Figure | None:
    """For a table that is all words."""
    return None


def no_quotes(_: pl.DataFrame) -> list[Quote]:
    """For a table of numbers."""
    return []


@dataclass(frozen=True)
class Part:
    """One table's share of a section."""

    table: str
    id: str
    caption: str
    words: Callable[[pl.DataFrame], list[str]]
    draw: Callable[[Tables, Styles], go.Figure | None]
    quotes: Callable[[pl.DataFrame], list[Quote]] = no_quotes


@dataclass(frozen=True)
class Outline:
    """A section to be: its parts are shown when their tables are there."""

    id: str
    heading: str
    parts: tuple[Part, ...]
    care: str
