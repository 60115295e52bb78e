"""LoRA training by peft and trl: the best epoch by validation loss, resumable; the model is given back unchanged."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from personascope.errors import DataError
from personascope.files import read_json, sha256_file, write_json
from personascope.models.engine import HookEngine
from personascope.tuning.examples import Example, examples_hash, require_teachable
from personascope.tuning.lora import fresh_lora, require_no_effect, require_trainer
from personascope.tuning.settings import TrainSettings
from personascope.tuning.trainer import train_epochs

ADAPTER_FILE = "adapter_model.safetensors"
_RECORD = "training.json"
_CHECKPOINTS = "checkpoints"
_PROBED = 2
"""Examples on which a fresh adapter must change nothing."""


@dataclass(frozen=True)
class Trained:
    """A trained adapter.

    Args:
        folder: holds `adapter_config.json` and `adapter_model.safetensors`, readable by peft anywhere.
        history: one row per epoch from 0 (the untrained adapter): epoch, step, train_loss, validation_loss (nats per
            taught token), best.
        n_train: examples learned from.
        n_validation: examples that the epoch was chosen by.
        n_taught: tokens on which the loss fell, over the training examples.
    """

    folder: Path
    history: pl.DataFrame
    n_train: int
    n_validation: int
    n_taught: int

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights the folder holds: the trained one with the lowest validation loss."""
        return int(self.history.filter("best")["epoch"][0])

    @property
    def has_learned(self) -> bool:
        """Whether that loss is below the untrained one; if not, nothing of what was taught carries over."""
        return bool(self.history["validation_loss"].min() < self.history["validation_loss"][0])


def train_adapter(
    engine: HookEngine,
    train: Sequence[Example],
    validation: Sequence[Example],
    folder: Path,
    settings: TrainSettings | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Trained:
    """Train a LoRA adapter, keep the epoch with the lowest validation loss, and leave the engine's model as it was.

    The loss falls on the answers alone, and only there are logits computed. Interrupted, it goes on at the last
    finished epoch when called again with the same arguments; finished, it is read from the folder, or trained again
    when its weights were damaged there.

    Args:
        engine: the model, without an adapter.
        train: what is learned.
        validation: what the epoch is chosen by; no example of `train`.
        folder: of the adapter; made, or continued.
        settings: see `TrainSettings`.
        progress: called with steps done and steps planned.

    Raises:
        DataError: examples that cannot be taught (`require_teachable`), validation examples among the training ones, so
            few steps that all are warm-up, or a folder that was trained otherwise.
        ModelError: a library is missing (`require_trainer`), the model is steered or already carries an adapter, or a
            fresh adapter changes its answers.
    """
    settings = settings or TrainSettings()
    require_trainer()
    require_teachable(engine.tokenizer, train, settings.max_length)
    require_teachable(engine.tokenizer, validation, settings.max_length, "validation")
    shared = {example.ids for example in train} & {example.ids for example in validation}
    if shared:
        raise DataError(
            f"{len(shared)} validation examples are training examples too.",
            "The epoch would be chosen by what was learned by heart.",
            "Split by clusters of near copies (`split_items`).",
        )
    _require_steps(len(train), settings)
    plan = {
        "settings": asdict(settings),
        "train": examples_hash(train),
        "validation": examples_hash(validation),
        "model": {
            key: value for key, value in engine.fingerprint().items() if key in ("weights", "tokenizer", "dtype")
        },
    }
    known = _known(folder, plan)
    if known is not None:
        return known
    with fresh_lora(engine, settings) as model:
        require_no_effect(engine, model, [*train, *validation][:_PROBED])
        history = train_epochs(model, engine, train, validation, folder / _CHECKPOINTS, settings, progress)
        model.save_pretrained(str(folder), safe_serialization=True)
    record = {
        "plan": plan,
        "history": history,
        "n_train": len(train),
        "n_validation": len(validation),
        "n_taught": sum(len(example.taught) for example in train),
        "sha256": sha256_file(folder / ADAPTER_FILE),
    }
    write_json(folder / _RECORD, record)
    shutil.rmtree(folder / _CHECKPOINTS, ignore_errors=True)
    return _read(folder, record)


def _require_steps(n: int, settings: TrainSettings) -> None:
    """Warm-up begins at a learning rate of 0: a training of one step would change nothing."""
    steps = math.ceil(n / settings.batch_size) * settings.epochs
    if steps <= math.ceil(steps * settings.warmup):
        raise DataError(
            f"{n} examples in batches of {settings.batch_size} are {steps} step in {settings.epochs} epochs, all of it "
            "warm-up.",
            "The learning rate rises from 0, so nothing would be learned.",
            "Give more examples or epochs, a smaller batch_size, or warmup=0.",
        )


def _known(folder: Path, plan: dict[str, Any]) -> Trained | None:
    """A finished training in the folder; None when there is none, or its weights are not those that were written.

    A begun one is left to the trainer to continue.
    """
    for name in (_RECORD, "plan.json"):
        if not (folder / name).is_file():
            continue
        found = read_json(folder / name)
        before = found["plan"] if name == _RECORD else found
        differing = sorted(key for key in plan if before.get(key) != plan[key])
        if differing:
            raise DataError(
                f"{folder} was trained otherwise: {', '.join(differing)} differ.",
                "An adapter is of one model, one set of examples and one way of training.",
                "Choose another folder, or delete this one.",
            )
        adapter = folder / ADAPTER_FILE
        if name == _RECORD and adapter.is_file() and sha256_file(adapter) == found.get("sha256"):
            return _read(folder, found)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "plan.json", plan)
    return None


def _read(folder: Path, record: dict[str, Any]) -> Trained:
    history = pl.DataFrame(
        record["history"],
        schema={
            "epoch": pl.Int64,
            "step": pl.Int64,
            "train_loss": pl.Float64,
            "validation_loss": pl.Float64,
            "best": pl.Boolean,
        },
        orient="row",
    )
    return Trained(folder, history, record["n_train"], record["n_validation"], record["n_taught"])
