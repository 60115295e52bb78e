"""Texts that nothing hangs on: passages whose perplexity, and questions whose answers, steering should leave alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict

from personascope.errors import DataError
from personascope.files import sha256_json
from personascope.instruments.items import Text
from personascope.instruments.records import load_records, require_unique

BUILT_IN = Path(__file__).parent / "data" / "neutral_texts.csv"

KINDS = ("passage", "question")


class NeutralText(BaseModel):
    """A passage of plain prose, or a question about something that everybody may know."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Text
    kind: Literal["passage", "question"]
    text: Text


@dataclass(frozen=True)
class NeutralTexts:
    """Passages and questions in a fixed order."""

    texts: tuple[NeutralText, ...]
    name: str

    @property
    def passages(self) -> tuple[NeutralText, ...]:
        """The texts of kind passage, in order."""
        return tuple(text for text in self.texts if text.kind == "passage")

    @property
    def questions(self) -> tuple[NeutralText, ...]:
        """The texts of kind question, in order."""
        return tuple(text for text in self.texts if text.kind == "question")

    def subset(self, n: int) -> NeutralTexts:
        """The first `n` passages and the first `n` questions.

        Raises:
            DataError: fewer than one text asked for.
        """
        if n < 1:
            raise DataError(f"n is {n}.", "Each kind keeps its first n texts.", "Use 1 or more.")
        return NeutralTexts((*self.passages[:n], *self.questions[:n]), self.name)

    def hash(self) -> str:
        """Content hash over every text, in order."""
        return sha256_json([text.model_dump() for text in self.texts])

    def frame(self) -> pl.DataFrame:
        """Columns id, kind, text."""
        return pl.DataFrame([text.model_dump() for text in self.texts], schema=["id", "kind", "text"])


def load_neutral_texts(path: Path | None = None) -> NeutralTexts:
    """Load the built-in texts (24 passages of 40 to 80 words, 12 questions) or a file with id, kind and text.

    Raises:
        FileFormatError: with line number: malformed row, unknown kind, duplicate id or text.
    """
    source = BUILT_IN if path is None else path
    records = load_records(source, NeutralText)
    require_unique(source, [(line, text.id) for line, text in records], "id")
    require_unique(source, [(line, text.text.casefold()) for line, text in records], "text")
    return NeutralTexts(tuple(text for _, text in records), source.stem)
