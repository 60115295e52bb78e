"""Whether one shard fits into the memory that is left, asked before the kernel's out-of-memory killer answers."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from personascope.activations.shard import ShardPlan
from personascope.errors import StoreError

_MEMINFO, _CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
_BYTES_PER_VALUE = 4  # the widest type that a shard holds


def shard_bytes(shard: ShardPlan, d_model: int) -> int:
    """Memory for the largest shard's residuals while it is computed and written, in bytes; the model's own is apart."""
    return len(shard.rows) * len(shard.layers) * len(shard.positions) * d_model * _BYTES_PER_VALUE


def available_bytes() -> int | None:
    """Memory that this process may still take, by the system or its control group; None where neither tells."""
    found = []
    with contextlib.suppress(OSError, ValueError, TypeError):
        line = re.search(r"^MemAvailable:\s+([0-9]+) kB", _MEMINFO.read_text(encoding="ascii"), re.MULTILINE)
        found += [int(line[1]) * 1024] if line else []
    with contextlib.suppress(OSError, ValueError):
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii")
        used = (_CGROUP / "memory.current").read_text(encoding="ascii")
        found.append(int(limit) - int(used))
    return min(found, default=None)


def require_memory(shard: ShardPlan, d_model: int) -> None:
    """Refuse a plan whose first shard, which is the largest, does not fit.

    Raises:
        StoreError: with the number of rows per shard that would.
    """
    needed, available = shard_bytes(shard, d_model), available_bytes()
    if available is not None and needed > available:
        fits = max(1, len(shard.rows) * available // (2 * needed))
        raise StoreError(
            f"{len(shard.rows)} rows (one shard) take {needed / 1e9:.1f} GB; {max(available, 0) / 1e9:.1f} GB left.",
            "A shard is held in memory until it is written.",
            f"Plan with rows_per_shard={fits} or fewer layers and positions.",
        )
