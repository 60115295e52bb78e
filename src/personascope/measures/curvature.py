"""The Hessian of a utility fit: Newton steps and standard errors, dense or sparse."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve_triangular

from personascope.errors import ConvergenceError

Columns = Float[np.ndarray, "parameter column"]
EXACT = 1e-10
"""Relative residual at which conjugate gradients count as solved."""
PROBES, MOST_PROBES = 8, 256
"""Random signs drawn at a time, and at most, for the standard errors of many tasks."""
PROBED_ERROR = 0.005
"""Relative Monte-Carlo error of a standard error at which no more signs are drawn (95th percentile of the tasks)."""
_MAX_ITERATIONS = 2_000


@dataclass(frozen=True, eq=False)
class Curvature:
    """K = [[L + I / s^2 + (stiffness / n) 11', g], [g', h]] over (task..., order term), L the comparison Laplacian.

    Shifting all utilities alike is an exact eigenvector of the Hessian with the small eigenvalue 1/s^2. It plays no
    part in a Newton step (the gradient sums to zero over tasks) nor in errors around the pool mean, so both work on
    the stiffened K, whose condition does not suffer from a weak prior.

    Args:
        hessian: without the stiffness, shape (n + 1, n + 1).
        prior_precision: 1 / s^2.
        dense: whether K is factorised; conjugate gradients otherwise.
    """

    hessian: sparse.csr_array
    prior_precision: float
    dense: bool

    @property
    def n_tasks(self) -> int:
        """Number of tasks n."""
        return int(self.hessian.shape[0]) - 1

    @cached_property
    def stiffness(self) -> float:
        """What is added to the eigenvalue of the shift: the mean of the diagonal."""
        return float(self.hessian.diagonal()[:-1].mean())

    def solve(self, rhs: Float[np.ndarray, " parameter"], tolerance: float = EXACT) -> Float[np.ndarray, " parameter"]:
        """The x with H x = rhs, for a right-hand side whose task part sums to zero.

        Args:
            rhs: shape (parameter,).
            tolerance: relative residual of conjugate gradients; a factorised K is solved exactly.

        Raises:
            ConvergenceError: K is numerically singular, or conjugate gradients stall.
        """
        if self.dense:
            return np.asarray(cho_solve((self._factor, True), rhs))
        x = self._conjugate_gradients(rhs[:, None], tolerance)[:, 0]
        x[:-1] -= x[:-1].mean()  # as that of the exact solution: a shift left by a loose one would hardly be undone
        return np.asarray(x)

    def standard_errors(self) -> tuple[Float[np.ndarray, " task"], float]:
        """Laplace standard errors of the utilities around their mean, shape (task,), and of the order term.

        Raises:
            ConvergenceError: as `solve`.
        """
        shift = 1 / (self.n_tasks * (self.prior_precision + self.stiffness))
        if self.dense:
            inverse = solve_triangular(self._factor, np.eye(self.n_tasks + 1), lower=True, overwrite_b=True)
            variance = np.einsum("ki,ki->i", inverse, inverse)
            return np.sqrt(variance[:-1] - shift), float(np.sqrt(variance[-1]))
        unit = np.zeros(self.n_tasks + 1)
        unit[-1] = 1.0
        return np.sqrt(self._probed_diagonal()[:-1] - shift), float(np.sqrt(self.solve(unit)[-1]))

    def _probed_diagonal(self) -> Float[np.ndarray, " parameter"]:
        """Diagonal of the inverse of K = D - A, by random signs z (Bekas, Kokiopoulou & Saad 2007).

        The mean of z * (K^-1 z) is the diagonal, with the scatter of everything beside it. The first terms of
        K^-1 = D^-1 + D^-1 A D^-1 + D^-1 A D^-1 A D^-1 + ... have diagonals that are known, so only the rest is left to
        the signs: in a design where every task meets many others, next to nothing.
        """
        known, inverse = self._known_diagonal, 1 / self._diagonal[:, None]
        rng = np.random.default_rng(0)
        total, squares, drawn = np.zeros(len(known)), np.zeros(len(known)), 0
        while drawn < MOST_PROBES:
            signs = rng.choice([-1.0, 1.0], size=(len(known), PROBES))
            term = inverse * signs
            rest = self._conjugate_gradients(signs, EXACT**0.5) - term
            for _ in range(2):
                term = term - inverse * self._multiply(term)  # D^-1 A x = x - D^-1 K x
                rest -= term
            sample = signs * rest
            total, squares, drawn = total + sample.sum(axis=1), squares + (sample**2).sum(axis=1), drawn + PROBES
            found = known + total / drawn
            scatter = np.sqrt(np.maximum(squares / drawn - (total / drawn) ** 2, 0) / drawn)
            # half: a standard error is the root of what is estimated here
            if np.quantile(0.5 * scatter / np.abs(found), 0.95) <= PROBED_ERROR:
                break
        return np.asarray(found)

    @cached_property
    def _known_diagonal(self) -> Float[np.ndarray, " parameter"]:
        """1/d_i + sum_j A_ij^2 / (d_i^2 d_j), with A = S - c (11' - I): S sparse, c = stiffness / n among the tasks."""
        n, c = self.n_tasks, self.stiffness / self.n_tasks
        inverse = 1 / self._diagonal
        off = -(self.hessian - sparse.diags_array(self.hessian.diagonal()))
        total = off.power(2) @ inverse
        within = inverse.copy()
        within[n] = 0.0  # the order term has no part in the stiffness
        total[:n] += (-2 * c * (off @ within) + c**2 * (within.sum() - within))[:n]
        return np.asarray(inverse + inverse**2 * total)

    @cached_property
    def _factor(self) -> Float[np.ndarray, "parameter parameter"]:
        """Lower Cholesky factor of K."""
        matrix = self.hessian.toarray()
        matrix[:-1, :-1] += self.stiffness / self.n_tasks
        try:
            return np.asarray(cho_factor(matrix, lower=True, overwrite_a=True)[0])
        except LinAlgError as error:
            raise ConvergenceError(
                f"The Hessian of {self.n_tasks} tasks is singular in float64: {error}.",
                "The comparisons leave some differences undetermined and the prior is too weak to settle them.",
                "Use a smaller prior_sd.",
            ) from error

    @cached_property
    def _diagonal(self) -> Float[np.ndarray, " parameter"]:
        diagonal = self.hessian.diagonal()
        diagonal[:-1] += self.stiffness / self.n_tasks
        return np.asarray(diagonal)

    def _multiply(self, x: Columns) -> Columns:
        product = np.asarray(self.hessian @ x)
        product[:-1] += self.stiffness * x[:-1].mean(axis=0)
        return product

    def _conjugate_gradients(self, rhs: Columns, tolerance: float) -> Columns:
        """K^-1 rhs, all columns at once, preconditioned by the diagonal (Hestenes & Stiefel 1952)."""
        inverse = 1 / self._diagonal[:, None]
        x, residual = np.zeros_like(rhs), rhs.copy()
        goal = tolerance * np.linalg.norm(rhs, axis=0)
        direction = inverse * residual
        product = (residual * direction).sum(axis=0)
        for _ in range(_MAX_ITERATIONS):
            if (np.linalg.norm(residual, axis=0) <= goal).all():
                return x
            image = self._multiply(direction)
            # a column that is solved has a zero direction: 0 / 0 leaves it where it is
            length = product / np.maximum((direction * image).sum(axis=0), np.finfo(float).tiny)
            x += length * direction
            residual -= length * image
            scaled = inverse * residual
            before, product = product, (residual * scaled).sum(axis=0)
            direction = scaled + (product / np.maximum(before, np.finfo(float).tiny)) * direction
        raise ConvergenceError(
            f"Conjugate gradients did not solve the {len(rhs)} x {len(rhs)} Newton system.",
            "The prior is too weak for the comparisons given.",
            "Use a smaller prior_sd.",
        )
