"""Keyed scores of a model that moved by a known amount: facets with gaps, items with error, training with a truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl

GAP_MEAN, GAP_SD, N_FACETS, PER_KEY = 0.15, 0.2, 25, 6
SCALE = 0.2
"""Scores lie in [-1, 1]; shares of a gap do not care for the unit, and standard errors are given before it."""
Means = Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]


def movement(
    seed: int,
    *,
    truth: float = 0.0,
    se: float = 0.05,
    gap: tuple[float, float] = (GAP_MEAN, GAP_SD),
    raised: float = 0.0,
    turn: int = 1,
    extra: Means | None = None,
) -> pl.DataFrame:
    """One row per item: item, facet, key, and keyed scores before, ideal and after (and of `extra` measurements).

    Args:
        seed: of facets and errors.
        truth: share of the gap that training closed.
        se: standard error of a facet's score.
        gap: mean and standard deviation over facets of ideal - before.
        raised: what training adds to the agreement with every item, whatever its key.
        turn: -1 turns the sign of every error, so that two data sets of a seed bracket what is odd in them.
        extra: further measurements, as functions of the facets' (own score, gap).
    """
    draw = np.random.default_rng(seed)
    own, way = draw.normal(0, 0.3, N_FACETS), draw.normal(*gap, N_FACETS)
    facet, key = np.repeat(np.arange(N_FACETS), 2 * PER_KEY), np.tile(np.repeat([1, -1], PER_KEY), N_FACETS)
    means = {"before": own, "ideal": own + way, "after": own + truth * way}
    means |= {name: function(own, way) for name, function in (extra or {}).items()}
    spread = turn * se * (2 * PER_KEY) ** 0.5
    scores = {name: SCALE * (mean[facet] + spread * draw.normal(size=len(facet))) for name, mean in means.items()}
    scores["after"] = scores["after"] + raised * key
    return pl.DataFrame({"item": np.arange(len(facet)), "facet": [f"f{n:02d}" for n in facet], "key": key} | scores)
