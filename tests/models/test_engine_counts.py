"""What the engine computes, counted by hooks of our own: every shared token, block and logit once, nothing unasked."""

from __future__ import annotations

import pytest
from tiny_models import (
    OPTIONS,
    POSITIONS,
    blocks_of,
    offset,
    tiny_engine,
    tokens_named,
)

from personascope.models import tree
from personascope.models.intervention import Intervention
from personascope.prompts.prompt import Prompt


@pytest.fixture
def share_everything(monkeypatch):
    monkeypatch.setattr(tree, "MIN_SHARED_LENGTH", 1)
    monkeypatch.setattr(tree, "MIN_SAVED_TOKENS", 1)


def trie_edges(prompts: list[Prompt]) -> int:
    """Distinct beginnings of the prompts, their last tokens apart, plus one last token each."""
    return len({p.ids[:n] for p in prompts for n in range(1, len(p))}) + len(prompts)


def test_tokens_through_the_first_block_are_the_edges_of_the_trie(share_everything, prompts):
    engine = tiny_engine("llama", token_budget=1)  # one row a pass, so that no padding is counted
    passed: list[int] = []
    blocks_of(engine.model)[0].register_forward_hook(lambda _m, _i, out: passed.append(out.shape[0] * out.shape[1]))
    engine.run(prompts, layers=[3], options=OPTIONS)
    assert sum(passed) == trie_edges(prompts) == engine.work.tokens == engine.work.padded_tokens


@pytest.mark.parametrize("where", ["all", "mean:persona", "mean:task_b", "from:item"])
def test_steered_tokens_are_shared_among_rows_that_are_steered_alike(share_everything, prompts, where):
    engine = tiny_engine("llama", token_budget=1)
    engine.run(prompts, layers=[3], interventions=[Intervention(1, offset(1), where)])
    keys = {
        tuple((token, index in tokens_named(p, where)) for index, token in enumerate(p.ids[:n]))
        for p in prompts
        for n in range(1, len(p))
    }
    assert engine.work.tokens == len(keys) + len(prompts) < 0.8 * sum(map(len, prompts))


def test_real_and_padded_tokens_are_told_apart(share_everything, llama, prompts):
    passed: list[int] = []
    blocks_of(llama.model)[0].register_forward_hook(lambda _m, _i, out: passed.append(out.shape[0] * out.shape[1]))
    llama.run(prompts, layers=[0])
    assert llama.work.tokens == trie_edges(prompts)
    assert sum(passed) == llama.work.padded_tokens > llama.work.tokens


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_only_answers_are_unembedded_one_row_a_prompt(family, prompts):
    engine = tiny_engine(family)
    shapes: list[tuple[int, ...]] = []
    for module in (engine.anatomy.norm, engine.anatomy.head):
        module.register_forward_pre_hook(lambda _m, inputs: shapes.append(tuple(inputs[0].shape)))
    engine.run(prompts, layers=range(4), positions=POSITIONS, options=OPTIONS)
    assert all(len(shape) == 2 for shape in shapes), shapes
    assert sum(shape[0] for shape in shapes) == 2 * len(prompts)
    assert engine.work.head_rows == len(prompts)
    shapes.clear()
    engine.run(prompts, layers=range(4))
    assert shapes == []


def test_no_block_above_the_last_layer_asked_for_runs(llama, prompts):
    calls = [0] * 4
    for layer, block in enumerate(blocks_of(llama.model)):
        block.register_forward_hook(lambda _m, _i, _o, layer=layer: calls.__setitem__(layer, calls[layer] + 1))
    llama.run(prompts, layers=[1, 0])
    assert calls[0] == calls[1] > 0
    assert calls[2:] == [0, 0]
    assert llama.work.block_calls == sum(calls)


def test_nothing_runs_when_nothing_is_asked_for(llama, prompts):
    outputs = llama.run(prompts)
    assert llama.work.tokens == llama.work.block_calls == 0
    assert outputs.residuals.shape == (len(prompts), 0, 0, 32)
    assert outputs.option_logprobs.shape == (len(prompts), 0)


def test_no_prompts_give_no_rows(llama):
    outputs = llama.run([], layers=[0, 1], positions=("answer", "all"), options=OPTIONS)
    assert outputs.residuals.shape == (0, 2, 2, 32)
    assert outputs.option_logprobs.shape == (0, 3)
