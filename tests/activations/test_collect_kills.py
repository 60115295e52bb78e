"""Real SIGKILLs of a collecting process at random times: nothing acknowledged is lost, the end is bit-identical."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from activation_fakes import FakeBackend, expected_layer, make_plan, snapshot, temporaries

from personascope.activations.collect import collect
from personascope.activations.manifest import read_records
from personascope.activations.shard import shard_path
from personascope.activations.store import ActivationStore
from personascope.errors import StoreError

DELAY = 0.002


class Nursery:
    """Talks to `collector_child.py`, which forks one collecting process per order."""

    def __init__(self):
        script = Path(__file__).parent / "collector_child.py"
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([sys.executable, script], stdin=pipe, stdout=pipe, text=True, env=environment)

    def start(self, folder, log, delay=DELAY):
        self.process.stdin.write(json.dumps({"folder": str(folder), "log": str(log), "delay": delay}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())["pid"]

    def status(self):
        return json.loads(self.process.stdout.readline())["status"]


@pytest.fixture(scope="module")
def nursery():
    nursery = Nursery()
    yield nursery
    nursery.process.stdin.close()
    assert nursery.process.wait(timeout=20) == 0


@pytest.fixture(scope="module")
def uninterrupted(nursery, tmp_path_factory):
    """Files of a run that nobody kills, made by the same process, and how long it takes in seconds."""
    folder = tmp_path_factory.mktemp("reference")
    nursery.start(folder, folder / "log")
    nursery.status()
    (folder / "again").mkdir()
    start = time.monotonic()
    nursery.start(folder / "again", folder / "log")
    assert nursery.status() == 0
    return snapshot(folder), time.monotonic() - start


def lines(log, word):
    return sum(line.startswith(word) for line in log.read_text().splitlines()) if log.exists() else 0


def identities(folder):
    """Inode and time of each acknowledged shard: a recomputed one would differ."""
    files = {number: shard_path(folder, number).stat() for number in read_records(folder)}
    return {number: (found.st_ino, found.st_mtime_ns) for number, found in files.items()}


def kill_until(nursery, uninterrupted, root, kills, seed):
    reference, duration = uninterrupted
    rng, killed, stores = random.Random(seed), 0, 0
    while killed < kills:
        folder, log = root / f"store{stores}", root / f"log{stores}"
        stores += 1
        acknowledged, deaths = {}, 0
        while True:
            acks_before = len(acknowledged)
            already = lines(log, "ack")
            pid = nursery.start(folder, log)
            time.sleep(rng.uniform(0, 1.1 * duration))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            status = nursery.status()
            assert status in (0, signal.SIGKILL)
            found = identities(folder) if folder.exists() else {}
            assert {number: found[number] for number in acknowledged} == acknowledged
            assert len(found) >= max(acks_before, lines(log, "ack") - already)
            acknowledged = found
            if status == 0:
                break
            deaths += 1
        killed += deaths
        assert snapshot(folder) == reference
        assert not temporaries(folder)
        # Each death costs one shard at most.
        assert lines(log, "run") <= len(make_plan(FakeBackend(), rows_per_shard=2).shards()) + deaths
    return killed


def test_three_kills_lose_nothing(nursery, uninterrupted, tmp_path):
    assert kill_until(nursery, uninterrupted, tmp_path, kills=3, seed=1) >= 3


@pytest.mark.slow
def test_two_hundred_kills_lose_nothing(nursery, uninterrupted, tmp_path):
    assert kill_until(nursery, uninterrupted, tmp_path, kills=200, seed=2) >= 200


def wait_for(log, word):
    while not lines(log, word):
        time.sleep(0.005)


def test_the_killed_and_resumed_store_holds_the_right_numbers(nursery, tmp_path):
    pid = nursery.start(tmp_path / "store", tmp_path / "log", delay=0.5)
    wait_for(tmp_path / "log", "ack")
    os.kill(pid, signal.SIGKILL)
    assert nursery.status() == signal.SIGKILL
    backend = FakeBackend()
    plan = make_plan(backend, rows_per_shard=2)
    collect(plan, backend, tmp_path / "store")
    assert 0 < len(backend.batches) < len(plan.shards())
    store = ActivationStore.open(tmp_path / "store")
    for layer in plan.layers:
        assert np.array_equal(store.layer(layer, "answer"), expected_layer(plan, backend, layer, "answer"))


def test_another_process_in_the_folder_is_refused_by_its_pid(nursery, tmp_path):
    log = tmp_path / "log"
    pid = nursery.start(tmp_path / "store", log, delay=5.0)
    wait_for(log, "run")
    plan = make_plan(FakeBackend(), rows_per_shard=2)
    with pytest.raises(StoreError, match=rf"another process(.|\n)*{pid}"):
        collect(plan, FakeBackend(), tmp_path / "store")
    os.kill(pid, signal.SIGKILL)
    nursery.status()
    assert collect(plan, FakeBackend(), tmp_path / "store").complete
