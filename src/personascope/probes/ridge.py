"""Ridge probes: all penalties and all targets from one eigendecomposition.

The model is scikit-learn's `Ridge` on standardised features Z, with an unpenalised intercept:

    minimise  |y - Zw - b|^2 + alpha |w|^2,   w = V (S^2 + alpha)^-1 V'Z'(y - mean y)     (Hoerl & Kennard 1970)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from personascope.errors import DataError
from personascope.probes.fold_sums import FoldSums, partitions
from personascope.probes.folds import Folds, grouped_folds
from personascope.probes.spectrum import Spectrum
from personascope.shapes import Features, Targets

# Each standardised feature brings n to the sum of squares: eigenvalues are around n where the data have full rank, and
# n * d at most. The grid reaches from hardly any shrinking to almost all of it for n up to about 1e4.
DEFAULT_ALPHAS: tuple[float, ...] = tuple(np.logspace(-1, 5, 13).tolist())


def ridge_path(
    X: Features, Y: Targets, alphas: Sequence[float]
) -> tuple[Float[np.ndarray, "alpha d_model target"], Float[np.ndarray, "alpha target"]]:
    """Ridge coefficients for every penalty and target, for features as they came (standardised inside).

    Args:
        X: features, shape (row, d_model); a feature that does not vary gets weight 0.
        Y: targets, shape (row, target).
        alphas: positive penalties in scikit-learn's convention on standardised features.

    Returns:
        Coefficients (alpha, d_model, target) and intercepts (alpha, target), equal to those of
        `make_pipeline(StandardScaler(), Ridge(alpha))` folded back to raw features.

    Raises:
        DataError: a penalty that is not positive and finite.
    """
    solved = RidgeSolution(X, Y)
    shrunk = solved.coordinates / (solved.spectrum.eigenvalues[:, None] + checked_alphas(alphas)[:, None, None])
    n_alphas, n_components, n_targets = shrunk.shape
    flat = solved.spectrum.raw_weights(shrunk.transpose(1, 0, 2).reshape(n_components, -1))
    coef = flat.reshape(-1, n_alphas, n_targets).transpose(1, 0, 2)
    return coef, solved.mean - np.einsum("i,ait->at", solved.spectrum.mean, coef)


class RidgeSolution:
    """One set of training rows, decomposed, with its targets in components: prediction for any alpha is one product."""

    def __init__(self, X: Features, Y: Targets) -> None:
        self.spectrum = Spectrum.of(X)
        self.mean = Y.mean(axis=0)
        self.coordinates = self.spectrum.coordinates(Y - self.mean)

    def squared_errors(
        self, X: Features, Y: Targets, alphas: Float[np.ndarray, " alpha"]
    ) -> Float[np.ndarray, "alpha target"]:
        """Sum of squared prediction errors on held-out rows, for every penalty and target."""
        features = self.spectrum.features(X)
        rest = Y - self.mean
        errors = np.empty((len(alphas), Y.shape[1]))
        for a, alpha in enumerate(alphas):
            residual = features @ (self.coordinates / (self.spectrum.eigenvalues + alpha)[:, None]) - rest
            errors[a] = np.einsum("ij,ij->j", residual, residual)
        return errors

    def predict(self, X: Features, alpha: Float[np.ndarray, " target"]) -> Targets:
        """Predictions (row, target), each target with its own penalty."""
        shrunk = self.coordinates / (self.spectrum.eigenvalues[:, None] + alpha)
        return np.asarray(self.spectrum.features(X) @ shrunk + self.mean)

    def weights(
        self, alpha: Float[np.ndarray, " target"]
    ) -> tuple[Float[np.ndarray, "d_model target"], Float[np.ndarray, " target"]]:
        """Raw coefficients (d_model, target) and intercepts (target,), each target with its own penalty."""
        coef = self.spectrum.raw_weights(self.coordinates / (self.spectrum.eigenvalues[:, None] + alpha))
        return coef, self.mean - self.spectrum.mean @ coef


def held_out_errors(
    X: Features, Y: Targets, folds: Folds, alphas: Sequence[float]
) -> Float[np.ndarray, "alpha target"]:
    """Sum of squared errors over all held-out rows, for every penalty and target; one decomposition per fold.

    Permuted copies of a target are further targets, at the price of a matrix product. Where no fold trains on fewer
    rows than there are features, the work is done on sums (see `fold_sums`), and on rows otherwise.
    """
    grid = checked_alphas(alphas)
    errors = np.zeros((len(grid), Y.shape[1]))
    with_sums = min(len(train) for train, _ in folds) >= X.shape[1] > 1 and partitions(folds, len(X))
    sums = FoldSums(X, Y, folds) if with_sums else None
    for number, (train, test) in enumerate(folds):
        part = None if sums is None else sums.squared_errors(number, grid)
        errors += RidgeSolution(X[train], Y[train]).squared_errors(X[test], Y[test], grid) if part is None else part
    return errors


def choose_alphas(X: Features, Y: Targets, folds: Folds, alphas: Sequence[float]) -> Float[np.ndarray, " target"]:
    """The penalty of least squared error over all held-out rows, for each target."""
    return np.asarray(checked_alphas(alphas)[np.argmin(held_out_errors(X, Y, folds, alphas), axis=0)])


class RidgeProbe(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Ridge regression that chooses its penalty per target on grouped inner folds, by mean squared error.

    It standardises features itself. A fit makes `n_inner_folds + 1` eigendecompositions, however many penalties and
    targets there are.

    Args:
        alphas: positive penalties, in scikit-learn's convention on standardised features; default 13 from 0.1 to 1e5.
        n_inner_folds: folds for choosing the penalty.
        seed: of the assignment of groups to folds.

    Attributes:
        coef_: weights on features as they came, shape (d_model,) or (target, d_model).
        intercept_: float or shape (target,).
        alpha_: the chosen penalty, float or shape (target,).
    """

    def __init__(self, alphas: Sequence[float] | None = None, n_inner_folds: int = 4, seed: int = 0) -> None:
        self.alphas = alphas
        self.n_inner_folds = n_inner_folds
        self.seed = seed

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, Y: Any, groups: Any = None) -> RidgeProbe:
        """Fit on `X` (row, d_model) and `Y` (row,) or (row, target); rows of one of `groups` (row,) stay in one fold.

        Raises:
            DataError: fewer groups (or rows) than inner folds, or a penalty that is not positive.
            ValueError: what scikit-learn's validation refuses (NaN, wrong shapes).
        """
        X, Y = validate_data(self, X, Y, multi_output=True, y_numeric=True, dtype=np.float64, ensure_min_samples=2)
        columns = np.asarray(Y, dtype=np.float64).reshape(len(X), -1)
        folds = grouped_folds(np.arange(len(X)) if groups is None else groups, self.n_inner_folds, self.seed)
        alpha = choose_alphas(X, columns, folds, DEFAULT_ALPHAS if self.alphas is None else self.alphas)
        coef, intercept = RidgeSolution(X, columns).weights(alpha)
        one = Y.ndim == 1
        self.coef_ = coef[:, 0] if one else coef.T
        self.intercept_ = float(intercept[0]) if one else intercept
        self.alpha_ = float(alpha[0]) if one else alpha
        return self

    def predict(self, X: Any) -> Float[np.ndarray, " row"] | Targets:
        """Predictions of shape (row,) or (row, target), as `Y` was."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return np.asarray(X @ self.coef_.T + self.intercept_)


def checked_alphas(alphas: Sequence[float]) -> Float[np.ndarray, " alpha"]:
    """The grid as an array.

    Raises:
        DataError: a value that is not positive and finite.
    """
    grid = np.asarray(alphas, dtype=np.float64)
    if grid.ndim != 1 or not len(grid) or not np.all(np.isfinite(grid) & (grid > 0)):
        raise DataError(
            f"Penalties must be positive and finite; got {list(alphas)}.",
            "Without a penalty, ridge has no unique solution when there are fewer rows than features.",
            "Pass for example np.logspace(-1, 5, 13).",
        )
    return grid
