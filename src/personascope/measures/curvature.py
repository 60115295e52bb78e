"""The Hessian of a utility fit: Newton steps and standard errors, dense or sparse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve_triangular
from scipy.sparse.linalg import LinearOperator, cg

from personascope.errors import ConvergenceError

N_PROBES = 128
_CG_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Curvature:
    """H = [[L + I / s^2, g], [g', h]] over (task..., order term), L the Laplacian of the comparison graph.

    Shifting all utilities alike is an exact eigenvector of H with the small eigenvalue 1/s^2. It plays no part in a
    Newton step (the gradient sums to zero over tasks) nor in errors around the pool mean, so both work on
    H + stiffness * 11'/n, whose condition does not suffer from a weak prior.

    Args:
        n_tasks: number of tasks n; H has n + 1 rows.
        stiffness: added to the eigenvalue of the shift.
        prior_precision: 1 / s^2.
        solve: x such that H x = rhs, for a right-hand side whose task part sums to zero.
        factor: lower Cholesky factor of the stiffened H, or None for conjugate gradients.
    """

    n_tasks: int
    stiffness: float
    prior_precision: float
    solve: Callable[[Float[np.ndarray, " parameter"]], Float[np.ndarray, " parameter"]]
    factor: Float[np.ndarray, "parameter parameter"] | None

    @classmethod
    def of(cls, hessian: sparse.csr_array, prior_precision: float, *, dense: bool) -> Curvature:
        """Factorise (dense) or prepare preconditioned conjugate gradients (sparse).

        Raises:
            ConvergenceError: H is numerically singular.
        """
        n = hessian.shape[0] - 1
        stiffness = float(hessian.diagonal()[:n].mean())
        if not dense:
            return cls(n, stiffness, prior_precision, _gradient_solver(hessian, stiffness), None)
        matrix = hessian.toarray()
        matrix[:n, :n] += stiffness / n
        try:
            factor = cho_factor(matrix, lower=True, overwrite_a=True)
        except LinAlgError as error:
            raise ConvergenceError(
                f"The Hessian of {n} tasks is singular in float64: {error}.",
                "The comparisons leave some differences undetermined and the prior is too weak to settle them.",
                "Use a smaller prior_sd.",
            ) from error
        return cls(n, stiffness, prior_precision, lambda rhs: np.asarray(cho_solve(factor, rhs)), factor[0])

    def standard_errors(self) -> tuple[Float[np.ndarray, " task"], float]:
        """Laplace standard errors of the utilities around their mean, shape (task,), and of the order term."""
        if self.factor is None:
            return self._probed_errors()
        inverse = solve_triangular(self.factor, np.eye(self.n_tasks + 1), lower=True, overwrite_b=True)
        variance = np.einsum("ki,ki->i", inverse, inverse)
        shift = 1 / (self.n_tasks * (self.prior_precision + self.stiffness))
        return np.sqrt(variance[:-1] - shift), float(np.sqrt(variance[-1]))

    def _probed_errors(self) -> tuple[Float[np.ndarray, " task"], float]:
        """Diagonal of the inverse by random signs (Bekas, Kokiopoulou & Saad 2007); the order term is exact."""
        unit = np.zeros(self.n_tasks + 1)
        unit[-1] = 1.0
        rng = np.random.default_rng(0)
        total = np.zeros(self.n_tasks)
        for _ in range(N_PROBES):
            signs = rng.choice([-1.0, 1.0], size=self.n_tasks)
            total += signs * self.solve(np.append(signs - signs.mean(), 0.0))[:-1]
        return np.sqrt(total / N_PROBES), float(np.sqrt(self.solve(unit)[-1]))


def _gradient_solver(
    hessian: sparse.csr_array, stiffness: float
) -> Callable[[Float[np.ndarray, " parameter"]], Float[np.ndarray, " parameter"]]:
    size = hessian.shape[0]
    n = size - 1
    diagonal = hessian.diagonal()
    diagonal[:n] += stiffness / n

    def multiply(x: Float[np.ndarray, " parameter"]) -> Float[np.ndarray, " parameter"]:
        product = hessian @ x
        product[:n] += stiffness * x[:n].mean()
        return np.asarray(product)

    operator = LinearOperator((size, size), matvec=multiply, dtype=np.float64)
    jacobi = LinearOperator((size, size), matvec=lambda x: x / diagonal, dtype=np.float64)

    def solve(rhs: Float[np.ndarray, " parameter"]) -> Float[np.ndarray, " parameter"]:
        x, failed = cg(operator, rhs, rtol=_CG_TOLERANCE, M=jacobi)
        if failed:
            raise ConvergenceError(
                f"Conjugate gradients did not solve the {size} x {size} Newton system.",
                "The prior is too weak for the comparisons given.",
                "Use a smaller prior_sd.",
            )
        return np.asarray(x)

    return solve
