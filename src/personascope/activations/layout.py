"""Where each dataset of a shard lies in its file, found only after every reason to distrust the file is ruled out.

A shard may come from anywhere, and an HDF5 file can name other files to be read, run plug-ins, or claim shapes of
terabytes. Here h5py is asked for descriptions only; payloads are read as plain bytes at the offsets found. Refused:
soft and external links, external storage, virtual datasets, filters, object, reference and variable-length types,
unknown members and attributes, and any shape that reaches beyond the file.
"""

from __future__ import annotations

import io
import math
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from personascope.errors import StoreError

SCHEMA = "personascope-shard-1"

_RESIDUALS = "residuals"
_LAYER = re.compile(r"[0-9]{3,6}")
_VALUE_TYPES = {"float32": "<f4", "bfloat16": "<u2", "float16": "<u2"}
# name -> (element type on disk, number of axes)
_MEMBERS = {
    "option_logprobs": ("<f4", 2),
    "other_logmass": ("<f4", 1),
    "row_index": ("<i8", 1),
    "token_ids": ("<i8", 2),
    "rows": ("|u1", 1),
}
_LONGEST_ATTRIBUTE = 256
# What h5py raises on damaged files. MemoryError is left out: it says nothing about the file.
_DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, OverflowError)


@dataclass(frozen=True)
class Block:
    """One dataset as a run of bytes: element type on disk, meaning of the elements, SHA-256 of the bytes."""

    offset: int
    shape: tuple[int, ...]
    disk_type: str
    value_type: str
    sha256: str

    @property
    def size(self) -> int:
        """Length in bytes."""
        return math.prod(self.shape) * int(self.disk_type[2:])


class Identity(NamedTuple):
    """Plan, number and axes of a shard; layers ascending."""

    plan_key: str
    shard: int
    rows: int
    layers: tuple[int, ...]
    options: int
    positions: int


@dataclass(frozen=True)
class Layout:
    """What a shard file says it is, and its datasets by name ("residuals/007", "option_logprobs", ...)."""

    plan_key: str
    shard: int
    blocks: dict[str, Block]

    @property
    def identity(self) -> Identity:
        """What the shard is, to be compared with what is planned."""
        widths = (self.blocks["option_logprobs"].shape[1], self.blocks["token_ids"].shape[1])
        return Identity(self.plan_key, self.shard, self.n_rows, self.layers, *widths)

    @property
    def n_rows(self) -> int:
        """Number of rows in this shard."""
        return self.blocks["row_index"].shape[0]

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers held, ascending."""
        names = (name.partition("/") for name in self.blocks)
        return tuple(sorted(int(layer) for group, _, layer in names if group == _RESIDUALS))


def layer_name(layer: int) -> str:
    """Dataset that holds a layer's residual rows."""
    return f"{_RESIDUALS}/{layer:03d}"


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file for reading, but no link, pipe or device.

    Raises:
        StoreError: `path` is not a regular file.
        OSError: it cannot be opened.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise _refusal(path, "it is a link, folder or device, not a file of its own")
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb")


def read_layout(path: Path) -> Layout:
    """Read a shard's layout.

    Raises:
        StoreError: the file is truncated, damaged, hostile, or of another schema; its payload is not checked here.
        OSError: the file cannot be opened; that says nothing about its content.
    """
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        try:
            # Through the open stream, so that running out of descriptors cannot be mistaken for a damaged file.
            with h5py.File(stream, "r") as file:
                head = _attributes(path, file, {"schema", "plan_key", "shard"})
                if head["schema"] != SCHEMA:
                    raise _refusal(path, f"its schema is {head['schema']!r}, this version reads {SCHEMA!r}")
                blocks = {name: _block(path, name, dataset, size) for name, dataset in _datasets(path, file)}
                layout = Layout(head["plan_key"], int(head["shard"]), blocks)
        except _DAMAGE as error:
            raise _refusal(path, f"it is damaged or not a shard ({error})") from error
    _require_matching_rows(path, layout)
    return layout


def _datasets(path: Path, file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    members = _hard_members(path, file)
    missing = {_RESIDUALS, *_MEMBERS} - set(members)
    unknown = set(members) - {_RESIDUALS, *_MEMBERS}
    if missing or unknown:
        raise _refusal(path, f"members missing: {sorted(missing)}, unknown: {sorted(unknown)}")
    for name in _MEMBERS:
        yield name, members[name]
    if not isinstance(members[_RESIDUALS], h5py.Group):
        raise _refusal(path, f"{_RESIDUALS!r} is not a group")
    _attributes(path, members[_RESIDUALS], set())
    for name, dataset in _hard_members(path, members[_RESIDUALS]).items():
        if not _LAYER.fullmatch(name) or layer_name(int(name)) != f"{_RESIDUALS}/{name}":
            raise _refusal(path, f"unknown member {_RESIDUALS}/{name}")
        yield f"{_RESIDUALS}/{name}", dataset


def _hard_members(path: Path, group: h5py.Group) -> dict[str, Any]:
    for name in group:
        # The kind of link is asked for before anything is opened through it.
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise _refusal(path, f"member {name!r} is a soft or external link")
    return {name: group[name] for name in group}


def _block(path: Path, name: str, dataset: Any, file_size: int) -> Block:
    if not isinstance(dataset, h5py.Dataset):
        raise _refusal(path, f"{name!r} is not a dataset")
    storage = dataset.id.get_create_plist()
    # Before the shape is asked for: that alone makes HDF5 open the sources of a virtual dataset. Filters need chunks.
    if storage.get_layout() != h5py.h5d.CONTIGUOUS or storage.get_external_count():
        raise _refusal(path, f"{name!r} is virtual, chunked, filtered or stored outside the file")
    if dataset.id.get_type().get_class() not in (h5py.h5t.INTEGER, h5py.h5t.FLOAT):
        raise _refusal(path, f"{name!r} holds objects, references or text, not plain numbers")
    is_layer = name.startswith(_RESIDUALS)
    labels = _attributes(path, dataset, {"sha256", "dtype"} if is_layer else {"sha256"})
    disk_type, axes = (_VALUE_TYPES.get(labels["dtype"]), 3) if is_layer else _MEMBERS[name]
    if disk_type is None or dataset.dtype.str != disk_type or len(dataset.shape) != axes:
        raise _refusal(path, f"{name!r} is {dataset.dtype} {dataset.shape}, not {disk_type} with {axes} axes")
    offset = dataset.id.get_offset()
    value_type = labels.get("dtype", dataset.dtype.name)
    block = Block(offset or 0, tuple(map(int, dataset.shape)), disk_type, value_type, labels["sha256"])
    # Without an offset nothing was ever stored; an offset beyond the end is let through by HDF5 before 2.0.
    if block.size and (offset is None or offset + block.size > file_size):
        raise _refusal(path, f"{name!r} of shape {block.shape} reaches beyond the file of {file_size} bytes")
    return block


def _attributes(path: Path, thing: Any, expected: set[str]) -> dict[str, str]:
    """The attributes as text: each a single short string or integer, looked at before it is read."""
    names = set(thing.attrs)
    if names != expected:
        raise _refusal(path, f"{thing.name} has the attributes {sorted(names)}, not {sorted(expected)}")
    values = {}
    for name in expected:
        attribute = h5py.h5a.open(thing.id, name.encode())
        if (
            attribute.dtype.kind not in "iS"
            or attribute.shape != ()
            or attribute.get_storage_size() > _LONGEST_ATTRIBUTE
        ):
            raise _refusal(path, f"attribute {name!r} of {thing.name} is not a single short text or number")
        value = thing.attrs[name]
        values[name] = value.decode("ascii") if isinstance(value, bytes) else str(value)
    return values


def _require_matching_rows(path: Path, layout: Layout) -> None:
    lengths = {name: block.shape[0] for name, block in layout.blocks.items() if name != "rows"}
    widths = {layout.blocks[layer_name(layer)].shape[1:] for layer in layout.layers}
    positions = {width[0] for width in widths} | {layout.blocks["token_ids"].shape[1]}
    if len(set(lengths.values())) != 1 or len(widths) > 1 or len(positions) != 1:
        raise _refusal(path, f"its datasets do not belong together: rows {lengths}, (position, d_model) {widths}")


def _refusal(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"{path}: refused as a shard.",
        f"{reason[0].upper()}{reason[1:]}.",
        "Run the collection again: a shard that is not valid is discarded and computed anew.",
    )
