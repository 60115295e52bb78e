"""A user's own calls, padded, cached and in pieces, are steered as whole passes over each row alone are by hand."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from own_passes import (
    KINDS,
    assert_by_hand,
    assert_written_by_hand,
    batch_of,
    by_hand,
    patched,
    some_prompts,
    steered,
    untied,
)
from tiny_models import hooks_on, offset, tiny_engine, tiny_model

from personascope.errors import ModelError, SpanError
from personascope.models.intervention import Intervention
from personascope.models.own_calls import BareModel

FAMILIES = ("llama", "gemma3_text", "gpt2", "qwen3_next")
NEW = 5
WRITE = {"max_new_tokens": NEW, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_kind_in_a_padded_call_is_what_it_is_to_each_row_alone(family, side):
    model, prompts = tiny_model(family), some_prompts()
    inputs = batch_of(prompts, side, more=2)  # tokens behind a prompt count as generated
    with torch.no_grad():
        plain = model(**inputs).logits
        for name, steps in {**KINDS, "patch": patched(prompts)}.items():
            with steered(model, steps, prompts):
                logits = model(**inputs).logits
            assert (logits - plain).abs().max() > 0.1, name
            assert_by_hand(logits, inputs, model, prompts, steps)
        assert torch.equal(model(**inputs).logits, plain)


@pytest.mark.parametrize("family", FAMILIES)
def test_cached_generation_is_that_of_whole_passes_at_every_step(family):
    model, prompts = untied(family), some_prompts()
    inputs = batch_of(prompts, "left")
    plain = model.generate(**inputs, **WRITE)
    for name, steps in {**KINDS, "patch": patched(prompts)}.items():
        with steered(model, steps, prompts[::-1] if name != "patch" else prompts):
            output = model.generate(**inputs, **WRITE)
        assert any((a - b).abs().max() > 0.1 for a, b in zip(output.logits, plain.logits, strict=True)), name
        assert_written_by_hand(output, inputs, model, prompts, steps)


WITHOUT_PROMPTS = ("answer", "project out", "keep norm", "prompt", "generation")


@pytest.mark.parametrize("settings", [{}, {"use_cache": False}, {"prefill_chunk_size": 4}], ids=str)
def test_without_prompts_the_prompt_is_what_generation_begins_with(settings):
    model, prompts = untied("llama"), some_prompts()
    inputs = batch_of(prompts, "left")
    for name in WITHOUT_PROMPTS:
        with steered(model, KINDS[name]):
            output = model.generate(**inputs, **WRITE, **settings)
        assert_written_by_hand(output, inputs, model, prompts, KINDS[name])


@pytest.mark.parametrize(
    "settings", [{"num_beams": 3, "num_return_sequences": 2}, {"num_return_sequences": 2}], ids=str
)
def test_beams_and_several_answers_repeat_each_prompt(settings):
    model, prompts = untied("llama"), some_prompts()
    inputs = batch_of(prompts, "left")
    sampled = {"do_sample": "num_beams" not in settings, "max_new_tokens": NEW}
    steps = [*KINDS["layers"], *patched(prompts)]
    with steered(model, steps, prompts):
        written = model.generate(**inputs, **sampled, **settings)
    repeated = [prompt for prompt in prompts for _ in range(2)]
    with torch.no_grad():
        for row, (sequence, prompt) in enumerate(zip(written, repeated, strict=True)):
            ids = [*prompt.ids, *sequence[inputs["input_ids"].shape[1] :].tolist()]
            alone = {"input_ids": torch.tensor([ids])}
            with steered(model, steps, prompts):
                again = model(**alone).logits[0]
            torch.testing.assert_close(again, by_hand(model, ids, prompt, steps, row // 2)[1], atol=2e-4, rtol=1e-4)
    if "num_beams" in settings:  # the best beam scores as the steered model says, and no worse than the greedy path
        with steered(model, steps, prompts):
            best = model.generate(
                **inputs, max_new_tokens=NEW, num_beams=3, output_scores=True, return_dict_in_generate=True
            )
        for row, prompt in enumerate(prompts):
            ids = [*prompt.ids, *best.sequences[row, inputs["input_ids"].shape[1] :].tolist()]
            logprobs = by_hand(model, ids, prompt, steps, row)[1].log_softmax(-1)[len(prompt) - 1 : -1]
            score = logprobs.gather(1, torch.tensor(ids[len(prompt) :])[:, None]).sum() / NEW
            torch.testing.assert_close(best.sequences_scores[row], score, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("inside", [True, False], ids=["read inside", "read outside"])
@pytest.mark.parametrize("name", ["onwards", "add", "answer", "layers", "patch"])
def test_a_cached_beginning_counts_from_the_beginning(name, inside):
    """The first tokens are read once, alone, and each prompt goes on from a copy of the cache."""
    model, base = untied("llama"), some_prompts()
    system = base[0].ids[:2]
    prompts = [type(one)((*system, *one.ids[2:]), one.text, one.spans) for one in base]
    steps = patched(prompts) if name == "patch" else KINDS[name]
    if not inside:
        steps = [one for one in steps if one.where != "mean:persona"]  # that is what was read
    found = []
    with torch.no_grad():
        outside = model(torch.tensor([system]), use_cache=True).past_key_values
        with steered(model, steps, prompts):
            begun = model(torch.tensor([system]), use_cache=True).past_key_values if inside else outside
            for prompt in prompts:
                cache = copy.deepcopy(begun)
                found.append(model.generate(torch.tensor([prompt.ids]), past_key_values=cache, **WRITE))
    for row, (prompt, output) in enumerate(zip(prompts, found, strict=True)):
        expected = by_hand(model, output.sequences[0].tolist(), prompt, steps, row)[1][len(prompt) - 1 : -1]
        torch.testing.assert_close(torch.cat(output.logits), expected, atol=2e-4, rtol=1e-4)


def test_a_loop_of_ones_own_is_steered_token_by_token():
    model, prompts = untied("llama"), some_prompts()
    for prompt in prompts:
        for name in WITHOUT_PROMPTS:
            ids, cache, found = list(prompt.ids), None, []
            with torch.no_grad(), steered(model, KINDS[name]):
                for _ in range(NEW):
                    fed = ids if cache is None else ids[-1:]
                    output = model(torch.tensor([fed]), past_key_values=cache, use_cache=True)
                    cache = output.past_key_values
                    found.append(output.logits[0, -1])
                    ids.append(int(found[-1].argmax()))
            expected = by_hand(model, ids, prompt, KINDS[name])[1][len(prompt) - 1 : -1]
            torch.testing.assert_close(torch.stack(found), expected, atol=2e-4, rtol=1e-4)


def test_the_decoder_may_be_called_without_its_head():
    model, (prompt, *_) = tiny_model("llama"), some_prompts()
    steps = KINDS["clamp"]
    with torch.no_grad(), steered(model, steps, [prompt]):
        hidden = model.model(torch.tensor([prompt.ids]), output_hidden_states=True).hidden_states
    expected, _ = by_hand(model, prompt.ids, prompt, steps)
    torch.testing.assert_close(torch.stack(hidden[1:-1])[:, 0], expected[:-1], atol=1e-4, rtol=1e-4)


def test_a_strength_of_zero_changes_no_bit():
    model, prompts = untied("gpt2"), some_prompts()
    inputs = batch_of(prompts, "left")
    plain = model.generate(**inputs, **WRITE)
    with steered(model, [Intervention(1, 0 * offset(1), "from:item")], prompts):
        output = model.generate(**inputs, **WRITE)
    assert torch.equal(torch.stack(output.logits), torch.stack(plain.logits))


def test_gradients_flow_through_what_is_added():
    model, (prompt, *_) = tiny_model("llama"), some_prompts()
    with steered(model, KINDS["keep norm"]):
        model(torch.tensor([prompt.ids])).logits.sum().backward()
    assert model.model.layers[0].mlp.up_proj.weight.grad.abs().max() > 0


def test_the_model_is_left_as_it_was_after_errors_of_any_kind():
    model, prompts = untied("llama"), some_prompts()
    inputs, before = batch_of(prompts, "left"), hooks_on(model)

    def assert_restored():
        assert hooks_on(model) == before and "generate" not in vars(model)

    with pytest.raises(RuntimeError, match="planted"), steered(model, KINDS["answer"]):
        raise RuntimeError("planted")
    assert_restored()
    with steered(model, KINDS["answer"]):
        for error in (RuntimeError, KeyboardInterrupt):
            broken = model.model.layers[2].register_forward_pre_hook(functools.partial(_fail, error))
            with pytest.raises(error, match="planted"):
                model(torch.tensor([[5, 6]]))
            broken.remove()
        logits = model(**inputs).logits.detach()  # the call that failed has left nothing behind
    assert_by_hand(logits, inputs, model, prompts, KINDS["answer"])
    assert_restored()
    with pytest.raises(SpanError), steered(model, [Intervention(1, offset(1), "last:nowhere")], prompts):
        model(**inputs)
    assert_restored()
    for wrong in (Intervention(4, offset(1), "answer"), Intervention(1, offset(1, width=3), "answer")):
        with pytest.raises(ModelError), steered(model, [wrong]):
            pass
        assert_restored()


def _fail(error, *_):
    raise error("planted")


def test_a_model_that_is_not_called_or_not_steered_is_an_error():
    model, prompts = tiny_model("llama"), some_prompts()
    with pytest.raises(ModelError, match="LlamaForCausalLM was never called"), steered(model, KINDS["answer"]):
        tiny_model("llama")(torch.tensor([[5, 6]]))
    idle = "Nothing was steered after block 1 at"
    with pytest.raises(ModelError, match=f"{idle} 'all', phase 'generation'"), steered(model, KINDS["generation"]):
        model(torch.tensor([[5, 6]]))
    with pytest.raises(ModelError, match=f"{idle} 'from:item'"), steered(model, KINDS["onwards"], prompts):
        model(torch.tensor([prompts[0].ids[:4]]))
    with pytest.raises(ModelError, match="never called"), steered(model, []):
        pass


def test_a_block_whose_hook_does_not_fire_is_an_error():
    model = tiny_model("llama")
    block = model.model.layers[2]
    with pytest.raises(ModelError, match=r"Block 2 .* did not call its hook"), steered(model, KINDS["answer"]):
        model.model.layers[2] = Skips(block)
        model(torch.tensor([[5, 6]]))


class Skips(torch.nn.Module):
    """Calls the forward of a block and not its hooks."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, *arguments, **keywords):
        return self.block.forward(*arguments, **keywords)


def test_blocks_and_engines_that_run_beside_the_models_own_calls_are_refused(prompts):
    engine = tiny_engine("llama")
    with pytest.raises(ModelError, match=r"A hook engine ran .*own calls"), steered(engine.model, KINDS["answer"]):
        engine.run(prompts, layers=[2])
    with pytest.raises(ModelError, match=r"Block 2 .* ran outside of a call"), steered(engine.model, KINDS["answer"]):
        engine.model.model.layers[2](torch.zeros(1, 2, 32), position_embeddings=(torch.ones(1, 2, 8),) * 2)
    with pytest.raises(ModelError, match="has an encoder"):
        BareModel(torch.nn.Module.__new__(EncoderDecoder))


class EncoderDecoder(torch.nn.Module):
    class config:  # noqa: N801  (as the library calls it)
        is_encoder_decoder = True
