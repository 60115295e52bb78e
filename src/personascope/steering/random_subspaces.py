"""Random subspaces as controls of an ablation: as many dimensions, without meaning, that hold as much of activations.

Taking out a subspace harms a model the more, the more of its activations lie there, whatever they mean. A probe's
subspace is therefore compared with random ones of the same rank of three kinds: isotropic, and two that are matched in
what is removed. With S the covariance of the features ("variance-matched"), or their second moment with the mean left
in ("moment-matched"), and Q the orthonormal rows of the probe's subspace, these have tr(R S R') = tr(Q S Q').
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq

from personascope.errors import DataError
from personascope.probes.controls import random_directions
from personascope.shapes import Features

KINDS = ("isotropic", "variance-matched", "moment-matched")
STEEPEST = 256.0
"""Largest exponent of a tilt; beyond it a draw is the subspace of most (or least) spread in all but name."""
_RANK_TOLERANCE = 1e-12
_STEP = np.log(1e4)
"""A tilt goes in steps that stretch no axis against another by more, lest the rows become parallel in rounding."""

Basis: TypeAlias = Float[np.ndarray, "rank d_model"]
Directions: TypeAlias = Float[np.ndarray, "step d_model"]


@dataclass(frozen=True, eq=False)
class Spread:
    """How much of the features lies along each axis, S = sum_i values_i axes_i axes_i'.

    Args:
        axes: orthonormal rows, shape (axis, d_model); along others there is nothing.
        values: mean square along each, descending, shape (axis,).
    """

    axes: Float[np.ndarray, "axis d_model"]
    values: Float[np.ndarray, " axis"]

    @classmethod
    def of(cls, features: Features, *, centre: bool) -> Spread:
        """The covariance of the features (row, d_model), or their second moment when they are not centred.

        Raises:
            DataError: fewer than two rows, numbers that are not finite, or nothing but zeros after centring.
        """
        rows = features.astype(np.float64)
        rows = rows - rows.mean(axis=0) if centre and len(rows) else rows
        if len(rows) < 2 or not np.isfinite(rows).all() or not rows.any():
            raise DataError(
                f"{len(rows)} feature rows do not vary or are not finite.",
                "Random subspaces are matched to a probe's in how much the features vary inside.",
                "Pass residual rows of several prompts at the ablated layer and tokens.",
            )
        _, lengths, axes = np.linalg.svd(rows, full_matrices=False)
        values = lengths**2 / len(rows)
        kept = values > _RANK_TOLERANCE * values[0]
        return cls(axes[kept], values[kept])

    def inside(self, basis: Basis) -> float:
        """tr(Q S Q'): the mean square of the features inside the subspace of orthonormal rows."""
        return float(((basis @ self.axes.T) ** 2 @ self.values).sum())

    def share(self, basis: Basis) -> float:
        """That over the whole, tr S."""
        return self.inside(basis) / float(self.values.sum())


def orthonormal(directions: Directions) -> Basis:
    """Orthonormal rows of which the first k span what the first k directions (step, d_model) span.

    Raises:
        DataError: a direction that is zero, not finite, or in the span of those before it.
    """
    if directions.size and np.isfinite(directions).all():
        lengths = np.linalg.norm(directions, axis=1, keepdims=True)
        found = np.linalg.qr((directions / np.where(lengths > 0, lengths, 1.0)).T.astype(np.float64))
        if len(found.R) == len(directions) and (np.abs(np.diag(found.R)) > 1e-5).all():
            return np.asarray((found.Q * np.sign(np.diag(found.R))).T)
    raise DataError(
        f"Directions of shape {directions.shape} do not span as many dimensions.",
        "One of them is zero, not finite, or a combination of those before it.",
        "Pass linearly independent directions, at least one.",
    )


def isotropic_subspace(d_model: int, rank: int, *, seed: Sequence[int]) -> Basis:
    """Orthonormal rows of a subspace that is uniformly distributed over all of its rank, shape (rank, d_model)."""
    return orthonormal(random_directions(d_model, rank, seed=seed).T)


def matched_subspace(spread: Spread, target: float, rank: int, *, seed: Sequence[int]) -> Basis:
    """A random subspace that holds `target` of the features' mean square: a draw, tilted towards more or less spread.

    The subspace is the row space of Z S^(p/2), Z standard normal of shape (rank, d_model). p = 0 is isotropic, p = 1
    spans covariance-matched draws, p -> +inf goes to the axes of most spread and p -> -inf to those of least. What it
    holds never falls in p: with P the projection on it, p_ij its entries and s_i the spread in the axes of S,

        d/dp tr(P S) = 1/2 sum_ij p_ij^2 (s_i - s_j) (log s_i - log s_j) >= 0,

    so for every Z there is a p at which it holds what a given subspace of the same rank holds, and a root finder finds
    it. The axes along which nothing varies count as having a hundredth of the least spread. Only where the target is
    all but the most or least that any subspace can hold, the end of the search can lie off it; see `Spread.inside`.

    Args:
        spread: S.
        target: tr(Q S Q') of the subspace to be matched.
        rank: its number of dimensions.
        seed: of Z.

    Returns:
        Orthonormal rows, shape (rank, d_model).

    Raises:
        DataError: a target that is nothing but rounding.
    """
    if not target > _RANK_TOLERANCE * spread.values[0]:
        raise DataError(
            f"The subspace to be matched holds {target} of the features' mean square.",
            "Features do not vary there, so its removal changes nothing and nothing can be matched.",
            "Use features of the layer at which the directions were fitted.",
        )
    Z = random_directions(spread.axes.shape[1], rank, seed=seed).T
    along = Z @ spread.axes.T
    rest = Z - along @ spread.axes
    n_rest = min(rank, len(rest[0]) - len(spread.axes))
    beyond = np.linalg.svd(rest, full_matrices=False)[2][:n_rest]
    start = np.concatenate([along, rest @ beyond.T], axis=1)
    values = np.concatenate([spread.values, np.zeros(n_rest)])
    logs = np.log(np.concatenate([spread.values, np.full(n_rest, spread.values[-1] / 100)]))

    def tilted(p: float) -> Float[np.ndarray, "rank axis"]:
        n_steps = max(1, int(np.ceil(abs(p) * np.ptp(logs) / 2 / _STEP)))
        powers = p / n_steps * logs / 2
        rows = np.linalg.qr(start.T).Q.T
        for _ in range(n_steps):
            rows = np.linalg.qr((rows * np.exp(powers - powers.max())).T).Q.T
        return np.asarray(rows)

    def excess(p: float) -> float:
        return float((tilted(p) ** 2 @ values).sum()) / target - 1

    end = 1.0 if excess(0.0) < 0 else -1.0
    while excess(end) * end < 0 and abs(end) < STEEPEST:
        end *= 2
    p = brentq(excess, 0.0, end, xtol=1e-9, rtol=1e-9) if excess(end) * end >= 0 else end
    found = tilted(p)
    return np.asarray(found[:, : len(spread.axes)] @ spread.axes + found[:, len(spread.axes) :] @ beyond)


def random_subspaces(spreads: Sequence[Spread], basis: Basis, n: int, *, seed: Sequence[int]) -> dict[str, list[Basis]]:
    """`n` random subspaces of each of `KINDS` beside that of `basis`.

    Args:
        spreads: of the features' covariance and of their second moment.
        basis: orthonormal rows of the subspace to be controlled.
        n: draws of each kind.
        seed: of the draws; kind and draw are mixed in.

    Raises:
        DataError: features of another width, or in which the subspace holds nothing.
    """
    rank, d_model = basis.shape
    found = {KINDS[0]: [isotropic_subspace(d_model, rank, seed=[*seed, 0, draw]) for draw in range(n)]}
    for number, (kind, spread) in enumerate(zip(KINDS[1:], spreads, strict=True), start=1):
        if spread.axes.shape[1] != d_model:
            raise DataError(
                f"Features of width {spread.axes.shape[1]} and directions of width {d_model}.",
                "They are of different models.",
                "Use features and directions of one model.",
            )
        held = spread.inside(basis)
        found[kind] = [matched_subspace(spread, held, rank, seed=[*seed, number, draw]) for draw in range(n)]
    return found
