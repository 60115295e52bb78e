"""Whether a whole matrix of steering effects is selective, and whether it follows the cosines of its directions."""

from __future__ import annotations

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from personascope.errors import DataError
from personascope.probes.bootstrap import percentile_interval
from personascope.steering.selectivity import Selectivity, selectivities

N_PERMUTATIONS = 10_000
_TIE = 1e-12


def selectivity_index(effects: Selectivity, *, n_permutations: int = N_PERMUTATIONS, seed: int = 0) -> pl.DataFrame:
    """The selectivity index, tested over which direction is which facet.

    p is the share of random assignments of the steered facets to the directions, the true one among them, with an
    index at least as large (Phipson & Smyth 2010). The interval is over items; null where a key of a facet has one.

    Args:
        effects: what `selectivity` returned.
        n_permutations: of the test.
        seed: likewise.

    Returns:
        One row: index, low, high, p, diagonal (mean own effect), off_diagonal, random (mean |effect| of random
        directions; null without any), rank_one (directions whose own facet comes first), n_directions, n_facets.

    Raises:
        DataError: fewer than two directions with a facet.
    """
    effect, rows, own = effects.effect, effects.rows, effects.own
    if len(rows) < 2:
        raise DataError(f"{len(rows)} direction stands for a facet.", "Which is which needs two.", "Steer more facets.")
    matrix, at = selectivities(effect[rows]), np.arange(len(rows))
    value = float(matrix[at, own].mean())
    orders = _permutations(len(rows), n_permutations, seed)
    null = matrix[at, own[orders]].mean(axis=1)
    low, high = percentile_interval(effects.selectivity_draws().mean(axis=1))
    random = np.abs(np.delete(effect, rows, axis=0))
    diagonal = float(effect[rows, own].mean())
    return pl.DataFrame(
        {
            "index": value,
            "low": float(low) if effects.has_interval else None,
            "high": float(high) if effects.has_interval else None,
            "p": (1 + int((null >= value - _TIE).sum())) / (1 + n_permutations),
            "diagonal": diagonal,
            "off_diagonal": diagonal - value,
            "random": float(random.mean()) if len(random) else None,
            "rank_one": int((effects.by_direction()["rank"] == 1).sum()),
            "n_directions": len(rows),
            "n_facets": len(effects.facets),
        },
        schema_overrides=dict.fromkeys(("low", "high", "random"), pl.Float64),
    )


def cosine_correlation(
    effects: Selectivity,
    cosines: Float[np.ndarray, "steered steered"],
    *,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> pl.DataFrame:
    """Whether facets move together as far as their directions point the same way.

    Pearson's r between the effect of direction i on the facet of direction j and cos(i, j), over i != j, where a
    cosine of 1 does not make the correlation by itself. p (two-sided) permutes rows and columns of the cosines
    together (Mantel 1967), which keeps what is special to each direction.

    Args:
        effects: what `selectivity` returned.
        cosines: of the directions that stand for a facet, in their order.
        n_permutations: of the test.
        seed: likewise.

    Returns:
        One row: r, low, high (bootstrap over items), p, r_with_diagonal, n (entries); null r where one of the two
        does not vary.

    Raises:
        DataError: fewer than three directions with a facet, cosines of another shape.
    """
    n = len(effects.rows)
    if cosines.shape != (n, n) or n < 3:
        raise DataError(
            f"Cosines of shape {cosines.shape} for {n} directions that stand for a facet.",
            "They are correlated entry by entry off the diagonal, for at least three.",
            "Give the cosines of these directions in their order.",
        )
    off = ~np.eye(n, dtype=bool)
    effect = effects.effect[effects.rows][:, effects.own]
    draws = effects.effect_draws[:, effects.rows][:, :, effects.own]
    r = _correlations(effect[off][None], cosines[off])
    low, high = percentile_interval(_correlations(draws[:, off], cosines[off]))
    orders = _permutations(n, n_permutations, seed)
    permuted = cosines[orders[:, :, None], orders[:, None, :]]
    null = np.abs(_correlations(permuted[:, off], effect[off]))
    known, seen = not np.isnan(r[0]), effects.has_interval and not np.isnan(r[0])
    return pl.DataFrame(
        {
            "r": [float(r[0]) if known else None],
            "low": [float(low) if seen else None],
            "high": [float(high) if seen else None],
            "p": [(1 + int((null >= abs(r[0]) - _TIE).sum())) / (1 + n_permutations) if known else None],
            "r_with_diagonal": [float(_correlations(effect.reshape(1, -1), cosines.reshape(-1))[0])],
            "n": [int(off.sum())],
        },
        schema_overrides=dict.fromkeys(("r", "low", "high", "p"), pl.Float64),
    )


def _permutations(n: int, n_permutations: int, seed: int) -> Int[np.ndarray, "permutation n"]:
    return np.random.default_rng(seed).permuted(np.tile(np.arange(n), (n_permutations, 1)), axis=1)


def _correlations(rows: Float[np.ndarray, "row n"], x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " row"]:
    """Pearson r of each row with x; NaN where either does not vary."""
    centred, x = rows - rows.mean(axis=1, keepdims=True), x - x.mean()
    scale = np.sqrt((centred**2).sum(axis=1) * (x @ x))
    return np.asarray(np.where(scale > _TIE, centred @ x / np.where(scale > _TIE, scale, 1.0), np.nan))
