"""A user's own calls of a TransformerLens bridge and of an nnsight model, against whole passes by hand."""

from __future__ import annotations

import pytest
import torch
from other_libraries import tiny_bridge, tiny_nnsight
from own_passes import KINDS, assert_by_hand, batch_of, by_hand, patched, some_prompts, untied
from tiny_models import hooks_on, offset, tiny_engine, tiny_model

from personascope.direction import Direction
from personascope.errors import ModelError
from personascope.models.adapt import as_backend
from personascope.models.own_calls import own_calls
from personascope.models.tiny import tiny_tokenizer
from personascope.steering.interventions import add
from personascope.steering.steer import steer

FAMILIES = ("llama", "gemma3_text", "gpt2")
NEW = 4


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)


def words(tokens):
    return " ".join(f"w{token}" for token in tokens)


def bridge_of(model):
    """A bridge over a model of one's own, which may be untied."""
    reason = "transformer-lens is not installed (pip install transformer-lens)"
    lens = pytest.importorskip("transformer_lens.model_bridge", reason=reason)
    name = f"tiny-{model.config.model_type}"
    return lens.TransformerBridge.boot_transformers(name, hf_model=model, tokenizer=tiny_tokenizer(), device="cpu")


# ---------------------------------------------------------------- TransformerLens


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bridge_shows_and_computes_what_is_done(family):
    bridge, model, prompts = tiny_bridge(family), tiny_model(family), some_prompts()
    for name, steps in {**KINDS, "patch": patched(prompts)}.items():
        if name == "generation":
            continue
        for row, prompt in enumerate(prompts[:2]):
            tokens, seen = torch.tensor([prompt.ids]), []
            read = [("blocks.2.hook_out", lambda hidden, hook, seen=seen: seen.append(hidden))]
            with own_calls(as_backend(bridge), [one for one in steps if one.phase != "generation"], prompts):
                logits, cache = bridge.run_with_cache(tokens)
                bridge.run_with_hooks(tokens, fwd_hooks=read)
            stream, expected = by_hand(model, prompt.ids, prompt, steps, row)
            close(logits[0], expected)
            close(seen[0][0], stream[2])
            close(torch.stack([cache[f"blocks.{layer}.hook_out"][0] for layer in range(4)]), stream)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("named", [True, False])
def test_texts_that_a_bridge_pads_itself(side, named):
    """Right-padded texts come without a mask."""
    bridge, model, prompts = tiny_bridge("llama"), tiny_model("llama"), some_prompts()
    texts = [words(prompt.ids) for prompt in prompts]
    for name in ("layers", "clamp") if named else ("answer", "keep norm"):
        steps = [one for one in KINDS[name] if one.phase != "generation"]
        with own_calls(as_backend(bridge), steps, prompts if named else None):
            logits = bridge(texts, prepend_bos=False, padding_side=side)
        width = logits.shape[1]
        for row, prompt in enumerate(prompts):
            start = width - len(prompt) if side == "left" else 0
            close(logits[row, start : start + len(prompt)], by_hand(model, prompt.ids, prompt, steps)[1])


@pytest.mark.parametrize("method", ["generate", "hf_generate", "generate_stream"])
@pytest.mark.parametrize("use_past_kv_cache", [True, False])
def test_what_a_bridge_writes_is_steered(method, use_past_kv_cache):
    model, prompts = untied("llama"), some_prompts()
    bridge = bridge_of(untied("llama"))
    for name in ("answer", "generation", "prompt", "project out"):
        prompt = prompts[1]
        settings = {"do_sample": False, "stop_at_eos": False, "use_past_kv_cache": use_past_kv_cache}
        if method != "hf_generate":
            settings["verbose"] = False
        with own_calls(as_backend(bridge), KINDS[name]):
            written = getattr(bridge, method)(
                torch.tensor([prompt.ids]), return_type="tokens", max_new_tokens=NEW, **settings
            )
            if method == "generate_stream":
                written = torch.cat(list(written), dim=1)
        ids = [*prompt.ids]
        for _ in range(NEW):
            ids.append(int(by_hand(model, ids, prompt, KINDS[name])[1][-1].argmax()))
        assert written[0, -NEW:].tolist() == ids[-NEW:], name


def test_a_bridge_that_stops_early_and_one_that_is_left_are_as_they_were():
    bridge, (prompt, *_) = tiny_bridge("llama"), some_prompts()
    tokens = torch.tensor([prompt.ids])
    plain, before = bridge(tokens), hooks_on(bridge)
    with own_calls(as_backend(bridge), KINDS["answer"]):
        stopped = bridge(tokens, stop_at_layer=3)
        whole = bridge(tokens)
    stream, logits = by_hand(tiny_model("llama"), prompt.ids, prompt, KINDS["answer"])
    close(stopped[0], stream[2])
    close(whole[0], logits)
    with pytest.raises(RuntimeError, match="planted"), own_calls(as_backend(bridge), KINDS["answer"]):
        bridge.run_with_hooks(tokens, fwd_hooks=[("blocks.1.hook_out", _fail)])
    with pytest.raises(ModelError, match="all of them ended below"), own_calls(as_backend(bridge), KINDS["answer"]):
        bridge(tokens, stop_at_layer=2)
    assert hooks_on(bridge) == before and not {"generate", "generate_stream"} & set(vars(bridge))
    assert torch.equal(bridge(tokens), plain)


def _fail(*_, **__):
    raise RuntimeError("planted")


# ---------------------------------------------------------------- nnsight


@pytest.mark.parametrize("family", [*FAMILIES, "falcon"])  # whose blocks return tuples
def test_a_trace_shows_and_computes_what_is_done(family):
    nnsight, model, prompts = tiny_nnsight(family), tiny_model(family), some_prompts()
    backend = as_backend(nnsight)
    inputs = batch_of(prompts, "left", more=2)
    blocks = nnsight.get(backend._layers_path)
    for steps in [*KINDS.values(), patched(prompts)]:
        with own_calls(backend, steps, prompts):
            with nnsight.trace(inputs):
                shown = [blocks[layer].output for layer in range(4)].save()
                logits = nnsight.output.logits.save()
            direct = nnsight._module(**inputs).logits
        assert_by_hand(logits.detach(), inputs, model, prompts, steps)
        close(direct, logits)
        real = inputs["attention_mask"][1].bool()
        stream, _ = by_hand(model, inputs["input_ids"][1, real].tolist(), prompts[1], steps, 1)
        found = [one[0] if isinstance(one, tuple) else one for one in shown]
        close(torch.stack(found)[:, 1, real].detach(), stream)


def test_what_an_nnsight_model_writes_and_each_invoke_are_steered():
    nnsight, model, prompts = tiny_nnsight("llama"), tiny_model("llama"), some_prompts()
    backend = as_backend(nnsight)
    first, second = (words(prompt.ids) for prompt in prompts[:2])
    settings = {"max_new_tokens": NEW, "do_sample": False, "eos_token_id": None}
    for name in ("answer", "generation", "prompt", "keep norm"):
        with own_calls(backend, KINDS[name]), nnsight.generate(first, **settings) as tracer:
            written = tracer.result.save()
        ids = [*prompts[0].ids]
        for _ in range(NEW):
            ids.append(int(by_hand(model, ids, prompts[0], KINDS[name])[1][-1].argmax()))
        assert written[0].tolist() == ids, name
    with own_calls(backend, KINDS["answer"]), nnsight.trace() as tracer:
        with tracer.invoke(first):
            mine = nnsight.output.logits.save()
        with tracer.invoke(second):
            other = nnsight.output.logits.save()
    for found, prompt in ((mine, prompts[0]), (other, prompts[1])):
        close(found[0, -len(prompt) :].detach(), by_hand(model, prompt.ids, prompt, KINDS["answer"])[1])


def test_sources_scans_and_early_stops_of_nnsight():
    nnsight, (prompt, *_) = tiny_nnsight("llama"), some_prompts()
    backend, ids = as_backend(nnsight), torch.tensor([prompt.ids])
    before = hooks_on(nnsight._module)
    steps, stream = KINDS["answer"], by_hand(tiny_model("llama"), prompt.ids, prompt, KINDS["answer"])[0]
    with own_calls(backend, steps):
        with nnsight.scan(ids):
            shape = nnsight.model.layers[2].output.shape.save()
        with nnsight.trace(ids) as tracer:
            nnsight.model.layers[2].source.self_mlp_0.output.save()
            stopped = nnsight.model.layers[2].output.save()
            tracer.stop()
    assert tuple(shape) == (1, len(prompt), 32)
    close(stopped[0].detach(), stream[2])
    with pytest.raises(Exception, match="planted"), own_calls(backend, steps):
        nnsight._module.model.layers[3].register_forward_pre_hook(_fail)
        nnsight._module(ids)
    nnsight._module.model.layers[3]._forward_pre_hooks.clear()
    layers = nnsight._module.model.layers
    assert hooks_on(nnsight._module) == before and not any("_hf_hook" in vars(block) for block in layers)


def test_a_hook_of_accelerate_goes_on_within():
    nnsight, (prompt, *_) = tiny_nnsight("llama"), some_prompts()
    backend, block, ids = as_backend(nnsight), nnsight._module.model.layers[2], torch.tensor([prompt.ids])

    class Doubles:
        def pre_forward(self, _module, *arguments, **keywords):
            return arguments, keywords

        def post_forward(self, _module, output):
            return 2 * output

    plain = vars(block)["_hf_hook"] = Doubles()
    with torch.no_grad(), own_calls(backend, KINDS["answer"]), nnsight.trace(ids):
        shown = nnsight.model.layers[2].output.save()
    assert vars(block)["_hf_hook"] is plain
    with torch.no_grad(), nnsight.trace(ids):
        doubled = nnsight.model.layers[2].output.save()
    doubled[0, -1] += torch.as_tensor(KINDS["answer"][0].offset)
    close(shown, doubled)


@pytest.mark.parametrize("make", [tiny_bridge, tiny_nnsight])
def test_a_run_of_the_adapter_is_not_steered_twice(make, prompts):
    backend = as_backend(make("llama"))
    alone = backend.run(prompts, layers=[3], interventions=KINDS["clamp"]).residuals
    with own_calls(backend, KINDS["clamp"]):
        assert torch.equal(backend.run(prompts, layers=[3], interventions=KINDS["clamp"]).residuals, alone)
        with pytest.raises(ModelError, match="has no layer 7"):
            backend.run(prompts, layers=[7])
        assert not backend.is_running


@pytest.mark.parametrize("make", [tiny_bridge, tiny_nnsight])
def test_steer_steers_ones_own_calls_and_the_adapters_runs_by_the_same(make):
    theirs, prompts, engine = make("llama"), some_prompts(), tiny_engine("llama")
    backend = as_backend(theirs)
    d = Direction(offset(4), 1, "answer", backend.name, reference_norm=9.0, means="nothing", fit="random")
    ids, (prompt, *_) = torch.tensor([prompts[0].ids]), prompts
    with steer(theirs, 0.5 * d, where="from:item", prompts=prompts) as steered:
        assert steered is backend
        logits = theirs(ids) if make is tiny_bridge else theirs._module(ids).logits
        found = steered.run(prompts, layers=[3]).residuals
    added = [add(0.5 * d, "from:item")]
    close(logits[0].detach(), by_hand(engine.model, prompt.ids, prompt, added)[1])
    close(found, engine.run(prompts, layers=[3], interventions=added).residuals)
    assert backend.interventions == []
    with pytest.raises(ModelError, match="was never called"), steer(theirs, 0.5 * d, where="answer"):
        pass
