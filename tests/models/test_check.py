"""The load-time check is itself checked: every planted fault must be found, loudly."""

from __future__ import annotations

import copy
import dataclasses
import warnings

import pytest
import torch
from tiny_models import (
    FAMILIES,
    LOGPROB,
    OPTIONS,
    RESIDUAL,
    REUSING,
    apart,
    hooks_on,
    naive_run,
    offset,
    relative,
    tiny_engine,
)
from torch import nn

from personascope.errors import ModelError
from personascope.models.check import LIMITS, CheckLine, answer_format, self_check
from personascope.models.frozen_cache import FrozenLayer
from personascope.models.intervention import Intervention
from personascope.models.sweep import sweep


@pytest.fixture(autouse=True)
def _no_stray_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


@pytest.mark.parametrize("family", FAMILIES)
def test_sound_models_pass_every_line(family):
    engine = tiny_engine(family)
    lines = self_check(engine)
    assert all(line.ok for line in lines)
    assert [line.name for line in lines[:2]] == ["residuals equal hidden_states", "answers equal the model's logits"]
    assert len(lines) == (4 if family in REUSING else 2)
    assert (engine.reuse_off == "") == (engine.resume_off == "") == (family in REUSING)


@pytest.mark.parametrize("dtype", LIMITS)
def test_every_dtype_passes_within_its_limit(dtype):
    lines = self_check(tiny_engine("llama", dtype))
    assert [line.limit for line in lines] == [LIMITS[dtype]] * 4
    assert all(line.ok for line in lines)


def test_a_check_that_found_nan_is_not_ok():
    assert not CheckLine("residuals", float("nan"), 1.0).ok
    assert CheckLine("residuals", 0.5, 1.0).ok


def test_prefix_reuse_is_really_used_while_it_is_checked():
    """Otherwise the third line would compare a thing with itself."""
    engine = tiny_engine("gemma3_text")
    plans = []
    original = engine.plan

    def plan(*arguments, **keywords):
        plans.append(original(*arguments, **keywords))
        return plans[-1]

    engine.plan = plan
    self_check(engine)
    assert any(len(root.rows) > 1 and len(root.tokens) > 8 for roots in plans for root in roots)


# ---------------------------------------------------------------- faults in the anatomy


class Scaled(nn.Module):
    """A head whose logits are `factor` times too large."""

    def __init__(self, head: nn.Module, factor: float) -> None:
        super().__init__()
        self.head, self.factor = head, factor

    def forward(self, hidden):
        return self.factor * self.head(hidden)


def rotated(layers: nn.ModuleList) -> nn.ModuleList:
    return nn.ModuleList([*layers[1:], layers[0]])


FAULTS = {
    "blocks in reverse": lambda a: {"layers": nn.ModuleList(reversed(a.layers))},
    "blocks one off": lambda a: {"layers": rotated(a.layers)},
    "hook on the feed-forward part": lambda a: {"layers": nn.ModuleList(block.mlp for block in a.layers)},
    "hook on the attention": lambda a: {"layers": nn.ModuleList(block.self_attn for block in a.layers)},
    "last block read after the norm": lambda a: {"layers": nn.ModuleList([*a.layers[:-1], a.norm])},
    "no final norm": lambda a: {"norm": nn.Identity()},
    "another norm": lambda a: {"norm": a.layers[0].input_layernorm},
    "head scaled": lambda a: {"head": Scaled(a.head, 1.01)},
    "softcap left out or made up": lambda a: {"softcap": 5.0 if a.softcap is None else None},
    "logit scale": lambda a: {"logit_scale": 0.5},
}


@pytest.mark.parametrize("family", ["llama", "gemma2"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_part_in_the_wrong_place_is_refused(fault, family):
    engine = tiny_engine(family)
    engine.anatomy = dataclasses.replace(engine.anatomy, **FAULTS[fault](engine.anatomy))
    with pytest.raises(ModelError, match=r"fails the load-time check: (residuals|answers) equal"):
        self_check(engine)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(number):
    engine = tiny_engine("llama")
    with torch.no_grad():
        engine.model.model.layers[1].mlp.up_proj.weight[0, 0] = number
    with pytest.raises(ModelError, match="or its weights are not finite"):
        self_check(engine)


# ---------------------------------------------------------------- faults in the cache

INTACT = FrozenLayer.update


def forget(self, keys, values, *rest):
    """The past as zeros: right shapes, wrong numbers."""
    all_keys, all_values = INTACT(self, keys, values, *rest)
    if self._past is None:
        return all_keys, all_values
    past = all_keys.shape[-2] - keys.shape[-2]
    return tuple(
        torch.cat([torch.zeros_like(s[..., :past, :]), s[..., past:, :]], dim=-2) for s in (all_keys, all_values)
    )


def drop(self, keys, values, *_):
    """No past at all, so that shapes do not fit the mask."""
    if self._keep:
        self.new = (keys, values)
    return keys, values


@pytest.mark.parametrize("fault", [forget, drop], ids=["wrong numbers", "wrong shapes"])
@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2"])
def test_a_faulty_cache_switches_reuse_off_with_a_warning_and_results_are_right(family, fault, prompts, monkeypatch):
    monkeypatch.setattr(FrozenLayer, "update", fault)
    engine = tiny_engine(family)
    with pytest.warns(UserWarning, match=rf"tiny-{family}: shared prefixes change results .*computed whole"):
        lines = self_check(engine)
    assert [line.ok for line in lines] == [True, True, False, True]
    assert engine.reuse_off.startswith("self-check: ")
    assert engine.fingerprint()["prefix_reuse"].startswith("off: self-check: ")
    found = engine.run(prompts[:6], layers=range(4), options=OPTIONS)
    residuals, chosen, _ = naive_run(engine.model, prompts[:6], ("answer",))
    assert relative(found.residuals, residuals) < RESIDUAL
    assert apart(found.option_logprobs, chosen) < LOGPROB
    cell = (Intervention(1, offset(1), "from:item"),)
    swept = sweep(engine, prompts[:6], [(), cell], OPTIONS).option_logprobs
    assert apart(swept[:, 1], naive_run(engine.model, prompts[:6], ("answer",), cell)[1]) < LOGPROB


def test_reuse_that_the_user_switched_off_stays_off_and_is_not_blamed():
    engine = tiny_engine("llama", reuse_prefixes=False)
    lines = self_check(engine)
    assert engine.reuse_off == "switched off by the user"
    assert [line.name for line in lines][2:] == ["resuming from a layer equals a whole pass"]


def lose_masks(calls):
    """What blocks above are called with, without masks."""
    return {layer: (others, {**keywords, "attention_mask": None}) for layer, (others, keywords) in calls.items()}


def lose_everything(calls):
    return {layer: ((), {}) for layer in calls}


@pytest.mark.parametrize("fault", [lose_masks, lose_everything], ids=["wrong numbers", "an error"])
def test_a_faulty_resume_sweeps_cell_by_cell_with_a_warning_and_leaves_runs_alone(fault, prompts):
    engine = tiny_engine("llama")
    intact = engine.block_calls
    engine.block_calls = lambda *arguments: fault(intact(*arguments))
    with pytest.warns(UserWarning, match="sweeps that resume from a layer change results .*sweeps run once per cell"):
        lines = self_check(engine)
    assert [line.ok for line in lines] == [True, True, True, False]
    assert engine.reuse_off == ""
    swept = sweep(engine, prompts[:3], [()], OPTIONS).option_logprobs[:, 0]
    found = engine.run(prompts[:3], options=OPTIONS).option_logprobs
    assert apart(found, naive_run(engine.model, prompts[:3], ("answer",))[1]) < LOGPROB
    assert torch.equal(swept, found)


@pytest.mark.model
def test_the_answer_format_is_told_for_each_template_and_faults_are_named(smollm2):
    assert answer_format(smollm2) == [
        "likert-5-ascending: beginning of sequence not doubled; each of 1, 2, 3, 4, 5 is one token",
        "choice-ab: beginning of sequence not doubled; each of A, B is one token",
    ]
    broken = copy.copy(smollm2)
    broken.tokenizer = copy.deepcopy(smollm2.tokenizer)
    broken.tokenizer.chat_template = "{{ bos_token }}{{ bos_token }}" + smollm2.tokenizer.chat_template
    assert all("two beginning-of-sequence tokens" in line for line in answer_format(broken))


def test_the_check_leaves_no_hooks_of_its_own():
    """The library installs its own when hidden states are first asked for; a second check must add none."""
    engine = tiny_engine("llama")
    self_check(engine)
    before = hooks_on(engine.model)
    self_check(engine)
    assert hooks_on(engine.model) == before
