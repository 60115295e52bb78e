"""Active choice of pairs: ask next where the utilities so far leave the answer open (Mazeika et al. 2025, App. B).

A design starts d-regular; then each round is chosen from the pairs whose utilities lie close, least-asked tasks first,
until the ranking of the tasks stands still or the budget is spent. A design is a value: it waits for the utilities
fitted on all answers so far, and gives the next design. What comes next depends on nothing else.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from math import ceil
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from personascope.errors import DataError, FileFormatError
from personascope.instruments.pairs import d_regular_pairs

Pair = tuple[int, int]
Codes = Int[np.ndarray, " pair"]
_ENUMERATED = 500_000
"""Up to this many pairs all are candidates; of more, some opponents of each task are drawn."""
_OPPONENTS = 16
_WIDER = 1.5
_LAST_DRAWS = 20


@dataclass(frozen=True)
class ActiveSettings:
    """What decides a design, beside the utilities.

    Args:
        n_tasks: size of the pool.
        degree: of the d-regular start: different opponents of each task.
        batch: pairs of each later round.
        max_pairs: the budget; a round that would exceed it is cut short.
        threshold: rank correlation (Spearman) of the utilities of successive rounds that counts as standing still.
        patience: so many rounds in a row must stand still. Since rounds share all earlier answers, a high correlation
            says that the last batch changed little, not that the utilities are reliable.
        closest: share of all pairs, those of the smallest utility difference, from which a round is chosen; it is
            widened where it holds too few. Too small a share would compare only neighbours and lose the long range.
        repeats: whether a pair may come again in a later round.
        seed: of the start and of all draws.

    Raises:
        DataError: a setting out of range, or a start that exceeds the budget.
    """

    n_tasks: int
    degree: int
    batch: int
    max_pairs: int
    threshold: float = 0.99
    patience: int = 1
    closest: float = 0.3
    repeats: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        shares = 0 < self.threshold <= 1 and 0 < self.closest <= 1
        if not shares or min(self.batch, self.patience) < 1 or self.seed < 0:
            raise DataError(
                f"Active pairs with batch {self.batch}, patience {self.patience}, threshold {self.threshold}, closest "
                f"{self.closest}, seed {self.seed}.",
                "batch and patience are at least 1, threshold and closest lie in (0, 1], and the seed is not negative.",
                "Change the settings of the design.",
            )
        if self.n_tasks * self.degree > 2 * self.max_pairs:
            raise DataError(
                f"The d-regular start needs {self.n_tasks * self.degree // 2} pairs, the budget has {self.max_pairs}.",
                f"Each of {self.n_tasks} tasks meets {self.degree} others before anything is chosen.",
                "Lower the degree or raise max_pairs.",
            )


@dataclass(frozen=True)
class PairDesign:
    """Pairs asked so far, and the round that waits for answers.

    Begin with `PairDesign.start`, ask `batch` in both orders, fit utilities on all answers, and go on with `advance`
    until `outcome` is not None.

    Args:
        settings: see `ActiveSettings`.
        pairs: (i, j) with i < j, in the order asked; the last round is at the end.
        round_sizes: pairs of each round.
        utilities: those of the round before, one for each task; empty before the first.
        correlations: rank correlation of the utilities of each round with those before; None where it is undefined.
        outcome: "converged", "budget" (max_pairs reached), "exhausted" (no pair is left), or None while a round waits.

    Raises:
        DataError: parts that do not fit together.
    """

    settings: ActiveSettings
    pairs: tuple[Pair, ...]
    round_sizes: tuple[int, ...]
    utilities: tuple[float, ...] = ()
    correlations: tuple[float | None, ...] = ()
    outcome: str | None = None

    def __post_init__(self) -> None:
        n = self.settings.n_tasks
        misfits = {
            "a pair is not two tasks i < j of the pool": any(not 0 <= i < j < n for i, j in self.pairs),
            "the rounds do not add up to the pairs": sum(self.round_sizes) != len(self.pairs) or not self.round_sizes,
            "utilities are not one finite number for each task": bool(self.utilities)
            and (len(self.utilities) != n or not np.isfinite(self.utilities).all()),
            "the outcome is unknown": self.outcome not in (None, "converged", "budget", "exhausted"),
        }
        for misfit, found in misfits.items():
            if found:
                raise DataError(
                    f"A pair design of {n} tasks is damaged: {misfit}.", "", "Use the state as it was kept."
                )

    @classmethod
    def start(cls, settings: ActiveSettings) -> PairDesign:
        """The d-regular first round.

        Raises:
            DataError: no such design exists (see `d_regular_pairs`).
        """
        pairs = d_regular_pairs(settings.n_tasks, settings.degree, settings.seed)
        return cls(settings, tuple(pairs), (len(pairs),))

    @property
    def batch(self) -> tuple[Pair, ...]:
        """The pairs to ask now; none when the design has ended."""
        return () if self.outcome else self.pairs[len(self.pairs) - self.round_sizes[-1] :]

    @property
    def degrees(self) -> Int[np.ndarray, " task"]:
        """How often each task is asked about, orders and repeated samples not counted."""
        return np.bincount(np.array(self.pairs).ravel(), minlength=self.settings.n_tasks)

    def advance(self, utilities: Float[np.ndarray, " task"]) -> PairDesign:
        """The design after the answers to `batch`.

        Args:
            utilities: fitted on the answers to all `pairs`, shape (task,), in any unit.

        Raises:
            DataError: the design has ended, or not one finite utility for each task.
        """
        values, settings = np.asarray(utilities, dtype=np.float64), self.settings
        if self.outcome or values.shape != (settings.n_tasks,) or not np.isfinite(values).all():
            raise DataError(
                f"A design of {settings.n_tasks} tasks (outcome {self.outcome}) cannot go on with utilities of shape "
                f"{values.shape}.",
                "It takes one finite utility for each task, and only while a round waits for answers.",
                "Fit all tasks of the pool, and stop when `outcome` is set.",
            )
        correlations = self.correlations
        if self.utilities:
            correlations = (*correlations, _rank_correlation(np.array(self.utilities), values))
        now = replace(self, utilities=tuple(values.tolist()), correlations=correlations)
        last = correlations[-settings.patience :]
        if len(last) == settings.patience and all(r is not None and r >= settings.threshold for r in last):
            return replace(now, outcome="converged")
        size = min(settings.batch, settings.max_pairs - len(self.pairs))
        if size == 0:
            return replace(now, outcome="budget")
        batch = _choose(now, values, size)
        if not batch:
            return replace(now, outcome="exhausted")
        return replace(now, pairs=(*self.pairs, *batch), round_sizes=(*self.round_sizes, len(batch)))

    def state(self) -> dict[str, Any]:
        """All of it as plain numbers, text and lists, fit for JSON, from which `from_state` goes on alike."""
        return {
            "settings": asdict(self.settings),
            "pairs": [list(pair) for pair in self.pairs],
            "round_sizes": list(self.round_sizes),
            "utilities": list(self.utilities),
            "correlations": list(self.correlations),
            "outcome": self.outcome,
        }

    @classmethod
    def from_state(cls, state: Any) -> PairDesign:
        """The design that `state()` described.

        Raises:
            FileFormatError: not such a description.
        """
        try:
            if set(state) != {f.name for f in fields(cls)}:
                raise ValueError(f"it has the fields {sorted(state)}")
            return cls(
                settings=ActiveSettings(**state["settings"]),
                pairs=tuple((int(i), int(j)) for i, j in state["pairs"]),
                round_sizes=tuple(int(size) for size in state["round_sizes"]),
                utilities=tuple(float(value) for value in state["utilities"]),
                correlations=tuple(None if r is None else float(r) for r in state["correlations"]),
                outcome=state["outcome"],
            )
        except (TypeError, ValueError, DataError) as error:
            raise FileFormatError(
                "This is not the state of a pair design.", str(error).splitlines()[0], "Start the design anew."
            ) from error


def _rank_correlation(one: Float[np.ndarray, " task"], two: Float[np.ndarray, " task"]) -> float | None:
    """Spearman correlation; None when either side is constant."""
    if not np.ptp(one) or not np.ptp(two):
        return None
    return float(np.corrcoef(rankdata(one), rankdata(two))[0, 1])


def _choose(design: PairDesign, utilities: Float[np.ndarray, " task"], size: int) -> list[Pair]:
    """The next round: at most `size` pairs, sorted."""
    settings, n = design.settings, design.settings.n_tasks
    rng = np.random.default_rng([settings.seed, len(design.round_sizes)])
    taken = np.array([] if settings.repeats else [i * n + j for i, j in design.pairs], dtype=np.int64)
    degrees, chosen = design.degrees.astype(np.int64), np.empty(0, dtype=np.int64)
    share, draws = settings.closest, 0
    enumerate_all = n * (n - 1) // 2 <= _ENUMERATED
    while len(chosen) < size and draws <= _LAST_DRAWS:
        if enumerate_all:
            candidates = _all_close(utilities, share)
        else:
            candidates = _some_close(utilities, share, max(_OPPONENTS, 8 * size // n), rng)
        fresh = np.setdiff1d(candidates, np.concatenate([taken, chosen]))
        chosen = np.concatenate([chosen, _match(fresh, degrees, size - len(chosen), rng)])
        draws += (share == 1) * (_LAST_DRAWS + 1 if enumerate_all else 1)
        share = min(1.0, _WIDER * share)
    return [(code // n, code % n) for code in np.sort(chosen).tolist()]


def _match(
    codes: Codes, degrees: Int[np.ndarray, " task"], size: int, rng: np.random.Generator
) -> Int[np.ndarray, " chosen"]:
    """Choose pairs: the least-asked task first, with its least-asked opponent; ties at random. Updates `degrees`."""
    n, chosen = len(degrees), []
    left, right = np.divmod(rng.permutation(codes), n)
    while size and len(left):
        low, high = np.minimum(degrees[left], degrees[right]), np.maximum(degrees[left], degrees[right])
        served = np.flatnonzero(low == low.min())
        served = served[np.argsort(high[served], kind="stable")]
        # a pair is taken when it comes first at both of its tasks, so no degree changes under the others' feet
        place = np.full(n, len(served))
        np.minimum.at(place, left[served], np.arange(len(served)))
        np.minimum.at(place, right[served], np.arange(len(served)))
        first = (place[left[served]] == np.arange(len(served))) & (place[right[served]] == np.arange(len(served)))
        taken = served[first][:size]
        chosen.append(left[taken] * n + right[taken])
        degrees[left[taken]] += 1
        degrees[right[taken]] += 1
        size -= len(taken)
        rest = np.ones(len(left), dtype=bool)
        rest[taken] = False
        left, right = left[rest], right[rest]
    return np.concatenate(chosen) if chosen else np.empty(0, dtype=np.int64)


def _all_close(utilities: Float[np.ndarray, " task"], share: float) -> Codes:
    """All pairs whose utilities differ by no more than the `share` quantile of the differences."""
    n = len(utilities)
    left, right = np.triu_indices(n, 1)
    apart, ranks = np.abs(utilities[left] - utilities[right]), rankdata(utilities, "ordinal")
    near = apart <= np.quantile(apart, share, method="inverted_cdf")
    near |= np.abs(ranks[left] - ranks[right]) <= _always_near(n, share)
    return np.asarray(left[near] * n + right[near])


def _some_close(utilities: Float[np.ndarray, " task"], share: float, opponents: int, rng: np.random.Generator) -> Codes:
    """Random ones of these pairs: so many opponents of every task that a balanced round can be made of them."""
    n, order = len(utilities), np.argsort(utilities, kind="stable")
    ranked = utilities[order]
    reach, beside = _reach(ranked, share), _always_near(n, share)
    low = np.searchsorted(ranked, ranked - reach, "left")
    high = np.searchsorted(ranked, ranked + reach, "right")
    low = np.minimum(low, np.maximum(np.arange(n) - beside, 0))
    high = np.maximum(high, np.minimum(np.arange(n) + beside + 1, n))
    place = np.repeat(np.arange(n), opponents)
    drawn = low[place] + rng.integers(high[place] - low[place] - 1)
    drawn += drawn >= place  # oneself is left out
    left, right = order[place], order[drawn]
    return np.unique(np.minimum(left, right) * n + np.maximum(left, right))


def _always_near(n_tasks: int, share: float) -> int:
    """Neighbours in rank that count as close at any difference: tasks far from all others would not be asked again."""
    return min(_OPPONENTS, ceil(share * n_tasks / 4))


def _reach(ranked: Float[np.ndarray, " task"], share: float) -> float:
    """Quantile of the differences of all pairs, by bisection: the pairs are counted, never held."""
    n, low, high = len(ranked), 0.0, float(ranked[-1] - ranked[0])
    wanted = n * (n + 1) // 2 + share * n * (n - 1) / 2  # every task also counts itself and the pairs below it
    for _ in range(40):
        middle = (low + high) / 2
        if np.searchsorted(ranked, ranked + middle, "right").sum() < wanted:
            low = middle
        else:
            high = middle
    return high
