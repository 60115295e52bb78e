"""Random directions as controls: what a push of the same length does when it means nothing."""

from __future__ import annotations

import dataclasses

import numpy as np

from personascope.direction import Direction
from personascope.errors import DataError
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
    rng = np.random.default_rng([seed, direction.layer, 0 if features is None else 1])
    kind = "isotropic" if features is None else "covariance-matched"
    vectors = []
    if features is None:
        vectors = list(rng.standard_normal((n, len(direction.vector))))
    else:
        if len(features) < 2:
            raise DataError("A covariance-matched direction needs at least two rows.", f"Got {len(features)}.", "")
        centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
        # X'z with standard normal z has covariance X'X: no d x d matrix is formed
        vectors = [centred.T @ rng.standard_normal(len(centred)) for _ in range(n)]
    return [
        dataclasses.replace(direction, vector=vector.astype(np.float32), means="nothing", fit=f"random, {kind}")
        for vector in vectors
    ]
