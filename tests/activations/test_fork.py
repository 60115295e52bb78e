"""Forks: a changed plan goes beside the old one, deterministically, instead of being refused."""

import pytest
from activation_fakes import FakeBackend, make_plan, names, snapshot

from personascope.activations.collect import collect
from personascope.activations.manifest import PLAN, fork_folder
from personascope.errors import StoreError


def test_a_changed_plan_goes_to_a_sibling_and_the_old_store_is_untouched(tmp_path, plan, backend):
    collect(plan, backend, tmp_path / "store")
    before = snapshot(tmp_path / "store")
    other = make_plan(backend, layers=(0,))
    store = collect(other, FakeBackend(), tmp_path / "store", fork=True)
    assert store.folder == tmp_path / f"store-fork-{other.key()[:8]}"
    assert (store.layers, store.complete) == ((0,), True)
    assert snapshot(tmp_path / "store") == before
    assert names(tmp_path) == sorted(["store", store.folder.name])


def test_running_the_fork_again_continues_the_same_fork(tmp_path, plan, backend):
    collect(plan, backend, tmp_path / "store")
    other, again = make_plan(backend, layers=(0,)), FakeBackend()
    first = collect(other, FakeBackend(), tmp_path / "store", fork=True)
    assert collect(other, again, tmp_path / "store", fork=True).folder == first.folder
    assert again.batches == []


def test_the_same_plan_and_a_new_folder_are_no_fork(tmp_path, plan, backend):
    assert collect(plan, backend, tmp_path / "store", fork=True).folder == tmp_path / "store"
    assert collect(plan, backend, tmp_path / "store", fork=True).folder == tmp_path / "store"
    assert names(tmp_path) == ["store"]


def test_without_fork_the_changed_plan_is_refused_and_told_of_it(tmp_path, plan, backend):
    collect(plan, backend, tmp_path / "store")
    with pytest.raises(StoreError) as caught:
        collect(make_plan(backend, layers=(0,)), backend, tmp_path / "store")
    assert "fork=True" in caught.value.fix
    assert names(tmp_path) == ["store"]


def test_a_damaged_plan_card_is_not_forked_away(tmp_path, plan, backend):
    collect(plan, backend, tmp_path / "store")
    (tmp_path / "store" / PLAN).write_text("{")
    with pytest.raises(StoreError, match="is damaged"):
        fork_folder(tmp_path / "store", make_plan(backend, layers=(0,)))
