"""Steering through the public context manager, on the embedded model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from personascope.direction import Direction
from personascope.errors import DirectionError, ModelError, SpanError
from personascope.instruments.items import load_items
from personascope.models.engine import HookEngine
from personascope.models.generation import generate
from personascope.prompts.labels import Options, resolve_options
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render
from personascope.prompts.templates import likert_template
from personascope.steering.interventions import add, clamp, project_out
from personascope.steering.steer import steer

pytestmark = pytest.mark.model
TEMPLATE = likert_template("ascending")


@pytest.fixture(scope="module")
def prompts(smollm2: HookEngine) -> list[Prompt]:
    slots = [{"framing": "Answer as you are.", "item": item.text} for item in load_items().items[:6]]
    return [render(smollm2.tokenizer, TEMPLATE, one) for one in slots]


@pytest.fixture(scope="module")
def options(smollm2: HookEngine) -> Options:
    return resolve_options(smollm2.tokenizer, TEMPLATE.answer_prefix, TEMPLATE.labels)


@pytest.fixture
def direction(smollm2: HookEngine) -> Direction:
    vector = np.random.default_rng(0).standard_normal(smollm2.d_model).astype(np.float32)
    return Direction(vector, 12, "eot", smollm2.name, reference_norm=100.0, means="nothing", fit="random")


def test_steering_equals_a_naive_hook_on_the_whole_prompt(
    smollm2: HookEngine, prompts: list[Prompt], options: Options, direction: Direction
) -> None:
    with steer(smollm2, 0.3 * direction, where="from:item"):
        ours = smollm2.run(prompts, options=options).option_logprobs
    assert (ours - smollm2.run(prompts, options=options).option_logprobs).abs().max() > 0.05
    for row, prompt in enumerate(prompts):
        tokens = list(resolve(prompt, "from:item"))

        def add(_module: object, _inputs: object, output: torch.Tensor, tokens: list[int] = tokens) -> torch.Tensor:
            output[:, tokens] += torch.tensor(0.3 * 100.0 * direction.vector)
            return output

        handle = smollm2.anatomy.layers[12].register_forward_hook(add)
        try:
            with torch.no_grad():
                logprobs = smollm2.model(torch.tensor([prompt.ids])).logits[0, -1].log_softmax(-1)
        finally:
            handle.remove()
        expected = torch.stack([logprobs[list(tokens)].logsumexp(0) for tokens in options.token_ids])
        assert torch.allclose(ours[row], expected, atol=2e-4)


def test_strength_zero_is_the_baseline_bit_for_bit(
    smollm2: HookEngine, prompts: list[Prompt], options: Options, direction: Direction
) -> None:
    baseline = smollm2.run(prompts, layers=[5, 29], options=options)
    with steer(smollm2, 0.0 * direction, where="from:item"):
        steered = smollm2.run(prompts, layers=[5, 29], options=options)
    assert torch.equal(baseline.option_logprobs, steered.option_logprobs)
    assert torch.equal(baseline.residuals, steered.residuals)


def test_two_half_steps_equal_one(
    smollm2: HookEngine, prompts: list[Prompt], options: Options, direction: Direction
) -> None:
    half, whole = 0.1 * direction, 0.2 * direction
    with steer(smollm2, half, where="answer"), steer(smollm2, half, where="answer"):
        twice = smollm2.run(prompts, options=options).option_logprobs
    with steer(smollm2, whole, where="answer"):
        once = smollm2.run(prompts, options=options).option_logprobs
    assert torch.allclose(twice, once, atol=1e-4)


def test_the_engine_is_restored_after_an_error(
    smollm2: HookEngine, prompts: list[Prompt], options: Options, direction: Direction
) -> None:
    # transformers keeps hooks of its own on the blocks once hidden states were asked for
    before = [dict(layer._forward_hooks) for layer in smollm2.anatomy.layers]
    with pytest.raises(SpanError), steer(smollm2, 0.1 * direction, where="mean:task_a"):
        smollm2.run(prompts, options=options)
    assert smollm2.interventions == []
    assert [dict(layer._forward_hooks) for layer in smollm2.anatomy.layers] == before


def test_a_direction_of_another_model_is_refused(smollm2: HookEngine, direction: Direction) -> None:
    other = dataclasses.replace(direction, model="gemma3-270m")
    with pytest.raises(DirectionError, match="cannot steer 'smollm2'"), steer(smollm2, other, where="answer"):
        pass


def test_interventions_and_directions_mix_and_act_in_the_order_given(
    smollm2: HookEngine, prompts: list[Prompt], options: Options, direction: Direction
) -> None:
    steps = (clamp(0.2 * direction, "from:item"), project_out(direction, "answer"))
    with steer(smollm2, *steps, 0.1 * direction, where="eot"):
        ours = smollm2.run(prompts, options=options).option_logprobs
    whole = (*steps, add(0.1 * direction, "eot"))
    expected = smollm2.run(prompts, options=options, interventions=whole).option_logprobs
    assert torch.equal(ours, expected)
    with steer(smollm2, *whole[::-1]):
        assert not torch.equal(smollm2.run(prompts, options=options).option_logprobs, expected)


def test_a_position_without_directions_and_directions_without_one_are_refused(
    smollm2: HookEngine, direction: Direction
) -> None:
    for steps, settings in [
        ((direction,), {}),
        ((direction,), {"phase": "prompt"}),
        ((add(direction, "answer"),), {"where": "answer"}),
        ((add(direction, "answer"),), {"phase": "prompt"}),
    ]:
        with pytest.raises(ModelError, match="steps are directions"), steer(smollm2, *steps, **settings):
            pass
    far = dataclasses.replace(direction, layer=30)
    with pytest.raises(ModelError, match="has no layer 30"), steer(smollm2, add(far, "answer")):
        pass


def test_a_bare_hugging_face_model_answers_as_the_engine_does(
    smollm2: HookEngine, prompts: list[Prompt], options: Options, direction: Direction
) -> None:
    """Left-padded, without the name of the model; and what it writes is what the engine writes."""
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + list(p.ids) for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    elsewhere = dataclasses.replace(0.3 * direction, model="whatever it was called")
    with torch.no_grad(), steer(smollm2.model, elsewhere, where="from:item", prompts=prompts[::-1]) as model:
        assert model is smollm2.model
        logprobs = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, -1].log_softmax(-1)
    found = torch.stack([logprobs[:, list(tokens)].logsumexp(1) for tokens in options.token_ids], dim=1)
    with steer(smollm2, 0.3 * direction, where="from:item"):
        assert torch.allclose(found, smollm2.run(prompts, options=options).option_logprobs, atol=2e-4)
        expected = generate(smollm2, prompts[:2], max_new_tokens=4, temperature=0, seed=0)
    for row, prompt in enumerate(prompts[:2]):
        with steer(smollm2.model, 0.3 * direction, where="from:item", prompts=prompts):
            written = smollm2.model.generate(torch.tensor([prompt.ids]), max_new_tokens=4, do_sample=False)
        text = smollm2.tokenizer.decode(written[0, len(prompt) :], skip_special_tokens=True)
        assert text == expected.texts[row][0]


def test_a_bare_model_of_another_width_or_with_an_encoder_is_refused(smollm2: HookEngine, direction: Direction) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    narrow = dataclasses.replace(direction, vector=direction.vector[:99])
    with pytest.raises(DirectionError, match="width 99"), steer(smollm2.model, narrow, where="answer"):
        pass
    far = dataclasses.replace(direction, layer=30)
    with pytest.raises(ModelError, match="has no layer 30"), steer(smollm2.model, far, where="answer"):
        pass
    both = T5ForConditionalGeneration(T5Config(d_model=16, d_ff=16, num_layers=1, num_heads=2, d_kv=8, vocab_size=30))
    with pytest.raises(ModelError, match="has an encoder"), steer(both, direction, where="answer"):
        pass
