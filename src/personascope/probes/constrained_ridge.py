"""Ridge on rows from which directions were removed, without a new decomposition.

Ridge on rows without the directions U is ridge under the constraint U'w = 0, whose solution follows from the one
without it: with A = Z'Z + alpha and w = A^-1 Z'y,

    w_U = w - A^-1 U (U'A^-1 U)^-1 U'w

so that one decomposition of a training set serves all steps, penalties, shuffles and random draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from personascope.errors import DataError
from personascope.probes.controls import covariance_matched_directions
from personascope.probes.spectrum import Spectrum
from personascope.shapes import Features, Targets

_Penalties: TypeAlias = Float[np.ndarray, "alpha target"]
_Weights: TypeAlias = Float[np.ndarray, "alpha target component"]


class ConstrainedRidge:
    """Training rows in components, decomposed once, and the directions of each column that are removed from them.

    Args:
        X: all rows, (row, d_model).
        Y: all targets; the last `n_random` columns lose random directions.
        train: which rows are trained on.
        n_steps: directions to come.
        n_random: see `Y`.
        seed: of the random directions.
    """

    def __init__(
        self, X: Features, Y: Targets, train: np.ndarray, n_steps: int, n_random: int, seed: Sequence[int]
    ) -> None:
        self.spectrum = Spectrum.of(X[train])
        rotated = self.spectrum.rotated()
        if rotated.shape[1] <= n_steps:
            raise DataError(
                f"{len(rotated)} training rows vary in {rotated.shape[1]} dimensions; {n_steps} are to be removed.",
                "Something must be left to read.",
                "Remove fewer directions.",
            )
        self.eigenvalues, self.mean = self.spectrum.eigenvalues[self.spectrum.kept], Y[train].mean(axis=0)
        self.products = (rotated.T @ (Y[train] - self.mean)).T
        if not self.products.any(axis=1).all():
            raise DataError(
                f"A target does not vary over {len(rotated)} training rows.",
                "A probe of it has no direction to remove.",
                "Use fewer folds, or drop the target.",
            )
        draws = covariance_matched_directions(rotated, n_random * n_steps, seed=seed)
        self.random = np.linalg.qr(draws.T.reshape(n_random, n_steps, -1).transpose(0, 2, 1)).Q
        self.forget()

    def forget(self) -> None:
        """Remove nothing any more."""
        self.removed = np.zeros((*self.products.shape, 0))

    def weights(self, alphas: _Penalties) -> _Weights:
        """Ridge weights of every column, with its own penalties, orthogonal to what was removed."""
        inverse = 1.0 / (self.eigenvalues + alphas[:, :, None])
        free = inverse * self.products
        if not self.removed.shape[2]:
            return np.asarray(free)
        spread = inverse[:, :, :, None] * self.removed
        across = self.removed.transpose(0, 2, 1)
        excess = np.linalg.solve(across @ spread, across @ free[:, :, :, None])
        return np.asarray(free - (spread @ excess)[:, :, :, 0])

    def remove(self, weights: Float[np.ndarray, "target component"]) -> None:
        """Remove the direction of the weights from each column, or the next random one where that is its lot."""
        new, n_random = weights.copy(), len(self.random)
        new[len(new) - n_random :] = self.random[:, :, self.removed.shape[2]]
        # orthogonal already, but for rounding
        new -= (self.removed @ (self.removed.transpose(0, 2, 1) @ new[:, :, None]))[:, :, 0]
        new /= np.linalg.norm(new, axis=1, keepdims=True)
        self.removed = np.concatenate([self.removed, new[:, :, None]], axis=2)

    def predict(self, X: Features, weights: _Weights) -> Float[np.ndarray, "alpha row target"]:
        """Predictions by all weights."""
        n_alphas, n_targets, _ = weights.shape
        flat = self.spectrum.rotated(X) @ weights.reshape(n_alphas * n_targets, -1).T
        return np.asarray(flat.reshape(len(X), n_alphas, n_targets).transpose(1, 0, 2) + self.mean)


def remove_in_steps(
    training: ConstrainedRidge,
    inner: Sequence[tuple[ConstrainedRidge, np.ndarray]],
    X: Features,
    Y: Targets,
    grid: Float[np.ndarray, " alpha"],
    n_steps: int,
) -> list[Float[np.ndarray, "target component"]]:
    """Weights (target, component) of the training set after 0 to n_steps removals, penalties chosen on inner sets."""
    every = np.repeat(grid[:, None], Y.shape[1], axis=1)
    for one in (training, *(own for own, _ in inner)):
        one.forget()
    found = []
    for step in range(n_steps + 1):
        errors = np.zeros(every.shape)
        for own, held in inner:
            errors += ((own.predict(X[held], own.weights(every)) - Y[held]) ** 2).sum(axis=1)
        chosen = grid[errors.argmin(axis=0)][None]
        found.append(training.weights(chosen)[0])
        if step < n_steps:
            for one in (training, *(own for own, _ in inner)):
                one.remove(one.weights(chosen)[0])
    return found
