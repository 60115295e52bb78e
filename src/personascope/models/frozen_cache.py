"""Keys and values of shared prefixes, frozen: batches read them, nothing is ever appended to them.

A Hugging Face forward pass mutates its cache, so a cache that is used twice has to be copied or cropped, and cropping
fails silently for sliding windows. Here each block of computed prefixes stays as it is; a batch's cache layer returns
the blocks' rows concatenated with its own new keys and values, and stores only the new ones. All layers keep all
positions (windows are imposed by the mask), so window-crossing prefixes stay exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from personascope.models.tree import Segment, ancestry


@dataclass(frozen=True)
class Block:
    """Keys and values of several segments of equal depth, right-padded.

    Args:
        keys: per layer, shape (segment, head, token, d_head); `values` likewise.
        positions: position of each token, -1 for padding, shape (segment, token).
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    positions: Tensor


@dataclass(frozen=True)
class Past:
    """For one batch: the blocks before it, and which row of each block every batch row continues."""

    blocks: tuple[Block, ...]
    rows: tuple[Tensor, ...]

    def positions(self) -> Tensor:
        """Position of every past token, -1 for padding, shape (batch, past token)."""
        return torch.cat([b.positions[r] for b, r in zip(self.blocks, self.rows, strict=True)], dim=1)


class FrozenLayer(DynamicLayer):
    """One layer's view of a `Past`; keeps the batch's own new keys and values."""

    def __init__(self, past: Past | None, layer: int, keep: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._past, self._layer, self._keep = past, layer, keep
        self.new: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Past and new keys and values of every batch row, shape (batch, head, past + new token, d_head)."""
        if self._keep:
            self.new = (key_states, value_states)
        if self._past is None:
            return key_states, value_states
        pairs = list(zip(self._past.blocks, self._past.rows, strict=True))
        keys = [_take(block.keys[self._layer], rows) for block, rows in pairs]
        values = [_take(block.values[self._layer], rows) for block, rows in pairs]
        return torch.cat([*keys, key_states], dim=-2), torch.cat([*values, value_states], dim=-2)

    def get_seq_length(self) -> int:
        """Number of past tokens, padding included."""
        return 0 if self._past is None else sum(block.positions.shape[1] for block in self._past.blocks)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """(keys seen by the attention, offset of the first)."""
        return self.get_seq_length() + query_length, 0


def past_of(batch: list[Segment], blocks: tuple[Block, ...], device: torch.device) -> Past | None:
    """Which row of each block every segment of the batch continues."""
    return Past(blocks, slots_of(batch, len(blocks), device)) if blocks else None


def slots_of(batch: list[Segment], depth: int, device: torch.device) -> tuple[Tensor, ...]:
    """For each of the first `depth` ancestors, its slot, one per segment of the batch."""
    chains = [ancestry(segment) for segment in batch]
    return tuple(torch.tensor([chain[level].slot for chain in chains], device=device) for level in range(depth))


def _take(states: Tensor, rows: Tensor) -> Tensor:
    """Rows of a block; a block of one row is expanded, which copies nothing before the concatenation."""
    return states.expand(len(rows), -1, -1, -1) if len(states) == 1 else states[rows.to(states.device)]


def frozen_cache(past: Past | None, n_layers: int, *, keep: bool) -> Cache:
    """A cache for one forward pass. `keep` remembers the new keys and values, for `block_of`."""
    return Cache(layers=[FrozenLayer(past, layer, keep) for layer in range(n_layers)])


def block_of(cache: Cache, batch: Sequence[Segment], n_layers: int) -> Block:
    """The block that a pass with `keep=True` computed; sets each segment's `slot`. Only `n_layers` layers ran."""
    layers = [layer for layer in cache.layers[:n_layers] if isinstance(layer, FrozenLayer)]
    new = [layer.new for layer in layers if layer.new is not None]
    assert len(new) == n_layers, "a layer ran without calling the cache"
    token = torch.arange(max(len(segment.tokens) for segment in batch))
    for slot, segment in enumerate(batch):
        segment.slot = slot
    positions = [torch.where(token < len(s.tokens), s.start + token, -1) for s in batch]
    device = new[0][0].device
    return Block(tuple(k for k, _ in new), tuple(v for _, v in new), torch.stack(positions).to(device))


def attention_masks(
    past: Past | None,
    positions: Tensor,
    kinds: dict[str, int | None],
    dtype: torch.dtype,
    copies: Tensor | None = None,
) -> Any:
    """Additive masks for new tokens, as they follow a past or stand beside copies of themselves.

    Args:
        past: the blocks before the batch, or None.
        positions: positions of the new tokens, -1 for padding, shape (batch, token).
        kinds: attention kind -> window (None: unlimited), as the model's layers have them.
        dtype: the model's dtype.
        copies: new tokens of different copies do not see each other, shape (token,).

    Returns:
        One mask of shape (batch, 1, token, past + token), or a dict of them by kind when the model mixes kinds.
    """
    before = positions[:, :0] if past is None else past.positions()
    seen = torch.cat([before, positions], dim=1)
    query, key = positions[:, :, None], seen[:, None, :]
    allowed = (key >= 0) & (key <= query)
    if copies is not None:
        allowed[:, :, before.shape[1] :] &= copies[:, None] == copies
    # a padded query would see nothing and give NaN; it may see everything, for nobody reads it
    allowed |= query < 0
    masks = {}
    for kind, window in kinds.items():
        visible = allowed if window is None else allowed & ((query - key < window) | (query < 0))
        mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
        masks[kind] = mask.masked_fill_(~visible, torch.finfo(dtype).min)[:, None]
    return masks if len(masks) > 1 else next(iter(masks.values()))
