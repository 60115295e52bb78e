"""Response matrices: who answered which option to which item, read from the files in which surveys publish them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Int, Int8

from personascope.errors import DataError, FileFormatError, nearest
from personascope.instruments.delimited import MAX_BYTES, Delimited, open_delimited
from personascope.instruments.option_codes import MISSING, OptionCodes, check_options


@dataclass(frozen=True, eq=False)
class Responses:
    """A response matrix, as given: nothing is reversed yet.

    Args:
        values: options 1 (lowest) to `n_options`, or -1 where there is no answer, shape (respondent, item).
        items: item ids, one per column.
        respondents: respondent ids, one per row.
        n_options: K, the number of options.
        notes: what was left out or read as missing, and why.
        left_out: ids of the respondents that were left out.
    """

    values: Int8[np.ndarray, "respondent item"]
    items: tuple[str, ...]
    respondents: tuple[str, ...]
    n_options: int
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_options(self.n_options)
        if self.values.shape != (len(self.respondents), len(self.items)):
            raise DataError(
                f"{self.values.shape} values for {len(self.respondents)} respondents and {len(self.items)} items.",
                "A response matrix has one row per respondent and one column per item.",
                "Pass one id for each.",
            )
        for what, ids in (("item", self.items), ("respondent", self.respondents)):
            if len(set(ids)) != len(ids):
                twice = next(name for name, count in Counter(ids).items() if count > 1)
                raise DataError(f"{what} {twice!r} stands twice.", f"Every {what} has its own id.", "Rename one.")
        if "respondent" in self.items:
            raise DataError("An item is called 'respondent'.", "That names the rows in `frame()`.", "Rename the item.")
        odd = (self.values != MISSING) & ((self.values < 1) | (self.values > self.n_options))
        if odd.any():
            row, column = np.argwhere(odd)[0].tolist()
            raise DataError(
                f"Respondent {self.respondents[row]!r}, item {self.items[column]!r}: {self.values[row, column]} is not "
                f"an option ({int(odd.sum())} such values).",
                f"Options are 1 to {self.n_options}, and -1 is a missing answer.",
                "Map the codes first.",
            )

    def answers(self, items: Sequence[str]) -> Int8[np.ndarray, "respondent chosen"]:
        """The columns of these items, in this order.

        Raises:
            DataError: an item that was not asked; the nearest id is offered.
        """
        place = {item: index for index, item in enumerate(self.items)}
        for item in items:
            if item not in place:
                raise DataError(
                    f"The responses have no item {item!r}.{nearest(item, self.items)}",
                    f"There are {len(self.items)} items, {', '.join(self.items[:8])} ...",
                    "Correct the id in the key, or load the column.",
                )
        return self.values[:, [place[item] for item in items]]

    def part(
        self, respondents: Int[np.ndarray, " kept"] | None = None, items: Sequence[str] | None = None
    ) -> Responses:
        """Some rows, by their numbers, and the columns of some items, in the orders given.

        Raises:
            DataError: as `answers`.
        """
        columns = self.items if items is None else tuple(items)
        rows = np.arange(len(self.respondents)) if respondents is None else respondents
        names = tuple(self.respondents[row] for row in rows)
        return Responses(self.answers(columns)[rows], columns, names, self.n_options, self.notes)

    def frame(self) -> pl.DataFrame:
        """One row per respondent: column respondent, then one column per item; a missing answer is null."""
        columns = {item: pl.Series(self.values[:, at], dtype=pl.Int8) for at, item in enumerate(self.items)}
        table = pl.DataFrame({"respondent": pl.Series(self.respondents, dtype=pl.String), **columns})
        return table.with_columns(pl.col(item).replace(MISSING, None) for item in self.items)


def load_responses(
    path: Path,
    *,
    n_options: int,
    layout: Literal["wide", "long"] = "wide",
    columns: Sequence[str] | Mapping[str, str] | None = None,
    id_column: str | None = None,
    item_column: str = "item",
    response_column: str = "resp",
    separator: str | None = None,
    missing: Sequence[int] = (0,),
    lowest: int = 1,
    strict: bool = False,
    max_bytes: int = MAX_BYTES,
) -> Responses:
    """Load a response matrix from .csv, .tsv, or .gz of either.

    Args:
        path: the file; its first line names the columns.
        n_options: K, the number of options of every item.
        layout: "wide" has one row per respondent and one column per item; "long" has one row per respondent and item,
            as in the Item Response Warehouse, whose columns are id, item, resp.
        columns: the items to keep, in this order: in the wide layout columns, all but `id_column` when None; in the
            long layout values of `item_column`, all when None. A mapping gives each its item id (`{"Q1A": "Q1"}`).
        id_column: column of respondent ids. None: the number of the row in the wide layout, "id" in the long one.
        item_column: column of item ids, in the long layout.
        response_column: column of answers, in the long layout.
        separator: between columns; found in the header when None.
        missing: codes that mean that no answer was given. Many codebooks write 0; where 0 is an option, pass `()`.
            Empty fields and NA are always missing.
        lowest: code of the lowest option; with 0 the options are 0 to K - 1 in the file. Stored values start at 1.
        strict: refuse respondents without any answer; by default they are left out and counted in `notes`.
        max_bytes: largest size of the text in the file, unpacked, and of the matrix.

    Raises:
        FileFormatError: an unreadable file (see `open_delimited`), an unknown column, an answer that is not a whole
            number or not an option, a respondent id that is missing or repeated, the same item answered twice by one
            respondent, or nobody with an answer.
        DataError: settings that contradict each other.
    """
    codes = OptionCodes(path, n_options, lowest, tuple(missing))
    source = open_delimited(path, separator=separator, max_bytes=max_bytes)
    renamed = columns if isinstance(columns, Mapping) else {}
    wanted = None if columns is None else list(columns)
    if wanted is not None and not 0 < len(wanted) == len(set(wanted)):
        raise DataError(f"{len(wanted)} columns, {len(set(wanted))} different ones.", "", "Name each item once.")
    if layout == "wide":
        values, items, respondents = _wide(source, codes, wanted, id_column)
    elif layout == "long":
        names = (id_column or "id", item_column, response_column)
        values, items, respondents = _long(source, codes, wanted, names, max_bytes)
    else:
        raise DataError(f"Unknown layout {layout!r}.{nearest(layout, ['wide', 'long'])}", "", "Use wide or long.")
    items = [renamed.get(item, item) for item in items]
    answered = (values != MISSING).any(axis=1)
    left_out = [name for name, kept in zip(respondents, answered, strict=True) if not kept]
    if not answered.any() or (strict and left_out):
        raise FileFormatError(
            f"{path}: {len(left_out)} of {len(respondents)} respondents have no answer to any item"
            + (f", the first is {left_out[0]!r}." if left_out else "."),
            f"Empty fields and the codes {list(codes.missing)} are read as missing.",
            "Check `missing` and `columns`" + (", or pass strict=False to leave them out." if strict else "."),
        )
    kept = values[answered]
    names_kept = tuple(name for name, one in zip(respondents, answered, strict=True) if one)
    notes = _notes(kept, items, left_out, codes)
    return Responses(kept, tuple(items), names_kept, n_options, notes, tuple(left_out))


def _wide(
    source: Delimited, codes: OptionCodes, columns: list[str] | None, id_column: str | None
) -> tuple[Int8[np.ndarray, "respondent item"], list[str], list[str]]:
    wanted = [name for name in source.header if name != id_column] if columns is None else columns
    frame = source.read([*wanted, *([] if id_column is None or id_column in wanted else [id_column])])
    if id_column is None:
        respondents = [str(row) for row in range(1, frame.height + 1)]
    else:
        respondents = _ids(source.path, id_column, frame[id_column])
        repeated = frame.filter(pl.col(id_column).is_duplicated())
        if repeated.height:
            name = repeated[id_column][0]
            rows = (frame[id_column] == name).arg_true() + 1
            raise FileFormatError(
                f"{source.path}: respondent {name!r} stands in data rows {rows[0]} and {rows[1]}.",
                "Every respondent has one row in the wide layout.",
                "Remove one of the two, or read a file with a row per answer by layout='long'.",
            )
    matrix = np.empty((frame.height, len(wanted)), dtype=np.int8)
    for at, name in enumerate(wanted):
        matrix[:, at] = codes.read(name, frame[name])
    return matrix, wanted, respondents


def _long(
    source: Delimited, codes: OptionCodes, columns: list[str] | None, names: tuple[str, str, str], max_bytes: int
) -> tuple[Int8[np.ndarray, "respondent item"], list[str], list[str]]:
    id_column, item_column, response_column = names
    frame = source.read(names)
    answers = codes.read(response_column, frame[response_column])
    respondents, row = _coded(source.path, id_column, frame[id_column])
    items, column = _coded(source.path, item_column, frame[item_column])
    if len(respondents) * len(items) > max_bytes:
        raise FileFormatError(
            f"{source.path}: {len(respondents):,} respondents x {len(items):,} items is more than {max_bytes:,} bytes.",
            "Each answer takes one byte in the matrix; ids that never repeat make a huge and empty one.",
            "Check the columns, or raise `max_bytes`.",
        )
    cell = row * len(items) + column
    order = np.argsort(cell, kind="stable")
    again = order[1:][cell[order][1:] == cell[order][:-1]]
    if len(again):
        at = int(again.min())
        raise FileFormatError(
            f"{source.path}, data row {at + 1}: respondent {respondents[row[at]]!r} answers item "
            f"{items[column[at]]!r} again ({len(again)} such rows).",
            "A response matrix holds one answer per respondent and item.",
            "Keep one wave of the study, or give each wave its own respondent ids.",
        )
    matrix = np.full((len(respondents), len(items)), MISSING, dtype=np.int8)
    matrix[row, column] = answers
    if columns is None:
        return matrix, items, respondents
    for name in columns:
        if name not in items:
            raise FileFormatError(
                f"{source.path} has no item {name!r}.{nearest(name, items)}", f"It has {len(items)}.", "Correct it."
            )
    return matrix[:, [items.index(name) for name in columns]], columns, respondents


def _ids(path: Path, column: str, ids: pl.Series) -> list[str]:
    if ids.null_count():
        row = int(ids.is_null().arg_true()[0]) + 1
        raise FileFormatError(
            f"{path}, data row {row}: column {column!r} is empty ({ids.null_count()} such rows).",
            "Every row needs an id.",
            "Fill it in, or name another column.",
        )
    return list(ids)


def _coded(path: Path, column: str, ids: pl.Series) -> tuple[list[str], Int[np.ndarray, " row"]]:
    """Distinct ids in order of first appearance, and the place of each row's id among them."""
    _ids(path, column, ids)
    distinct = ids.unique(maintain_order=True)
    places = ids.replace_strict(distinct, pl.Series(range(len(distinct)), dtype=pl.Int64))
    return list(distinct), places.cast(pl.Int64).to_numpy()


def _notes(
    values: Int8[np.ndarray, "respondent item"], items: Sequence[str], left_out: Sequence[str], codes: OptionCodes
) -> tuple[str, ...]:
    notes = []
    if left_out:
        shown = ", ".join(left_out[:5]) + (" ..." if len(left_out) > 5 else "")
        notes.append(
            f"{len(left_out)} of {len(values) + len(left_out)} respondents left out: no answer to any item ({shown})"
        )
    gaps = int((values == MISSING).sum())
    if gaps:
        codes_read = f"{list(codes.missing)}, empty or NA" if codes.missing else "empty or NA"
        notes.append(f"{gaps} of {values.size} answers ({gaps / values.size:.1%}) read as missing: {codes_read}")
    unasked = [item for item, answered in zip(items, (values != MISSING).any(axis=0), strict=True) if not answered]
    if unasked:
        notes.append(f"{len(unasked)} items without any answer: {', '.join(unasked[:8])}")
    return tuple(notes)
