"""Collect: compute what a plan still lacks, shard by shard; a kill at any instant costs one shard at most."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from personascope.activations.manifest import PLAN, append_record, fork_folder, reconcile
from personascope.activations.memory import require_memory
from personascope.activations.plan import Plan
from personascope.activations.publish import disk_errors_explained, make_folder
from personascope.activations.shard import ShardPlan
from personascope.activations.stop import Stop, stopping
from personascope.activations.store import ActivationStore
from personascope.activations.write import write_shard
from personascope.errors import ActivationError, StoreError
from personascope.models.adapt import as_backend
from personascope.models.backend import Backend, Outputs

LOCK = "run.lock"
_log = logging.getLogger(__name__)


def collect(
    plan: Plan,
    backend: Any,
    folder: Path,
    *,
    fork: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ActivationStore:
    """Fill `folder` with the plan's rows and open it. Shards that are valid already are kept, the rest is computed.

    Run again after any interruption, it continues; on a complete folder it never runs the backend. A shard is
    acknowledged only when it and its manifest line are on disk. Rows with NaN or infinity are quarantined. SIGTERM and
    Ctrl-C drop the running batch; a shard that is being published is finished first.

    Args:
        plan: what to compute; its context must hold the backend's fingerprint.
        backend: who answers: a backend, or a TransformerLens bridge or nnsight model (see `as_backend`).
        folder: made if need be; one plan per folder.
        fork: when `folder` holds another plan, fill its sibling `<folder>-fork-<first 8 digits of the key>` instead of
            refusing.
        progress: called after each shard with (rows done, prompt tokens done), both cumulative; shards that were
            there before come first.

    Raises:
        StoreError: the plan was made for another backend; the folder belongs to another plan, is in use by another
            process, or cannot be written. Finished shards are kept.
        ActivationError: the backend returned other shapes than asked for, or NaN or infinity in all rows of a shard;
            the shard is not written.
        SystemExit: with code 143, on SIGTERM, if the program has no handler of its own.
    """
    backend = as_backend(backend)
    _require_planned_backend(plan, backend)
    if fork:
        folder = fork_folder(folder, plan)
    require_memory(plan.shard(0), backend.d_model)
    with disk_errors_explained(folder, "make the folder"):
        if not (folder / PLAN).exists():
            # Also if it is there: whoever made it may have been killed before it was synced.
            make_folder(folder)
    with run_lock(folder), stopping() as stop:
        with disk_errors_explained(folder, "check what is there"):
            done = reconcile(folder, plan)
        rows, tokens = 0, 0
        for number, indices in sorted(enumerate(plan.shards()), key=lambda shard: not done.has(shard[0])):
            if not done.has(number):
                _compute(plan, number, backend, folder, stop)
            rows += len(indices)
            tokens += sum(len(plan.rows[index].prompt) for index in indices)
            if progress is not None:
                progress(rows, tokens)
            stop.check()
    return ActivationStore.open(folder)


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Keep a second collection out of `folder` while this one runs. The lock dies with the process.

    It only saves work: publishing is safe without it.

    Raises:
        StoreError: another process holds it, or the lock file cannot be written.
    """
    with disk_errors_explained(folder, "open the lock file"):
        stream = (folder / LOCK).open("a+", encoding="utf-8")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.seek(0)
            raise StoreError(
                f"{folder} is being filled by another process.",
                f"The lock is held by {stream.read(200).strip() or 'an unnamed process'}.",
                "Wait for it to end, or stop it; what it finished is kept.",
            ) from error
        except OSError as error:
            _log.warning("%s: this file system has no locks (%s); going on without.", folder, error)
        with disk_errors_explained(folder, "write the lock file"):
            _sign(stream)
        yield


def _sign(stream: TextIO) -> None:
    stream.truncate(0)
    stream.write(json.dumps({"host": os.uname().nodename, "pid": os.getpid()}))
    stream.flush()


def _compute(plan: Plan, number: int, backend: Backend, folder: Path, stop: Stop) -> None:
    shard = plan.shard(number)
    prompts = [plan.rows[index].prompt for index in plan.shards()[number]]
    with stop.at_once():
        outputs = backend.run(prompts, layers=plan.layers, positions=plan.positions, options=plan.options)
    _require_width(shard, outputs, backend)
    with disk_errors_explained(folder, f"publish shard {number}"):
        append_record(folder, write_shard(folder, shard, outputs))


def _require_planned_backend(plan: Plan, backend: Backend) -> None:
    different = [
        f"{name} is {plan.context.get(name, '(absent)')!r} in the plan and {value!r} in the backend"
        for name, value in backend.fingerprint().items()
        if plan.context.get(name) != value
    ]
    if different:
        raise StoreError(
            f"Plan {plan.name!r} was made for another backend: {'; '.join(different)}.",
            "What a store says about its numbers must be true of the backend that computed them.",
            "Make the plan with context={**backend.fingerprint(), ...}.",
        )


def _require_width(shard: ShardPlan, outputs: Outputs, backend: Backend) -> None:
    if outputs.residuals.ndim == 4 and outputs.residuals.shape[-1] != backend.d_model:
        raise ActivationError(
            f"Shard {shard.shard}: residuals of width {outputs.residuals.shape[-1]} from {backend.name!r}, whose "
            f"d_model is {backend.d_model}.",
        )
