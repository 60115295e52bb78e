"""Sweeps resume from a layer: the same answers as steering one cell at a time, for a fraction of the block calls."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from tiny_models import (
    LOGPROB,
    OPTIONS,
    REUSING,
    apart,
    blocks_of,
    hooks_on,
    naive,
    naive_run,
    offset,
    tiny_engine,
    tokens_named,
)

from personascope.errors import ModelError, SpanError
from personascope.models.intervention import Intervention
from personascope.models.sweep import sweep
from personascope.prompts.labels import Options

ZERO = np.zeros(32, np.float32)
CELLS = [
    (),
    (Intervention(0, offset(1), "answer"),),
    (Intervention(1, offset(2), "from:item"),),
    (Intervention(1, -offset(2), "from:item"),),
    (Intervention(2, offset(3), "mean:task_a"), Intervention(2, -offset(3), "mean:task_b")),
    (Intervention(2, ZERO, "mean:task_a"),),
    (Intervention(0, offset(4), "all"),),
    (Intervention(3, offset(5), "answer"),),
    (
        Intervention(0, offset(6), "from:item"),
        Intervention(2, offset(7), "answer"),
        Intervention(0, offset(8), "answer"),
    ),
]
"""One layer and several, positions, signs and stacked cells of one layer; cells 0 and 5 change nothing."""
LATE = [cell for cell in CELLS if not any(i.where == "all" for i in cell)]
"""Without the cell that steers everything, so that prefixes are shared and frozen."""


def one_by_one(engine, prompts, cells, options=OPTIONS):
    """The same cells with `run`, one after the other."""
    runs = [engine.run(prompts, options=options, interventions=cell) for cell in cells]
    return torch.stack([r.option_logprobs for r in runs], dim=1), torch.stack([r.other_logmass for r in runs], dim=1)


@pytest.mark.parametrize("cells", [CELLS, LATE], ids=["steered from the start", "steered late"])
@pytest.mark.parametrize("family", REUSING)
def test_every_cell_equals_a_naive_hook_on_the_whole_prompt(family, cells, prompts):
    engine, some = tiny_engine(family), prompts[:7]
    found = sweep(engine, some, cells, OPTIONS)
    for index, cell in enumerate(cells):
        _, chosen, others = naive_run(engine.model, some, ("answer",), cell)
        assert apart(found.option_logprobs[:, index], chosen) < LOGPROB
        assert apart(found.other_logmass[:, index], others) < LOGPROB
    moved = (found.option_logprobs - found.option_logprobs[:, :1]).abs().amax(dim=(0, 2))
    assert all((moved > 1e-2) == any(np.any(i.offset) for i in cell) for moved, cell in zip(moved, cells, strict=True))


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2", "gpt_neox"])
def test_a_sweep_equals_one_run_per_cell(family, prompts):
    engine = tiny_engine(family)
    found = sweep(engine, prompts, CELLS, OPTIONS)
    chosen, others = one_by_one(engine, prompts, CELLS)
    assert apart(found.option_logprobs, chosen) < LOGPROB
    assert apart(found.other_logmass, others) < LOGPROB


@pytest.mark.parametrize("budget", [1, 25, 100_000])
@pytest.mark.parametrize("family", ["gemma3_text", "gpt2"])
def test_how_cells_are_stacked_does_not_matter(family, budget, prompts):
    found = sweep(tiny_engine(family, token_budget=budget), prompts, LATE, OPTIONS)
    chosen, _ = one_by_one(tiny_engine(family), prompts, LATE)
    assert apart(found.option_logprobs, chosen) < LOGPROB


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "gpt2"])
def test_a_single_prompt_is_swept_too(family, prompts):
    engine = tiny_engine(family)
    found = sweep(engine, prompts[:1], LATE, OPTIONS)
    assert apart(found.option_logprobs, one_by_one(engine, prompts[:1], LATE)[0]) < LOGPROB


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_sweep_without_prefix_reuse_is_the_same(family, prompts):
    shared, whole = tiny_engine(family), tiny_engine(family, reuse_prefixes=False)
    assert (
        apart(
            sweep(shared, prompts, LATE, OPTIONS).option_logprobs, sweep(whole, prompts, LATE, OPTIONS).option_logprobs
        )
        < LOGPROB
    )
    assert shared.work.tokens < 0.7 * whole.work.tokens


def test_the_unsteered_cell_is_the_baseline_wherever_it_stands(llama, prompts):
    found = sweep(llama, prompts, [LATE[1], (), LATE[2], ()], OPTIONS)
    plain = llama.run(prompts, options=OPTIONS)
    assert torch.equal(found.option_logprobs[:, 1], found.option_logprobs[:, 3])
    assert apart(found.option_logprobs[:, 1], plain.option_logprobs) < LOGPROB
    assert apart(found.other_logmass[:, 1], plain.other_logmass) < LOGPROB


def test_the_order_of_cells_does_not_matter(llama, prompts):
    order = np.random.default_rng(2).permutation(len(CELLS)).tolist()
    straight = sweep(llama, prompts, CELLS, OPTIONS).option_logprobs
    shuffled = sweep(llama, prompts, [CELLS[index] for index in order], OPTIONS).option_logprobs
    assert apart(shuffled, straight[:, order]) < LOGPROB


@pytest.mark.parametrize("where", ["answer", "from:item"])
@pytest.mark.parametrize("family", ["llama", "gemma3_text"])
def test_finite_differences_of_a_sweep_equal_the_gradient_of_the_library(family, where, prompts):
    engine, layer, vector = tiny_engine(family, torch.float64), 1, offset(11, size=0.3).astype(np.float64)
    step, some = 0.05, prompts[:3]
    cells = [(Intervention(layer, factor * step * vector, where),) for factor in (-2, -1, 1, 2)]
    low2, low, high, high2 = sweep(engine, some, cells, OPTIONS).option_logprobs.double().unbind(1)
    slopes = (low2 - 8 * low + 8 * high - high2) / (12 * step)
    gradients = torch.stack([library_gradient(engine.model, prompt, layer, vector, where) for prompt in some])
    assert gradients.abs().max() > 0.1
    assert apart(slopes, gradients) < 1e-4


def library_gradient(model, prompt, layer, vector, where):
    """d log p(option) / d coefficient at 0, shape (option,), by autograd through the whole prompt."""
    coefficient = torch.zeros((), dtype=torch.float64, requires_grad=True)
    mask = torch.zeros(len(prompt), 1, dtype=torch.float64)
    mask[tokens_named(prompt, where)] = 1

    def add(_module, _inputs, hidden):
        return hidden + coefficient * mask * torch.from_numpy(vector)

    handle = blocks_of(model)[layer].register_forward_hook(add)
    logprobs = model(input_ids=torch.tensor([prompt.ids])).logits[0, -1].log_softmax(-1)
    handle.remove()
    columns = [logprobs[list(tokens)].logsumexp(0) for tokens in OPTIONS.token_ids]
    return torch.stack([torch.autograd.grad(c, coefficient, retain_graph=True)[0] for c in columns])


# ---------------------------------------------------------------- counts


def counted(engine):
    """Calls of each block, by hooks of our own."""
    calls = [0] * 4

    def count(layer, *_):
        calls[layer] += 1

    for layer, block in enumerate(blocks_of(engine.model)):
        block.register_forward_hook(functools.partial(count, layer))
    return calls


UNMOVED = [(), (Intervention(3, offset(0), "answer"),)]
"""A cell that steers after the last block costs no block, but parts each prompt before its answer like the others."""


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_cell_costs_only_the_blocks_above_its_layer(family, prompts):
    """With one row and one cell a step; lower blocks run for the baseline alone."""
    engine = tiny_engine(family, token_budget=1)
    calls = counted(engine)
    sweep(engine, prompts, UNMOVED, OPTIONS)
    baseline = list(calls)
    assert len(set(baseline)) == 1
    layers = [0, 0, 1, 2, 2, 2, 3]
    calls[:] = [0] * 4
    sweep(engine, prompts, [(Intervention(layer, offset(layer), "answer"),) for layer in layers], OPTIONS)
    extra = [now - before for now, before in zip(calls, baseline, strict=True)]
    assert extra == [len(prompts) * sum(layer < block for layer in layers) for block in range(4)]
    assert sum(extra) == len(prompts) * sum(4 - 1 - layer for layer in layers)


@pytest.mark.parametrize("where", ["answer", "mean:task_b", "from:item"])
def test_the_whole_sweep_is_one_walk_up_the_stack(llama, prompts, where):
    """All layers and coefficients together call each block once more than the unsteered pass does."""
    unmoved = [(), (Intervention(3, offset(0), where),)]
    engine, calls = tiny_engine("llama", token_budget=1_000_000), counted(llama)
    calls = counted(engine)
    sweep(engine, prompts[:1], unmoved, OPTIONS)
    baseline = list(calls)
    calls[:] = [0] * 4
    engine.work.block_calls = 0
    sweep(
        engine,
        prompts[:1],
        [(Intervention(layer, offset(i), where),) for layer in (2, 0, 1) for i in range(3)],
        OPTIONS,
    )
    assert [now - before for now, before in zip(calls, baseline, strict=True)] == [0, 1, 1, 1]
    assert engine.work.block_calls == sum(calls)


@pytest.mark.parametrize("where", ["answer", "from:item", "all"])
def test_a_cell_recomputes_only_the_tokens_from_the_first_steered_one_on(llama, prompts, where):
    """Also of a prompt that shares nothing with any other."""
    shapes = []
    blocks_of(llama.model)[3].register_forward_hook(lambda _m, _i, output: shapes.append(tuple(output.shape[:2])))
    sweep(llama, prompts[:1], [(Intervention(1, offset(seed), where),) for seed in range(3)], OPTIONS)
    width = len(prompts[0]) - tokens_named(prompts[0], where)[0]
    assert shapes[-1] == ((1, 3) if where == "answer" else (3, width))  # short copies stand beside each other
    assert sum(tokens for _, tokens in shapes[:-1]) == len(prompts[0])


def test_a_steered_prefix_is_walked_once_per_cell_and_not_once_per_prompt(prompts):
    engine = tiny_engine("llama", token_budget=1_000_000)
    tokens = []
    blocks_of(engine.model)[3].register_forward_hook(lambda _m, _i, output: tokens.append(output[..., 0].numel()))
    cells = [(Intervention(layer, offset(layer), "all"),) for layer in (0, 1, 2)]
    found = sweep(engine, prompts, cells, OPTIONS)
    plain, steered = engine.work.padded_tokens, sum(tokens) - engine.work.padded_tokens
    assert steered == 3 * plain
    assert plain < 0.75 * sum(map(len, prompts))
    assert apart(found.option_logprobs, one_by_one(engine, prompts, cells)[0]) < LOGPROB


@pytest.mark.parametrize("budget", [1, 40, 200, 100_000])
def test_steered_prefixes_may_be_split_over_shares_of_the_cells(budget, prompts):
    cells = [
        (Intervention(layer, offset(7 * layer + i), w),)
        for layer in (0, 2)
        for i in (1, 2)
        for w in ("all", "mean:persona")
    ]
    cells.insert(3, ())
    found = sweep(tiny_engine("gemma3_text", token_budget=budget), prompts, cells, OPTIONS)
    chosen, others = one_by_one(tiny_engine("gemma3_text", reuse_prefixes=False), prompts, cells)
    assert apart(found.option_logprobs, chosen) < LOGPROB
    assert apart(found.other_logmass, others) < LOGPROB


def test_copies_beside_each_other_equal_copies_below_each_other(prompts, monkeypatch):
    cells = [(Intervention(i % 4, offset(i), "mean:task_b" if i % 3 else "answer"),) for i in range(30)]
    beside = {
        family: sweep(tiny_engine(family), prompts, cells, OPTIONS) for family in ("llama", "gemma3_text", "gpt2")
    }
    monkeypatch.setattr("personascope.models.sweep.MOST_TOKENS_BESIDE", 0)
    for family, found in beside.items():
        assert (
            apart(found.option_logprobs, sweep(tiny_engine(family), prompts, cells, OPTIONS).option_logprobs) < LOGPROB
        )


def test_a_sweep_sends_each_token_through_the_first_block_once(llama, prompts):
    llama.run(prompts, options=OPTIONS)
    plain = llama.work.tokens
    sweep(llama, prompts, [(Intervention(1, offset(seed), "answer"),) for seed in range(5)], OPTIONS)
    assert llama.work.tokens == 2 * plain


def test_one_row_is_unembedded_for_each_prompt_and_cell(llama, prompts):
    shapes = []
    llama.anatomy.head.register_forward_pre_hook(lambda _m, inputs: shapes.append(tuple(inputs[0].shape)))
    sweep(llama, prompts, LATE, OPTIONS)
    assert all(len(shape) == 2 for shape in shapes)
    assert sum(shape[0] for shape in shapes) == llama.work.head_rows == len(prompts) * len(LATE)


# ---------------------------------------------------------------- refusals


def test_hooks_are_gone_after_a_sweep_and_after_an_error(llama, prompts):
    sweep(llama, prompts, CELLS, OPTIONS)
    assert hooks_on(llama.model) == 0
    beyond = Options(("a",), ((10_000,),))
    with pytest.raises(IndexError):
        sweep(llama, prompts, CELLS, beyond)
    assert hooks_on(llama.model) == 0


def test_a_missing_position_is_refused(llama, prompts):
    with pytest.raises(SpanError, match="task_c"):
        sweep(llama, prompts, [(), (Intervention(1, offset(1), "mean:task_c"),)], OPTIONS)
    assert hooks_on(llama.model) == 0


def test_a_layer_or_width_that_does_not_fit_is_refused(llama, prompts):
    with pytest.raises(ModelError, match="no layer 4"):
        sweep(llama, prompts, [(Intervention(4, offset(1), "answer"),)], OPTIONS)
    with pytest.raises(ModelError, match=r"\(1,\)"):
        sweep(llama, prompts, [(Intervention(1, offset(1, width=1), "answer"),)], OPTIONS)


def test_a_recurrent_model_cannot_resume_so_its_cells_run_one_by_one(prompts):
    engine = tiny_engine("qwen3_next")
    assert "linear_attention" in engine.resume_off
    found = sweep(engine, prompts[:2], CELLS, OPTIONS)
    assert found.option_logprobs.shape == (2, len(CELLS), 3)
    for index, cell in enumerate(CELLS):
        expected = naive(engine.model, prompts[0], cell)[1][OPTIONS.token_ids[0][0]]
        assert abs(float(found.option_logprobs[0, index, 0] - expected)) < LOGPROB
    assert sweep(engine, prompts[:2], [], OPTIONS).option_logprobs.shape == (2, 0, 3)


def test_an_engine_that_is_being_steered_is_refused(llama, prompts):
    llama.interventions = [Intervention(1, offset(1), "answer")]
    with pytest.raises(ModelError, match="is being steered"):
        sweep(llama, prompts, CELLS, OPTIONS)


def test_the_longest_prompt_limit_holds_in_sweeps(llama, prompts):
    llama.max_length = 20
    with pytest.raises(ModelError, match="takes 1 to 20"):
        sweep(llama, prompts, CELLS, OPTIONS)
