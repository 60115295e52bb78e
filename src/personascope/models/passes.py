"""One forward pass through a decoder's body: what goes in, listening to its blocks, and what its blocks are given."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from personascope.models.anatomy import Anatomy
from personascope.models.frozen_cache import Past, attention_masks
from personascope.models.tree import Segment

LayerListener = Callable[[int, Tensor], Tensor]
"""Sees the output of a block, shape (batch, token, d_model), and returns what goes on to the next."""
BlockCall = tuple[tuple[Any, ...], dict[str, Any]]
"""What a block is called with besides the hidden states: positional and keyword arguments."""


class _Stop(BaseException):
    """Ends a forward pass after the last block that is needed; not an Exception, so that no library swallows it."""


@dataclass(frozen=True)
class Inputs:
    """What one forward pass takes, right-padded.

    Args:
        ids: token ids, shape (batch, token).
        positions: of each token in its prompt; padding keeps counting upwards, as equal positions would look like
            packed sequences to the library. Shape (batch, token).
        real: which tokens are not padding, shape (batch, token).
        past: keys and values before the batch, or None.
        copies: tokens of different copies do not see each other; shape (token,), or None for one copy.
    """

    ids: Tensor
    positions: Tensor
    real: Tensor
    past: Past | None
    copies: Tensor | None = None

    def stacked(self, past: Past | None, times: int) -> Inputs:
        """`times` copies of the batch below each other, after a past of as many rows."""
        ids, positions, real = (x.repeat(times, 1) for x in (self.ids, self.positions, self.real))
        return Inputs(ids, positions, real, past)

    def beside(self, past: Past | None, times: int) -> Inputs:
        """`times` copies of each row beside each other: they share one past instead of repeating it."""
        ids, positions, real = (x.repeat(1, times) for x in (self.ids, self.positions, self.real))
        return Inputs(ids, positions, real, past, torch.arange(times).repeat_interleave(self.ids.shape[1]))


def inputs_of(batch: Sequence[Segment], past: Past | None) -> Inputs:
    """Right-padded segments; without a past no mask is needed, as no real token looks to its right."""
    lengths = torch.tensor([len(segment.tokens) for segment in batch])
    width = int(lengths.max())
    ids = torch.zeros((len(batch), width), dtype=torch.long)
    for slot, segment in enumerate(batch):
        ids[slot, : len(segment.tokens)] = torch.tensor(segment.tokens)
    positions = torch.tensor([segment.start for segment in batch])[:, None] + torch.arange(width)
    return Inputs(ids, positions, torch.arange(width) < lengths[:, None], past)


def call_body(anatomy: Anatomy, inputs: Inputs, cache: Any, *, max_length: int, like: Tensor) -> None:
    """Run the decoder without its head. `like` gives device and dtype: a weight of the model."""
    mask = None
    if inputs.past is not None or inputs.copies is not None:
        marked = torch.where(inputs.real, inputs.positions, -1).to(like.device)
        copies = None if inputs.copies is None else inputs.copies.to(like.device)
        mask = attention_masks(inputs.past, marked, anatomy.attention_kinds, like.dtype, copies)
    anatomy.body(
        input_ids=inputs.ids.to(like.device),
        attention_mask=mask,
        # the clamp meets padding only, and only after a past, whose mask keeps the library from looking for packing
        position_ids=inputs.positions.clamp(max=max_length - 1).to(like.device),
        past_key_values=cache,
        use_cache=cache is not None,
    )


@contextlib.contextmanager
def listening(layers: nn.ModuleList, last: int, listener: LayerListener) -> Iterator[list[int]]:
    """Let `listener` see and replace every block's output up to `last`, and end the pass there.

    Yields a list that gets, for each block, the length of the tuple that it returned, 0 for a bare tensor.
    """
    returned: list[int] = []

    def hook(layer: int) -> Callable[..., Any]:
        def after(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            returned.append(0 if isinstance(output, Tensor) else len(output))
            hidden = hidden_of(output)
            changed = listener(layer, hidden)
            if layer == last:
                raise _Stop
            if changed is hidden:
                return None
            return changed if isinstance(output, Tensor) else (changed, *output[1:])

        return after

    handles = [layers[number].register_forward_hook(hook(number)) for number in range(last + 1)]
    try:
        with contextlib.suppress(_Stop):
            yield returned
    finally:
        for handle in handles:
            handle.remove()


def hidden_of(output: Any) -> Tensor:
    """Hidden states in a block's output: a tensor, or the first of a tuple."""
    hidden: Tensor = output if isinstance(output, Tensor) else output[0]
    return hidden


@contextlib.contextmanager
def recording_calls(layers: nn.ModuleList, wanted: range, tuples: int) -> Iterator[dict[int, BlockCall]]:
    """Fill a dictionary with the arguments that the body gives to the `wanted` blocks, and compute no block.

    Whatever masks, positions and rotary tables an architecture hands to its blocks for inputs of some shape are found
    by asking it, at next to no cost: stand-ins take the blocks' places meanwhile, and return their input.

    Args:
        layers: all blocks of the model.
        wanted: numbers of the blocks whose arguments are kept; the pass ends at the last of them.
        tuples: length of the tuple that a block returns, 0 for a bare tensor.
    """
    calls: dict[int, BlockCall] = {}

    def record(number: int, call: BlockCall) -> None:
        if number in wanted:
            calls[number] = call
        if number == wanted.stop - 1:
            raise _Stop

    blocks = list(layers[: wanted.stop])
    for number, block in enumerate(blocks):
        layers[number] = _StandIn(block, number, record, tuples)
    try:
        with contextlib.suppress(_Stop):
            yield calls
    finally:
        for number, block in enumerate(blocks):
            layers[number] = block


class _StandIn(nn.Module):
    """Takes a block's place: notes how it is called and returns its input; all else is asked of the block itself."""

    def __init__(self, block: nn.Module, number: int, record: Callable[[int, BlockCall], None], tuples: int) -> None:
        super().__init__()
        self.block, self.number, self.record, self.tuples = block, number, record, tuples

    def forward(self, hidden: Tensor, *others: Any, **keywords: Any) -> Any:
        """Note the call."""
        self.record(self.number, (others, keywords))
        return (hidden, *[None] * (self.tuples - 1)) if self.tuples else hidden

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("block"), name)
