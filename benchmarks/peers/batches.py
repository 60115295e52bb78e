"""What the workers share besides the protocol: padded batches and the loop of a sweep (torch and transformers only)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers.serve import Rows, SweepCall

SIZE = 16


@dataclass(frozen=True)
class Batch:
    """A left-padded part of the rows, the last token of each in the last column.

    Args:
        rows: which rows.
        inputs: `input_ids` and `attention_mask` (row, token) as a tokenizer gives them.
        steered: (row, token) True from each row's first steered token on; None when that is every token.
    """

    rows: slice
    inputs: dict[str, Tensor]
    steered: Tensor | None


Steer = Callable[[int, Tensor, float, Batch], AbstractContextManager[Any]]
"""(layer, vector, coefficient, batch) to a context in which the model is steered."""


def left_padded(rows: Rows) -> dict[str, Tensor]:
    """`input_ids` and `attention_mask` of rows padded on the left."""
    width = max(map(len, rows))
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(rows):
        ids[row, width - len(tokens) :] = torch.tensor(tokens)
        mask[row, width - len(tokens) :] = 1
    return {"input_ids": ids, "attention_mask": mask}


def positions_of(inputs: dict[str, Tensor]) -> Tensor:
    """Position ids that count each row's own tokens; 0 under the padding."""
    return (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)


def batches(rows: Rows, first_steered: Sequence[int] | None = None) -> Iterator[Batch]:
    """Batches of 16 in the order given."""
    for start in range(0, len(rows), SIZE):
        part = slice(start, start + SIZE)
        inputs = left_padded(rows[part])
        steered = None
        if first_steered is not None and any(first_steered):
            steered = (positions_of(inputs) >= torch.tensor(first_steered[part])[:, None]) & (
                inputs["attention_mask"] == 1
            )
        yield Batch(part, inputs, steered)


def option_logprobs(logits: Tensor, options: Sequence[Sequence[int]]) -> Tensor:
    """(row, option) of logits (row, vocabulary); the spellings of an option are summed."""
    logprobs = logits.float().log_softmax(-1)
    return torch.stack([logprobs[:, list(ids)].logsumexp(-1) for ids in options], dim=1)


def sweeper(model: Any, steer: Steer, **extra: Callable[[dict[str, Tensor]], Tensor]) -> Callable[[SweepCall], Tensor]:
    """The loop that users of these libraries write: every layer, every coefficient, every batch from the start.

    Args:
        model: a Hugging Face causal model.
        steer: how the library steers it.
        extra: model inputs that the library needs besides the tokenizer's, as functions of those.
    """

    @torch.inference_mode()
    def sweep(call: SweepCall) -> Tensor:
        cells = [(layer, coefficient) for layer in call.vectors for coefficient in call.coefficients]
        found = torch.empty((len(cells), len(call.rows), len(call.options)))
        wanted = {"logits_to_keep": 1} if call.last_logits_only else {}
        vectors = {layer: torch.from_numpy(vector) for layer, vector in call.vectors.items()}
        for cell, (layer, coefficient) in enumerate(cells):
            for batch in batches(call.rows, call.first_steered):
                more = {name: make(batch.inputs) for name, make in extra.items()}
                with steer(layer, vectors[layer], coefficient, batch):
                    logits = model(**batch.inputs, **more, **wanted).logits[:, -1]
                found[cell, batch.rows] = option_logprobs(logits, call.options)
        return found

    return sweep


def float32_model(folder: Path) -> Any:
    """The model as the libraries' users load it, in float32.

    Raises:
        ValueError: transformers 4 cannot be told this model's rotary embedding.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder)
    if version("transformers").startswith("4."):
        # a folder written by transformers 5 says `rope_parameters`; version 4 would silently take its default base
        rope = dict(getattr(config, "rope_parameters", None) or {})
        if "rope_theta" in rope and rope.get("rope_type", "default") == "default":
            config.rope_theta = rope["rope_theta"]
        elif rope:
            raise ValueError(f"transformers {version('transformers')} has no place for these rope_parameters: {rope}")
    return AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32).eval()


def versions(*packages: str) -> dict[str, str]:
    """Versions of these and of what all peers run on."""
    return {name: version(name) for name in (*packages, "transformers", "torch", "numpy")}
