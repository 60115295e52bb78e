"""Where each block of a shard lies in its file, found only after every reason to distrust the file is ruled out.

A shard may come from anywhere, and an HDF5 file can name other files to be read, run plug-ins, or claim shapes of
terabytes. Here h5py is asked for descriptions only; payloads are read as plain bytes at the offsets found. Refused:
soft and external links, external storage, virtual datasets, filters, object, reference and variable-length types,
unknown members and attributes, overlapping datasets, and any shape that reaches beyond the file.

Every byte of the file is covered by a digest: those of the blocks are in the dataset `digests`, and all that is no
block (HDF5's own structures, attributes, and `digests` itself) is the *frame*, whose digest the manifest acknowledges.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from personascope.errors import StoreError
from personascope.files import canonical_json

SCHEMA = "personascope-shard-3"

RESIDUALS, DIGESTS = "residuals", "digests"
VALUE_TYPES = {"float32": "<f4", "bfloat16": "<u2", "float16": "<u2"}
# name -> (element type on disk, number of axes); that of the residuals depends on the values in them
MEMBERS = {
    "option_logprobs": ("<f4", 2),
    "other_logmass": ("<f4", 1),
    "quarantined": ("|u1", 1),
    "row_index": ("<i8", 1),
    "rows": ("|u1", 1),
    "token_ids": ("<i8", 2),
    DIGESTS: ("|u1", 2),
    RESIDUALS: ("", 4),
}
_ATTRIBUTES = {"schema", "plan_key", "shard", "dtype", "layers"}
_LAYERS = re.compile(r"\[(?:[0-9]{1,6}(?:,[0-9]{1,6})*)?\]")
_LONGEST_ATTRIBUTE = 4096
_LARGEST_FRAME = 1 << 20
# What h5py raises on damaged files. MemoryError is left out: it says nothing about the file.
_DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, OverflowError)


@dataclass(frozen=True)
class Block:
    """A run of bytes: element type on disk, meaning of the elements, digest (see `digest`) of the bytes."""

    offset: int
    shape: tuple[int, ...]
    disk_type: str
    value_type: str
    digest: str

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
    """What a shard file says it is: its blocks by name ("residuals/007/0", "option_logprobs", ...), size, frame."""

    plan_key: str
    shard: int
    layers: tuple[int, ...]
    blocks: dict[str, Block]
    size: int
    frame_sha256: str

    @property
    def identity(self) -> Identity:
        """What the shard is, to be compared with what is planned."""
        widths = (self.blocks["option_logprobs"].shape[1], self.blocks["token_ids"].shape[1])
        return Identity(self.plan_key, self.shard, self.n_rows, tuple(sorted(self.layers)), *widths)

    @property
    def n_rows(self) -> int:
        """Number of rows in this shard."""
        return self.blocks["row_index"].shape[0]


def residual_name(layer: int, position: int) -> str:
    """Block of a layer's residual rows at one position (by its number)."""
    return f"{RESIDUALS}/{layer:03d}/{position}"


def block_names(layers: tuple[int, ...], positions: int) -> list[str]:
    """Names of all blocks in the order of the rows of `digests`."""
    residuals = [residual_name(layer, position) for layer in layers for position in range(positions)]
    return residuals + [name for name in MEMBERS if name not in (RESIDUALS, DIGESTS)]


def frame_ranges(size: int, blocks: dict[str, Block]) -> list[tuple[int, int]]:
    """What the blocks leave of a file of `size` bytes, as (start, end).

    Raises:
        ValueError: two blocks overlap.
    """
    ranges, end = [], 0
    for block in sorted((block for block in blocks.values() if block.size), key=lambda block: block.offset):
        if block.offset < end:
            raise ValueError(f"datasets overlap at byte {block.offset}")
        ranges.append((end, block.offset))
        end = block.offset + block.size
    return [(start, stop) for start, stop in [*ranges, (end, size)] if start < stop]


def open_regular(path: Path) -> io.FileIO:
    """Open a file for reading, but no link, pipe or device.

    Raises:
        StoreError: `path` is not a regular file.
        OSError: it cannot be opened.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise _refusal(path, "it is a link, folder or device, not a file of its own")
    return io.FileIO(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb")


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
                head = _attributes(path, file, _ATTRIBUTES)
                if head["schema"] != SCHEMA:
                    raise _refusal(path, f"its schema is {head['schema']!r}, this version reads {SCHEMA!r}")
                found = _datasets(path, file, head["dtype"], size)
            blocks = _blocks(path, found, head["layers"], stream)
            frame = _frame_digest(path, stream, size, blocks)
            layers = tuple(map(int, re.findall("[0-9]+", head["layers"])))
            return Layout(head["plan_key"], int(head["shard"]), layers, blocks, size, frame)
        except _DAMAGE as error:
            raise _refusal(path, f"it is damaged or not a shard ({error})") from error


def _datasets(path: Path, file: h5py.File, value_type: str, file_size: int) -> dict[str, Block]:
    members = list(file)
    missing, unknown = sorted(set(MEMBERS) - set(members)), sorted(set(members) - set(MEMBERS))
    if missing or unknown:
        raise _refusal(path, f"members missing: {missing}, unknown: {unknown}")
    for name in members:
        # The kind of link is asked for before anything is opened through it.
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            raise _refusal(path, f"member {name!r} is a soft or external link")
    if value_type not in VALUE_TYPES:
        raise _refusal(path, f"its values are of the unknown type {value_type!r}")
    return {name: _dataset(path, name, file[name], value_type, file_size) for name in MEMBERS}


def _dataset(path: Path, name: str, dataset: Any, value_type: str, file_size: int) -> Block:
    if not isinstance(dataset, h5py.Dataset):
        raise _refusal(path, f"{name!r} is not a dataset")
    storage = dataset.id.get_create_plist()
    # Before the shape is asked for: that alone makes HDF5 open the sources of a virtual dataset. Filters need chunks.
    if storage.get_layout() != h5py.h5d.CONTIGUOUS or storage.get_external_count():
        raise _refusal(path, f"{name!r} is virtual, chunked, filtered or stored outside the file")
    if dataset.id.get_type().get_class() not in (h5py.h5t.INTEGER, h5py.h5t.FLOAT):
        raise _refusal(path, f"{name!r} holds objects, references or text, not plain numbers")
    _attributes(path, dataset, set())
    disk_type, axes = MEMBERS[name]
    disk_type = disk_type or VALUE_TYPES[value_type]
    if dataset.dtype.str != disk_type or len(dataset.shape) != axes:
        raise _refusal(path, f"{name!r} is {dataset.dtype} {dataset.shape}, not {disk_type} with {axes} axes")
    offset = dataset.id.get_offset()
    meaning = value_type if name == RESIDUALS else dataset.dtype.name
    block = Block(offset or 0, tuple(map(int, dataset.shape)), disk_type, meaning, "")
    # Without an offset nothing was ever stored; an offset beyond the end is let through by HDF5 before 2.0.
    if block.size and (offset is None or offset + block.size > file_size):
        raise _refusal(path, f"{name!r} of shape {block.shape} reaches beyond the file of {file_size} bytes")
    return block


def _blocks(path: Path, found: dict[str, Block], layers_text: str, stream: io.FileIO) -> dict[str, Block]:
    """The blocks with their digests; the residuals as one block per layer and position."""
    if not _LAYERS.fullmatch(layers_text):
        raise _refusal(path, "its layers are not a list of numbers")
    layers = tuple(map(int, re.findall("[0-9]+", layers_text)))
    residuals, table = found.pop(RESIDUALS), found.pop(DIGESTS)
    n_layers, positions, rows, d_model = residuals.shape
    lengths = {name: block.shape[0] for name, block in found.items() if name != "rows"} | {RESIDUALS: rows}
    agree = (n_layers, positions) == (len(set(layers)), found["token_ids"].shape[1]) and len(layers) == n_layers
    if not agree or len(set(lengths.values())) != 1 or table.shape != (n_layers * positions + len(found), 32):
        shapes = {name: block.shape for name, block in {**found, RESIDUALS: residuals, DIGESTS: table}.items()}
        raise _refusal(path, f"its datasets do not belong together: layers {layers_text}, shapes {shapes}")
    stored = os.pread(stream.fileno(), table.size, table.offset)
    blocks = {}
    for number, name in enumerate(block_names(layers, positions)):
        block, digest = found.get(name), stored[32 * number : 32 * number + 32].hex()
        if block is None:
            place = residuals.offset + number * rows * d_model * int(residuals.disk_type[2:])
            block = Block(place, (rows, d_model), residuals.disk_type, residuals.value_type, "")
        blocks[name] = Block(block.offset, block.shape, block.disk_type, block.value_type, digest)
    return blocks


def _frame_digest(path: Path, stream: io.FileIO, size: int, blocks: dict[str, Block]) -> str:
    ranges = frame_ranges(size, blocks)
    length = sum(end - start for start, end in ranges)
    if length > _LARGEST_FRAME + 32 * len(blocks):
        raise _refusal(path, f"{length} of its {size} bytes belong to no dataset")
    digest = hashlib.sha256(canonical_json([size, ranges]).encode("ascii"))
    for start, end in ranges:
        digest.update(os.pread(stream.fileno(), end - start, start))
    return digest.hexdigest()


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


def _refusal(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"{path}: refused as a shard.",
        f"{reason[0].upper()}{reason[1:]}.",
        "Run the collection again: a shard that is not valid is discarded and computed anew.",
    )
