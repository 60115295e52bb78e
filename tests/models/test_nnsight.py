"""An nnsight model, traced here or through serialisation, gives what the hook engine gives, and is left as it was."""

from __future__ import annotations

import dataclasses
import sys
import types

import pytest
import torch
from other_libraries import PLACES, STEERED, assert_same, block_calls, run_all, tiny_nnsight
from tiny_models import OPTIONS, hooks_on, naive_run, offset, relative, tiny_engine, tiny_model

from personascope.errors import ModelError, SpanError
from personascope.models.backend import Backend
from personascope.models.intervention import Intervention
from personascope.models.nnsight_model import NnsightBackend
from personascope.models.tiny import tiny_tokenizer

BOTH = pytest.mark.parametrize("interventions", [(), STEERED], ids=["plain", "steered"])


@pytest.fixture(scope="module")
def llama_nnsight():
    return NnsightBackend(tiny_nnsight("llama"), name="tiny-llama")


@BOTH
@pytest.mark.parametrize("remote", [None, "local"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "falcon"])
def test_rows_and_answers_are_those_of_hugging_face_and_of_the_engine(family, remote, interventions, prompts):
    found = run_all(NnsightBackend(tiny_nnsight(family), remote=remote), prompts, interventions)
    assert_same(found, naive_run(tiny_model(family), prompts, PLACES, interventions))
    assert_same(found, run_all(tiny_engine(family), prompts, interventions))


def test_a_model_wrapped_as_language_model_works_as_well(prompts):
    nnsight = pytest.importorskip("nnsight", reason="nnsight is not installed (pip install nnsight)")
    with pytest.warns(nnsight.NNsightDeprecationWarning):
        model = nnsight.LanguageModel(tiny_model("llama"), tokenizer=tiny_tokenizer())
    assert_same(run_all(NnsightBackend(model), prompts), run_all(tiny_engine("llama"), prompts))


def test_the_adapter_is_a_backend(llama_nnsight):
    assert isinstance(llama_nnsight, Backend)
    assert (llama_nnsight.name, llama_nnsight.n_layers, llama_nnsight.d_model) == ("tiny-llama", 4, 32)


def test_layers_come_in_the_order_asked_for(llama_nnsight, prompts):
    everything = llama_nnsight.run(prompts, layers=range(4)).residuals
    assert torch.equal(llama_nnsight.run(prompts, layers=(2, 0)).residuals, everything[:, [2, 0]])


def test_without_layers_or_options_nothing_runs_and_shapes_are_the_engines(prompts):
    model = tiny_nnsight("llama")
    calls = block_calls(model._module)
    found, expected = NnsightBackend(model).run(prompts), tiny_engine("llama").run(prompts)
    assert calls == []
    for field in dataclasses.fields(expected):
        assert getattr(found, field.name).shape == getattr(expected, field.name).shape


@pytest.mark.parametrize("remote", [None, "local"])
def test_the_trace_stops_after_the_last_block_needed(remote, prompts):
    model = tiny_nnsight("llama")
    calls = block_calls(model._module)
    NnsightBackend(model, remote=remote).run(prompts[:1], layers=[1], interventions=STEERED)  # one is above it
    assert calls == [0, 1]


def test_the_head_runs_on_the_last_token_only(prompts):
    model = tiny_nnsight("llama")
    widths = []
    model._module.lm_head.register_forward_pre_hook(lambda _m, inputs: widths.append(inputs[0].shape[1]))
    NnsightBackend(model).run(prompts, options=OPTIONS)
    assert set(widths) == {1}


def test_only_gathered_rows_leave_the_trace(prompts, monkeypatch):
    """Counted on what the adapter is handed: one row a position and layer, and no token more."""
    backend = NnsightBackend(tiny_nnsight("llama"))
    seen = []
    original = backend._forward
    monkeypatch.setattr(backend, "_forward", lambda batch: seen.append(original(batch)) or seen[-1])
    run_all(backend, prompts)
    rows = sum(one.residuals.shape[1] for one in seen)
    assert rows == len(prompts) * len(PLACES)
    n_tokens = sum(map(len, OPTIONS.token_ids))
    assert all(one.scores.shape[1] == n_tokens + 1 for one in seen)


def test_an_offset_of_zero_changes_no_bit(llama_nnsight, prompts):
    zero = (Intervention(1, 0 * offset(1), "from:item"),)
    steered, plain = run_all(llama_nnsight, prompts, zero), run_all(llama_nnsight, prompts)
    assert torch.equal(steered.residuals, plain.residuals)
    assert torch.equal(steered.option_logprobs, plain.option_logprobs)


def test_outputs_are_ordinary_tensors_in_the_models_type(prompts):
    found = run_all(NnsightBackend(tiny_nnsight("llama", torch.bfloat16)), prompts)
    assert found.residuals.dtype == torch.bfloat16 and found.option_logprobs.dtype == torch.float32
    expected = run_all(tiny_engine("llama", torch.bfloat16), prompts)
    assert relative(found.residuals, expected.residuals) < 5e-2
    found.residuals.zero_()


@pytest.mark.parametrize("remote", [None, "local"])
def test_the_model_is_left_as_it_was_after_a_run_and_after_an_error(remote, prompts):
    model = tiny_nnsight("llama")
    backend = NnsightBackend(model, remote=remote)
    before, path = hooks_on(model._module), list(sys.path)
    run_all(backend, prompts, STEERED)
    assert hooks_on(model._module) == before
    assert sys.path == path
    broken = model._module.model.layers[2].register_forward_pre_hook(_fail)
    with pytest.raises(Exception, match="planted"):
        run_all(backend, prompts, STEERED)
    broken.remove()
    assert hooks_on(model._module) == before
    assert_same(run_all(backend, prompts), run_all(tiny_engine("llama"), prompts))


def _fail(*_):
    raise RuntimeError("planted")


@pytest.mark.parametrize(
    ("request_of", "message"),
    [
        ({"layers": [4]}, "has no layer 4"),
        ({"layers": [1, 1]}, "stands twice"),
        ({"layers": [1], "interventions": (Intervention(1, offset(1)[:1], "answer"),)}, "cannot steer"),
    ],
)
def test_a_request_that_does_not_fit_is_refused(llama_nnsight, request_of, message, prompts):
    with pytest.raises(ModelError, match=message):
        llama_nnsight.run(prompts, **request_of)


def test_a_position_that_a_prompt_lacks_is_an_error(llama_nnsight, prompts):
    with pytest.raises(SpanError):
        llama_nnsight.run(prompts, layers=[0], positions=["eot"])


@pytest.mark.parametrize("remote", [True, "https://somewhere.invalid"])
def test_a_server_has_to_be_trusted_explicitly(remote):
    with pytest.raises(ModelError, match=r"(?s)lets a server run code.*weights_only=False.*trust_server=True"):
        NnsightBackend(tiny_nnsight("llama"), remote=remote)


def test_a_trusted_server_gets_the_trace_by_the_models_key(prompts, monkeypatch):
    """No server is in reach: what is looked at is that the trace is handed to nnsight's remote client."""
    from nnsight.intervention.backends.remote import RemoteBackend

    model = tiny_nnsight("llama")
    backend = NnsightBackend(model, name="tiny-llama", remote=True, trust_server=True)
    assert backend.fingerprint()["weights"].startswith("remote ")
    monkeypatch.setattr(type(model), "to_model_key", lambda _self: "the key")
    sent = []

    class SentError(Exception):
        pass

    def send(self, tracer=None):
        sent.append(self.model_key)
        raise SentError

    monkeypatch.setattr(RemoteBackend, "__call__", send)
    with pytest.raises(SentError):
        backend.run(prompts[:1], layers=[0])
    assert sent == ["the key"]


def test_a_model_on_vllm_is_refused_by_where_its_class_comes_from(monkeypatch):
    module = types.ModuleType("nnsight.modeling.vllm.vllm")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    kind = type("VLLM", (), {"__module__": module.__name__})
    with pytest.raises(ModelError, match="vLLM are not supported"):
        NnsightBackend(kind())


def test_an_nnsight_wrapper_without_a_language_model_is_refused():
    nnsight = pytest.importorskip("nnsight", reason="nnsight is not installed (pip install nnsight)")
    with pytest.raises(ModelError, match="NNsight is no language model"):
        NnsightBackend(nnsight.NNsight(torch.nn.Linear(2, 2)))


def test_the_fingerprint_knows_weights_library_settings_and_steering(llama_nnsight):
    own, engine = llama_nnsight.fingerprint(), tiny_engine("llama").fingerprint()
    assert own["backend"] == "nnsight" != engine["backend"]
    assert own["remote"] == "no" and own["steered"] == "no" and len(own["weights"]) == 64
    assert NnsightBackend(tiny_nnsight("llama"), name="tiny-llama").fingerprint() == own
    other = NnsightBackend(tiny_nnsight("llama"), name="tiny-llama", token_budget=99, remote="local")
    other.interventions = list(STEERED)
    with torch.no_grad():
        other.module.model.norm.weight[0] += 1
    changed = {name for name, value in other.fingerprint().items() if own[name] != value}
    assert changed == {"weights", "token_budget", "steered", "remote"}
