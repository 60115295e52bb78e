"""Frozen keys and values: masks against a double loop, and nothing that a batch reads is ever changed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import OPTIONS, tiny_engine

from personascope.models import frozen_cache as module
from personascope.models.frozen_cache import Block, Past, attention_masks, block_of, frozen_cache
from personascope.models.tree import Segment

HEADS, D_HEAD, LAYERS = 2, 3, 2


def a_block(positions: list[list[int]], seed: int = 0) -> Block:
    generator = torch.Generator().manual_seed(seed)
    shape = (len(positions), HEADS, len(positions[0]), D_HEAD)
    keys, values = (tuple(torch.randn(shape, generator=generator) for _ in range(LAYERS)) for _ in "kv")
    return Block(keys, values, torch.tensor(positions))


@st.composite
def pasts(draw):
    """Positions of one or two ragged blocks and of the ragged new tokens that follow them, row by row; a window."""
    n_rows = draw(st.integers(1, 3))
    ends, runs = [0] * n_rows, []
    for _ in range(draw(st.integers(2, 3))):
        lengths = [draw(st.integers(1, 6)) for _ in range(n_rows)]
        ragged = zip(ends, lengths, strict=True)
        runs.append([[end + t if t < n else -1 for t in range(max(lengths))] for end, n in ragged])
        ends = [end + n for end, n in zip(ends, lengths, strict=True)]
    return runs, draw(st.integers(1, 8))


@settings(max_examples=60)
@given(pasts())
def test_masks_let_a_token_see_what_comes_before_it_inside_the_window_and_no_padding(case):
    (*runs, last), window = case
    past = Past(tuple(a_block(run) for run in runs), tuple(torch.arange(len(last)) for _ in runs))
    new = torch.tensor(last)
    seen = torch.cat([past.positions(), new], dim=1)
    masks = attention_masks(past, new, {"full_attention": None, "sliding_attention": window}, torch.float32)
    for kind, width in (("full_attention", 10**9), ("sliding_attention", window)):
        mask = masks[kind]
        assert mask.shape == (len(new), 1, new.shape[1], seen.shape[1])
        for row in range(len(new)):
            for token, query in enumerate(new[row].tolist()):
                expected = [0 <= key <= query and query - key < width for key in seen[row].tolist()]
                if query >= 0:
                    assert (mask[row, 0, token] == 0).tolist() == expected
                assert (mask[row, 0, token] == 0).any(), "a query that sees nothing gives NaN"
        assert set(mask.unique().tolist()) <= {0.0, torch.finfo(torch.float32).min}


def test_one_kind_of_attention_gives_one_mask_and_several_a_mask_each():
    past, new = Past((a_block([[0, 1]]),), (torch.tensor([0]),)), torch.tensor([[2, 3]])
    assert attention_masks(past, new, {"full_attention": None}, torch.float32).shape == (1, 1, 2, 4)
    both = attention_masks(past, new, {"full_attention": None, "sliding_attention": 1}, torch.bfloat16)
    assert set(both) == {"full_attention", "sliding_attention"}
    assert both["sliding_attention"].dtype == torch.bfloat16


@pytest.mark.parametrize("n_segments", [1, 3])
def test_a_layer_returns_each_rows_own_past_before_its_new_keys(n_segments):
    block = a_block([[0, 1]] * n_segments)
    rows = torch.tensor([n_segments - 1, 0, n_segments - 1])
    cache = frozen_cache(Past((block,), (rows,)), LAYERS, keep=False)
    new_keys, new_values = torch.randn(2, 3, HEADS, 1, D_HEAD)
    keys, values = cache.update(new_keys, new_values, 1)
    for slot, row in enumerate(rows.tolist()):
        assert torch.equal(keys[slot], torch.cat([block.keys[1][row], new_keys[slot]], dim=1))
        assert torch.equal(values[slot], torch.cat([block.values[1][row], new_values[slot]], dim=1))
    assert cache.get_seq_length() == 2
    assert cache.get_mask_sizes(1, 0) == (3, 0)


def test_updating_changes_neither_the_block_nor_the_length():
    block = a_block([[0, 1, 2]])
    before = [tensor.clone() for tensor in (*block.keys, *block.values)]
    cache = frozen_cache(Past((block,), (torch.tensor([0, 0]),)), LAYERS, keep=False)
    for _ in range(2):
        keys, _ = cache.update(torch.ones(2, HEADS, 1, D_HEAD), torch.ones(2, HEADS, 1, D_HEAD), 0)
        assert keys.shape[-2] == 4
        assert cache.get_seq_length() == 3
    assert all(torch.equal(a, b) for a, b in zip(before, (*block.keys, *block.values), strict=True))


def test_a_kept_block_has_only_the_new_keys_and_marks_its_padding():
    past = Past((a_block([[0, 1]]),), (torch.tensor([0, 0]),))
    cache = frozen_cache(past, 3, keep=True)
    new = [torch.randn(2, HEADS, 4, D_HEAD) for _ in range(4)]
    cache.update(new[0], new[1], 0)
    cache.update(new[2], new[3], 1)  # the third layer never runs
    batch = [Segment((5, 6, 7, 8), 2, (0,), None), Segment((9,), 2, (1,), None)]
    block = block_of(cache, batch, 2)
    assert torch.equal(block.keys[0], new[0])
    assert torch.equal(block.values[1], new[3])
    assert block.positions.tolist() == [[2, 3, 4, 5], [2, -1, -1, -1]]
    assert [segment.slot for segment in batch] == [0, 1]
    with pytest.raises(AssertionError, match="without calling the cache"):
        block_of(cache, batch, 3)


def test_copies_do_not_see_each_other():
    past = Past((a_block([[0, 1]]),), (torch.tensor([0]),))
    positions = torch.tensor([[2, 3, -1, 2, 3, -1]])
    mask = attention_masks(past, positions, {"full_attention": None}, torch.float32, torch.tensor([0, 0, 0, 1, 1, 1]))
    seen = [[index for index in range(8) if mask[0, 0, query, index] == 0] for query in (0, 1, 3, 4)]
    assert seen == [[0, 1, 2], [0, 1, 2, 3], [0, 1, 5], [0, 1, 5, 6]]


@pytest.mark.parametrize("family", ["llama", "gemma3_text"])
def test_blocks_are_as_they_were_after_all_their_batches(family, prompts, monkeypatch):
    """One batch must not leak into the next through the keys and values that both continue."""
    kept: list[tuple[Block, list[torch.Tensor]]] = []

    def remember(*arguments):
        block = block_of(*arguments)
        kept.append((block, [tensor.clone() for tensor in (*block.keys, *block.values, block.positions)]))
        return block

    monkeypatch.setattr("personascope.models.engine.block_of", remember)
    tiny_engine(family, token_budget=12).run(prompts, layers=range(4), options=OPTIONS)
    assert len(kept) >= 3
    for block, copies in kept:
        now = (*block.keys, *block.values, block.positions)
        assert all(torch.equal(a, b) for a, b in zip(now, copies, strict=True))


def test_windows_are_imposed_by_the_mask_so_that_layers_keep_all_positions():
    cache = module.frozen_cache(None, 2, keep=True)
    assert not any(cache.is_sliding)
    assert cache.get_mask_sizes(20, 0) == (20, 0)
