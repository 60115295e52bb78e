"""A user's own TransformerLens bridge, answering the same calls as the hook engine."""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from personascope.errors import ModelError
from personascope.models.equal_lengths import Batch, EqualLengthBackend, Rows
from personascope.models.intervention import change_all


class TransformerLensBackend(EqualLengthBackend):
    """Runs prompts through a `transformer_lens.model_bridge.TransformerBridge` (TransformerLens 4.3 or newer).

    `resid_post` after block `l` is the bridge's `blocks.{l}.hook_out`. Prompts go through `run_with_hooks` in batches
    of one length, rows are gathered inside the hook, blocks above the last one needed do not run, and the head runs on
    the last token only. Hooks that you keep on the bridge stay on and act.

    Args:
        bridge: the model; `TransformerBridge.boot_transformers(name)` makes one.
        name: how the model is called in results; the bridge's `cfg.model_name` by default. Directions are tied to this
            name: give the name under which they were fitted.
        token_budget: tokens per forward pass; one prompt at least.

    Raises:
        ModelError: the bridge wraps no local decoder, its blocks do not carry one residual stream, or its weights
            were processed. `enable_compatibility_mode()` folds the layer norms and centres what writes to the residual
            stream, which then is no longer the model's own; `enable_compatibility_mode(no_processing=True)` is fine.
    """

    def __init__(self, bridge: Any, *, name: str | None = None, token_budget: int = 2048) -> None:
        own_name = str(name or bridge.cfg.model_name)
        _require_one_residual_stream(bridge, own_name)
        super().__init__(
            bridge,
            name=own_name,
            config=bridge.original_model.config,
            n_layers=len(bridge.blocks),
            d_model=int(bridge.cfg.d_model),
            token_budget=token_budget,
        )
        self._require_own_weights()

    @property
    def module(self) -> Any:
        """The wrapped Hugging Face module."""
        return self.wrapped.original_model

    @property
    def tokenizer(self) -> Any:
        """The bridge's tokenizer."""
        return self.wrapped.tokenizer

    def _facts(self) -> dict[str, str]:
        return {"backend": "transformer_lens", "transformer_lens": importlib.metadata.version("transformer-lens")}

    def _forward(self, batch: Batch) -> Rows:
        self._require_own_weights()
        gathered: dict[int, Tensor] = {}
        touched = sorted({*batch.layers, *[step.layer for step in batch.steps]})
        hooks = [(f"blocks.{layer}.hook_out", _hook(layer, batch, gathered)) for layer in touched]
        answered = batch.option_ids is not None
        stops_early = not answered and batch.last + 1 < self.n_layers
        logits = self.wrapped.run_with_hooks(
            batch.ids.to(self.device),
            fwd_hooks=hooks,
            return_type="logits" if answered else None,
            stop_at_layer=batch.last + 1 if stops_early else None,
            **({} if stops_early else last_logits_only(self.module)),
        )
        return Rows(
            residuals=torch.stack([gathered[layer].cpu() for layer in batch.layers]) if batch.layers else None,
            scores=_scores(logits[:, -1], batch.option_ids) if batch.option_ids is not None else None,
        )

    def _require_own_weights(self) -> None:
        """Weights can be processed at any time, so this is asked before every batch."""
        if getattr(self.wrapped, "_weights_processed", getattr(self.wrapped, "compatibility_mode", False)):
            raise ModelError(
                f"The weights of the bridge {self.name} were processed.",
                "With folded layer norms and centred weights the residual stream is not the model's own: directions "
                "and activations would fit no other copy of it.",
                "Boot a fresh bridge; for the old hook names call enable_compatibility_mode(no_processing=True).",
            )


def last_logits_only(module: Any) -> dict[str, int]:
    """The keyword that keeps a Hugging Face model from unembedding every token, where it knows one."""
    return {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(module.forward).parameters else {}


def _require_one_residual_stream(bridge: Any, name: str) -> None:
    blocks = getattr(bridge, "blocks", None)
    local: Any = getattr(bridge, "original_model", None)
    if blocks is None or not hasattr(local, "config") or getattr(local.config, "is_encoder_decoder", False):
        raise ModelError(
            f"The bridge {name} wraps no local decoder.",
            "personascope reads the residual stream after each block of a causal language model in this process.",
            "Boot one with TransformerBridge.boot_transformers(...).",
        )
    if not all(getattr(block, "hook_out_is_single_residual_stream", True) for block in blocks):
        raise ModelError(
            f"The blocks of {name} do not hand on one residual stream.",
            f"Blocks of type {type(blocks[0]).__name__} carry several streams side by side.",
            "This architecture is not supported.",
        )


def _hook(layer: int, batch: Batch, gathered: dict[int, Tensor]) -> Callable[..., Tensor]:
    """Do what is to be done after `layer`, then read it."""

    def act(hidden: Tensor, hook: Any) -> Tensor:  # noqa: ARG001  the library passes it by name
        hidden = change_all(hidden, [(s.slot, s.token, s.change) for s in batch.steps if s.layer == layer])
        if layer in batch.layers:
            exact = torch.promote_types(hidden.dtype, torch.float32)
            rows = hidden[batch.slot, batch.token].to(exact) * batch.share.to(exact).to(hidden.device)[:, None]
            means = torch.zeros((batch.n_targets, hidden.shape[-1]), dtype=exact, device=hidden.device)
            gathered[layer] = means.index_add_(0, batch.target.to(hidden.device), rows)
        return hidden

    return act


def _scores(logits: Tensor, option_ids: Tensor) -> Tensor:
    """`Rows.scores` of logits, shape (batch, vocabulary)."""
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    inside = option_ids.to(logits.device)
    rest = exact.index_fill(1, inside, -torch.inf).logsumexp(dim=-1, keepdim=True)
    return torch.cat([exact[:, inside], rest], dim=1)
