"""Planted truths and published figures against what the code recovers.

A part is a module `benchmarks/known_PART.py` with a function `records() -> list[Record]`, or `records(folder)` where it
reads data that are not part of the repository. Exits 1 when a figure is not met.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

from rich.console import Console

from benchmarks.records import Record, show

FOLDER = Path(__file__).parent
PREFIX = "known_"


def parts(folder: Path = FOLDER) -> list[str]:
    """Names of the parts that stand beside this file."""
    names = sorted(path.stem.removeprefix(PREFIX) for path in folder.glob(f"{PREFIX}*.py"))
    return [name for name in names if name != Path(__file__).stem.removeprefix(PREFIX)]


def needs_data(records: Callable[..., Sequence[Record]]) -> bool:
    """Whether a part reads data from a folder."""
    return "folder" in inspect.signature(records).parameters


def main(arguments: Sequence[str] | None = None) -> None:
    """The chosen parts, each with its table; exits 1 if a figure of any is not met, 2 without the data one needs."""
    names = parts()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.known_answers", description=__doc__)
    parser.add_argument("part", nargs="*", metavar="PART", help=f"{', '.join(names)}; without one, all that can run")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="folder of human data, for the parts that read it")
    parser.add_argument("--json", type=Path, help="write the records to this file")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.part if name not in names]
    if unknown:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(names)}")
    if options.data is not None and not options.data.is_dir():
        parser.error(f"--data {options.data} is not a folder")
    chosen = {name: importlib.import_module(f"benchmarks.{PREFIX}{name}").records for name in options.part or names}
    unready = [name for name, records in chosen.items() if needs_data(records) and options.data is None]
    if unready and options.part:
        parser.error(f"{', '.join(unready)} reads human data: pass --data FOLDER")
    for name in unready:
        Console().print(f"{name}: left out, it reads human data (--data FOLDER).")
        del chosen[name]
    found: list[Record] = []
    started = perf_counter()
    for records in chosen.values():
        found += records(options.data) if needs_data(records) else records()
    show(f"known answers: {', '.join(chosen)} ({perf_counter() - started:.0f} s)", found, options.json)
    sys.exit(not all(record.ok for record in found))


if __name__ == "__main__":
    main()
