"""Renaming without overwriting, for file systems that have no hard links.

Linux has a call for it; where that is missing too, an exclusively created *claim* file decides who may rename.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import time
from pathlib import Path

CLAIM_PREFIX = ".claim-"
_AT_FDCWD, _NOREPLACE = -100, 1
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
_PATIENCE = 5.0  # seconds for another writer to use its claim


def rename_once(temporary: Path, target: Path) -> bool:
    """Rename `temporary` to `target`; False, and nothing changed, if that name was already taken.

    Raises:
        OSError: the disk is failing, or another writer has claimed the name and does not use it.
    """
    code = _renameat2(temporary, target)
    if code in _UNSUPPORTED:
        return _rename_under_claim(temporary, target)
    if code not in (0, errno.EEXIST):
        raise OSError(code, os.strerror(code), str(target))
    return code == 0


def claimant(claim: Path) -> str:
    """Name of the temporary file whose writer made a claim; '' if it cannot be read."""
    try:
        return claim.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""


def _renameat2(temporary: Path, target: Path) -> int:
    """Error number of the system's own call, 0 for success."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return errno.ENOSYS
    done = call(_AT_FDCWD, os.fsencode(temporary), _AT_FDCWD, os.fsencode(target), _NOREPLACE)
    return 0 if done == 0 else ctypes.get_errno()


def _rename_under_claim(temporary: Path, target: Path) -> bool:
    claim = target.with_name(f"{CLAIM_PREFIX}{target.name}")
    if not _claim(claim, temporary.name, target):
        return False
    try:
        if os.path.lexists(target):
            return False
        temporary.rename(target)
        return True
    finally:
        with contextlib.suppress(OSError):
            claim.unlink()


def _claim(claim: Path, writer: str, target: Path) -> bool:
    """Create the claim; False if the target appeared instead."""
    deadline = time.monotonic() + _PATIENCE
    while not os.path.lexists(target):
        try:
            with claim.open("x", encoding="ascii") as stream:
                stream.write(writer)
            return True
        except FileExistsError as error:
            if time.monotonic() > deadline:
                holder = claimant(claim) or "an unknown writer"
                raise OSError(errno.EBUSY, f"The name is claimed by {holder}", str(target)) from error
            time.sleep(0.01)
    return False
