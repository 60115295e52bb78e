"""The mean-difference probe: the direction from one class's mean to the other's, with nothing to tune."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from personascope.errors import DataError


class MeanDifferenceProbe(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Two classes told apart by which of their means is nearer.

    The decision is a plane halfway between the means, at right angles to their difference: scikit-learn's
    `NearestCentroid`, with the direction to show for it. It does not standardise and ignores covariance, so it is the
    contrast that steering vectors are usually made of rather than the best classifier.

    Args:
        balance_groups: average within `groups` first, so that a topic with many rows counts as one with few.

    Attributes:
        classes_: the two classes, sorted.
        coef_: mean of the second class minus mean of the first, shape (1, d_model).
        intercept_: shape (1,); the margin is 0 halfway.
    """

    def __init__(self, balance_groups: bool = False) -> None:
        self.balance_groups = balance_groups

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: Any, y: Any, groups: Any = None) -> MeanDifferenceProbe:
        """Fit on `X` (row, d_model) and `y` (row,) of two classes; `groups` (row,) only matter when balanced.

        Raises:
            ValueError: other than two classes, or what scikit-learn's validation refuses.
            DataError: `balance_groups` without groups.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) != 2:
            raise ValueError(
                f"Only binary classification is supported. The classifier saw {len(self.classes_)} class(es); "
                "a difference of means needs two classes."
            )
        if self.balance_groups and groups is None:
            raise DataError(f"No groups for {len(X)} rows.", "balance_groups averages within them first.", "Pass them.")
        labels = np.unique(np.asarray(groups), return_inverse=True)[1] if self.balance_groups else np.arange(len(X))
        low, high = (_mean_of_groups(X[codes == c], labels[codes == c]) for c in (0, 1))
        self.coef_ = (high - low)[None]
        self.intercept_ = -self.coef_ @ (low + high) / 2
        return self

    def decision_function(self, X: Any) -> Float[np.ndarray, " row"]:
        """Margins (row,), positive on the side of the second class."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return np.asarray((X @ self.coef_.T + self.intercept_)[:, 0])

    def predict(self, X: Any) -> Any:
        """The class whose mean is nearer, shape (row,)."""
        margins = self.decision_function(X)
        return np.asarray(self.classes_[(margins > 0).astype(int)])


def _mean_of_groups(X: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean over groups of their means."""
    sizes = np.bincount(labels)[labels]
    weights = 1.0 / sizes
    return np.asarray(weights @ X / weights.sum())
