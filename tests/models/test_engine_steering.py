"""Interventions of `run` against a naive hook on whole prompts, and the model as it was afterwards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_models import (
    LOGPROB,
    OPTIONS,
    POSITIONS,
    RESIDUAL,
    apart,
    hooks_on,
    naive_run,
    offset,
    relative,
    tiny_engine,
)

from personascope.errors import SpanError
from personascope.models import reads
from personascope.models.intervention import Intervention

STEERED = {
    "at the answer": [Intervention(1, offset(1), "answer")],
    "everywhere": [Intervention(1, offset(2), "all")],
    "from inside a shared segment on": [Intervention(0, offset(3), "from:item")],
    "at a shared span, and back at another": [
        Intervention(2, offset(4), "mean:task_a"),
        Intervention(2, -offset(4), "mean:task_b"),
    ],
    "at several layers": [Intervention(0, offset(5), "first:persona"), Intervention(3, offset(6), "last:task_a")],
}


@pytest.mark.parametrize("name", STEERED)
@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2", "falcon", "qwen3_next"])
def test_steering_equals_a_naive_hook_on_the_whole_prompt(family, name, prompts):
    engine, some = tiny_engine(family), prompts[:8]
    found = engine.run(some, layers=range(4), positions=POSITIONS, options=OPTIONS, interventions=STEERED[name])
    residuals, chosen, _ = naive_run(engine.model, some, POSITIONS, STEERED[name])
    assert relative(found.residuals, residuals) < RESIDUAL
    assert apart(found.option_logprobs, chosen) < LOGPROB
    plain = engine.run(some, layers=range(4), positions=POSITIONS, options=OPTIONS)
    assert apart(plain.option_logprobs, chosen) > 1e-2, "the offset is too small to show"


def test_a_zero_offset_is_bit_for_bit_the_baseline(llama, prompts):
    zero = [Intervention(1, np.zeros(32, np.float32), "all")]
    plain = llama.run(prompts, layers=range(4), options=OPTIONS)
    steered = llama.run(prompts, layers=range(4), options=OPTIONS, interventions=zero)
    assert torch.equal(plain.residuals, steered.residuals)
    assert torch.equal(plain.option_logprobs, steered.option_logprobs)


@pytest.mark.parametrize("where", ["answer", "from:item", "all"])
def test_two_half_steps_equal_one_full_step(llama, prompts, where):
    full, half = Intervention(1, offset(8), where), Intervention(1, offset(8) / 2, where)
    one = llama.run(prompts, layers=range(4), options=OPTIONS, interventions=[full])
    two = llama.run(prompts, layers=range(4), options=OPTIONS, interventions=[half, half])
    assert relative(two.residuals, one.residuals) < RESIDUAL
    assert apart(two.option_logprobs, one.option_logprobs) < LOGPROB


def test_steering_the_last_layer_adds_to_the_final_residual(llama, prompts):
    added = offset(9)
    plain = llama.run(prompts, layers=[3], options=OPTIONS).residuals[:, 0, 0]
    steered = llama.run(prompts, layers=[3], options=OPTIONS, interventions=[Intervention(3, added, "answer")])
    by_hand = plain + torch.from_numpy(added)
    with torch.no_grad():
        logprobs = llama.model.lm_head(llama.model.model.norm(by_hand)).log_softmax(-1)
    assert torch.equal(steered.residuals[:, 0, 0], by_hand)
    assert apart(steered.option_logprobs[:, 0], logprobs[:, OPTIONS.token_ids[0][0]]) < LOGPROB


def test_interventions_of_the_engine_join_those_of_the_call_and_enter_the_fingerprint(llama, prompts):
    first, second = STEERED["at several layers"]
    both = llama.run(prompts, options=OPTIONS, interventions=[first, second]).option_logprobs
    plain = llama.fingerprint()
    llama.interventions = [first]
    assert torch.equal(llama.run(prompts, options=OPTIONS, interventions=[second]).option_logprobs, both)
    steered = llama.fingerprint()
    assert {key for key in steered if steered[key] != plain[key]} == {"steered"}


def test_hooks_are_gone_after_a_run(llama, prompts):
    llama.run(prompts, layers=[2], options=OPTIONS, interventions=STEERED["everywhere"])
    assert hooks_on(llama.model) == 0


def test_hooks_are_gone_after_an_error_inside_a_block(llama, prompts, monkeypatch):
    expected = llama.run(prompts, layers=[2]).residuals

    def broken(self, layer, hidden, gather):
        assert hooks_on(llama.model) > 0
        raise RuntimeError("disk on fire")

    with monkeypatch.context() as patch:
        patch.setattr(reads.Reads, "take", broken)
        with pytest.raises(RuntimeError, match="disk on fire"):
            llama.run(prompts, layers=[2])
    assert hooks_on(llama.model) == 0
    assert torch.equal(llama.run(prompts, layers=[2]).residuals, expected)


@pytest.mark.parametrize("kind", ["read", "steered"])
def test_a_missing_position_is_an_error_that_leaves_no_hooks(llama, prompts, kind):
    asked = (
        {"positions": ("mean:task_c",)}
        if kind == "read"
        else {"interventions": [Intervention(1, offset(1), "mean:task_c")]}
    )
    with pytest.raises(SpanError, match=r"task_c.*task_a|task_c.*task_b"):
        llama.run(prompts, layers=[1], **asked)
    assert hooks_on(llama.model) == 0
    assert llama.work.tokens == 0
