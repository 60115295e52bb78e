"""Rows with NaN or infinity: kept, marked with a reason, and never read unasked."""

import math

import numpy as np
import pytest
import torch
from activation_fakes import FakeBackend, expected_layer, forge, make_plan, names, snapshot, temporaries
from hypothesis import given, settings
from hypothesis import strategies as st

from personascope.activations.collect import collect
from personascope.activations.compact import compact
from personascope.activations.manifest import reconcile
from personascope.activations.quarantine import reasons
from personascope.activations.shard import shard_path
from personascope.activations.store import ActivationStore
from personascope.errors import ActivationError, StoreError


def poisoned(ids, place=(1, 1, 2), value=math.nan, field="residuals", **how):
    """A fake whose numbers for the prompts with these texts have a bad value."""

    def edit(outputs):
        for row, prompt in enumerate(backend.batches[-1]):
            if prompt.text in ids:
                getattr(outputs, field)[(row, *place)] = value
        return outputs

    backend = FakeBackend(edit=edit, **how)
    return backend


@pytest.fixture
def bad(plan):
    """Two rows of the plan, in different shards."""
    first, last = plan.shards()[0][3], plan.shards()[2][1]
    return sorted((first, last))


@pytest.fixture
def store(tmp_path, plan, bad):
    texts = [plan.rows[index].prompt.text for index in bad]
    return collect(plan, poisoned(texts), tmp_path / "store")


def test_the_run_goes_on_and_the_rows_are_named_with_their_reasons(store, plan, bad):
    assert store.complete
    assert store.quarantined.rows() == [(plan.rows[index].id, "NaN at layer 3, position 'mean:item'") for index in bad]
    assert len(store.rows) == len(plan.rows)


def test_numbers_are_refused_with_count_first_row_and_reason(store, plan, bad):
    reads = (
        lambda: store.layer(0, "answer"),  # a place where all is finite
        lambda: store.layer(3, "mean:item"),
        lambda: store.mean_norm(0, "answer"),
        lambda: store.option_logprobs,
        lambda: store.other_logmass,
    )
    for read in reads:
        with pytest.raises(
            StoreError, match=f"2 of 12 rows are quarantined; the first is '{plan.rows[bad[0]].id}': NaN"
        ):
            read()


def test_left_out_rows_are_left_out_of_everything(store, plan, backend, bad):
    kept = [index for index in range(12) if index not in bad]
    rest = store.without_quarantined()
    for layer in plan.layers:
        for position in plan.positions:
            assert np.array_equal(rest.layer(layer, position), expected_layer(plan, backend, layer, position)[kept])
    assert rest.rows["id"].to_list() == [plan.rows[index].id for index in kept]
    assert (rest.option_logprobs.shape, rest.other_logmass.shape) == ((10, 3), (10,))
    norms = np.linalg.norm(expected_layer(plan, backend, 3, "answer")[kept].astype(np.float64), axis=1)
    assert rest.mean_norm(3, "answer") == pytest.approx(norms.mean(), rel=1e-6)
    assert len(rest.quarantined) == 2
    with pytest.raises(StoreError):  # the view does not change the store it came from
        store.layer(0, "answer")


def test_a_sound_store_is_the_same_with_and_without(tmp_path, plan, backend):
    store = collect(plan, backend, tmp_path)
    assert store.quarantined.rows() == []
    assert np.array_equal(store.without_quarantined().layer(0, "answer"), store.layer(0, "answer"))


def test_the_values_stay_in_the_shard_as_they_are(store, plan, bad):
    found = [store._shard(number).residuals(3, 1) for number in range(3)]
    assert sum(int(np.isnan(rows).sum()) for rows in found) == len(bad)


def test_resuming_keeps_quarantined_rows_and_computes_nothing(store, plan, bad):
    before, again = snapshot(store.folder), FakeBackend()
    collect(plan, again, store.folder)
    assert again.batches == []
    assert snapshot(store.folder) == before


def test_the_compact_file_keeps_the_quarantine(store, plan, bad):
    expected = store.quarantined
    rows = store.without_quarantined().layer(2, "answer")
    compact(store.folder, drop_shards=True)
    again = ActivationStore.open(store.folder)
    assert again.quarantined.equals(expected)
    assert np.array_equal(again.without_quarantined().layer(2, "answer"), rows)
    with pytest.raises(StoreError, match="quarantined"):
        again.layer(2, "answer")


@pytest.mark.parametrize(
    ("field", "place", "value", "reason"),
    [
        ("residuals", (0, 0, 0), math.inf, "infinity at layer 0, position 'answer'"),
        ("residuals", (2, 1, 5), -math.inf, "infinity at layer 2, position 'mean:item'"),
        ("option_logprobs", (1,), math.nan, "NaN in the answer's log-probabilities"),
        ("option_logprobs", (1,), -math.inf, "infinity in the answer's log-probabilities"),
        ("other_logmass", (), math.nan, "NaN in the answer's log-probabilities"),
    ],
)
def test_each_kind_of_number_is_looked_at(tmp_path, plan, field, place, value, reason):
    store = collect(plan, poisoned([plan.rows[4].prompt.text], place, value, field), tmp_path)
    assert store.quarantined.rows() == [(plan.rows[4].id, reason)]


def test_an_overflow_of_float16_is_quarantined(tmp_path, plan):
    """The residual that a bfloat16 model holds at 1e5 has no float16."""
    half = poisoned([plan.rows[4].prompt.text], value=1e5, dtype=torch.float16)
    plan = make_plan(half)
    store = collect(plan, half, tmp_path)
    assert store.quarantined.rows() == [(plan.rows[4].id, "infinity at layer 3, position 'mean:item'")]


def test_a_shard_without_a_finite_row_stops_the_run_and_keeps_what_was_finished(tmp_path, plan, reference):
    second = {plan.rows[index].prompt.text for index in plan.shards()[1]}
    with pytest.raises(ActivationError, match=r"Shard 1: all 5 rows have NaN .* layer 3, position 'mean:item'"):
        collect(plan, poisoned(second), tmp_path / "store")
    assert names(tmp_path / "store") == ["manifest.jsonl", "plan.json", "run.lock", "shard-00000.h5"]
    assert not temporaries(tmp_path / "store")
    collect(plan, FakeBackend(), tmp_path / "store")
    assert snapshot(tmp_path / "store") == reference


def test_the_only_row_of_a_shard_may_be_quarantined(tmp_path, backend):
    plan = make_plan(backend, rows_per_shard=11)
    (last,) = plan.shards()[1]
    store = collect(plan, poisoned([plan.rows[last].prompt.text]), tmp_path)
    assert store.quarantined["id"].to_list() == [plan.rows[last].id]


@pytest.mark.parametrize("mark", [0, 1])
def test_marks_without_reasons_and_reasons_without_marks_are_refused(store, plan, mark):
    (store.folder / "manifest.jsonl").unlink()
    forge(shard_path(store.folder, 0), lambda file: file["quarantined"].write_direct(np.full(5, mark, np.uint8)))
    assert "do not agree" in reconcile(store.folder, plan).discarded[0]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_exactly_the_rows_that_are_not_finite_are_found(data):
    shape = tuple(data.draw(st.integers(1, size)) for size in (6, 3, 2, 5))
    values = torch.randn(shape) * 1e30
    answers = torch.randn(shape[0], 3)
    rows = set()
    for _ in range(data.draw(st.integers(0, 3))):
        tensor = data.draw(st.sampled_from([values, answers]))
        place = tuple(data.draw(st.integers(0, size - 1)) for size in tensor.shape)
        tensor[place] = data.draw(st.sampled_from([math.nan, math.inf, -math.inf]))
        rows.add(place[0])
    for dtype in (torch.float32, torch.bfloat16):
        assert set(reasons(values.to(dtype), answers, (0, 1, 2), ("a", "b"))) == rows
