import dataclasses

import numpy as np
import pytest
from activation_fakes import LAYERS, OPTIONS, POSITIONS, FakeBackend, make_plan, make_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from personascope.activations import plan as plan_module
from personascope.activations.plan import Plan, Row
from personascope.errors import DataError, SpanError
from personascope.prompts.labels import Options
from personascope.prompts.prompt import Prompt

prompts_ids = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple), min_size=1, max_size=20)


def plan_of(all_ids, rows_per_shard=3):
    rows = [Row(str(number), Prompt(ids, "", {}), {}) for number, ids in enumerate(all_ids)]
    return Plan("p", rows, (0,), ("answer",), None, {}, rows_per_shard)


def edited_row(row, **changes):
    return dataclasses.replace(row, **changes)


def edited_prompt(row, **changes):
    return dataclasses.replace(row, prompt=dataclasses.replace(row.prompt, **changes))


@given(prompts_ids, st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_every_row_is_in_exactly_one_shard_and_shards_are_full_but_the_last(all_ids, rows_per_shard):
    shards = plan_of(all_ids, rows_per_shard).shards()
    assert sorted(index for shard in shards for index in shard) == list(range(len(all_ids)))
    assert all(len(shard) == rows_per_shard for shard in shards[:-1])
    assert 1 <= len(shards[-1]) <= rows_per_shard


@given(prompts_ids)
@settings(max_examples=60, deadline=None)
def test_unique_tokens_are_the_edges_of_the_prefix_tree(all_ids):
    edges = {ids[: length + 1] for ids in all_ids for length in range(len(ids))}
    summary = plan_of(all_ids).summary(d_model=4, bytes_per_value=4)
    assert summary.unique_tokens == len(edges)
    assert summary.tokens == sum(map(len, all_ids))


def test_rows_with_a_common_prefix_share_shards(plan):
    personas = [{plan.rows[index].meta["persona"] for index in shard} for shard in make_shards_of(plan, 4)]
    assert personas == [{"p0"}, {"p1"}, {"p2"}]


def make_shards_of(plan, rows_per_shard):
    return dataclasses.replace(plan, rows_per_shard=rows_per_shard).shards()


def test_the_order_of_rows_that_share_no_prompt_does_not_change_shard_composition(plan):
    turned = dataclasses.replace(plan, rows=plan.rows[::-1])
    ids = [[p.rows[index].id for shard in p.shards() for index in shard] for p in (plan, turned)]
    assert ids[0] == ids[1]


def test_summary_counts_rows_and_shards_and_shows_them_as_a_frame(plan):
    summary = plan.summary(d_model=6, bytes_per_value=4)
    assert (summary.rows, summary.shards) == (12, 3)
    assert summary.frame().row(0, named=True) == dataclasses.asdict(summary)


def test_token_ids_are_those_of_the_position_and_the_last_one_of_a_span(plan):
    shard = plan.shard(0)
    for index, tokens in zip(shard.row_index, shard.token_ids, strict=True):
        prompt = plan.rows[index].prompt
        assert tokens.tolist() == [prompt.ids[-1], prompt.ids[prompt.spans["item"][1] - 1]]


def test_the_key_is_stable_and_ignores_only_the_name_and_the_text(plan):
    again = make_plan(FakeBackend(), name="other name")
    silent = dataclasses.replace(plan, rows=tuple(edited_prompt(row, text="") for row in plan.rows))
    assert plan.key() == again.key() == silent.key()


ROWS = make_rows()
CHANGES = {
    "context": ("items", {"context": {**FakeBackend().fingerprint(), "items": "b" * 64}}),
    "context entry gone": ("items", {"context": FakeBackend().fingerprint()}),
    "layers": ("layers", {"layers": (0, 3)}),
    "layer order": ("layers", {"layers": (0, 2, 3)}),
    "positions": ("positions", {"positions": ("answer", "eot")}),
    "options gone": ("options", {"options": None}),
    "option spelling": ("options", {"options": Options(OPTIONS.labels, ((11,), (12,), (13,)))}),
    "row id": ("rows", {"rows": (edited_row(ROWS[0], id="new"), *ROWS[1:])}),
    "row meta": ("rows", {"rows": (edited_row(ROWS[0], meta={**ROWS[0].meta, "order": "ba"}), *ROWS[1:])}),
    "row token": ("rows", {"rows": (edited_prompt(ROWS[0], ids=(2, *ROWS[0].prompt.ids[1:])), *ROWS[1:])}),
    "row span": ("rows", {"rows": (edited_prompt(ROWS[0], spans={"item": (6, 7), "eot": (8, 9)}), *ROWS[1:])}),
    "row order": ("rows", {"rows": ROWS[::-1]}),
    "rows per shard": ("shards", {"rows_per_shard": 6}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_everything_that_can_change_a_number_changes_its_field_and_the_key(plan, backend, change):
    field, changes = CHANGES[change]
    changed = make_plan(backend, **changes)
    old, new = plan.fields(), changed.fields()
    assert field in {name for name in {*old, *new} if old.get(name) != new.get(name)}
    assert changed.key() != plan.key()


def test_a_new_schema_changes_the_key(plan, backend, monkeypatch):
    key = plan.key()
    monkeypatch.setattr(plan_module, "SCHEMA", "another")
    assert make_plan(backend).key() != key


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": ()}, "0 rows"),
        ({"layers": (), "options": None}, "cannot be computed"),
        ({"positions": (), "options": None}, "cannot be computed"),
        ({"layers": (-1,)}, "cannot be computed"),
        ({"rows_per_shard": 0}, "0 rows per shard"),
        ({"rows": (edited_prompt(ROWS[0], ids=()), *ROWS[1:])}, "rows without tokens: \\['p0/i0'\\]"),
        ({"rows": (*ROWS, ROWS[2])}, "row ids are repeated: \\['p2/i0'\\]"),
        ({"layers": (1, 2, 1)}, "layers are repeated: \\[1\\]"),
        ({"positions": ("eot", "eot")}, "positions are repeated"),
        ({"rows": (*ROWS[1:], edited_row(ROWS[0], meta={"persona": "x"}))}, "'p0/i0' has the meta keys"),
        ({"rows": tuple(edited_row(row, meta={"id": "1"}) for row in ROWS)}, "store's own columns"),
        ({"rows": tuple(edited_row(row, meta={"token:answer": "1"}) for row in ROWS)}, "store's own columns"),
        ({"rows": (edited_row(ROWS[0], id="a\ud800"), *ROWS[1:])}, "not Unicode"),
        ({"context": {**FakeBackend().fingerprint(), "layers": "x"}}, "own fields"),
    ],
)
def test_a_plan_that_cannot_mean_anything_is_refused(backend, changes, message):
    with pytest.raises(DataError, match=message):
        make_plan(backend, **changes)


def test_a_position_that_a_prompt_lacks_is_refused_before_anything_runs(backend):
    with pytest.raises(SpanError, match="task_a"):
        make_plan(backend, positions=("answer", "last:task_a"))


def test_answers_alone_can_be_planned(backend):
    assert make_plan(backend, layers=()).summary(6, 4).rows == 12


def test_any_sequences_make_the_same_plan(plan, backend):
    listed = make_plan(backend, rows=list(plan.rows), layers=[0, 3, 2], positions=list(POSITIONS))
    assert listed.key() == plan.key()
    assert listed.rows == plan.rows
    assert make_plan(backend, layers=range(2)).fields()["layers"] == "[0,1]"


def test_shard_plans_carry_the_plans_axes(plan):
    shard = plan.shard(2)
    assert (shard.layers, shard.positions, shard.n_options) == (LAYERS, POSITIONS, 3)
    assert np.array_equal(shard.row_index, plan.shards()[2])
    assert [card["id"] for card in shard.rows] == [plan.rows[index].id for index in plan.shards()[2]]
