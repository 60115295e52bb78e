"""Steering matched to a movement: on a known response, beyond its peak, and on the side where it falls."""

from __future__ import annotations

import numpy as np

from benchmarks.planted.held import every, near
from benchmarks.records import Record, largest
from personascope.tuning.matching import TOLERANCE, matched_coefficient

GRID = (0.1, 0.2, 0.4, 0.8, 1.6)
PEAK = 0.5
"""Where the response turns back."""


def rows() -> list[Record]:
    """All of them."""
    wanted = [0.1, 0.3, 0.6, 0.9]
    found = [matched_coefficient(turning, target, GRID) for target in wanted]
    missed = [abs((one.response or 0) - target) / target for one, target in zip(found, wanted, strict=True)]
    minus = matched_coefficient(lambda c: -turning(-c), -0.6, [-c for c in GRID])
    beyond = matched_coefficient(turning, 1.1, GRID)
    falling = matched_coefficient({0.1: 0.2, 0.2: 0.1, 0.4: 0.5, 0.8: 0.9}.__getitem__, 0.5, GRID[:4])
    below = [one.coefficient is not None and one.coefficient < PEAK for one in found]
    return [
        largest("matched push: response off the target", np.array(missed), TOLERANCE, "of the target"),
        every("matched push: before the peak, though both sides reach it", below, ""),
        near("matched push, the other way", minus.coefficient, -coefficient(0.6), 0.01, "closed form"),
        every("target above the peak: said to be out of reach", [beyond.coefficient is None], beyond.why_none),
        near("  its peak", beyond.reachable, turning(0.4), 1e-9, "highest on the grid, at .4"),
        every(
            "target that only comes again after the curve turned: refused",
            [falling.coefficient is None],
            falling.why_none,
        ),
    ]


def turning(c: float) -> float:
    """Rises to 1 at the peak and falls again."""
    return float(c / PEAK * np.exp(1 - c / PEAK))


def coefficient(response: float) -> float:
    """The smaller c with this response: c = -PEAK W0(-response / e), by Lambert's function."""
    from scipy.special import lambertw

    return float(-PEAK * lambertw(-response / np.e).real)
