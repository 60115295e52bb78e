"""Digests of blocks that are taken at the speed of memory, so that every reading can be checked.

A block is hashed piece by piece with XXH3 (128 bits), and the pieces' hashes together with SHA-256. It is a check
against accidents: who can write a store can mend its digests. Pieces are hashed side by side; the hash and the system's
reads and writes let other threads run meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import xxhash

PIECE = 1 << 21
_THREADS = 4
_WORTH_THREADS = PIECE

_OWN = threading.local()

Item = TypeVar("Item")
Result = TypeVar("Result")


def pieces(size: int) -> list[tuple[int, int]]:
    """Start and end of each piece of a block of `size` bytes; one empty piece for an empty block."""
    return [(start, min(start + PIECE, size)) for start in range(0, size, PIECE)] or [(0, 0)]


def piece_digest(piece: bytes | bytearray | memoryview) -> bytes:
    """XXH3-128 of a piece, 16 bytes; the piece's length is part of it."""
    return xxhash.xxh3_128_digest(piece)


def block_digest(digests: Iterable[bytes]) -> str:
    """Digest of a block from those of its pieces, in hex."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


def scratch(size: int) -> memoryview:
    """`size` bytes to read into, the same for every call of a thread: fresh memory costs as much as filling it."""
    buffer: bytearray | None = getattr(_OWN, "buffer", None)
    if buffer is None or len(buffer) < size:
        buffer = _OWN.buffer = bytearray(size)
    return memoryview(buffer)[:size]


def side_by_side(do: Callable[[Item], Result], items: Sequence[Item], size: int) -> list[Result]:
    """`[do(item) for item in items]`, in threads if `size` bytes of work are worth it.

    The first error is raised when the work already begun has ended.
    """
    workers = min(_THREADS, len(items), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    if workers < 2 or size < _WORTH_THREADS:
        return [do(item) for item in items]
    with ThreadPoolExecutor(workers, thread_name_prefix="personascope-store") as pool:
        return list(pool.map(do, items))
