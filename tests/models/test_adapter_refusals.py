"""Adapters that are refused, in what words; a refusal leaves the model as it was."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import peft
import pytest
import torch
from safetensors.torch import load_file
from tiny_adapters import change_config, change_tensors, full_engine, save_adapter
from tiny_models import WordTokenizer, hooks_on

from personascope.errors import ModelError
from personascope.models.adapter_files import CONFIG, WEIGHTS
from personascope.models.adapters import attach, attached
from personascope.models.engine import HookEngine
from personascope.models.hashes import weights_hash
from personascope.models.tiny import tiny_model

Q = "base_model.model.model.layers.1.self_attn.q_proj"


@pytest.fixture
def folder(tmp_path) -> Path:
    return save_adapter(tmp_path / "mine")


@pytest.fixture
def refused(llama) -> Callable[..., ModelError]:
    """A function that expects a refusal with a message, and the model as it was."""

    def expect(source: Path | str, message: str, engine=llama, **options: object) -> ModelError:
        before, parts = weights_hash(engine.model), list(engine.model.modules())
        with pytest.raises(ModelError, match=message) as caught:
            attach(engine, source, **options)
        assert engine.adapter is None
        assert weights_hash(engine.model) == before and hooks_on(engine.model) == 0
        assert all(a is b for a, b in zip(engine.model.modules(), parts, strict=True))
        assert all(parameter.requires_grad for parameter in engine.model.parameters())
        assert "adapter_state" not in engine.fingerprint() and not hasattr(engine.model, "peft_config")
        assert caught.value.fix
        return caught.value

    return expect


# ---------------------------------------------------------------- files


def test_without_peft_it_says_what_to_install(refused, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    assert refused(folder, "Adapters need the package peft").fix == "pip install peft"


@pytest.mark.parametrize("source", ["nowhere", "no/where/at/all", "/nowhere"])
def test_a_folder_that_is_not_there(refused, source):
    assert CONFIG in refused(source, f"No adapter folder at {source}").fix


def test_a_file_in_place_of_its_folder(refused, folder):
    refused(folder / CONFIG, r"No adapter folder at .*\ncause: It is a file")


@pytest.mark.parametrize("config", ["{oops", "[1]", "{}", '{"peft_type": 3}', None])
def test_a_config_that_is_absent_or_makes_no_sense(refused, folder, config):
    (folder / CONFIG).unlink() if config is None else (folder / CONFIG).write_text(config)
    refused(folder, f"The adapter 'mine' has no readable {CONFIG}")


class Canary:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_pickled_weights_are_never_opened(refused, folder, tmp_path):
    canary = tmp_path / "canary"
    (folder / WEIGHTS).unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Canary(canary)))
    refused(folder, rf"has no {WEIGHTS}.\ncause: Its weights are pickled")
    (folder / WEIGHTS).write_bytes(pickle.dumps(Canary(canary)))
    refused(folder, f"Cannot read {WEIGHTS} of the adapter 'mine'")
    assert not canary.exists()
    pickle.loads((folder / WEIGHTS).read_bytes())
    assert canary.exists(), "the canary must sing when it is let out"


def test_truncated_weights(refused, folder):
    file = folder / WEIGHTS
    file.write_bytes(file.read_bytes()[:-1])
    refused(folder, f"Cannot read {WEIGHTS}")


@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
def test_weights_that_are_not_finite(refused, folder, value):
    change_tensors(folder, lambda tensors: tensors[f"{Q}.lora_A.weight"][0, :1].fill_(value))
    refused(folder, rf"has NaN or infinity in 1 of its 24 parameters.\ncause: The first is {Q}.lora_A.weight")


# ---------------------------------------------------------------- kinds and settings


def test_learnt_prompts_would_move_positions(refused, tmp_path):
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    save_adapter(tmp_path / "soft", config=config)
    refused(tmp_path / "soft", r"'soft' is of the kind PROMPT_TUNING.\n.*tokens have other positions with it")


def test_a_kind_that_nobody_tried(refused, tmp_path):
    save_adapter(tmp_path / "vera", config=peft.VeraConfig(target_modules=["q_proj"], r=4))
    refused(tmp_path / "vera", r"'vera' is of the kind VERA.\ncause: These have been shown to switch off exactly: LORA")


def test_modules_that_were_trained_whole(refused, tmp_path):
    save_adapter(tmp_path / "whole", modules_to_save=["lm_head"])
    refused(tmp_path / "whole", r"'whole' sets `modules_to_save` and cannot be switched off exactly.\n.*whole modules")
    change_config(tmp_path / "whole", modules_to_save=None)
    refused(tmp_path / "whole", r"holds 1 weights in place of the base's own in tiny-llama.\n.*lm_head.weight")


def test_a_longer_vocabulary(refused, folder):
    more = {"base_model.model.model.embed_tokens.weight": torch.randn(99, 32)}
    change_tensors(folder, lambda tensors: tensors.update(more))
    refused(folder, r"in place of the base's own .*\n.*embed_tokens.weight: .* a longer vocabulary")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"trainable_token_indices": [3]}, "`trainable_token_indices`"),
        ({"layer_replication": [[0, 2], [1, 4]]}, "`layer_replication`"),
        ({"alora_invocation_tokens": [3, 4]}, "`alora_invocation_tokens`"),
        ({"megatron_config": {"a": 1}, "megatron_core": "this"}, "`megatron_config`"),
        ({"bias": "all"}, "`bias: all`"),
        ({"init_lora_weights": "pissa_niter_4"}, r"was initialised with 'pissa_niter_4'.*\n.*subtracts its start"),
        ({"init_lora_weights": "olora"}, r"was initialised with 'olora'"),
    ],
)
def test_settings_that_cannot_be_switched_off(refused, folder, entries, message):
    change_config(folder, **entries)
    refused(folder, f"The adapter 'mine' .*{message}")
    assert "this" not in sys.modules


def test_an_adapted_embedding(refused, tmp_path):
    save_adapter(tmp_path / "rows", target_modules=["embed_tokens"])
    refused(tmp_path / "rows", "'rows' adapts the embedding of tiny-llama")


# ---------------------------------------------------------------- what did not land


def test_modules_that_the_model_lacks(refused, tmp_path):
    save_adapter(tmp_path / "gpt", "gpt2")
    error = refused(tmp_path / "gpt", r"'gpt' does not fit tiny-llama.\n.*not found in the base model")
    assert "It was trained on" in error.fix


def test_some_modules_that_the_model_lacks(refused, folder):
    changed = {f"{Q}.lora_A.weight".replace("q_proj", "qqq_proj"): torch.randn(4, 32)}
    change_tensors(folder, lambda tensors: tensors.update(changed))
    refused(folder, r"did not land: 1 parameters have no place in tiny-llama.\n.*layers.1.self_attn.qqq_proj.lora_A")


def test_a_target_that_a_family_lacks_does_no_harm_where_nothing_was_trained_there(folder):
    change_config(folder, target_modules=["q_proj", "v_proj", "down_proj", "c_attn"])
    with attached(full_engine(), folder) as adapter:
        assert len(adapter.layers) == 12


def test_more_layers_than_the_model_has(refused, folder):
    short = HookEngine(tiny_model("llama", num_hidden_layers=3), WordTokenizer(), name="short")
    refused(folder, r"did not land: 6 parameters have no place in short.\n.*layers.3.mlp", engine=short)


def test_a_parameter_that_is_not_in_the_file(refused, folder):
    change_tensors(folder, lambda tensors: tensors.pop(f"{Q}.lora_B.weight"))
    refused(folder, rf"1 parameters that its settings ask for are not in its file.\n.*{Q}.lora_B.default.weight")


def test_a_file_without_parameters(refused, folder):
    change_tensors(folder, dict.clear)
    refused(folder, "24 parameters that its settings ask for are not in its file")


def test_another_width(refused, folder):
    wide = HookEngine(tiny_model("llama", hidden_size=64), WordTokenizer(), name="wide")
    error = refused(folder, r"'mine' does not fit wide.\n.*size mismatch", engine=wide)
    assert "load that model" in error.fix


def test_a_rank_that_the_config_does_not_say(refused, folder):
    change_config(folder, r=8)
    refused(folder, r"does not fit tiny-llama.\n.*size mismatch")


@pytest.mark.parametrize("entries", [{"r": -1}, {"r": "four"}, {"target_modules": ["mlp"]}, {"peft_type": "LOHA"}])
def test_settings_that_peft_cannot_follow(refused, folder, entries):
    change_config(folder, **entries)
    refused(folder, "'mine' (does not fit tiny-llama|holds 24 weights in place of the base's own)")


def test_weights_that_are_read_and_not_set(refused, folder, monkeypatch):
    own = peft.set_peft_model_state_dict

    def slipping(model, tensors, name):
        found = own(model, tensors, name)
        with torch.no_grad():
            model.get_submodule(Q).lora_A[name].weight[0, 0] += 1e-3
        return found

    monkeypatch.setattr(peft, "set_peft_model_state_dict", slipping)
    refused(folder, rf"1 parameters are not in the model what they are in the file.\n.*{Q}.lora_A.weight")


def test_a_base_that_is_changed_on_the_way(refused, folder, monkeypatch):
    class Changing(peft.PeftModel):
        def eval(self):
            self.get_base_model().model.layers[2].self_attn.o_proj = torch.nn.Linear(32, 32, bias=False)
            return super().eval()

    monkeypatch.setattr(peft, "PeftModel", Changing)
    refused(folder, r"'mine' cannot be switched off exactly.\n.*not what it was before")


# ---------------------------------------------------------------- adapters that do nothing yet


def test_a_fresh_adapter_only_where_it_is_meant(refused, llama, tmp_path, prompts):
    fresh = save_adapter(tmp_path / "fresh")
    change_tensors(fresh, lambda tensors: [t.zero_() for key, t in tensors.items() if ".lora_B" in key])
    refused(fresh, r"'fresh' changes nothing in tiny-llama.\ncause: All its lora_B are zero")
    base = llama.run(prompts[:2], layers=[0, 3]).residuals
    with attached(llama, fresh, may_be_fresh=True):
        assert torch.equal(llama.run(prompts[:2], layers=[0, 3]).residuals, base)


def test_an_effect_below_rounding_is_none(refused, tmp_path):
    faint = save_adapter(tmp_path / "faint")
    change_tensors(faint, lambda tensors: [t.mul_(1e-20) for t in tensors.values()])
    refused(faint, r"'faint' changes nothing .*\n.*the same with it and without")


# ---------------------------------------------------------------- the hub


def test_a_hub_name_is_read_from_the_cache_with_its_revision(refused, folder, tmp_path, monkeypatch):
    commit, cache = "a" * 40, tmp_path / "hub" / "models--mine--adapter"
    (cache / "snapshots").mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "trained").write_text(commit)
    folder.rename(cache / "snapshots" / commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    engine = full_engine()
    with attached(engine, "mine/adapter", revision="trained") as adapter:
        assert adapter.name == "mine/adapter"
        held = load_file(cache / "snapshots" / commit / WEIGHTS)[f"{Q}.lora_A.weight"]
        assert torch.equal(engine.model.model.layers[1].self_attn.q_proj.lora_A["default"].weight, held)
    refused("mine/adapter", "Cannot load the adapter 'mine/adapter'")
    refused("mine/adapter", "Cannot load the adapter", revision="b" * 40)


def test_what_it_was_trained_on_is_told_and_not_compared(folder):
    change_config(folder, base_model_name_or_path="somebody/else")
    with attached(full_engine(), folder) as adapter:
        assert adapter.trained_on == "somebody/else"
    assert repr(adapter) == f"Adapter('mine', LORA, {adapter.sha256[:12]}, 12 modules)"
