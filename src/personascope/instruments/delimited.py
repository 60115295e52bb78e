"""Delimited text (.csv, .tsv, and .gz of either) as columns of strings: bounded, with the separator checked."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from personascope.errors import FileFormatError, nearest

MAX_BYTES = 256 * 1024 * 1024
"""Larger tables are refused unless the caller says otherwise; for .gz this counts the text, not the file."""

_SEPARATORS = (",", "\t", ";", "|")
_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


@dataclass(frozen=True)
class Delimited:
    """A file of delimited text, its bytes in memory and its header read."""

    path: Path
    data: bytes
    separator: str
    header: tuple[str, ...]

    def index(self, column: str) -> int:
        """Place of a column in the header.

        Raises:
            FileFormatError: there is no such column; the nearest name is offered.
        """
        if column not in self.header:
            raise FileFormatError(
                f"{self.path} has no column {column!r}.{nearest(column, self.header)}",
                f"Its {len(self.header)} columns are {', '.join(self.header[:12])}{' ...' * (len(self.header) > 12)}.",
                "Correct the name.",
            )
        return self.header.index(column)

    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        """The named columns as strings, in this order; an empty field is null.

        Raises:
            FileFormatError: an unknown column, or a row with more or fewer fields than the header.
        """
        places = [self.index(column) for column in columns]
        if not self._counts_fit():
            self._require_equal_rows()
        try:
            frame = pl.read_csv(
                io.BytesIO(self.data),
                columns=sorted(places),
                separator=self.separator,
                infer_schema=False,
                encoding="utf8-lossy",  # a stray byte in a column that nobody asked for is no reason to refuse the rest
            )
        except pl.exceptions.PolarsError as error:
            self._require_equal_rows()  # one field too many and one too few cancel in number; this names the line
            raise FileFormatError(
                f"{self.path}: cannot be read as delimited text.", str(error).split("\n")[0], "Mend the file."
            ) from error
        frame.columns = [self.header[place] for place in sorted(places)]
        return frame.select(columns)

    def _counts_fit(self) -> bool:
        """Whether there are as many separators as equal rows would have; what is quoted is not told by counting."""
        lines = self.data.count(b"\n") + 1
        return b'"' not in self.data and self.data.count(self.separator.encode()) == (len(self.header) - 1) * lines

    def _require_equal_rows(self) -> None:
        """Rows cut short would pass for missing answers."""
        width = len(self.header)
        for line, row in self._rows():
            if row and len(row) != width:
                raise FileFormatError(
                    f"{self.path}, line {line}: {width} columns expected, this row has {len(row)}.",
                    "The file was cut short, or a text holds the separator without quotation marks around it.",
                    "Mend that line.",
                )
            if not row and line > 1:
                raise FileFormatError(f"{self.path}, line {line}: an empty line.", "", "Remove it.")

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        text = io.TextIOWrapper(io.BytesIO(self.data), encoding="utf-8", errors="replace", newline="")
        reader = csv.reader(text, delimiter=self.separator, strict=True)
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            raise FileFormatError(
                f"{self.path}, line {reader.line_num}: not valid delimited text.", str(error), "Mend that line."
            ) from error


def open_delimited(path: Path, *, separator: str | None = None, max_bytes: int = MAX_BYTES) -> Delimited:
    """Read a file and its header.

    Args:
        path: .csv, .tsv, .csv.gz or .tsv.gz, with a header line.
        separator: one character; found in the header when None (comma, tab, semicolon or vertical bar).
        max_bytes: largest size of the text, unpacked.

    Raises:
        FileFormatError: another kind of file, damaged, too large, empty, a column named twice, or a separator that does
            not separate the header.
    """
    data = _unpacked(path, max_bytes).removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
    if b"\x00" in data:
        raise FileFormatError(f"{path} holds a NUL character.", "It is not text.", "Save it as UTF-8.")
    try:
        line = data.partition(b"\n")[0].decode("utf-8").rstrip("\r")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path}, line 1: not UTF-8 text.", str(error), "Save the file as UTF-8.") from error
    if not line.strip():
        raise FileFormatError(f"{path} has no header.", "The first line is empty.", "Name the columns there.")
    found, header = _header(path, line, separator)
    header = [name.strip() for name in header]
    twice = sorted({name for name in header if header.count(name) > 1}) if len(set(header)) < len(header) else []
    if twice:
        raise FileFormatError(f"{path}, line 1: column {twice[0]!r} stands twice.", "", "Rename one.")
    return Delimited(path, data, found, tuple(header))


def _unpacked(path: Path, max_bytes: int) -> bytes:
    if not path.name.lower().endswith(_SUFFIXES):
        raise FileFormatError(f"{path}: unknown file type.", "", f"Use one of {', '.join(_SUFFIXES)}.")
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist or is not a file.", "", "Check the path.")
    try:
        # one byte past the limit tells too large from just fitting, however much a .gz would unpack to
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            data = stream.read(max_bytes + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FileFormatError(f"{path}: damaged gzip data.", str(error), "Fetch the file again.") from error
    if len(data) > max_bytes:
        raise FileFormatError(
            f"{path} holds more than {max_bytes:,} bytes of text.",
            "A table is read into memory whole.",
            "Split the file, or raise `max_bytes`.",
        )
    return data


def _header(path: Path, line: str, separator: str | None) -> tuple[str, list[str]]:
    """The separator and the column names; the candidate that makes the most columns wins."""
    if separator is not None and (len(separator) != 1 or not separator.isascii() or separator in '"\r\n'):
        raise FileFormatError(f"{separator!r} cannot separate columns.", "It must be one ASCII character.", "")
    try:
        split = {candidate: next(csv.reader([line], delimiter=candidate)) for candidate in _SEPARATORS}
        best = max(split, key=lambda candidate: len(split[candidate]))
        chosen = best if separator is None else separator
        header = split[chosen] if chosen in split else next(csv.reader([line], delimiter=chosen))
    except csv.Error as error:
        raise FileFormatError(f"{path}, line 1: the header cannot be read.", str(error), "Mend it.") from error
    if len(header) < 2:
        hint = f" With {best!r} there are {len(split[best])}." if len(split[best]) > 1 else ""
        shown = line if len(line) <= 60 else line[:57] + "..."
        raise FileFormatError(
            f"{path}, line 1: the header {shown!r} has one column" + ("." if separator is None else f" by {chosen!r}."),
            f"The separator is wrong, or the file is not a table.{hint}",
            "Name the right one by `separator`, or leave it out.",
        )
    return chosen, header
