"""What tells one backend from another: SHA-256 over weights and tokenizer, never file names; type, device."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch

from personascope.files import sha256_json, sha256_text
from personascope.models.intervention import Intervention


def weights_hash(model: Any) -> str:
    """SHA-256 over every parameter's name, type, shape and bytes: the same for the same weights in any file layout."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
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
    """Fingerprint entries of a torch module at work: its type, where it runs, how it is steered."""
    weights: torch.Tensor = next(module.parameters())
    steered = [[i.layer, i.where, i.offset.tolist()] for i in interventions]
    return {
        "model": name,
        "dtype": str(weights.dtype).removeprefix("torch."),
        "device": weights.device.type,
        "attention": str(getattr(module.config, "_attn_implementation", None)),
        "steered": sha256_json(steered) if steered else "no",
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
    }


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
