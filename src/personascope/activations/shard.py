"""A shard: some rows of a plan, their residuals and their answers, in one HDF5 file that is written once.

Layout: `residuals` (layer, position, row, d_model), contiguous, so that one layer at one position is one run of bytes;
`option_logprobs` (row, option); `other_logmass` (row,); `row_index` (row,), the place of each row in the plan;
`token_ids` (row, position), the token read at (the last one of a span); `quarantined` (row,), 1 where a number is not
finite; `rows`, a JSON list of ids, meta and reasons for quarantine; `sha256` (block, 32), the digests of every layer at
every position and of the other datasets. Half precision is stored as its raw bits.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from personascope.activations.digest import block_digest, piece_digest, pieces, side_by_side
from personascope.activations.layout import Identity, Layout, open_regular, read_layout, residual_name
from personascope.activations.quarantine import REASON, require_marked
from personascope.errors import StoreError
from personascope.shapes import Features

COMPACT = -1  # number of the file that holds every row of the plan (see `compact`)
_HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class ShardRecord:
    """One published shard: number, rows, size in bytes, and SHA-256 of its frame, which holds all other digests."""

    shard: int
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True, eq=False)
class ShardPlan:
    """What one shard will hold, in the order of its rows.

    Args:
        shard: number of the shard; `plan_key` of the plan it belongs to.
        layers, positions: the axes of the residuals; `n_options` of the option log-probabilities.
        rows: one JSON-able {"id", "meta"} per row.
        row_index: shape (row,), place of each row in the plan.
        token_ids: shape (row, position), token read at; the last one of a span.
    """

    shard: int
    plan_key: str
    layers: tuple[int, ...]
    positions: tuple[str, ...]
    n_options: int
    rows: tuple[dict[str, Any], ...]
    row_index: Int[np.ndarray, " row"]
    token_ids: Int[np.ndarray, "row position"]

    @property
    def identity(self) -> Identity:
        """What the shard on disk must say it is."""
        layers = tuple(sorted(self.layers))
        return Identity(self.plan_key, self.shard, len(self.rows), layers, self.n_options, len(self.positions))


@dataclass(frozen=True, eq=False)
class Shard:
    """A shard on disk whose structure was checked.

    A block is compared with its digest when it is first read, and again whenever the file has changed since.
    """

    path: Path
    layout: Layout
    _sound: dict[str, tuple[int, ...]] = field(repr=False, default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> Shard:
        """Open a shard file.

        Raises:
            StoreError: damaged, hostile, or of another schema.
            OSError: the file cannot be opened.
        """
        return cls(path, read_layout(path))

    def verify(self) -> None:
        """Compare every block with its digest.

        Raises:
            StoreError: a byte of the payload is not what was written.
        """
        self._sound.clear()
        for name in self.layout.blocks:
            self._pieces(name, lambda _start, _piece: None)
        require_marked(self.layout, self.read("quarantined"), self.rows())

    def read(self, name: str) -> np.ndarray:
        """One block as it lies on disk: half precision comes as raw uint16 bits.

        Raises:
            StoreError: its bytes are not what was written.
        """
        block = self.layout.blocks[name]
        values = np.empty(block.shape, dtype=block.disk_type)
        self._read_into(name, values)
        return values

    def residuals(self, layer: int, position: int) -> Features:
        """Residual rows of one layer at one position (by its number), shape (row, d_model), float32."""
        values = np.empty(self.layout.blocks[residual_name(layer, position)].shape, dtype=np.float32)
        self.residuals_into(layer, position, values)
        return values

    def residuals_into(self, layer: int, position: int, values: Features) -> None:
        """As `residuals`, into an array (contiguous, float32) that is there already."""
        name = residual_name(layer, position)
        block = self.layout.blocks[name]
        if block.value_type == "float32":
            return self._read_into(name, values)
        flat = torch.from_numpy(values.reshape(-1))
        dtype = _HALF[block.value_type]

        def widen(start: int, piece: memoryview) -> None:
            if piece:
                flat[start // 2 : (start + len(piece)) // 2].copy_(torch.frombuffer(piece, dtype=dtype))

        return self._pieces(name, widen)

    def rows(self) -> list[dict[str, Any]]:
        """Ids and meta of the rows, in the shard's order, with the reason where a row is quarantined."""
        try:
            rows = json.loads(self.read("rows").tobytes())
            texts = [text for row in rows for text in (row["id"], *row["meta"].values(), row.get(REASON, ""))]
            valid = len(rows) == self.layout.n_rows and all(isinstance(text, str) for text in texts)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            valid = False
        if not valid:
            raise StoreError(f"{self.path}: its list of rows is not one entry of texts with id and meta per row.")
        return list(rows)

    def record(self) -> ShardRecord:
        """Record for the manifest."""
        return ShardRecord(self.layout.shard, self.layout.n_rows, self.layout.size, self.layout.frame_sha256)

    def _read_into(self, name: str, values: np.ndarray) -> None:
        target = values.reshape(-1).view(np.uint8).data if values.size else memoryview(b"")
        self._pieces(name, lambda _start, _piece: None, target)

    def _pieces(self, name: str, use: Callable[[int, memoryview], None], target: memoryview | None = None) -> None:
        """Read a block piece by piece, hash each, hand it to `use(start, piece)`, and compare the digest at the end.

        Args:
            name: the block.
            use: called from several threads for a large block.
            target: the block's bytes go here; without it each piece has a buffer of its own.
        """
        block = self.layout.blocks[name]
        with open_regular(self.path) as stream:
            found = os.fstat(stream.fileno())
            version = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            sound = self._sound.get(name) == version

            def read(piece: tuple[int, int]) -> bytes:
                start, end = piece
                buffer = memoryview(bytearray(end - start)) if target is None else target[start:end]
                _read_exactly(stream.fileno(), buffer, block.offset + start, f"{self.path}: {name!r}")
                digest = b"" if sound else piece_digest(buffer)
                use(start, buffer)
                return digest

            digests = side_by_side(read, pieces(block.size), block.size)
        if not sound and block_digest(digests) != block.digest:
            raise StoreError(
                f"{self.path}: {name!r} is not what was written.",
                "Its bytes do not have the digest that was stored with them.",
                "Run the collection again: the shard is discarded and computed anew.",
            )
        self._sound[name] = version


def shard_path(folder: Path, shard: int) -> Path:
    """File of a shard by its number."""
    return folder / ("compact.h5" if shard == COMPACT else f"shard-{shard:05d}.h5")


def _read_exactly(descriptor: int, buffer: memoryview, offset: int, what: str) -> None:
    done = 0
    while done < len(buffer):
        count = os.preadv(descriptor, [buffer[done:]], offset + done)
        if not count:
            raise StoreError(f"{what} is cut short.", "The file changed while it was read.")
        done += count
