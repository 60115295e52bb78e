"""peft places an adapter beside a model's modules; then every parameter is held against the file it came from."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from personascope.errors import ModelError
from personascope.models.adapter_files import KINDS, MERGE, AdapterFile

_NAME = "default"
"""What peft calls an adapter that has no name of its own."""


def land(file: AdapterFile, model: nn.Module, name: str) -> tuple[Any, tuple[Any, ...]]:
    """Let peft put an adapter into a model, in place.

    Args:
        file: the adapter.
        model: Hugging Face model; on an error it may hold parts of the adapter.
        name: what it is called.

    Returns:
        peft's model around it, and the adapted modules.

    Raises:
        ModelError: modules or shapes of another model, weights of the base that are not this model's, an adapted
            embedding, or a parameter that was not found in the file, has no place in the model, or is another there.
    """
    from peft import PeftConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
    from peft.tuners.tuners_utils import BaseTunerLayer

    _require_base_kept(file, model, name)
    try:
        config = PeftConfig.from_pretrained(str(file.folder))
        config.inference_mode = True
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            # it draws start values, which the file's replace, and asks transformers in a way that will go
            warnings.simplefilter("ignore", FutureWarning)
            tuner = PeftModel(model, config, _NAME)
        found: Any = set_peft_model_state_dict(tuner, file.parameters, _NAME)
        held = get_peft_model_state_dict(tuner, adapter_name=_NAME, save_embedding_layers=False)
    except Exception as error:  # settings and shapes of another model can make peft and torch raise anything
        raise ModelError(
            f"The adapter {file.name!r} does not fit {name}.",
            f"{type(error).__name__}: {' '.join(str(error).split())[:400]}",
            f"It was trained on {file.trained_on!r}: load that model, or check the folder.",
        ) from error
    tuner.eval()
    layers = tuple(module for module in model.modules() if isinstance(module, BaseTunerLayer))
    if any(isinstance(layer.get_base_layer(), nn.Embedding) for layer in layers):
        raise ModelError(
            f"The adapter {file.name!r} adapts the embedding of {name}.",
            "Adapters are taken beside linear modules only.",
            MERGE,
        )
    absent = [key for key in found.missing_keys if KINDS[file.kind] in key and f".{_NAME}" in key]
    _require_landed(file, name, found.unexpected_keys, absent, held)
    return tuner, layers


def _require_base_kept(file: AdapterFile, model: nn.Module, name: str) -> None:
    """Weights of the base in the file, such as peft adds of a head that is adapted, are the ones that the model has."""
    base = model.state_dict()
    changed = []
    for key in sorted(file.tensors.keys() - file.parameters.keys()):
        theirs = file.tensors[key]
        ours = base.get(key.removeprefix("base_model.model.").replace(".base_layer.", "."))
        ours = None if ours is None else ours.cpu()
        if ours is None or not (torch.equal(ours, theirs.to(ours.dtype)) or torch.equal(ours.to(theirs.dtype), theirs)):
            changed.append(key)
    if changed:
        raise ModelError(
            f"The adapter {file.name!r} holds {len(changed)} weights in place of the base's own in {name}.",
            f"The first is {changed[0]}: a module that was trained whole, a longer vocabulary, or another base.",
            MERGE,
        )


def _require_landed(
    file: AdapterFile, name: str, strangers: Sequence[str], absent: Sequence[str], held: Mapping[str, Tensor]
) -> None:
    """Every parameter of the file is in the model, and the model has none that the file lacks."""
    unequal = [
        key
        for key, tensor in file.parameters.items()
        if key in held and not torch.equal(held[key].cpu(), tensor.to(held[key].dtype))
    ]
    for keys, what in (
        (strangers, f"have no place in {name}"),
        (absent, "that its settings ask for are not in its file"),
        (unequal, "are not in the model what they are in the file"),
    ):
        if keys:
            raise ModelError(
                f"The adapter {file.name!r} did not land: {len(keys)} parameters {what}.",
                f"The first is {min(keys)}.",
                f"It was trained on {file.trained_on!r}: load that model, or save the adapter again.",
            )
