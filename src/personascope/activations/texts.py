"""Texts that a model wrote, kept under the hash of the whole request: nothing is written twice, and nothing mixes.

One JSON line per batch holds its answers with a checksum. A request's hash covers the model with all that can change a
number, the prompt's tokens and every setting of the generation, so another request never finds them. Torn or damaged
lines are left out, and what they held is written again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from personascope.activations.collect import run_lock
from personascope.activations.plan import Row
from personascope.activations.publish import append_line, disk_errors_explained, make_folder
from personascope.activations.stop import stopping
from personascope.errors import DataError
from personascope.files import canonical_json, sha256_json
from personascope.models.engine import HookEngine
from personascope.models.generation import Answer, generate
from personascope.models.intervention import Cell, cell_hash
from personascope.prompts.positions import resolve

TEXTS = "texts.jsonl"
_KEPT = ("text", "finish", "n_tokens")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Writing:
    """Settings of `models.generation.generate`.

    Args:
        max_new_tokens: most tokens of an answer.
        temperature: divides the logits; 0 takes the likeliest token.
        samples: answers to each prompt.
        seed: of the draws.
        stop: strings that end an answer.
    """

    max_new_tokens: int
    temperature: float = 1.0
    samples: int = 1
    seed: int = 0
    stop: tuple[str, ...] = ()


def collect_texts(
    rows: Sequence[Row],
    engine: HookEngine,
    folder: Path,
    writing: Writing,
    *,
    cells: Sequence[Cell] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pl.DataFrame:
    """Let the model answer every row, and keep each batch on disk as soon as it is written.

    Run again after any interruption, it continues. Rows with the same prompt are one request and share their answers.

    Args:
        rows: prompts with ids and meta, whose keys are the same in all rows.
        engine: the model; what steers it is part of the request.
        folder: made if need be; one writer at a time.
        writing: settings.
        cells: what is done to each row besides, one for each (see `generate`); part of the request.
        progress: called with (answers there, answers in all) at the start and after each batch.

    Returns:
        One row per row and sample: row (its id), the meta columns, sample (from 0), text, finish ("stop" or "length"),
        n_tokens.

    Raises:
        DataError: repeated row ids, meta columns with the name of one of these, or not one cell for each row.
        StoreError: the folder is in use by another process, or cannot be written. What was written is kept.
        ModelError: as `generate`.
    """
    _require_names(rows)
    if cells is not None and len(cells) != len(rows):
        raise DataError(f"{len(cells)} cells for {len(rows)} rows.", "Each row has its own.", "Give one for each.")
    with disk_errors_explained(folder, "make the folder"):
        make_folder(folder)
    with run_lock(folder), stopping() as stop:
        known = read_texts(folder)
        about = _about(engine, writing)
        steered = cells if cells is not None else [()] * len(rows)
        keys = [_key(about, row, cell) for row, cell in zip(rows, steered, strict=True)]
        first_of: dict[str, int] = {}
        for place, key in enumerate(keys):
            first_of.setdefault(key, place)
        total = len(first_of) * writing.samples
        missing = [
            place
            for key, place in first_of.items()
            if any((key, sample) not in known for sample in range(writing.samples))
        ]
        done = total - len(missing) * writing.samples

        def keep(batch: Sequence[Answer]) -> None:
            nonlocal done
            written = [(keys[missing[one.row]], one.sample, *(asdict(one)[name] for name in _KEPT)) for one in batch]
            with disk_errors_explained(folder, "keep what was written"):
                append_line(folder / TEXTS, _line(written))
            known.update(_entries(written))
            done += len(batch)
            if progress:
                progress(done, total)
            stop.check()

        if progress:
            progress(done, total)
        if missing:
            with stop.at_once():
                generate(
                    engine,
                    [rows[place].prompt for place in missing],
                    max_new_tokens=writing.max_new_tokens,
                    temperature=writing.temperature,
                    n=writing.samples,
                    seed=writing.seed,
                    stop=writing.stop,
                    cells=[steered[place] for place in missing],
                    keep=keep,
                )
    return _frame(rows, keys, known, writing.samples)


def read_texts(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Answers by request hash and sample; of damaged lines only a warning is left.

    Raises:
        StoreError: the file cannot be read.
    """
    with disk_errors_explained(folder, "read the texts"):
        try:
            lines = (folder / TEXTS).read_bytes().split(b"\n")
        except FileNotFoundError:
            return {}
    known: dict[tuple[str, int], dict[str, Any]] = {}
    damaged = 0
    for line in filter(None, lines):
        entries = _parse(line)
        damaged += entries is None
        known.update(entries or {})
    if damaged:
        _log.warning("%s: %d damaged lines; what they held is written again.", folder / TEXTS, damaged)
    return known


def _about(engine: HookEngine, writing: Writing) -> str:
    """Hash of the model, what steers it included, and of the settings."""
    return sha256_json({"model": engine.fingerprint(), "writing": asdict(writing)})


def _key(about: str, row: Row, cell: Cell) -> str:
    return sha256_json([about, list(row.prompt.ids), *_steering(row, cell)])


def _steering(row: Row, cell: Cell) -> list[Any]:
    """What is done, and to which tokens, as the same tokens may have other spans; nothing for nothing."""
    acting = [intervention for intervention in cell if intervention.acts]
    named = [list(resolve(row.prompt, one.where)) for one in acting if one.reads_prompt]
    return [cell_hash(cell), named] if acting else []


def _line(written: Sequence[Sequence[Any]]) -> bytes:
    body = [list(answer) for answer in written]
    return canonical_json({"answers": body, "sha256": sha256_json(body)}).encode()


def _parse(line: bytes) -> dict[tuple[str, int], dict[str, Any]] | None:
    try:
        entry = json.loads(line)
        body = entry["answers"]
        # compared as written, so that not a bit of the line can differ
        whole = _line(body) == line
        return _entries(body) if whole else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _entries(written: Sequence[Sequence[Any]]) -> dict[tuple[str, int], dict[str, Any]]:
    return {(key, sample): dict(zip(_KEPT, kept, strict=True)) for key, sample, *kept in written}


def _require_names(rows: Sequence[Row]) -> None:
    ids = [row.id for row in rows]
    repeated = next((name for name in ids if ids.count(name) > 1), None) if len(set(ids)) < len(ids) else None
    if repeated is not None:
        raise DataError(f"Row id {repeated!r} stands more than once.", "Ids tell rows apart.", "Make ids distinct.")
    taken = sorted({"row", "sample", *_KEPT} & {name for row in rows for name in row.meta})
    if taken:
        raise DataError(f"The meta column {taken[0]!r} has the name of a column of texts.", "", "Rename it.")
    if len({frozenset(row.meta) for row in rows}) > 1:
        raise DataError("Rows differ in their meta columns.", "They become one table.", "Give all rows the same.")


def _frame(
    rows: Sequence[Row], keys: Sequence[str], known: Mapping[tuple[str, int], dict[str, Any]], samples: int
) -> pl.DataFrame:
    table = [
        {"row": row.id, **row.meta, "sample": sample, **known[key, sample]}
        for row, key in zip(rows, keys, strict=True)
        for sample in range(samples)
    ]
    names = list(rows[0].meta) if rows else []
    schema = {"row": pl.String, **dict.fromkeys(names, pl.String), "sample": pl.Int64}
    return pl.DataFrame(table, schema={**schema, "text": pl.String, "finish": pl.String, "n_tokens": pl.Int64})
