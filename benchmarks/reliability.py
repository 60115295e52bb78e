"""Reliability of the store: how often it was killed, starved, damaged and attacked, and what was lost.

Every trial ends with a comparison against an undisturbed run; "wrong" counts trials in which an acknowledged row was
lost or doubled, the finished store was not bit-identical, or damage was not detected before numbers were used. The
trials are those of tests/activations, in greater number. `--quick` takes about a minute.
"""

# ruff: noqa: E402 (the trials are imported from the tests, which are no package)
from __future__ import annotations

import argparse
import errno
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.faults import Fault, die, in_child, raising
from benchmarks.records import Record, show

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "activations"))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

import test_collect_kills as kills
import test_damage as damage
import test_drift as drift
import test_layout_hostile as hostile
import test_memory as memory
import test_power_loss as power
import test_stop as stop
from activation_fakes import FakeBackend, expected_layer, make_plan, make_rows, snapshot, temporaries

from personascope.activations.collect import collect
from personascope.activations.compact import compact
from personascope.activations.layout import read_layout
from personascope.activations.manifest import claim_folder, read_records
from personascope.activations.shard import shard_path
from personascope.activations.write import write_shard
from personascope.errors import StoreError

Trials = Callable[[Path, bool], int]


def random_kills(root: Path, quick: bool) -> int:
    """R1, R3: SIGKILL at random times, of runs and of their resumes, until the store is complete."""
    nursery = kills.Nursery()
    folder = root / "reference"
    folder.mkdir()
    nursery.start(folder, folder / "log")
    nursery.status()
    again, started = folder / "again", time.monotonic()
    again.mkdir()
    nursery.start(again, folder / "log")
    assert nursery.status() == 0
    n = kills.kill_until(nursery, (snapshot(folder), time.monotonic() - started), root, 10 if quick else 200, seed=3)
    nursery.process.stdin.close()
    nursery.process.wait()
    return n


def every_call(root: Path, quick: bool) -> int:
    """R2: the process ends at the k-th system call, for every k, before and after the call took effect."""
    collect(power.PLAN, FakeBackend(), root / "expected")
    expected, trials = snapshot(root / "expected"), 0
    for after in (False, True):
        k, code = 0, 9
        while code == 9:
            k += 5 if quick else 1
            trials += 1
            folder = root / f"store-{after}-{k}"
            with Fault(k, die, after=after):
                code = in_child(lambda folder=folder: collect(power.PLAN, FakeBackend(), folder))
            assert code in (0, 9)
            if folder.exists():
                power.finish(folder, expected, list(read_records(folder)))
            shutil.rmtree(folder, ignore_errors=True)
    return trials


def power_at_every_call(root: Path, quick: bool) -> int:
    """R2: power lost at the k-th call of run, resume and compaction; unsynced writes lost, or kept by chance."""
    trials = 0
    for mode in range(1 if quick else 8):
        k, died = 0, True
        while died:
            k += 6 if quick else 1
            trials += 1
            disk = root / f"disk-{mode}-{k}"
            disk.mkdir()
            folder = disk / "store"
            rng = random.Random(f"{mode} {k}") if mode else None
            acts = [power.collecting(folder)] * 2 + [power.compacting(folder)]
            acknowledged, died = power.cut_power(disk, k, acts, rng)
            assert acknowledged <= {*read_records(folder)}
            store = collect(power.PLAN, FakeBackend(), folder)
            assert store.layer(0, "answer").tobytes() == numbers()
            assert not temporaries(folder)
            shutil.rmtree(disk)
    return trials


def numbers() -> bytes:
    """What layer 0 of the small plan must be, computed from its prompts alone."""
    return expected_layer(power.PLAN, FakeBackend(), 0, "answer").tobytes()


def compactions(root: Path, quick: bool) -> int:
    """R3: the process ends at the k-th call of a compaction, twice in a row, for every k."""
    collect(power.PLAN, FakeBackend(), root / "full")
    k, code, trials = 0, 9, 0
    while code == 9:
        k += 6 if quick else 1
        trials += 1
        folder = root / f"store{k}"
        shutil.copytree(root / "full", folder)
        for _ in range(2):
            with Fault(k, die):
                code = in_child(lambda folder=folder: compact(folder, drop_shards=True))
        untouched = FakeBackend()
        store = collect(power.PLAN, untouched, folder)
        assert untouched.batches == []
        assert store.layer(0, "answer").tobytes() == numbers()
        shutil.rmtree(folder)
    return trials


def failing_calls(root: Path, quick: bool) -> int:
    """R4: the k-th call fails (disk full, I/O error, no descriptors, read-only), for every k."""
    collect(power.PLAN, FakeBackend(), root / "expected")
    expected, trials = snapshot(root / "expected"), 0
    for code in (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EROFS):
        k, reached = 0, True
        while reached:
            k += 6 if quick else 1
            trials += 1
            folder = root / f"store-{code}-{k}"
            with Fault(k, raising(OSError(code, os.strerror(code)))) as fault:
                try:
                    collect(power.PLAN, FakeBackend(), folder)
                except StoreError as error:
                    assert isinstance(error.__cause__, OSError)
                    assert not folder.exists() or not temporaries(folder)
            reached = fault.count >= k
            # A temporary whose removal is what failed is no reason to stop; the next run sweeps it.
            collect(power.PLAN, FakeBackend(), folder)
            assert snapshot(folder) == expected
            assert not temporaries(folder)
            shutil.rmtree(folder)
    return trials


def flipped_bits(root: Path, quick: bool) -> int:
    """R5: one random bit of a shard, compact file, manifest or plan is flipped."""
    return sum(damage.flips(root, 200 if quick else 10_000, seed=5).values())


def cut_files(root: Path, quick: bool) -> int:
    """R6: each file is cut at 0 and at every 512 bytes."""
    return damage.truncations(root, 4096 if quick else 512)


def two_writers(root: Path, quick: bool) -> int:
    """R8: two processes fill one folder, with the lock, and without it."""
    reference = collect(power.PLAN, FakeBackend(), root / "reference").folder
    trials = 2 if quick else 40
    for number in range(trials):
        folder = root / f"store{number}"
        script = (
            "import sys, contextlib; from pathlib import Path; from activation_fakes import FakeBackend\n"
            "import test_power_loss as power; import personascope.activations.collect as c\n"
            "from personascope.errors import StoreError\n"
            "if sys.argv[2] == 'free': c.run_lock = lambda folder: contextlib.nullcontext()\n"
            "sys.stdin.readline()\n"
            "try: c.collect(power.PLAN, FakeBackend(delay=0.01), Path(sys.argv[1]))\n"
            "except StoreError as error: sys.exit('being filled' not in str(error))\n"
        )
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/activations'}"}
        command = [sys.executable, "-c", script, str(folder), "free" if number % 2 else "locked"]
        writers = [subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) for _ in range(2)]
        for writer in writers:
            writer.communicate(b"\n")
        assert [writer.returncode for writer in writers] == [0, 0]
        assert snapshot(folder) == snapshot(reference)
        assert not temporaries(folder)
        shutil.rmtree(folder)
    return trials


def drifts(root: Path, _quick: bool) -> int:
    """R9: each field of a plan, changed alone."""
    backend = FakeBackend()
    claim_folder(root, make_plan(backend))
    for field, changes in drift.CHANGES.values():
        try:
            claim_folder(root, make_plan(backend, **changes))
        except StoreError as error:
            assert f" {field} is " in error.symptom
        else:
            raise AssertionError(field)
    return len(drift.CHANGES)


def hostile_files(root: Path, _quick: bool) -> int:
    """R12, R13: files that link elsewhere, claim terabytes, hold objects, or are no files."""
    backend = FakeBackend(d_model=4)
    plan = make_plan(backend, rows=make_rows(2, 1), layers=(0,), positions=("answer",), rows_per_shard=2)
    outputs = backend.run([row.prompt for row in plan.rows], layers=(0,), options=plan.options)
    for number, attack in enumerate(hostile.HOSTILE):
        folder = root / str(number)
        folder.mkdir()
        write_shard(folder, plan.shard(0), outputs)
        attack(shard_path(folder, 0))
        try:
            read_layout(shard_path(folder, 0))
        except StoreError:
            continue
        raise AssertionError(attack.__name__)
    return len(hostile.HOSTILE)


def signals(root: Path, quick: bool) -> int:
    """R19: SIGTERM and SIGINT end with 143 and 130, and the store can be resumed."""
    trials = 2 if quick else 10
    for number in range(trials):
        kind, code = ((signal.SIGTERM, 143), (signal.SIGINT, 130))[number % 2]
        folder = root / str(number)
        folder.mkdir()
        stop.test_a_stopped_process_exits_as_asked_and_can_be_resumed(folder, kind, code)
    return trials


TRIALS: dict[str, Trials] = {
    "R1, R3 random SIGKILLs": random_kills,
    "R2 death at every call": every_call,
    "R2 power loss at every call": power_at_every_call,
    "R3 death at every call of compact, twice": compactions,
    "R4 every call fails (4 errors)": failing_calls,
    "R5 flipped bits": flipped_bits,
    "R6 truncations": cut_files,
    "R8 two writers, locked and not": two_writers,
    "R9 changed plan fields": drifts,
    "R12, R13 hostile files": hostile_files,
    "R19 SIGTERM, SIGINT": signals,
}


def attempt(name: str, trials: Trials, quick: bool) -> Record:
    """One row of the table: the number of trials and whether any went wrong; the first that does ends its row."""
    with tempfile.TemporaryDirectory(prefix="reliability-") as folder:
        try:
            n = trials(Path(folder), quick)
        except AssertionError as error:
            return Record(name, 1, 1, 1, 0, False, 0, f"wrong: {error}"[:120])
    note = " ".join((trials.__doc__ or "").split(": ", 1)[-1].split())
    return Record(name, 0, 0, 0, 0, True, n, note)


def leaks(quick: bool) -> list[Record]:
    """R21: memory and open files over 2,000 batches."""
    with tempfile.TemporaryDirectory(prefix="reliability-") as folder:
        batches = 200 if quick else 2000
        slope, files = memory.leak(Path(folder), batches)
    slope = max(slope, 0.0)
    # Allocators settle within the first few hundred batches, so that a short run only shows the open files.
    target = None if quick else 1e6
    return [
        Record("R21 resident bytes per 1000 batches", slope, slope, slope, target, quick or slope <= 1e6, batches, ""),
        Record("R21 open files more", files, files, files, 0, files == 0, batches, ""),
    ]


def main() -> None:
    """All trials; exits 1 if any went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the records to this file")
    parser.add_argument("--rounds", type=int, help="no meaning here; taken so that all benchmarks start alike")
    parser.add_argument("--quick", action="store_true", help="about a minute: every kind of trial, few of each")
    options: Any = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("personascope").setLevel(logging.ERROR)  # each discarded shard would have its warning
    records, seconds = [], {}
    for name, trials in TRIALS.items():
        started = time.monotonic()
        records.append(attempt(name, trials, options.quick))
        seconds[name] = time.monotonic() - started
    records += leaks(options.quick)
    slowest = ", ".join(f"{name.split()[0]} {value:.0f} s" for name, value in seconds.items())
    show(f"reliability: trials that went wrong ({slowest})", records, options.json)
    sys.exit(not all(record.ok for record in records))


if __name__ == "__main__":
    main()
