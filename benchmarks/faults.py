"""Faults for the store: calls that fail, processes that die, power that goes, bits that flip. Used by tests too.

`Fault` counts the system calls that change a disk (and those that open files) and strikes at the k-th. `PowerLoss`
remembers what was synced, and after the strike puts back what a disk may hold that kept nothing else.
"""

from __future__ import annotations

import os
import random
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALLS = ("open", "write", "pwrite", "ftruncate", "fsync", "link", "rename", "replace", "unlink", "mkdir")


class ProcessDied(BaseException):
    """Stands for kill -9 inside one process: once raised, no further call takes effect."""


class Fault:
    """Strikes at the k-th system call, before or after it took effect; counts them all (k = 0 only counts).

    Args:
        k: counted from 1.
        strike: called at the k-th call; what it raises goes to the caller, and it may end the process.
        after: whether the call takes effect first.
        forever: whether every later call has no effect and strikes too.
        calls: names in `os` that are counted.
    """

    def __init__(
        self,
        k: int,
        strike: Callable[[], object],
        *,
        after: bool = False,
        forever: bool = False,
        calls: tuple[str, ...] = CALLS,
    ) -> None:
        self.k, self.strike, self.after, self.forever, self.count = k, strike, after, forever, 0
        self.calls = {name: getattr(os, name) for name in calls}

    def __enter__(self) -> Fault:
        for name, call in self.calls.items():
            setattr(os, name, self._wrap(call))
        return self

    def __exit__(self, *_: object) -> None:
        for name, call in self.calls.items():
            setattr(os, name, call)

    def _wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            hit, dead = self.count == self.k, self.forever and 0 < self.k < self.count
            result = None if dead or (hit and not self.after) else call(*args, **kwargs)
            if hit or dead:
                self.strike()
            return result

        return counted


def raising(error: BaseException) -> Callable[[], None]:
    """A strike that raises."""

    def strike() -> None:
        raise error

    return strike


def in_child(do: Callable[[], object]) -> int:
    """Exit code of a forked process that does this: 0 done, 1 an error, 9 if it died by `die`, -n by signal n."""
    pid = os.fork()
    if pid == 0:
        try:
            do()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def die() -> None:
    """A strike that ends the process where it stands: no handlers, no buffers, no cleaning up."""
    os._exit(9)


class PowerLoss:
    """What a disk holds of the files under a folder when the power goes.

    A file's bytes are safe once it was synced, a name once its folder was. `restore` puts the folder into a state that
    a crash may leave: with `rng=None` all that was not synced is gone (a file whose name is safe and whose bytes are
    not is empty); else each unsynced name is there or not, and unsynced bytes are old, new, cut short, or zeros, by
    chance. Limits: a write is lost or kept as a whole, up to a cut; blocks within a file are not reordered; disks that
    lie about a sync, and file systems that lose what was synced, are not modelled.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.synced: dict[int, bytes] = {}
        self.names: dict[Path, dict[str, int]] = {root: {}}
        self._held: list[int] = []
        self._fsync = os.fsync

    def __enter__(self) -> PowerLoss:
        os.fsync = self._record
        return self

    def __exit__(self, *_: object) -> None:
        os.fsync = self._fsync

    def _record(self, descriptor: int) -> None:
        self._fsync(descriptor)
        found = os.fstat(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if stat.S_ISDIR(found.st_mode):
            self.names[path] = {entry.name: entry.inode() for entry in os.scandir(path)}
        else:
            # Held open, so that the number of a deleted file is not given to another.
            self._held.append(os.dup(descriptor))
            size = found.st_size
            with Path(f"/proc/self/fd/{descriptor}").open("rb") as stream:
                self.synced[found.st_ino] = stream.read(size)

    def restore(self, rng: random.Random | None = None) -> None:
        """Make the folder what the disk holds."""
        volatile = {path: path.read_bytes() for path in self.root.rglob("*") if path.is_file()}
        inodes = {path: path.stat().st_ino for path in volatile}
        by_inode = {inodes[path]: data for path, data in volatile.items()}
        kept: dict[Path, bytes] = {}
        safe = {folder / name: inode for folder, names in self.names.items() for name, inode in names.items()}
        for path in sorted({*safe, *volatile}):
            inode, now = safe.get(path), inodes.get(path)
            if rng is not None and inode != now and rng.random() < 0.5:
                inode = now
            if inode is None or (path.is_dir() and path not in volatile):
                continue
            kept[path] = self._content(inode, by_inode.get(inode), rng)
        for child in self.root.iterdir():
            shutil.rmtree(child) if child.is_dir() else child.unlink()
        for path, data in kept.items():
            if path.parent == self.root or path.parent.name in self.names.get(self.root, {}):
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(data)
        for descriptor in self._held:
            os.close(descriptor)

    def _content(self, inode: int, now: bytes | None, rng: random.Random | None) -> bytes:
        old = self.synced.get(inode, b"")
        if rng is None or now is None or now == old:
            return old
        safe = len(old) if now.startswith(old) else 0
        cut = rng.randint(safe, len(now))
        return rng.choice([old, now, now[:cut], now[:cut] + bytes(len(now) - cut)])


def flip(path: Path, rng: random.Random) -> tuple[int, int]:
    """Flip one random bit of a file; returns its place."""
    image = bytearray(path.read_bytes())
    place, bit = rng.randrange(len(image)), rng.randrange(8)
    image[place] ^= 1 << bit
    path.write_bytes(image)
    return place, bit
