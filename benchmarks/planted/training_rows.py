"""Training of a tiny model: on which tokens, from where, whether it learns, resumes, switches off, keeps the best."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest import mock

import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks.planted.lessons import REWORDED, accuracy, lesson, logits_of, loss_of, pupil, wrong
from benchmarks.records import Record, at_most, largest, smallest
from personascope.models.adapters import attached, switched
from personascope.models.engine import HookEngine
from personascope.tuning.examples import IGNORED, Example
from personascope.tuning.lora import fresh_lora
from personascope.tuning.settings import TrainSettings
from personascope.tuning.training import ADAPTER_FILE, Trained, train_adapter

HOW = TrainSettings(rank=16, dropout=0.0, learning_rate=8e-3, epochs=24, patience=24, batch_size=4, max_length=64)
FEW = replace(HOW, epochs=3, dropout=0.1)
MOST_SECONDS = 120.0


def rows() -> list[Record]:
    """All of them."""
    engine = pupil()
    taught, reworded = lesson(engine.tokenizer), lesson(engine.tokenizer, REWORDED)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        started = perf_counter()
        trained = train_adapter(engine, taught, reworded, place / "learned", HOW)
        seconds = perf_counter() - started
        return [
            *tokens(engine, taught, reworded, place / "tokens"),
            *from_the_base(engine, taught),
            *learned(engine, trained, taught, reworded, seconds),
            *switched_off(engine, trained, taught),
            *interrupted(engine, taught, reworded, place),
            *best_epoch(engine, taught, wrong(reworded), place / "best"),
        ]


def tokens(engine: HookEngine, taught: list[Example], validation: list[Example], folder: Path) -> list[Record]:
    """What the loss really falls on, read where the trainer takes its batches and where the loss is computed."""
    import transformers

    seen: dict[tuple[int, ...], str] = {}
    waiting: list[list[int]] = []
    astray = [0]
    prepare, cross_entropy = transformers.Trainer._prepare_inputs, torch.nn.functional.cross_entropy

    def looking(self: Any, inputs: Any) -> Any:
        for ids, labels in zip(inputs["input_ids"].tolist(), inputs["labels"].tolist(), strict=True):
            seen[tuple(ids)] = engine.tokenizer.decode([label for label in labels if label != IGNORED])
        waiting.append([label for label in inputs["labels"].flatten().tolist() if label != IGNORED])
        return prepare(self, inputs)

    def counting(logits: torch.Tensor, target: torch.Tensor, **how: Any) -> torch.Tensor:
        if waiting:  # before the first batch, sharing is tried
            astray[0] += waiting.pop() != target.tolist()
        return cross_entropy(logits, target, **how)

    with (
        mock.patch.object(transformers.Trainer, "_prepare_inputs", looking),
        mock.patch.object(torch.nn.functional, "cross_entropy", counting),
    ):
        train_adapter(engine, taught, validation, folder, replace(HOW, epochs=1))
    wanted = [*taught, *validation]
    texts = {ids[: len(e.ids)]: text for ids, text in seen.items() for e in wanted if ids[: len(e.ids)] == e.ids}
    mismatches = [texts.get(example.ids) != f"{example.answer} </s>" for example in wanted]
    return [
        largest("training: examples not taught their answer and nothing else", np.array([sum(mismatches)]), 0.0),
        largest("training: batches whose loss is on other tokens than their labels", np.array(astray, float), 0.0),
        smallest("  examples in those batches", np.array([len(seen)], float), float(len(wanted)), "else none is wrong"),
    ]


def from_the_base(engine: HookEngine, taught: list[Example]) -> list[Record]:
    """A fresh adapter beside the base."""
    base = logits_of(engine.model, taught)
    with fresh_lora(engine, HOW) as model:
        fresh = logits_of(model.eval(), taught)
    return [largest("training: logits moved by a fresh adapter", (fresh - base).abs().numpy(), 0.0, "bit for bit")]


def learned(
    engine: HookEngine, trained: Trained, taught: list[Example], reworded: list[Example], seconds: float
) -> list[Record]:
    """Sixteen answers by heart, and how long that took."""
    before = accuracy(engine, taught)
    with attached(engine, trained.folder):
        after = [accuracy(engine, part) for part in (taught, reworded)]
    note = f"{len(taught)} statements, five labels"
    return [
        smallest("training: taught labels known", np.array(after[:1]), 0.95, note),
        smallest("  in other words", np.array(after[1:]), 0.5, "above chance, .2; 13 to 15 of 16 by order of examples"),
        largest("  before training", np.array([before]), 0.5),
        at_most("training: seconds", np.array([seconds]), MOST_SECONDS, f"{HOW.epochs} epochs, imports of trl too"),
    ]


def switched_off(engine: HookEngine, trained: Trained, taught: list[Example]) -> list[Record]:
    """The trained adapter off, and taken off, beside the base."""
    base = logits_of(engine.model, taught)
    with attached(engine, trained.folder):
        on = logits_of(engine.model, taught)
        with switched(engine):
            off = logits_of(engine.model, taught)
    gone = logits_of(engine.model, taught)
    moved = np.array([float((on - base).abs().max())])
    differences = torch.cat([off - base, gone - base]).abs().numpy()
    return [
        largest("trained adapter off, and taken off: logits moved", differences, 0.0, "bit for bit"),
        smallest("  on", moved, 1.0, "else off says nothing"),
    ]


def interrupted(engine: HookEngine, taught: list[Example], reworded: list[Example], place: Path) -> list[Record]:
    """Stopped after an epoch, and within the next one, and gone on with."""
    whole = train_adapter(engine, taught, reworded, place / "whole", FEW)
    steps, differences = len(taught) // FEW.batch_size, []
    for at in (steps, steps + 2):
        stopped = [0]

        def stop(done: int, _: int, at: int = at, stopped: list[int] = stopped) -> None:
            stopped[0] = done
            if done == at + 1:  # the checkpoint of an epoch is written after its last step was told
                raise KeyboardInterrupt

        folder = place / f"stopped-{at}"
        try:
            train_adapter(engine, taught, reworded, folder, FEW, progress=stop)
        except KeyboardInterrupt:
            pass
        else:
            raise RuntimeError("training was not stopped")
        resumed = train_adapter(engine, taught, reworded, folder, FEW)
        ends = [load_file(one.folder / ADAPTER_FILE) for one in (whole, resumed)]
        differences += [float((ends[0][name] - ends[1][name]).abs().max()) for name in ends[0]]
        differences.append(0.0 if resumed.history.equals(whole.history) else np.nan)
    ok = np.nan_to_num(np.array(differences), nan=np.inf)
    return [largest("training resumed: weights off the uninterrupted ones", ok, 0.0, "bit for bit, history too")]


def best_epoch(engine: HookEngine, taught: list[Example], contrary: list[Example], folder: Path) -> list[Record]:
    """With validation answers that contradict what is taught, the best epoch is an early one."""
    trained = train_adapter(engine, taught, contrary, folder, replace(HOW, epochs=16, patience=16))
    losses = trained.history["validation_loss"].to_list()
    with attached(engine, trained.folder):
        kept = loss_of(engine, contrary)
    off = np.array([abs(kept - min(losses[1:])) / min(losses[1:])])
    return [
        largest("best epoch: loss of what was kept off the lowest", off, 1e-4, f"epoch {trained.best_epoch} of 16"),
        smallest("  loss of the last epoch by the lowest", np.array([losses[-1] / min(losses[1:])]), 1.05),
    ]
