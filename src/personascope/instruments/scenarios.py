"""Messages with one questionable span, its harmless twin and a neutral span, for steering at a few words only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from personascope.errors import DataError
from personascope.files import sha256_json
from personascope.instruments.items import Text
from personascope.instruments.records import load_records, require_unique

BUILT_IN = Path(__file__).parent / "data" / "scenarios.yaml"

SLOTS = ("critical", "neutral")
"""Slots of a message; rendered, they are the spans of these names in both versions."""
Version = Literal["critical", "benign"]
VERSIONS: tuple[Version, ...] = ("critical", "benign")
"""What fills the slot `critical`: the questionable words, or those of the twin."""
LONGEST_RATIO = 2.0
"""The longest of the three spans has at most this many times the words of the shortest, so that as much is steered."""

Span = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^{}\n]+$")]


class Scenario(BaseModel):
    """One message with the slots {critical} and {neutral}, what fills them, and the question that follows it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Text
    topic: Text
    message: Text
    critical: Span
    benign: Span
    neutral: Span
    question: Span

    @property
    def user(self) -> str:
        """Message and question with the slots in braces, as the text of the user turn of a `Template`."""
        return f"{self.message}\n\n{self.question}"

    def slots(self, version: Version = "critical") -> dict[str, str]:
        """Text for each slot: `render(tokenizer, Template(name, scenario.user), scenario.slots("benign"))`.

        The spans bear the slots' names in both versions, so "mean:critical" names the words of the twin in the twin.
        """
        return {"critical": self.critical if version == "critical" else self.benign, "neutral": self.neutral}

    def text(self, version: Version = "critical") -> str:
        """The user's whole words, slots filled."""
        return self.user.format(**self.slots(version))

    @model_validator(mode="after")
    def _spans_can_be_steered(self) -> Scenario:
        rest = self.message
        for slot in SLOTS:
            rest = rest.replace(f"{{{slot}}}", "", 1)
        if len(rest) != len(self.message) - sum(len(slot) + 2 for slot in SLOTS) or "{" in rest or "}" in rest:
            raise ValueError("the message needs the slots {critical} and {neutral}, once each, and no other braces")
        for version, words in (("critical", self.critical), ("benign", self.benign)):
            whole = self.user.format(critical=words, neutral=self.neutral)
            for name, span in ((version, words), ("neutral", self.neutral)):
                if whole.casefold().count(span.casefold()) != 1:
                    raise ValueError(f"the {name} span {span!r} occurs more than once, so its place is not clear")
        counts = {name: len(getattr(self, name).split()) for name in (*SLOTS, "benign")}
        if max(counts.values()) > LONGEST_RATIO * min(counts.values()):
            raise ValueError(f"the spans have {counts} words, and the longest may have twice those of the shortest")
        if self.critical.casefold() == self.benign.casefold():
            raise ValueError("the critical span and its benign twin are the same words")
        return self


@dataclass(frozen=True)
class Scenarios:
    """Scenarios in a fixed order."""

    scenarios: tuple[Scenario, ...]
    name: str

    def subset(self, n: int) -> Scenarios:
        """The first `n` scenarios.

        Raises:
            DataError: fewer than one asked for.
        """
        if n < 1:
            raise DataError(f"n is {n}.", "The first n scenarios are kept.", "Use 1 or more.")
        return Scenarios(self.scenarios[:n], self.name)

    def hash(self) -> str:
        """Content hash over every scenario, in order."""
        return sha256_json([scenario.model_dump() for scenario in self.scenarios])

    def frame(self) -> pl.DataFrame:
        """Columns id, topic, message, critical, benign, neutral, question."""
        return pl.DataFrame([scenario.model_dump() for scenario in self.scenarios])


def load_scenarios(path: Path | None = None) -> Scenarios:
    """Load the built-in scenarios (12) or a YAML, JSON or JSONL file of records with the fields of `Scenario`.

    Raises:
        FileFormatError: with line number: malformed record, unknown field, slots other than {critical} and {neutral}
            once each, a span that is empty or occurs twice, spans whose numbers of words differ by more than a factor
            of 2, equal critical and benign spans, duplicate id or message.
    """
    source = BUILT_IN if path is None else path
    records = load_records(source, Scenario)
    require_unique(source, [(line, scenario.id) for line, scenario in records], "id")
    require_unique(source, [(line, scenario.message.casefold()) for line, scenario in records], "message")
    return Scenarios(tuple(scenario for _, scenario in records), source.stem)
