"""Write-once files: whole under their final name or not there at all, and never overwritten.

A file is built under a temporary name that says who writes it, synced, and then *linked* to its final name. Linking
fails where renaming would overwrite, so that of two writers the first wins, and a process killed at any instant leaves
at most a temporary file, which the next run can tell from a living writer's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

from personascope.activations.rename import CLAIM_PREFIX, claimant, rename_once
from personascope.errors import StoreError
from personascope.files import TEMPORARY_PREFIX, fsync_folder

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TEMPORARY = re.compile(
    re.escape(TEMPORARY_PREFIX) + r"(?P<host>[\w.]+)-(?P<boot>[0-9a-f]{8})-(?P<pid>[0-9]{1,9})-[0-9a-f]{8}\.[a-z0-9]+"
)


@contextlib.contextmanager
def temporary_path(folder: Path, suffix: str) -> Iterator[Path]:
    """Name a temporary file in `folder`, removed on leaving, after any error too; creating it is up to the caller."""
    writer = f"{_host()}-{_boot_id()}-{os.getpid()}"
    path = folder / f"{TEMPORARY_PREFIX}{writer}-{secrets.token_hex(4)}{suffix}"
    try:
        yield path
    finally:
        # A failed removal must not hide the error that led here; the next run sweeps what is left.
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def link_once(temporary: Path, target: Path) -> bool:
    """Sync `temporary` and give it the name `target`, durably; False if that name was already taken.

    Without hard links the file is renamed instead, by a call that does not overwrite.

    Raises:
        OSError: the disk is full or failing, or another writer has claimed the name and not used it.
    """
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
        won = _link(temporary, target, stream.fileno())
    # Also for the loser: the winner may have been killed between its link and its sync.
    fsync_folder(target.parent)
    return won


def write_once(target: Path, payload: bytes) -> bool:
    """Make a small file appear whole at `target`; False, and nothing changed, if it was already there."""
    with temporary_path(target.parent, target.suffix) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            write_whole(descriptor, payload)
        finally:
            os.close(descriptor)
        return link_once(temporary, target)


def append_line(path: Path, line: bytes) -> None:
    """Append a line to a file that is made if need be; when this returns, it will survive a crash.

    Raises:
        OSError: the disk is full or failing; at worst a torn line is left, which readers have to ignore.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        # a torn last line must not swallow this one
        write_whole(descriptor, (b"\n" if is_torn else b"") + line + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if size == 0:
        fsync_folder(path.parent)


def write_whole(descriptor: int, data: bytes) -> None:
    """Write all of `data`, however little the system takes at a time."""
    while data:
        data = data[os.write(descriptor, data) :]


def make_folder(folder: Path) -> None:
    """Make a folder and those it lies in, so that they survive a power loss with what is put in them."""
    missing = [path for path in folder.parents if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in (folder, *missing):
        fsync_folder(path.parent)


def sweep_strays(folder: Path) -> tuple[str, ...]:
    """Delete the temporaries of writers that are gone and return their names.

    To be called under the run lock, before this process writes: a temporary that bears this process's own id was then
    left by a killed predecessor with the same id, as happens in containers.
    """
    strays = []
    for path in sorted(folder.iterdir()):
        writer = claimant(path) if path.name.startswith(CLAIM_PREFIX) else path.name
        match = _TEMPORARY.fullmatch(writer)
        if match and _is_gone(match["host"], match["boot"], int(match["pid"])):
            path.unlink(missing_ok=True)
            strays.append(path.name)
    return tuple(strays)


@contextlib.contextmanager
def disk_errors_explained(folder: Path, doing: str) -> Iterator[None]:
    """Turn an operating system error into a StoreError that says what could not be done.

    Raises:
        StoreError: no space, no permission, a failing disk.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{folder}: could not {doing}.",
            str(error),
            "Free space, mend the folder's permissions, or use another disk; then run again: finished shards are kept.",
        ) from error


def _link(temporary: Path, target: Path, descriptor: int) -> bool:
    try:
        os.link(temporary, target)
    except OSError as error:
        # A network file system may repeat a call whose answer was lost, and report the failure of the second.
        if os.fstat(descriptor).st_nlink == 2 and _is_same(descriptor, target):
            return True
        if isinstance(error, FileExistsError):
            return False
        if error.errno not in _NO_LINKS:
            raise
        return rename_once(temporary, target)
    return True


def _is_same(descriptor: int, target: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), target.lstat())
    except OSError:
        return False


def _is_gone(host: str, boot: str, pid: int) -> bool:
    if host != _host():
        return False  # of another machine's processes nothing is known from here
    if boot != _boot_id() or pid == os.getpid():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9_.]", "_", socket.gethostname())[:60] or "unknown"


def _boot_id() -> str:
    """First 8 hex digits of the running kernel's boot id; all zeros where the system has none."""
    try:
        return _BOOT_ID.read_text(encoding="ascii")[:8]
    except OSError:
        return "00000000"
