"""Writing shards: check what the backend returned, write it, read it back, publish it once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from personascope.activations.digest import side_by_side
from personascope.activations.image import Head, Image, plan_image, write_block, write_frame
from personascope.activations.layout import Block, Identity, residual_name
from personascope.activations.publish import link_once, temporary_path
from personascope.activations.quarantine import REASON, reasons, require_some_finite
from personascope.activations.shard import Shard, ShardPlan, ShardRecord, shard_path
from personascope.errors import ActivationError, StoreError
from personascope.files import canonical_json
from personascope.models.backend import Outputs

_VALUE_TYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}


def write_shard(folder: Path, plan: ShardPlan, outputs: Outputs) -> ShardRecord:
    """Check, write, read back and publish one shard; if it exists already, the one that exists stands.

    Rows with NaN or infinity are quarantined: kept as they are, marked, with a reason.

    Returns:
        The record of the shard that is now in the folder.

    Raises:
        ActivationError: outputs of other shapes than planned, or no finite row; nothing is written.
        StoreError: what was read back is not what was written, or an existing shard is not valid.
        OSError: the disk is full or failing; no temporary is left.
    """
    _require_shapes(plan, outputs)
    members = _members(plan, outputs)
    residuals = outputs.residuals.detach()
    bits = (residuals if residuals.dtype == torch.float32 else residuals.contiguous().view(torch.uint16)).numpy()
    head = Head(plan.plan_key, plan.shard, plan.layers, _VALUE_TYPES[residuals.dtype])
    image = plan_image(head, (bits.shape[1], bits.shape[2], bits.shape[0], bits.shape[3]), members)
    slices = {
        residual_name(layer, position): bits[:, number, position]
        for number, layer in enumerate(plan.layers)
        for position in range(len(plan.positions))
    }

    def write(descriptor: int) -> list[str]:
        blocks = list(image.blocks.items())
        return side_by_side(
            lambda item: write_block(descriptor, item[1], slices[item[0]] if item[0] in slices else members[item[0]]),
            blocks,
            image.size,
        )

    return publish_image(folder, plan.identity, image, write)


def publish_image(folder: Path, identity: Identity, image: Image, write: Callable[[int], list[str]]) -> ShardRecord:
    """Write a shard file through `write(descriptor) -> digests`, check it, and give it its name for good.

    Raises:
        StoreError: as for `write_shard`.
        OSError: as for `write_shard`.
    """
    target = shard_path(folder, identity.shard)
    with temporary_path(folder, ".h5") as temporary:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            write_frame(descriptor, image, write(descriptor))
        finally:
            os.close(descriptor)
        written = Shard.open(temporary)
        if written.layout.identity != identity or _places(written.layout.blocks) != _places(image.blocks):
            raise StoreError(f"{temporary}: HDF5 reads the file otherwise than it was written; nothing was published.")
        if link_once(temporary, target):
            return written.record()
    existing = Shard.open(target)
    existing.verify()
    if existing.layout.identity != identity:
        raise StoreError(f"{target}: this name was taken by another plan's shard meanwhile.")
    return existing.record()


def _places(blocks: dict[str, Block]) -> dict[str, tuple[int, int]]:
    return {name: (block.offset if block.size else 0, block.size) for name, block in blocks.items()}


def _members(plan: ShardPlan, outputs: Outputs) -> dict[str, np.ndarray]:
    other = _other_logmass(plan, outputs)
    answers = torch.cat([outputs.option_logprobs.detach(), other[:, None]], dim=1)
    found = reasons(outputs.residuals.detach(), answers, plan.layers, plan.positions)
    require_some_finite(plan.shard, found, [str(row["id"]) for row in plan.rows], outputs.residuals.dtype)
    marks = np.zeros(len(plan.rows), dtype=np.uint8)
    marks[list(found)] = 1
    cards = [{**row, REASON: found[place]} if place in found else row for place, row in enumerate(plan.rows)]
    return {
        "option_logprobs": outputs.option_logprobs.detach().contiguous().numpy(),
        "other_logmass": other.numpy(),
        "row_index": np.ascontiguousarray(plan.row_index, dtype=np.int64),
        "token_ids": np.ascontiguousarray(plan.token_ids, dtype=np.int64),
        "quarantined": marks,
        "rows": np.frombuffer(canonical_json(cards).encode("utf-8"), dtype=np.uint8),
    }


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
