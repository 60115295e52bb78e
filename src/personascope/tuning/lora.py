"""A fresh LoRA adapter in a model for the time of a training: at first it changes nothing, and it leaves no trace."""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from personascope.errors import ModelError
from personascope.models.adapters import remember, require_peft
from personascope.models.engine import HookEngine
from personascope.models.hashes import adapter_state, weights_hash
from personascope.tuning.examples import Example
from personascope.tuning.settings import TrainSettings


def require_trainer() -> None:
    """Check that training is possible here; it is asked before a study's first row, not hours later.

    Raises:
        ModelError: peft, or a library of the extra `tune`, is not installed.
    """
    require_peft()
    missing = [name for name in ("trl", "datasets") if importlib.util.find_spec(name) is None]
    if missing:
        raise ModelError(
            f"Training needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed here.",
            "It is done by libraries that nothing else needs.",
            "Install them: pip install 'personascope[tune]'; in a clone -c constraints.txt -e '.[tune]'.",
        )


@contextlib.contextmanager
def fresh_lora(engine: HookEngine, settings: TrainSettings) -> Iterator[Any]:
    """The engine's model with a fresh adapter in every linear layer; on leaving, without it and as it was."""
    require_peft()
    import peft

    model = engine.model
    if engine.interventions:
        raise ModelError("The model is steered.", "Training would learn around the push.", "Leave `steer` first.")
    if adapter_state(model):
        raise ModelError("The model already carries an adapter.", "", "Train from the model without it, or merge it.")
    before, restore = weights_hash(model), remember(model)
    attributes = dict(vars(model))  # trl leaves a forward of its own there
    torch.manual_seed(settings.seed)
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=2 * settings.rank if settings.alpha is None else settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # between peft and transformers, not for users
            wrapped = peft.get_peft_model(model, config)
        yield wrapped
    finally:
        restore()
        vars(model).clear()
        vars(model).update(attributes)
        model.eval()
        if weights_hash(model) != before:
            raise ModelError("Training changed the model itself.", "Its weights differ from before.", "Report this.")


def require_no_effect(engine: HookEngine, model: Any, examples: Sequence[Example]) -> None:
    """A fresh adapter is a product with zeros: on and off must agree bit for bit."""
    model.eval()
    for example in examples:
        ids = torch.tensor([example.ids], device=engine.device)
        with torch.inference_mode():
            on = model(input_ids=ids, use_cache=False).logits
            with model.disable_adapter():
                off = model(input_ids=ids, use_cache=False).logits
        if not torch.equal(on, off):
            raise ModelError(
                f"A fresh adapter moves logits by up to {float((on - off).abs().max()):.3g}.",
                "Training would not start from the model that was asked.",
                "Use LoRA as peft initialises it by default.",
            )
