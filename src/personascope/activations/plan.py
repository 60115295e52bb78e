"""The plan: which rows will be read where, what that costs, and everything that can change a number.

A plan is a value: it is made and summed up before anything runs. Its key is the SHA-256 of its fields; two plans with
the same key ask for the same numbers, and a folder filled under one key never takes rows of another.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, takewhile

import numpy as np
import polars as pl

from personascope.activations.layout import SCHEMA
from personascope.activations.shard import ShardPlan
from personascope.errors import DataError
from personascope.files import canonical_json, sha256_json
from personascope.prompts.labels import Options
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt

TOKEN_COLUMN = "token:"  # noqa: S105 (a column name, no password)
_OWN_FIELDS = ("schema", "layers", "positions", "options", "rows", "shards")


@dataclass(frozen=True)
class Row:
    """One prompt to run, with its id and what is known of it (persona, item, order, ...)."""

    id: str
    prompt: Prompt
    meta: Mapping[str, str]


@dataclass(frozen=True)
class PlanSummary:
    """What a plan will take: counts, and bytes on disk without HDF5's own few KB per shard.

    `tokens` is the sum of prompt lengths; `unique_tokens` the number of edges of the tree of all prompts, that is, the
    tokens left to compute when every shared prefix is computed once.
    """

    rows: int
    tokens: int
    unique_tokens: int
    bytes: int
    shards: int

    def frame(self) -> pl.DataFrame:
        """One row, one column per figure."""
        return pl.DataFrame([dataclasses.asdict(self)])


@dataclass(frozen=True)
class Plan:
    """Rows, where their residuals are read, and the context that gives the numbers their meaning.

    Args:
        name: for people; it does not enter the key.
        rows: in the order in which the store will show them; this and the other sequences are kept as tuples.
        layers: 0-based decoder blocks whose `resid_post` is kept; may be empty if `options` are asked for.
        positions: names of `personascope.prompts.positions`.
        options: answer labels whose log-probabilities are kept, or None.
        context: `backend.fingerprint()` and hashes of data, by name.
        rows_per_shard: rows in one file, which is also what a crash can lose at most.

    Raises:
        DataError: nothing to compute, repeated ids, layers or positions, unequal or reserved meta keys, text that
            is not valid Unicode.
        SpanError: a position does not exist in one of the prompts.
    """

    name: str
    rows: Sequence[Row]
    layers: Sequence[int]
    positions: Sequence[str]
    options: Options | None
    context: Mapping[str, str]
    rows_per_shard: int = 256

    def __post_init__(self) -> None:
        for name in ("rows", "layers", "positions"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "context", dict(self.context))
        _require_work(self)
        _require_distinct("row ids", [row.id for row in self.rows])
        _require_distinct("layers", list(self.layers))
        _require_distinct("positions", list(self.positions))
        _require_plain_meta(self.rows)
        _require_text(self)
        self._token_ids  # noqa: B018 (resolves every position now, before anything runs)

    def shards(self) -> tuple[tuple[int, ...], ...]:
        """Plan indices of the rows of each shard, in the order in which they run.

        Rows are sorted by token ids, so that rows with a long common prefix are neighbours and share a shard.
        """
        return self._shards

    def shard(self, number: int) -> ShardPlan:
        """What shard `number` will hold."""
        indices = list(self._shards[number])
        return ShardPlan(
            shard=number,
            plan_key=self.key(),
            layers=tuple(self.layers),
            positions=tuple(self.positions),
            n_options=self._n_options,
            rows=tuple(_card(self.rows[index]) for index in indices),
            row_index=np.array(indices, dtype=np.int64),
            token_ids=self._token_ids[indices],
        )

    def fields(self) -> dict[str, str]:
        """Everything that can change a number, by name: the context's entries, and hashes or values of the rest."""
        return dict(self._fields)

    def key(self) -> str:
        """SHA-256 of the fields."""
        return self._key

    def summary(self, d_model: int, bytes_per_value: int) -> PlanSummary:
        """Count rows, tokens, bytes on disk and shards without running anything."""
        texts = [row.prompt.ids for row in self.rows]
        residuals = len(self.layers) * len(self.positions) * d_model * bytes_per_value
        numbers = 4 * (self._n_options + 1) + 8 * (1 + len(self.positions)) + 1
        cards = sum(len(canonical_json(_card(row)).encode("utf-8")) + 1 for row in self.rows) + len(self._shards)
        return PlanSummary(
            rows=len(self.rows),
            tokens=sum(map(len, texts)),
            unique_tokens=unique_tokens(texts),
            bytes=len(self.rows) * (residuals + numbers) + cards,
            shards=len(self._shards),
        )

    @property
    def _n_options(self) -> int:
        return len(self.options.labels) if self.options else 0

    @cached_property
    def _shards(self) -> tuple[tuple[int, ...], ...]:
        order = sorted(range(len(self.rows)), key=lambda index: self.rows[index].prompt.ids)
        cuts = range(0, len(order), self.rows_per_shard)
        return tuple(tuple(order[start : start + self.rows_per_shard]) for start in cuts)

    @cached_property
    def _token_ids(self) -> np.ndarray:
        """Shape (row, position), int64."""
        tokens = [
            [row.prompt.ids[resolve(row.prompt, position)[-1]] for position in self.positions] for row in self.rows
        ]
        return np.array(tokens, dtype=np.int64).reshape(len(self.rows), len(self.positions))

    @cached_property
    def _fields(self) -> dict[str, str]:
        rows = hashlib.sha256()
        for row in self.rows:
            spans = {name: list(span) for name, span in row.prompt.spans.items()}
            rows.update(canonical_json([row.id, list(row.prompt.ids), spans, dict(row.meta)]).encode("utf-8") + b"\n")
        options = self.options and {"labels": self.options.labels, "token_ids": self.options.token_ids}
        shards = {"rows": len(self.rows), "rows_per_shard": self.rows_per_shard, "sha256": sha256_json(self._shards)}
        return {
            **self.context,
            "schema": SCHEMA,
            "layers": canonical_json(self.layers),
            "positions": canonical_json(self.positions),
            "options": canonical_json(options),
            "rows": rows.hexdigest(),
            "shards": canonical_json(shards),
        }

    @cached_property
    def _key(self) -> str:
        return sha256_json(self._fields)


def _card(row: Row) -> dict[str, object]:
    return {"id": row.id, "meta": dict(row.meta)}


def unique_tokens(texts: Sequence[tuple[int, ...]]) -> int:
    """Edges of the tree of all texts: the tokens that are computed when every shared beginning is computed once."""
    shared = sum(_common_prefix(before, after) for before, after in pairwise(sorted(texts)))
    return sum(map(len, texts)) - shared


def _common_prefix(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False)))


def _require_work(plan: Plan) -> None:
    asked = (plan.layers and plan.positions) or plan.options
    empty = [row.id for row in plan.rows if not row.prompt.ids]
    if not plan.rows or not asked or plan.rows_per_shard < 1 or min(plan.layers, default=0) < 0 or empty:
        raise DataError(
            f"Plan {plan.name!r} cannot be computed: {len(plan.rows)} rows, layers {plan.layers}, positions "
            f"{plan.positions}, options {plan.options and plan.options.labels}, {plan.rows_per_shard} rows per shard, "
            f"rows without tokens: {empty[:3]}.",
            "A plan needs at least one row, tokens in each, and layers (0-based) with positions, or options.",
            "Check how the rows were selected.",
        )


def _require_distinct(what: str, values: Sequence[str | int]) -> None:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise DataError(
            f"{what} are repeated: {repeated[:3]}{' ...' if len(repeated) > 3 else ''}.",
            "Each names its own place in the store.",
            "Drop the repetitions; for rows, put what differs (persona, order, phrasing) into the id.",
        )


def _require_plain_meta(rows: Sequence[Row]) -> None:
    keys = set(rows[0].meta)
    for row in rows:
        if set(row.meta) != keys:
            raise DataError(
                f"Row {row.id!r} has the meta keys {sorted(row.meta)}, row {rows[0].id!r} has {sorted(keys)}.",
                "Meta keys become the columns of the store's table.",
                'Give every row the same keys, with "" where one does not apply.',
            )
    reserved = [key for key in keys if key == "id" or key.startswith(TOKEN_COLUMN)]
    if reserved:
        raise DataError(f"Meta keys {reserved} are the names of the store's own columns.", "", "Rename them.")


def _require_text(plan: Plan) -> None:
    groups = [(f"row {row.id!r}", (row.id, *row.meta, *row.meta.values())) for row in plan.rows]
    for where, texts in [*groups, ("the context", (*plan.context, *plan.context.values()))]:
        wrong = [text for text in texts if not _is_text(text)]
        if wrong:
            raise DataError(
                f"In {where}: {wrong[0]!r} is not Unicode text.",
                "Ids, meta and context are stored as UTF-8, which has no lone surrogates and no other types.",
                "Write numbers as text; mend the file the text came from.",
            )
    taken = sorted(set(plan.context) & set(_OWN_FIELDS))
    if taken:
        raise DataError(f"Context names {taken} are the plan's own fields.", "", "Give these entries other names.")


def _is_text(value: object) -> bool:
    try:
        return isinstance(value, str) and value.encode("utf-8") is not None
    except UnicodeEncodeError:
        return False
