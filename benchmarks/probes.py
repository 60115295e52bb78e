"""Probes against the loops they replace: one decomposition for all penalties and targets, and pairs never spelled out.

    ridge     30 targets x 50 alphas x 5 folds, 2,000 rows of 576: a refit for each target, alpha and fold, a refit for
              each alpha and fold, and scikit-learn's own leave-one-out
    wide      the same at 3,000 rows of 5,376 (more features than rows of a fold), and himalaya where it is installed
    logistic  30 targets x 10 Cs x 5 folds: LogisticRegressionCV for each target and fold
    pairwise  Bradley-Terry on 1,000 tasks of 4,608 with 10,000 comparisons: L-BFGS on the differences of features

All solve the same problems, on features standardised within each fold. The loops pay the same for every cell, so they
are timed on some cells drawn at random, and their times scaled up. Features have the power-law spectrum, offsets and a
few outsized dimensions of a residual stream. `--small` runs everything at toy sizes, where no target holds.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from rich.console import Console
from scipy.fft import dct
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegressionCV, Ridge, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.records import (
    Record,
    argument_parser,
    interleaved,
    ratio,
    require_equal,
    require_quiet,
    show,
    show_so_far,
)
from personascope.probes.folds import Folds, grouped_folds
from personascope.probes.leave_out import LeaveOutRidge, leave_out_ridge
from personascope.probes.logistic import held_out_losses, one_hot
from personascope.probes.pairwise import BradleyTerryPath, bradley_terry_path
from personascope.probes.ridge import RidgeSolution, choose_alphas, held_out_errors

CASES = ("ridge", "wide", "logistic", "pairwise")
EQUAL = 1e-8
"""Largest relative difference between closed forms."""
GRADIENT = 1e-7
"""Where all logistic iterations stop: ours on its relative norm, scikit-learn's on its largest element."""
OPTIMUM = 1e-5
"""How far the loops' iterations may stop from the optimum, relative to the log loss."""


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    rows: int
    d_model: int
    targets: int = 30
    penalties: int = 50
    folds: int = 5
    comparisons: int = 0


FULL = {
    "ridge": Size(2000, 576),
    "wide": Size(3000, 5376),
    "logistic": Size(2000, 576, penalties=10),
    "pairwise": Size(1000, 4608, targets=1, penalties=5, comparisons=10_000),
}
SMALL = {
    "ridge": Size(120, 24, targets=4, penalties=6, folds=3),
    "wide": Size(60, 150, targets=4, penalties=6, folds=3),
    "logistic": Size(120, 24, targets=4, penalties=4, folds=3),
    "pairwise": Size(60, 90, targets=1, penalties=3, comparisons=400),
}
TARGETS = {
    "ridge: faster than a refit per target": 1000.0,
    "ridge: faster than a refit for all targets": 45.0,
    "ridge: faster than RidgeCV (leave-one-out)": 2.0,
    "wide: faster than a refit for all targets": 10.0,
    "wide: faster than himalaya": 1.0,
    "logistic: faster than LogisticRegressionCV": 5.0,
    "pairwise: faster than L-BFGS on differences": 50.0,
}


@dataclass(frozen=True)
class Case:
    """What every case is given."""

    name: str
    size: Size
    cells: int
    rounds: int
    is_small: bool

    def compare(self, what: str, ours: np.ndarray, theirs: np.ndarray, note: str) -> Record:
        """A ratio, held to its target at full size."""
        name = f"{self.name}: faster than {what}"
        return show_so_far(ratio(name, ours, theirs, None if self.is_small else TARGETS[name], note))

    def draw(self, *sizes: int) -> list[tuple[int, ...]]:
        """Some cells of a grid, without repeats."""
        n_cells = int(np.prod(sizes))
        chosen = np.random.default_rng(1).choice(n_cells, min(self.cells, n_cells), replace=False)
        return [tuple(map(int, np.unravel_index(cell, sizes))) for cell in chosen]


def features(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Rows whose covariance has eigenvalues 1 / j in no axis's direction, with offsets and outsized dimensions."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -0.5
    for _ in range(2):
        rows = dct(rows * rng.choice([-1.0, 1.0], size=d), norm="ortho", axis=1)
    scales = np.ones(d)
    scales[rng.choice(d, max(1, d // 200), replace=False)] = 30.0
    return np.asarray((rows + 2 * rows.std() * rng.normal(size=d)) * scales)


def readable(X: np.ndarray, n_targets: int, noise: float = 1.0) -> np.ndarray:
    """Targets that are linear in standardised features, each with as much noise as it wants, shape (row, target)."""
    rng = np.random.default_rng(2)
    signal = StandardScaler().fit_transform(X) @ rng.normal(size=(X.shape[1], n_targets))
    return np.asarray(signal / signal.std(axis=0) + noise * rng.normal(size=signal.shape))


def some(cells: list[tuple[int, ...]], whole: int, run: Callable[..., object]) -> float:
    """Seconds for the whole grid, from those for some of its cells."""
    started = perf_counter()
    for cell in cells:
        run(*cell)
    return (perf_counter() - started) * whole / len(cells)


def refit(X: np.ndarray, Y: np.ndarray, alpha: float, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Squared errors on held-out rows by the plain way."""
    model = make_pipeline(StandardScaler(), Ridge(alpha)).fit(X[train], Y[train])
    return np.asarray(((model.predict(X[test]) - Y[test]) ** 2).sum(axis=0))


def ridge(case: Case) -> list[Record]:
    """Cross-validation and leave-one-out at more rows than features."""
    size = case.size
    X = features(size.rows, size.d_model)
    Y, folds = readable(X, size.targets), grouped_folds(np.arange(size.rows), size.folds, 0)
    alphas = np.logspace(-1, 5, size.penalties).tolist()
    ours = held_out_errors(X, Y, folds, alphas)
    records = [same_errors(case, ours, X, Y, folds, alphas)]
    found: LeaveOutRidge = leave_out_ridge(X, Y, alphas)
    Z, peer = StandardScaler().fit_transform(X), RidgeCV(alphas, cv=None, alpha_per_target=True)
    peer.fit(Z, Y)
    records.append(require_equal("ridge: penalties of RidgeCV", relative(found.alpha, peer.alpha_), EQUAL))
    theirs = peer.coef_.T / X.std(axis=0)[:, None]
    records.append(require_equal("ridge: coefficients of RidgeCV", relative(found.coef, theirs), EQUAL))

    def one(target: int, alpha: int, fold: int) -> None:
        refit(X, Y[:, target : target + 1], alphas[alpha], *folds[fold])

    def many(alpha: int, fold: int) -> None:
        refit(X, Y, alphas[alpha], *folds[fold])

    grid = (size.targets, size.penalties, size.folds)
    runs: dict[str, Callable[[], object]] = {
        "ours": partial(held_out_errors, X, Y, folds, alphas),
        "one": partial(some, case.draw(*grid), int(np.prod(grid)), one),
        "many": partial(some, case.draw(*grid[1:]), int(np.prod(grid[1:])), many),
        "ours, leave-one-out": partial(leave_out_ridge, X, Y, alphas),
        "RidgeCV": lambda: peer.fit(StandardScaler().fit_transform(X), Y),
    }
    seconds = interleaved(runs, case.rounds)
    note = f"{size.rows} x {size.d_model}, {case.cells} cells timed of "
    return [
        *records,
        case.compare("a refit per target", seconds["ours"], seconds["one"], note + f"{np.prod(grid)}"),
        case.compare("a refit for all targets", seconds["ours"], seconds["many"], note + f"{np.prod(grid[1:])}"),
        case.compare(
            "RidgeCV (leave-one-out)",
            seconds["ours, leave-one-out"],
            seconds["RidgeCV"],
            f"{size.rows} x {size.d_model}, {size.targets} targets x {size.penalties} alphas",
        ),
    ]


def wide(case: Case) -> list[Record]:
    """Cross-validation at more features than rows."""
    size = case.size
    X = features(size.rows, size.d_model)
    Y, folds = readable(X, size.targets), grouped_folds(np.arange(size.rows), size.folds, 0)
    alphas = np.logspace(0, 6, size.penalties).tolist()
    middle = alphas[size.penalties // 2]
    train, test = folds[0]
    ours = RidgeSolution(X[train], Y[train]).squared_errors(X[test], Y[test], np.array([middle]))[0]
    difference = relative(ours, refit(X, Y, middle, train, test))
    records = [require_equal("wide: squared errors of a refit, one fold", difference, EQUAL)]

    def many(alpha: int, fold: int) -> None:
        refit(X, Y, alphas[alpha], *folds[fold])

    grid = (size.penalties, size.folds)
    runs: dict[str, Callable[[], object]] = {
        "ours": partial(held_out_errors, X, Y, folds, alphas),
        "many": partial(some, case.draw(*grid), int(np.prod(grid)), many),
    }
    peer = himalaya(X, Y, folds, alphas)
    if peer is not None:
        alpha, coef, intercept = chosen(X, Y, folds, alphas)
        model = peer()
        agree = np.isclose(alpha, model.best_alphas_)
        predicted = model.predict(StandardScaler().fit_transform(X).astype(np.float64))
        difference = relative((X @ coef + intercept)[:, agree], predicted[:, agree]) if agree.any() else np.inf
        records.append(require_equal(f"wide: fits of himalaya, {agree.sum()} of {len(agree)}", difference, EQUAL))
        runs |= {"ours, fitted": partial(chosen, X, Y, folds, alphas), "himalaya": peer}
    seconds = interleaved(runs, case.rounds)
    note = f"{size.rows} x {size.d_model}, {case.cells} cells timed of {np.prod(grid)}"
    records.append(case.compare("a refit for all targets", seconds["ours"], seconds["many"], note))
    if peer is not None:
        note = "same folds, chosen and refitted; it standardises once over all rows"
        records.append(case.compare("himalaya", seconds["ours, fitted"], seconds["himalaya"], note))
    return records


def chosen(
    X: np.ndarray, Y: np.ndarray, folds: Folds, alphas: list[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Penalties by cross-validation, and the fit on all rows."""
    alpha = choose_alphas(X, Y, folds, alphas)
    return alpha, *RidgeSolution(X, Y).weights(alpha)


def himalaya(X: np.ndarray, Y: np.ndarray, folds: Folds, alphas: list[float]) -> Callable[[], Any] | None:
    """Its kernel ridge, which is what it advises for more features than rows; None where it is not installed."""
    try:
        kernel_ridge = importlib.import_module("himalaya.kernel_ridge")
    except ImportError as error:
        Console().print(f"wide: himalaya is left out ({error}); it is compared where it can be imported.")
        return None

    def fit() -> Any:
        model = kernel_ridge.KernelRidgeCV(alphas=np.array(alphas), kernel="linear", fit_intercept=True, cv=folds)
        return model.fit(StandardScaler().fit_transform(X), Y)

    return fit


def logistic(case: Case) -> list[Record]:
    """Two classes, all targets together against one after the other."""
    size = case.size
    X = features(size.rows, size.d_model)
    labels = (readable(X, size.targets) > 0).astype(np.int64)
    folds, Cs = grouped_folds(np.arange(size.rows), size.folds, 0), np.logspace(-4, 0, size.penalties)
    targets, weights = one_hot(labels, 2), np.ones(size.rows)
    how = {"row_weights": weights, "fit_intercept": True, "tolerance": GRADIENT}

    def loop(target: int, fold: int) -> np.ndarray:
        train, test = folds[fold]
        model = LogisticRegressionCV(
            Cs=Cs, cv=[(train, test)], scoring="neg_log_loss", refit=False, tol=GRADIENT, max_iter=10_000, **plain()
        )
        Z = StandardScaler().fit(X[train]).transform(X)
        return -np.asarray(model.fit(Z, labels[:, target]).scores_[1][0]) * len(test)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        target, fold = case.draw(size.targets, size.folds)[0]
        mine = held_out_losses(X, targets[:, :, [target]], [folds[fold]], Cs, **how)[:, 0]
        difference = relative(mine, loop(target, fold))
        records = [require_equal("logistic: held-out log losses of LogisticRegressionCV", difference, OPTIMUM)]
        grid = (size.targets, size.folds)
        cells = case.draw(*grid)[: max(1, case.cells // 4)]
        runs: dict[str, Callable[[], object]] = {
            "ours": partial(held_out_losses, X, targets, folds, Cs, **how),
            "loop": partial(some, cells, int(np.prod(grid)), loop),
        }
        seconds = interleaved(runs, case.rounds)
    note = f"{size.rows} x {size.d_model}, {size.penalties} Cs, {len(cells)} cells timed of {np.prod(grid)}"
    return [*records, case.compare("LogisticRegressionCV", seconds["ours"], seconds["loop"], note)]


def plain() -> dict[str, Any]:
    """Results as plain arrays, where this version of scikit-learn asks."""
    names = LogisticRegressionCV().get_params()
    return {"use_legacy_attributes": True} if "use_legacy_attributes" in names else {}


def pairwise(case: Case) -> list[Record]:
    """Utilities linear in features, from choices."""
    size = case.size
    rng = np.random.default_rng(3)
    X = features(size.rows, size.d_model)
    first = rng.integers(0, size.rows, size.comparisons)
    second = (first + rng.integers(1, size.rows, size.comparisons)) % size.rows
    utility = 1.5 * readable(X, 1, noise=0.3)
    shares = (utility[first] - utility[second] + rng.logistic(size=(size.comparisons, 1)) > 0).astype(np.float64)
    Cs = 1 / np.logspace(3, -1, size.penalties) if not case.is_small else np.logspace(-3, -1, size.penalties)
    counts = np.ones(size.comparisons)

    def ours() -> BradleyTerryPath:
        return bradley_terry_path(X, first, second, shares, Cs, counts=counts, fit_order=False)

    def loop() -> np.ndarray:
        Z = StandardScaler().fit_transform(X)
        differences, start = Z[first] - Z[second], np.zeros(size.d_model)
        options = {"maxiter": 500}
        return np.array(
            [
                minimize(_spelled_out, start, (differences, shares[:, 0], C), "L-BFGS-B", jac=True, options=options).x
                for C in Cs
            ]
        )

    found, theirs = ours().coef[:, :, 0] * X.std(axis=0), loop()
    Z = StandardScaler().fit_transform(X)
    rows = Z[first] - Z[second]
    gaps = []
    for C, mine, peers in zip(Cs, found, theirs, strict=True):
        least, reached = (_spelled_out(w, rows, shares[:, 0], C)[0] for w in (mine, peers))
        gaps.append((reached - least) / least)
    records = [
        require_equal("pairwise: our objective above theirs", max(0.0, -min(gaps)), 1e-9),
        require_equal("pairwise: their objective above ours", max(gaps), 1e-3),
    ]
    del rows, Z
    seconds = interleaved({"ours": ours, "loop": loop}, case.rounds)
    note = f"{size.rows} tasks x {size.d_model}, {size.comparisons} pairs, {size.penalties} Cs, scipy stops by itself"
    return [*records, case.compare("L-BFGS on differences", seconds["ours"], seconds["loop"], note)]


def _spelled_out(w: np.ndarray, differences: np.ndarray, chose: np.ndarray, C: float) -> tuple[float, np.ndarray]:
    """The objective and its gradient over all differences."""
    margins = differences @ w
    value = np.logaddexp(0.0, margins).sum() - chose @ margins + w @ w / (2 * C)
    return float(value), differences.T @ (expit(margins) - chose) + w / C


def same_errors(
    case: Case, ours: np.ndarray, X: np.ndarray, Y: np.ndarray, folds: Folds, alphas: list[float]
) -> Record:
    """Our squared errors against refits, at the ends and the middle of the grid."""
    worst = 0.0
    for number in (0, len(alphas) // 2, len(alphas) - 1):
        plain_way = sum(refit(X, Y, alphas[number], *fold) for fold in folds)
        worst = max(worst, relative(ours[number], np.asarray(plain_way)))
    return require_equal(f"{case.name}: squared errors of refits", worst, EQUAL)


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference, relative to the largest value."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def main(words: list[str] | None = None) -> None:
    """Equality first, then the ratios; exit 1 where a target is missed."""
    parser = argument_parser(__doc__)
    parser.set_defaults(rounds=3)
    parser.add_argument("--only", nargs="+", choices=CASES, default=CASES, help="cases")
    parser.add_argument("--small", action="store_true", help="toy sizes, no targets")
    parser.add_argument("--cells", type=int, default=12, help="cells on which the loops are timed (default 12)")
    options: Namespace = parser.parse_args(words)
    if not options.small:
        require_quiet(options.busy)
    records = []
    for name in options.only:
        size = (SMALL if options.small else FULL)[name]
        records += globals()[name](Case(name, size, options.cells, options.rounds, options.small))
    show("probes: one solution for many penalties and targets", records, options.json)
    sys.exit(not all(record.ok for record in records))


if __name__ == "__main__":
    main()
