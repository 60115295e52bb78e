"""Shards that together hold every row of a plan once, read as one table in the plan's order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from personascope.activations.digest import scratch, side_by_side
from personascope.activations.layout import RESIDUALS, residual_name
from personascope.activations.shard import Shard
from personascope.errors import StoreError
from personascope.shapes import Features


class ShardSet:
    """Read-only view of some shards.

    Args:
        folder: for messages.
        shards: whose structure and identity were checked; of all their rows each of the plan's must be there once.
        n_rows: rows of the plan.
    """

    def __init__(self, folder: Path, shards: Sequence[Shard], n_rows: int) -> None:
        self.folder, self.shards, self.n_rows = folder, tuple(shards), n_rows
        kinds = {_kind(shard) for shard in self.shards}
        if len(kinds) > 1:
            raise StoreError(f"{folder}: its shards hold values of different types or widths: {sorted(kinds)}.")

    @cached_property
    def places(self) -> list[np.ndarray]:
        """Plan indices of each shard's rows.

        Raises:
            StoreError: a row is missing or there twice, or a shard is damaged.
        """
        places = [shard.read("row_index") for shard in self.shards]
        if not np.array_equal(np.sort(np.concatenate(places)), np.arange(self.n_rows)):
            raise StoreError(f"{self.folder}: its shards do not hold each of the {self.n_rows} rows once.")
        return places

    def layer(self, layer: int, position: int) -> Features:
        """Residual rows at a position (by its number), shape (row, d_model), float32.

        Memory is the result and, per thread, one shard's rows; a shard whose rows are consecutive is read in place.

        Raises:
            StoreError: a shard is damaged.
        """
        blocks = [shard.layout.blocks[residual_name(layer, position)] for shard in self.shards]
        values = np.empty((self.n_rows, blocks[0].shape[1]), dtype=np.float32)

        def fill(item: tuple[Shard, np.ndarray]) -> None:
            shard, places = item
            if len(places) and np.array_equal(places, np.arange(places[0], places[0] + len(places))):
                shard.residuals_into(layer, position, values[places[0] : places[0] + len(places)])
            else:
                size = len(places) * values.shape[1]
                rows = np.frombuffer(scratch(4 * size), np.float32).reshape(len(places), values.shape[1])
                shard.residuals_into(layer, position, rows)
                values[places] = rows

        side_by_side(fill, list(zip(self.shards, self.places, strict=True)), sum(block.size for block in blocks))
        return values

    def read(self, name: str) -> np.ndarray:
        """One of the other blocks of all shards."""
        values = np.concatenate([shard.read(name) for shard in self.shards])
        return np.asarray(values[self._from_shards])

    def cards(self) -> list[dict[str, Any]]:
        """Ids and meta of the rows, with the reason where a row is quarantined."""
        cards = [card for shard in self.shards for card in shard.rows()]
        return [cards[place] for place in self._from_shards]

    @cached_property
    def _from_shards(self) -> np.ndarray:
        """For each row of the plan its place in the order of the shards, shape (row,)."""
        return np.argsort(np.concatenate(self.places))


def _kind(shard: Shard) -> tuple[str, int]:
    blocks = (block for name, block in shard.layout.blocks.items() if name.startswith(f"{RESIDUALS}/"))
    return next(((block.value_type, block.shape[1]) for block in blocks), ("", 0))
