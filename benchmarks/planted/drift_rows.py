"""What else a planted movement is told to be: an ideal that drifted, the way to another persona, and its transfer."""

from __future__ import annotations

import numpy as np
import polars as pl

from benchmarks.planted.held import every, near
from benchmarks.planted.movement_rows import QUICK, values
from benchmarks.planted.movements import N_FACETS, SCALE, movement
from benchmarks.records import Record
from personascope.measures.equivalence import BOUND
from personascope.tuning.drift import ideal_drift
from personascope.tuning.specificity import Specificity, specificity
from personascope.tuning.transfer import transfer_ratio

N, N_TRANSFER = 8, 24
"""Data sets of each kind."""
DRIFTED = 7
"""The facet whose ideal drifts."""


def rows() -> list[Record]:
    """All of them."""
    return [*drifts(), *toward_whom(), *carried_over()]


def stayed(own: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """The ideal as it was."""
    return np.asarray(own + gap)


def drifted(own: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """One facet's ideal moved by twice the bound."""
    return np.asarray(own + gap + 2 * BOUND / SCALE * (np.arange(N_FACETS) == DRIFTED))


def sunk(own: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """All facets' ideals moved by twice the bound."""
    return np.asarray(own + gap - 2 * BOUND / SCALE)


def drifts() -> list[Record]:
    """Equivalence where the ideal stayed and where it did not, and the distance that training left."""
    how = {
        "stayed": (stayed, {"truth": 0.5}),
        "drifted in one facet": (drifted, {"truth": 0.5}),
        "drifted in all": (sunk, {"truth": 0.5}),
    }
    found = {
        name: [ideal_drift(movement(seed, **given, extra={"ideal_after": mean}), **QUICK) for seed in range(N)]
        for name, (mean, given) in how.items()
    }
    one = [drift.facets.filter(~pl.col("equivalent"))["facet"].to_list() for drift in found["drifted in one facet"]]
    overall = {name: [bool(drift.overall["equivalent"][0]) for drift in drifts] for name, drifts in found.items()}
    far = [drift.distance_ratio.value for drift in found["stayed"]]
    return [
        every("ideal that stayed: equivalent in every facet", [d.stable is True for d in found["stayed"]], "TOST"),
        every("ideal that stayed: equivalent on the whole", overall["stayed"], "TOST"),
        every(
            "ideal of one facet drifted: not stable, that facet alone",
            [names == [f"f{DRIFTED:02d}"] for names in one],
            "by twice the bound",
        ),
        every("  the mean over facets hides it", overall["drifted in one facet"], "equivalent"),
        every("ideal drifted in all facets: not equivalent", [not ok for ok in overall["drifted in all"]], "TOST"),
        near("half of the way closed: distance left", values(far), 0.5, 0.05, "after by before"),
    ]


def helpful(own: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Another persona: half of its way is that of the ideal, half its own."""
    return np.asarray(own + 0.5 * gap + np.random.default_rng(0).normal(0, 0.2, N_FACETS))


def toward(name: str) -> list[Specificity]:
    """Data sets in which the model went half of the way to one of the two, judged by fresh measurements of both."""
    found = []
    for seed in range(N):
        items = movement(seed, truth=0.5, se=0.02, extra={"other": helpful, "gone": helpful})
        if name == "other":
            items = items.with_columns(after=(pl.col("before") + pl.col("gone")) / 2)
        found.append(specificity(items, **QUICK))
    return found


def toward_whom() -> list[Record]:
    """Movement toward the ideal and movement toward a helpful assistant, by their partial cosines."""
    to_ideal, to_helpful = toward("ideal"), toward("other")
    told_apart = "cosine given the other persona"
    return [
        near("went to the ideal: " + told_apart, values([s.partial_ideal.value for s in to_ideal]), 1.0, 0.1, ""),
        every("went to the ideal: nothing left for helpful", [s.partial_other.value is None for s in to_ideal], ""),
        near("went to helpful: " + told_apart, values([s.partial_other.value for s in to_helpful]), 1.0, 0.1, ""),
        every("went to helpful: nothing left for the ideal", [s.partial_ideal.value is None for s in to_helpful], ""),
        every(
            "  went to helpful: gap to the ideal closed too",
            [s.ideal.whole.closed.low is not None and s.ideal.whole.closed.low > 0 for s in to_helpful],
            "which is why it alone says nothing",
        ),
    ]


def carried_over() -> list[Record]:
    """A transfer of .5 to held-out facets, none, and a denominator that did not move."""
    held_out = pl.col("facet") < "f08"
    half, none, still = [], [], []
    for number in range(N_TRANSFER):
        seed, turn = number // 2, 1 - 2 * (number % 2)
        items = movement(seed, truth=0.6, gap=(0.3, 0.2), turn=turn)
        other = movement(seed + 100, truth=0.3, gap=(0.3, 0.2), turn=turn)
        half.append(transfer_ratio(other.filter(held_out), items.filter(~held_out), **QUICK).ratio)
        none.append(transfer_ratio(movement(seed + 200, gap=(0.3, 0.2), turn=turn), items, **QUICK).ratio)
        still.append(transfer_ratio(items, movement(number + 300), **QUICK).ratio)
    return [
        near("transfer of one half to held-out facets", values([one.value for one in half]), 0.5, 0.06, "ratio"),
        near("no transfer", values([one.value for one in none]), 0.0, 0.06, "ratio"),
        every(
            "no transfer: interval holds 0",
            [one.low is not None and one.high is not None and one.low <= 0 <= one.high for one in none],
            "coverage .91",
            N_TRANSFER - 5,
        ),
        every(
            "nothing moved where it was trained: refused",
            [one.value is None for one in still],
            "coverage .91",
            N_TRANSFER - 5,
        ),
    ]
