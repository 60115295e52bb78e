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
    """What a respondent wrote, and who wrote it of what; both are shown as they are, as text.

    Where something is `marked`, it follows the text, set off from it, and both keep their lines.
    """

    text: str
    source: str
    marked: str = ""


@dataclass(frozen=True)
class Grid:
    """Numbers that are compared row by row, as a table of text; the first column names the rows."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def no_words(_: pl.DataFrame) -> list[str]:
    """For a table whose figure speaks beside the words of another."""
    return []


def no_figure(_tables: Tables, _styles: Styles) -> go.Figure | None:
    """For a table that is all words."""
    return None


def no_more_words(_: Tables) -> list[str]:
    """For a table that speaks for itself."""
    return []


def no_grid(_: Tables) -> Grid | None:
    """For a table that is drawn."""
    return None


def no_quotes(_: pl.DataFrame) -> list[Quote]:
    """For a table of numbers."""
    return []


@dataclass(frozen=True)
class Part:
    """One table's share of a section; `told` are words that rest on other tables too, where they are there."""

    table: str
    id: str
    caption: str
    words: Callable[[pl.DataFrame], list[str]]
    draw: Callable[[Tables, Styles], go.Figure | None]
    quotes: Callable[[pl.DataFrame], list[Quote]] = no_quotes
    told: Callable[[Tables], list[str]] = no_more_words
    grid: Callable[[Tables], Grid | None] = no_grid


@dataclass(frozen=True)
class Outline:
    """A section to be: its parts are shown when their tables are there."""

    id: str
    heading: str
    parts: tuple[Part, ...]
    care: str
