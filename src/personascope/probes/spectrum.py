"""Standardised rows and their one eigendecomposition, from which every penalty and every target is solved.

With Z the standardised rows and Z = U S V' its singular value decomposition, one symmetric eigenproblem of the smaller
side is enough: Z'Z = V S^2 V' (primal, d x d, when there are at least as many rows as features) or ZZ' = U S^2 U'
(dual, n x n, otherwise). See Hastie & Tibshirani (2004), "Efficient quadratic regularization for expression arrays".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from personascope.shapes import Features, Vector

_EPS = float(np.finfo(np.float64).eps)
_RANK_TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The decomposition of one set of training rows.

    New rows are written in components, `features(X) = Z_new B`, with B = V in the primal form and B = Z'U in the dual
    one. The dual columns of B have length S rather than 1: dividing by S would lose the directions where it is small.

    Args:
        rows: standardised training rows Z, shape (row, d_model), float64.
        mean: subtracted from every feature (zero when not centred).
        scale: standard deviation (root mean square when not centred), 1 for features that do not vary.
        eigenvalues: S^2, ascending, none negative, shape (component,).
        vectors: V (d_model, component) or U (row, component).
        is_dual: whether the rows x rows form was used.
    """

    rows: Float[np.ndarray, "row d_model"]
    mean: Vector
    scale: Vector
    eigenvalues: Float[np.ndarray, " component"]
    vectors: Float[np.ndarray, "side component"]
    is_dual: bool

    @classmethod
    def of(cls, X: Features, *, centre: bool = True) -> Spectrum:
        """Standardise `X` (row, d_model) and decompose it.

        Without centring, features are divided by their root mean square around zero, which does not change when the
        sign of a row does: right for differences of pairs, whose order is arbitrary.
        """
        rows = np.array(X, dtype=np.float64)
        mean = rows.mean(axis=0) if centre else np.zeros(rows.shape[1])
        rows -= mean
        scale = np.sqrt(np.einsum("ij,ij->j", rows, rows) / len(rows))
        # a constant column keeps a spread of rounding errors, which must not be blown up to 1
        scale[scale <= len(rows) * _EPS * np.abs(mean)] = 1.0
        rows /= scale
        is_dual = rows.shape[0] < rows.shape[1]
        eigenvalues, vectors = np.linalg.eigh(rows @ rows.T if is_dual else rows.T @ rows)
        return cls(rows, mean, scale, np.maximum(eigenvalues, 0.0), vectors, is_dual)

    @property
    def lengths(self) -> Float[np.ndarray, " component"]:
        """Length of each column of B."""
        return np.asarray(np.sqrt(self.eigenvalues) if self.is_dual else np.ones(len(self.eigenvalues)))

    def features(self, X: Features) -> Float[np.ndarray, "row component"]:
        """New rows in components, Z_new B, shape (row, component)."""
        standardised = (X - self.mean) / self.scale
        if not self.is_dual:
            return np.asarray(standardised @ self.vectors)
        return np.asarray((standardised @ self.rows.T) @ self.vectors)

    def own_features(self) -> Float[np.ndarray, "row component"]:
        """The training rows in components, Z B."""
        return np.asarray(self.vectors * self.eigenvalues if self.is_dual else self.rows @ self.vectors)

    @property
    def kept(self) -> Bool[np.ndarray, " component"]:
        """The components in which the training rows vary beyond rounding."""
        return np.asarray(self.eigenvalues > _RANK_TOLERANCE * self.eigenvalues[-1])

    def rotated(self, X: Features | None = None) -> Float[np.ndarray, "row kept"]:
        """Rows (the training rows by default) in kept components of length 1: a rotation, which no L2 penalty sees."""
        components = self.own_features() if X is None else self.features(X)
        return np.asarray(components[:, self.kept] / self.lengths[self.kept])

    def raw_slopes(self, rotated: Float[np.ndarray, "kept column"]) -> Float[np.ndarray, "d_model column"]:
        """Weights on the features as they came, from weights on `rotated` ones."""
        components = np.zeros((len(self.kept), rotated.shape[1]))
        components[self.kept] = rotated / self.lengths[self.kept, None]
        return self.raw_weights(components)

    def coordinates(self, Y: Float[np.ndarray, "row target"]) -> Float[np.ndarray, "component target"]:
        """U'Y or V'Z'Y: what the ridge solution B (S^2 + alpha)^-1 (...) divides by S^2 + alpha."""
        return np.asarray(self.vectors.T @ (Y if self.is_dual else self.rows.T @ Y))

    def raw_weights(self, components: Float[np.ndarray, "component column"]) -> Float[np.ndarray, "d_model column"]:
        """Weights on the features as they came, from weights on components."""
        weights = self.vectors @ components
        if self.is_dual:
            weights = self.rows.T @ weights
        return np.asarray(weights / self.scale[:, None])
