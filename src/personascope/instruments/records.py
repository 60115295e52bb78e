"""Read lists of records from CSV, JSONL, JSON or YAML, remembering the line that each came from."""

from __future__ import annotations

import csv
import io
import json
import reprlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from personascope.errors import FileFormatError, nearest
from personascope.files import read_yaml

RecordModel = TypeVar("RecordModel", bound=BaseModel)
MAX_BYTES = 64 * 1024 * 1024
"""Larger files are refused: an item bank of 64 MiB is a mistake, and reading one without limit is a hazard."""


def load_records(path: Path, model: type[RecordModel]) -> list[tuple[int, RecordModel]]:
    """Read and validate a file of records.

    Args:
        path: .csv (with header), .jsonl (an object a line), .json or .yaml (a list of objects).
        model: pydantic model of one record; unknown fields follow its `extra` setting.

    Returns:
        (line number, record) pairs in file order; the number is that of the line on which the record starts.

    Raises:
        FileFormatError: names the file, the line and the field, with what was expected.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise FileFormatError(
            f"{path}: unknown file type {path.suffix!r}.", "", f"Use one of {', '.join(sorted(_READERS))}."
        )
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist or is not a file.", "", "Check the path.")
    if path.stat().st_size > MAX_BYTES:
        raise FileFormatError(f"{path} is larger than {MAX_BYTES >> 20} MiB.", "", "Split the file.")
    rows = reader(path)
    if not rows:
        raise FileFormatError(f"{path} holds no records.", "", "Add at least one.")
    return [(line, _validate(path, line, row, model)) for line, row in rows]


def require_unique(path: Path, keyed: Sequence[tuple[int, str]], what: str) -> None:
    """Raise FileFormatError when two records share a key, naming both lines."""
    seen: dict[str, int] = {}
    for line, key in keyed:
        if key in seen:
            raise FileFormatError(
                f"{path}, line {line}: {what} {key!r} stands already in line {seen[key]}.",
                f"Every record needs its own {what}.",
                "Rename or remove one of the two.",
            )
        seen[key] = line


def _validate(path: Path, line: int, row: Any, model: type[RecordModel]) -> RecordModel:
    if not isinstance(row, dict):
        raise FileFormatError(
            f"{path}, line {line}: expected an object with fields, got {type(row).__name__}.",
            "",
            f"Fields are {', '.join(model.model_fields)}.",
        )
    try:
        return model.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        hint = nearest(name, model.model_fields) if first["type"] == "extra_forbidden" else ""
        raise FileFormatError(
            f"{path}, line {line}, field {name!r}: {first['msg']}.{hint}",
            f"The value was {reprlib.repr(first.get('input'))[:80]}.",  # bounded: YAML aliases can make a value endless
            f"Fields are {', '.join(model.model_fields)}.",
        ) from error


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise FileFormatError(f"{path}, line {line}: not UTF-8 text.", str(error), "Save the file as UTF-8.") from error
    if "\x00" in text:
        line = text[: text.index("\x00")].count("\n") + 1
        raise FileFormatError(f"{path}, line {line}: a NUL character.", "The file is not text.", "Save it as UTF-8.")
    return text


def _read_csv(path: Path) -> list[tuple[int, Any]]:
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    rows: list[tuple[int, Any]] = []
    header: list[str] = []
    start = 1
    try:
        for row in reader:
            if row and not header:
                header = _unique_columns(path, start, row)
            elif row and len(row) != len(header):
                raise FileFormatError(
                    f"{path}, line {start}: {len(header)} columns expected, this row has {len(row)}.",
                    "Probably a comma inside a text without quotation marks.",
                    'Put the text in double quotes: "like, this".',
                )
            elif row:
                rows.append((start, {key: value for key, value in zip(header, row, strict=True) if value != ""}))
            start = reader.line_num + 1
    except csv.Error as error:  # after a missing quotation mark the reader stops lines below the row at fault
        raise FileFormatError(f"{path}, line {start}: not valid CSV.", str(error), "Mend it.") from error
    return rows


def _unique_columns(path: Path, line: int, header: list[str]) -> list[str]:
    if len(set(header)) != len(header):
        raise FileFormatError(f"{path}, line {line}: a column name stands twice: {header}.", "", "Rename one.")
    return header


def _read_jsonl(path: Path) -> list[tuple[int, Any]]:
    rows: list[tuple[int, Any]] = []
    for line, text in enumerate(_text(path).split("\n"), start=1):  # splitlines would also break at U+2028 in a text
        if text.strip():
            rows.append((line, _parse_json(path, line, text)))
    return rows


def _read_json(path: Path) -> list[tuple[int, Any]]:
    """JSON list items with the line on which each starts, found by decoding them once more, one by one."""
    text = _text(path)
    values = _as_list(path, _parse_json(path, 1, text))
    rows: list[tuple[int, Any]] = []
    decoder, line, counted, at = json.JSONDecoder(), 1, 0, text.find("[") + 1
    for value in values:
        while text[at] in ", \t\r\n":
            at += 1
        line, counted = line + text.count("\n", counted, at), at
        rows.append((line, value))
        _, at = decoder.raw_decode(text, at)
    return rows


def _parse_json(path: Path, line: int, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        at = line + error.lineno - 1
        raise FileFormatError(f"{path}, line {at}: not valid JSON.", error.msg, "Mend that line.") from error
    except RecursionError as error:
        raise FileFormatError(f"{path}, line {line}: nested too deeply.", "", "Records are flat objects.") from error
    except ValueError as error:  # an integer of thousands of digits
        raise FileFormatError(f"{path}, line {line}: a number too long.", str(error), "Mend that line.") from error


def _read_yaml(path: Path) -> list[tuple[int, Any]]:
    """YAML list items with the line on which each starts, taken from the composed node tree."""
    text = _text(path)
    values = _as_list(path, read_yaml(path))
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    return [(child.start_mark.line + 1, row) for child, row in zip(node.value, values, strict=True)]


def _as_list(path: Path, values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise FileFormatError(
            f"{path}: expected a list of records, got {type(values).__name__}.", "", "Start every record with '- '."
        )
    return values


_READERS: dict[str, Callable[[Path], list[tuple[int, Any]]]] = {
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
}
