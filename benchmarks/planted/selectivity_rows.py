"""Facets moved by directions in simulated agreement: found where planted, not where a push moves all facets alike."""

from __future__ import annotations

import numpy as np
from scipy import stats

from benchmarks.records import Record, largest, smallest
from personascope.steering.selectivity import Selectivity, selectivity
from personascope.steering.selectivity_index import selectivity_index

N_FACETS, N_RANDOM, ITEMS_A_KEY, OWN = 6, 6, 8, 0.3
NOISE = 0.1
"""Standard deviation over items of a direction's effect."""


def rows() -> list[Record]:
    """All of them."""
    draw = np.random.default_rng(5)
    found = simulated(draw, OWN * np.eye(N_FACETS))
    summary = selectivity_index(found).row(0, named=True)
    own = found.effect[found.rows, found.own]
    yes = simulated(draw, np.zeros((N_FACETS, N_FACETS)), yes=0.4)
    alike = selectivity_index(simulated(draw, np.full((N_FACETS, N_FACETS), OWN))).row(0, named=True)
    inside = np.array([float(summary["low"] <= summary["index"] <= summary["high"])])
    return [
        largest("planted selectivity: own effects off by", np.abs(own - OWN), 4 * NOISE / (2 * ITEMS_A_KEY) ** 0.5),
        smallest("planted selectivity: index", np.array([summary["index"]]), 0.8 * OWN, f"planted {OWN}"),
        largest("planted selectivity: p", np.array([summary["p"]]), 0.01),
        smallest("planted selectivity: estimate in its interval", inside, 1.0),
        largest("  every facet moved alike: index", np.array([alike["index"]]), 0.05),
        largest("  yea-saying alone: trait effect", np.abs(yes.effect), 4 * NOISE / (2 * ITEMS_A_KEY) ** 0.5),
        false_alarms(draw),
    ]


def false_alarms(draw: np.random.Generator, n: int = 200) -> Record:
    """Share of p <= .05 where directions move facets at random."""
    hits = 0
    for _ in range(n):
        found = simulated(draw, 0.1 * draw.normal(size=(N_FACETS, N_FACETS)), n_resamples=20)
        hits += selectivity_index(found, n_permutations=199)["p"][0] <= 0.05
    low, high = stats.binomtest(hits, n).proportion_ci(0.95)
    rate = hits / n
    return Record(
        "  nothing selective planted: p <= .05", rate, low, high, 0.05, 0.01 <= rate <= 0.1, n, "accepted .01 to .1"
    )


def simulated(
    draw: np.random.Generator, effects: np.ndarray, *, yes: float = 0.0, n_resamples: int = 1000
) -> Selectivity:
    """What is found where direction d moves facet f by `effects[d, f]` at c = .1, and yea-saying by `yes`."""
    names = [f"facet {number}" for number in range(N_FACETS)]
    facet, key = np.repeat(np.arange(N_FACETS), 2 * ITEMS_A_KEY), np.tile([1, -1], N_FACETS * ITEMS_A_KEY)
    planted = np.vstack([effects, np.zeros((N_RANDOM, N_FACETS))])[:, facet].T  # item, direction
    moved = key[:, None] * planted + yes + NOISE * draw.normal(size=planted.shape)
    base = draw.uniform(-0.3, 0.3, (len(facet), 1))
    agreement = np.stack([base - moved, base + 0 * moved, base + moved], axis=2)
    return selectivity(
        agreement,
        [names[number] for number in facet],
        key,
        directions=[*names, *(f"random {number}" for number in range(N_RANDOM))],
        steered=[*names, *[None] * N_RANDOM],
        coefficients=(-0.1, 0.0, 0.1),
        at=0.1,
        n_resamples=n_resamples,
    )
