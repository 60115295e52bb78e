"""The compact file: every row in plan order in one file, whole or not there, and never trusted unread."""

import logging
import tracemalloc

import h5py
import numpy as np
import pytest
import torch
from activation_fakes import FakeBackend, expected_layer, forge, make_plan, names, remake, snapshot, temporaries

from personascope.activations import compact as compact_module
from personascope.activations.collect import collect, run_lock
from personascope.activations.compact import compact
from personascope.activations.layout import read_layout
from personascope.activations.manifest import MANIFEST, read_records, reconcile
from personascope.activations.plan import Plan, Row
from personascope.activations.shard import COMPACT, shard_path
from personascope.activations.store import ActivationStore
from personascope.errors import StoreError
from personascope.prompts.prompt import Prompt


@pytest.fixture
def folder(tmp_path, plan, backend):
    collect(plan, backend, tmp_path / "store")
    return tmp_path / "store"


def flip(path, block="residuals/003/0"):
    image = bytearray(path.read_bytes())
    image[read_layout(path).blocks[block].offset] ^= 1
    path.write_bytes(image)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("drop", [False, True])
def test_everything_comes_back_bit_for_bit(tmp_path, dtype, drop):
    backend = FakeBackend(dtype=dtype)
    plan = make_plan(backend)
    before = collect(plan, backend, tmp_path)
    rows, options, other = before.rows, before.option_logprobs, before.other_logmass
    assert compact(tmp_path, drop_shards=drop) == tmp_path / "compact.h5"
    store = ActivationStore.open(tmp_path)
    for layer in plan.layers:
        for position in plan.positions:
            assert np.array_equal(store.layer(layer, position), expected_layer(plan, backend, layer, position))
    assert store.rows.equals(rows)
    assert np.array_equal(store.option_logprobs, options)
    assert np.array_equal(store.other_logmass, other)
    assert store.complete
    assert bool(list(tmp_path.glob("shard-*.h5"))) != drop


def test_a_place_is_one_run_of_bytes_in_plan_order_for_plain_h5py(folder, plan, backend):
    with h5py.File(compact(folder)) as file:
        assert file["residuals"].chunks is None
        assert np.array_equal(file["residuals"][1, 0], expected_layer(plan, backend, 3, "answer"))
        assert file["row_index"][:].tolist() == list(range(12))


def test_the_store_reads_the_compact_file_and_not_the_shards(folder, plan, backend):
    compact(folder)
    for number in range(3):
        shard_path(folder, number).write_bytes(b"")
    assert np.array_equal(ActivationStore.open(folder).layer(0, "answer"), expected_layer(plan, backend, 0, "answer"))


@pytest.mark.parametrize("drop", [False, True])
def test_a_collection_finds_the_plan_complete(folder, plan, drop):
    compact(folder, drop_shards=drop)
    before, again = snapshot(folder), FakeBackend()
    assert collect(plan, again, folder).complete
    assert again.batches == []
    assert snapshot(folder) == before


def test_compacting_again_changes_nothing_and_can_drop_the_shards_later(folder):
    compact(folder)
    before = shard_path(folder, COMPACT).stat()
    compact(folder, drop_shards=True)
    after = shard_path(folder, COMPACT).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert names(folder) == ["compact.h5", MANIFEST, "plan.json", "run.lock"]
    compact(folder, drop_shards=True)


def test_an_incomplete_or_damaged_store_is_refused_and_nothing_is_left(folder):
    flip(shard_path(folder, 1))
    with pytest.raises(StoreError, match="not what was written"):
        compact(folder, drop_shards=True)
    shard_path(folder, 1).unlink()
    with pytest.raises(StoreError, match="5 of 12 rows are missing"):
        compact(folder, drop_shards=True)
    assert not temporaries(folder)
    assert names(folder) == [MANIFEST, "plan.json", "run.lock", "shard-00000.h5", "shard-00002.h5"]


def test_a_store_in_use_is_refused(folder):
    with run_lock(folder), pytest.raises(StoreError, match="being filled"):
        compact(folder)


@pytest.mark.parametrize("damage", [flip, lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_a_damaged_compact_file_is_passed_over_while_there_are_shards(folder, plan, backend, damage, caplog):
    compact(folder)
    damage(shard_path(folder, COMPACT))
    with caplog.at_level(logging.WARNING):
        found = ActivationStore.open(folder).layer(3, "answer")
    assert np.array_equal(found, expected_layer(plan, backend, 3, "answer"))
    assert "Reading the shards instead" in caplog.text


@pytest.mark.parametrize("damage", [flip, lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_a_damaged_compact_file_without_shards_is_an_error_and_all_is_computed_anew(folder, plan, damage, reference):
    compact(folder, drop_shards=True)
    damage(shard_path(folder, COMPACT))
    with pytest.raises(StoreError, match=r"compact\.h5"):
        ActivationStore.open(folder).layer(3, "answer")
    again = FakeBackend()
    collect(plan, again, folder)
    assert len(again.batches) == 3
    assert snapshot(folder) == reference


def test_a_damaged_compact_file_is_made_anew_from_the_shards(folder, plan):
    image = compact(folder).read_bytes()
    flip(shard_path(folder, COMPACT))
    compact(folder)
    assert shard_path(folder, COMPACT).read_bytes() == image
    assert COMPACT in reconcile(folder, plan).valid


def test_an_unacknowledged_compact_file_is_adopted_if_it_is_the_plans(folder, plan):
    compact(folder, drop_shards=True)
    record = read_records(folder)[COMPACT]
    (folder / MANIFEST).unlink()
    assert reconcile(folder, plan).adopted == (COMPACT,)
    assert read_records(folder) == {COMPACT: record}


def test_a_forged_compact_file_with_sound_digests_is_discarded(folder, plan, backend):
    compact(folder)
    (folder / MANIFEST).unlink()
    forge(shard_path(folder, COMPACT), lambda file: remake(file, "row_index", np.arange(12)[::-1].copy()))
    assert "is not the shard that is planned" in reconcile(folder, plan).discarded[COMPACT]


def test_a_compact_file_of_another_plan_is_refused(folder, tmp_path, backend):
    other = make_plan(backend, layers=(0,))
    collect(other, FakeBackend(), tmp_path / "other")
    compact(folder).rename(tmp_path / "other" / "compact.h5")
    with pytest.raises(StoreError, match="belongs to another plan"):
        collect(other, FakeBackend(), tmp_path / "other")


def test_what_was_scattered_wrongly_is_not_published(folder, monkeypatch):
    pwrite, count = compact_module.os.pwrite, iter(range(10**6))

    def damaging(descriptor, data, offset):
        return pwrite(descriptor, bytes(data[:-1]) + b"\x55" if next(count) == 40 else data, offset)

    monkeypatch.setattr(compact_module.os, "pwrite", damaging)
    with pytest.raises(StoreError, match="do not read back"):
        compact(folder)
    assert not shard_path(folder, COMPACT).exists()
    assert not temporaries(folder)


def test_compacting_takes_the_memory_of_one_shard_at_one_place(tmp_path):
    backend = FakeBackend(d_model=65_536)
    rows = [Row(str(number), Prompt((number, 1), "", {}), {}) for number in range(64)]
    plan = Plan("wide", rows, (0, 1), ("answer",), None, backend.fingerprint(), rows_per_shard=4)
    collect(plan, backend, tmp_path)
    compact_module._write(ActivationStore.open(tmp_path))
    shard_path(tmp_path, COMPACT).unlink()
    tracemalloc.start()
    compact(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    one = 4 * 65_536 * 4
    assert peak < 5 * one  # the store has 32 times one shard at one place
