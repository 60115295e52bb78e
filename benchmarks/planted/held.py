"""Records of one planted figure each; the note says where the target comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from benchmarks.records import Record

Values: TypeAlias = float | Sequence[float] | np.ndarray | None
"""What does not exist counts as NaN, and never as held."""


def near(name: str, values: Values, target: float, tolerance: float, note: str) -> Record:
    """Mean of one value or several, which must be within the tolerance of the target; the range is theirs."""
    found = np.atleast_1d(np.asarray(values, dtype=np.float64))
    ok = bool(abs(found.mean() - target) <= tolerance)
    return _record(name, found, target, ok, f"within {tolerance:.2g}; {note}")


def between(
    name: str,
    values: Values,
    bottom: float,
    top: float,
    note: str,
    target: float | None = None,
) -> Record:
    """Mean of one value or several, which must lie in [bottom, top]."""
    found = np.atleast_1d(np.asarray(values, dtype=np.float64))
    ok = bool(bottom <= found.mean() <= top)
    return _record(name, found, target, ok, f"accepted {bottom:.2g} to {top:.2g}; {note}")


def every(name: str, values: Sequence[bool] | np.ndarray, note: str, least: int | None = None) -> Record:
    """How many of several statements hold; all must, or at least so many."""
    held = np.asarray(values, dtype=bool)
    needed = len(held) if least is None else least
    count = int(held.sum())
    return Record(name, count, count, count, len(held), count >= needed, len(held), f"at least {needed}; {note}")


def _record(name: str, found: np.ndarray, target: float | None, ok: bool, note: str) -> Record:
    return Record(name, float(found.mean()), float(found.min()), float(found.max()), target, ok, len(found), note)
