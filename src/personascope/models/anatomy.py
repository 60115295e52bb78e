"""Find the parts of a decoder that the engine touches, by structure and not by model name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from personascope.errors import ModelError

_REUSABLE = {"full_attention", "sliding_attention"}
_TAKES_MASKS = {"eager", "sdpa"}


@dataclass(frozen=True)
class Anatomy:
    """The parts of one model.

    Args:
        body: the decoder without its head; `layers` its blocks in order.
        norm: final norm, applied to the last block's output before `head`.
        head: the unembedding.
        softcap: bound of the logits (Gemma-2 style `softcap * tanh(x / softcap)`), or None.
        logit_scale: factor on the logits (Cohere, Granite), 1.0 for most models.
        attention_kinds: attention kind -> window (None: unlimited).
        reuse_refused: why shared prefixes must not be reused, or "".
    """

    body: nn.Module
    layers: nn.ModuleList
    norm: nn.Module
    head: nn.Module
    softcap: float | None
    logit_scale: float
    attention_kinds: dict[str, int | None]
    reuse_refused: str

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits of last-block outputs in float32 or better, shape (row, d_model) -> (row, vocabulary)."""
        return self.scaled(self.head(self.norm(hidden)))

    def scaled(self, logits: Tensor) -> Tensor:
        """What the head gives, in float32 or better, scaled and capped as the model does it."""
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32)) * self.logit_scale
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)


def dissect(model: Any) -> Anatomy:
    """Find the parts.

    Raises:
        ModelError: not a decoder with one list of blocks, one final norm and one head.
    """
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    n_layers = int(config.num_hidden_layers)
    layers_name, layers = _find_layers(model, n_layers)
    parent_name = layers_name.rpartition(".")[0]
    body = model.get_submodule(parent_name) if parent_name else model
    norm = _find_norm(body, layers)
    head = model.get_output_embeddings()
    if head is None or getattr(config, "is_encoder_decoder", False):
        raise ModelError(
            f"{type(model).__name__} has no language-model head over a decoder.",
            "personascope needs a causal language model.",
            "Load it with AutoModelForCausalLM.",
        )
    kinds = _attention_kinds(config)
    return Anatomy(
        body=body,
        layers=layers,
        norm=norm,
        head=head,
        softcap=getattr(config, "final_logit_softcapping", None),
        logit_scale=_logit_scale(config),
        attention_kinds={kind: window for kind, window in kinds.items() if kind in _REUSABLE},
        reuse_refused=_refusal(model, body, config, kinds),
    )


def _find_layers(model: nn.Module, n_layers: int) -> tuple[str, nn.ModuleList]:
    found = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == n_layers
    ]
    # experts and per-head lists can have the same length by chance, but sit inside a block
    found.sort(key=lambda pair: pair[0].count("."))
    if not found:
        lists = [f"{name} ({len(m)})" for name, m in model.named_modules() if isinstance(m, nn.ModuleList)]
        raise ModelError(
            f"No list of {n_layers} decoder blocks found in {type(model).__name__}.",
            f"Lists of modules: {', '.join(lists) or 'none'}.",
            "The model may not be a plain decoder.",
        )
    return found[0]


def _find_norm(body: nn.Module, layers: nn.ModuleList) -> nn.Module:
    """The one norm among the body's own children that comes after its blocks."""
    children = list(body.named_children())
    after = next(index for index, (_, module) in enumerate(children) if module is layers) + 1
    norms = [(name, module) for name, module in children[after:] if "norm" in name.lower() or name.startswith("ln")]
    if len(norms) != 1:
        raise ModelError(
            f"Expected one final norm after the blocks of {type(body).__name__}, found {[name for name, _ in norms]}.",
            f"Its parts are {[name for name, _ in children]}.",
            "The engine reads answers through the final norm; this architecture is not supported yet.",
        )
    return norms[0][1]


def _logit_scale(config: Any) -> float:
    scale = getattr(config, "logit_scale", None)
    divisor = getattr(config, "logits_scaling", None)
    return float(scale) if scale is not None else 1.0 / float(divisor) if divisor else 1.0


def _attention_kinds(config: Any) -> dict[str, int | None]:
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if kinds:
        return {kind: (window if kind == "sliding_attention" else None) for kind in dict.fromkeys(kinds)}
    slides = window is not None and getattr(config, "use_sliding_window", True)
    return {"sliding_attention": window} if slides else {"full_attention": None}


def _refusal(model: nn.Module, body: nn.Module, config: Any, kinds: dict[str, int | None]) -> str:
    """Why reusing a shared prefix could change numbers; "" when it cannot."""
    strange = sorted(set(kinds) - _REUSABLE)
    if strange:
        return f"layers of kind {', '.join(strange)} carry a state that cannot be shared by position"
    if getattr(model, "_is_stateful", False):
        return "the model carries a recurrent state"
    kernel = getattr(config, "_attn_implementation", None) or "eager"
    if kernel not in _TAKES_MASKS:
        return f"the attention kernel {kernel!r} does not take the masks of shared prefixes"
    if "local" in (getattr(config, "attention_layers", None) or ()):
        return "local attention counts keys by place, not by position"
    if getattr(config, "use_bidirectional_attention", False) or not getattr(config, "is_causal", True):
        return "attention is bidirectional"
    builds_alibi = any(name.startswith("build_") and "alibi" in name for name in dir(body))
    if builds_alibi or getattr(config, "alibi", False) or getattr(config, "position_embedding_type", "") == "alibi":
        return "position scheme (ALiBi) depends on the total length"
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    schemes = [rope, *[value for value in rope.values() if isinstance(value, dict)]]
    types = {scheme.get("rope_type") for scheme in schemes}
    if types & {"dynamic", "longrope"}:
        return f"rotary scaling {sorted(t for t in types if t)} depends on the current length"
    if getattr(config, "num_kv_shared_layers", 0):
        return "layers share keys and values across depth"
    return ""
