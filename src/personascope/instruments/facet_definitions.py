"""What each facet means: one sentence for each pole, and where it ends and its nearest neighbours begin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from personascope.instruments.items import Text
from personascope.instruments.records import load_records, require_unique

BUILT_IN = Path(__file__).parent / "data" / "facets.yaml"


class Neighbour(BaseModel):
    """A facet easily taken for another, and the sentence that tells them apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    facet: Text
    boundary: Text


class FacetDefinition(BaseModel):
    """A facet by its two poles. `high` describes whoever agrees with items keyed +1, `low` with those keyed -1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    facet: Text
    high: Text
    low: Text
    neighbours: Annotated[tuple[Neighbour, ...], BeforeValidator(tuple), Field(min_length=1)]

    def pole(self, key: int) -> str:
        """The sentence for the pole that an item of this key (+1 or -1) shows."""
        return self.high if key == 1 else self.low


def load_facet_definitions(path: Path | None = None) -> dict[str, FacetDefinition]:
    """The built-in definitions of the 25 facets, or those of a file in the same format, by facet.

    Raises:
        FileFormatError: with line number: malformed record, unknown field, duplicate facet.
    """
    source = BUILT_IN if path is None else path
    records = load_records(source, FacetDefinition)
    require_unique(source, [(line, one.facet) for line, one in records], "facet")
    return {one.facet: one for _, one in records}
