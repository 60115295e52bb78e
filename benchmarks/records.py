"""One language for all benchmarks: a table for people, records for machines, no ratio without equality."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Record:
    """One figure: its value with range, the target it is held to, and whether it is met."""

    name: str
    value: float
    low: float
    high: float
    target: float | None
    ok: bool
    n: int
    note: str


def interleaved(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each contender in each round, taken in turn; the equality check before was the warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            started = perf_counter()
            run()
            seconds[name].append(perf_counter() - started)
    return {name: np.array(values) for name, values in seconds.items()}


def ratio(name: str, ours: np.ndarray, theirs: np.ndarray, target: float | None, note: str = "") -> Record:
    """How many times faster we are: median over rounds of their time by ours, with the smallest and largest."""
    ratios = theirs / ours
    value = float(np.median(ratios))
    met = target is None or value >= target
    return Record(name, value, float(ratios.min()), float(ratios.max()), target, met, len(ratios), note)


def require_equal(name: str, difference: float, limit: float) -> Record:
    """The equality check that comes first; a faster wrong answer scores nothing. Exits 1 when it fails."""
    ok = bool(difference <= limit)
    record = Record(name, difference, difference, difference, limit, ok, 1, "largest relative difference, limit")
    if not ok:
        Console().print(f"{name}: relative difference {difference:.2e} exceeds {limit:.0e}; no ratio is shown.")
        sys.exit(1)
    return record


def arguments(description: str | None) -> argparse.Namespace:
    """Options that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="write the records to this file")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds (default 7)")
    return parser.parse_args()


def show(title: str, records: Sequence[Record], json_file: Path | None) -> None:
    """Print the table and write the records."""
    table = Table("figure", "value", "range", "target", "met", "n", "note", title=title)
    for r in records:
        target = "" if r.target is None else f"{r.target:g}"
        table.add_row(
            r.name, f"{r.value:.3g}", f"{r.low:.3g} to {r.high:.3g}", target, "yes" if r.ok else "NO", str(r.n), r.note
        )
    Console(width=160).print(table)
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(record) for record in records], indent=2) + "\n", encoding="utf-8")
