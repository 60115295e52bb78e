"""The store: a read-only view of a folder of shards, in the plan's order, one layer at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from personascope.activations.layout import Identity, layer_name
from personascope.activations.manifest import PlanCard, present_shards, read_plan_card, read_records
from personascope.activations.plan import TOKEN_COLUMN
from personascope.activations.shard import Shard, ShardRecord, shard_path
from personascope.errors import StoreError, nearest
from personascope.shapes import Features


@dataclass(frozen=True, eq=False)
class ActivationStore:
    """Residual rows and answers of one plan. Rows are in plan order, whatever order they were computed in.

    Every shard is checked once, when it is first needed: its structure, and its digest against the manifest (or, if
    its line is missing there, each dataset against the digest in the file).

    Args:
        folder: where the shards are; `name`, `key` and `fields` are the plan's.
        layers, positions: what can be asked of `layer`.
        options: answer labels, the columns of `option_logprobs`; empty if none were asked for.
        n_rows: rows of the plan, whether or not they are here yet.
    """

    folder: Path
    name: str
    key: str
    fields: dict[str, str] = field(repr=False)
    layers: tuple[int, ...]
    positions: tuple[str, ...]
    options: tuple[str, ...]
    n_rows: int
    rows_per_shard: int
    _acknowledged: dict[int, ShardRecord] = field(repr=False)
    _checked: dict[int, Shard] = field(repr=False, default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> ActivationStore:
        """Open a complete or incomplete store.

        Raises:
            StoreError: no store, or its `plan.json` is damaged.
        """
        card = read_plan_card(folder)
        try:
            options, shards = json.loads(card.fields["options"]), json.loads(card.fields["shards"])
            return cls(
                folder=folder,
                name=card.name,
                key=card.key,
                fields=card.fields,
                layers=tuple(map(int, json.loads(card.fields["layers"]))),
                positions=tuple(map(str, json.loads(card.fields["positions"]))),
                options=tuple(map(str, options["labels"])) if options else (),
                n_rows=int(shards["rows"]),
                rows_per_shard=max(1, int(shards["rows_per_shard"])),
                _acknowledged=read_records(folder),
            )
        except (KeyError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise _foreign_card(card, folder) from error

    @property
    def complete(self) -> bool:
        """Whether every shard of the plan is there."""
        return self.missing_rows == 0

    @property
    def missing_rows(self) -> int:
        """Number of rows whose shard is not there."""
        present = (self._length(number) for number in present_shards(self.folder))
        return self.n_rows - sum(present)

    @cached_property
    def rows(self) -> pl.DataFrame:
        """One row per prompt: `id`, the meta columns by alphabet, and `token:<position>`, the token id read at.

        Raises:
            StoreError: rows are missing, or a shard is damaged.
        """
        cards = [{"id": card["id"], **card["meta"]} for shard in self._shards() for card in shard.rows()]
        tokens = self._in_plan_order("token_ids")
        columns = [pl.Series(f"{TOKEN_COLUMN}{name}", tokens[:, i]) for i, name in enumerate(self.positions)]
        return pl.DataFrame(cards, infer_schema_length=None)[np.argsort(self._order)].with_columns(columns)

    def layer(self, layer: int, position: str) -> Features:
        """Residual stream after block `layer` at `position`, shape (row, d_model), float32, in plan order.

        Read shard by shard into one array: memory is that array and one shard's layer.

        Raises:
            StoreError: no such layer or position, rows are missing, or a shard is damaged.
        """
        if layer not in self.layers or position not in self.positions:
            hint = "" if position in self.positions else nearest(position, self.positions)
            raise StoreError(
                f"{self.folder} has no layer {layer} at position {position!r}.{hint}",
                f"It has the layers {self.layers} at the positions {self.positions}.",
                "Ask for one of these, or collect what is missing into a new folder.",
            )
        shards, number = self._shards(), self.positions.index(position)
        d_model = shards[0].layout.blocks[layer_name(layer)].shape[2]
        values = np.empty((self.n_rows, d_model), dtype=np.float32)
        for shard, places in zip(shards, self._places(shards), strict=True):
            values[places] = shard.residuals(layer, number)
        return values

    def mean_norm(self, layer: int, position: str) -> float:
        """Mean L2 norm of the rows of `layer(layer, position)`: the unit of steering coefficients."""
        values = self.layer(layer, position)
        return float(np.sqrt(np.einsum("ij,ij->i", values, values, dtype=np.float64)).mean())

    @cached_property
    def option_logprobs(self) -> np.ndarray:
        """Log-probability of each option, shape (row, option), float32, in plan order."""
        return self._in_plan_order("option_logprobs")

    @cached_property
    def other_logmass(self) -> np.ndarray:
        """Log-probability of all tokens outside the options, shape (row,), float32, in plan order."""
        return self._in_plan_order("other_logmass")

    def _in_plan_order(self, name: str) -> np.ndarray:
        values = np.concatenate([shard.read(name) for shard in self._shards()])
        return np.asarray(values[np.argsort(self._order)])

    @cached_property
    def _order(self) -> np.ndarray:
        """Plan indices of all rows in the order of the shards, shape (row,)."""
        order = np.concatenate([shard.read("row_index") for shard in self._shards()])
        if not np.array_equal(np.sort(order), np.arange(self.n_rows)):
            raise StoreError(f"{self.folder}: its shards do not hold each of the {self.n_rows} rows once.")
        return order

    def _places(self, shards: list[Shard]) -> list[np.ndarray]:
        return np.split(self._order, np.cumsum([shard.layout.n_rows for shard in shards])[:-1])

    def _length(self, number: int) -> int:
        """Rows that shard `number` has by plan; 0 for a number beyond it."""
        return max(0, min(self.rows_per_shard, self.n_rows - number * self.rows_per_shard))

    def _shards(self) -> list[Shard]:
        missing = self.missing_rows
        if missing:
            raise StoreError(
                f"{self.folder} is incomplete: {missing} of {self.n_rows} rows are missing.",
                "The collection was interrupted, or shard files were removed.",
                "Run the same collection again: it computes only what is missing.",
            )
        return [self._shard(number) for number in range(-(-self.n_rows // self.rows_per_shard))]

    def _shard(self, number: int) -> Shard:
        if number not in self._checked:
            self._checked[number] = self._check(Shard.open(shard_path(self.folder, number)), number)
        return self._checked[number]

    def _check(self, shard: Shard, number: int) -> Shard:
        acknowledged = self._acknowledged.get(number)
        if acknowledged is None:
            shard.verify()
        elif shard.record() != acknowledged:
            raise StoreError(
                f"{shard.path} is not the file that was acknowledged.",
                "Its SHA-256 differs from the manifest's: it was damaged or replaced.",
                "Run the same collection again: a damaged shard is discarded and computed anew.",
            )
        axes = (tuple(sorted(self.layers)), len(self.options), len(self.positions))
        planned = Identity(self.key, number, self._length(number), *axes)
        if shard.layout.identity != planned:
            raise StoreError(
                f"{shard.path} does not belong to the plan {self.name!r}.",
                f"It says it is {shard.layout.identity}; planned is {planned}.",
                "Move it away and run the same collection again.",
            )
        return shard


def _foreign_card(card: PlanCard, folder: Path) -> StoreError:
    return StoreError(
        f"{folder}: the plan {card.name!r} is not one this version can read.",
        f"Its fields are {sorted(card.fields)}.",
        "Open the store with the version that made it.",
    )
