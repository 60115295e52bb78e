"""Compact: one file with every row of a store in plan order, so that a layer at a position is one contiguous read.

It is a shard like the others, published by the same recipe, whose number is -1. Shards hold rows in the order in which
they ran; here each row is written to its place, read back, and the whole is hashed once more before it counts.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from personascope.activations.collect import run_lock
from personascope.activations.digest import block_digest, piece_digest, pieces
from personascope.activations.image import Head, Image, plan_image, write_block, write_exactly
from personascope.activations.layout import MEMBERS, Block, Identity
from personascope.activations.manifest import append_record, present_shards, read_records
from personascope.activations.publish import disk_errors_explained, sweep_strays
from personascope.activations.shard import COMPACT, Shard, ShardRecord, shard_path
from personascope.activations.shard_set import ShardSet
from personascope.activations.store import ActivationStore
from personascope.activations.write import publish_image
from personascope.errors import StoreError
from personascope.files import canonical_json, fsync_folder


def compact(folder: Path, *, drop_shards: bool = False) -> Path:
    """Make the compact file of a complete store, from verified shards; if it is there and valid, it stands.

    A kill at any instant costs the work since the call: the file is there whole or not at all, and shards are deleted
    only when it is acknowledged. Memory is the rows of one shard at one place and the plan's ids and meta.

    Args:
        folder: of the store.
        drop_shards: delete the shards afterwards; the store stays complete.

    Returns:
        The file; `ActivationStore` uses it by itself.

    Raises:
        StoreError: rows are missing or damaged, the folder is in use, or it cannot be written.
    """
    target = shard_path(folder, COMPACT)
    store = ActivationStore.open(folder)
    with run_lock(folder), disk_errors_explained(folder, "make the compact file"):
        sweep_strays(folder)
        record = _existing(target, store)
        if record is None:
            record = _write(store)
        if read_records(folder).get(COMPACT) != record:
            append_record(folder, record)
        if drop_shards:
            _drop(folder)
    return target


def _existing(target: Path, store: ActivationStore) -> ShardRecord | None:
    """Record of a valid compact file; one that is not valid is deleted if the shards can make a new one."""
    if not os.path.lexists(target):
        return None
    try:
        shard = Shard.open(target)
        shard.verify()
        first = shard.layout.identity
        acknowledged = read_records(store.folder).get(COMPACT)
        if first.plan_key != store.key or acknowledged not in (None, shard.record()):
            raise StoreError(f"{target} is not this store's, or not as it was acknowledged.")
    except StoreError:
        _verified(store.shard_set())
        target.unlink()
        fsync_folder(target.parent)
        return None
    return shard.record()


def _verified(shards: ShardSet) -> ShardSet:
    for shard in shards.shards:
        shard.verify()
    return shards


def _drop(folder: Path) -> None:
    for number in present_shards(folder):
        shard_path(folder, number).unlink()
    fsync_folder(folder)


def _write(store: ActivationStore) -> ShardRecord:
    shards = store.shard_set()
    members = {name: shards.read(name) for name in MEMBERS if name in shards.shards[0].layout.blocks and name != "rows"}
    cards = canonical_json(shards.cards()).encode("utf-8")
    members["rows"] = np.frombuffer(cards, dtype=np.uint8)
    residual = next((block for name, block in shards.shards[0].layout.blocks.items() if "/" in name), None)
    value_type, d_model = (residual.value_type, residual.shape[1]) if residual else ("float32", 0)
    head = Head(store.key, COMPACT, store.layers, value_type)
    image = plan_image(head, (len(store.layers), len(store.positions), store.n_rows, d_model), members)
    axes = (tuple(sorted(store.layers)), len(store.options), len(store.positions))
    identity = Identity(store.key, COMPACT, store.n_rows, *axes)
    return publish_image(
        store.folder, identity, image, lambda descriptor: _write_blocks(descriptor, image, members, shards)
    )


def _write_blocks(descriptor: int, image: Image, members: dict[str, np.ndarray], shards: ShardSet) -> list[str]:
    digests = []
    for name, block in image.blocks.items():
        if name in members:
            digests.append(write_block(descriptor, block, members[name]))
            continue
        for shard, places in zip(shards.shards, shards.places, strict=True):
            _scatter(descriptor, block, shard.read(name), places)
        digests.append(_digest(descriptor, block))
    return digests


def _scatter(descriptor: int, block: Block, rows: np.ndarray, places: np.ndarray) -> None:
    """Write each row to its place in the block; rows that are neighbours there go in one piece."""
    order = np.argsort(places)
    starts = np.flatnonzero(np.diff(places[order], prepend=-2) != 1)
    for run in np.split(order, starts[1:]):
        data = np.ascontiguousarray(rows[run]).reshape(-1).view(np.uint8).data
        write_exactly(descriptor, data, block.offset + int(places[run[0]]) * (block.size // block.shape[0]))


def _digest(descriptor: int, block: Block) -> str:
    """Digest of what now lies in the file; every row of it was read back against its verified source."""
    found = (os.pread(descriptor, end - start, block.offset + start) for start, end in pieces(block.size))
    return block_digest(map(piece_digest, found))
