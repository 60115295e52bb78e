"""The ledger of an upscaling run: every answer as it came, so that an interrupted run goes on where it stopped.

Going on means doing the same again: the run is a function of its settings and the answers, so the answers that stand in
the ledger are replayed, and the generator is asked only for the next one.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from personascope.errors import DataError, FileFormatError
from personascope.files import canonical_json, fsync_folder
from personascope.instruments.upscale_prompts import Request


class Ledger:
    """Answers on disk, one JSON line each, after a line with the run's settings; in memory only without a path.

    Args:
        path: the file; continued when it exists.
        settings: whatever decides the run.

    Raises:
        DataError: the file belongs to a run with other settings; the first that differs is named.
        FileFormatError: a line in the middle is damaged. A last line cut short by a crash is cut off.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any]) -> None:
        self._path = path
        self._answers: list[dict[str, Any]] = []
        self._next = 0
        if path is None:
            return
        if path.exists() and path.stat().st_size:
            lines = self._read(path)
            if lines:
                _require_same(path, lines[0], settings)
                self._answers = lines[1:]
                return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._append(settings)
        fsync_folder(path.parent)

    def replay(self, request: Request) -> str | None:
        """The answer that this request got before, or None when it has not been asked yet.

        Raises:
            DataError: the ledger holds another request at this place.
        """
        if self._next >= len(self._answers):
            return None
        known = self._answers[self._next]
        if known.get("prompt_sha256") != request.prompt_sha256:
            raise DataError(
                f"Answer {self._next + 1} in {self._path} is to another prompt than this run asks.",
                "Facet definitions, prompts or the audit have changed since the ledger was begun.",
                "Begin a new ledger in another file.",
            )
        self._next += 1
        return str(known["answer"])

    def add(self, request: Request, answer: str, candidates: list[str]) -> None:
        """Append an answer; on return it is on the disk."""
        line = {
            "facet": request.facet,
            "key": request.key,
            "situation": request.situation,
            "intensity": request.intensity,
            "prompt_sha256": request.prompt_sha256,
            "answer": answer,
            "candidates": candidates,
        }
        self._append(line)
        self._answers.append(line)
        self._next += 1

    def _append(self, line: dict[str, Any]) -> None:
        if self._path is None:
            return
        with self._path.open("ab") as stream:
            stream.write(f"{canonical_json(line)}\n".encode())
            stream.flush()
            os.fsync(stream.fileno())

    def _read(self, path: Path) -> list[dict[str, Any]]:
        data = path.read_bytes()
        whole, _, torn = data.rpartition(b"\n")
        if torn:  # a crash while the last line was written: that answer is asked again
            with path.open("rb+") as stream:
                stream.truncate(len(data) - len(torn))
                os.fsync(stream.fileno())
        lines = []
        for number, line in enumerate(whole.split(b"\n") if whole else [], start=1):
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                value = None
            if not isinstance(value, dict) or (number > 1 and not isinstance(value.get("answer"), str)):
                raise FileFormatError(
                    f"{path}, line {number}: not a line of an upscaling ledger.",
                    "The file was changed, or it is something else.",
                    "Restore it, or begin a new ledger in another file.",
                )
            lines.append(value)
        return lines


def _require_same(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            raise DataError(
                f"{path} belongs to a run with {name} = {before.get(name)!r}, not {now.get(name)!r}.",
                "A ledger continues only the run that began it.",
                "Use the same settings, or another file.",
            )
