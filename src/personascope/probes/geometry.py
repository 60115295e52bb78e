"""Angles between directions, with the band that random directions would fill."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.errors import DataError, DirectionError
from personascope.probes.controls import covariance_matched_directions
from personascope.shapes import Features, Vector

_TWO_SIDED_95 = 1.96


@dataclass(frozen=True)
class Cosine:
    """A cosine and the 95th percentile of its size between random directions and the second vector."""

    cosine: float
    null_high: float


def cosine_matrix(vectors: Float[np.ndarray, "direction d_model"]) -> Float[np.ndarray, "direction direction"]:
    """Cosines of all pairs of rows, shape (direction, direction).

    Raises:
        DirectionError: a vector without a direction (zero, or not finite).
    """
    rows = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    bad = ~np.isfinite(lengths) | (lengths == 0)
    if bad.any():
        raise DirectionError(
            f"Vector {int(np.argmax(bad))} of {len(rows)} has length {lengths[np.argmax(bad)]}.",
            "A cosine needs two vectors that are finite and not zero.",
            "Check the probe it came from.",
        )
    rows = rows / lengths[:, None]
    return np.asarray(np.clip(rows @ rows.T, -1.0, 1.0))


def cosine_with_null(u: Vector, v: Vector, X: Features | None = None, n: int = 200, *, seed: int = 0) -> Cosine:
    """Cosine of two vectors, with the band that 95 % of random directions in place of `u` would stay in.

    Args:
        u: shape (d_model,).
        v: shape (d_model,).
        X: residual rows (row, d_model). Without them random directions are isotropic and the band is 1.96 / sqrt(d),
            up to O(1/d). With them they are drawn from N(0, cov X): activations fill few of their dimensions, so two
            unrelated directions that live where activations do have far larger cosines than isotropic ones.
        n: draws with `X`.
        seed: of the draws.

    Raises:
        DirectionError: a zero or non-finite vector.
        DataError: fewer than two rows of `X`, or rows that do not vary.
    """
    cosine = float(cosine_matrix(np.stack([u, v]))[0, 1])
    if X is None:
        return Cosine(cosine, min(1.0, _TWO_SIDED_95 / math.sqrt(len(u))))
    return Cosine(cosine, _null_high(v, covariance_matched_directions(X, n, seed=seed)))


def persona_identity_directions(features: Mapping[str, Features]) -> dict[str, Vector]:
    """Mean of each persona's rows minus the mean of the other personas' means: where a persona sits, whatever it reads.

    Args:
        features: rows (row, d_model) of each persona, the same items for all.

    Returns:
        One vector (d_model,) per persona, not normalised; with n personas of equal weight they sum to zero.

    Raises:
        DataError: fewer than two personas.
    """
    if len(features) < 2:
        raise DataError(f"{len(features)} persona has no others to differ from: {list(features)}.", "", "Pass two.")
    means = np.stack([np.asarray(rows, dtype=np.float64).mean(axis=0) for rows in features.values()])
    others = (means.sum(axis=0) - means) / (len(means) - 1)
    return dict(zip(features, means - others, strict=True))


def cosine_frame(
    directions: Mapping[str, Vector], *, layer: int, X: Features | None = None, n: int = 200, seed: int = 0
) -> pl.DataFrame:
    """Cosines between all ordered pairs of different directions of one layer.

    Returns:
        Columns direction, other, layer, cosine, null_high; the band is that of random directions against `other`, as
        in `cosine_with_null`.

    Raises:
        DirectionError: a zero or non-finite vector.
        DataError: as `cosine_with_null`.
    """
    names = list(directions)
    cosines = cosine_matrix(np.stack([directions[name] for name in names]))
    draws = None if X is None else covariance_matched_directions(X, n, seed=seed)
    isotropic = min(1.0, _TWO_SIDED_95 / math.sqrt(len(directions[names[0]])))
    highs = [isotropic if draws is None else _null_high(directions[name], draws) for name in names]
    rows = [
        {"direction": names[i], "other": names[j], "layer": layer, "cosine": cosines[i, j], "null_high": highs[j]}
        for i, j in permutations(range(len(names)), 2)
    ]
    schema = {
        "direction": pl.String,
        "other": pl.String,
        "layer": pl.Int64,
        "cosine": pl.Float64,
        "null_high": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema)


def _null_high(v: Vector, draws: Float[np.ndarray, "d_model draw"]) -> float:
    return float(np.quantile(np.abs(v @ draws) / np.linalg.norm(v), 0.95))
