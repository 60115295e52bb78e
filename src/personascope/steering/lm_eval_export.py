"""Directions for EleutherAI's lm-evaluation-harness: the file that its model `steered` adds to the residual stream.

    write_lm_eval([0.06 * direction], Path("honesty.pt"))
    # lm_eval --model steered --model_args pretrained=MODEL,steer_path=honesty.pt --tasks ...

The harness adds `steering_coefficient x steering_vector` to the output of the module that each entry is named after, at
every token of prompt and answer, as `steer(..., where="all")` does (lm_eval/models/hf_steered.py, version 0.4.13).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from personascope.direction import Direction
from personascope.errors import DirectionError, FileFormatError
from personascope.files import atomic_write
from personascope.models.engine import HookEngine
from personascope.steering.offset_files import (
    LARGEST_FILE,
    Origin,
    card_text,
    direction_from,
    require_one_per_layer,
)
from personascope.steering.torch_archive import read_archive

_CARD = "personascope"
_BLOCK = re.compile(r"(?:[A-Za-z_]\w*\.)+(0|[1-9][0-9]{0,5})", re.ASCII)
"""A decoder block as a module's path: names, then one number."""
_LARGEST_COEFFICIENT = 1e30
"""Not infinite, and not an integer of thousands of digits."""


def hookpoint_of(engine: HookEngine) -> str:
    """How the harness calls the blocks of this model, e.g. "layers.{layer}" (Llama), "h.{layer}" (GPT-2)."""
    body = engine.model.base_model
    path = next(path for path, module in body.named_modules() if module is engine.anatomy.layers)
    return f"{path}.{{layer}}"


def write_lm_eval(directions: Sequence[Direction], path: Path, *, hookpoint: str = "layers.{layer}") -> None:
    """Write directions as a steering file of the harness; the file is whole or absent.

    Args:
        directions: of one model, at most one per layer, each with a strength.
        path: the file; the harness takes NAME.pt and NAME.pth.
        hookpoint: path of a decoder block below the model's `base_model`; `hookpoint_of` gives that of a loaded one.

    Raises:
        DirectionError: several models, widths or directions of one layer; no offset; a name that the harness
            would not take; or a hookpoint without "{layer}".
    """
    require_one_per_layer(directions)
    if path.suffix not in (".pt", ".pth"):
        raise DirectionError(f"{path} is no name for a steering file.", "The harness goes by the ending.", "Use .pt")
    entries = {}
    for one in directions:
        block = hookpoint.replace("{layer}", str(one.layer))
        if "{layer}" not in hookpoint or not _BLOCK.fullmatch(block):
            raise DirectionError(
                f"The hookpoint {hookpoint!r} names no decoder block.",
                "Directions live in the output of a block.",
                'Use the path below the model\'s base_model, e.g. "layers.{layer}" or "h.{layer}".',
            )
        entries[block] = {
            "steering_vector": torch.from_numpy(one.vector.copy())[None],
            "steering_coefficient": one.strength * one.reference_norm,
            "action": "add",
            "bias": None,
            "head_index": None,
            _CARD: card_text(one),  # the harness looks up the five above by name, and nothing else
        }
    with atomic_write(path) as stream:
        torch.save(entries, stream)


def read_lm_eval(
    path: Path,
    *,
    model: str | None = None,
    position: str | None = None,
    reference_norm: float | Mapping[int, float] | None = None,
) -> list[Direction]:
    """Read a steering file of the harness; nothing in it is unpickled (see `torch_archive`).

    Args:
        path: the .pt file.
        model: for a file that `write_lm_eval` did not write, the name of the model it is for.
        position: for such a file, where it was fitted.
        reference_norm: for such a file, the mean residual norm there, one number or a mapping from layer to number.

    Returns:
        The directions in the file's order. Ours come back as they were, the vector up to one rounding of float32.

    Raises:
        FileFormatError: not such a file, damaged, or it does more than add to whole residual streams.
        DirectionError: a file without cards, and nothing else says where it belongs.
    """
    origin = Origin(model, position, reference_norm)
    entries = read_archive(path, LARGEST_FILE)
    if type(entries) is not dict or not entries:
        raise _refusal(path, "It is not a dict of hookpoints.")
    return [_direction(path, hookpoint, entry, origin) for hookpoint, entry in entries.items()]


def _direction(path: Path, hookpoint: str, entry: Any, origin: Origin) -> Direction:
    block = _BLOCK.fullmatch(hookpoint)
    if block is None or type(entry) is not dict:
        raise _refusal(path, f"{hookpoint[:80]!r} is not a decoder block with an entry.")
    if entry.get("action") != "add" or entry.get("bias") is not None or entry.get("head_index") is not None:
        raise _refusal(path, f"{hookpoint} does not add to the whole residual stream: it clamps, or steers one head.")
    vector, coefficient = entry.get("steering_vector"), entry.get("steering_coefficient", 1.0)
    card = entry.get(_CARD)
    if not isinstance(vector, Tensor) or vector.ndim not in (1, 2) or vector.numel() != vector.shape[-1]:
        raise _refusal(path, f"{hookpoint} has no steering_vector of shape (1, d_model).")
    if type(coefficient) not in (int, float) or not abs(coefficient) < _LARGEST_COEFFICIENT:
        raise _refusal(path, f"{hookpoint} has no number as its steering_coefficient.")
    if card is not None and type(card) is not str:
        raise _refusal(path, f"{hookpoint} has a card that is no text.")
    with np.errstate(over="ignore"):  # an offset that is not finite is refused below
        offset = vector.reshape(-1).to(torch.float32).numpy() * np.float32(coefficient)
    return direction_from(offset, int(block[1]), card, origin, path.name)


def _refusal(path: Path, cause: str) -> FileFormatError:
    return FileFormatError(
        f"{path}: not a steering file of lm-evaluation-harness.", cause, "Expected a file of write_lm_eval."
    )
