import contextlib
import errno
import os
import stat

import numpy as np
import pytest
import torch
from activation_fakes import FakeBackend, expected_layer, make_plan, names, snapshot

from personascope.activations import collect as collect_module
from personascope.activations import publish
from personascope.activations.collect import LOCK, collect, run_lock
from personascope.activations.manifest import MANIFEST, read_records
from personascope.activations.shard import shard_path
from personascope.activations.store import ActivationStore
from personascope.errors import ActivationError, StoreError


def test_a_collection_computes_each_row_once_and_fills_the_store(tmp_path, plan, backend):
    store = collect(plan, backend, tmp_path / "new" / "store")
    assert sorted(prompt.text for batch in backend.batches for prompt in batch) == sorted(
        r.prompt.text for r in plan.rows
    )
    assert store.complete
    assert np.array_equal(store.layer(2, "mean:item"), expected_layer(plan, backend, 2, "mean:item"))
    assert names(store.folder) == sorted(
        ["plan.json", MANIFEST, LOCK, "shard-00000.h5", "shard-00001.h5", "shard-00002.h5"]
    )


def test_a_complete_folder_does_not_run_the_backend(tmp_path, plan, backend):
    collect(plan, backend, tmp_path)
    before, again = snapshot(tmp_path), FakeBackend()
    collect(plan, again, tmp_path)
    assert again.batches == []
    assert snapshot(tmp_path) == before


def test_progress_is_cumulative_and_counts_what_was_there(tmp_path, plan, backend):
    seen = []
    collect(plan, backend, tmp_path, progress=lambda rows, tokens: seen.append((rows, tokens)))
    tokens = [sum(len(plan.rows[index].prompt) for index in shard) for shard in plan.shards()]
    assert seen == [(5, tokens[0]), (10, sum(tokens[:2])), (12, sum(tokens))]
    shard_path(tmp_path, 0).unlink()
    seen.clear()
    collect(plan, FakeBackend(), tmp_path, progress=lambda rows, tokens: seen.append((rows, tokens)))
    assert [rows for rows, _ in seen] == [5, 7, 12]
    assert seen[-1] == (12, sum(tokens))


@pytest.mark.parametrize("damage", ["delete", "truncate", "flip", "empty", "manifest", "both"])
def test_whatever_is_damaged_is_computed_anew_and_nothing_else(tmp_path, plan, backend, reference, damage):
    folder = tmp_path / "store"
    collect(plan, backend, folder)
    path = shard_path(folder, 1)
    image = path.read_bytes()
    if damage == "delete":
        path.unlink()
    elif damage == "truncate":
        path.write_bytes(image[: len(image) // 2])
    elif damage in ("flip", "both"):
        path.write_bytes(image[:2500] + bytes([image[2500] ^ 4]) + image[2501:])
    elif damage == "empty":
        path.write_bytes(b"")
    if damage in ("manifest", "both"):
        (folder / MANIFEST).unlink()
    again = FakeBackend()
    collect(plan, again, folder)
    assert len(again.batches) == (0 if damage == "manifest" else 1)
    assert snapshot(folder) == reference
    assert sorted(read_records(folder)) == [0, 1, 2]


def test_one_sync_per_shard_one_per_manifest_line_and_one_for_the_plan(tmp_path, plan, backend, monkeypatch):
    kinds, fsync = [], os.fsync

    def counted(descriptor):
        kinds.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", counted)
    collect(plan, backend, tmp_path)
    shards = len(plan.shards())
    assert kinds.count("file") == shards + shards + 1
    # Each shard, the plan, the new manifest and the folder itself are names that must survive.
    assert kinds.count("folder") == shards + 1 + 1 + 1
    kinds.clear()
    collect(plan, backend, tmp_path)
    assert kinds == []


def test_config_drift_is_refused_with_the_field(tmp_path, plan, backend):
    collect(plan, backend, tmp_path)
    changed = FakeBackend()
    with pytest.raises(StoreError, match=r"layers is \[0,3,2\] there and \[0\] now"):
        collect(make_plan(backend, layers=(0,)), changed, tmp_path)
    assert changed.batches == []


def test_a_plan_made_for_another_backend_is_refused(tmp_path, plan):
    with pytest.raises(StoreError, match=r"dtype is 'torch\.float32' in the plan and 'torch\.bfloat16' in the backend"):
        collect(plan, FakeBackend(dtype=torch.bfloat16), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_backend_of_another_width_is_refused(tmp_path, plan, backend):
    backend.d_model, backend.edit = (
        6,
        lambda out: type(out)(out.residuals[..., :5], out.option_logprobs, out.other_logmass),
    )
    with pytest.raises(ActivationError, match=r"width 5 from 'fake', whose d_model is 6"):
        collect(plan, backend, tmp_path)


def test_a_second_collector_is_refused_and_told_who_holds_the_folder(tmp_path, plan, reference):
    second = FakeBackend()

    def collect_meanwhile(prompts):
        with pytest.raises(StoreError, match=rf"being filled by another process(.|\n)*{os.getpid()}"):
            collect(plan, second, tmp_path / "store")

    first = FakeBackend(on_run=collect_meanwhile)
    collect(plan, first, tmp_path / "store")
    assert len(first.batches) == 3
    assert second.batches == []
    assert snapshot(tmp_path / "store") == reference


def test_the_lock_is_free_again_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), run_lock(tmp_path):
        raise RuntimeError
    with run_lock(tmp_path):
        pass


def test_two_collectors_without_a_lock_publish_each_shard_once(tmp_path, plan, reference, monkeypatch):
    monkeypatch.setattr(collect_module, "run_lock", lambda folder: contextlib.nullcontext())
    folder = tmp_path / "store"
    inodes = {}

    def collect_meanwhile(prompts):
        if len(first.batches) == 1:
            collect(plan, FakeBackend(), folder)
            inodes.update({path.name: path.stat().st_ino for path in folder.glob("*.h5")})

    first = FakeBackend(on_run=collect_meanwhile)
    store = collect(plan, first, folder)
    assert len(first.batches) == 3
    assert snapshot(folder) == reference
    assert {path.name: path.stat().st_ino for path in folder.glob("*.h5")} == inodes
    assert store.layer(0, "answer").shape == (12, 6)


def test_of_two_machines_with_other_rounding_the_first_wins_and_the_store_is_whole(
    tmp_path, plan, backend, monkeypatch
):
    monkeypatch.setattr(collect_module, "run_lock", lambda folder: contextlib.nullcontext())
    other = FakeBackend(edit=lambda out: type(out)(out.residuals + 1e-6, out.option_logprobs, out.other_logmass))

    def collect_meanwhile(prompts):
        if len(backend.batches) == 1:
            collect(plan, other, tmp_path)

    backend.on_run = collect_meanwhile
    store = collect(plan, backend, tmp_path)
    expected = expected_layer(plan, backend, 0, "answer") + np.float32(1e-6)
    assert np.array_equal(store.layer(0, "answer"), expected)


def test_two_hosts_in_one_folder_leave_each_others_temporaries_alone(tmp_path, plan, reference, monkeypatch):
    """Host B starts, sweeps and finishes while host A is between writing a shard and linking it."""
    monkeypatch.setattr(collect_module, "run_lock", lambda folder: contextlib.nullcontext())
    folder, link, seen = tmp_path / "store", os.link, []

    def link_late(source, target):
        if target.name == "shard-00001.h5" and not seen:
            seen.append(names(folder))
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(publish, "_host", lambda: "host-b")
                patch.setattr(publish, "_boot_id", lambda: "b" * 8)
                collect(plan, FakeBackend(), folder)
        link(source, target)

    monkeypatch.setattr(os, "link", link_late)
    collect(plan, FakeBackend(), folder)
    assert any(name.startswith(".tmp-") for name in seen[0])
    assert snapshot(folder) == reference
    assert sorted(read_records(folder)) == [0, 1, 2]


def test_a_file_system_without_locks_is_no_obstacle(tmp_path, plan, backend, monkeypatch, caplog):
    def unsupported(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(collect_module.fcntl, "flock", unsupported)
    assert collect(plan, backend, tmp_path).complete
    assert "has no locks" in caplog.text


def test_collecting_returns_the_same_view_as_opening(tmp_path, plan, backend):
    store = collect(plan, backend, tmp_path)
    again = ActivationStore.open(tmp_path)
    assert np.array_equal(store.layer(0, "answer"), again.layer(0, "answer"))
    assert store.rows.equals(again.rows)
