"""Biographies that carry a preference for one task in one of their sentences, and are the same in all others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from personascope.errors import FileFormatError
from personascope.instruments.items import Text
from personascope.instruments.records import load_records, require_unique

WORDS = ("pro", "neutral", "anti")


def _with_slot(text: str) -> str:
    if text.count("{activity}") != 1 or text.count("{") != 1:
        raise ValueError("expected the slot {activity} once, and no other")
    return text


class Piece(BaseModel):
    """A role (sentences before and after, and three wordings of the one between), or a target (task and activity)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    part: Literal["role", "target"]
    name: Text | None = None
    before: tuple[Text, ...] = ()
    after: tuple[Text, ...] = ()
    pro: Text | None = None
    neutral: Text | None = None
    anti: Text | None = None
    task: Text | None = None
    activity: Annotated[Text, Field(pattern=r"^[^{}]+$")] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Piece:
        needed = ("name", "before", "after", *WORDS) if self.part == "role" else ("task", "activity")
        filled = {name for name in Piece.model_fields if name != "part" and getattr(self, name)}
        if filled != set(needed):
            odd = sorted(filled ^ set(needed))
            raise ValueError(f"a {self.part} has {', '.join(needed)} and nothing else; see {', '.join(odd)}")
        if self.part == "role":
            for word in WORDS:
                _with_slot(getattr(self, word))
        return self


@dataclass(frozen=True)
class Biography:
    """One role with one target; `text` gives it in its three wordings."""

    role: str
    task: str
    before: tuple[str, ...]
    between: dict[str, str]
    after: tuple[str, ...]

    def text(self, word: str) -> str:
        """The whole biography; `word` is "pro", "neutral" or "anti"."""
        return " ".join([*self.before, self.between[word], *self.after])


def load_biographies(path: Path) -> list[Biography]:
    """All roles with all targets of a file of pieces, roles outermost.

    Raises:
        FileFormatError: with line number: a malformed piece, a role or a target twice, or no role or target at all.
    """
    records = load_records(path, Piece)
    require_unique(path, [(line, p.name or "") for line, p in records if p.part == "role"], "name")
    require_unique(path, [(line, p.task or "") for line, p in records if p.part == "target"], "task")
    roles = [p for _, p in records if p.part == "role"]
    targets = [p for _, p in records if p.part == "target"]
    if not roles or not targets:
        raise FileFormatError(
            f"{path}: {len(roles)} roles and {len(targets)} targets.", "", "Give one or more of each."
        )
    made = []
    for role in roles:
        for target in targets:
            between = {word: str(getattr(role, word)).format(activity=target.activity) for word in WORDS}
            made.append(Biography(str(role.name), str(target.task), role.before, between, role.after))
    return made
