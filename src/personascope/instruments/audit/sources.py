"""Overlap with source instruments: an item that repeats a licensed sentence must not be published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from personascope.instruments.audit.duplicates import JACCARD
from personascope.instruments.audit.findings import Finding
from personascope.instruments.audit.similarity import cosine_blocks, spelling_vectors
from personascope.instruments.audit.wording import normal_form
from personascope.instruments.items import ItemBank, Text
from personascope.instruments.records import load_records

RUN = 6
"""So many consecutive words in common are worth a look, whatever stands around them."""


@dataclass(frozen=True)
class SourceInstrument:
    """Texts that items must not repeat; they are compared and never shown, stored or sent anywhere."""

    name: str
    texts: tuple[str, ...]

    @classmethod
    def of(cls, bank: ItemBank) -> SourceInstrument:
        """The texts of a bank."""
        return cls(bank.name, tuple(item.text for item in bank.items))


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    text: Text


def load_source(path: Path) -> SourceInstrument:
    """Read the `text` field of a .csv, .jsonl, .json or .yaml file; facets and keys are not needed.

    Raises:
        FileFormatError: with line number: not such a file, or a record without text.
    """
    return SourceInstrument(path.stem, tuple(record.text for _, record in load_records(path, _Record)))


def source_overlap(texts: Sequence[str], source: SourceInstrument, threshold: float) -> list[Finding | None]:
    """One finding, or None, for each text: a copy or near copy ("drop"), or a long run of the same words ("review").

    Args:
        texts: the items.
        source: what they must not repeat.
        threshold: cosine of character n-grams from which on two texts are near copies.
    """
    forms, known = [normal_form(text) for text in texts], [normal_form(text) for text in source.texts]
    rows = spelling_vectors([*texts, *source.texts])
    exact, runs = set(known), {run for form in known for run in _runs(form)}
    bags = [frozenset(form.split()) for form in known]
    found: list[Finding | None] = []
    for start, cosines in cosine_blocks(rows[: len(texts)], rows[len(texts) :]):
        for offset, line in enumerate(cosines):
            form = forms[start + offset]
            place = int(np.argmax(line))
            own = frozenset(form.split())
            shared = len(own & bags[place]) / max(1, len(own | bags[place]))
            if form in exact:
                found.append(Finding("source_copy", "drop", f"copies an item of {source.name!r}"))
            elif line[place] >= threshold or shared >= JACCARD:
                found.append(Finding("source_copy", "drop", f"nearly copies item {place + 1} of {source.name!r}"))
            elif common := next((run for run in _runs(form) if run in runs), None):
                why = f"shares {RUN} words in a row with {source.name!r}: {common!r}"
                found.append(Finding("source_words", "review", why))
            else:
                found.append(None)
    return found


def _runs(form: str) -> list[str]:
    found = form.split()
    return [" ".join(found[at : at + RUN]) for at in range(len(found) - RUN + 1)]
