"""The store: a read-only view of a folder of shards, in the plan's order, one layer at a time."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl

from personascope.activations.layout import Identity
from personascope.activations.manifest import PlanCard, present_shards, read_plan_card, read_records
from personascope.activations.plan import TOKEN_COLUMN
from personascope.activations.quarantine import REASON, refusal
from personascope.activations.shard import COMPACT, Shard, ShardRecord, shard_path
from personascope.activations.shard_set import ShardSet
from personascope.errors import StoreError, nearest
from personascope.shapes import Features

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ActivationStore:
    """Residual rows and answers of one plan. Rows are in plan order, whatever order they were computed in.

    Bytes are compared with their digest when they are first read and whenever their file has changed since, and each
    file with what the manifest acknowledged. The compact file is read when there is a valid one, else the shards.
    Numbers of quarantined rows are refused unless they are left out (`without_quarantined`).

    Args:
        folder: where the shards are; `name`, `key` and `fields` are the plan's.
        layers, positions: what can be asked of `layer`.
        options: answer labels, the columns of `option_logprobs`; empty if none were asked for.
        n_rows: rows of the plan, whether or not they are here yet, quarantined or not.
        leaves_out: whether quarantined rows are left out of everything that is read.
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
    leaves_out: bool = False
    _checked: dict[int, Shard | None] = field(repr=False, default_factory=dict)
    _sets: dict[bool, ShardSet] = field(repr=False, default_factory=dict)

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
        """Whether every row of the plan is there."""
        return self.missing_rows == 0

    @property
    def missing_rows(self) -> int:
        """Number of rows that are neither in the compact file nor in a shard."""
        if self._compact is not None and self._compact.path.exists():
            return 0
        return self.n_rows - sum(self._length(number) for number in present_shards(self.folder))

    @cached_property
    def rows(self) -> pl.DataFrame:
        """One row per prompt: `id`, the meta columns by alphabet, and `token:<position>`, the token id read at.

        Quarantined rows are in it, as a row's name and tokens are sound, unless they are left out.

        Raises:
            StoreError: rows are missing, or a shard is damaged.
        """
        tokens = self._read(lambda shards: shards.read("token_ids"))
        columns = [pl.Series(f"{TOKEN_COLUMN}{name}", tokens[:, i]) for i, name in enumerate(self.positions)]
        cards = pl.DataFrame([{"id": card["id"], **card["meta"]} for card in self._cards], infer_schema_length=None)
        rows = cards.with_columns(columns)
        return rows.filter(~self._marks) if self.leaves_out else rows

    @cached_property
    def quarantined(self) -> pl.DataFrame:
        """Rows with NaN or infinity: `id` and `reason`, in plan order. To be counted in every report."""
        found = [(card["id"], card[REASON]) for card in self._cards if REASON in card]
        return pl.DataFrame(found, schema={"id": pl.String, "reason": pl.String}, orient="row")

    def without_quarantined(self) -> ActivationStore:
        """The same store with quarantined rows left out of `rows`, `layer` and the answers; `n_rows` stays."""
        return dataclasses.replace(self, leaves_out=True)

    def layer(self, layer: int, position: str) -> Features:
        """Residual stream after block `layer` at `position`, shape (row, d_model), float32, in plan order.

        Read shard by shard into one array: memory is that array and a few shards' rows at that place.

        Raises:
            StoreError: no such layer or position, rows are missing or quarantined, or a shard is damaged.
        """
        if layer not in self.layers or position not in self.positions:
            hint = "" if position in self.positions else nearest(position, self.positions)
            raise StoreError(
                f"{self.folder} has no layer {layer} at position {position!r}.{hint}",
                f"It has the layers {self.layers} at the positions {self.positions}.",
                "Ask for one of these, or collect what is missing into a new folder.",
            )
        number = self.positions.index(position)
        return self._finite(lambda shards: shards.layer(layer, number))

    def mean_norm(self, layer: int, position: str) -> float:
        """Mean L2 norm of the rows of `layer(layer, position)`: the unit of steering coefficients."""
        values = self.layer(layer, position)
        return float(np.sqrt(np.einsum("ij,ij->i", values, values, dtype=np.float64)).mean())

    @cached_property
    def option_logprobs(self) -> np.ndarray:
        """Log-probability of each option, shape (row, option), float32, in plan order; no quarantined rows."""
        return self._finite(lambda shards: shards.read("option_logprobs"))

    @cached_property
    def other_logmass(self) -> np.ndarray:
        """Log-probability of all tokens outside the options, shape (row,), float32; no quarantined rows."""
        return self._finite(lambda shards: shards.read("other_logmass"))

    def shard_set(self) -> ShardSet:
        """The shards, each checked, without the compact file.

        Raises:
            StoreError: shards are missing or damaged.
        """
        present = present_shards(self.folder)
        missing = self.n_rows - sum(map(self._length, present))
        if missing:
            raise StoreError(
                f"{self.folder} is incomplete: {missing} of {self.n_rows} rows are missing.",
                "The collection was interrupted, or shard files were removed.",
                "Run the same collection again: it computes only what is missing.",
            )
        numbers = range(-(-self.n_rows // self.rows_per_shard))
        return self._set([self._shard(number) for number in numbers])

    @cached_property
    def _cards(self) -> list[dict[str, Any]]:
        return self._read(lambda shards: shards.cards())

    @cached_property
    def _marks(self) -> np.ndarray:
        """Which rows are quarantined, shape (row,), bool."""
        return self._read(lambda shards: shards.read("quarantined")).astype(bool)

    def _finite(self, read: Callable[[ShardSet], np.ndarray]) -> np.ndarray:
        marks = self._marks
        if not marks.any():
            return self._read(read)
        if not self.leaves_out:
            found = self.quarantined
            raise refusal(str(self.folder), found["id"].to_list(), found["reason"].to_list(), self.n_rows)
        return np.asarray(self._read(read)[~marks])

    def _read(self, read: Callable[[ShardSet], Result]) -> Result:
        """Read from the compact file; if it proves damaged and the shards are all there, from them."""
        compact = self._compact
        if compact is None:
            return read(self.shard_set())
        try:
            return read(self._set([compact]))
        except StoreError as error:
            try:
                shards = self.shard_set()
            except StoreError:
                raise error from None
            _log.warning("Reading the shards instead of the compact file. %s", error)
            self._checked[COMPACT] = None
            return read(shards)

    def _set(self, shards: list[Shard]) -> ShardSet:
        """One view of the shards and one of the compact file, so that the order of the rows is worked out once."""
        is_compact = shards[0].layout.shard == COMPACT
        known = self._sets.get(is_compact)
        if known is None or list(known.shards) != shards:
            known = self._sets[is_compact] = ShardSet(self.folder, shards, self.n_rows)
        return known

    @property
    def _compact(self) -> Shard | None:
        """The compact file, if there is one that is what was acknowledged."""
        if COMPACT not in self._checked:
            path = shard_path(self.folder, COMPACT)
            if not os.path.lexists(path):
                return None
            try:
                self._checked[COMPACT] = self._check(Shard.open(path), COMPACT)
            except StoreError as error:
                if self.n_rows > sum(map(self._length, present_shards(self.folder))):
                    raise
                _log.warning("Reading the shards instead of the compact file. %s", error)
                self._checked[COMPACT] = None
        return self._checked[COMPACT]

    def _length(self, number: int) -> int:
        """Rows that a file has by plan; 0 for a number beyond it."""
        if number == COMPACT:
            return self.n_rows
        return max(0, min(self.rows_per_shard, self.n_rows - number * self.rows_per_shard))

    def _shard(self, number: int) -> Shard:
        shard = self._checked.get(number)
        if shard is None:
            shard = self._checked[number] = self._check(Shard.open(shard_path(self.folder, number)), number)
        return shard

    def _check(self, shard: Shard, number: int) -> Shard:
        acknowledged = self._acknowledged.get(number)
        if acknowledged not in (None, shard.record()):
            raise StoreError(
                f"{shard.path} is not the file that was acknowledged.",
                "The SHA-256 of its structure differs from the manifest's: it was damaged or replaced.",
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
