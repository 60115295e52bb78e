"""How much of a planted gap is said to be closed: none, some, all, the wrong way; and when nothing can be said."""

from __future__ import annotations

import numpy as np
from scipy import stats

from benchmarks.planted.held import between, every, near
from benchmarks.planted.movements import movement
from benchmarks.records import Record
from personascope.tuning.halves import random_splits, split_halves
from personascope.tuning.movement import ANSWERS, TRAIT, GapClosed, gap_closed, split_half_gap
from personascope.tuning.movement_facets import CLEAR_GAP, facet_closure
from personascope.tuning.movement_items import movement_items

MEASURED = {name: name for name in ("before", "ideal", "after")}
QUICK = {"n_splits": 40, "n_resamples": 200}
NAIVE = {0.05: {"whole": 0.04, "profile": 0.06}, 0.1: {"whole": 0.12, "profile": 0.17}}
"""Slope of a model that did not move at a facet's standard error, 25 facets, gap mean .15, sd .2: published medians,
and v / (gap^2 + 2 v) in expectation, with v the squared error, gap^2 the mean square or the variance of the gaps."""
N_STILL, N_MOVED, N_COVERED, N_READ, N_WEAK = 200, 40, 100, 12, 40


def rows() -> list[Record]:
    """All of them."""
    return [*standing_still(), *known_shares(), *coverage(), *by_key(), *without_a_gap()]


def shares_of(seeds: int, *, truth: float = 0.0, se: float) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Split-half and plain shares of the gap, whole and as a profile, of data sets that come with either error sign."""
    found: dict[str, list[tuple[float, float]]] = {"whole": [], "profile": []}
    for seed in range(seeds):
        for turn in (1, -1):
            data = movement_items(movement(seed, truth=truth, se=se, turn=turn), MEASURED)
            halves = split_halves(data, random_splits(data, n_splits=40, seed=seed))
            x, y = data.profiles(("ideal", "before"), ("after", "before")).T
            found["whole"].append((float(split_half_gap(halves, "ideal")), float(x @ y / (x @ x))))
            x = x - x.mean()
            centred = float(split_half_gap(halves, "ideal", centred=True))
            found["profile"].append((centred, float(x @ y / (x @ x))))
    return {name: (np.array(both)[:, 0], np.array(both)[:, 1]) for name, both in found.items()}


def median(name: str, values: np.ndarray, target: float, tolerance: float, note: str) -> Record:
    """The median of data sets, with their quartiles as range."""
    value, low, high = np.percentile(values, [50, 25, 75])
    ok = bool(abs(value - target) <= tolerance)
    return Record(name, value, low, high, target, ok, len(values), f"median, quartiles; within {tolerance:.2g}; {note}")


def standing_still() -> list[Record]:
    """A model that did not move, at two standard errors, beside the slope that supposes it did."""
    records = []
    for se, naive in NAIVE.items():
        for kind, (split_half, plain) in shares_of(N_STILL, se=se).items():
            name = f"nothing moved, SE {se:.2f}, {kind}"
            records += [
                median(f"{name}: gap closed", split_half, 0.0, 0.02, "between halves"),
                median(f"  {name}: plain slope", plain, naive[kind], 0.02, "biased: one error on both sides"),
            ]
    return records


def known_shares() -> list[Record]:
    """Half of the gap, all of it, and half of it the wrong way."""
    records = []
    for truth, se in ((0.5, 0.1), (0.5, 0.05), (1.0, 0.05), (-0.5, 0.05)):
        for kind, (split_half, _) in shares_of(N_MOVED, truth=truth, se=se).items():
            records.append(median(f"moved {truth:g}, SE {se:.2f}, {kind}: gap closed", split_half, truth, 0.03, ""))
    return records


def coverage() -> list[Record]:
    """How often the interval holds the share that was planted."""
    held = []
    for seed in range(N_COVERED):
        closed = gap_closed(movement(seed, truth=0.5), **QUICK).whole.closed
        held.append(closed.low is not None and closed.high is not None and closed.low <= 0.5 <= closed.high)
    rate, (low, high) = float(np.mean(held)), stats.binomtest(sum(held), N_COVERED).proportion_ci(0.95)
    note = "accepted .86 to .99; .91 is usual with six items for each facet and key"
    return [Record("moved 0.5: intervals that hold it", rate, low, high, 0.95, 0.86 <= rate <= 0.99, N_COVERED, note)]


def by_key() -> list[Record]:
    """Training that only raises every rating, training that moves the trait, and none."""
    raised, moved, both, still = (
        [gap_closed(movement(seed, **how), **QUICK) for seed in range(N_READ)]
        for how in ({"raised": 0.05}, {"truth": 0.6}, {"truth": 0.6, "raised": 0.012}, {})
    )
    apart = [found.positive.closed.value for found in raised], [found.negative.closed.value for found in raised]
    opposite = [found.same_sign is False for found in raised]
    return [
        every("ratings only raised: G+ and G- of opposite sign", opposite, "data sets"),
        every("ratings only raised: read as answer shift", said(raised, ANSWERS), "data sets", N_READ - 1),
        between("  ratings only raised: G on + items", values(apart[0]), 0.1, 2.0, "above 0"),
        between("  ratings only raised: G on - items", values(apart[1]), -2.0, -0.1, "below 0"),
        near("ratings only raised: G of both", values([one.whole.closed.value for one in raised]), 0.0, 0.05, ""),
        every("trait moved: read as trait movement", said(moved, TRAIT), "data sets", N_READ - 1),
        every(
            "trait moved, ratings raised a little too: as trait movement", said(both, TRAIT), "data sets", N_READ - 2
        ),
        every("  nothing moved: read as neither", said(still, ANSWERS, TRAIT, negate=True), "data sets", N_READ - 1),
    ]


def said(found: list[GapClosed], *readings: str, negate: bool = False) -> list[bool]:
    """Which data sets were read so."""
    return [(one.reading in readings) != negate for one in found]


def values(found: list[float | None]) -> np.ndarray:
    """As numbers; what was refused is NaN."""
    return np.array([np.nan if one is None else one for one in found])


def without_a_gap() -> list[Record]:
    """Gaps that are all error, a gap that is there but has no profile, and facets whose gap is not clear."""
    errors = [gap_closed(movement(seed, se=0.1, gap=(0.0, 0.0)), **QUICK) for seed in range(N_WEAK)]
    even = gap_closed(movement(3, truth=0.5, gap=(0.5, 0.0)), **QUICK)
    clear = facet_closure(movement(0, truth=0.4), n_resamples=200)
    below = clear.filter(clear["gap"].abs() <= CLEAR_GAP * clear["gap_se"])
    above = clear.filter(clear["gap"].abs() > CLEAR_GAP * clear["gap_se"])
    plain = [one.whole.closed.naive_biased for one in errors]
    return [
        every(
            "no gap but error: refused", [one.whole.closed.value is None for one in errors], "at level .025", N_WEAK - 4
        ),
        between("  no gap but error: plain slope", values(plain), 0.4, 0.6, "expected 1/2", 0.5),
        every(
            "one gap in all facets: whole given, profile refused",
            [even.whole.closed.value is not None, even.profile.closed.value is None],
            "no profile to move in",
        ),
        every("facets whose gap is below 3 SE: no ratio", below["closed"].is_null().to_numpy(), "said why instead"),
        every("  facets whose gap is clear: a ratio", above["closed"].is_not_null().to_numpy(), ""),
        between("  their median ratio", float(np.median(above["closed"])), 0.3, 0.5, "planted .4", 0.4),
    ]
