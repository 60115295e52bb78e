"""Directions as a control vector of llama.cpp and repeng: a GGUF file with one offset per decoder block.

    write_gguf([0.06 * direction], Path("honesty.gguf"))     # llama-cli --control-vector honesty.gguf

Both tools add `coefficient x offset` to the output of the block at every token, as `steer(..., where="all")` does. The
tensors `direction.N` are `Direction.offset()`, so coefficient 1 is the strength that the direction has.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from personascope.direction import Direction
from personascope.errors import DirectionError, FileFormatError
from personascope.files import atomic_write
from personascope.steering.offset_files import (
    LARGEST_FILE,
    Origin,
    card_text,
    direction_from,
    require_one_per_layer,
)

ARCHITECTURE = "controlvector"
_CARD = "personascope.card"
_NAME = re.compile(r"direction\.(0|[1-9][0-9]{0,5})")


def write_gguf(directions: Sequence[Direction], path: Path, *, model_hint: str | None = None) -> None:
    """Write directions as one control vector; the file is whole or absent.

    Args:
        directions: of one model, at most one per layer, each with a strength.
        path: the file, by custom NAME.gguf.
        model_hint: what the file says of its model; repeng writes the model type there ("llama") and warns when it
            combines vectors of different hints. By default the directions' model name.

    Raises:
        DirectionError: several models, widths or directions of one layer; no offset; or layer 0, for which llama.cpp
            rejects the whole file.
    """
    require_one_per_layer(directions)
    if any(d.layer < 1 for d in directions):
        raise DirectionError(
            "A direction of layer 0 cannot be a control vector.",
            "llama.cpp never steers its first block, and rejects a file that asks for it.",
            "Leave it out, or fit at another layer.",
        )
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / "vector.gguf"  # the library writes to a path only
        writer = gguf.GGUFWriter(scratch, ARCHITECTURE)
        writer.add_string(f"{ARCHITECTURE}.model_hint", model_hint or directions[0].model or "unknown")
        writer.add_uint32(f"{ARCHITECTURE}.layer_count", len(directions))
        for one in directions:
            writer.add_string(f"{_CARD}.{one.layer}", card_text(one))
            writer.add_tensor(f"direction.{one.layer}", one.offset())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        whole = scratch.read_bytes()
    with atomic_write(path) as stream:
        stream.write(whole)


def read_gguf(
    path: Path,
    *,
    model: str | None = None,
    position: str | None = None,
    reference_norm: float | Mapping[int, float] | None = None,
) -> list[Direction]:
    """Read a control vector: one that `write_gguf` wrote, or one of repeng or llama.cpp.

    Args:
        path: the file.
        model: for a file of another tool, the name of the model it was fitted on.
        position: for such a file, where it was fitted; repeng takes the last token of its prompts.
        reference_norm: for such a file, the mean residual norm there, one number or a mapping from layer to number.

    Returns:
        The directions in the file's order. Ours come back as they were, the vector up to one rounding of float32.

    Raises:
        FileFormatError: not a control vector, or damaged.
        DirectionError: a file without cards, and nothing else says where it belongs.
    """
    origin = Origin(model, position, reference_norm)
    cards, offsets = _contents(path)
    return [
        direction_from(offset, layer, cards.get(f"{_CARD}.{layer}"), origin, path.name)
        for layer, offset in offsets.items()
    ]


def _contents(path: Path) -> tuple[dict[str, str], dict[int, np.ndarray]]:
    """Text entries by key, and offsets by layer, copied out of the mapped file."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"{path.stat().st_size} bytes are more than a control vector has")
        reader = _StrictReader(path)
        text = {
            key: str(field.contents())
            for key, field in reader.fields.items()
            if field.types == [gguf.GGUFValueType.STRING]
        }
        found = text.get("general.architecture")
        if found != ARCHITECTURE:
            raise ValueError(f"its architecture is {found!r}, not {ARCHITECTURE!r}")
        offsets = dict(_offset(tensor) for tensor in reader.tensors)
        if not offsets or len({offset.shape for offset in offsets.values()}) > 1:
            raise ValueError(f"it holds {len(offsets)} vectors" + " of different widths" * bool(offsets))
        return text, offsets
    except (OSError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise FileFormatError(
            f"{path}: not a control vector.", str(error), "Expected a GGUF file of write_gguf, repeng or llama.cpp."
        ) from error


def _offset(tensor: gguf.ReaderTensor) -> tuple[int, np.ndarray]:
    name = _NAME.fullmatch(tensor.name)
    if name is None:
        raise ValueError(f"its tensor {tensor.name[:80]!r} is not direction.LAYER")
    if tensor.tensor_type != gguf.GGMLQuantizationType.F32 or len(tensor.shape) != 1:
        raise ValueError(
            f"{tensor.name} is {tensor.tensor_type.name} of shape {tensor.shape.tolist()}, not F32 (d_model,)"
        )
    return int(name[1]), np.array(tensor.data, dtype=np.float32)


class _StrictReader(gguf.GGUFReader):
    """A reader that stops at the end of the file, where its parent reads on as if the rest were empty.

    Otherwise a false count of a few bytes (a list of 2^60 entries, say) would keep it busy for ever.
    """

    def _get(self, offset: Any, dtype: Any, count: Any = 1, override_order: Any = None) -> np.ndarray:
        if int(offset) + int(count) * np.dtype(dtype).itemsize > len(self.data):
            raise ValueError("the file ends before its contents do")
        return super()._get(offset, dtype, count, override_order)

    def _get_field_parts(self, orig_offs: Any, raw_type: Any) -> Any:
        if raw_type == gguf.GGUFValueType.ARRAY:  # a control vector has none, and each entry would become an object
            raise ValueError("it has a list among its entries")
        return super()._get_field_parts(orig_offs, raw_type)
