"""One language for all benchmarks: a table for people, records for machines, no ratio without equality."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, sleep

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
    """Seconds of each contender in each round, taken in turn; the equality check before was the warm-up.

    A contender that returns a float has timed itself (a peer in a process of its own), the others are timed here.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            started = perf_counter()
            own = run()
            seconds[name].append(own if isinstance(own, float) else perf_counter() - started)
    return {name: np.array(values) for name, values in seconds.items()}


def ratio(name: str, ours: np.ndarray, theirs: np.ndarray, target: float | None, note: str = "") -> Record:
    """How many times faster we are: median over rounds of their time by ours, with the smallest and largest."""
    return at_least(name, theirs / ours, target, note)


def at_least(name: str, values: np.ndarray, target: float | None, note: str = "") -> Record:
    """A figure of each round that should reach a target: median, smallest and largest."""
    value = float(np.median(values))
    met = target is None or value >= target
    return Record(name, value, float(values.min()), float(values.max()), target, met, len(values), note)


def at_most(name: str, values: np.ndarray, target: float, note: str = "") -> Record:
    """A figure of each round that should stay below a target: median, smallest and largest."""
    value = float(np.median(values))
    return Record(
        name, value, float(values.min()), float(values.max()), target, value <= target, len(values), f"at most; {note}"
    )


def largest(name: str, values: np.ndarray, limit: float, note: str = "") -> Record:
    """Differences that should all stay within a limit: the largest counts."""
    worst = float(values.max())
    return Record(
        name, worst, float(values.min()), worst, limit, worst <= limit, values.size, f"largest, at most; {note}"
    )


def smallest(name: str, values: np.ndarray, limit: float, note: str = "") -> Record:
    """Figures that should all reach a limit: the smallest counts."""
    worst = float(values.min())
    return Record(
        name, worst, worst, float(values.max()), limit, worst >= limit, values.size, f"smallest, at least; {note}"
    )


def require_quiet(go_on: bool) -> None:
    """Times beside other work mean nothing: exit 1 when more than half a core is busy with something else.

    Args:
        go_on: measure all the same (`--busy`); the table says so.
    """
    first, start = _busy_seconds(), perf_counter()
    sleep(2.0)
    cores = (_busy_seconds() - first) / (perf_counter() - start)
    if cores > 0.5:
        Console().print(f"This machine is busy: {cores:.1f} cores are taken by other work.")
        if not go_on:
            Console().print("Stop it, or pass --busy to measure all the same.")
            sys.exit(1)


def _busy_seconds() -> float:
    """Seconds that all cores together have been busy since the start; 0 where the system does not say."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    except OSError:
        return 0.0
    idle = int(fields[3]) + int(fields[4])
    return (sum(map(int, fields[:8])) - idle) / os.sysconf("SC_CLK_TCK")


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
    return argument_parser(description).parse_args()


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """Parser of the shared options, for benchmarks that add their own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="write the records to this file")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds (default 7)")
    parser.add_argument("--busy", action="store_true", help="measure although other work runs on this machine")
    return parser


def show_so_far(record: Record) -> Record:
    """Say a figure as soon as it is known: a full benchmark takes long, and can be stopped."""
    target = "" if record.target is None else f" (target {record.target:g}{'' if record.ok else ', missed'})"
    Console(width=160).print(
        f"{record.name}: {record.value:.3g}, {record.low:.3g} to {record.high:.3g}{target} {record.note}", style="dim"
    )
    return record


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
