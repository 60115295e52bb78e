"""A TransformerLens bridge gives what the hook engine gives, layer by layer, and is left as it was."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from other_libraries import PLACES, STEERED, assert_same, block_calls, run_all, tiny_bridge
from tiny_models import OPTIONS, hooks_on, naive_run, offset, relative, tiny_engine, tiny_model

from personascope.errors import ModelError, SpanError
from personascope.models.backend import Backend
from personascope.models.intervention import Intervention
from personascope.models.transformer_lens import TransformerLensBackend

BOTH = pytest.mark.parametrize("interventions", [(), STEERED], ids=["plain", "steered"])


@pytest.fixture(scope="module")
def llama_lens():
    return TransformerLensBackend(tiny_bridge("llama"))


@BOTH
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "phi"])
def test_rows_and_answers_are_those_of_hugging_face_and_of_the_engine(family, interventions, prompts):
    found = run_all(TransformerLensBackend(tiny_bridge(family)), prompts, interventions)
    assert_same(found, naive_run(tiny_model(family), prompts, PLACES, interventions))
    assert_same(found, run_all(tiny_engine(family), prompts, interventions))


def test_the_adapter_is_a_backend(llama_lens):
    assert isinstance(llama_lens, Backend)
    assert (llama_lens.name, llama_lens.n_layers, llama_lens.d_model) == ("tiny-llama", 4, 32)


def test_layers_come_in_the_order_asked_for(llama_lens, prompts):
    everything = llama_lens.run(prompts, layers=range(4)).residuals
    assert torch.equal(llama_lens.run(prompts, layers=(2, 0)).residuals, everything[:, [2, 0]])


def test_without_layers_or_options_nothing_runs_and_shapes_are_the_engines(prompts):
    bridge = tiny_bridge("llama")
    calls = block_calls(bridge.original_model)
    found, expected = TransformerLensBackend(bridge).run(prompts), tiny_engine("llama").run(prompts)
    assert calls == []
    for field in dataclasses.fields(expected):
        assert getattr(found, field.name).shape == getattr(expected, field.name).shape
    assert torch.equal(found.other_logmass, expected.other_logmass)


def test_blocks_above_the_last_one_needed_do_not_run(prompts):
    bridge = tiny_bridge("llama")
    calls = block_calls(bridge.original_model)
    TransformerLensBackend(bridge).run(prompts[:1], layers=[1], interventions=STEERED)  # one is above it
    assert calls[:2] == [0, 1]
    # the library stops at the door of the next block, where this counter already stands
    assert len(calls) <= 3 and 3 not in calls


def test_the_head_runs_on_the_last_token_only(prompts):
    bridge = tiny_bridge("llama")
    widths = []
    bridge.original_model.lm_head.register_forward_pre_hook(lambda _m, inputs: widths.append(inputs[0].shape[1]))
    TransformerLensBackend(bridge).run(prompts, options=OPTIONS)
    assert set(widths) == {1}


def test_batches_hold_prompts_of_one_length_within_the_budget(prompts):
    bridge = tiny_bridge("llama")
    shapes = []
    bridge.original_model.model.register_forward_pre_hook(
        lambda _m, _i, keywords: shapes.append(tuple(keywords["input_ids"].shape)), with_kwargs=True
    )
    twice = [*prompts, *prompts]
    small = TransformerLensBackend(bridge, token_budget=80)
    found = small.run(twice, layers=[2], options=OPTIONS)
    assert sorted({length for _, length in shapes}) == sorted({len(prompt) for prompt in twice})
    assert sum(rows * length for rows, length in shapes) == sum(map(len, twice))
    assert all(rows == 1 or rows * length <= 80 for rows, length in shapes)
    assert max(rows for rows, _ in shapes) > 1
    assert relative(found.residuals, tiny_engine("llama").run(twice, layers=[2]).residuals) < 1e-5


def test_the_backends_own_interventions_come_before_those_of_the_run(prompts):
    backend = TransformerLensBackend(tiny_bridge("llama"))
    backend.interventions = list(STEERED[:1])
    found = run_all(backend, prompts, STEERED[1:])
    assert_same(found, naive_run(tiny_model("llama"), prompts, PLACES, STEERED))


def test_an_offset_of_zero_changes_no_bit(llama_lens, prompts):
    zero = (Intervention(1, 0 * offset(1), "from:item"),)
    steered, plain = run_all(llama_lens, prompts, zero), run_all(llama_lens, prompts)
    assert torch.equal(steered.residuals, plain.residuals)
    assert torch.equal(steered.option_logprobs, plain.option_logprobs)


def test_outputs_are_ordinary_tensors_in_the_models_type(prompts):
    backend = TransformerLensBackend(tiny_bridge("llama", torch.bfloat16))
    found = run_all(backend, prompts)
    assert found.residuals.dtype == torch.bfloat16 and found.option_logprobs.dtype == torch.float32
    assert not found.residuals.is_inference()
    expected = run_all(tiny_engine("llama", torch.bfloat16), prompts)
    assert relative(found.residuals, expected.residuals) < 5e-2
    found.residuals.zero_()  # as an inference tensor could not be


def test_the_bridge_is_left_as_it_was_after_a_run_and_after_an_error(prompts):
    bridge = tiny_bridge("llama")
    backend = TransformerLensBackend(bridge)
    run_all(backend, prompts[:1])  # the library wires its own hooks on the first pass
    before = hooks_on(bridge)
    run_all(backend, prompts, STEERED)
    assert hooks_on(bridge) == before
    broken = bridge.original_model.model.layers[2].register_forward_pre_hook(_fail)
    with pytest.raises(RuntimeError, match="planted"):
        run_all(backend, prompts, STEERED)
    broken.remove()
    assert hooks_on(bridge) == before
    assert_same(run_all(backend, prompts), run_all(tiny_engine("llama"), prompts))


def _fail(*_):
    raise RuntimeError("planted")


@pytest.mark.parametrize(
    ("request_of", "message"),
    [
        ({"layers": [4]}, "has no layer 4"),
        ({"layers": [-1]}, "has no layer -1"),
        ({"layers": [1, 1]}, "stands twice"),
        ({"layers": [1], "interventions": (Intervention(4, offset(1), "answer"),)}, "has no layer 4"),
        ({"layers": [1], "interventions": (Intervention(1, offset(1)[:1], "answer"),)}, "cannot steer"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_as_the_engine_refuses_it(llama_lens, request_of, message, prompts):
    for backend in (llama_lens, tiny_engine("llama")):
        with pytest.raises(ModelError, match=message):
            backend.run(prompts, **request_of)


def test_empty_and_too_long_prompts_are_refused(llama_lens, prompts):
    for ids in ((), (5,) * 129):
        bad = dataclasses.replace(prompts[0], ids=ids)
        with pytest.raises(ModelError, match=rf"Prompt 1 has {len(ids)} tokens; tiny-llama takes 1 to 128"):
            llama_lens.run([prompts[0], bad], layers=[0])


def test_a_position_that_a_prompt_lacks_is_an_error(llama_lens, prompts):
    with pytest.raises(SpanError):
        llama_lens.run(prompts, layers=[0], positions=["eot"])


def test_processed_weights_are_refused_whenever_they_were_processed(prompts):
    early, late = tiny_bridge("gpt2"), tiny_bridge("gpt2")
    early.enable_compatibility_mode()
    with pytest.raises(ModelError, match="weights of the bridge tiny-gpt2 were processed"):
        TransformerLensBackend(early)
    backend = TransformerLensBackend(late)
    plain = backend.run(prompts, layers=[3]).residuals
    late.enable_compatibility_mode()
    with pytest.raises(ModelError, match="were processed"):
        backend.run(prompts, layers=[3])
    # and they had to be: the stream is another one
    late._weights_processed = False
    assert relative(backend.run(prompts, layers=[3]).residuals, plain) > 1e-2


def test_compatibility_without_processing_reads_the_same(prompts):
    bridge = tiny_bridge("gpt2")
    bridge.enable_compatibility_mode(no_processing=True)
    assert_same(run_all(TransformerLensBackend(bridge), prompts), run_all(tiny_engine("gpt2"), prompts))


def test_a_bridge_in_training_mode_is_refused(prompts):
    bridge = tiny_bridge("gpt2")
    backend = TransformerLensBackend(bridge)
    bridge.train()
    with pytest.raises(ModelError, match="training mode"):
        backend.run(prompts, layers=[0])


def test_the_fingerprint_knows_weights_library_settings_and_steering(llama_lens):
    own, engine = llama_lens.fingerprint(), tiny_engine("llama").fingerprint()
    assert own["backend"] == "transformer_lens" != engine["backend"]
    assert own["attention"] == "eager" and own["steered"] == "no" and len(own["weights"]) == 64
    assert {"transformer_lens", "transformers", "torch", "threads", "tokenizer", "chat_template"} < set(own)
    assert TransformerLensBackend(tiny_bridge("llama")).fingerprint() == own
    other = TransformerLensBackend(tiny_bridge("llama"), token_budget=99)
    other.interventions = list(STEERED)
    with torch.no_grad():
        other.module.model.norm.weight[0] += 1
    changed = {name for name, value in other.fingerprint().items() if own[name] != value}
    assert changed == {"weights", "token_budget", "steered"}


def test_the_weights_are_hashed_once_and_again_when_they_change(monkeypatch):
    from personascope.models import hashes

    times = []
    original = hashes.weights_hash
    monkeypatch.setattr(hashes, "weights_hash", lambda model: times.append(1) or original(model))
    backend = TransformerLensBackend(tiny_bridge("llama"))
    assert times == []
    first = backend.fingerprint()["weights"]
    assert backend.fingerprint()["weights"] == first and len(times) == 1
    with torch.no_grad():
        backend.module.model.norm.weight.mul_(2)
    assert backend.fingerprint()["weights"] != first and len(times) == 2
