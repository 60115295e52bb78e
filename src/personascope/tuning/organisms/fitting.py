"""A part of an adapter is fitted by gradient: transformers' trainer over batches of questions, with a loss of ours."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from personascope.models.embedded import quiet_transformers
from personascope.tuning.organisms.questions import Draws, Question

Loss = Callable[[list[Question]], Tensor]
PER_POINT = 20
"""Steps that a point of the history is the mean of."""


def fit(
    model: Any,
    layers: Iterable[int],
    draws: Draws,
    loss: Loss,
    *,
    steps: int,
    learning_rate: float,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[tuple[int, float]]:
    """Fit the adapter's weights in some layers, the others held.

    Args:
        model: peft's model.
        layers: whose weights of the adapter may change.
        draws: where batches come from.
        loss: of one batch.
        steps: batches, each met once.
        learning_rate: peak.
        seed: of the batches.
        progress: called with steps done and steps planned.

    Returns:
        Steps done and the mean loss over the last `PER_POINT` of them.
    """
    import transformers

    class Fit(transformers.Trainer):
        def compute_loss(
            self, _model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            del return_outputs, num_items_in_batch
            return loss(inputs["questions"])

    class Report(transformers.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002  (the library's)
            if progress is not None:
                progress(state.global_step, state.max_steps)

    def collate(numbers: list[int]) -> dict[str, Any]:
        return {"questions": draws.batch(np.random.default_rng([seed, *numbers]))}

    free = {f".{layer}." for layer in layers}
    with tempfile.TemporaryDirectory() as folder, _trainable(model, free), _quiet():
        trainer = Fit(
            model=model,
            args=_arguments(folder, steps, learning_rate, seed),
            train_dataset=list(range(steps)),
            data_collator=collate,
            callbacks=[Report()],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    return [(int(entry["step"]), float(entry["loss"])) for entry in trainer.state.log_history if "loss" in entry]


def _arguments(folder: str, steps: int, learning_rate: float, seed: int) -> Any:
    import transformers

    return transformers.TrainingArguments(
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=1,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, steps // 10),
        max_grad_norm=1.0,
        weight_decay=0.0,
        adam_beta2=0.98,  # some hundred steps only
        logging_steps=PER_POINT,
        save_strategy="no",
        seed=seed,
        use_cpu=not torch.cuda.is_available(),
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=True,
    )


@contextlib.contextmanager
def _trainable(model: Any, within: set[str]) -> Any:
    """Only the adapter's weights in modules whose names contain one of `within` learn."""
    own = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    for name, weight in own.items():
        weight.requires_grad_(any(part in name for part in within))
    try:
        yield
    finally:
        for weight in own.values():
            weight.requires_grad_(True)


@contextlib.contextmanager
def _quiet() -> Any:
    with quiet_transformers(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
