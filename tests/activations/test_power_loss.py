"""Death at every system call, and power that goes at every system call: nothing acknowledged is lost."""

import os
import random
import shutil
import sys
from pathlib import Path

import pytest
from activation_fakes import FakeBackend, make_plan, snapshot, temporaries

from personascope.activations.collect import collect
from personascope.activations.compact import compact
from personascope.activations.manifest import read_records
from personascope.activations.shard import COMPACT, shard_path
from personascope.activations.store import ActivationStore

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.faults import Fault, PowerLoss, ProcessDied, die, in_child, raising

PLAN = make_plan(FakeBackend(), layers=(0,), rows_per_shard=6)


@pytest.fixture
def expected(tmp_path):
    collect(PLAN, FakeBackend(), tmp_path / "expected")
    return snapshot(tmp_path / "expected")


def finish(folder, expected, acknowledged):
    """Resume and compare: acknowledged shards are the same files still, and the end is bit-identical."""
    before = {number: shard_path(folder, number) for number in acknowledged}
    inodes = {number: path.stat().st_ino for number, path in before.items()}
    survivor = FakeBackend()
    store = collect(PLAN, survivor, folder)
    assert {number: shard_path(folder, number).stat().st_ino for number in inodes} == inodes
    assert len(survivor.batches) <= len(PLAN.shards()) - len(inodes)
    assert not temporaries(folder)
    assert store.layer(0, "answer").shape == (12, 6)
    assert {name: data for name, data in snapshot(folder).items() if name != "compact.h5"}.items() <= expected.items()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_process_that_dies_at_any_call_loses_nothing_acknowledged(tmp_path, expected, after):
    k, code = 0, 9
    while code == 9:
        k += 1
        folder = tmp_path / f"store{k}"
        with Fault(k, die, after=after):
            code = in_child(lambda folder=folder: collect(PLAN, FakeBackend(), folder))
        assert code in (0, 9)
        if folder.exists():
            finish(folder, expected, list(read_records(folder)))
        shutil.rmtree(folder, ignore_errors=True)
    assert k > 20 * len(PLAN.shards())


@pytest.mark.parametrize("drop", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_process_that_dies_while_compacting_loses_nothing(tmp_path, expected, drop):
    collect(PLAN, FakeBackend(), tmp_path / "full")
    k, code = 0, 9
    while code == 9:
        k += 1
        folder = tmp_path / f"store{k}"
        shutil.copytree(tmp_path / "full", folder)
        for _ in range(2):  # twice in a row
            with Fault(k, die):
                code = in_child(lambda folder=folder: compact(folder, drop_shards=drop))
            store = ActivationStore.open(folder)
            assert store.complete
            assert store.layer(0, "answer").shape == (12, 6)
        untouched = FakeBackend()
        collect(PLAN, untouched, folder)
        assert untouched.batches == []
        compact(folder, drop_shards=drop)
        assert not temporaries(folder)
        assert sorted(read_records(folder)) == [COMPACT, 0, 1]
        assert bool(list(folder.glob("shard-*"))) != drop
        shutil.rmtree(folder)
    assert k > 20


def cut_power(root, k, acts, rng):
    """Run each act until the k-th call, lose power, and say which shards had been acknowledged; None if none died."""
    acknowledged, died = set(), False
    for act in acts:
        with PowerLoss(root) as disk:
            disk.names[root] = {entry.name: entry.inode() for entry in os.scandir(root)}
            for path in [*root.rglob("*")]:
                if path.is_dir():
                    disk.names[path] = {entry.name: entry.inode() for entry in os.scandir(path)}
                else:
                    disk.synced[path.stat().st_ino] = path.read_bytes()
            try:
                with Fault(k, raising(ProcessDied()), forever=True):
                    act(acknowledged)
            except ProcessDied:
                died = True
        disk.restore(rng)
    return acknowledged, died


def collecting(folder):
    def act(acknowledged):
        done = []

        def note(rows, tokens):
            done.append(rows)
            acknowledged.update(read_records(folder))

        collect(PLAN, FakeBackend(), folder, progress=note)

    return act


def compacting(folder):
    def act(_acknowledged):
        if (folder / "plan.json").exists() and ActivationStore.open(folder).complete:
            compact(folder, drop_shards=True)

    return act


@pytest.mark.parametrize("mode", ["all lost", 0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 8))])
def test_what_was_acknowledged_survives_a_power_loss_at_any_call(tmp_path, expected, mode):
    k, died = 0, True
    while died:
        k += 1
        root = tmp_path / f"disk{k}"
        root.mkdir()
        folder = root / "store"
        rng = None if mode == "all lost" else random.Random(f"{mode} {k}")
        acknowledged, died = cut_power(root, k, [collecting(folder)], rng)
        assert acknowledged <= {*read_records(folder)}
        finish(folder, expected, acknowledged)
        shutil.rmtree(root)
    assert k > 40


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["all lost", *range(10)])
def test_power_lost_in_the_run_and_again_in_the_resume(tmp_path, expected, mode):
    k, died = 0, True
    while died:
        k += 1
        root = tmp_path / f"disk{k}"
        root.mkdir()
        folder = root / "store"
        rng = None if mode == "all lost" else random.Random(f"{mode} {k}")
        acts = [collecting(folder)] * 2 + [compacting(folder)]
        acknowledged, died = cut_power(root, k, acts, rng)
        assert acknowledged <= {*read_records(folder)}
        collect(PLAN, FakeBackend(), folder)
        assert ActivationStore.open(folder).layer(0, "answer").shape == (12, 6)
        compact(folder, drop_shards=True)
        assert not temporaries(folder)
        shutil.rmtree(root)


def test_the_simulation_sees_a_missing_sync(tmp_path, expected, monkeypatch):
    """The simulation itself: with the sync of shards left out, something acknowledged is lost."""
    from personascope.activations import publish

    monkeypatch.setattr(publish, "fsync_folder", lambda _: None)
    root = tmp_path / "disk"
    root.mkdir()
    acknowledged, _ = cut_power(root, 10**6, [collecting(root / "store")], None)
    assert acknowledged
    assert not (root / "store").exists() or not {*acknowledged} <= {*read_records(root / "store")}
