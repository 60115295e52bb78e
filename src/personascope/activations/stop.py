"""SIGTERM and Ctrl-C while a store is filled: the running batch is dropped, a shard being published is finished.

A signal handler that raises anywhere could raise inside HDF5, which would swallow it or take it for a damaged file. So
the handlers raise only while the backend runs; elsewhere they leave word, which is read between shards.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Stop:
    """Whether and how this process was asked to stop."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._at_once = False

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Let a signal end the block where it stands."""
        self.check()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def check(self) -> None:
        """End now if the process was asked to.

        Raises:
            SystemExit: with code 143, after SIGTERM.
            KeyboardInterrupt: after Ctrl-C.
        """
        if self.signal == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt

    def receive(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal; the second one does not wait."""
        again, self.signal = self.signal is not None, number
        if self._at_once or again:
            self.check()


@contextlib.contextmanager
def stopping() -> Iterator[Stop]:
    """Handle SIGTERM and SIGINT as above, unless the program has handlers of its own; restored afterwards."""
    stop, before = Stop(), {}
    if threading.current_thread() is threading.main_thread():
        for number, default in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
            if signal.getsignal(number) is default:
                before[number] = signal.signal(number, stop.receive)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    stop.check()
