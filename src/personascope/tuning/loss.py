"""The loss of a batch on the tokens that are taught; beginnings that examples share are computed once where it pays."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from personascope.models.engine import HookEngine
from personascope.tuning.examples import IGNORED, Example
from personascope.tuning.packing import Packed, pack, packed_hidden

WORTH = 0.8
"""Packed only when at most this share of the padded batch is left to compute."""
LONGEST = 4096
"""Tokens of a packed sequence; its mask is quadratic in them."""
_TRIED = 16
"""Examples on which sharing is tried; in low precision the losses of a few would differ by more than the limit."""
_ALLOWED: WeakKeyDictionary[HookEngine, bool] = WeakKeyDictionary()
"""What was found for a model; it does not depend on what is taught."""
_LIMITS = {4: 1e-3, 2: 2e-2}
"""Relative difference of two losses that may be rounding, by bytes of a number."""


def answer_loss(engine: HookEngine, inputs: Mapping[str, Any], n_items: Any = None, *, shares: bool = True) -> Tensor:
    """Mean loss of the taught tokens in nats; only there does the head run (trl's own loss runs it everywhere on CPUs).

    Args:
        engine: whose model is trained.
        inputs: input_ids, attention_mask and labels, each of shape (example, token), padded on the right.
        n_items: taught tokens of the whole step, which may be several batches; None: of this one.
        shares: whether beginnings that examples share may be computed once.
    """
    anatomy = engine.anatomy
    taught = inputs["labels"][:, 1:] != IGNORED
    packed = _packed(inputs) if shares else None
    if packed is not None:
        hidden = packed_hidden(anatomy, packed)
    else:
        hidden = anatomy.body(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False
        ).last_hidden_state[:, :-1][taught]
    logits = anatomy.scaled(anatomy.head(hidden))
    total = torch.nn.functional.cross_entropy(logits, inputs["labels"][:, 1:][taught], reduction="sum")
    mean: Tensor = total / (taught.sum() if n_items is None else n_items)
    return mean


def may_share(engine: HookEngine, examples: Sequence[Example]) -> bool:
    """Whether beginnings may be shared with this model: it is tried once on a few examples, a failure is warned of."""
    if engine.reuse_off:
        return False
    if engine in _ALLOWED:
        return _ALLOWED[engine]
    few = sorted(examples, key=lambda example: example.ids)[:_TRIED]  # neighbours share most
    while len(few) > 2 and sum(len(example.ids) for example in few) > LONGEST:  # batches of fewer would be packed
        few.pop()
    longest = max(len(example.ids) for example in few)
    rows = [(example, longest - len(example.ids)) for example in few]
    batch = {
        "input_ids": [[*example.ids, *[0] * fill] for example, fill in rows],
        "labels": [[*example.labels, *[IGNORED] * fill] for example, fill in rows],
        "attention_mask": [[1] * len(example.ids) + [0] * fill for example, fill in rows],
    }
    inputs = {name: torch.tensor(value, device=engine.device) for name, value in batch.items()}
    if _packed(inputs) is None:  # nothing to share here, and nothing found out
        return True
    try:
        with torch.inference_mode():
            apart, together = (float(answer_loss(engine, inputs, shares=shares)) for shares in (False, True))
        difference = abs(together - apart) / max(abs(apart), 1e-12)
        failed = "" if difference <= _LIMITS.get(engine.dtype.itemsize, 1e-3) else f"losses differ by {difference:.1e}"
    except (RuntimeError, TypeError, ValueError) as error:  # an architecture that takes no masks of its own
        failed = f"{type(error).__name__}: {str(error)[:200]}"
    if failed:
        warnings.warn(
            f"{engine.name}: shared beginnings are switched off in training ({failed}); every example is computed "
            "whole.",
            stacklevel=2,
        )
    _ALLOWED[engine] = not failed
    return not failed


def _packed(inputs: Mapping[str, Any]) -> Packed | None:
    """The batch with its common beginnings shared; None where that saves too little."""
    lengths = inputs["attention_mask"].sum(dim=1).tolist()
    rows = [row[:length] for row, length in zip(inputs["input_ids"].tolist(), lengths, strict=True)]
    taught = [(row != IGNORED).nonzero()[:, 0].tolist() for row in inputs["labels"]]
    packed = pack(rows, taught)
    return packed if len(packed.ids) <= min(WORTH * inputs["input_ids"].numel(), LONGEST) else None
