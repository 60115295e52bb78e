"""What the library's decoding loop is given: how to draw, when to stop, and what to add to the residual stream."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import LogitsProcessor, StoppingCriteria

from personascope.models.engine import HookEngine
from personascope.models.intervention import Intervention, add_all
from personascope.models.passes import listening
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt

_ONWARD = ("all", "from:")
"""Positions without an end of their own: steering there goes on through the answer."""


def decode(tokenizer: Any, tokens: Sequence[int]) -> str:
    """The text of tokens, as written."""
    # special tokens stay visible: a model that writes one has left the answer it was asked for
    return str(tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False))


class Draws(LogitsProcessor):
    """Adds noise to each row's logits, so that the likeliest token of the sum is a draw; none at temperature 0.

    The Gumbel-max trick (Maddison, Tarlow & Minka 2014): the argmax of logits / temperature plus independent Gumbel
    noise is a draw from the softmax at that temperature. Each row has a generator of its own.

    Args:
        keys: a seed for each row.
        temperature: divides the logits.
        device: where the logits are.
    """

    def __init__(self, keys: Sequence[int], temperature: float | int, device: torch.device) -> None:
        self.temperature = temperature
        self.generators = [torch.Generator(device).manual_seed(key) for key in keys] if temperature else []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002  (the library's signature)
        """Scores of shape (batch, vocabulary) whose argmax is the draw."""
        if not self.generators:
            return scores
        # minus the log of a standard exponential variable is a Gumbel variable
        waits = torch.empty_like(scores)
        for row, generator in zip(waits, self.generators, strict=True):
            row.exponential_(generator=generator)
        return scores / self.temperature - waits.log_()


class Stops(StoppingCriteria):
    """Ends the rows whose answer holds a stop string."""

    def __init__(self, tokenizer: Any, width: int, stops: Sequence[str]) -> None:
        self.tokenizer, self.width, self.stops = tokenizer, width, stops

    def __call__(self, input_ids: Tensor, scores: Tensor | None, **_: Any) -> Tensor:  # noqa: ARG002  (the library's)
        """Which rows end here, shape (batch,)."""
        texts = [decode(self.tokenizer, tokens) for tokens in input_ids[:, self.width :].tolist()]
        return torch.tensor([any(stop in text for stop in self.stops) for text in texts], device=input_ids.device)


@contextlib.contextmanager
def steered(engine: HookEngine, prompts: Sequence[Prompt], width: int) -> Iterator[None]:
    """Add the engine's interventions while a left-padded batch is read, and where they go on, while it writes."""
    active = [i for i in engine.interventions if np.any(i.offset)]
    read: set[int] = set()  # layers that have seen the prompts; each later call is one token of every answer

    def listener(layer: int, hidden: Tensor) -> Tensor:
        here = [i for i in active if i.layer == layer]
        places = [_onward(i, len(prompts)) if layer in read else _within(i, prompts, width) for i in here]
        read.add(layer)
        return add_all(
            hidden,
            [(*place, torch.as_tensor(i.offset)) for i, place in zip(here, places, strict=True) if place is not None],
        )

    if not active:
        yield
        return
    # listening ends the pass at its last layer: here that is one more, which is never called
    layers = nn.ModuleList([*engine.anatomy.layers, nn.Identity()])
    with listening(layers, engine.n_layers, listener):
        yield


def _within(intervention: Intervention, prompts: Sequence[Prompt], width: int) -> tuple[Tensor, Tensor]:
    """(slot, token) of every token that an intervention names, in left-padded prompts."""
    places = [
        (slot, width - len(prompt) + token)
        for slot, prompt in enumerate(prompts)
        for token in resolve(prompt, intervention.where)
    ]
    slots, tokens = torch.tensor(places).T.contiguous()
    return slots, tokens


def _onward(intervention: Intervention, n_rows: int) -> tuple[Tensor, Tensor] | None:
    rows = torch.arange(n_rows)
    return (rows, torch.zeros_like(rows)) if goes_on(intervention.where) else None


def goes_on(where: str) -> bool:
    """Whether steering at a position also acts on the tokens of the answer."""
    return where.startswith(_ONWARD)
