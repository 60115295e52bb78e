"""A vector added to the residual stream at one layer and a named position, and where that is in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from personascope.models.tree import Segment
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt
from personascope.shapes import Vector


@dataclass(frozen=True, eq=False)
class Intervention:
    """Add `offset` to `resid_post[layer]` at every token that `where` names.

    Args:
        layer: 0-based decoder block after whose output the vector is added.
        offset: shape (d_model,), in the units of the residual stream.
        where: a position of `prompts.positions`, e.g. "mean:task_a", "from:item", "answer".
    """

    layer: int
    offset: Vector
    where: str


Cell = tuple[Intervention, ...]
"""One condition of a sweep: what is added, at one layer or several; () is the unsteered baseline."""
Steering = list[tuple[Tensor, Tensor, Tensor]]
"""For one layer: (slots, tokens, offset) per intervention, the offset of shape (d_model,)."""


def steering_of(
    batch: list[Segment], prompts: Sequence[Prompt], interventions: Sequence[Intervention], device: torch.device
) -> dict[int, Steering]:
    """By layer, where in a batch of segments which offsets are added; all rows of a segment are steered alike."""
    steering: dict[int, Steering] = {}
    places: dict[str, tuple[Tensor, Tensor] | None] = {}
    for intervention in interventions:
        if intervention.where not in places:
            places[intervention.where] = _places(batch, prompts, intervention.where, device)
        place = places[intervention.where]
        if place is not None:
            offset = torch.as_tensor(intervention.offset, device=device)
            steering.setdefault(intervention.layer, []).append((*place, offset))
    return steering


def _places(
    batch: list[Segment], prompts: Sequence[Prompt], where: str, device: torch.device
) -> tuple[Tensor, Tensor] | None:
    """(slot, token) of all tokens that `where` names in the segments of a batch, or None."""
    entries = [
        (slot, token - segment.start)
        for slot, segment in enumerate(batch)
        for token in resolve(prompts[segment.rows[0]], where)
        if segment.start <= token < segment.stop
    ]
    if not entries:
        return None
    slots, tokens = torch.tensor(entries, device=device).T.contiguous()
    return slots, tokens


def add_all(hidden: Tensor, steering: Steering) -> Tensor:
    """A copy of `hidden`, shape (batch, token, d_model), with the offsets added; `hidden` itself without any."""
    if steering:
        hidden = hidden.clone()
        for slots, tokens, offset in steering:
            place = slots.to(hidden.device), tokens.to(hidden.device)
            hidden[place] += offset.to(hidden.device, hidden.dtype)
    return hidden
