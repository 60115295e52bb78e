"""Out of memory: the batch is halved, the new size is remembered, and no row is lost or counted twice."""

from __future__ import annotations

import pytest
import torch
from tiny_models import LOGPROB, OPTIONS, POSITIONS, RESIDUAL, apart, blocks_of, offset, relative, tiny_engine

from personascope.errors import ModelError
from personascope.models.intervention import Intervention
from personascope.models.memory import is_out_of_memory
from personascope.models.sweep import sweep

CELLS = [
    (),
    *[
        (Intervention(layer, offset(layer + 9 * i), w),)
        for layer in (0, 2)
        for i in (1, 2)
        for w in ("answer", "from:item", "all")
    ],
]


def small_memory(engine, n_tokens, layer=2, error=torch.OutOfMemoryError):
    """A block that cannot take more than so many tokens at once, past included, as an allocator would say."""
    failures = []

    def allocate(_module, inputs):
        if inputs[0].shape[0] * inputs[0].shape[1] > n_tokens:
            failures.append(tuple(inputs[0].shape))
            raise error("CUDA out of memory. Tried to allocate 20.00 GiB")

    blocks_of(engine.model)[layer].register_forward_pre_hook(allocate)
    return failures


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, RuntimeError])
@pytest.mark.parametrize("n_tokens", [24, 40, 100])
def test_every_row_is_there_and_right_after_memory_ran_out(n_tokens, error, prompts):
    plain = tiny_engine("llama").run(prompts, layers=range(4), positions=POSITIONS, options=OPTIONS)
    engine = tiny_engine("llama")
    failures = small_memory(engine, n_tokens, error=error)
    with pytest.warns(UserWarning, match=r"ran out of memory on a batch of \d+; going on with \d+ tokens"):
        found = engine.run(prompts, layers=range(4), positions=POSITIONS, options=OPTIONS)
    assert failures
    assert relative(found.residuals, plain.residuals) < RESIDUAL
    assert apart(found.option_logprobs, plain.option_logprobs) < LOGPROB
    assert apart(found.other_logmass, plain.other_logmass) < LOGPROB


def test_the_width_that_failed_is_remembered(prompts):
    engine = tiny_engine("llama")
    failures = small_memory(engine, 40)
    with pytest.warns(UserWarning, match="ran out of memory"):
        engine.run(prompts, options=OPTIONS)
    assert len(failures) <= 6  # log2 of the asked budget over what fits
    assert engine.budget.tokens <= 40 < engine.budget.asked
    failures.clear()
    engine.run(prompts, options=OPTIONS)
    assert failures == []


@pytest.mark.parametrize("n_tokens", [24, 60, 150])
def test_sweeps_halve_their_cells_and_their_batches(n_tokens, prompts):
    plain = sweep(tiny_engine("llama"), prompts, CELLS, OPTIONS)
    engine = tiny_engine("llama")
    failures = small_memory(engine, n_tokens)
    with pytest.warns(UserWarning, match="ran out of memory"):
        found = sweep(engine, prompts, CELLS, OPTIONS)
    assert failures
    assert apart(found.option_logprobs, plain.option_logprobs) < LOGPROB
    assert apart(found.other_logmass, plain.other_logmass) < LOGPROB


def test_a_single_prompt_that_does_not_fit_is_an_error_with_its_row(prompts):
    engine = tiny_engine("llama", reuse_prefixes=False)
    small_memory(engine, 5)
    with (
        pytest.raises(ModelError, match=r"out of memory on \d+ tokens of a single prompt \(row \d+\)"),
        pytest.warns(UserWarning, match="ran out of memory"),
    ):
        engine.run(prompts, options=OPTIONS)


def test_other_errors_are_passed_on_at_once(prompts):
    engine = tiny_engine("llama")
    calls = []

    def fail(_module, _inputs):
        calls.append(1)
        raise RuntimeError("shapes cannot be multiplied")

    blocks_of(engine.model)[1].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        engine.run(prompts, options=OPTIONS)
    assert calls == [1]
    assert engine.budget.tokens == engine.budget.asked


def test_a_real_allocation_that_fails_on_the_cpu_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 55, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))
