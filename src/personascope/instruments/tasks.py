"""Task pools: the user requests among which a model chooses, each with a topic."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from pydantic import BaseModel, ConfigDict

from personascope.errors import DataError
from personascope.files import sha256_json
from personascope.instruments.items import Text
from personascope.instruments.records import load_records, require_unique

BUILT_IN = Path(__file__).parent / "data" / "tasks.csv"


class Task(BaseModel):
    """One user request and the topic it is filed under."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Text
    topic: Text
    text: Text


@dataclass(frozen=True)
class TaskPool:
    """Tasks in a fixed order."""

    tasks: tuple[Task, ...]
    name: str

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics in order of first appearance."""
        return tuple(dict.fromkeys(task.topic for task in self.tasks))

    def subset(self, per_topic: int) -> TaskPool:
        """The first `per_topic` tasks of every topic.

        Raises:
            DataError: fewer than one task a topic was asked for.
        """
        if per_topic < 1:
            raise DataError(f"per_topic is {per_topic}.", "A pool needs at least one task per topic.", "Use 1 or more.")
        taken: Counter[str] = Counter()
        kept = []
        for task in self.tasks:
            taken[task.topic] += 1
            if taken[task.topic] <= per_topic:
                kept.append(task)
        return TaskPool(tuple(kept), self.name)

    def hash(self) -> str:
        """Content hash over every task, in order."""
        return sha256_json([task.model_dump() for task in self.tasks])

    def frame(self) -> pl.DataFrame:
        """Columns id, topic, text."""
        return pl.DataFrame([task.model_dump() for task in self.tasks])


def load_tasks(path: Path | None = None) -> TaskPool:
    """Load the built-in pool (240 tasks, 12 topics) or a file with the fields id, topic and text.

    Raises:
        FileFormatError: with line number: malformed row, duplicate id or text.
    """
    source = BUILT_IN if path is None else path
    records = load_records(source, Task)
    require_unique(source, [(line, task.id) for line, task in records], "id")
    require_unique(source, [(line, task.text.casefold()) for line, task in records], "text")
    return TaskPool(tuple(task for _, task in records), source.stem)
