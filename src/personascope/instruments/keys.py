"""Scoring keys: which items make up a scale, and which of them are reversed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import polars as pl
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from personascope.errors import DataError, FileFormatError, nearest
from personascope.files import read_json
from personascope.instruments.facets import DOMAIN_OF, DOMAINS
from personascope.instruments.items import Item, ItemBank, Text
from personascope.instruments.records import MAX_BYTES, load_records, require_unique


@dataclass(frozen=True)
class ScoringKey:
    """Scales and their keyed items; an item may belong to several scales, with either sign.

    Args:
        scales: scale -> ((item id, +1 or -1), ...). -1: reversed, agreeing shows the opposite of the scale.
        name: of the instrument.

    Raises:
        DataError: no scale, an empty one, a key other than +1 and -1, or an item twice in a scale.
    """

    scales: Mapping[str, tuple[tuple[str, int], ...]]
    name: str

    def __post_init__(self) -> None:
        if not self.scales:
            raise DataError(f"The key {self.name!r} has no scales.", "", "Add one.")
        for scale, keyed in self.scales.items():
            counts = Counter(item for item, _ in keyed)
            odd = next(((item, sign) for item, sign in keyed if sign not in (1, -1)), None)
            twice = next((item for item, count in counts.items() if count > 1), None)
            if not keyed or odd is not None or twice is not None:
                wrong = "has no items" if not keyed else f"has item {twice!r} twice" if odd is None else f"holds {odd}"
                raise DataError(
                    f"Scale {scale!r} of the key {self.name!r} {wrong}.",
                    "A scale is a list of different items, each with key +1 or -1.",
                    "Mend the key.",
                )

    @property
    def items(self) -> tuple[str, ...]:
        """Every item once, in order of first appearance."""
        return tuple(dict.fromkeys(item for keyed in self.scales.values() for item, _ in keyed))

    def grouped(self, parents: Mapping[str, str | None]) -> ScoringKey:
        """The key of broader scales: the items of all scales with the same parent; None as parent leaves a scale out.

        `HEXACO_100.grouped(DOMAIN_OF)` gives the six domains, without Altruism.

        Raises:
            DataError: a scale that `parents` does not name.
        """
        broader: dict[str, tuple[tuple[str, int], ...]] = {}
        for scale, keyed in self.scales.items():
            if scale not in parents:
                raise DataError(
                    f"Scale {scale!r} has no parent.{nearest(scale, parents)}",
                    "Each scale needs one, or None to stay out.",
                    "Name it.",
                )
            parent = parents[scale]
            if parent is not None:
                broader[parent] = (*broader.get(parent, ()), *keyed)
        return ScoringKey(broader, self.name)

    def frame(self) -> pl.DataFrame:
        """One row per scale and item: scale, item, key."""
        rows = [(scale, item, sign) for scale, keyed in self.scales.items() for item, sign in keyed]
        return pl.DataFrame(rows, schema={"scale": pl.String, "item": pl.String, "key": pl.Int64}, orient="row")


def load_key(path: Path, *, scale_column: str = "facet") -> ScoringKey:
    """Load a scoring key.

    Args:
        path: .json with an object of lists, {"Agree": ["q_90", "-q_1896"]}, where "-" marks a reversed item; or a table
            of items as `load_items` reads it (.csv, .jsonl, .yaml) with item_id (or id), key and a column of scales.
        scale_column: the column that names the scale; rows where it is empty (items outside the key) are passed over.

    Raises:
        FileFormatError: an unreadable file, an unknown column, an item with a scale but no key +1 or -1.
        DataError: as `ScoringKey`.
    """
    if path.suffix.lower() == ".json":
        return _from_lists(path)
    records = load_records(path, _KeyedItem)
    columns = dict.fromkeys(name for _, row in records for name in row.model_extra or {})
    if scale_column not in columns:
        raise FileFormatError(
            f"{path} has no column {scale_column!r}.{nearest(scale_column, columns)}",
            f"Beside item_id and key there are {', '.join(columns) or 'none'}.",
            "Name the column of scales by `scale_column`.",
        )
    scales: dict[str, tuple[tuple[str, int], ...]] = {}
    for line, row in records:
        scale = str((row.model_extra or {}).get(scale_column) or "").strip()
        if scale and row.key not in (1, -1):
            raise FileFormatError(
                f"{path}, line {line}: item {row.id!r} belongs to {scale!r} but has key {row.key!r}.",
                "A key is 1 (agreeing shows the scale) or -1 (agreeing shows its opposite).",
                "Fill it in.",
            )
        if scale:
            scales[scale] = (*scales.get(scale, ()), (row.id, row.key or 0))
    return ScoringKey(scales, path.stem)


def _sign(value: object) -> object:
    return int(value) if isinstance(value, str) and value.strip() in {"1", "+1", "-1"} else value


class _KeyedItem(BaseModel):
    """A row of a table of items, of which the scale column is only known when it is read."""

    model_config = ConfigDict(frozen=True, extra="allow")

    id: Annotated[Text, Field(validation_alias=AliasChoices("id", "item_id"))]
    key: Annotated[int | None, BeforeValidator(_sign)] = None


def _from_lists(path: Path) -> ScoringKey:
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise FileFormatError(f"{path} is not a file of at most {MAX_BYTES >> 20} MiB.", "", "Check the path.")
    lists: Any = read_json(path)
    if not isinstance(lists, dict) or not all(
        isinstance(ids, list) and all(isinstance(item, str) and item.strip("- ") for item in ids)
        for ids in lists.values()
    ):
        raise FileFormatError(
            f"{path}: not a scoring key.", "", 'Write {"scale": ["item", "-reversed item"], ...}, with texts as ids.'
        )
    return ScoringKey({scale: tuple(_keyed(item) for item in ids) for scale, ids in lists.items()}, path.stem)


def _keyed(written: str) -> tuple[str, int]:
    """'-q_1896' is item q_1896, reversed."""
    return (written.strip().removeprefix("-").strip(), -1 if written.strip().startswith("-") else 1)


class _NumberedText(BaseModel):
    """A row of a licensed questionnaire."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: Annotated[Text, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
    text: Text


def licensed_bank(path: Path, key: ScoringKey) -> ItemBank:
    """An item bank from a user's own copy of a questionnaire whose text may not be passed on.

    The items carry the source "licensed", so that they can be kept out of prompts and of anything that is published.

    Args:
        path: a table (.csv, .jsonl, .json, .yaml) with columns number and text; other columns are ignored.
        key: which facet each number belongs to, with its sign: `HEXACO_100`, `HEXACO_60`, or the user's own. The six
            domain scales of `HEXACO_60` become the facets honesty_humility, emotionality and so on.

    Raises:
        FileFormatError: an unreadable file, a number twice, numbers that the key lacks, or that the file lacks.
        DataError: a key that files an item under two scales.
    """
    records = load_records(path, _NumberedText)
    texts = [(line, re.sub(r"^0+(?=\d)", "", row.number), row.text) for line, row in records]
    require_unique(path, [(line, number) for line, number, _ in texts], "number")
    require_unique(path, [(line, text.casefold()) for line, _, text in texts], "text")
    filed = {item: (scale, sign) for scale, keyed in key.scales.items() for item, sign in keyed}
    if len(filed) != sum(map(len, key.scales.values())):
        raise DataError(
            f"The key {key.name!r} files an item under two scales.", "An item of a bank has one facet.", "Choose one."
        )
    numbers = {number for _, number, _ in texts}
    lacking = [item for item in filed if item not in numbers]
    surplus = [number for _, number, _ in texts if number not in filed]
    if lacking or surplus:
        wrong = [f"lacks {', '.join(lacking[:8])}"] * bool(lacking) + [f"adds {', '.join(surplus[:8])}"] * bool(surplus)
        raise FileFormatError(
            f"{path} does not fit the key {key.name!r} of {len(filed)} items: it {' and '.join(wrong)} "
            f"({len(lacking)} lacking, {len(surplus)} more).",
            "Every number of the key needs its text, and every text a number of the key.",
            "Check that the file is of this form: the 60-item form is numbered anew.",
        )
    return ItemBank(tuple(_licensed(number, text, *filed[number]) for _, number, text in texts), path.stem)


def _licensed(number: str, text: str, scale: str, sign: int) -> Item:
    facet = DOMAINS[scale][0] if scale in DOMAINS else scale
    domain = scale if scale in DOMAINS else DOMAIN_OF.get(scale)
    return Item.model_validate(
        {"id": number, "facet": facet, "key": sign, "text": text, "domain": domain, "source": "licensed"}
    )


def _numbered(name: str, rows: Mapping[str, str]) -> ScoringKey:
    """A key from item numbers, of which 'R' marks the reversed ones."""
    return ScoringKey(
        {
            scale: tuple((number.removesuffix("R"), -1 if number.endswith("R") else 1) for number in numbers.split())
            for scale, numbers in rows.items()
        },
        name,
    )


HEXACO_100 = _numbered(
    "HEXACO-100",
    {
        "sincerity": "6R 30 54R 78",
        "fairness": "12R 36R 60 84R",
        "greed_avoidance": "18 42R 66R 90R",
        "modesty": "24 48 72R 96R",
        "fearfulness": "5 29R 53 77R",
        "anxiety": "11 35R 59R 83",
        "dependence": "17 41R 65 89R",
        "sentimentality": "23 47 71 95R",
        "social_self_esteem": "4 28 52R 76R",
        "social_boldness": "10R 34 58 82R",
        "sociability": "16R 40 64 88",
        "liveliness": "22 46 70R 94R",
        "forgivingness": "3 27 51R 75R",
        "gentleness": "9R 33 57 81",
        "flexibility": "15R 39 63R 87R",
        "patience": "21R 45 69 93R",
        "organization": "2 26 50R 74R",
        "diligence": "8 32 56R 80R",
        "perfectionism": "14 38R 62 86",
        "prudence": "20R 44R 68 92R",
        "aesthetic_appreciation": "1R 25R 49 73",
        "inquisitiveness": "7 31 55R 79R",
        "creativity": "13R 37 61 85R",
        "unconventionality": "19R 43 67 91R",
        "altruism": "97 98 99R 100R",
    },
)
"""HEXACO-PI-R, 100 items (Lee & Ashton 2018): item numbers by facet. The items themselves are licensed, not shipped."""

HEXACO_60 = _numbered(
    "HEXACO-60",
    {
        "H": "6 12R 18 24R 30R 36 42R 48R 54 60R",
        "E": "5 11 17 23 29 35R 41R 47 53R 59R",
        "X": "4 10R 16 22 28R 34 40 46R 52R 58",
        "A": "3 9R 15R 21R 27 33 39 45 51 57R",
        "C": "2 8 14R 20R 26R 32R 38 44R 50 56R",
        "O": "1R 7 13 19R 25 31R 37 43 49R 55R",
    },
)
"""HEXACO-60 (Ashton & Lee 2009): item numbers by domain. Its facets, of 2 or 3 items, are not given.

Put together from secondary sources, which agree with each other; the sheet that comes with a licensed copy was not at
hand, so compare the two before publishing scores. The numbers are not those of the 100-item form.
"""
