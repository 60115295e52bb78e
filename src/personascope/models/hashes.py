"""What tells one backend from another: SHA-256 over weights and tokenizer, never file names; type, device."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from personascope.files import sha256_json, sha256_text
from personascope.models.intervention import Intervention, cell_hash


def weights_hash(model: Any) -> str:
    """SHA-256 over every parameter's name, type, shape and bytes: the same for the same weights in any file layout."""
    return tensors_hash(model.state_dict())


def tensors_hash(tensors: Mapping[str, Any]) -> str:
    """SHA-256 over tensors by name: their types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def tokenizer_hashes(tokenizer: Any) -> dict[str, str]:
    """Fingerprint entries of a tokenizer: its vocabulary and its chat template; "none" without a tokenizer."""
    if tokenizer is None:
        return {"tokenizer": "none", "chat_template": "none"}
    return {
        "tokenizer": sha256_json(sorted(tokenizer.get_vocab().items())),
        "chat_template": sha256_text(getattr(tokenizer, "chat_template", None) or ""),
    }


def computing_facts(name: str, module: Any, interventions: Sequence[Intervention]) -> dict[str, str]:
    """Fingerprint entries of a torch module at work: its type, where it runs, how it is steered, what is on it."""
    weights: torch.Tensor = next(module.parameters())
    return {
        "model": name,
        "dtype": str(weights.dtype).removeprefix("torch."),
        "device": weights.device.type,
        "attention": str(getattr(module.config, "_attn_implementation", None)),
        "steered": cell_hash(tuple(interventions)),
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        **adapter_state(module),
    }


def adapter_state(module: Any) -> dict[str, str]:
    """Whether peft's adapters in a module act, and how: no hash of its parameters shows it.

    Returns:
        `adapter_state`: "off", or "on" with a hash of what is switched on where, and how much it is scaled; nothing for
        a module without adapters.
    """
    found = [
        (
            name,
            part.disable_adapters,
            list(part.active_adapters),
            list(part.merged_adapters),
            str(vars(part).get("scaling")),
        )
        for name, part in module.named_modules()
        if hasattr(type(part), "merged_adapters")  # what peft puts into models has it; peft need not be installed
    ]
    if not found:
        return {}
    is_off = all(off and not merged for _, off, _, merged, _ in found)
    return {"adapter_state": "off" if is_off else f"on {sha256_json(found)[:12]}"}


def model_hash(fingerprint: Mapping[str, str]) -> str:
    """Of the weights that answered: the base's, or the base's with the adapter that was on; "" where unknown."""
    weights, state = fingerprint.get("weights", ""), fingerprint.get("adapter_state", "off")
    if state == "off":
        return weights
    return sha256_json([weights, fingerprint.get("adapter", ""), state])


class RememberedHash:
    """The weights hash of one model, computed when first asked for and again after its parameters have changed.

    Noticed are parameters that were replaced, moved or changed in place by an optimizer or under `torch.no_grad`; a
    write through `parameter.data` leaves no trace in torch and goes unseen.
    """

    def __init__(self) -> None:
        self._stamp: tuple[tuple[int, int], ...] | None = None
        self._hash = ""

    def of(self, model: Any) -> str:
        """The hash of `model`'s weights as they are now."""
        stamp = tuple((p.data_ptr(), 0 if p.is_inference() else p._version) for p in model.parameters())
        if stamp != self._stamp:
            self._stamp, self._hash = stamp, weights_hash(model)
        return self._hash
