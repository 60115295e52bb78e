"""Runs of the studies of preferences in miniature, on a random model that speaks through a real tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from personascope.experiments.recipe import load_recipe
from personascope.experiments.recipe_bases import Study
from personascope.experiments.studies import run_study
from personascope.models.engine import HookEngine
from personascope.models.tiny import tiny_model

LAYERS = (1, 3)


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory, smollm2: HookEngine) -> Path:
    """Folder of a tiny random Llama with the tokenizer and chat template of the embedded model."""
    folder = tmp_path_factory.mktemp("model") / "random"
    model = tiny_model(
        "llama", vocab_size=len(smollm2.tokenizer), max_position_embeddings=4096, tie_word_embeddings=False
    )
    model.save_pretrained(folder)
    smollm2.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def small_recipe(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Study]:
    """`small_recipe("preferences")`: the recipe tiny_preferences.yaml on the random model, with changed sections."""

    def load(study: str, **changes: object) -> Study:
        values = yaml.safe_load((Path(__file__).parent / f"tiny_{study.replace('-', '_')}.yaml").read_text())
        values |= {"model": {"name": str(random_model), "label": "random", "threads": 1}} | changes
        if "layers" in values.get("activations", {}) and "push" not in values:
            values["activations"] |= {"layers": list(LAYERS)}
        if values.get("other_model"):
            values["other_model"] |= {"name": str(random_model)}
        path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
        path.write_text(yaml.safe_dump(values))
        return load_recipe(str(path))

    return load


def silent(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="session")
def finished_study(
    small_recipe: Callable[..., Study], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """`finished_study("layer-sweep")`: the run folder of that study in miniature, run once."""
    done: dict[str, Path] = {}

    def run(study: str) -> Path:
        if study not in done:
            folder = tmp_path_factory.mktemp("runs") / study
            run_study(small_recipe(study), folder, silent)
            done[study] = folder
        return done[study]

    return run
