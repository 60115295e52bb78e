"""Pushes along the directions of all facets beside random ones, and what they do to every facet."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from personascope.direction import Direction
from personascope.experiments.steering_study import FROM_ITEM
from personascope.shapes import Features
from personascope.steering.coefficient_sweep import SweepGrid
from personascope.steering.random_directions import random_directions
from personascope.steering.selectivity import Selectivity
from personascope.steering.selectivity_index import cosine_correlation, selectivity_index

FACET, ISOTROPIC, MATCHED = "facet", "isotropic", "covariance-matched"


def facet_grid(
    directions: Mapping[str, Direction],
    features: Features,
    *,
    strength: float,
    n_random: int,
    seed: int,
    where: Mapping[str, float] = FROM_ITEM,
) -> SweepGrid:
    """All facets' directions and random ones at one layer, with the strength at both signs.

    Args:
        directions: facet -> direction, all at one layer.
        features: residual rows of that layer, for covariance-matched random directions.
        strength: fraction of the mean residual norm.
        n_random: random directions, two fifths of them covariance-matched.
        seed: of these.
        where: position -> sign.
    """
    n_matched = (2 * n_random) // 5
    first = next(iter(directions.values()))
    random = [
        *random_directions(first, n_random - n_matched, seed=seed),
        *random_directions(first, n_matched, seed=seed, features=features),
    ]
    kinds = [ISOTROPIC] * (n_random - n_matched) + [MATCHED] * n_matched
    return SweepGrid(
        directions=((*directions.values(), *random),),
        names=(*directions, *(f"random {number}" for number in range(1, len(random) + 1))),
        kinds=(*[FACET] * len(directions), *kinds),
        coefficients=(-strength, 0.0, strength),
        where=where,
    )


def selectivity_tables(matrix: Selectivity, directions: Mapping[str, Direction], seed: int) -> dict[str, pl.DataFrame]:
    """Tables "facet_selectivity", "facet_selectivity_rows", "facet_selectivity_index" and "facet_steering_cosines"."""
    names = list(directions)
    cosines = np.array([[directions[one].cosine(directions[other]) for other in names] for one in names])
    index = selectivity_index(matrix, seed=seed)
    if len(names) > 2:
        agreement = cosine_correlation(matrix, cosines, seed=seed)
        index = pl.concat(
            [index, agreement.rename({name: f"cosine_{name}" for name in agreement.columns})], how="horizontal"
        )
    pairs = [
        {"facet": one, "other": other, "cosine": float(cosines[i, j])}
        for i, one in enumerate(names)
        for j, other in enumerate(names)
    ]
    return {
        "facet_selectivity": matrix.frame(),
        "facet_selectivity_rows": matrix.by_direction(),
        "facet_selectivity_index": index,
        "facet_steering_cosines": pl.DataFrame(pairs),
    }
