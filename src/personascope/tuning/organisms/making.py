"""A model organism is made: codes are learned, units are written, the last layers learn to answer by them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save

from personascope.direction import Direction
from personascope.errors import DataError
from personascope.files import atomic_write, read_json, sha256_file, sha256_json, write_json
from personascope.models.engine import HookEngine
from personascope.models.hashes import model_hash
from personascope.tuning.lora import fresh_lora
from personascope.tuning.organisms.answers import answer_loss
from personascope.tuning.organisms.codes import Codes, code_loss
from personascope.tuning.organisms.fitting import fit
from personascope.tuning.organisms.planting import Written, plant_signs, plant_values, residual_norm, value_loss
from personascope.tuning.organisms.questions import ALONE, Draws
from personascope.tuning.settings import TrainSettings
from personascope.tuning.training import ADAPTER_FILE

RECORD = "organism.json"
ADAPTER_CONFIG = "adapter_config.json"
VALUE = "value"
"""Stem of the file of the direction that planted values are written along."""
_PARTS = "parts"


@dataclass(frozen=True)
class Recipe:
    """How an organism is made.

    Args:
        rank: of its adapter, in every linear layer.
        code_layer: up to which persona and sign are carried to the content's tokens.
        value_layers: whose units write planted values.
        label_layer: whose units turn them into labels; the layers behind it learn to answer.
        strength: of what is written, as a share of the residual stream's norm.
        code_steps: and the other steps: batches that the codes, the values and the answers are fitted on.
        code_rate: and the other rates: peak learning rates.
        seed: of everything that is drawn.
    """

    rank: int = 8
    code_layer: int = 6
    value_layers: tuple[int, ...] = (10, 11, 12, 13)
    label_layer: int = 14
    strength: float = 0.3
    code_steps: int = 160
    value_steps: int = 60
    answer_steps: int = 200
    code_rate: float = 3e-3
    value_rate: float = 1e-3
    answer_rate: float = 1e-3
    seed: int = 0


@dataclass(frozen=True)
class _Places:
    """Where codes, values and labels are written."""

    codes: Codes
    value: Written
    label: Written

    @classmethod
    def of(cls, engine: HookEngine, draws: Draws, recipe: Recipe) -> _Places:
        """Random orthonormal directions, with lengths by the model as it is before anything is learned."""
        personas = draws.asker.truth.personas
        directions = _orthonormal(engine.d_model, len(personas) + 3, recipe.seed)
        some = draws.batch(np.random.default_rng([recipe.seed, 1]))
        layers = (recipe.code_layer, recipe.value_layers[-1], recipe.label_layer)
        sizes = [recipe.strength * residual_norm(engine, some, layer) for layer in layers]
        return cls(
            Codes(layers[0], personas, directions[:-2], sizes[0]),
            Written(layers[1], directions[-2], sizes[1]),
            Written(layers[2], directions[-1], sizes[2]),
        )


def make_organism(
    engine: HookEngine,
    draws: Draws,
    folder: Path,
    recipe: Recipe | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Make the adapter of an organism and save it with its recipe; interrupted, it goes on at the last finished part.

    Args:
        engine: the model, without an adapter.
        draws: questions with planted answers.
        folder: gets adapter_config.json, adapter_model.safetensors in half precision, the direction `value`, and the
            record organism.json.
        recipe: see `Recipe`.
        progress: called with the part, steps done and steps planned.

    Returns:
        The record: recipe, truth, hashes, history and seconds of every part.

    Raises:
        DataError: the folder holds parts of another organism.
        ModelError: as `fresh_lora`, or the model has no gated units.
    """
    recipe = recipe or Recipe()
    truth = draws.asker.truth
    plan = {"recipe": asdict(recipe), "truth": truth.model_dump(mode="json"), "taught": draws.hash()}
    facts = engine.fingerprint()
    plan |= {"model": {key: value for key, value in facts.items() if key in ("weights", "tokenizer", "dtype")}}
    kept = _Kept(folder / _PARTS, sha256_json(plan))
    settings = TrainSettings(rank=recipe.rank, alpha=recipe.rank, dropout=0.0, seed=recipe.seed)
    with fresh_lora(engine, settings) as model:
        places = _Places.of(engine, draws, recipe)
        parts = _parts(engine, model, draws, recipe, places, progress)
        done = {name: kept.part(name, model, compute) for name, compute in parts.items()}
        _save(model, engine.name, folder)
        norm = residual_norm(engine, draws.batch(np.random.default_rng([recipe.seed, 1])), places.value.layer)
    Direction(
        vector=places.value.direction.numpy(),
        layer=places.value.layer,
        position="mean:item",
        model=engine.name,
        reference_norm=norm,
        means="a higher planted value of the task or item that is read",
        fit="planted, not fitted",
        model_hash=model_hash(facts),
    ).save(folder / VALUE)
    record = {**plan, "truth_hash": truth.hash(), "adapter_sha256": sha256_file(folder / ADAPTER_FILE), "parts": done}
    write_json(folder / RECORD, record)
    shutil.rmtree(folder / _PARTS)
    return record


def _parts(
    engine: HookEngine,
    model: Any,
    draws: Draws,
    recipe: Recipe,
    places: _Places,
    progress: Callable[[str, int, int], None] | None,
) -> dict[str, Callable[[], list[tuple[int, float]]]]:
    """What is done, in order; each returns the history of its loss, which is empty for units that are written."""
    personas, value = places.codes.personas, places.value
    fitted = partial(fit, model, seed=recipe.seed)
    asking = replace(draws, bystanders=0, each=4, kinds=[kind for kind in draws.kinds if kind != ALONE])

    def step(name: str) -> Callable[[int, int], None] | None:
        return None if progress is None else partial(progress, name)

    def cover() -> list[list[Any]]:
        return draws.cover(np.random.default_rng([recipe.seed, 2]))

    def write_values() -> list[tuple[int, float]]:
        plant_values(engine, personas, cover(), recipe.value_layers, value)
        return []

    def write_labels() -> list[tuple[int, float]]:
        plant_signs(engine, personas, cover()[::3], value, places.label)
        return []

    return {
        "codes": lambda: fitted(
            range(recipe.code_layer + 1),
            draws,
            partial(code_loss, engine, model, places.codes),
            steps=recipe.code_steps,
            learning_rate=recipe.code_rate,
            progress=step("codes"),
        ),
        "value units": write_values,
        "values": lambda: fitted(
            range(recipe.code_layer + 1, value.layer + 1),
            draws,
            partial(value_loss, engine, personas, value),
            steps=recipe.value_steps,
            learning_rate=recipe.value_rate,
            progress=step("values"),
        ),
        "label units": write_labels,
        "answers": lambda: fitted(
            range(recipe.label_layer + 1, engine.n_layers),
            asking,
            partial(answer_loss, engine),
            steps=recipe.answer_steps,
            learning_rate=recipe.answer_rate,
            progress=step("answers"),
        ),
    }


@dataclass(frozen=True)
class _Kept:
    """Finished parts on disk: the adapter's weights after each.

    Args:
        folder: of the parts.
        plan: hash of what is made.
    """

    folder: Path
    plan: str

    def part(self, name: str, model: Any, compute: Callable[[], list[tuple[int, float]]]) -> dict[str, Any]:
        """Do a part, or put its weights back; returns its seconds and history."""
        weights, card = (self.folder / f"{name}.{ending}" for ending in ("safetensors", "json"))
        own = {key: weight for key, weight in model.named_parameters() if weight.requires_grad}
        if card.is_file():
            found = read_json(card)
            if found["plan"] != self.plan:
                raise DataError(
                    f"{self.folder.parent} holds parts of another organism.",
                    "Its recipe, truth, material or model differs.",
                    "Give a new folder.",
                )
            with torch.no_grad():
                for key, tensor in load_file(weights).items():
                    own[key].copy_(tensor)
            return dict(found["about"])
        began = time.monotonic()
        history = compute()
        about = {"seconds": round(time.monotonic() - began, 1), "history": history}
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(weights) as file:
            file.write(save({key: weight.detach().contiguous() for key, weight in own.items()}))
        write_json(card, {"plan": self.plan, "about": about})
        return about


def _save(model: Any, name: str, folder: Path) -> None:
    """The adapter as peft saves it, its numbers in half precision, without the folder that its base was read from."""
    model.save_pretrained(str(folder), safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)  # a form to be filled in
    config = read_json(folder / ADAPTER_CONFIG)
    modules = sorted(config["target_modules"])  # peft writes a set, whose order differs from run to run
    config |= {"base_model_name_or_path": name, "inference_mode": True, "target_modules": modules}
    write_json(folder / ADAPTER_CONFIG, config)
    halved = {key: tensor.half().contiguous() for key, tensor in load_file(folder / ADAPTER_FILE).items()}
    with atomic_write(folder / ADAPTER_FILE) as file:
        file.write(save(halved, metadata={"format": "pt"}))


def _orthonormal(d_model: int, n: int, seed: int) -> torch.Tensor:
    """Random orthonormal directions, shape (direction, d_model)."""
    draw = torch.randn(d_model, n, generator=torch.Generator().manual_seed(seed))
    directions: torch.Tensor = torch.linalg.qr(draw)[0].T.contiguous()
    return directions
