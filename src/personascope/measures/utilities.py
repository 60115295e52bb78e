"""Utilities of tasks from pairwise choices: Bradley-Terry or Thurstone with a Gaussian prior and an order term.

A comparison c shows task i first and task j second, and has the soft outcome p_c = P(first is chosen):

    P(first) = F(m_c),   m_c = u_i - u_j + b
    minimise   - sum_c w_c [ p_c log F(m_c) + (1 - p_c) log F(-m_c) ]  +  sum_t u_t^2 / (2 s^2)  +  b^2 / (2 S^2)

F is the logistic function (Bradley & Terry 1952) or the normal distribution function (Thurstone 1927, case V), s is
`prior_sd` and S = 100 is so wide that the order term b is free in practice, yet finite when the first always wins.
The problem is strictly convex, so there is one answer, and no box, clipping or anchored task decides the scale. The
data do not see a shift of all utilities, so the prior puts their mean at exactly zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.special import expit, log_expit, log_ndtr

from personascope.errors import ConvergenceError, DataError
from personascope.measures.curvature import EXACT, Curvature

Link = Literal["logistic", "probit"]
ORDER_PRIOR_SD = 100.0
DENSE_LIMIT = 1000
_MAX_HALVINGS = 40


@dataclass(frozen=True, eq=False)
class Utilities:
    """Scale values of tasks, in logits (link "logistic") or standard normal units ("probit").

    Args:
        values: utility of each task, zero mean over the pool, shape (task,).
        standard_errors: of `values` around the pool mean, shape (task,), by the Laplace approximation, in which a
            comparison of weight w counts as w independent yes/no choices. A probability read from logits has no
            sampling noise, so this says how well the design pins a task down, not how a re-run would scatter.
            Above `DENSE_LIMIT` tasks they are estimated by random probing, to about half a percent.
        order_bias: b, preference for whatever is shown first, in the units of `values`; `order_bias_se` its
            standard error, which is large when the design cannot tell order from content.
        log_likelihood: in nats, weighted, without the prior.
        n_comparisons: comparisons of positive weight.
        iterations: Newton steps taken.
        gradient_norm: at the end, relative as defined in `fit_utilities`.
        connected: whether the comparisons tie all tasks together. If not, differences between the parts (and
            utilities of tasks that were never compared) come from the prior alone.
    """

    values: Float[np.ndarray, " task"]
    standard_errors: Float[np.ndarray, " task"]
    order_bias: float
    order_bias_se: float
    log_likelihood: float
    n_comparisons: int
    iterations: int
    gradient_norm: float
    connected: bool

    def frame(self, task_ids: Sequence[str]) -> pl.DataFrame:
        """One row per task with columns task, utility, standard_error.

        Raises:
            DataError: not one id for each task.
        """
        if len(task_ids) != len(self.values):
            raise DataError(
                f"{len(task_ids)} task ids for {len(self.values)} utilities.",
                "Ids must be in the order of the indices used in the comparisons.",
                "Pass the ids of the whole pool.",
            )
        columns = {"task": list(task_ids), "utility": self.values, "standard_error": self.standard_errors}
        return pl.DataFrame(columns)


def fit_utilities(
    first: Int[np.ndarray, " comparison"],
    second: Int[np.ndarray, " comparison"],
    p_first: Float[np.ndarray, " comparison"],
    *,
    n_tasks: int,
    weights: Float[np.ndarray, " comparison"] | None = None,
    prior_sd: float = 3.0,
    link: Link = "logistic",
    tolerance: float = 1e-6,
    max_iterations: int = 100,
) -> Utilities:
    """Fit utilities and the order term by Newton's method; the model is in the module's docstring.

    A refusal is no win of either task: as weight pass the probability that one of the two was chosen at all (0 for a
    sampled refusal), and as `p_first` that of the first given this. Weight 0 is the same as absent. `Outcomes` in
    personascope.measures.outcomes makes both from counts.

    Args:
        first: index of the task shown first, shape (comparison,).
        second: index of the task shown second.
        p_first: outcome in [0, 1], shape (comparison,): 1 the first was chosen, 0 the second, between: a probability.
        n_tasks: size of the pool, at least 2.
        weights: non-negative, shape (comparison,); 1 by default.
        prior_sd: standard deviation of the prior on each utility, in the units of the link.
        link: F, see the module's docstring.
        tolerance: converged when max_k |g_k| / (W_k + 1/prior_sd^2) is at most this, with g the gradient and W_k the
            total weight of the comparisons of parameter k: under the logistic link its mean misfit as a probability.
        max_iterations: Newton steps.

    Raises:
        DataError: unfit shapes or settings, an unusable comparison (named by its row), or none of positive weight.
        ConvergenceError: the tolerance was not reached.
    """
    _check_settings(prior_sd, link)
    w = np.ones(len(first)) if weights is None else np.asarray(weights, dtype=np.float64)
    i, j, p = np.asarray(first), np.asarray(second), np.asarray(p_first, dtype=np.float64)
    _check_comparisons(i, j, p, w, n_tasks)
    i, j, p, w = (x[w > 0] for x in (i, j, p, w))
    problem = _Problem(_design(i, j, n_tasks), p, w, _prior_precision(n_tasks, prior_sd), link)
    theta, iterations, misfit = _newton(problem, tolerance, max_iterations)
    standard_errors, order_bias_se = problem.curvature(theta).standard_errors()
    return Utilities(
        values=theta[:-1] - theta[:-1].mean(),
        standard_errors=standard_errors,
        order_bias=float(theta[-1]),
        order_bias_se=order_bias_se,
        log_likelihood=problem.log_likelihood(theta),
        n_comparisons=len(i),
        iterations=iterations,
        gradient_norm=misfit,
        connected=_is_connected(i, j, n_tasks),
    )


@dataclass(frozen=True)
class _Problem:
    """The convex objective over theta = (u_1..u_n, b)."""

    design: sparse.csr_array
    p: Float[np.ndarray, " comparison"]
    w: Float[np.ndarray, " comparison"]
    precision: Float[np.ndarray, " parameter"]
    link: Link

    def log_likelihood(self, theta: Float[np.ndarray, " parameter"]) -> float:
        """Weighted log-likelihood in nats."""
        margin = self.design @ theta
        log_cdf = log_expit if self.link == "logistic" else log_ndtr
        return float(self.w @ (self.p * log_cdf(margin) + (1 - self.p) * log_cdf(-margin)))

    def objective(self, theta: Float[np.ndarray, " parameter"]) -> float:
        """Negative log posterior up to a constant."""
        return 0.5 * float(self.precision @ theta**2) - self.log_likelihood(theta)

    def gradient(self, theta: Float[np.ndarray, " parameter"]) -> Float[np.ndarray, " parameter"]:
        """Gradient of the objective."""
        margin = self.design @ theta
        if self.link == "logistic":
            slope = self.p - expit(margin)
        else:
            slope = self.p * _mills(margin) - (1 - self.p) * _mills(-margin)
        return np.asarray(self.precision * theta - self.design.T @ (self.w * slope))

    def curvature(self, theta: Float[np.ndarray, " parameter"]) -> Curvature:
        """Hessian of the objective: the comparison graph's weighted Laplacian, bordered by b, plus the prior."""
        margin = self.design @ theta
        if self.link == "logistic":
            information = expit(margin) * expit(-margin)
        else:
            ahead, behind = _mills(margin), _mills(-margin)
            information = self.p * ahead * (ahead + margin) + (1 - self.p) * behind * (behind - margin)
        scaled = self.design.copy()
        scaled.data = scaled.data * np.repeat(self.w * information, 3)
        hessian = (self.design.T @ scaled + sparse.diags_array(self.precision)).tocsr()
        return Curvature(hessian, float(self.precision[0]), dense=hessian.shape[0] - 1 <= DENSE_LIMIT)


def _newton(
    problem: _Problem, tolerance: float, max_iterations: int
) -> tuple[Float[np.ndarray, " parameter"], int, float]:
    """Minimise; return theta, steps taken and the relative gradient norm."""
    scale = abs(problem.design).T @ problem.w + problem.precision[0]
    theta = np.zeros(len(problem.precision))
    for iteration in range(max_iterations + 1):
        gradient = problem.gradient(theta)
        misfit = float(np.max(np.abs(gradient) / scale))
        if misfit <= tolerance:
            return theta, iteration, misfit
        if iteration == max_iterations:
            break
        # far from the optimum an exact step is wasted; as the misfit shrinks, steps become exact enough to be Newton's
        step = -problem.curvature(theta).solve(gradient, tolerance=max(0.01 * misfit, EXACT))
        length = _line_search(problem, theta, step, float(gradient @ step))
        if length == 0:
            break
        theta = theta + length * step
    raise ConvergenceError(
        f"The utility fit stopped after {iteration} steps at relative gradient norm {misfit:.3g} > {tolerance:.3g} "
        f"({len(problem.p)} comparisons, {len(theta) - 1} tasks).",
        "The tolerance is below what float64 can reach, or max_iterations is too small.",
        "Use the default tolerance, or a smaller prior_sd.",
    )


def _line_search(
    problem: _Problem, theta: Float[np.ndarray, " parameter"], step: Float[np.ndarray, " parameter"], slope: float
) -> float:
    """Largest halving of 1 that decreases the objective enough (Armijo); 0 when none does."""
    start = problem.objective(theta)
    rounding = 8 * np.finfo(np.float64).eps * abs(start)
    for halvings in range(_MAX_HALVINGS):
        length = 0.5**halvings
        if problem.objective(theta + length * step) <= start + 1e-4 * length * slope + rounding:
            return length
    return 0.0


def _mills(margin: Float[np.ndarray, " comparison"]) -> Float[np.ndarray, " comparison"]:
    """phi(m) / Phi(m), through logarithms: Phi underflows where choices are clear-cut."""
    return np.asarray(np.exp(-0.5 * margin**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(margin)))


def _design(i: Int[np.ndarray, " comparison"], j: Int[np.ndarray, " comparison"], n_tasks: int) -> sparse.csr_array:
    """Row c holds +1 at the first task, -1 at the second and +1 at the order term: shape (comparison, task + 1)."""
    columns = np.stack([i, j, np.full_like(i, n_tasks)], axis=1).ravel()
    values = np.tile([1.0, -1.0, 1.0], len(i))
    return sparse.csr_array((values, columns, np.arange(0, 3 * len(i) + 1, 3)), shape=(len(i), n_tasks + 1))


def _prior_precision(n_tasks: int, prior_sd: float) -> Float[np.ndarray, " parameter"]:
    return np.append(np.full(n_tasks, prior_sd**-2.0), ORDER_PRIOR_SD**-2.0)


def _is_connected(i: Int[np.ndarray, " comparison"], j: Int[np.ndarray, " comparison"], n_tasks: int) -> bool:
    edges = sparse.coo_array((np.ones(len(i)), (i, j)), shape=(n_tasks, n_tasks))
    return bool(connected_components(edges, directed=False, return_labels=False) == 1)


def _check_comparisons(
    i: Int[np.ndarray, "*first"],
    j: Int[np.ndarray, "*second"],
    p: Float[np.ndarray, "*outcome"],
    w: Float[np.ndarray, "*weight"],
    n_tasks: int,
) -> None:
    integers = np.issubdtype(i.dtype, np.integer) and np.issubdtype(j.dtype, np.integer)
    if i.ndim != 1 or not i.shape == j.shape == p.shape == w.shape or n_tasks < 2 or not integers:
        raise DataError(
            f"Shapes do not fit: first {i.shape} {i.dtype}, second {j.shape} {j.dtype}, p_first {p.shape}, "
            f"weights {w.shape}, {n_tasks} tasks.",
            "All four must be (comparison,), the first two integer, over at least 2 tasks.",
            "Pass one entry per comparison.",
        )
    outside = (np.minimum(i, j) < 0) | (np.maximum(i, j) >= n_tasks)
    for broken, cause in (
        (outside, f"Task indices run from 0 to {n_tasks - 1}."),
        (i == j, "A task cannot be compared with itself."),
        (~((p >= 0) & (p <= 1)), "An outcome is a probability from 0 to 1; a refusal is weight 0, not NaN."),
        (~((w >= 0) & (w < np.inf)), "A weight is a finite number of observations, not negative."),
    ):
        if broken.any():
            row = int(np.argmax(broken))
            raise DataError(
                f"Comparison {row} is not usable: first {i[row]}, second {j[row]}, p_first {p[row]}, weight {w[row]} "
                f"({int(broken.sum())} of {len(i)} such rows).",
                cause,
                "Mend or drop these rows.",
            )
    if not (w > 0).any():
        raise DataError("No comparison has positive weight.", "Everything was refused, or nothing was asked.", "")


def _check_settings(prior_sd: float, link: str) -> None:
    if link not in ("logistic", "probit") or not 0 < prior_sd < np.inf:
        raise DataError(
            f"link {link!r}, prior_sd {prior_sd}.",
            "link is 'logistic' or 'probit' and prior_sd a positive finite number.",
            "Leave them at their defaults unless you know better.",
        )
