"""`load_model(..., adapter=)`, merged models, and folders in which an adapter lies beside a model."""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub
import peft
import pytest
import torch
from tiny_adapters import by_hand, change_config, everything, identical, reference, save_adapter, save_model
from tiny_models import LOGPROB, OPTIONS, RESIDUAL, apart, relative

from personascope.errors import ModelError
from personascope.models.adapters import switched
from personascope.models.load import load_model
from personascope.models.tiny import tiny_model


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "base", tiny_model("llama"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory) -> Path:
    return save_adapter(tmp_path_factory.mktemp("adapter") / "mine")


def test_a_model_loads_with_its_adapter_on(base, adapter, prompts):
    plain, tuned = load_model(str(base)), load_model(str(base), adapter=adapter)
    assert (tuned.reuse_off, tuned.resume_off, tuned.name) == ("", "", str(base))
    found, expected = everything(tuned, prompts, OPTIONS), reference(by_hand(adapter), prompts, OPTIONS)
    assert relative(found[0], expected[0]) < RESIDUAL and apart(found[1], expected[1]) < LOGPROB
    assert tuned.fingerprint()["weights"] == plain.fingerprint()["weights"]
    assert tuned.fingerprint()["adapter_state"].startswith("on ")
    with switched(tuned):
        assert identical(everything(tuned, prompts, OPTIONS), everything(plain, prompts, OPTIONS))


def test_the_check_at_load_is_of_the_model_with_the_adapter(base, adapter, monkeypatch):
    seen = []
    monkeypatch.setattr("personascope.models.load.self_check", lambda engine: seen.append(engine.adapter.is_on))
    load_model(str(base), adapter=str(adapter))
    assert seen == [True]


def test_a_model_of_another_dtype_takes_the_same_adapter(base, adapter):
    engine = load_model(str(base), dtype="bfloat16", adapter=adapter)
    assert engine.fingerprint()["dtype"] == "bfloat16"
    assert engine.adapter.sha256 == load_model(str(base), adapter=adapter).adapter.sha256


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_merged_model_is_a_folder_like_any_other(family, tmp_path, prompts):
    save_adapter(tmp_path / "adapter", family)
    merged = peft.PeftModel.from_pretrained(tiny_model(family), tmp_path / "adapter").merge_and_unload()
    save_model(tmp_path / "merged", merged)
    save_model(tmp_path / "base", tiny_model(family))
    beside = load_model(str(tmp_path / "base"), adapter=tmp_path / "adapter")
    within = load_model(str(tmp_path / "merged"))
    a, b = (everything(engine, prompts, OPTIONS) for engine in (beside, within))
    assert relative(a[0], b[0]) < RESIDUAL and apart(a[1], b[1]) < LOGPROB
    assert within.adapter is None and "adapter_state" not in within.fingerprint()
    assert within.fingerprint()["weights"] != beside.fingerprint()["weights"]


def test_an_adapter_that_does_not_land_stops_loading(base, adapter, tmp_path):
    shutil.copytree(adapter, tmp_path / "mine")
    change_config(tmp_path / "mine", r=8)
    with pytest.raises(ModelError, match="'mine' does not fit"):
        load_model(str(base), adapter=tmp_path / "mine")


# ---------------------------------------------------------------- transformers would put what it finds on the model


def test_an_adapters_folder_is_no_model(adapter):
    with pytest.raises(ModelError, match="mine holds an adapter, so it is not clear which weights") as caught:
        load_model(str(adapter))
    assert f"load_model(base, adapter={str(adapter)!r})" in caught.value.fix


def test_a_model_and_an_adapter_in_one_folder_are_told_apart_by_the_user(base, adapter, tmp_path):
    shutil.copytree(base, tmp_path / "both")
    shutil.copytree(adapter, tmp_path / "both", dirs_exist_ok=True)
    with pytest.raises(ModelError, match="both holds an adapter"):
        load_model(str(tmp_path / "both"))


def test_an_adapter_on_the_hub_is_no_model_either(base, adapter, tmp_path, monkeypatch):
    commit, cache = "a" * 40, tmp_path / "hub" / "models--mine--adapter"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text(commit)
    shutil.copytree(base, cache / "snapshots" / commit, ignore=shutil.ignore_patterns("config.json", "model.*"))
    shutil.copytree(adapter, cache / "snapshots" / commit, dirs_exist_ok=True)
    change_config(cache / "snapshots" / commit, base_model_name_or_path=str(base))
    for constant in ("huggingface_hub.constants.HF_HUB_CACHE", "transformers.utils.hub.TRANSFORMERS_CACHE"):
        monkeypatch.setattr(constant, str(tmp_path / "hub"), raising=False)
    assert Path(huggingface_hub.hf_hub_download("mine/adapter", "adapter_config.json")).is_file()
    with pytest.raises(ModelError, match="mine/adapter holds an adapter"):
        load_model("mine/adapter")
    assert isinstance(load_model(str(base), adapter="mine/adapter").adapter.n_parameters, int)


def test_without_an_adapter_nothing_is_added_to_the_fingerprint(base):
    assert not {"adapter", "adapter_state", "peft"} & load_model(str(base)).fingerprint().keys()
    assert torch.get_num_threads() == 1
