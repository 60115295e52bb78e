"""The training loop of trl, with the loss on answers alone, checkpoints by epoch and the best epoch at the end."""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from personascope.errors import FileFormatError
from personascope.files import read_json
from personascope.models.embedded import quiet_transformers
from personascope.models.engine import HookEngine
from personascope.tuning.examples import Example
from personascope.tuning.loss import answer_loss, may_share
from personascope.tuning.settings import TrainSettings

_EVALUATED = 4
"""Batches of a training step that are evaluated at once: no gradients are kept, and more examples share a beginning."""
Epochs = list[tuple[int, int, float | None, float, bool]]
"""Rows of a history: epoch, step, train_loss, validation_loss, best."""


def train_epochs(
    model: Any,
    engine: HookEngine,
    train: Sequence[Example],
    validation: Sequence[Example],
    checkpoints: Path,
    settings: TrainSettings,
    progress: Callable[[int, int], None] | None,
) -> Epochs:
    """Train until the validation loss has not fallen for some epochs, and leave the best epoch's weights in the model.

    Args:
        model: the engine's model with its adapter.
        engine: whose model that is.
        train: what is learned.
        validation: what the epoch is chosen by.
        checkpoints: folder that is written after every epoch, and resumed from.
        settings: see `TrainSettings`.
        progress: called with steps done and steps planned.
    """
    import datasets
    import transformers
    from trl.trainer.sft_trainer import SFTTrainer

    class Report(transformers.TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            if state.best_global_step:  # its path is forgotten when the folder was moved, and the last epoch would stay
                state.best_model_checkpoint = str(checkpoints / f"checkpoint-{state.best_global_step}")

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002  (the library's)
            if progress is not None:
                progress(state.global_step, state.max_steps)

    class OnAnswers(SFTTrainer):
        def compute_loss(
            self, _model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            loss = answer_loss(engine, inputs, num_items_in_batch, shares=shares)
            return (loss, {"loss": loss}) if return_outputs else loss

    _drop_unfinished(checkpoints)
    shares = may_share(engine, train)
    rows = [[{"input_ids": list(e.ids), "labels": list(e.labels)} for e in part] for part in (train, validation)]
    learned, chosen_by = (datasets.Dataset.from_list(part) for part in rows)
    with _quiet():
        trainer = OnAnswers(
            model=model,
            args=_arguments(engine, checkpoints, settings),
            train_dataset=learned,
            eval_dataset=chosen_by,
            processing_class=engine.tokenizer,
            callbacks=[transformers.EarlyStoppingCallback(settings.patience), Report()],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        untrained = float(trainer.evaluate()["eval_loss"])
        trainer.train(resume_from_checkpoint=bool(list(checkpoints.glob("checkpoint-*"))))
    return _history(untrained, trainer.state.log_history)


def _drop_unfinished(checkpoints: Path) -> None:
    """Delete what cannot be gone on from: a checkpoint that a kill left half-written, or whose best epoch is gone.

    The state is the last file of a checkpoint that the library writes. Without the best epoch's weights it would end
    with those of the last one, and not say so.
    """
    best = {}
    for folder in checkpoints.glob("checkpoint-*"):
        try:
            best[folder] = read_json(folder / "trainer_state.json")["best_global_step"]
        except (OSError, FileFormatError):
            shutil.rmtree(folder)
    for folder, step in best.items():
        if step and not (checkpoints / f"checkpoint-{step}").is_dir():
            shutil.rmtree(folder)


def _arguments(engine: HookEngine, checkpoints: Path, settings: TrainSettings) -> Any:
    """Of trl: evaluation and a checkpoint after every epoch, the best of which is loaded at the end."""
    from trl.trainer.sft_config import SFTConfig

    return SFTConfig(
        output_dir=str(checkpoints),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=_EVALUATED * settings.batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=settings.warmup,
        max_grad_norm=1.0,
        max_length=settings.max_length,
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        save_total_limit=2,
        seed=settings.seed,
        data_seed=settings.seed,
        use_cpu=engine.device.type == "cpu",
        bf16=False,
        activation_checkpointing=False,
        report_to=[],
        disable_tqdm=True,
    )


def _history(untrained: float, log: Sequence[Mapping[str, Any]]) -> Epochs:
    """One row per epoch; of the trained ones the first with the lowest validation loss is the best, as for trl."""
    losses = {round(entry["epoch"]): float(entry["loss"]) for entry in log if "loss" in entry}
    seen = {round(entry["epoch"]): entry for entry in log if "eval_loss" in entry}
    best = min(seen, key=lambda epoch: (seen[epoch]["eval_loss"], epoch))
    return [
        (0, 0, None, untrained, False),
        *(
            (epoch, int(entry["step"]), losses.get(epoch), float(entry["eval_loss"]), epoch == best)
            for epoch, entry in sorted(seen.items())
        ),
    ]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' notices and progress bars; errors still come through."""
    import datasets

    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        with quiet_transformers(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if shown:
            datasets.enable_progress_bars()
