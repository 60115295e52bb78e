"""Truncated Newton for many convex problems at once, one per target: every product with the data serves all of them.

Newton's equations are solved by preconditioned conjugate gradients as far as the progress made so far deserves (Dembo,
Eisenstat & Steihaug 1982), so that no Hessian is ever formed. Convergence is judged by gradients alone: near the
optimum, differences of objectives drown in rounding long before gradients do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

Variables = Float[np.ndarray, "... target"]
PerTarget = Float[np.ndarray, " target"]

_MOST_PRODUCTS = 500
_MOST_HALVINGS = 40
_SUFFICIENT = 1e-4
_ROUNDING = 100 * float(np.finfo(np.float64).eps)


@runtime_checkable
class Problem(Protocol):
    """What is minimised; the last axis of all variables is the target, and targets do not touch each other."""

    def objective(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Objective of each target (target,) and its gradients, of the shape of `weights`."""

    def hessian(self, weights: np.ndarray) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
        """The product of the Hessian at `weights` with any direction of that shape, and about its diagonal."""


def minimise(
    problem: Problem,
    start: Variables,
    scale: Variables,
    norms: PerTarget,
    *,
    tolerance: float,
    max_iterations: int,
) -> tuple[Variables, PerTarget, int]:
    """Newton steps with halving until every target's gradient is small.

    Args:
        problem: convex and twice differentiable.
        start: of any shape whose last axis is the target.
        scale: inverse root of the approximate curvature of each variable, for judging convergence.
        norms: what the norm of scale * gradient is divided by, for each target.
        tolerance: largest relative gradient norm at the end. A target whose gradient stopped shrinking where a step
            cannot change the objective in float64 counts as converged, with relative norm 0.
        max_iterations: Newton steps.

    Returns:
        Weights, the relative gradient norms (target,) reached, and the number of Newton steps.
    """
    weights = np.array(start)
    values, gradient = problem.objective(weights)
    relative, best = _norm(scale * gradient) / norms, np.full(len(norms), np.inf)
    for iteration in range(max_iterations):
        stalled = (relative > 0.5 * best) & (0.5 * (relative * norms) ** 2 <= _ROUNDING * np.abs(values))
        relative[stalled] = 0.0
        if relative.max() <= tolerance:
            return weights, relative, iteration
        best = np.minimum(best, relative)
        # quadratic convergence, but no digits beyond those asked for
        forcing = np.clip(relative, 0.3 * tolerance / np.maximum(relative, tolerance), 0.1)
        # what has converged stays where it is
        right = np.where(relative > tolerance, -gradient, 0.0)
        step = _conjugate_gradients(*problem.hessian(weights), right, forcing)
        weights, values, gradient = _descend(problem, weights, step, values, gradient)
        relative = np.where(relative > tolerance, _norm(scale * gradient) / norms, relative)
    return weights, relative, max_iterations


def _conjugate_gradients(
    product: Callable[[np.ndarray], np.ndarray], diagonal: np.ndarray, right: np.ndarray, forcing: np.ndarray
) -> np.ndarray:
    """Solve H x = right for each target up to a fraction of the norm of its preconditioned right-hand side."""
    x, residual = np.zeros_like(right), right.copy()
    preconditioned = residual / diagonal
    aim = forcing * np.sqrt(_dot(residual, preconditioned))
    direction, energy = preconditioned.copy(), _dot(residual, preconditioned)
    for _ in range(_MOST_PRODUCTS):
        going = np.sqrt(energy) > aim
        if not going.any():
            break
        moved = product(direction)
        curvature = _dot(direction, moved)
        size = np.where(going & (curvature > 0), energy / np.where(curvature > 0, curvature, 1.0), 0.0)
        x += size * direction
        residual -= size * moved
        preconditioned = residual / diagonal
        new = _dot(residual, preconditioned)
        # a target that has arrived, or meets no curvature, is frozen by a direction of zero
        direction = np.where(size > 0, preconditioned + new / np.where(energy > 0, energy, 1.0) * direction, 0.0)
        energy = np.where(size > 0, new, 0.0)
    return x


def _descend(
    problem: Problem, weights: np.ndarray, step: np.ndarray, values: np.ndarray, gradient: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take each target's step, halved until its objective falls enough (Armijo) or differences drown in rounding."""
    slope, size = _dot(gradient, step), np.ones(len(values))
    for _ in range(_MOST_HALVINGS):
        there = weights + size * step
        found, slopes = problem.objective(there)
        short = ~(found <= values + _SUFFICIENT * size * slope + _ROUNDING * np.abs(values))
        if not short.any():
            break
        size[short] /= 2
    return there, found, slopes


def _dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("it,it->t", one.reshape(-1, one.shape[-1]), other.reshape(-1, one.shape[-1])))


def _norm(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(_dot(values, values)))
