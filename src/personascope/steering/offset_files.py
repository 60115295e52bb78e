"""What files of other tools hold is an offset per layer: which directions can be written so, and the way back.

Such files have no place for what else makes a direction (what + means, position, reference norm, fit), so ours carry it
as a JSON card beside each offset, where those tools do not look.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from personascope.direction import Direction
from personascope.errors import DirectionError, FileFormatError, PersonascopeError

LARGEST_FILE = 1 << 26
"""Bytes of the largest file that is read: 64 MiB, eight times an offset of width 16384 at each of 128 layers."""
_AGREES = 1e-5
"""Relative difference between the offset in the file and the one its card leads to: some roundings of float32."""


@dataclass(frozen=True)
class Origin:
    """What a file without cards does not say and its reader has to.

    Args:
        model: name of the model that the offsets were fitted on.
        position: where they were fitted, a position of `prompts.positions`.
        reference_norm: mean L2 norm of the residual stream there; a mapping from layer where it differs by layer.
    """

    model: str | None
    position: str | None
    reference_norm: float | Mapping[int, float] | None


def require_one_per_layer(directions: Sequence[Direction]) -> None:
    """Check that directions can be written as one offset per layer of one model.

    Raises:
        DirectionError: there are none, or they are of several models or widths, share a layer, or have no offset.
    """
    fix = "Write one file per model, with one direction per layer; the sum `a + b` of two directions is a direction."
    models, widths = {d.model for d in directions}, {len(d.vector) for d in directions}
    if len(models) != 1 or len(widths) != 1:
        found = f"models {', '.join(sorted(models)) or 'none'}; widths {', '.join(map(str, sorted(widths))) or 'none'}"
        raise DirectionError("A file of offsets is for one model.", f"Given were {len(directions)} of {found}.", fix)
    layers = [d.layer for d in directions]
    shared = sorted({layer for layer in layers if layers.count(layer) > 1})
    if shared:
        raise DirectionError(f"Several directions of layer {shared[0]}.", "The file has one offset per layer.", fix)
    for one in directions:
        length = float(np.linalg.norm(one.offset().astype(np.float64)))
        if not 0.0 < length < np.inf:
            raise DirectionError(
                f"The offset of {one!r} has length {length}.",
                "The file holds strength x reference_norm x vector, of which nothing would be left.",
                "Give it a strength, e.g. `0.06 * direction`.",
            )


def card_text(direction: Direction) -> str:
    """Everything but the vector as one line of JSON.

    Raises:
        DirectionError: `extra` holds what JSON cannot.
    """
    try:
        return json.dumps(direction.card(), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise DirectionError(
            f"{direction!r} cannot be written.", f"Its `extra` holds what JSON cannot: {error}", "Take that out."
        ) from error


def direction_from(offset: np.ndarray, layer: int, card: str | None, origin: Origin, source: str) -> Direction:
    """The direction of an offset, shape (d_model,), and of the card beside it; without a card, of its `origin`.

    Its vector is the one that was written up to one rounding of float32: the file holds it times the strength.

    Args:
        offset: in the units of the residual stream.
        layer: decoder block at which the file adds it.
        card: what `card_text` gave, None in files of other tools.
        origin: used where there is no card.
        source: name of the file, for messages and for `fit`.

    Raises:
        DirectionError: neither a card nor an origin.
        FileFormatError: the card is damaged or belongs to another offset, or the offset is no direction.
    """
    if card is None:
        return _without_card(offset, layer, origin, source)
    try:
        fields = dict(json.loads(card))
        strength = fields.get("strength")
        sign = -1.0 if isinstance(strength, int | float) and strength < 0 else 1.0
        made = Direction.from_card(sign * offset, fields)
    except (PersonascopeError, TypeError, ValueError, RecursionError) as error:
        raise FileFormatError(
            f"{source}, layer {layer}: its card is not that of a direction.", str(error), "Write the file again."
        ) from error
    in_file, in_card = offset.astype(np.float64), made.offset().astype(np.float64)
    length, apart = float(np.linalg.norm(in_file)), float(np.linalg.norm(in_file - in_card))
    if made.layer != layer or not apart <= _AGREES * length:
        raise FileFormatError(
            f"{source}, layer {layer}: the card and the vector do not belong together.",
            f"The card is of layer {made.layer} and length {float(np.linalg.norm(in_card)):.6g}, the vector has length "
            f"{length:.6g}.",
            "Scale a direction before it is written, not in the file.",
        )
    return made


def _without_card(offset: np.ndarray, layer: int, origin: Origin, source: str) -> Direction:
    model, position, norm = origin.model, origin.position, origin.reference_norm
    if isinstance(norm, Mapping):
        norm = norm.get(layer)
    if model is None or position is None or norm is None:
        raise DirectionError(
            f"{source}, layer {layer}: the file does not say where its vectors belong.",
            "It was not written by personascope, or has lost its cards.",
            "Pass model=, position= and reference_norm= (a number, or a mapping from layer to number).",
        )
    length = float(np.linalg.norm(offset.astype(np.float64)))
    if not 0.0 < length < np.inf:
        raise FileFormatError(
            f"{source}, layer {layer}: no direction, its length is {length}.", "It is all zero, or not finite.", ""
        )
    return Direction(
        vector=offset.astype(np.float64),
        layer=layer,
        position=position,
        model=model,
        reference_norm=float(norm),
        means=f"not stated in {source}",
        fit=f"read from {source}",
        strength=length / float(norm),
    )
