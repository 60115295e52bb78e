"""Properties of the prefix tree, over random prompts that share prefixes in every way."""

from __future__ import annotations

import itertools
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personascope.models import tree
from personascope.models.tree import Segment, ancestry, by_length, next_batch, padded_cost, plan_tree


@st.composite
def plans(draw):
    """(ids, shareable, cuts or None, least shared length, least saved tokens); three token ids, so prefixes collide."""
    stems = draw(st.lists(st.lists(st.integers(0, 2), max_size=9), min_size=1, max_size=3))
    row = st.tuples(st.sampled_from(stems), st.lists(st.integers(0, 2), min_size=1, max_size=5))
    ids = [[*stem, *ending] for stem, ending in draw(st.lists(row, min_size=1, max_size=9))]
    shareable = [draw(st.one_of(st.just(len(tokens) - 1), st.integers(0, len(tokens) - 1))) for tokens in ids]
    cuts = draw(st.one_of(st.none(), st.just([draw(st.integers(0, share)) for share in shareable])))
    return ids, shareable, cuts, draw(st.integers(1, 4)), draw(st.integers(1, 16))


def planned(ids, shareable, cuts, least_length, least_saved):
    limits = {"MIN_SHARED_LENGTH": least_length, "MIN_SAVED_TOKENS": least_saved}
    with mock.patch.multiple(tree, **limits):
        return plan_tree(ids, shareable, cuts=cuts)


def all_segments(roots: list[Segment]) -> list[Segment]:
    return [segment for root in roots for segment in (root, *all_segments(root.children))]


@given(plans())
def test_the_segments_from_root_to_leaf_spell_every_prompt_exactly_once(plan):
    ids, _, *rest = plan
    leaves = [segment for segment in all_segments(planned(ids, plan[1], *rest)) if segment.is_leaf]
    assert sorted(row for leaf in leaves for row in leaf.rows) == list(range(len(ids)))
    for leaf in leaves:
        path = [*ancestry(leaf), leaf]
        assert [token for segment in path for token in segment.tokens] == list(ids[leaf.rows[0]])
        assert [segment.start for segment in path] == [0, *(segment.stop for segment in path[:-1])]
        assert len(leaf.tokens) > 0


@given(plans())
def test_nothing_beyond_what_is_shareable_is_shared(plan):
    ids, shareable, *rest = plan
    for segment in all_segments(planned(ids, shareable, *rest)):
        if len(segment.rows) > 1:
            assert segment.stop <= min(shareable[row] for row in segment.rows)
        if segment.is_leaf:
            assert len(segment.rows) == 1


@given(plans())
def test_no_segment_runs_across_the_cut_of_one_of_its_rows(plan):
    ids, shareable, cuts, *rest = plan
    for segment in all_segments(planned(ids, shareable, cuts, *rest)):
        if cuts is not None:
            assert not any(segment.start < cuts[row] < segment.stop for row in segment.rows)


@given(plans(), st.data())
def test_tokens_with_other_keys_are_not_shared(plan, data):
    ids, shareable, cuts, least_length, least_saved = plan
    keys = [[2 * token + data.draw(st.integers(0, 1)) for token in row] for row in ids]
    with mock.patch.multiple(tree, MIN_SHARED_LENGTH=least_length, MIN_SAVED_TOKENS=least_saved):
        roots = plan_tree(ids, shareable, keys=keys, cuts=cuts)
    for segment in all_segments(roots):
        assert len({tuple(keys[row][segment.start : segment.stop]) for row in segment.rows}) == 1
        assert {tuple(ids[row][segment.start : segment.stop]) for row in segment.rows} == {segment.tokens}


@given(plans())
def test_every_shared_run_is_worth_its_step(plan):
    ids, shareable, _, least_length, least_saved = plan
    for segment in all_segments(planned(ids, shareable, None, least_length, least_saved)):
        if len(segment.rows) > 1:
            assert len(segment.tokens) >= least_length
            assert len(segment.tokens) * (len(segment.rows) - 1) >= least_saved


@given(plans())
def test_children_part_the_rows_of_their_parent(plan):
    for segment in all_segments(planned(*plan)):
        assert all(child.parent is segment for child in segment.children)
        if segment.children:
            assert sorted(row for child in segment.children for row in child.rows) == sorted(segment.rows)


@given(plans())
def test_tokens_saved_are_those_of_the_other_rows_of_each_segment(plan):
    ids = plan[0]
    segments = all_segments(planned(*plan))
    computed = sum(len(segment.tokens) for segment in segments)
    saved = sum(len(segment.tokens) * (len(segment.rows) - 1) for segment in segments)
    assert computed == sum(map(len, ids)) - saved


@given(plans())
def test_with_no_least_length_the_tree_is_the_trie_and_nothing_less_would_do(plan):
    ids, shareable, *_ = plan
    computed = sum(len(segment.tokens) for segment in all_segments(planned(ids, shareable, None, 1, 1)))
    beginnings = {tuple(row[:n]) for row, share in zip(ids, shareable, strict=True) for n in range(1, share + 1)}
    assert computed == len(beginnings) + sum(len(row) - share for row, share in zip(ids, shareable, strict=True))


@given(plans(), st.randoms(use_true_random=False))
def test_the_order_of_prompts_does_not_change_the_tree(plan, random):
    ids, shareable, cuts, *rest = plan
    order = list(range(len(ids)))
    random.shuffle(order)
    other_cuts = cuts and [cuts[row] for row in order]
    shuffled = planned([ids[row] for row in order], [shareable[row] for row in order], other_cuts, *rest)

    def shape(roots):
        return sorted((segment.start, segment.tokens, len(segment.rows)) for segment in all_segments(roots))

    assert shape(shuffled) == shape(planned(*plan))


def test_personas_share_then_their_tasks_share_then_leaves():
    persona, task = tuple(range(100, 120)), tuple(range(200, 210))
    ids = [(*persona, *task, 1, 2), (*persona, *task, 3), (*persona, *task, 4), (*persona, 5)]
    (root,) = plan_tree(ids, [len(row) - 1 for row in ids])
    assert root.tokens == persona
    assert sorted(child.tokens for child in root.children) == [(5,), task]
    inner = next(child for child in root.children if child.tokens == task)
    assert sorted(leaf.tokens for leaf in inner.children) == [(1, 2), (3,), (4,)]


def test_the_last_token_is_never_shared_so_that_equal_prompts_keep_a_row_each():
    ids = [tuple(range(30))] * 3
    (root,) = plan_tree(ids, [29] * 3)
    assert root.tokens == tuple(range(29))
    assert [leaf.tokens for leaf in root.children] == [(29,)] * 3


def test_two_thousand_nested_prompts_do_not_exhaust_the_stack():
    ids = [[1] * n for n in range(1, 2000)]
    with mock.patch.multiple(tree, MIN_SHARED_LENGTH=1, MIN_SAVED_TOKENS=1):
        roots = plan_tree(ids, [len(row) - 1 for row in ids])
    stack, deepest = list(roots), 0
    while stack:
        segment = stack.pop()
        deepest += 1
        stack += segment.children
    assert deepest >= len(ids)


def test_no_prompts_make_no_tree():
    assert plan_tree([], []) == []


def all_batches(segments, budget, beside=1):
    waiting, parts = by_length(segments), []
    while waiting:
        parts.append(next_batch(waiting, budget, beside))
        waiting = waiting[len(parts[-1]) :]
    return parts


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 99)), max_size=40), st.integers(1, 100), st.integers(1, 9))
def test_batches_hold_every_segment_once_sorted_within_the_budget_and_full(sizes, budget, beside):
    segments = [Segment((0,) * length, start, (row,), None) for row, (length, start) in enumerate(sizes)]
    parts = all_batches(segments, budget, beside)
    assert sorted(s.rows[0] for part in parts for s in part) == list(range(len(sizes)))
    flat = [(len(s.tokens), s.rows[0]) for part in parts for s in part]
    assert flat == sorted(flat)
    for part in parts:
        assert len(part) == 1 or padded_cost(part, beside) <= budget
    for part, following in itertools.pairwise(parts):
        assert padded_cost([*part, following[0]], beside) > budget


def test_the_cost_counts_padding_copies_and_a_sixteenth_of_the_past():
    batch = [Segment((0,) * 3, 160, (0,), None), Segment((0,) * 5, 32, (1,), None)]
    assert padded_cost(batch) == 2 * (5 + 10)
    assert padded_cost(batch, beside=4) == 2 * (20 + 10)


@pytest.mark.parametrize("order", [1, -1])
def test_batches_do_not_depend_on_the_order_of_segments(order):
    segments = [Segment((0,) * (1 + row % 5), 0, (row,), None) for row in range(17)]
    assert all_batches(segments[::order], 12) == all_batches(segments, 12)
