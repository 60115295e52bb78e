"""Training examples that begin alike, packed so that their common beginning is computed once, gradients included.

Examples of one questionnaire share persona, instruction and scale, and differ in the few tokens of an item. A batch is
laid out as one sequence: each beginning once, behind it what follows in each example, with the positions that the
tokens have in their own text, and a mask that lets every token see its own text alone. Losses and gradients are those
of the rows apart, up to rounding; under dropout the beginning is dropped once for all of its examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from personascope.models.anatomy import Anatomy

_BEGINNING = -1


@dataclass(frozen=True)
class Packed:
    """A batch as one sequence.

    Args:
        ids: tokens, shape (token,).
        positions: of each token in its own text.
        group: number of the beginning that a token belongs to.
        branch: which example it belongs to; -1 for those of a beginning.
        read: where, in the sequence, the tokens that are taught are predicted: example by example, in their order.
    """

    ids: Tensor
    positions: Tensor
    group: Tensor
    branch: Tensor
    read: Tensor

    def allowed(self, window: int | None = None) -> Tensor:
        """Which token (row) sees which (column): its own beginning and branch up to itself, within a window if any."""
        same = (self.group[:, None] == self.group) & (
            (self.branch == _BEGINNING) | (self.branch[:, None] == self.branch)
        )
        distance = self.positions[:, None] - self.positions
        seen = same & (distance >= 0)
        return seen if window is None else seen & (distance < window)


def pack(rows: Sequence[Sequence[int]], taught: Sequence[Sequence[int]]) -> Packed:
    """Lay out examples with their common beginnings shared.

    Args:
        rows: token ids of each example, without padding.
        taught: of each example the places of the tokens that the loss falls on, ascending and from 1 on. What predicts
            them is never part of a shared beginning.
    """
    ends = [places[0] - 1 for places in taught]
    ids: list[int] = []
    columns: list[tuple[int, int, int]] = []
    starts: dict[int, tuple[int, int]] = {}
    for number, (members, shared) in enumerate(_groups(rows, ends)):
        ids += rows[members[0]][:shared]
        columns += [(place, number, _BEGINNING) for place in range(shared)]
        for row in members:
            starts[row] = (len(ids), shared)
            ids += rows[row][shared:]
            columns += [(place, number, row) for place in range(shared, len(rows[row]))]
    read = [starts[row][0] + place - 1 - starts[row][1] for row, places in enumerate(taught) for place in places]
    positions, group, branch = torch.tensor(columns).T
    return Packed(torch.tensor(ids), positions, group, branch, torch.tensor(read))


def packed_hidden(anatomy: Anatomy, packed: Packed) -> Tensor:
    """What the head reads where taught tokens are predicted, shape (taught, d_model)."""
    embedding = next(iter(anatomy.layers.parameters()))
    masks = {kind: additive_mask(packed.allowed(window), embedding) for kind, window in anatomy.attention_kinds.items()}
    hidden: Tensor = anatomy.body(
        input_ids=packed.ids[None].to(embedding.device),
        position_ids=packed.positions[None].to(embedding.device),
        attention_mask=next(iter(masks.values())) if len(masks) == 1 else masks,
        use_cache=False,
    ).last_hidden_state
    return hidden[0, packed.read.to(hidden.device)]


def additive_mask(allowed: Tensor, like: Tensor) -> Tensor:
    """What attention adds, shape (1, 1, token, token)."""
    hidden = torch.zeros(allowed.shape, dtype=like.dtype).masked_fill(~allowed, torch.finfo(like.dtype).min)
    return hidden[None, None].to(like.device)


def _groups(rows: Sequence[Sequence[int]], ends: Sequence[int]) -> list[tuple[list[int], int]]:
    """Examples to share a beginning, with its length: the partition of the sorted rows that computes fewest tokens."""
    order = sorted(range(len(rows)), key=lambda row: list(rows[row]))
    adjacent = [_common(rows[a], rows[b]) for a, b in pairwise(order)]
    best: list[tuple[int, int, int]] = [(0, 0, 0)]  # tokens of the first n rows, start of their last group, its sharing
    for n in range(1, len(order) + 1):
        shared, tokens = len(rows[order[n - 1]]), 0
        found: tuple[int, int, int] | None = None
        for start in range(n - 1, -1, -1):
            shared = min([shared, ends[order[start]], *(adjacent[start : start + 1] if start < n - 1 else [])])
            tokens += len(rows[order[start]])
            cost = best[start][0] + tokens - (n - start - 1) * shared
            if found is None or cost < found[0]:
                found = (cost, start, shared)
        assert found is not None
        best.append(found)
    groups = []
    n = len(order)
    while n:
        _, start, shared = best[n]
        groups.append((order[start:n], shared if n - start > 1 else 0))
        n = start
    return groups[::-1]


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two rows begin with alike."""
    return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
