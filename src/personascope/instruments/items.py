"""Item banks: statements with facet, domain and key, from the built-in bank or a user's file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from personascope.errors import DataError, FileFormatError, nearest
from personascope.files import sha256_json
from personascope.instruments.facets import DOMAIN_OF, DOMAINS, FACETS
from personascope.instruments.records import load_records, require_unique

BUILT_IN = Path(__file__).parent / "data" / "hexaco_items.csv"

FORMS = ("60", "200", "full")
"""Forms of the built-in bank, each within the next: 10 items per domain, 4 per facet and key, 20 per facet and key."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


def _facet_name(value: object) -> object:
    """Fold spellings such as 'Greed-Avoidance' or 'Social Boldness' to snake case."""
    return re.sub(r"[\s-]+", "_", value.strip()).lower() if isinstance(value, str) else value


def _key(value: object) -> object:
    if isinstance(value, (bool, float)):  # True == 1 and 1.0 == 1 would pass for the literal
        raise ValueError("expected 1 or -1")
    return int(value) if isinstance(value, str) and value.strip() in {"1", "+1", "-1"} else value


class Item(BaseModel):
    """One statement. `key` +1: agreeing shows the facet; -1: agreeing shows its opposite.

    An audit's verdict, where there is one: `applicability` to a respondent without a body or a life outside its
    conversations, `desirability` of agreeing in [-1, 1], `cluster` of near duplicates. `form`: the shortest form of the
    bank that contains the item. `situation` and `intensity` say where the item lies among those of its facet.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Annotated[Text, Field(validation_alias=AliasChoices("id", "item_id"))]
    facet: Annotated[str, BeforeValidator(_facet_name), StringConstraints(min_length=1)]
    key: Annotated[Literal[1, -1], BeforeValidator(_key)]
    text: Text
    domain: str | None = None
    source: str = "user"
    situation: str | None = None
    intensity: str | None = None
    applicability: Literal["applicable", "as-if", "not"] | None = None
    desirability: Annotated[float, Field(ge=-1, le=1)] | None = None
    cluster: str | None = None
    form: str | None = None


@dataclass(frozen=True)
class ItemBank:
    """Items in a fixed order, with the checks that scoring relies on already made."""

    items: tuple[Item, ...]
    name: str

    @property
    def facets(self) -> tuple[str, ...]:
        """Facets in order of first appearance."""
        return tuple(dict.fromkeys(item.facet for item in self.items))

    def subset(self, facets: Iterable[str] | None = None, per_key: int | None = None) -> ItemBank:
        """A shorter form: only `facets`, and the first `per_key` items of each key in every facet.

        Raises:
            DataError: a facet is not in the bank.
        """
        wanted = self.facets if facets is None else tuple(facets)
        for facet in wanted:
            if facet not in self.facets:
                raise DataError(
                    f"The bank {self.name!r} has no facet {facet!r}.{nearest(facet, self.facets)}",
                    f"Its facets are {', '.join(self.facets)}.",
                    "Correct the name.",
                )
        taken: Counter[tuple[str, int]] = Counter()
        kept = []
        for item in self.items:
            taken[item.facet, item.key] += 1
            if item.facet in wanted and (per_key is None or taken[item.facet, item.key] <= per_key):
                kept.append(item)
        return ItemBank(tuple(kept), self.name)

    def form(self, name: str) -> ItemBank:
        """The short form "60" or "200", or the "full" bank, which is all of it.

        Raises:
            DataError: an unknown form, or a bank whose items name none.
        """
        if name not in FORMS:
            raise DataError(
                f"Unknown form {name!r}.{nearest(name, FORMS)}", f"Forms are {', '.join(FORMS)}.", "Correct the name."
            )
        if name == "full":
            return self
        inside = FORMS[: FORMS.index(name) + 1]
        kept = tuple(item for item in self.items if item.form in inside)
        if not kept:
            raise DataError(
                f"The bank {self.name!r} has no form of {name} items.",
                "None of its items names the form that it belongs to (`form`).",
                "Use the full bank, or shorten it by `per_key`.",
            )
        return ItemBank(kept, self.name)

    def warnings(self) -> list[str]:
        """What a user should know before scoring: facets with one key only, or with unequal keys, by name."""
        counts = Counter((item.facet, item.key) for item in self.items)
        notes = []
        for facet in self.facets:
            plus, minus = counts[facet, 1], counts[facet, -1]
            if not plus or not minus:
                sign = "+" if plus else "-"
                notes.append(
                    f"facet {facet!r} has items of one key only ({plus + minus} keyed {sign}): "
                    "trait and yea-saying cannot be told apart, its trait score will be empty"
                )
            elif plus != minus:
                notes.append(f"facet {facet!r} is unbalanced: {plus} keyed +, {minus} keyed -")
        return notes

    def hash(self) -> str:
        """Content hash over every item, in order."""
        return sha256_json([item.model_dump() for item in self.items])

    def frame(self) -> pl.DataFrame:
        """One row per item, one column per field of `Item`."""
        schema = dict.fromkeys(Item.model_fields, pl.String) | {"key": pl.Int64, "desirability": pl.Float64}
        return pl.DataFrame([item.model_dump() for item in self.items], schema=schema)


def load_items(path: Path | None = None, *, repeated_texts: bool = False) -> ItemBank:
    """Load the built-in HEXACO bank (1,000 items, 25 facets, 20 items per key) or a file in the same format.

    Args:
        path: .csv, .jsonl, .json or .yaml with the fields id, facet, key and text; `domain` is filled in for HEXACO
            facets, `item_id` is read as `id`, other fields are ignored. An item keeps the `source` that its record
            names ("licensed" ones stay out of prompts), "user" without one; built-in items have "personascope".
        repeated_texts: accept a text that stands twice, as an audit does, which says so.

    Raises:
        FileFormatError: with line number: malformed row, key not +1/-1, unknown facet, duplicate id or text.
    """
    source = BUILT_IN if path is None else path
    records = load_records(source, Item)
    require_unique(source, [(line, raw.id) for line, raw in records], "id")
    if not repeated_texts:
        require_unique(source, [(line, raw.text.casefold()) for line, raw in records], "text")
    built_in = "personascope" if path is None else None
    return ItemBank(tuple(_complete(source, line, raw, built_in) for line, raw in records), source.stem)


def _complete(path: Path, line: int, raw: Item, source: str | None) -> Item:
    """Fill in the domain, and a source if given; refuse an unknown facet, or one filed under another domain."""
    facet = _ALIASES.get(raw.facet, raw.facet)
    if facet in DOMAIN_OF:
        if raw.domain not in (None, DOMAIN_OF[facet]):
            raise FileFormatError(
                f"{path}, line {line}: facet {facet!r} belongs to domain {DOMAIN_OF[facet]}, not {raw.domain!r}.",
                "The domain column contradicts the structure of HEXACO.",
                "Correct the domain or leave it out.",
            )
        return Item(**{**raw.model_dump(), "facet": facet, "domain": DOMAIN_OF[facet], "source": source or raw.source})
    raise FileFormatError(
        f"{path}, line {line}: unknown facet {raw.facet!r}.{nearest(raw.facet, FACETS)}",
        f"Known facets: {', '.join(FACETS)}.",
        "Correct the name. Domains are " + ", ".join(f"{key} {name}" for key, (name, _) in DOMAINS.items()) + ".",
    )


_ALIASES = {"forgiveness": "forgivingness"}
