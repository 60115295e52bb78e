"""Many L2 logistic regressions on the same rows: targets solved together, penalties one after the other.

For each target t and penalty C, in scikit-learn's convention:

    minimise  sum_i w_i loss(z_i W + b, y_it) + |W|^2 / (2 C)

with the logistic loss of one column (two classes) or the cross-entropy of the softmax of K columns. Features are
rotated to the r <= min(n, d) components of the standardised rows, which loses nothing under an L2 penalty: the optimum
lies in the span of the rows, and the penalty does not see a rotation. There the curvature s^2 / 4 + 1 / C is nearly
diagonal, which makes it the preconditioner. Targets with the same C take their Newton steps together (see `newton`), so
that a Hessian product is two matrix products for all of them; each C starts from the solution of the one before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import expit, softmax

from personascope.errors import ConvergenceError, DataError
from personascope.probes.newton import minimise
from personascope.probes.spectrum import Spectrum
from personascope.shapes import Features, RowValues

TOLERANCE = 1e-10
# Enough to rank penalties: where C is not too large for the data, the objective is within 1e-4 of its optimum
SELECTION_TOLERANCE = 1e-3
MAX_ITERATIONS = 100
_ZERO_GRADIENT = 1e-8
_LEAST_CURVATURE = 1e-12
# Logit of a class without rows: the optimum is minus infinity, and this probability (4e-18) is below rounding
_ABSENT = 40.0


@dataclass(frozen=True, eq=False)
class StackedLogistic:
    """Solved problems on one set of training rows.

    Args:
        spectrum: of the training rows.
        weights: (component, column, penalty, target), with the intercepts as last component when there are any.
        has_intercept: whether there are.
    """

    spectrum: Spectrum
    weights: Float[np.ndarray, "kept column penalty target"]
    has_intercept: bool

    def margins(self, X: Features) -> Float[np.ndarray, "row column penalty target"]:
        """Scores before the softmax or logistic function."""
        features = self.spectrum.rotated(X)
        return _times(_extended(features, self.has_intercept), self.weights)

    def raw(
        self, penalty: int, target: int
    ) -> tuple[Float[np.ndarray, "column d_model"], Float[np.ndarray, " column"]]:
        """Weights (column, d_model) and intercepts (column,) of one problem for features as they came."""
        solved = self.weights[:, :, penalty, target]
        slopes = solved[:-1] if self.has_intercept else solved
        coef = self.spectrum.raw_slopes(slopes).T
        return coef, solved[-1] - coef @ self.spectrum.mean if self.has_intercept else np.zeros(len(coef))


def fit_stacked(
    X: Features,
    targets: Float[np.ndarray, "row column target"],
    penalties: Float[np.ndarray, "penalty target"],
    *,
    row_weights: RowValues,
    fit_intercept: bool,
    tolerance: float = TOLERANCE,
) -> StackedLogistic:
    """Fit every problem on the same rows with one eigendecomposition.

    Args:
        X: features (row, d_model), standardised here; without intercept they are scaled but not centred.
        targets: 0 or 1 of shape (row, 1, target) for two classes; one-hot (row, class, target) for more.
        penalties: values of C for each target, best in ascending order: each starts from the one before.
        row_weights: weight of each row's loss.
        fit_intercept: an unpenalised intercept.
        tolerance: a problem has converged when its gradient norm, in the preconditioned variables, is at most this
            fraction of the norm at zero weights, or so small that a step could not change the objective in float64.

    Raises:
        DataError: no intercept, and features that are all zero.
        ConvergenceError: a problem did not reach the tolerance.
    """
    spectrum = Spectrum.of(X, centre=fit_intercept)
    features = _extended(spectrum.rotated(), fit_intercept)
    if not features.shape[1]:
        raise DataError(f"All {len(X)} rows have zero features.", "Nothing can be learnt from them.", "Check the rows.")
    current = np.zeros((features.shape[1], *targets.shape[1:]))
    if fit_intercept:
        current[-1] -= _ABSENT * (np.einsum("i,ikt->kt", row_weights, targets) == 0)
        if targets.shape[1] == 1:
            current[-1] += _ABSENT * (np.einsum("i,ikt->kt", row_weights, 1 - targets) == 0)
    penalised = np.ones((features.shape[1], 1, 1))
    penalised[-1] -= fit_intercept
    origin, weights = current.copy(), np.empty((*current.shape[:2], *penalties.shape))
    for number, values in enumerate(penalties):
        for value in np.unique(values):
            alike = np.flatnonzero(values == value)
            problem = _Problem(features, targets[:, :, alike], penalised / value, row_weights, origin[:, :, alike])
            current[:, :, alike] = problem.solve(current[:, :, alike], tolerance)
        weights[:, :, number] = current
    return StackedLogistic(spectrum, weights, fit_intercept)


def losses(
    margins: Float[np.ndarray, "row column ..."], targets: Float[np.ndarray, "row column ..."]
) -> Float[np.ndarray, "row ..."]:
    """Log loss of each row under each problem."""
    return _losses_and_residuals(margins.copy(), targets)[0]


class _Problem:
    """Targets with one penalty, and the norm of each one's preconditioned gradient at the origin."""

    def __init__(
        self,
        features: np.ndarray,
        targets: np.ndarray,
        penalty: np.ndarray,
        row_weights: np.ndarray,
        origin: np.ndarray,
    ) -> None:
        self.features, self.targets, self.penalty, self.row_weights = features, targets, penalty, row_weights
        self.squares = features**2
        self.curvature = (row_weights @ self.squares) / 4
        self.scale = np.broadcast_to(1.0 / np.sqrt(self.curvature[:, None, None] + penalty), origin.shape)
        norms = np.linalg.norm(self.scale * self.objective(origin)[1], axis=(0, 1))
        # a problem whose optimum is its origin starts with rounding errors, which must count as converged
        self.norms = np.maximum(norms, _ZERO_GRADIENT * row_weights.sum())

    def objective(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Objective of each target (target,) and gradients (component, column, target)."""
        rows, residuals = _losses_and_residuals(_times(self.features, weights), self.targets)
        residuals *= self.row_weights[:, None, None]
        gradient = self._pulled_back(residuals) + self.penalty * weights
        return self.row_weights @ rows + 0.5 * (self.penalty * weights**2).sum(axis=(0, 1)), gradient

    def hessian(self, weights: np.ndarray) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
        """Products of the Hessian at `weights` with directions (component, column, target), and its diagonal.

        The diagonal is that of the mean class, so that it treats columns alike and shifts of the intercepts stay out.
        """
        margins = _times(self.features, weights)
        chances = expit(margins) if margins.shape[1] == 1 else softmax(margins, axis=1)
        spread = chances * (1 - chances) if margins.shape[1] == 1 else chances
        spread = spread * self.row_weights[:, None, None]

        def product(direction: np.ndarray) -> np.ndarray:
            moved = _times(self.features, direction)
            if moved.shape[1] > 1:
                moved -= np.einsum("ikt,ikt->it", chances, moved)[:, None]
            moved *= spread
            return np.asarray(self._pulled_back(moved) + self.penalty * direction)

        diagonal = (spread * (1 - chances) if margins.shape[1] > 1 else spread).mean(axis=1, keepdims=True)
        return product, self._squared(diagonal) + self.penalty

    def _squared(self, spread: np.ndarray) -> np.ndarray:
        """Curvature (component, 1, target) from the row weights (row, 1, target), and never quite zero."""
        curvature = (self.squares.T @ spread[:, 0])[:, None]
        return np.asarray(np.maximum(curvature, _LEAST_CURVATURE * self.curvature[:, None, None]))

    def _pulled_back(self, margins: np.ndarray) -> np.ndarray:
        """X'm for m (row, column, target)."""
        found = (self.features.T @ margins.reshape(len(margins), -1)).reshape(-1, *margins.shape[1:])
        if margins.shape[1] > 1:
            # a common shift of the intercepts changes nothing; rounding must not make a direction of it
            found -= found.mean(axis=1, keepdims=True)
        return np.asarray(found)

    def solve(self, start: np.ndarray, tolerance: float) -> np.ndarray:
        """Weights (component, column, target) from a start of that shape.

        Raises:
            ConvergenceError: with the worst target and its gradient norm.
        """
        weights, relative, steps = minimise(
            self, start, self.scale, self.norms, tolerance=tolerance, max_iterations=MAX_ITERATIONS
        )
        if relative.max() > tolerance:
            raise ConvergenceError(
                f"Target {int(relative.argmax())} of {len(relative)} stopped at relative gradient norm "
                f"{relative.max():.2g} after {steps} Newton steps; {tolerance:.2g} was asked for.",
                f"C = {1 / self.penalty[0].item():.3g}: {len(self.features)} rows are nearly separable under so weak a "
                "penalty, or their weights differ by many orders of magnitude.",
                "Use smaller values of C.",
            )
        return weights


def _losses_and_residuals(margins: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row losses (row, problem) and their derivative by the margins; `margins` is overwritten."""
    if targets.shape[1] == 1:
        rows = np.logaddexp(0.0, margins) - targets * margins
        return rows[:, 0], expit(margins) - targets
    margins -= margins.max(axis=1, keepdims=True)
    own = np.einsum("ik...,ik...->i...", margins, targets)
    np.exp(margins, out=margins)
    total = margins.sum(axis=1, keepdims=True)
    margins /= total
    margins -= targets
    return np.log(total[:, 0]) - own, margins


def _times(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.asarray((features @ weights.reshape(len(weights), -1)).reshape(len(features), *weights.shape[1:]))


def _extended(features: np.ndarray, with_ones: bool) -> np.ndarray:
    return np.hstack([features, np.ones((len(features), 1))]) if with_ones else features
