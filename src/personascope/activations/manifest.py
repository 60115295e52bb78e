"""The folder's index: `plan.json` says what it is for, `manifest.jsonl` which shards were acknowledged.

The truth is the valid shards. The manifest makes finding them cheap: one line per shard, each with a checksum of its
own, appended and synced after the shard is in place. `reconcile` brings the two together after a crash.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from personascope.activations.layout import Identity
from personascope.activations.plan import Plan
from personascope.activations.publish import append_line, sweep_strays, write_once
from personascope.activations.shard import COMPACT, Shard, ShardRecord, shard_path
from personascope.errors import FileFormatError, StoreError
from personascope.files import canonical_json, fsync_folder, read_json, sha256_json

MANIFEST, PLAN = "manifest.jsonl", "plan.json"
_SHARD_NAME = re.compile(r"shard-([0-9]{5,})\.h5")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlanCard:
    """What a folder's `plan.json` says: the plan's name, fields and key."""

    name: str
    fields: dict[str, str]
    key: str


@dataclass(frozen=True)
class Reconciliation:
    """What a folder held: valid shards by number (the compact file's is -1); the adopted ones; what was thrown away."""

    valid: dict[int, ShardRecord]
    adopted: tuple[int, ...]
    discarded: dict[int, str]
    strays: tuple[str, ...]

    def has(self, number: int) -> bool:
        """Whether the rows of shard `number` are there, in a file of their own or in the compact one."""
        return number in self.valid or COMPACT in self.valid


def append_record(folder: Path, record: ShardRecord) -> None:
    """Acknowledge a shard: when this returns, its line will survive a crash.

    Raises:
        OSError: the disk is full or failing; at worst a torn line is left, which readers ignore.
    """
    body = dataclasses.asdict(record)
    line = canonical_json({**body, "crc": _checksum(body)}).encode("ascii")
    append_line(folder / MANIFEST, line)


def read_records(folder: Path) -> dict[int, ShardRecord]:
    """Acknowledged shards by number; torn and damaged lines are left out, the last good line of a shard counts."""
    try:
        lines = (folder / MANIFEST).read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    records = [record for record in map(_parse, lines) if record is not None]
    return {record.shard: record for record in records}


def read_plan_card(folder: Path) -> PlanCard:
    """Read `plan.json`.

    Raises:
        StoreError: there is none, or it is damaged.
    """
    path = folder / PLAN
    try:
        card = read_json(path)
        name, fields, key = card["name"], card["fields"], card["key"]
        sound = all(isinstance(text, str) for text in (name, *fields, *fields.values())) and sha256_json(fields) == key
    except FileNotFoundError as error:
        raise StoreError(f"{folder} is not an activation store.", f"It has no {PLAN}.", "Check the path.") from error
    except (FileFormatError, KeyError, TypeError, AttributeError, RecursionError, ValueError) as error:
        raise _damaged_card(path, str(error)) from error
    if not sound:
        raise _damaged_card(path, "Its fields do not have the hash that was stored with them.")
    return PlanCard(name, fields, key)


def claim_folder(folder: Path, plan: Plan) -> None:
    """Write `plan.json`, once; a folder that has one must have the same plan.

    Raises:
        StoreError: the folder belongs to another plan (each differing field is named), or `plan.json` is damaged.
    """
    card = {"name": plan.name, "fields": plan.fields(), "key": plan.key()}
    path = folder / PLAN
    if not path.exists():
        write_once(path, json.dumps(card, indent=2, sort_keys=True, ensure_ascii=False).encode("utf-8"))
    found = read_plan_card(folder)
    if found.key != plan.key():
        raise StoreError(
            f"{folder} holds another plan, {found.name!r}: {'; '.join(_differences(found.fields, plan.fields()))}.",
            "Rows computed under different conditions are never mixed in one store.",
            "Fork (fork=True) or use a new folder for the changed plan, or restore the old condition.",
        )


def fork_folder(folder: Path, plan: Plan) -> Path:
    """Where a plan goes that may not mix with what is in `folder`: there if it is the same plan, else beside it.

    The sibling's name holds the first 8 digits of the plan's key, so that running again continues the same fork.

    Raises:
        StoreError: the folder's `plan.json` is damaged.
    """
    if not (folder / PLAN).exists() or read_plan_card(folder).key == plan.key():
        return folder
    return folder.with_name(f"{folder.name}-fork-{plan.key()[:8]}")


def reconcile(folder: Path, plan: Plan) -> Reconciliation:
    """Make folder and manifest agree on the valid shards; to be called under the run lock.

    A valid shard that the manifest lacks is adopted, one that is not valid is deleted so that it is computed anew, and
    temporaries of writers that are gone are deleted.

    Raises:
        StoreError: the folder or one of its shards belongs to another plan; nothing is deleted then.
        OSError: a file cannot be read or deleted.
    """
    claim_folder(folder, plan)
    acknowledged = read_records(folder)
    valid: dict[int, ShardRecord] = {}
    discarded: dict[int, str] = {}
    for number in present_files(folder):
        _require_number(folder, number, plan)
        try:
            shard = Shard.open(shard_path(folder, number))
        except StoreError as error:
            discarded[number] = str(error)
            continue
        _require_same_plan(shard, plan)
        try:
            valid[number] = _examine(shard, *_planned(plan, number), acknowledged.get(number))
        except StoreError as error:
            discarded[number] = str(error)
    strays = sweep_strays(folder)
    for number, reason in discarded.items():
        _log.warning("Discarding a shard, it will be computed anew. %s", reason)
        shard_path(folder, number).unlink(missing_ok=True)
    adopted = tuple(number for number, record in valid.items() if acknowledged.get(number) != record)
    if adopted or discarded:
        fsync_folder(folder)
    for number in adopted:
        append_record(folder, valid[number])
    return Reconciliation(valid, adopted, discarded, strays)


def present_shards(folder: Path) -> list[int]:
    """Numbers of the shard files in a folder, ascending, valid or not."""
    names = {path.name for path in folder.iterdir()}
    numbers = sorted({int(match[1]) for match in map(_SHARD_NAME.fullmatch, names) if match})
    return [number for number in numbers if shard_path(folder, number).name in names]


def present_files(folder: Path) -> list[int]:
    """As `present_shards`, and the compact file's number if it is there."""
    compact = [COMPACT] if os.path.lexists(shard_path(folder, COMPACT)) else []
    return compact + present_shards(folder)


def _require_number(folder: Path, number: int, plan: Plan) -> None:
    if number >= len(plan.shards()):
        raise StoreError(
            f"{shard_path(folder, number)} is not of this plan, which has {len(plan.shards())} shards.",
            "It was copied here from another store.",
            "Move it away, or use a new folder.",
        )


def _require_same_plan(shard: Shard, plan: Plan) -> None:
    """A whole shard of another plan is somebody's work: refused, not discarded."""
    if shard.layout.plan_key != plan.key():
        raise StoreError(
            f"{shard.path} belongs to another plan (key {shard.layout.plan_key[:12]}..., here {plan.key()[:12]}...).",
            f"It was copied here, or {PLAN} was removed from this folder.",
            "Move it away, or use a new folder.",
        )


def _planned(plan: Plan, number: int) -> tuple[Identity, np.ndarray]:
    """What the file with this number must say it is, and the plan indices of its rows."""
    if number != COMPACT:
        shard = plan.shard(number)
        return shard.identity, shard.row_index
    every, first = len(plan.rows), plan.shard(0).identity
    return first._replace(shard=COMPACT, rows=every), np.arange(every)


def _examine(shard: Shard, planned: Identity, rows: np.ndarray, acknowledged: ShardRecord | None) -> ShardRecord:
    record = shard.record()
    shard.verify()
    found, same_rows = shard.layout.identity, np.array_equal(shard.read("row_index"), rows)
    if found != planned or not same_rows:
        raise StoreError(
            f"{shard.path} is not the shard that is planned here.",
            f"It holds {'the planned' if same_rows else 'other'} rows and says it is {found}; planned is {planned}.",
        )
    if acknowledged not in (None, record):
        raise StoreError(
            f"{shard.path} is not the file that was acknowledged.", "The bytes around its numbers were changed."
        )
    return record


def _parse(line: bytes) -> ShardRecord | None:
    try:
        entry: dict[str, Any] = json.loads(line)
        record = ShardRecord(entry["shard"], entry["rows"], entry["size"], entry["sha256"])
        body = dataclasses.asdict(record)
        # Compared as written, so that not a bit of the line can differ.
        whole = canonical_json({**body, "crc": _checksum(body)}).encode("ascii") == line
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return record if whole else None


def _checksum(body: Mapping[str, object]) -> str:
    return f"{zlib.crc32(canonical_json(body).encode('ascii')):08x}"


def _differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    return [f"{name} is {_short(old.get(name))} there and {_short(new.get(name))} now" for name in names]


def _short(value: str | None) -> str:
    if value is None:
        return "(absent)"
    return value if len(value) <= 48 else f"{value[:40]}...({len(value)} characters)"


def _damaged_card(path: Path, cause: str) -> StoreError:
    return StoreError(
        f"{path} is damaged.", cause, "Delete it and run the same collection again: shards of the same plan are kept."
    )
