"""Utilities from pairwise choices: speed, agreement with others, planted truths, and the choice of pairs.

    size      10,000 tasks, 33 comparisons per task (330,000), each with one sampled answer
    choix     the same convex problem: every comparison in both orders with half its weight, so that the order term is
              zero, and a prior of precision 2 alpha
    box       the likelihood without a prior, each utility held in [-10, 10], by L-BFGS-B until no gradient exceeds 1
    recovery  correlation of utilities with the planted ones. Hard answers to random pairs are held to nothing: how
              well they can do is decided by the spread of the utilities, which the table varies

Soft means that the probability of the choice is read instead of an answer drawn from it.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import choix
import numpy as np
from scipy.optimize import OptimizeResult, minimize
from scipy.special import expit

from benchmarks.records import (
    Record,
    argument_parser,
    at_least,
    at_most,
    interleaved,
    ratio,
    require_equal,
    require_quiet,
    show,
    show_so_far,
)
from personascope.instruments.pair_design import ActiveSettings, PairDesign
from personascope.instruments.pairs import d_regular_pairs
from personascope.measures.utilities import Utilities, fit_utilities

PER_TASK = 33
ORDER_BIAS = 0.3
SPREAD = 4.0
"""Standard deviation of planted utilities, in logits: five answers to a random pair then agree in 72 % of the pairs,
fewer than the 89 % that large models were seen to give."""
BOX, GTOL, FTOL = 10.0, 1.0, 1e-8
START_DEGREE = 10


@dataclass(frozen=True)
class Asked:
    """Comparisons in one random order each, with the probability of the first and one answer drawn from it."""

    n_tasks: int
    truth: np.ndarray
    first: np.ndarray
    second: np.ndarray
    p_first: np.ndarray
    answer: np.ndarray

    @classmethod
    def of(cls, truth: np.ndarray, pairs: Sequence[tuple[int, int]], seed: int = 1) -> Asked:
        """Ask these pairs; the first k pairs get the same answers whatever follows."""
        i, j = np.array(pairs).T
        draw = np.random.default_rng(seed).random((len(i), 2))
        first, second = np.where(draw[:, 0] < 0.5, i, j), np.where(draw[:, 0] < 0.5, j, i)
        p = expit(truth[first] - truth[second] + ORDER_BIAS)
        return cls(len(truth), truth, first, second, p, (draw[:, 1] < p).astype(np.float64))

    def fit(self, soft: bool = False, tolerance: float = 1e-6) -> Utilities:
        """Our fit."""
        p = self.p_first if soft else self.answer
        return fit_utilities(
            self.first, self.second, p, n_tasks=self.n_tasks, prior_sd=float(self.truth.std()), tolerance=tolerance
        )

    def recovered(self, fitted: np.ndarray) -> np.ndarray:
        """Correlation with the planted utilities."""
        return np.array([np.corrcoef(self.truth, fitted)[0, 1]])


def planted(n_tasks: int, sd: float = SPREAD) -> np.ndarray:
    """Utilities of a pool."""
    return np.random.default_rng(0).normal(0, sd, n_tasks)


@cache
def regular(n_tasks: int) -> Asked:
    """A random regular design of the full size."""
    return Asked.of(planted(n_tasks), d_regular_pairs(n_tasks, 2 * PER_TASK, seed=0))


def lbfgs(asked: Asked, precision: float, box: float | None, gtol: float, ftol: float) -> OptimizeResult:
    """The likelihood with the order term by scipy's L-BFGS-B, gradient in closed form: x = (utilities, order term)."""
    first, second, answer, n = asked.first, asked.second, asked.answer, asked.n_tasks
    weights = np.append(np.full(n, precision), 1e-4 if precision else 0.0)

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        margin = x[first] - x[second] + x[-1]
        slope = expit(margin) - answer
        pull = np.bincount(first, slope, n) - np.bincount(second, slope, n)
        value = float(np.logaddexp(0, margin).sum() - answer @ margin + 0.5 * weights @ x**2)
        return value, np.append(pull, slope.sum()) + weights * x

    bounds = [(-box, box)] * n + [(None, None)] if box else None
    options = {"gtol": gtol, "ftol": ftol, "maxiter": 20_000, "maxfun": 50_000}
    return minimize(loss, np.zeros(n + 1), jac=True, method="L-BFGS-B", bounds=bounds, options=options)


def against_choix(options: Namespace) -> list[Record]:
    """Equal utilities, then times, on a pool that a loop over comparisons can do."""
    n = 300
    asked = Asked.of(planted(n, 1.5), d_regular_pairs(n, 2 * PER_TASK, seed=0))
    won = asked.answer == 1
    winners, losers = np.where(won, asked.first, asked.second), np.where(won, asked.second, asked.first)
    data = list(zip(winners.tolist(), losers.tolist(), strict=True))
    both = np.append(winners, losers), np.append(losers, winners), np.repeat([1.0, 0.0], len(winners))
    half, sd = np.full(2 * len(winners), 0.5), 1.5

    def ours() -> np.ndarray:
        return fit_utilities(*both, n_tasks=n, weights=half, prior_sd=sd).values

    def theirs() -> np.ndarray:
        return choix.opt_pairwise(n, data, alpha=1 / (2 * sd**2), tol=1e-6)

    values, oracle = ours(), theirs()
    apart = float(np.abs(values - (oracle - oracle.mean())).max() / np.abs(values).max())
    records = [require_equal("choix: equal utilities", apart, 1e-4)]
    seconds = interleaved({"ours": ours, "choix": theirs}, options.rounds)
    note = f"{n} tasks, {len(data):,} comparisons; ours gives standard errors as well"
    return [
        *records,
        show_so_far(ratio("choix: faster than opt_pairwise", seconds["ours"], seconds["choix"], 10, note)),
    ]


def size_and_box(options: Namespace) -> list[Record]:
    """The full size: seconds, and what the box and its early stop do."""
    small = Asked.of(planted(1000), d_regular_pairs(1000, 2 * PER_TASK, seed=0))
    exact = lbfgs(small, small.truth.std() ** -2.0, None, 1e-7, 1e-15).x[:-1]
    fitted = small.fit().values
    apart = float(np.abs(exact - exact.mean() - fitted).max() / np.abs(fitted).max())
    records = [require_equal("size: equal to L-BFGS with the same prior", apart, 1e-4)]
    asked = regular(options.tasks)
    ours, box = asked.fit(), lbfgs(asked, 0.0, BOX, GTOL, FTOL)
    seconds = interleaved({"ours": asked.fit, "box": lambda: lbfgs(asked, 0.0, BOX, GTOL, FTOL)}, options.rounds)
    tight = 1e-6 * 2 * PER_TASK  # the same relative gradient norm
    slow = {"slow": lambda: lbfgs(asked, asked.truth.std() ** -2.0, None, tight, 0.0)}
    seconds |= interleaved(slow, 1)
    note = f"{asked.n_tasks:,} tasks, {len(asked.first):,} comparisons, {ours.iterations} Newton steps, with errors"
    records += [
        at_most("size: seconds", seconds["ours"], 3.0, note),
        at_most("size: relative gradient norm", np.array([ours.gradient_norm]), 1e-6),
        ratio(
            "size: faster than L-BFGS to the same gradient norm", seconds["ours"], seconds["slow"], None, "no errors"
        ),
        ratio("box: faster than L-BFGS-B stopped at gtol 1", seconds["ours"], seconds["box"], None, f"{box.nit} steps"),
    ]
    values = box.x[:-1]
    slope = expit(values[asked.first] - values[asked.second] + box.x[-1]) - asked.answer
    pull = np.bincount(asked.first, slope, asked.n_tasks) - np.bincount(asked.second, slope, asked.n_tasks)
    met = np.bincount(np.append(asked.first, asked.second), minlength=asked.n_tasks)
    bound, inside = np.abs(values) > BOX - 1e-6, np.abs(values) < BOX - 1e-6
    records += [
        at_least("box: relative gradient norm off the bounds", np.abs(pull / met)[inside].max(keepdims=True), None),
        at_least(
            "box: largest gradient off the bounds", np.abs(pull)[inside].max(keepdims=True), None, str(box.message)
        ),
        at_least("box: tasks on a bound", np.array([float(bound.sum())]), None, f"planted sd {SPREAD:g} logits"),
        at_least("box: recovered r", asked.recovered(values), None),
        at_least("size: recovered r, the same answers", asked.recovered(ours.values), None),
        at_least("size: recovered r, more than the box", asked.recovered(ours.values) - asked.recovered(values), 0.0),
    ]
    return [show_so_far(record) for record in records]


def recovery(options: Namespace) -> list[Record]:
    """Planted utilities: random and chosen pairs, hard and soft."""
    n, budget = options.tasks, options.tasks * PER_TASK
    records = []
    for sd in (1.0, 2.0, 8.0):
        asked = Asked.of(planted(n, sd), list(zip(regular(n).first, regular(n).second, strict=True)))
        note = f"planted sd {sd:g} logits, one answer to a pair"
        records.append(at_least("recovery: hard, random pairs", asked.recovered(asked.fit().values), None, note))
    asked = regular(n)
    note = f"planted sd {SPREAD:g} logits"
    hard = asked.recovered(asked.fit().values)
    records += [
        at_least("recovery: hard, random pairs", hard, None, f"{note}, one answer to a pair"),
        at_least("recovery: soft, random pairs", asked.recovered(asked.fit(soft=True).values), 0.99, note),
    ]
    batch = max(1, (budget - n * START_DEGREE // 2) // 4)
    design = PairDesign.start(ActiveSettings(n, START_DEGREE, batch, budget, threshold=1.0))
    reached: list[tuple[int, float]] = []
    while design.outcome is None:
        chosen = Asked.of(asked.truth, design.pairs)
        fitted = chosen.fit(tolerance=1e-4).values
        reached.append((len(design.pairs), float(chosen.recovered(fitted)[0])))
        design = design.advance(fitted)
    last = np.array([r for r in design.correlations[-1:] if r is not None])
    enough = next((pairs for pairs, r in reached if r >= hard[0]), budget)
    path = ", ".join(f"{r:.4f} at {pairs:,}" for pairs, r in reached)
    records += [
        at_least("recovery: hard, chosen pairs", np.array([reached[-1][1]]), 0.99, f"{note}; {path}"),
        at_least("recovery: chosen pairs, last two rounds agree (rank r)", last, 0.99),
        at_most("recovery: share of comparisons that chosen pairs need", np.array([enough / budget]), 0.6, "same r"),
    ]
    seconds = interleaved({"fit": chosen.fit}, options.rounds)["fit"]
    records.append(at_least("size: seconds, chosen pairs", seconds, None, f"{len(chosen.first):,} comparisons"))
    return [show_so_far(record) for record in records]


def designer(options: Namespace) -> list[Record]:
    """Seconds of a round of the pair design."""
    n = options.tasks
    settings = ActiveSettings(n, START_DEGREE, n // 2, n * PER_TASK)
    start, u = PairDesign.start(settings), planted(n)
    big = PairDesign.start(ActiveSettings(n, START_DEGREE, 5 * n, n * PER_TASK))
    seconds = interleaved(
        {
            "start": lambda: PairDesign.start(settings),
            "round": lambda: start.advance(u),
            "large round": lambda: big.advance(u),
        },
        options.rounds,
    )
    spread = float(np.ptp(np.quantile(big.advance(u).degrees, [0.01, 0.99])))
    return [
        at_most("pairs: seconds, d-regular start", seconds["start"], 5.0, f"{n:,} tasks, degree {START_DEGREE}"),
        at_most("pairs: seconds, a round", seconds["round"], 5.0, f"{n // 2:,} pairs"),
        at_most("pairs: seconds, a large round", seconds["large round"], 5.0, f"{5 * n:,} pairs"),
        at_most("pairs: spread of the degrees", np.array([spread]), 2.0, "1st to 99th percentile of the tasks"),
    ]


def main() -> None:
    """Equality first, then the figures; exit 1 where one is missed."""
    parser = argument_parser(__doc__)
    parser.add_argument("--tasks", type=int, default=10_000, help="size of the pool (even; default 10,000)")
    options = parser.parse_args()
    require_quiet(options.busy)
    records = against_choix(options) + size_and_box(options) + designer(options) + recovery(options)
    show(f"utilities: {options.tasks:,} tasks, {PER_TASK} comparisons per task", records, options.json)
    sys.exit(0 if all(record.ok for record in records) else 1)


if __name__ == "__main__":
    main()
