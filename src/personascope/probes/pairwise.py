"""Bradley-Terry probes on features: which of two tasks is chosen, from a utility that is linear in their activations.

    P(first chosen over second) = sigmoid(w.(x_first - x_second) + b)

Here b is a preference for whatever comes first, and |w|^2 / (2 C) on standardised features is the penalty: the optimum
is that of scikit-learn's `LogisticRegression(C)` on the differences of standardised features. The differences are
never formed. Utilities of n tasks cost one product with the features, after which each of m pairs is one subtraction,
so a gradient or a Hessian product takes O(n d + m) instead of O(m d).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from personascope.errors import ConvergenceError, DataError
from personascope.probes.folds import Rows, grouped_folds, pair_folds
from personascope.probes.logistic import DEFAULT_CS, checked_penalties
from personascope.probes.newton import minimise
from personascope.probes.softmax import MAX_ITERATIONS, SELECTION_TOLERANCE, TOLERANCE
from personascope.probes.spectrum import Spectrum
from personascope.shapes import Features, RowValues

_LEAST_CURVATURE = 1e-12
Shares: TypeAlias = Float[np.ndarray, "pair target"]
PairValues: TypeAlias = Float[np.ndarray, " pair"]


@dataclass(frozen=True, eq=False)
class BradleyTerryPath:
    """Solved problems on one set of tasks and pairs.

    Args:
        coef: weights on features as they came, shape (penalty, d_model, target).
        order: log-odds in favour of the first task, shape (penalty, target); 0 where not fitted.
    """

    coef: Float[np.ndarray, "penalty d_model target"]
    order: Float[np.ndarray, "penalty target"]

    def margins(self, X: Features, first: Rows, second: Rows) -> Float[np.ndarray, "penalty pair target"]:
        """Log-odds of choosing the first."""
        utilities = X @ self.coef
        return np.asarray(utilities[:, first] - utilities[:, second] + self.order[:, None])


def bradley_terry_path(
    X: Features,
    first: Rows,
    second: Rows,
    shares: Shares,
    Cs: Float[np.ndarray, " penalty"],
    *,
    counts: PairValues,
    fit_order: bool,
    tolerance: float = TOLERANCE,
) -> BradleyTerryPath:
    """Fit every penalty and target with one eigendecomposition of the tasks' features.

    Args:
        X: features of each task (task, d_model), standardised over tasks here.
        first: index of the first task of each pair (pair,).
        second: index of the second.
        shares: how often the first was chosen, 0 to 1, shape (pair, target): choices of several personas, or shuffles.
        Cs: inverse penalties, best in ascending order: each starts from the one before.
        counts: number of comparisons (or weight) of each pair.
        fit_order: fit b, unpenalised.
        tolerance: as for `fit_stacked`.

    Raises:
        DataError: indices that are not two different tasks, shares outside 0 to 1, features that do not vary, or an
            order term for a target all of whose answers are alike.
        ConvergenceError: a problem did not reach the tolerance.
    """
    _check_pairs(first, second, shares, counts, len(X))
    if fit_order:
        _require_both_answers(shares, counts)
    spectrum = Spectrum.of(X)
    features = spectrum.rotated()
    if not features.shape[1]:
        raise DataError(f"Features of {len(X)} tasks do not vary.", "Nothing can be learnt from them.", "Check them.")
    weights = np.zeros((features.shape[1] + fit_order, shares.shape[1]))
    coef, order = np.empty((len(Cs), X.shape[1], shares.shape[1])), np.zeros((len(Cs), shares.shape[1]))
    comparisons = _Comparisons(features, _incidence(first, second, len(X)), shares, counts, fit_order)
    for number, C in enumerate(Cs):
        comparisons.penalty[: features.shape[1]] = 1 / C
        weights, relative, steps = minimise(
            comparisons,
            weights,
            comparisons.scale(),
            comparisons.norms(),
            tolerance=tolerance,
            max_iterations=MAX_ITERATIONS,
        )
        if relative.max() > tolerance:
            raise ConvergenceError(
                f"Target {int(relative.argmax())} of {len(relative)} stopped at relative gradient norm "
                f"{relative.max():.2g} after {steps} Newton steps; {tolerance:.2g} was asked for.",
                f"C = {C:.3g}: {len(first)} pairs are nearly separable under so weak a penalty, or "
                "their counts differ by many orders of magnitude.",
                "Use smaller values of C.",
            )
        coef[number] = spectrum.raw_slopes(weights[: features.shape[1]])
        if fit_order:
            order[number] = weights[-1]
    return BradleyTerryPath(coef, order)


class _Comparisons:
    """The objective of all targets under one penalty; variables are (component, target), the order term last."""

    def __init__(
        self, features: np.ndarray, incidence: csr_array, shares: np.ndarray, counts: np.ndarray, fit_order: bool
    ) -> None:
        self.features, self.incidence, self.scatter = features, incidence, incidence.T.tocsr()
        self.shares, self.counts, self.fit_order = shares, counts[:, None], fit_order
        self.penalty = np.zeros((features.shape[1] + fit_order, 1))
        # of random pairs; tasks that meet often are more alike than that, which costs a few products
        met = abs(self.scatter) @ counts
        self.curvature = np.append(met @ features**2, [counts.sum()] * fit_order)[:, None] / 4

    def scale(self) -> np.ndarray:
        """Inverse root of the diagonal curvature."""
        return np.asarray(np.repeat(1.0 / np.sqrt(self.curvature + self.penalty), self.shares.shape[1], axis=1))

    def norms(self) -> np.ndarray:
        """Preconditioned gradient norm at zero weights (target,), or what counts as zero if that is smaller."""
        gradient = self.objective(np.zeros((len(self.penalty), self.shares.shape[1])))[1]
        return np.asarray(np.maximum(np.linalg.norm(self.scale() * gradient, axis=0), 1e-8 * self.counts.sum()))

    def objective(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Objective (target,) and gradient (component, target)."""
        margins = self._margins(weights)
        losses = np.logaddexp(0.0, margins) - self.shares * margins
        gradient = self._pulled_back(self.counts * (expit(margins) - self.shares)) + self.penalty * weights
        return (self.counts * losses).sum(axis=0) + 0.5 * (self.penalty * weights**2).sum(axis=0), gradient

    def hessian(self, weights: np.ndarray) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
        """Products of the Hessian at `weights` with directions (component, target), and about its diagonal."""
        chances = expit(self._margins(weights))
        spread = self.counts * chances * (1 - chances)

        def product(direction: np.ndarray) -> np.ndarray:
            return np.asarray(self._pulled_back(spread * self._margins(direction)) + self.penalty * direction)

        diagonal = self.curvature * (4 * spread.sum(axis=0) / self.counts.sum()) + self.penalty
        return product, np.maximum(diagonal, _LEAST_CURVATURE * self.curvature)

    def _margins(self, weights: np.ndarray) -> np.ndarray:
        if not self.fit_order:
            return np.asarray(self.incidence @ (self.features @ weights))
        return np.asarray(self.incidence @ (self.features @ weights[:-1]) + weights[-1])

    def _pulled_back(self, pairs: np.ndarray) -> np.ndarray:
        slopes = self.features.T @ (self.scatter @ pairs)
        return np.concatenate([slopes, pairs.sum(axis=0)[None]]) if self.fit_order else np.asarray(slopes)


class BradleyTerryProbe(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Bradley-Terry on features, whose penalty is chosen by log loss on pairs of tasks it was not trained on.

    Args:
        Cs: positive inverse penalties, in scikit-learn's convention on standardised features.
        n_inner_folds: folds over tasks for choosing C; pairs that straddle are left out.
        fit_order: fit the preference for whatever comes first.
        seed: of the assignment of groups of tasks to folds.

    Attributes:
        coef_: weights on features as they came, shape (d_model,).
        order_: log-odds in favour of the first task.
        C_: the chosen inverse penalty.
    """

    def __init__(
        self, Cs: Sequence[float] | None = None, n_inner_folds: int = 4, fit_order: bool = False, seed: int = 0
    ) -> None:
        self.Cs = Cs
        self.n_inner_folds = n_inner_folds
        self.fit_order = fit_order
        self.seed = seed

    def fit(
        self, X: Features, first: Rows, second: Rows, share: PairValues, *, groups: Any = None, counts: Any = None
    ) -> BradleyTerryProbe:
        """Fit on features `X` (task, d_model) and how often the first of each pair was chosen, `share` (pair,).

        Args:
            X: features of each task.
            first: index of the first task of each pair.
            second: index of the second.
            share: 0 to 1.
            groups: group of each task (task,); a group is on one side of a fold.
            counts: comparisons of each pair (pair,), default one.

        Raises:
            DataError: as `bradley_terry_path`, or a fold without pairs.
            ConvergenceError: the optimum was not reached.
        """
        X, shares = np.asarray(X, dtype=np.float64), np.asarray(share, dtype=np.float64)[:, None]
        weights = np.ones(len(shares)) if counts is None else np.asarray(counts, dtype=np.float64)
        _check_pairs(first, second, shares, weights, len(X))
        grid, total = checked_penalties(DEFAULT_CS if self.Cs is None else self.Cs), 0.0
        if len(grid) > 1:
            task_folds = grouped_folds(np.arange(len(X)) if groups is None else groups, self.n_inner_folds, self.seed)
            folds = zip(task_folds, pair_folds(first, second, task_folds), strict=True)
            for (tasks, _), (train, test) in folds:
                place = np.zeros(len(X), dtype=np.int64)
                place[tasks] = np.arange(len(tasks))
                path = bradley_terry_path(
                    X[tasks],
                    place[first[train]],
                    place[second[train]],
                    shares[train],
                    grid,
                    counts=weights[train],
                    fit_order=self.fit_order,
                    tolerance=SELECTION_TOLERANCE,
                )
                margins = path.margins(X, first[test], second[test])[:, :, 0]
                total = total + (np.logaddexp(0.0, margins) - shares[test, 0] * margins) @ weights[test]
        self.C_ = float(grid[np.argmin(total)])
        final = bradley_terry_path(
            X, first, second, shares, np.array([self.C_]), counts=weights, fit_order=self.fit_order
        )
        self.coef_, self.order_ = final.coef[0, :, 0], float(final.order[0, 0])
        return self

    def utilities(self, X: Features) -> RowValues:
        """Utility of each task up to a constant, shape (task,)."""
        check_is_fitted(self)
        return np.asarray(np.asarray(X, dtype=np.float64) @ self.coef_)

    def predict_proba(self, X: Features, first: Rows, second: Rows) -> PairValues:
        """Probability that the first is chosen, shape (pair,)."""
        utilities = self.utilities(X)
        return np.asarray(expit(utilities[first] - utilities[second] + self.order_))


def _incidence(first: Rows, second: Rows, n_tasks: int) -> csr_array:
    """Matrix (pair, task) that subtracts the second's utility from the first's."""
    m = len(first)
    columns = np.stack([first, second], axis=1).ravel()
    return csr_array((np.tile([1.0, -1.0], m), columns, np.arange(0, 2 * m + 1, 2)), shape=(m, n_tasks))


def _check_pairs(first: Rows, second: Rows, shares: np.ndarray, counts: PairValues, n_tasks: int) -> None:
    if not len(first) == len(second) == len(shares) == len(counts) or not len(first):
        raise DataError(
            f"{len(first)} first tasks, {len(second)} second, {len(shares)} shares, {len(counts)} counts.",
            "Each pair needs one of each.",
            "Align them.",
        )
    bad = (first == second) | (np.minimum(first, second) < 0) | (np.maximum(first, second) >= n_tasks)
    bad |= ~((shares >= 0) & (shares <= 1)).all(axis=1) | ~(np.isfinite(counts) & (counts >= 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"Pair {row}: tasks {first[row]}, {second[row]} of {n_tasks}, shares {shares[row]}, count {counts[row]}.",
            "A pair is two different tasks with shares from 0 to 1.",
            "Drop pairs without an answer.",
        )


def _require_both_answers(shares: Shares, counts: PairValues) -> None:
    chosen, total = counts @ shares, counts.sum()
    alike = (chosen <= 0) | (chosen >= total)
    if alike.any():
        raise DataError(
            f"Target {int(np.argmax(alike))}: all {len(shares)} pairs have one answer.",
            "The best order term is infinite.",
            "Pass fit_order=False, or more pairs.",
        )
