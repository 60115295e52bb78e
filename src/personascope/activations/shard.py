"""A shard: some rows of a plan, their residuals and their answers, in one HDF5 file that is written once.

Layout: `residuals/<layer>` (row, position, d_model) per layer, contiguous, so that one layer of all rows is one run of
bytes; `option_logprobs` (row, option); `other_logmass` (row,); `row_index` (row,), the place of each row in the plan;
`token_ids` (row, position), the token read at (the last one of a span); `rows`, a JSON list of ids and meta. Half
precision is stored as its raw bits. Each dataset carries the SHA-256 of its bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Int

from personascope.activations.layout import SCHEMA, Identity, Layout, layer_name, open_regular, read_layout
from personascope.activations.publish import link_once, temporary_path
from personascope.errors import ActivationError, StoreError
from personascope.files import canonical_json, sha256_file
from personascope.models.backend import Outputs
from personascope.shapes import Features

_VALUE_TYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}
# HDF5 1.10 is the oldest format whose metadata carry checksums of their own.
_FORMAT = ("v110", "v110")


@dataclass(frozen=True)
class ShardRecord:
    """One published shard: its number, its row count and the SHA-256 of its file."""

    shard: int
    rows: int
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
    """A shard on disk whose structure was checked; `verify` checks its payload."""

    path: Path
    layout: Layout

    @classmethod
    def open(cls, path: Path) -> Shard:
        """Open a shard file.

        Raises:
            StoreError: damaged, hostile, or of another schema.
            OSError: the file cannot be opened.
        """
        return cls(path, read_layout(path))

    def verify(self) -> None:
        """Compare every dataset with its digest.

        Raises:
            StoreError: a byte of the payload is not what was written.
        """
        for name, block in self.layout.blocks.items():
            if _digest(self.read(name)) != block.sha256:
                raise StoreError(
                    f"{self.path}: {name!r} is not what was written.",
                    "Its bytes do not have the SHA-256 that was stored with them.",
                    "Run the collection again: the shard is discarded and computed anew.",
                )

    def read(self, name: str) -> np.ndarray:
        """One dataset as it lies on disk: half precision comes as raw uint16 bits."""
        block = self.layout.blocks[name]
        values = np.empty(block.shape, dtype=block.disk_type)
        if block.size:
            with open_regular(self.path) as stream:
                stream.seek(block.offset)
                length = stream.readinto(values.data.cast("B"))
            if length != block.size:
                raise StoreError(f"{self.path}: {name!r} is cut short.", "The file changed while it was read.")
        return values

    def residuals(self, layer: int, position: int) -> Features:
        """Residual rows of one layer at one position (by its number), shape (row, d_model), float32."""
        name = layer_name(layer)
        stored = self.read(name)[:, position]
        value_type = self.layout.blocks[name].value_type
        if value_type == "bfloat16":
            # bfloat16 is the upper half of float32: exact, and far faster than the library's conversion.
            return (stored.astype(np.uint32) << 16).view(np.float32)
        return stored.view(value_type).astype(np.float32)

    def rows(self) -> list[dict[str, Any]]:
        """Ids and meta of the rows, in the shard's order."""
        try:
            rows = json.loads(self.read("rows").tobytes())
            texts = [text for row in rows for text in (row["id"], *row["meta"].values())]
            valid = len(rows) == self.layout.n_rows and all(isinstance(text, str) for text in texts)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            valid = False
        if not valid:
            raise StoreError(f"{self.path}: its list of rows is not one entry of texts with id and meta per row.")
        return list(rows)

    def record(self) -> ShardRecord:
        """Record for the manifest."""
        return ShardRecord(self.layout.shard, self.layout.n_rows, sha256_file(self.path))


def shard_path(folder: Path, shard: int) -> Path:
    """File of a shard by its number."""
    return folder / f"shard-{shard:05d}.h5"


def write_shard(folder: Path, plan: ShardPlan, outputs: Outputs) -> ShardRecord:
    """Check, write, read back and publish one shard; if it exists already, the one that exists stands.

    Returns:
        The record of the shard that is now in the folder.

    Raises:
        ActivationError: outputs of other shapes than planned, or NaN or infinity in them; nothing is written.
        StoreError: what was read back is not what was written, or an existing shard is not valid.
        OSError: the disk is full or failing; no temporary is left.
    """
    _require_shapes(plan, outputs)
    _require_finite(plan, outputs)
    target = shard_path(folder, plan.shard)
    with temporary_path(folder, ".h5") as temporary:
        with temporary.open("xb") as stream:
            # Built in memory, so that a full disk is met by one plain write and never inside the HDF5 library.
            stream.write(_image(plan, outputs).getbuffer())
        written = Shard.open(temporary)
        written.verify()
        record = written.record()
        if link_once(temporary, target):
            return record
    existing = Shard.open(target)
    existing.verify()
    if existing.layout.identity != plan.identity:
        raise StoreError(f"{target}: this name was taken by another plan's shard meanwhile.")
    return existing.record()


def _image(plan: ShardPlan, outputs: Outputs) -> io.BytesIO:
    image = io.BytesIO()
    with h5py.File(image, "w", libver=_FORMAT) as file:
        # Fixed-length text: variable-length strings would be kept in a heap that has no checksum.
        file.attrs["schema"] = np.bytes_(SCHEMA)
        file.attrs["plan_key"] = np.bytes_(plan.plan_key)
        file.attrs["shard"] = np.int64(plan.shard)
        file.create_group("residuals")
        for name, values in _datasets(plan, outputs):
            dataset = file.create_dataset(name, data=values)
            dataset.attrs["sha256"] = np.bytes_(_digest(values))
            if name.startswith("residuals"):
                dataset.attrs["dtype"] = np.bytes_(_VALUE_TYPES[outputs.residuals.dtype])
    return image


def _datasets(plan: ShardPlan, outputs: Outputs) -> Iterator[tuple[str, np.ndarray]]:
    for number, layer in enumerate(plan.layers):
        block = outputs.residuals[:, number].detach().contiguous()
        yield layer_name(layer), (block if block.dtype == torch.float32 else block.view(torch.uint16)).numpy()
    yield "option_logprobs", outputs.option_logprobs.detach().contiguous().numpy()
    yield "other_logmass", _other_logmass(plan, outputs).numpy()
    yield "row_index", np.ascontiguousarray(plan.row_index, dtype=np.int64)
    yield "token_ids", np.ascontiguousarray(plan.token_ids, dtype=np.int64)
    yield "rows", np.frombuffer(canonical_json(list(plan.rows)).encode("utf-8"), dtype=np.uint8)


def _other_logmass(plan: ShardPlan, outputs: Outputs) -> torch.Tensor:
    """Without options all probability lies outside of them: log 1, whatever the backend left in this field."""
    return outputs.other_logmass.detach().contiguous() if plan.n_options else torch.zeros(len(plan.rows))


def _require_shapes(plan: ShardPlan, outputs: Outputs) -> None:
    n = len(plan.rows)
    residuals, options, other = outputs.residuals, outputs.option_logprobs, _other_logmass(plan, outputs)
    fits = residuals.ndim == 4 and residuals.shape[:3] == (n, len(plan.layers), len(plan.positions))
    fits = fits and tuple(options.shape) == (n, plan.n_options) and tuple(other.shape) == (n,)
    if not fits or residuals.dtype not in _VALUE_TYPES or {options.dtype, other.dtype} != {torch.float32}:
        found = [f"{tuple(tensor.shape)} {tensor.dtype}" for tensor in (residuals, options, other)]
        raise ActivationError(
            f"Shard {plan.shard}: the backend returned residuals {found[0]}, option_logprobs {found[1]} and "
            f"other_logmass {found[2]}.",
            f"Asked for were {n} rows, layers {plan.layers}, positions {plan.positions} and {plan.n_options} options; "
            "residuals may be float32, bfloat16 or float16, the answers are float32.",
            "The backend does not keep the contract of personascope.models.backend.Outputs.",
        )


def _require_finite(plan: ShardPlan, outputs: Outputs) -> None:
    wrong = ~torch.isfinite(outputs.residuals).all(dim=-1)
    answers = torch.cat([outputs.option_logprobs, _other_logmass(plan, outputs)[:, None]], dim=1)
    wrong_rows = wrong.flatten(1).any(dim=1) | ~torch.isfinite(answers).all(dim=1)
    if not wrong_rows.any():
        return
    first = int(torch.nonzero(wrong_rows)[0])
    place = "the answer's log-probabilities"
    if wrong[first].any():
        layer, position = torch.nonzero(wrong[first])[0].tolist()
        place = f"layer {plan.layers[layer]}, position {plan.positions[position]!r}"
    raise ActivationError(
        f"{int(wrong_rows.sum())} of {len(plan.rows)} rows have NaN or infinity; the first is row "
        f"{plan.rows[first]['id']!r} at {place}.",
        f"Residuals in {outputs.residuals.dtype} overflow, or the model's weights are damaged.",
        "Load the model in float32 or bfloat16 (float16 overflows in some models), or leave the row out.",
    )


def _digest(values: np.ndarray) -> str:
    # A memory view of an empty array cannot be cast to bytes.
    return hashlib.sha256(values.data.cast("B") if values.size else b"").hexdigest()
