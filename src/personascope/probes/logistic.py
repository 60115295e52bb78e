"""Logistic probes: two or more classes, every value of the penalty solved together.

The objective is scikit-learn's `LogisticRegression(C)` on standardised features; how it is solved is in `softmax`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from personascope.errors import DataError
from personascope.probes.folds import Folds, grouped_folds
from personascope.probes.softmax import SELECTION_TOLERANCE, fit_stacked, losses
from personascope.shapes import Features, RowValues

# On standardised features |z|^2 is d, so with hundreds of dimensions useful values lie well below 1
DEFAULT_CS: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


class LogisticProbe(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """L2 logistic regression that chooses its penalty on grouped inner folds, by log loss.

    It standardises features itself. A fit makes `n_inner_folds + 1` eigendecompositions. Converged means that the
    gradient norm, preconditioned by the curvature, is 1e-10 of what it was at the start (1e-3 while choosing C).

    Args:
        Cs: positive inverse penalties, in scikit-learn's convention on standardised features.
        n_inner_folds: folds for choosing C.
        fit_intercept: False for differences of pairs, whose order is arbitrary: then features are divided by their
            root mean square and not centred, so that swapping a pair and its answer changes nothing.
        seed: of the assignment of groups to folds.

    Attributes:
        classes_: sorted classes.
        coef_: weights on features as they came, shape (1, d_model) for two classes, (class, d_model) for more.
        intercept_: shape (1,) or (class,).
        C_: the chosen inverse penalty.
    """

    def __init__(
        self, Cs: Sequence[float] | None = None, n_inner_folds: int = 4, fit_intercept: bool = True, seed: int = 0
    ) -> None:
        self.Cs = Cs
        self.n_inner_folds = n_inner_folds
        self.fit_intercept = fit_intercept
        self.seed = seed

    def fit(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> LogisticProbe:
        """Fit on `X` (row, d_model) and `y` (row,); rows of one of `groups` (row,) stay in one fold.

        Raises:
            DataError: a single class, fewer groups (or rows) than inner folds, or a C that is not positive.
            ConvergenceError: the optimum was not reached.
            ValueError: what scikit-learn's validation refuses (NaN, wrong shapes, continuous `y`).
        """
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(y)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(
                f"All {len(y)} rows are of one class, {str(self.classes_[0])!r}.", "There is nothing to tell apart.", ""
            )
        targets = one_hot(codes[:, None], len(self.classes_))
        grid = checked_penalties(DEFAULT_CS if self.Cs is None else self.Cs)
        folds = grouped_folds(np.arange(len(X)) if groups is None else groups, self.n_inner_folds, self.seed)
        total = held_out_losses(X, targets, folds, grid, row_weights=weights, fit_intercept=bool(self.fit_intercept))[
            :, 0
        ]
        self.C_ = float(grid[np.argmin(total)])
        final = fit_stacked(
            X, targets, np.array([[self.C_]]), row_weights=weights, fit_intercept=bool(self.fit_intercept)
        )
        self.coef_, self.intercept_ = final.raw(0, 0)
        return self

    def decision_function(self, X: Any) -> Float[np.ndarray, "row ..."]:
        """Margins: shape (row,) for two classes, positive meaning the second; (row, class) for more."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        margins = X @ self.coef_.T + self.intercept_
        return np.asarray(margins[:, 0] if len(self.classes_) == 2 else margins)

    def predict_proba(self, X: Any) -> Float[np.ndarray, "row class"]:
        """Class probabilities, shape (row, class), in the order of `classes_`."""
        margins = self.decision_function(X)
        if margins.ndim == 1:
            return np.stack([expit(-margins), expit(margins)], axis=1)
        return np.asarray(softmax(margins, axis=1))

    def predict(self, X: Any) -> Any:
        """The most probable class of each row, shape (row,)."""
        margins = self.decision_function(X)
        return np.asarray(self.classes_[(margins > 0).astype(int) if margins.ndim == 1 else margins.argmax(axis=1)])


def held_out_losses(
    X: Features,
    targets: Float[np.ndarray, "row column target"],
    folds: Folds,
    Cs: Float[np.ndarray, " penalty"],
    *,
    row_weights: RowValues,
    fit_intercept: bool,
    tolerance: float = SELECTION_TOLERANCE,
) -> Float[np.ndarray, "penalty target"]:
    """Weighted sum of log losses over all held-out rows, for every penalty and target; one decomposition per fold.

    Args:
        X: features (row, d_model), standardised over the training rows of each fold.
        targets: as for `fit_stacked`.
        folds: (train, test) row indices.
        Cs: inverse penalties, ascending.
        row_weights: weights (row,) in fitting and judging.
        fit_intercept: False for differences of pairs.
        tolerance: as for `fit_stacked`.

    Raises:
        ConvergenceError: a fit did not converge.
    """
    total, grid = np.zeros((len(Cs), targets.shape[2])), np.tile(Cs[:, None], targets.shape[2])
    for train, test in folds:
        fitted = fit_stacked(
            X[train],
            targets[train],
            grid,
            row_weights=row_weights[train],
            fit_intercept=fit_intercept,
            tolerance=tolerance,
        )
        total += np.tensordot(row_weights[test], losses(fitted.margins(X[test]), targets[test, :, None]), axes=1)
    return total


def one_hot(codes: Int[np.ndarray, "row target"], n_classes: int) -> Float[np.ndarray, "row column target"]:
    """Targets for `fit_stacked`: shape (row, 1, target) for two classes, (row, class, target) for more."""
    if n_classes == 2:
        return np.asarray(codes[:, None, :], dtype=np.float64)
    return np.asarray(codes[:, None, :] == np.arange(n_classes)[:, None], dtype=np.float64)


def checked_penalties(Cs: Sequence[float]) -> Float[np.ndarray, " penalty"]:
    """The grid in ascending order.

    Raises:
        DataError: a value that is not positive and finite.
    """
    grid = np.sort(np.asarray(Cs, dtype=np.float64))
    if grid.ndim != 1 or not len(grid) or not np.all(np.isfinite(grid) & (grid > 0)):
        raise DataError(
            f"Values of C must be positive and finite; got {list(Cs)}.",
            "Without a penalty, separable classes have no optimum.",
            f"Pass for example {DEFAULT_CS}.",
        )
    return grid
