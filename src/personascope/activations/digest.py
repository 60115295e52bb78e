"""Digests of blocks: SHA-256 over the SHA-256 of each 1 MiB piece, so that pieces are hashed side by side.

A piece fits a core's cache: it is hashed while it is there, and memory is walked once. hashlib and the system's reads
and writes let other threads run meanwhile.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

PIECE = 1 << 20
_THREADS = 4
_WORTH_THREADS = 4 * PIECE

Item = TypeVar("Item")
Result = TypeVar("Result")


def pieces(size: int) -> list[tuple[int, int]]:
    """Start and end of each piece of a block of `size` bytes; one empty piece for an empty block."""
    return [(start, min(start + PIECE, size)) for start in range(0, size, PIECE)] or [(0, 0)]


def piece_digest(piece: bytes | bytearray | memoryview) -> bytes:
    """SHA-256 of one piece."""
    return hashlib.sha256(piece).digest()


def block_digest(digests: Iterable[bytes]) -> str:
    """Digest of a block from those of its pieces, in hex."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


def side_by_side(do: Callable[[Item], Result], items: Sequence[Item], size: int) -> list[Result]:
    """`[do(item) for item in items]`, in threads if `size` bytes of work are worth it.

    The first error is raised when the work already begun has ended.
    """
    workers = min(_THREADS, len(items), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    if workers < 2 or size < _WORTH_THREADS:
        return [do(item) for item in items]
    with ThreadPoolExecutor(workers, thread_name_prefix="personascope-store") as pool:
        return list(pool.map(do, items))
