"""Nested cross-validation: out-of-fold predictions whose penalties were chosen inside the training folds.

The inner folds of an outer fold are the other outer folds. A fit that leaves out folds j and k then serves twice: it is
judged on j while k is the outer test fold, and on k while j is. So k folds need k (k - 1) / 2 + k decompositions
instead of k * k, and inner folds keep groups together because outer folds do (Varma & Simon 2006 for why the penalty
must be chosen inside).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float, Int

from personascope.errors import DataError
from personascope.probes.folds import inside, outside, require_three
from personascope.probes.ridge import RidgeSolution, checked_alphas
from personascope.probes.softmax import SELECTION_TOLERANCE, fit_stacked, losses
from personascope.shapes import Features, RowValues, Targets


@dataclass(frozen=True, eq=False)
class NestedRidge:
    """Out-of-fold ridge predictions.

    Args:
        predictions: (row, target).
        penalties: the alpha chosen for each fold and target.
        elsewhere: predictions (row, target) of the same probes for other features of the same rows.
    """

    predictions: Targets
    penalties: Float[np.ndarray, "fold target"]
    elsewhere: tuple[Targets, ...]


def nested_ridge(
    X: Features,
    Y: Targets,
    numbers: Int[np.ndarray, " row"],
    alphas: Sequence[float],
    others: Sequence[Features] = (),
) -> NestedRidge:
    """Predict every row by a ridge probe that never saw its fold, nor chose its penalty with it.

    Args:
        X: features (row, d_model), float64.
        Y: targets (row, target); permuted copies ride along at the price of a matrix product.
        numbers: fold of each row, 0 to k - 1.
        alphas: penalties to choose from, for each fold and target by squared error.
        others: features (row, d_model) of the same rows under other personas, predicted out of fold too.

    Raises:
        DataError: fewer than three folds.
    """
    members, grid = numbers[:, None], checked_alphas(alphas)
    n_folds = require_three(members)
    errors = np.zeros((n_folds, len(grid), Y.shape[1]))
    for one, other in combinations(range(n_folds), 2):
        train = outside(members, (one, other))
        solution = RidgeSolution(X[train], Y[train])
        for held, outer in ((one, other), (other, one)):
            rows = inside(members, held)
            errors[outer] += solution.squared_errors(X[rows], Y[rows], grid)
    chosen = grid[errors.argmin(axis=1)]
    predictions, elsewhere = np.empty(Y.shape), [np.empty(Y.shape) for _ in others]
    for fold in range(n_folds):
        test = inside(members, fold)
        solution = RidgeSolution(X[~test], Y[~test])
        predictions[test] = solution.predict(X[test], chosen[fold])
        for values, features in zip(elsewhere, others, strict=True):
            values[test] = solution.predict(features[test], chosen[fold])
    return NestedRidge(predictions, chosen, tuple(elsewhere))


def nested_logistic(
    X: Features,
    targets: Float[np.ndarray, "row column target"],
    numbers: Int[np.ndarray, "row member"],
    Cs: Float[np.ndarray, " penalty"],
    *,
    row_weights: RowValues,
    fit_intercept: bool,
) -> tuple[Float[np.ndarray, "row column target"], Float[np.ndarray, "fold target"]]:
    """Margins of every row by a logistic probe that never saw its fold, and the C chosen for each fold and target.

    Args:
        X: features (row, d_model).
        targets: as for `fit_stacked`; permuted copies share its matrix products.
        numbers: folds of the members of each row: one for a plain row, two for a pair. A row is tested where all its
            members are, and trained on where none is held out; a row that is never tested gets margins NaN.
        Cs: values to choose from, ascending, for each fold and target by log loss.
        row_weights: weights (row,) in fitting and choosing.
        fit_intercept: False for differences of pairs.

    Raises:
        DataError: fewer than three folds, or no rows left to train or choose on.
        ConvergenceError: a fit did not converge.
    """
    n_folds, n_targets = require_three(numbers), targets.shape[2]
    how = {"fit_intercept": fit_intercept}
    total = np.zeros((n_folds, len(Cs), n_targets))
    for one, other in combinations(range(n_folds), 2):
        train = outside(numbers, (one, other))
        require_rows(train, f"trained on outside folds {one} and {other}")
        grid = np.tile(Cs[:, None], n_targets)
        fitted = fit_stacked(
            X[train], targets[train], grid, row_weights=row_weights[train], tolerance=SELECTION_TOLERANCE, **how
        )
        for held, outer in ((one, other), (other, one)):
            rows = inside(numbers, held)
            require_rows(rows, f"tested in fold {held}")
            rows_losses = losses(fitted.margins(X[rows]), targets[rows, :, None])
            total[outer] += np.tensordot(row_weights[rows], rows_losses, axes=1)
    chosen = Cs[total.argmin(axis=1)]
    margins = np.full(targets.shape, np.nan)
    for fold in range(n_folds):
        train, test = outside(numbers, (fold,)), inside(numbers, fold)
        fitted = fit_stacked(X[train], targets[train], chosen[fold][None], row_weights=row_weights[train], **how)
        margins[test] = fitted.margins(X[test])[:, :, 0]
    return margins, chosen


def require_rows(mask: np.ndarray, which: str) -> None:
    """Raise DataError where a mask holds no row."""
    if not mask.any():
        raise DataError(
            f"None of {len(mask)} rows can be {which}.",
            "A pair counts only where both of its tasks are on one side.",
            "Use fewer folds, more pairs, or pairs within groups.",
        )
