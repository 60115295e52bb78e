"""Cross-validated ridge errors from the sums of each fold, when there are at least as many rows as features.

A fold enters as its sums of rows, of their products and of their products with the targets. Those of a training set are
the sums of its folds, so that every row is multiplied once and not once per fold, and standardising is algebra on d x d
matrices. The eigenvectors are not needed either: with Z'Z = Q T Q' and T tridiagonal (the first half of every symmetric
eigensolver), the solution for a penalty a is Q (T + a)^-1 Q'Z'y, and a tridiagonal system takes O(d).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.linalg import lapack

from personascope.probes.folds import Folds
from personascope.shapes import Features, Targets

_EPS = float(np.finfo(np.float64).eps)
# A mean that lies further from the shift than this many spreads would cost the products of sums their digits
_FAR = 100.0
_BLOCK = 1 << 21


class FoldSums:
    """Sums over the test rows of each fold, of features and targets less their overall means.

    Args:
        X: at least two features (row, d_model).
        Y: targets (row, target).
        folds: whose test parts partition the rows.
    """

    def __init__(self, X: Features, Y: Targets, folds: Folds) -> None:
        X, Y = np.asarray(X, dtype=np.float64), np.asarray(Y, dtype=np.float64)
        self.shift, self.middle = X.mean(axis=0), Y.mean(axis=0)
        self.X, self.Y, self.tests = X - self.shift, Y - self.middle, [test for _, test in folds]
        self.counts = [len(test) for test in self.tests]
        self.x, self.y, self.xx, self.xy = [], [], [], []
        for test in self.tests:
            rows, values = self.X[test], self.Y[test]
            self.x.append(rows.sum(axis=0))
            self.y.append(values.sum(axis=0))
            self.xx.append(rows.T @ rows)
            self.xy.append(rows.T @ values)

    def without(self, *held: int) -> TridiagonalRidge | None:
        """Ridge on all folds but those; None where only the rows themselves are exact enough."""
        kept = [fold for fold in range(len(self.counts)) if fold not in held]
        n = sum(self.counts[fold] for fold in kept)
        if n < self.X.shape[1]:
            return None
        mean_x, mean_y = (sum(part[fold] for fold in kept) / n for part in (self.x, self.y))
        products = sum((self.xx[fold] for fold in kept[1:]), start=self.xx[kept[0]].copy())
        spread_around_shift = np.sqrt(products.diagonal() / n)
        products -= np.outer(n * mean_x, mean_x)
        spread = np.sqrt(np.maximum(products.diagonal(), 0.0) / n)
        # a constant column keeps a spread of rounding errors, which must not be blown up to 1
        constant = spread_around_shift <= n * _EPS * np.abs(self.shift + mean_x)
        if (spread_around_shift > _FAR * spread)[~constant].any():
            return None
        scale = np.where(constant, 1.0, spread)
        products /= scale
        products /= scale[:, None]
        moments = sum(self.xy[fold] for fold in kept) - np.outer(n * mean_x, mean_y)
        return TridiagonalRidge(products, moments / scale[:, None], mean_x, scale, mean_y)

    def squared_errors(
        self, fold: int, alphas: Float[np.ndarray, " alpha"]
    ) -> Float[np.ndarray, "alpha target"] | None:
        """Sum of squared errors on the test rows of a fold by ridge on the others; None as for `without`."""
        ridge, test = self.without(fold), self.tests[fold]
        return None if ridge is None else ridge.squared_errors(self.X[test], self.Y[test], alphas)


class TridiagonalRidge:
    """Training rows as Q T Q', from their standardised products, which are overwritten.

    Args:
        products: Z'Z (d_model, d_model).
        moments: Z'Y (d_model, target).
        mean: of the training features; `scale` divides what is left, and `middle` is the mean of the targets.
    """

    def __init__(
        self,
        products: Float[np.ndarray, "d_model d_model"],
        moments: Float[np.ndarray, "d_model target"],
        mean: Float[np.ndarray, " d_model"],
        scale: Float[np.ndarray, " d_model"],
        middle: Float[np.ndarray, " target"],
    ) -> None:
        self.mean, self.scale, self.middle = mean, scale, middle
        # a symmetric matrix in row order is the same one in the column order that LAPACK wants
        work = int(lapack.dsytrd_lwork(len(products), lower=1)[0])
        reflectors, self.diagonal, self.beside, self.factors, _ = lapack.dsytrd(
            products.T, lower=1, lwork=work, overwrite_a=1
        )
        self.reflectors = np.asfortranarray(reflectors[1:, :-1])
        self.moments = self._rotated(moments)

    def squared_errors(
        self, X: Features, Y: Targets, alphas: Float[np.ndarray, " alpha"]
    ) -> Float[np.ndarray, "alpha target"] | None:
        """Sum of squared prediction errors on other rows; None where a penalty drowns in rounding."""
        features = self._rotated(((X - self.mean) / self.scale).T).T
        n_targets, rest = Y.shape[1], Y - self.middle
        errors = np.empty((len(alphas), n_targets))
        step = max(1, _BLOCK // max(1, Y.size))
        for start in range(0, len(alphas), step):
            block = alphas[start : start + step]
            solved = np.empty((len(self.moments), len(block) * n_targets), order="F")
            for number, alpha in enumerate(block):
                _, _, weights, status = lapack.dptsv(self.diagonal + alpha, self.beside, self.moments)
                if status:
                    return None
                solved[:, number * n_targets : (number + 1) * n_targets] = weights
            residuals = (features @ solved).reshape(len(X), len(block), n_targets)
            residuals -= rest[:, None]
            errors[start : start + step] = np.einsum("iat,iat->at", residuals, residuals)
        return errors

    def _rotated(self, columns: Float[np.ndarray, "d_model column"]) -> Float[np.ndarray, "d_model column"]:
        """Q' times columns; the first row is left alone by every reflector."""
        rotated = np.array(columns, order="F")
        rest = np.asfortranarray(rotated[1:])
        rotated[1:] = lapack.dormqr("L", "T", self.reflectors, self.factors, rest, 64 * rest.shape[1], overwrite_c=1)[0]
        return rotated


def partitions(folds: Folds, n_rows: int) -> bool:
    """Whether the test parts split the rows and each training part is all that its test part is not."""
    tests = np.concatenate([test for _, test in folds])
    return (
        len(tests) == n_rows
        and len(np.unique(tests)) == n_rows
        and all(len(train) + len(test) == n_rows and not np.isin(train, test).any() for train, test in folds)
    )
