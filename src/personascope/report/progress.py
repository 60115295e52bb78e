"""How far a run is: bars on a terminal, a line per quarter in a log file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


@contextmanager
def showing_progress(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A callback (what, done, total): one bar per part with rate and time left, or plain lines where nobody watches."""
    if not console.is_terminal:
        yield _quarters(console)
        return
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total, rate="")
            speed = bars.tasks[tasks[what]].speed
            bars.update(tasks[what], completed=done, total=total, rate=f"{speed:.1f}/s" if speed else "")

        yield show


def _quarters(console: Console) -> Callable[[str, int, int], None]:
    """Print a line whenever a part has done another quarter: the progress of a log file."""
    printed: dict[str, int] = {}

    def show(what: str, done: int, total: int) -> None:
        quarter = 4 * done // max(1, total)
        if quarter > printed.get(what, 0):
            printed[what] = quarter
            console.print(f"{time.strftime('%H:%M:%S')} {what}: {done:,} of {total:,}", highlight=False)

    return show
