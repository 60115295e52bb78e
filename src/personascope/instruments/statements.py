"""The words of any questionnaire: what each column of a response table asked, and which scale it belongs to, if any."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from personascope.instruments.facets import DOMAIN_OF, DOMAINS
from personascope.instruments.items import Item, ItemBank, Text
from personascope.instruments.records import load_records, require_unique

NO_SCALE = ""
"""Facet of an item that belongs to no scale."""


def _none_if_empty(value: object) -> object:
    """An empty field of a table is none."""
    return None if isinstance(value, str) and not value.strip() else value


def _sign(value: object) -> object:
    value = _none_if_empty(value)
    return int(value) if isinstance(value, str) and value.strip() in {"1", "+1", "-1"} else value


class Statement(BaseModel):
    """What one column asked. `facet` and `key` (+1, -1) go together; without them an item belongs to no scale."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Annotated[Text, Field(validation_alias=AliasChoices("id", "item_id"))]
    text: Text
    facet: Annotated[Text | None, BeforeValidator(_none_if_empty)] = None
    key: Annotated[Literal[1, -1] | None, BeforeValidator(_sign)] = None


def load_statements(path: Path) -> ItemBank:
    """Load the words of a questionnaire whose scales may be any.

    Args:
        path: .csv, .jsonl, .json or .yaml with id (or item_id) and text, and facet and key where an item belongs to a
            scale; other fields are ignored.

    Returns:
        The items by scale, see `by_scale`; the facet of those that belong to none is `NO_SCALE`, their key +1.

    Raises:
        FileFormatError: with line number: malformed row, key not +1/-1, duplicate id.
    """
    records = load_records(path, Statement)
    require_unique(path, [(line, one.id) for line, one in records], "id")
    items = tuple(
        Item(id=one.id, text=one.text, facet=one.facet or NO_SCALE, key=one.key)
        if one.facet and one.key
        else Item.model_construct(id=one.id, text=one.text, facet=NO_SCALE, key=1)
        for _, one in records
    )
    return by_scale(ItemBank(items, path.stem))


def by_scale(bank: ItemBank) -> ItemBank:
    """Items with their scale as facet: HEXACO facets count to their domain, Altruism to none, others stand alone."""
    return ItemBank(tuple(item.model_copy(update={"facet": _scale(item.facet)}) for item in bank.items), bank.name)


def _scale(facet: str) -> str:
    if facet not in DOMAIN_OF:
        return facet
    domain = DOMAIN_OF[facet]
    return NO_SCALE if domain is None else DOMAINS[domain][0]
