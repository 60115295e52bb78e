import json
import os
import tracemalloc

import numpy as np
import pytest
import torch
from activation_fakes import FORGERIES, OPTIONS, FakeBackend, answers, expected_layer, forge, make_plan
from hypothesis import given, settings
from hypothesis import strategies as st

from personascope.activations.collect import collect
from personascope.activations.layout import read_layout
from personascope.activations.manifest import MANIFEST, PLAN
from personascope.activations.plan import Plan, Row
from personascope.activations.shard import shard_path
from personascope.activations.store import ActivationStore
from personascope.errors import StoreError
from personascope.files import sha256_json
from personascope.prompts.prompt import Prompt


@pytest.fixture
def folder(tmp_path, plan, backend):
    collect(plan, backend, tmp_path / "store")
    return tmp_path / "store"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_row_comes_back_bit_for_bit_in_plan_order(tmp_path, dtype):
    backend = FakeBackend(dtype=dtype)
    plan = make_plan(backend)
    store = collect(plan, backend, tmp_path)
    assert [index for shard in plan.shards() for index in shard] != list(range(12))
    for layer in plan.layers:
        for position in plan.positions:
            found = store.layer(layer, position)
            assert found.dtype == np.float32
            assert np.array_equal(found, expected_layer(plan, backend, layer, position))


def test_answers_come_back_in_plan_order(folder, plan):
    store = ActivationStore.open(folder)
    expected = np.stack([answers(row.prompt, 3).numpy() for row in plan.rows])
    assert np.array_equal(store.option_logprobs, expected[:, :3])
    assert np.array_equal(store.other_logmass, expected[:, 3])
    assert np.allclose(np.exp(store.option_logprobs).sum(axis=1) + np.exp(store.other_logmass), 1.0)


def test_the_table_of_rows_is_in_plan_order_with_meta_and_tokens(folder, plan):
    rows = ActivationStore.open(folder).rows
    assert rows.columns == ["id", "item", "order", "persona", "token:answer", "token:mean:item"]
    assert rows["id"].to_list() == [row.id for row in plan.rows]
    assert rows["persona"].to_list() == [row.meta["persona"] for row in plan.rows]
    assert rows["token:answer"].to_list() == [row.prompt.ids[-1] for row in plan.rows]
    last = [row.prompt.ids[row.prompt.spans["item"][1] - 1] for row in plan.rows]
    assert rows["token:mean:item"].to_list() == last


def test_the_store_knows_its_axes_and_its_plan(folder, plan):
    store = ActivationStore.open(folder)
    assert (store.layers, store.positions, store.options) == (plan.layers, plan.positions, OPTIONS.labels)
    assert (store.n_rows, store.key, store.fields, store.name) == (12, plan.key(), plan.fields(), plan.name)
    assert store.complete
    assert store.missing_rows == 0


def test_mean_norm_is_the_mean_length_of_the_rows(folder, plan, backend):
    expected = np.linalg.norm(expected_layer(plan, backend, 3, "answer").astype(np.float64), axis=1).mean()
    assert ActivationStore.open(folder).mean_norm(3, "answer") == pytest.approx(expected, rel=1e-6)


def test_answers_alone_make_a_store(tmp_path, backend):
    store = collect(make_plan(backend, layers=()), backend, tmp_path)
    assert store.option_logprobs.shape == (12, 3)
    with pytest.raises(StoreError, match="no layer 0"):
        store.layer(0, "answer")


def test_residuals_alone_make_a_store(tmp_path, backend):
    store = collect(make_plan(backend, options=None), backend, tmp_path)
    assert store.options == ()
    assert store.option_logprobs.shape == (12, 0)


@pytest.mark.parametrize(("layer", "position"), [(1, "answer"), (0, "anwser"), (0, "eot")])
def test_a_layer_or_position_that_was_not_kept_is_refused_with_what_there_is(folder, layer, position):
    with pytest.raises(StoreError, match=r"layers \(0, 3, 2\) at the positions \('answer', 'mean:item'\)") as caught:
        ActivationStore.open(folder).layer(layer, position)
    assert ("Did you mean 'answer'?" in str(caught.value)) == (position == "anwser")


def test_an_incomplete_store_opens_and_says_what_is_missing(folder):
    shard_path(folder, 2).unlink()
    store = ActivationStore.open(folder)
    assert (store.complete, store.missing_rows, store.n_rows) == (False, 2, 12)
    for read in (lambda: store.layer(0, "answer"), lambda: store.rows, lambda: store.option_logprobs):
        with pytest.raises(StoreError, match="2 of 12 rows are missing") as caught:
            read()
        assert "Run the same collection again" in caught.value.fix
    shard_path(folder, 0).unlink()
    assert store.missing_rows == 7


@pytest.mark.parametrize("acknowledged", [True, False])
def test_a_flipped_bit_is_detected_before_any_number_is_used(folder, acknowledged):
    if not acknowledged:
        (folder / MANIFEST).unlink()
    path = shard_path(folder, 1)
    image = path.read_bytes()
    block = read_layout(path).blocks["residuals/003/0"]
    for place in range(block.offset, block.offset + block.size, 11):
        damaged = bytearray(image)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match="shard-00001"):
            ActivationStore.open(folder).layer(3, "answer")


def test_any_change_of_an_acknowledged_file_is_detected(folder):
    path = shard_path(folder, 1)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(StoreError, match="not the file that was acknowledged"):
        ActivationStore.open(folder).rows  # noqa: B018


def test_the_bytes_that_are_read_are_hashed_once_and_no_others_until_the_file_changes(tmp_path, monkeypatch):
    from personascope.activations import shard as shard_module

    backend = FakeBackend(d_model=64)
    store = collect(make_plan(backend), backend, tmp_path)
    store.option_logprobs  # noqa: B018 (the small blocks, read once)
    hashed = []
    original = shard_module.piece_digest
    monkeypatch.setattr(shard_module, "piece_digest", lambda piece: (hashed.append(len(piece)), original(piece))[1])

    def hashed_bytes():
        hashed.clear()
        store.layer(3, "answer")
        return sum(hashed)

    assert [hashed_bytes(), hashed_bytes()] == [12 * 64 * 4, 0]
    os.utime(shard_path(tmp_path, 1))
    assert hashed_bytes() == 5 * 64 * 4


def test_a_bit_that_flips_between_two_reads_is_detected(folder):
    store = ActivationStore.open(folder)
    store.layer(3, "answer")
    path = shard_path(folder, 1)
    image = bytearray(path.read_bytes())
    image[read_layout(path).blocks["residuals/003/0"].offset] ^= 1
    path.write_bytes(image)
    with pytest.raises(StoreError, match="not what was written"):
        store.layer(3, "answer")


def test_a_shard_cut_short_after_it_was_checked_is_detected(folder):
    store = ActivationStore.open(folder)
    store.layer(0, "answer")
    block = read_layout(shard_path(folder, 0)).blocks["residuals/003/0"]
    os.truncate(shard_path(folder, 0), block.offset + block.size - 1)
    with pytest.raises(StoreError, match="cut short"):
        store.layer(3, "answer")


def test_a_shard_of_another_plan_is_refused(folder, backend, tmp_path):
    other = make_plan(backend, layers=(0,))
    collect(other, backend, tmp_path / "other")
    (folder / MANIFEST).unlink()
    shard_path(folder, 1).write_bytes(shard_path(tmp_path / "other", 1).read_bytes())
    with pytest.raises(StoreError, match="does not belong to the plan"):
        ActivationStore.open(folder).layer(0, "answer")


def test_a_copied_shard_is_not_taken_for_another(folder):
    (folder / MANIFEST).unlink()
    shard_path(folder, 1).write_bytes(shard_path(folder, 0).read_bytes())
    with pytest.raises(StoreError, match="does not belong to the plan"):
        ActivationStore.open(folder).layer(0, "answer")


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_shard_with_sound_digests_is_refused(folder, forgery):
    (folder / MANIFEST).unlink()
    forge(shard_path(folder, 1), FORGERIES[forgery])
    with pytest.raises(StoreError, match=r"does not belong to the plan|each of the 12 rows once"):
        ActivationStore.open(folder).layer(0, "answer")


def test_a_folder_without_a_plan_is_no_store(tmp_path):
    with pytest.raises(StoreError, match="not an activation store"):
        ActivationStore.open(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shards", "{}"),
        ("shards", '{"rows":1e400,"rows_per_shard":1}'),
        ("layers", "x"),
        ("options", "[1]"),
        ("rows", None),
    ],
)
def test_a_plan_card_with_fields_of_another_version_is_refused(folder, field, value):
    fields = json.loads((folder / PLAN).read_text())["fields"]
    fields = {**fields, field: value} if value else {"only": "this"}
    (folder / PLAN).write_text(json.dumps({"name": "n", "fields": fields, "key": sha256_json(fields)}))
    with pytest.raises(StoreError, match="not one this version can read"):
        ActivationStore.open(folder)


def test_opening_and_reading_change_nothing(folder):
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    store = ActivationStore.open(folder)
    store.layer(0, "answer")
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before


def test_reading_a_layer_needs_the_result_and_one_shard(tmp_path):
    backend = FakeBackend(d_model=4096)
    rows = [Row(str(i), Prompt((i, 1), "", {}), {}) for i in range(64)]
    plan = Plan("wide", rows, (0,), ("answer",), None, backend.fingerprint(), rows_per_shard=4)
    store = collect(plan, backend, tmp_path)
    store.rows  # noqa: B018 (fills the caches)
    tracemalloc.start()
    result = store.layer(0, "answer")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.nbytes <= peak <= result.nbytes * 1.3


@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=5).map(tuple), min_size=1, max_size=9),
    st.integers(1, 4),
    st.sampled_from([torch.float32, torch.bfloat16]),
)
@settings(max_examples=20, deadline=None)
def test_any_plan_comes_back_in_its_order(tmp_path_factory, all_ids, rows_per_shard, dtype):
    backend = FakeBackend(dtype=dtype, d_model=3)
    rows = [Row(f"r{number}", Prompt(ids, "", {}), {"n": str(number)}) for number, ids in enumerate(all_ids)]
    plan = Plan("any", rows, (1,), ("answer",), None, backend.fingerprint(), rows_per_shard)
    store = collect(plan, backend, tmp_path_factory.mktemp("store"))
    assert np.array_equal(store.layer(1, "answer"), expected_layer(plan, backend, 1, "answer"))
    assert store.rows["n"].to_list() == [str(number) for number in range(len(rows))]
