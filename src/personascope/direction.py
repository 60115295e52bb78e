"""The Direction value: a unit vector in the residual stream that knows where it belongs and how strong "1" is."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from personascope.errors import DirectionError, FileFormatError
from personascope.files import atomic_write, read_json, write_json
from personascope.shapes import Vector

_SAME = ("model", "layer", "position")
_TYPES: dict[str, tuple[type, ...]] = {
    "layer": (int,),
    "reference_norm": (float, int),
    "strength": (float, int),
    "extra": (dict,),
}
"""JSON types of the fields of a saved direction that are not text."""


@dataclass(frozen=True, eq=False)
class Direction:
    """A direction at one layer and position of one model.

    Args:
        vector: shape (d_model,), normalised to length 1 at construction.
        layer: 0-based decoder block whose output (`resid_post`) it lives in.
        position: name of the token position at which it was fitted, e.g. "eot" or "mean:item".
        model: name of the model; `model_hash` its weights' hash.
        reference_norm: mean L2 norm of the residual stream at that layer and position; strength 1.0 means this length.
        means: what more of it means ("+" end), e.g. "higher task utility under persona assistant".
        fit: how it was fitted; `data_hash` of the data it was fitted on.
        strength: coefficient as a fraction of `reference_norm`; `0.06 * direction` sets it.

    Raises:
        DirectionError: a zero or non-finite vector, a non-positive norm, a strength that is not finite, or mixing
            directions of different models, layers or positions.
    """

    vector: Vector
    layer: int
    position: str
    model: str
    reference_norm: float
    means: str
    fit: str
    model_hash: str = ""
    data_hash: str = ""
    strength: float = 1.0
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        vector = np.asarray(self.vector, dtype=np.float64)
        norm = float(np.linalg.norm(vector))
        if vector.ndim != 1 or not np.isfinite(norm) or norm == 0.0:
            raise DirectionError(
                f"A direction needs a finite, non-zero vector of shape (d_model,); got {vector.shape}, norm {norm}.",
                "The fit is degenerate or the wrong array was passed.",
                "Check the probe's weights before making a direction of them.",
            )
        if not np.isfinite(self.reference_norm) or self.reference_norm <= 0:
            raise DirectionError(
                f"reference_norm is {self.reference_norm}.",
                "Strengths are fractions of the mean residual norm, which must be positive.",
                "Pass the mean L2 norm of the residual stream at this layer and position.",
            )
        if not np.isfinite(self.strength):
            raise DirectionError(
                f"strength is {self.strength}.", "A coefficient must be a finite number.", "Check what it comes from."
            )
        if abs(norm - 1.0) > 1e-7:  # dividing a unit vector of float32 again could change its last bits
            vector = vector / norm
        object.__setattr__(self, "vector", vector.astype(np.float32))

    def __neg__(self) -> Direction:
        return dataclasses.replace(self, strength=-self.strength)

    def __mul__(self, factor: float) -> Direction:
        return dataclasses.replace(self, strength=self.strength * float(factor))

    __rmul__ = __mul__

    def __add__(self, other: Direction) -> Direction:
        self._require_same_place(other)
        total = self.offset() + other.offset()
        length = float(np.linalg.norm(total))
        return dataclasses.replace(
            self,
            vector=total,
            strength=length / self.reference_norm,
            means=f"({self.means}) + ({other.means})",
            fit=f"({self.fit}) + ({other.fit})",
        )

    def __sub__(self, other: Direction) -> Direction:
        return self + (-other)

    def offset(self) -> Vector:
        """Vector that is added to the residual stream: strength x reference_norm x unit vector, shape (d_model,)."""
        return np.asarray(self.vector * np.float32(self.strength * self.reference_norm))

    def cosine(self, other: Direction) -> float:
        """Cosine of the angle to another direction of the same model, layer and position."""
        self._require_same_place(other)
        sign = np.sign(self.strength) * np.sign(other.strength)
        return float(sign * np.dot(self.vector.astype(np.float64), other.vector))

    def project_out(self, other: Direction) -> Direction:
        """The direction without its component along `other`; the strength is kept.

        Raises:
            DirectionError: the two are parallel, or belong to different places.
        """
        self._require_same_place(other)
        mine, theirs = self.vector.astype(np.float64), other.vector.astype(np.float64)
        rest = mine - np.dot(mine, theirs) * theirs / np.dot(theirs, theirs)
        if np.linalg.norm(rest) < 1e-6:
            raise DirectionError(
                f"Nothing is left of {self!r} without its component along {other!r}.",
                "The two are parallel up to rounding.",
                "Project out a direction that differs.",
            )
        return dataclasses.replace(self, vector=rest, fit=f"({self.fit}) without ({other.fit})")

    def card(self) -> dict[str, Any]:
        """Everything but the vector, by the names of the fields: what goes beside the vector into a file."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "vector"}

    @classmethod
    def from_card(cls, vector: np.ndarray, card: Mapping[str, Any]) -> Direction:
        """The direction of a vector and of the card that was read beside it.

        Raises:
            DirectionError: the card has other fields or types, or the two make no direction.
        """
        wrong = [name for name, value in card.items() if type(value) not in _TYPES.get(name, (str,))]
        if wrong or vector.ndim != 1:
            raise DirectionError(f"Wrong type of {', '.join(wrong) or f'the vector, of shape {vector.shape}'}.")
        try:
            return cls(vector=vector.astype(np.float32), **card)
        except TypeError as error:
            raise DirectionError("The card has other fields than a direction.", str(error)) from error

    def save(self, stem: Path) -> None:
        """Write `stem.safetensors` (the vector) and `stem.json` (everything else)."""
        write_json(stem.with_name(stem.name + ".json"), self.card())  # first: `extra` may hold what JSON cannot
        with atomic_write(stem.with_name(stem.name + ".safetensors")) as stream:
            stream.write(save({"vector": self.vector}))

    @classmethod
    def load(cls, stem: Path) -> Direction:
        """Read what `save` wrote.

        Raises:
            FileFormatError: a file is missing, damaged, or has other fields or types.
        """
        try:
            vector = load(stem.with_name(stem.name + ".safetensors").read_bytes())["vector"]
            return cls.from_card(vector, dict(read_json(stem.with_name(stem.name + ".json"))))
        except (OSError, SafetensorError, DirectionError, KeyError, TypeError, ValueError) as error:
            raise FileFormatError(
                f"{stem}: not a saved direction.", str(error), "Expected NAME.safetensors beside NAME.json."
            ) from error

    def _require_same_place(self, other: Direction) -> None:
        pairs = [(k, getattr(self, k), getattr(other, k)) for k in _SAME]
        different = [f"{k}: {mine!r} != {theirs!r}" for k, mine, theirs in pairs if mine != theirs]
        if different:
            raise DirectionError(
                "Two directions of different places were combined: " + "; ".join(different),
                "A residual direction has a meaning only at its own model, layer and position.",
                "Fit both directions at the same place.",
            )

    def __repr__(self) -> str:
        where = json.dumps(f"{self.model} layer {self.layer} {self.position}")
        return f"Direction({self.strength:+.3g} x {self.reference_norm:.4g}, {where}, + means {self.means!r})"
