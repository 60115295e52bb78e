"""Random directions as controls: what a push of the same length does when it means nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from personascope.direction import Direction
from personascope.probes import controls
from personascope.shapes import Features


def random_directions(direction: Direction, n: int, *, seed: int, features: Features | None = None) -> list[Direction]:
    """Directions at the same place and of the same reference norm as `direction`, with random vectors.

    Args:
        direction: the direction to be controlled.
        n: how many.
        seed: of the draw; the layer is mixed in, so that layers get different draws.
        features: residual rows (row, d_model). When given, vectors are drawn from a normal distribution with their
            covariance, so that they lie where the residual stream varies; otherwise they are isotropic.

    Raises:
        DataError: fewer than two feature rows.
    """
    kind = "isotropic" if features is None else "covariance-matched"
    how: dict[str, Any] = {"seed": [seed, direction.layer, 0 if features is None else 1]}
    if features is None:
        vectors = controls.random_directions(len(direction.vector), n, **how)
    else:
        vectors = controls.covariance_matched_directions(features, n, **how)
    return [
        dataclasses.replace(direction, vector=vector.astype(np.float32), means="nothing", fit=f"random, {kind}")
        for vector in vectors.T
    ]
