"""Which token of which prompt stands where in a call: padding, matching, pieces, and what cannot be told."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from own_passes import KINDS, patched, prompt_of, some_prompts
from tiny_models import offset, tiny_model

from personascope.errors import ModelError
from personascope.models.call_rows import CallRows
from personascope.models.intervention import Intervention

ALL, ANSWER = tuple(KINDS["project out"]), tuple(KINDS["answer"])
ITEM = tuple(KINDS["onwards"])
A, B, C = ((5, 6, 7), (5, 6, 7, 8, 9), (5, 6, 20))


def prompt(ids):
    return prompt_of(ids, task_a=(1, 2), item=(2, len(ids)))


def rows(ids):
    return {"input_ids": torch.tensor(ids)}


class Cache:
    """Holds nothing but a length."""

    def __init__(self, length):
        self.length = length

    def get_seq_length(self):
        return self.length


def read(caller, ids, past=None, length=0, mask=None):
    """One call, and the cache after it."""
    past = past or Cache(0)
    past.length = length
    given = {**rows(ids), "past_key_values": past}
    placed = caller.place(given if mask is None else {**given, "attention_mask": torch.tensor(mask)})
    caller.keep((), given)
    return placed, past


def test_columns_and_positions_come_from_the_mask():
    caller = CallRows(ALL, None, padding=0)
    placed = caller.place({**rows([[0, 0, 5, 6], [5, 6, 7, 0], [5, 0, 6, 7]]), "attention_mask": torch.tensor(
        [[0, 0, 1, 1], [1, 1, 1, 0], [1, 0, 1, 1]])})  # fmt: skip
    assert [list(row.columns) for row in placed] == [[2, 3], [0, 1, 2], [0, 2, 3]]
    assert [len(row.prompt) for row in placed] == [2, 3, 3]
    after = caller.place({**rows([[9], [9], [9]]), "past_key_values": Cache(4), "attention_mask": torch.tensor(
        [[0, 0, 1, 1, 1], [1, 1, 1, 0, 1], [1, 0, 1, 1, 0]])})  # fmt: skip
    assert [(row.start, list(row.columns)) for row in after] == [(2, [0]), (3, [0]), (3, [])]


def test_a_run_of_padding_at_the_end_counts_where_nothing_says_otherwise():
    ids = [[5, 6, 0, 0], [5, 6, 7, 0], [0, 5, 0, 7]]

    def ends(caller, **more):
        return [len(row.columns) for row in caller.place({**rows(ids), **more})]

    assert ends(CallRows(ALL, None, padding=0)) == [2, 3, 4]
    assert ends(CallRows(ALL, None, padding=None)) == [4, 4, 4]
    assert ends(CallRows(ALL, None, padding=0), attention_mask=torch.ones(3, 4)) == [4, 4, 4]
    assert len(CallRows(ALL, None, padding=0).place(rows(ids[:1]))[0].columns) == 4
    with (caller := CallRows(ALL, None, padding=0)).generating(4):
        assert ends(caller) == [4, 4, 4]
    after = CallRows(ALL, None, padding=0).place({**rows([[0], [5]]), "past_key_values": Cache(3)})
    assert [len(row.columns) for row in after] == [1, 1]
    # a prompt may end with such a token
    own = [prompt(tokens) for tokens in ([5, 6, 0], [5, 6, 7, 0], [0, 5, 0, 7])]
    assert ends(CallRows(ALL, own, padding=0)) == [3, 4, 4]


def test_rows_are_matched_in_any_order_to_the_longest_prompt_that_they_start_with():
    prompts = [prompt(ids) for ids in (A, B, C)]
    placed = CallRows(ITEM, prompts, None).place(rows([[*B, 1], [*A, 8, 1, 1], [*C, 9, 9, 9], [*A, 1, 1, 1]]))
    assert [row.number for row in placed] == [1, 0, 2, 0]
    assert all(row.prompt is prompts[row.number] for row in placed)


def test_a_row_of_no_prompt_or_of_two_is_an_error():
    prompts = [prompt(ids) for ids in (B, C)]
    with pytest.raises(ModelError, match="Row 1 of the call starts with none of the 2 prompts"):
        CallRows(ITEM, prompts, None).place(rows([C, (6, 5, 20)]))
    with pytest.raises(ModelError, match="none of the 0 prompts"):
        CallRows(ITEM, [], None).place(rows([C]))
    # so far both prompts have these tokens: alike where nothing is done, not where one is done sooner
    assert CallRows(ITEM, prompts, None).place(rows([(5,)]))[0].number == 0
    longer = replace(prompts[1], spans={**prompts[1].spans, "item": (1, 3)})
    with pytest.raises(ModelError, match="Row 0 of the call can be prompt 0 or 1, which are steered differently"):
        CallRows(ITEM, [replace(prompts[0], spans={"item": (3, 4)}), longer], None).place(rows([(5, 6)]))
    twice = [prompts[0], prompts[0]]
    given = patched(twice)
    with pytest.raises(ModelError, match="steered differently"):
        CallRows(tuple(given), twice, None).place(rows([B]))
    assert CallRows(ALL, twice, None).place(rows([B]))[0].number == 0


@pytest.mark.parametrize(
    ("cell", "given", "symptom"),
    [
        (ITEM, rows([A]), "Where 'from:item' is in a call of your own cannot be told without the prompts"),
        (tuple(patched(some_prompts())), rows([A]), "cannot be told without the prompts"),
        (ALL, {}, "called without input_ids"),
        (ALL, {**rows([A]), "attention_mask": torch.ones(1, 1, 3, 3)}, "mask is not one number a token"),
        (ALL, {**rows([A]), "attention_mask": {"full_attention": None}}, "mask is not one number a token"),
        (ALL, {**rows([A]), "state": [torch.zeros(1)]}, "How many tokens are in a list of states"),
    ],
)
def test_what_cannot_be_told_is_refused(cell, given, symptom):
    with pytest.raises(ModelError, match=symptom):
        CallRows(cell, None, None).place(given)


def test_embeddings_do_without_prompts_only():
    given = {"inputs_embeds": torch.zeros(2, 3, 32)}
    assert [len(row.prompt) for row in CallRows(ANSWER, None, None).place(given)] == [3, 3]
    with pytest.raises(ModelError, match="without input_ids"):
        CallRows(ANSWER, [prompt(A)], None).place(given)


def test_a_prompt_in_pieces_has_an_answer_only_with_the_prompts():
    caller = CallRows(ANSWER, None, None)
    _, cache = read(caller, [A])
    with pytest.raises(ModelError, match="The prompt goes on where an earlier call ended it"):
        read(caller, [[8, 9]], cache, 3)
    caller = CallRows(ALL, None, None)
    _, cache = read(caller, [A])
    (row,), _ = read(caller, [[8, 9]], cache, 3)
    assert (row.start, len(row.prompt)) == (3, 5)
    caller = CallRows(ANSWER, [prompt(B)], None)
    (row,), cache = read(caller, [A])
    assert row.named_by(ANSWER[0]) == []
    (row,), cache = read(caller, [[8]], cache, 3)
    assert row.named_by(ANSWER[0]) == []
    (row,), cache = read(caller, [[9]], cache, 4)
    assert row.named_by(ANSWER[0]) == [(0, 0)]
    (row,), _ = read(caller, [[9]], cache, 5)
    assert row.start == 5 and row.named_by(ANSWER[0]) == []


def test_what_is_known_of_a_cache_that_was_cropped_repeated_or_picked_from():
    prompts = [prompt(B), prompt((*A, 30, 31)), prompt((40, 41, 42, 8, 9))]
    caller = CallRows(ITEM, prompts, None)
    (row,), cache = read(caller, [B])
    (row,), cache = read(caller, [[30, 31]], cache, 3)  # cropped to three tokens
    assert row.number == 1 and row.start == 3
    caller = CallRows(ITEM, prompts, None)
    _, cache = read(caller, [A])
    placed, _ = read(caller, [[30, 31], [8, 9]], cache, 3)  # repeated
    assert [row.number for row in placed] == [1, 0]
    caller = CallRows(ITEM, prompts, None)
    _, cache = read(caller, [A, (40, 41, 42)])
    placed, _ = read(caller, [[30, 31]], cache, 3)  # one of them was picked
    assert placed[0].number == 1
    with pytest.raises(ModelError, match="can be prompt 0 or 2"):
        read(CallRows(ITEM, [prompts[0], prompts[1], replace(prompts[2], spans={"item": (4, 5)})], None),
             [[8, 9]], Cache(3), 3)  # fmt: skip


def test_a_second_turn_is_matched_anew_and_generated_tokens_are_not():
    second = prompt((*A, 50, 60, 61))
    caller = CallRows(ANSWER, [prompt(A), second], None)
    (row,), cache = read(caller, [A])
    (row,), cache = read(caller, [[50]], cache, 3)
    (row,), cache = read(caller, [[60]], cache, 4)
    (row,), cache = read(caller, [[61]], cache, 5)
    assert row.number == 0 and row.named_by(ANSWER[0]) == []  # it wrote by itself what begins the other
    (row,), _ = read(caller, [[60, 61]], cache, 4)
    assert row.number == 1 and row.named_by(ANSWER[0]) == [(1, 0)]


def test_a_generation_in_a_generation_leaves_the_outer_one_as_it_was():
    caller = CallRows(ANSWER, None, None)
    with caller.generating(0):
        assert len(caller.place(rows([A]))[0].prompt) == 3
        with caller.generating(5):
            assert len(caller.place(rows([A]))[0].prompt) == 5
        assert len(caller.place(rows([B]))[0].prompt) == 3
    assert len(caller.place(rows([B]))[0].prompt) == 5


def test_a_real_cache_is_known_again_by_itself_and_a_copy_by_its_tokens():
    model, prompts = tiny_model("qwen3_next"), [prompt(B), prompt((*A, 30, 31))]
    caller = CallRows((Intervention(1, offset(1), "from:item"),), prompts, None)
    with torch.no_grad():
        given = rows([A])
        caller.place(given)
        output = model(**given, use_cache=True)
    caller.keep(output, given)
    for cache in (output.past_key_values, copy.deepcopy(output.past_key_values)):
        (row,) = caller.place({**rows([[30, 31]]), "past_key_values": cache})
        assert (row.number, row.start) == (1, 3)
