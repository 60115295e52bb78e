"""The worker's side of the protocol; runs in a peer's environment, so it imports the standard library and numpy only.

One call per line of standard input, one reply per line of what was standard output; both are JSON. Arrays travel as
.npy files whose paths are in the call. What the library prints goes to standard error, so it cannot garble a reply.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

import numpy as np

Rows = Sequence[Sequence[int]]
"""Token ids of each prompt, without padding."""
Capture = Callable[[Rows, Sequence[int]], Any]
"""(rows, layers) to an array (row, layer, d_model) of the last position."""


@dataclass(frozen=True)
class SweepCall:
    """A steering sweep: add coefficient * vector to the output of one block, for every block and coefficient.

    Args:
        rows: token ids of each prompt.
        vectors: (d_model,) by layer.
        coefficients: in units of the vectors.
        first_steered: for each row the first token that is steered; it and all after it are.
        options: for each answer option the token ids that spell it.
        last_logits_only: ask the model for the logits of the last position only.
    """

    rows: Rows
    vectors: dict[int, np.ndarray]
    coefficients: Sequence[float]
    first_steered: Sequence[int]
    options: Sequence[Sequence[int]]
    last_logits_only: bool


@dataclass(frozen=True)
class Library:
    """A peer with a model loaded: what it is, and its own functions behind common signatures.

    Args:
        versions: of the peer and what it runs on.
        threads: that torch uses.
        layers: how many blocks, from 0, it gives the residual stream of before the final norm.
        positions: which tokens it can steer: "any", or "all" for all tokens of a prompt only.
        capture: the library's own capture.
        sweep: options' log-probabilities (cell, row, option); cells go layer by layer, coefficients inside.
        note: what differs from the library's everyday use.
    """

    versions: dict[str, str]
    threads: int
    layers: int
    positions: str
    capture: Capture
    sweep: Callable[[SweepCall], Any]
    note: str


def serve(load: Callable[[Path], Library]) -> None:
    """Answer calls until standard input ends. `load` imports the library itself, so that its prints are caught too."""
    calls, replies = _take_channel()
    library: Library | None = None
    for line in calls:
        call = json.loads(line)
        try:
            if call["call"] == "load":
                started = perf_counter()
                library = load(Path(call["folder"]))
                reply = {"seconds": perf_counter() - started, **_about(library)}
            elif library is None:
                raise RuntimeError("no model is loaded")
            else:
                reply = _measured(library, call)
        except Exception as error:  # whatever a library raises is reported, and the worker lives on
            traceback.print_exc(file=sys.stderr)
            reply = {"error": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def _take_channel() -> tuple[TextIO, TextIO]:
    """Private copies of stdin and stdout; libraries then find an empty input, and what they print goes to stderr."""
    calls = os.fdopen(os.dup(0), encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout.flush()
    os.dup2(2, 1)
    return calls, replies


def _about(library: Library) -> dict[str, Any]:
    return {name: getattr(library, name) for name in ("versions", "threads", "layers", "positions", "note")}


def _measured(library: Library, call: dict[str, Any]) -> dict[str, Any]:
    """Run one call; the seconds are those of the library alone, without reading or writing of files."""
    rows = call["rows"]
    if call["call"] == "capture":
        started = perf_counter()
        found = library.capture(rows, call["layers"])
    elif call["call"] == "sweep":
        stacked = np.load(call["vectors"], allow_pickle=False)
        asked = SweepCall(
            rows,
            dict(zip(call["layers"], stacked, strict=True)),
            call["coefficients"],
            call["first_steered"],
            call["options"],
            call["last_logits_only"],
        )
        started = perf_counter()
        found = library.sweep(asked)
    else:
        raise ValueError(f"no call {call['call']!r}")
    seconds = perf_counter() - started
    np.save(call["out"], np.asarray(found), allow_pickle=False)
    return {"seconds": seconds}
