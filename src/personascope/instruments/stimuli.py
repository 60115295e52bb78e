"""Labelled texts that a direction is asked to tell apart: true from false, harmful from benign, left from right."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from pydantic import BaseModel, ConfigDict

from personascope.errors import DataError, FileFormatError, nearest
from personascope.files import sha256_json
from personascope.instruments.items import Text
from personascope.instruments.records import load_records, require_unique

_DATA = Path(__file__).parent / "data"
BUILT_IN = {"truth": "true", "harm": "harmful", "politics": "left"}
"""Built-in sets and their positive labels."""


class Stimulus(BaseModel):
    """One text. Those of a `pair` differ in their label and in as few words as possible.

    `question` is the user's message to which the text is the assistant's answer; `reply` is what the assistant says to
    the text, for texts that are requests. Both serve the assistant's turn only.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Text
    label: Text
    text: Text
    pair: Text | None = None
    topic: Text | None = None
    question: Text | None = None
    reply: Text | None = None


@dataclass(frozen=True)
class Balance:
    """What could give the label away without being what it means.

    Args:
        words: mean number of words of the texts, by label.
        replies: the same of the replies (the texts, where there are none).
        length_ratio: the larger mean by the smaller, the worse of texts and replies; 1 is balanced.
        first_word: share of texts whose label is guessed from the first word, by the majority among the texts of other
            pairs that begin with it; ties and unseen words count one half, so .5 is chance.
        n: texts by label.
    """

    words: Mapping[str, float]
    replies: Mapping[str, float]
    length_ratio: float
    first_word: float
    n: Mapping[str, int]


@dataclass(frozen=True)
class Stimuli:
    """Texts of two labels in a fixed order, all paired or none."""

    stimuli: tuple[Stimulus, ...]
    name: str
    positive: str
    negative: str

    @property
    def paired(self) -> bool:
        """Whether every text has its counterpart of the other label."""
        return self.stimuli[0].pair is not None

    def balance(self) -> Balance:
        """Length by label, and how far the first word gives the label away."""
        said = {s.id: s.reply or s.text for s in self.stimuli}
        n = Counter(s.label for s in self.stimuli)
        words, replies = (
            {label: sum(_n_words(of(s)) for s in self.stimuli if s.label == label) / n[label] for label in n}
            for of in (lambda s: s.text, lambda s: said[s.id])
        )
        ratio = max(max(lengths.values()) / min(lengths.values()) for lengths in (words, replies))
        return Balance(words, replies, ratio, self._first_word(), dict(n))

    def _first_word(self) -> float:
        seen: Counter[tuple[str, str]] = Counter((_first(s), s.label) for s in self.stimuli)
        own: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
        for s in self.stimuli:
            own[s.pair or s.id][_first(s), s.label] += 1
        hits = 0.0
        for s in self.stimuli:
            other = self.negative if s.label == self.positive else self.positive
            right, wrong = (seen[_first(s), x] - own[s.pair or s.id][_first(s), x] for x in (s.label, other))
            hits += 0.5 if right == wrong else float(right > wrong)
        return hits / len(self.stimuli)

    def hash(self) -> str:
        """Content hash over every text, in order."""
        return sha256_json([self.positive, [s.model_dump() for s in self.stimuli]])

    def frame(self) -> pl.DataFrame:
        """Columns id, pair, label, positive (bool), topic, text, question, reply."""
        table = pl.DataFrame(
            [s.model_dump() for s in self.stimuli], schema=dict.fromkeys(Stimulus.model_fields, pl.String)
        )
        positive = (pl.col("label") == self.positive).alias("positive")
        return table.select("id", "pair", "label", positive, "topic", "text", "question", "reply")


def load_stimuli(source: str | Path, positive: str | None = None) -> Stimuli:
    """Load a built-in set ("truth", "harm", "politics") or a file of labelled texts.

    Args:
        source: name of a built-in set, or a .csv, .jsonl, .json or .yaml file with the fields id, label and text, and
            if wanted pair (shared by two texts), topic, question and reply.
        positive: the label that a positive effect means; needed for a file.

    Raises:
        FileFormatError: with line number: malformed row, repeated id or text, a third label, a pair that has not one
            text of each label, or texts with and without a pair in one file. A path that does not exist.
        DataError: an unknown built-in set, no positive label, or one that the file does not have.
    """
    name = source if isinstance(source, str) else source.stem
    path = _DATA / f"stimuli_{name}.csv" if name in BUILT_IN and isinstance(source, str) else Path(source)
    if isinstance(source, str) and name not in BUILT_IN and not path.suffix:
        raise DataError(
            f"Unknown stimuli {name!r}.{nearest(name, BUILT_IN)}",
            f"Built-in sets are {', '.join(BUILT_IN)}.",
            "Correct the name, or pass the path of a file.",
        )
    records = load_records(path, Stimulus)
    require_unique(path, [(line, s.id) for line, s in records], "id")
    require_unique(path, [(line, s.text.casefold()) for line, s in records], "text")
    labels = _two_labels(path, records)
    _require_pairs(path, records)
    chosen = BUILT_IN.get(name) if positive is None and path.parent == _DATA else positive
    if chosen not in labels:
        raise DataError(
            f"The positive label of {path} is {chosen!r}.{nearest(chosen or '', labels)}",
            f"Its labels are {' and '.join(labels)}; an effect needs to know which of them it speaks for.",
            f"Pass positive={labels[0]!r} or positive={labels[1]!r}.",
        )
    negative = labels[1 - labels.index(chosen)]
    return Stimuli(tuple(s for _, s in records), Path(name).stem, chosen, negative)


def _two_labels(path: Path, records: list[tuple[int, Stimulus]]) -> list[str]:
    labels: list[str] = []
    for line, s in records:
        if s.label not in labels and len(labels) == 2:
            raise FileFormatError(
                f"{path}, line {line}: a third label {s.label!r}.{nearest(s.label, labels)}",
                f"The others are {labels[0]!r} and {labels[1]!r}; an effect is between two.",
                "Correct the label, or make a file for each contrast.",
            )
        if s.label not in labels:
            labels.append(s.label)
    if len(labels) < 2:
        raise FileFormatError(f"{path}: all {len(records)} texts are labelled {labels[0]!r}.", "", "Use two labels.")
    return labels


def _require_pairs(path: Path, records: list[tuple[int, Stimulus]]) -> None:
    """All texts or none have a pair, and each pair one text of each label."""
    members: dict[str, list[tuple[int, Stimulus]]] = defaultdict(list)
    first_line, first = records[0]
    for line, s in records:
        if (s.pair is None) != (first.pair is None):
            raise FileFormatError(
                f"{path}, line {line}: {s.id!r} has {'no' if s.pair is None else 'a'} pair, {first.id!r} in line "
                f"{first_line} has {'none' if first.pair is None else 'one'}.",
                "Paired and unpaired effects have different errors.",
                "Pair all texts or none.",
            )
        if s.pair is not None:
            members[s.pair].append((line, s))
    for pair, both in members.items():
        if len(both) != 2 or both[0][1].label == both[1][1].label:
            found = ", ".join(f"{s.label!r} (line {line})" for line, s in both)
            raise FileFormatError(
                f"{path}, line {both[-1][0]}: pair {pair!r} has {found}.",
                "A pair is one text of each label.",
                "Add, remove or relabel a text.",
            )


def _n_words(text: str) -> int:
    return len(text.split())


def _first(stimulus: Stimulus) -> str:
    return stimulus.text.split()[0].casefold()
