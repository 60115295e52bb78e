"""What is done to the residual stream at one layer and a named position, and where that is in a batch.

One formula covers every kind. At each token that the position names, the residual row h after the block becomes

    h' = h - E^T E h + offset,  rescaled to the length of h where `keep_norm`

with E the orthonormal rows of `erase`: adding (E empty), projecting out (offset 0), clamping a coordinate (offset = the
coordinate to be), turning at constant length (`keep_norm`). With `rows`, h' is the row given instead: patching.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from personascope.files import sha256_json
from personascope.models.tree import Segment
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt
from personascope.shapes import Vector

Phase = Literal["prompt", "generation"]
_ONWARD = ("all", "from:")
"""Positions without an end of their own: what acts there goes on through the answer."""


@dataclass(frozen=True, eq=False)
class Intervention:
    """Change `resid_post[layer]` at every token that `where` names.

    Args:
        layer: 0-based decoder block after whose output the stream is changed.
        offset: what is added, shape (d_model,), in the units of the residual stream.
        where: a position of `prompts.positions`, e.g. "mean:task_a", "from:item", "answer".
        erase: orthonormal rows, shape (rank, d_model); the components along them are taken out before adding.
        keep_norm: rescale each changed row to the length that it had.
        rows: for each prompt of the call what its named tokens are replaced by, shape (token, d_model) each.
        phase: "prompt" acts on tokens of the prompt only, "generation" on generated ones only; None on both at "all"
            and "from:SPAN", which have no end of their own, and else on the prompt.
    """

    layer: int
    offset: Vector
    where: str
    erase: Float[np.ndarray, "rank d_model"] | None = None
    keep_norm: bool = False
    rows: tuple[Float[np.ndarray, "_ d_model"], ...] | None = None
    phase: Phase | None = None

    @property
    def acts(self) -> bool:
        """Whether it can change anything: a zero offset with nothing erased is left out, so it is exactly nothing."""
        return self.rows is not None or self.erase is not None or bool(np.any(self.offset))

    @property
    def reads_prompt(self) -> bool:
        """Whether it acts on tokens of the prompt."""
        return self.phase != "generation"

    @property
    def goes_on(self) -> bool:
        """Whether it acts on generated tokens too."""
        onward = self.phase == "generation" or (self.phase is None and self.where.startswith(_ONWARD))
        return onward and self.rows is None  # no rows are known of tokens that are not written yet

    def hash(self) -> str:
        """Content hash of all that can change a number."""
        arrays = [self.offset, self.erase, *(self.rows or ())]
        values = [None if array is None else np.asarray(array, dtype=np.float64).tolist() for array in arrays]
        return sha256_json([self.layer, self.where, self.keep_norm, self.phase, self.rows is not None, values])


Cell = tuple[Intervention, ...]
"""One condition of a sweep: what is done, at one layer or several; () is the unsteered baseline."""


def cell_hash(cell: Cell) -> str:
    """Content hash of a cell, "no" of one that does nothing."""
    acting = [intervention.hash() for intervention in cell if intervention.acts]
    return sha256_json(acting) if acting else "no"


@dataclass(frozen=True)
class Change:
    """The formula's arguments: `offset` is (d_model,), or (entry, d_model) where entries differ or it `replaces`."""

    offset: Tensor
    erase: Tensor | None = None
    keep_norm: bool = False
    replaces: bool = False

    def of(self, rows: Tensor) -> Tensor:
        """Changed rows, shape (entry, d_model), in their own dtype; computed in float32 or better, rounded once."""
        exact = rows.to(torch.promote_types(rows.dtype, torch.float32))
        offset = self.offset.to(exact)
        if self.replaces:
            return offset.to(rows.dtype)
        changed = exact
        if self.erase is not None:
            erase = self.erase.to(exact)
            changed = changed - (changed @ erase.T) @ erase
        changed = changed + offset
        if self.keep_norm:
            changed = changed * (exact.norm(dim=-1, keepdim=True) / changed.norm(dim=-1, keepdim=True).clamp_min(1e-12))
        return changed.to(rows.dtype)

    def to(self, device: torch.device) -> Change:
        """The same on a device."""
        erase = None if self.erase is None else self.erase.to(device)
        return replace(self, offset=self.offset.to(device), erase=erase)


Steering = list[tuple[Tensor, Tensor, Change]]
"""For one layer: (slots, tokens, change) per intervention."""


def change_of(intervention: Intervention, rows: Sequence[tuple[int, int]] = ()) -> Change:
    """The formula's arguments; where rows are replaced, for these (prompt, which of its named tokens), in order."""
    if intervention.rows is not None:
        given = np.stack([intervention.rows[prompt][token] for prompt, token in rows])
        return Change(torch.as_tensor(given), replaces=True)
    erase = None if intervention.erase is None else torch.as_tensor(intervention.erase)
    return Change(torch.as_tensor(intervention.offset), erase, intervention.keep_norm)


def steering_of(
    batch: list[Segment], prompts: Sequence[Prompt], interventions: Sequence[Intervention], device: torch.device
) -> dict[int, Steering]:
    """By layer, where in a batch of segments what is done; all rows of a segment are steered alike."""
    steering: dict[int, Steering] = {}
    entries: dict[str, list[tuple[int, int, int]]] = {}
    places: dict[str, tuple[Tensor, Tensor]] = {}
    for intervention in interventions:
        where = intervention.where
        if where not in entries:
            entries[where] = _entries(batch, prompts, where)
            if entries[where]:
                slots, tokens, _ = torch.tensor(entries[where], device=device).T.contiguous()
                places[where] = slots, tokens
        if where in places and intervention.reads_prompt:
            given = [(batch[slot].rows[0], which) for slot, _, which in entries[where]]
            change = change_of(intervention, given).to(device)
            steering.setdefault(intervention.layer, []).append((*places[where], change))
    return steering


def _entries(batch: list[Segment], prompts: Sequence[Prompt], where: str) -> list[tuple[int, int, int]]:
    """(slot, token in the segment, which of the named tokens) of all that `where` names in the segments of a batch."""
    return [
        (slot, token - segment.start, token - tokens.start)
        for slot, segment in enumerate(batch)
        for tokens in [resolve(prompts[segment.rows[0]], where)]
        for token in tokens
        if segment.start <= token < segment.stop
    ]


def change_all(hidden: Tensor, steering: Steering) -> Tensor:
    """A copy of `hidden`, shape (batch, token, d_model), with everything done; `hidden` itself without any."""
    if steering:
        hidden = hidden.clone()
        for slots, tokens, change in steering:
            place = slots.to(hidden.device), tokens.to(hidden.device)
            hidden[place] = change.of(hidden[place])
    return hidden
