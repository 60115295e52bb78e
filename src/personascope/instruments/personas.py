"""Personas: named ways of being asked, as data files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from personascope.errors import DataError, nearest
from personascope.instruments.items import Text
from personascope.instruments.records import load_records, require_unique

BUILT_IN = Path(__file__).parent / "data" / "personas.yaml"


class Phrasing(BaseModel):
    """One wording: a system message (empty for none) and the sentence that frames a questionnaire."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str = ""
    framing: str = ""


class Persona(BaseModel):
    """A condition (self, meta, helpful, placebo) or a character (assistant, evil ...), with one or more phrasings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text
    about: str
    phrasings: tuple[Phrasing, ...] = Field(min_length=1)


def load_personas(path: Path | None = None) -> dict[str, Persona]:
    """Load the built-in personas, or those of a YAML file, by name.

    Raises:
        FileFormatError: with line number: malformed record, unknown field, duplicate name.
    """
    source = BUILT_IN if path is None else path
    records = load_records(source, Persona)
    require_unique(source, [(line, persona.name) for line, persona in records], "name")
    return {persona.name: persona for _, persona in records}


def pick_personas(available: dict[str, Persona], names: list[str]) -> list[Persona]:
    """The personas named, in that order.

    Raises:
        DataError: a name is unknown or stands twice.
    """
    for name in names:
        if name not in available:
            raise DataError(
                f"Unknown persona {name!r}.{nearest(name, available)}",
                f"Known personas: {', '.join(available)}.",
                "Correct the name, or point `personas` at a YAML file that defines it.",
            )
    if len(set(names)) != len(names):
        raise DataError(f"A persona stands twice in {names}.", "", "Name each once.")
    return [available[name] for name in names]


def require_wordings(personas: Sequence[Persona], n: int, key: str) -> None:
    """Raise DataError for a persona with fewer than `n` wordings; `key` is where a recipe asks for them."""
    for persona in personas:
        if len(persona.phrasings) < n:
            raise DataError(
                f"Persona {persona.name!r} has {len(persona.phrasings)} wordings, and {n} are to be asked.",
                "Every persona is asked in equally many wordings, so that none rests on one of them.",
                f"Write further wordings of it in your personas file, or lower {key}.",
            )
