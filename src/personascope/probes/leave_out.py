"""What ridge would predict for each row, or each group of rows, had it not been trained on it: without refitting.

With H the matrix that maps targets to predictions at one penalty, the errors on rows G left out together are

    (I - H_GG)^-1 (y - Hy)_G

(Allen 1974 for one row). One decomposition serves every row, penalty and target. The features keep the scale they have
over all rows; the mean of the target is estimated anew each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from personascope.errors import DataError
from personascope.probes.ridge import RidgeSolution, checked_alphas
from personascope.shapes import Features, Targets

# Smaller than this, what a row leaves to itself is rounding: without it the others cannot predict it
_OWN_SHARE = 1e-12
_BLOCK = 1 << 24


@dataclass(frozen=True, eq=False)
class LeaveOutRidge:
    """Ridge with the penalty that predicts left-out rows best, for each target.

    Args:
        mean_squared_errors: over left-out rows, shape (alpha, target).
        alpha: of the least error, shape (target,).
        coef: weights on features as they came, from all rows, shape (d_model, target).
        intercept: shape (target,).
    """

    mean_squared_errors: Float[np.ndarray, "alpha target"]
    alpha: Float[np.ndarray, " target"]
    coef: Float[np.ndarray, "d_model target"]
    intercept: Float[np.ndarray, " target"]


def leave_out_ridge(X: Features, Y: Targets, alphas: Sequence[float], groups: Any = None) -> LeaveOutRidge:
    """Choose every target's penalty by leave-one-out, or leave-one-group-out, and fit on all rows.

    Args:
        X: features (row, d_model), standardised here.
        Y: targets (row, target).
        alphas: positive penalties.
        groups: group of each row; its rows are left out together. A group of g rows costs g^2 times the components
            for each penalty.

    Returns:
        As scikit-learn's `RidgeCV(alpha_per_target=True)` on standardised features when there are no groups.

    Raises:
        DataError: a penalty that is not positive, fewer than two groups, or rows that the others say nothing about.
    """
    grid, left = checked_alphas(alphas), LeftOut(X, Y, groups)
    step = max(1, _BLOCK // max(1, Y.size))
    parts = [left.errors(grid[start : start + step]) for start in range(0, len(grid), step)]
    squared = np.concatenate([np.einsum("ait,ait->at", part, part) for part in parts]) / len(Y)
    alpha = grid[squared.argmin(axis=0)]
    coef, intercept = left.solution.weights(alpha)
    return LeaveOutRidge(squared, alpha, coef, intercept)


def leave_out_predictions(X: Features, Y: Targets, alpha: Float[np.ndarray, " target"], groups: Any = None) -> Targets:
    """Predictions (row, target) by ridge without the row, or its group; each target with its own penalty.

    Raises:
        DataError: as `leave_out_ridge`.
    """
    left, values = LeftOut(X, Y, groups), np.empty(Y.shape)
    for value in np.unique(checked_alphas(alpha.tolist())):
        alike = alpha == value
        values[:, alike] = Y[:, alike] - left.errors(np.array([value]))[0][:, alike]
    return values


class LeftOut:
    """One decomposition, and from it the errors on left-out rows."""

    def __init__(self, X: Features, Y: Targets, groups: Any = None) -> None:
        self.solution = RidgeSolution(X, Y)
        spectrum, rest = self.solution.spectrum, Y - self.solution.mean
        codes = np.arange(len(X)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
        if len(codes) != len(X) or codes.max() < 1:
            raise DataError(
                f"{len(X)} rows and {len(codes)} group labels in {codes.max() + 1} groups.",
                "Leaving one group out must leave another to learn from, and each row needs a label.",
                "Group by item, task or topic.",
            )
        self.members = [np.flatnonzero(codes == g) for g in range(codes.max() + 1)] if groups is not None else []
        self.rest = rest
        if spectrum.is_dual:
            # the constant is an eigenvector of eigenvalue zero, which the free mean takes away: centring removes it
            self.basis = spectrum.vectors - spectrum.vectors.mean(axis=0)
        else:
            self.basis = spectrum.own_features()

    def errors(self, alphas: Float[np.ndarray, " alpha"]) -> Float[np.ndarray, "alpha row target"]:
        """Target minus prediction by the rest, for every penalty.

        Raises:
            DataError: a row that the others say nothing about.
        """
        spectrum, n_targets = self.solution.spectrum, self.rest.shape[1]
        shares = 1.0 / (spectrum.eigenvalues[:, None] + alphas)
        if spectrum.is_dual:
            shares *= alphas
        shrunk = (shares[:, :, None] * self.solution.coordinates[:, None]).reshape(len(shares), -1)
        fitted = (self.basis @ shrunk).reshape(len(self.rest), len(alphas), n_targets).transpose(1, 0, 2)
        residuals = fitted if spectrum.is_dual else self.rest - fitted
        if self.members:
            return self._of_groups(residuals, shares)
        own = self.basis**2 @ shares
        if not spectrum.is_dual:
            own = 1.0 - 1.0 / len(own) - own
        _require_share(own.min())
        return np.asarray(residuals / own.T[:, :, None])

    def _of_groups(
        self, residuals: Float[np.ndarray, "alpha row target"], shares: Float[np.ndarray, "component alpha"]
    ) -> Float[np.ndarray, "alpha row target"]:
        errors = np.empty(residuals.shape)
        for rows in self.members:
            basis = self.basis[rows]
            for a, share in enumerate(shares.T):
                own = (basis * share) @ basis.T
                if not self.solution.spectrum.is_dual:
                    own = np.eye(len(rows)) - 1.0 / len(self.basis) - own
                _require_share(float(np.linalg.eigvalsh(own)[0]))
                errors[a, rows] = np.linalg.solve(own, residuals[a, rows])
        return errors


def _require_share(least: float) -> None:
    if least <= _OWN_SHARE:
        raise DataError(
            f"Without it, nothing is left to predict a row from: 1 minus its leverage is {least:.2g}.",
            "Under a penalty this small, ridge passes through every row.",
            "Use larger penalties.",
        )
