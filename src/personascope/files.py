"""Files that are either whole or absent: checked names, atomic writes, hashes, canonical JSON.

Publishing follows PostgreSQL's durable_rename: write a temporary file in the same folder, fsync it, rename it over
the target, fsync the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from personascope.errors import FileFormatError, UnsafePathError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,119}")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{p}{i}" for p in ("com", "lpt") for i in range(1, 10))}
TEMPORARY_PREFIX = ".tmp-"


def safe_child(folder: Path, name: str) -> Path:
    """Return `folder / name`, the only way in which a name from data becomes a path.

    Raises:
        UnsafePathError: `name` has separators, leading dots, odd characters, is reserved on some system,
            or the result would lie outside `folder`.
    """
    plain = _NAME.fullmatch(name) and not name.endswith(".") and name.split(".")[0].lower() not in _RESERVED
    if not plain:
        raise UnsafePathError(
            f"{name!r} cannot be used as a file name.",
            "Names become files, so they may hold only letters, digits and . _ + - and start with a letter or digit.",
            f"Rename it, for example to {_plain(name)!r}",
        )
    target = folder / name
    try:
        inside = target.resolve().parent == folder.resolve()
    except (OSError, RuntimeError):  # a link that leads to itself
        inside = False
    if not inside:
        raise UnsafePathError(
            f"{target} leads outside {folder}.", "It is a link to somewhere else.", "Remove the link."
        )
    return target


def _plain(name: str) -> str:
    """A safe name like `name`, to propose in an error."""
    words = re.sub(r"[^A-Za-z0-9_+-]+", "_", name).strip("_+-")[:60] or "name"
    return f"{words}_" if words.lower() in _RESERVED else words


def fsync_folder(folder: Path) -> None:
    """Make renames and links in `folder` survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_write(target: Path) -> Iterator[BinaryIO]:
    """Open a binary file that appears at `target` complete on a clean exit, and not at all otherwise."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(4)}-{target.name}"
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
        fsync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_write(target) as stream:
        stream.write(text.encode("utf-8"))


def canonical_json(value: Any) -> str:
    """One spelling per value: sorted keys, no spaces, NaN refused. The input of every content hash."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def write_json(target: Path, value: Any) -> None:
    """Write indented, key-sorted JSON atomically; NaN and infinity are refused with ValueError."""
    write_text(target, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        FileFormatError: with path, line and column when it is not valid JSON or not UTF-8.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise FileFormatError(
            f"{path}, line {error.lineno}, column {error.colno}: not valid JSON.", str(error.msg), "Mend that line."
        ) from error
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path}: not UTF-8 text.", str(error), "Save the file as UTF-8.") from error
    except (RecursionError, ValueError) as error:  # ValueError: an integer of thousands of digits
        raise FileFormatError(f"{path}: nested too deeply, or a number too long.", str(error), "Mend it.") from error


def read_yaml(path: Path) -> Any:
    """Read YAML with the safe loader: no tags, no object construction.

    Raises:
        FileFormatError: with path, and line where it is known, when it is not valid YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path}: not UTF-8 text.", str(error), "Save the file as UTF-8.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise FileFormatError(f"{path}{place}: not valid YAML.", str(problem), "Mend that line.") from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, ValueError) as error:
        # the safe loader lets these escape on values such as 2024-99-99 or `!!int x`, and on deep nesting
        raise FileFormatError(
            f"{path}: not valid YAML: a value cannot be read, or lists are nested too deeply.",
            f"{type(error).__name__}: {error}",
            "Put quotes around values that look like dates or numbers and are not.",
        ) from error


def sha256_text(text: str) -> str:
    """Hex SHA-256 of a text's UTF-8 bytes."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of a value's canonical JSON: the content hash of plans, recipes and data."""
    return sha256_text(canonical_json(value))


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
