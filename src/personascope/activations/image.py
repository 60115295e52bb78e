"""Writing a shard file: HDF5 describes it in memory, the payload goes to disk as plain bytes beside its digests.

h5py is given small files in memory only; of the payload it learns the shapes, and says at which offsets it belongs. So
a full disk is met by a plain write and never inside the HDF5 library, and no payload is copied more than once.
"""

from __future__ import annotations

import io
import math
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t

from personascope.activations.digest import block_digest, piece_digest, pieces, scratch
from personascope.activations.layout import (
    DIGESTS,
    MEMBERS,
    RESIDUALS,
    SCHEMA,
    VALUE_TYPES,
    Block,
    block_names,
    frame_ranges,
)
from personascope.errors import StoreError
from personascope.files import canonical_json

# HDF5 1.10 is the oldest format whose metadata carry checksums of their own.
_FORMAT = ("v110", "v110")
_PAGE = 4096
_READ_BACK = 1 << 20
_END_OF_FILE = slice(28, 36)  # in the superblock of that format


@dataclass(frozen=True)
class Head:
    """What a shard says of itself: plan, number, layers in the order of its residuals, type of its values."""

    plan_key: str
    shard: int
    layers: tuple[int, ...]
    value_type: str


@dataclass(frozen=True)
class Image:
    """A shard file to be: the bytes of its frame, where each block goes (digests still empty), its whole size."""

    frame: bytes
    blocks: dict[str, Block]
    digests: Block
    size: int


def plan_image(head: Head, residuals: tuple[int, int, int, int], members: Mapping[str, np.ndarray]) -> Image:
    """Lay out a shard file.

    Args:
        head: what it says of itself.
        residuals: shape (layer, position, row, d_model).
        members: all other datasets by name, except the digests.
    """
    names = block_names(head.layers, residuals[1])
    shapes = {name: members[name].shape for name in MEMBERS if name in members}
    # The residuals last: whatever HDF5 has to say stands before them, and the file in memory stays small.
    shapes |= {DIGESTS: (len(names), 32), RESIDUALS: residuals}
    types = {name: MEMBERS[name][0] or VALUE_TYPES[head.value_type] for name in shapes}
    memory = _Memory()
    with h5py.File(memory, "w", libver=_FORMAT, alignment_threshold=_PAGE, alignment_interval=_PAGE) as file:
        # Fixed-length text: variable-length strings would be kept in a heap that has no checksum.
        file.attrs["schema"] = np.bytes_(SCHEMA)
        file.attrs["plan_key"] = np.bytes_(head.plan_key)
        file.attrs["shard"] = np.int64(head.shard)
        file.attrs["dtype"] = np.bytes_(head.value_type)
        file.attrs["layers"] = np.bytes_(canonical_json(head.layers))
        offsets = _allocate(file, shapes, types)
    frame = memory.getvalue()
    (size,) = struct.unpack("<Q", frame[_END_OF_FILE])
    found = {name: Block(offsets[name], shapes[name], types[name], "", "") for name in shapes}
    blocks, (_, _, rows, d_model) = {}, residuals
    for number, name in enumerate(names):
        place = offsets[RESIDUALS] + number * rows * d_model * int(types[RESIDUALS][2:])
        blocks[name] = found.get(name) or Block(place, (rows, d_model), types[RESIDUALS], head.value_type, "")
    return Image(frame, blocks, found[DIGESTS], size)


def write_block(descriptor: int, block: Block, values: np.ndarray) -> str:
    """Write a block, read it back, and return its digest.

    Raises:
        StoreError: what was read back is not what was written.
        OSError: the disk is full or failing.
    """
    if values.nbytes != block.size:
        raise ValueError(f"{values.nbytes} bytes for a block of {block.size}")
    digests = []
    for start, end in pieces(block.size):
        piece = _bytes(values, start, end)
        write_exactly(descriptor, piece, block.offset + start)
        digests.append(piece_digest(piece))
        del piece  # before the next one is copied
    return block_digest(digests)


def write_frame(descriptor: int, image: Image, digests: Sequence[str]) -> None:
    """Write all that is no block, the blocks' digests included; to be called last, as it makes the file a shard.

    Raises:
        StoreError: what was read back is not what was written.
        OSError: the disk is full or failing.
    """
    os.ftruncate(descriptor, image.size)
    table = slice(image.digests.offset, image.digests.offset + image.digests.size)
    frame = bytearray(image.frame.ljust(table.stop, b"\0"))
    frame[table] = bytes.fromhex("".join(digests))
    for start, end in frame_ranges(image.size, image.blocks):
        write_exactly(descriptor, memoryview(bytes(frame[start:end]).ljust(end - start, b"\0")), start)


def write_exactly(descriptor: int, data: memoryview, offset: int) -> None:
    """Write `data` at `offset` and read it back.

    Raises:
        StoreError: what was read back is not what was written.
        OSError: the disk is full or failing.
    """
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)
    for start in range(0, len(data), _READ_BACK):
        part = data[start : start + _READ_BACK]
        back = scratch(len(part))
        count = os.preadv(descriptor, [back], offset + start)
        if count != len(part) or not np.array_equal(np.frombuffer(back, np.uint8), np.frombuffer(part, np.uint8)):
            raise StoreError(
                f"The {len(part)} bytes written at {offset + start} do not read back.",
                "The disk, its driver or the memory is failing.",
                "Use another disk; nothing of this shard was published.",
            )


def _bytes(values: np.ndarray, start: int, end: int) -> memoryview:
    """Bytes `start` to `end` of an array's rows laid end to end; no more rows than these are copied."""
    if not values.size:
        return memoryview(b"")
    width = values.nbytes // len(values)
    first, last = start // width, -(-end // width)
    part = np.ascontiguousarray(values[first:last]).reshape(-1).view(np.uint8).data
    return part[start - first * width : end - first * width]


class _Memory(io.BytesIO):
    def truncate(self, size: int | None = None) -> int:
        """Stay small: HDF5 asks for the size of the whole file, of which only the frame is here."""
        return len(self.getbuffer()) if size is None else size


def _allocate(file: h5py.File, shapes: Mapping[str, tuple[int, ...]], types: Mapping[str, str]) -> dict[str, int]:
    """Create all datasets, then give each its place in the file, in the same order."""
    storage = h5p.create(h5p.DATASET_CREATE)
    storage.set_layout(h5d.CONTIGUOUS)
    storage.set_alloc_time(h5d.ALLOC_TIME_LATE)
    storage.set_fill_time(h5d.FILL_TIME_NEVER)
    storage.set_obj_track_times(False)  # the same rows make the same file, whenever it is written
    created = {
        name: h5d.create(
            file.id, name.encode(), h5t.py_create(np.dtype(types[name])), h5s.create_simple(shape), storage
        )
        for name, shape in shapes.items()
    }
    for name, shape in shapes.items():
        if math.prod(shape):
            # Writing one element makes HDF5 allocate the whole dataset.
            one, space = (1,) * len(shape), created[name].get_space()
            space.select_hyperslab((0,) * len(shape), one)
            created[name].write(h5s.create_simple(one), space, np.zeros(one, dtype=types[name]))
    return {name: dataset.get_offset() or 0 for name, dataset in created.items()}
