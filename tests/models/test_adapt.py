"""One call takes whatever model a user has in hand, and `collect` and `steer` take it too."""

from __future__ import annotations

import copy
import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch
from other_libraries import PLACES, assert_same, run_all, tiny_bridge, tiny_nnsight
from tiny_models import OPTIONS, apart, offset, relative, tiny_engine, tiny_model

from personascope.activations.collect import collect
from personascope.activations.plan import Plan, Row
from personascope.direction import Direction
from personascope.errors import DirectionError, ModelError, SpanError, StoreError
from personascope.models.adapt import as_backend
from personascope.models.backend import Backend
from personascope.models.nnsight_model import NnsightBackend
from personascope.models.transformer_lens import TransformerLensBackend
from personascope.steering.steer import steer

OTHERS = {"transformer_lens": tiny_bridge, "nnsight": tiny_nnsight}
ADAPTERS = {"transformer_lens": TransformerLensBackend, "nnsight": NnsightBackend}
EACH = pytest.mark.parametrize("library", OTHERS)


@EACH
def test_models_of_other_libraries_get_their_adapter_once(library):
    model = OTHERS[library]()
    backend = as_backend(model)
    assert type(backend) is ADAPTERS[library]
    assert as_backend(model) is backend
    assert as_backend(backend) is backend
    assert as_backend(OTHERS[library]()) is not backend


def test_an_edited_nnsight_model_is_not_taken_for_its_original(prompts):
    model = tiny_nnsight()
    backend = as_backend(model)
    with model.edit() as (_tracer, edited):  # a copy that carries what its original carries
        edited.model.layers[0].output = 2 * edited.model.layers[0].output
    assert as_backend(edited).wrapped is edited
    assert as_backend(model) is backend
    assert_same(run_all(backend, prompts), run_all(tiny_engine("llama"), prompts))
    assert relative(run_all(as_backend(edited), prompts).residuals, run_all(backend, prompts).residuals) > 0.1


@pytest.mark.filterwarnings("ignore:TransformerBridgeConfig is already bound")
def test_a_deep_copy_leaves_the_adapter_behind(prompts):
    bridge = tiny_bridge()
    backend = as_backend(bridge)
    twin = copy.deepcopy(bridge)
    with torch.no_grad():
        twin.original_model.model.layers[0].mlp.down_proj.weight.zero_()
    assert as_backend(twin) is not backend
    assert relative(run_all(as_backend(twin), prompts).residuals, run_all(backend, prompts).residuals) > 1e-3


def test_a_model_that_carries_its_adapter_can_still_be_sent_away(prompts):
    model = tiny_nnsight()
    here = run_all(as_backend(model), prompts)
    assert_same(run_all(NnsightBackend(model, remote="local"), prompts), here)


@EACH
def test_the_adapter_goes_when_the_model_goes(library):
    model = OTHERS[library]()
    backend = weakref.ref(as_backend(model))
    del model
    gc.collect()
    assert backend() is None


def test_a_backend_is_returned_as_it_is():
    engine = tiny_engine("llama")
    assert isinstance(engine, Backend)
    assert as_backend(engine) is engine


def test_a_bare_hugging_face_model_is_told_what_it_lacks():
    with pytest.raises(ModelError, match=r"(?s)bare LlamaForCausalLM.*HookEngine\(model, tokenizer, name=\.\.\.\)"):
        as_backend(tiny_model("llama"))


@pytest.mark.parametrize("thing", ["smollm2", None, 3, torch.nn.Linear(2, 2)])
def test_anything_else_is_refused_by_its_type(thing):
    with pytest.raises(ModelError, match=f"A {type(thing).__name__} is no model"):
        as_backend(thing)


def test_neither_library_is_imported_for_other_models():
    code = (
        "import sys\n"
        "import personascope.activations.collect, personascope.steering.steer, personascope.models.adapt\n"
        "from personascope.models.tiny import tiny_model, tiny_tokenizer\n"
        "from personascope.models.engine import HookEngine\n"
        "engine = HookEngine(tiny_model('llama'), tiny_tokenizer(), name='tiny')\n"
        "assert personascope.models.adapt.as_backend(engine) is engine\n"
        "print(sorted({'nnsight', 'transformer_lens'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_fingerprints_of_the_same_weights_differ_between_backends():
    prints = [as_backend(m).fingerprint() for m in (tiny_engine("llama"), tiny_bridge("llama"), tiny_nnsight("llama"))]
    assert [one["backend"] for one in prints] == ["hooks", "transformer_lens", "nnsight"]


# ---------------------------------------------------------------- steering


def direction(model: str, layer: int = 1, width: int = 32) -> Direction:
    return Direction(offset(4, width=width), layer, "answer", model, reference_norm=10.0, means="nothing", fit="random")


@EACH
@pytest.mark.parametrize("where", ["answer", "from:item", "mean:task_a"])
def test_steering_a_users_model_is_steering_the_engine(library, where, prompts):
    model, engine = OTHERS[library](), tiny_engine("llama")
    ours, theirs = (
        [0.5 * direction(name, 1), -0.3 * direction(name, 2)] for name in (engine.name, as_backend(model).name)
    )
    with steer(engine, *ours, where=where) as steered_engine:
        expected = run_all(steered_engine, prompts)
    assert apart(expected.option_logprobs, run_all(engine, prompts).option_logprobs) > 0.05
    with steer(model, *theirs, where=where) as backend:
        assert backend is as_backend(model)
        assert_same(run_all(backend, prompts), expected)
        assert backend.fingerprint()["steered"] != "no"
    assert backend.interventions == []
    assert_same(run_all(backend, prompts), run_all(engine, prompts))


@EACH
def test_steering_is_taken_back_after_an_error(library, prompts):
    model = OTHERS[library]()
    name = as_backend(model).name
    with pytest.raises(SpanError), steer(model, direction(name), where="last:nowhere") as backend:
        run_all(backend, prompts)
    assert as_backend(model).interventions == []
    with pytest.raises(DirectionError, match="cannot steer"), steer(model, direction("another"), where="answer"):
        pass
    with pytest.raises(DirectionError, match="width"), steer(model, direction(name, width=31), where="answer"):
        pass


def test_steering_no_model_is_refused():
    with pytest.raises(ModelError, match="A str is no model"), steer("smollm2", where="answer"):
        pass


# ---------------------------------------------------------------- collecting


def plan_for(backend: Backend, prompts) -> Plan:
    rows = tuple(Row(f"row {index}", prompt, {}) for index, prompt in enumerate(prompts))
    return Plan("tiny", rows, (0, 3), PLACES, OPTIONS, context=backend.fingerprint(), rows_per_shard=6)


@EACH
def test_collecting_from_a_users_model_gives_the_engines_numbers(library, prompts, tmp_path):
    model, engine = OTHERS[library](), tiny_engine("llama")
    found = collect(plan_for(as_backend(model), prompts), model, tmp_path / "theirs")
    expected = collect(plan_for(engine, prompts), engine, tmp_path / "ours")
    assert found.complete
    for layer in (0, 3):
        for position in PLACES:
            ours, theirs = expected.layer(layer, position), found.layer(layer, position)
            assert np.abs(theirs - ours).max() / np.abs(ours).max() < 1e-5
    assert np.abs(found.option_logprobs - expected.option_logprobs).max() < 5e-5


@EACH
def test_a_plan_of_another_backend_is_refused(library, prompts, tmp_path):
    with pytest.raises(StoreError, match="made for another backend"):
        collect(plan_for(tiny_engine("llama"), prompts), OTHERS[library](), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_collecting_from_no_model_is_refused(prompts, tmp_path):
    with pytest.raises(ModelError, match="A str is no model"):
        collect(plan_for(tiny_engine("llama"), prompts), "smollm2", tmp_path)
