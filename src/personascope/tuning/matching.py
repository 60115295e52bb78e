"""Behaviour-matched steering: the coefficient at which a push moves the model as far as training did.

Two ways of moving a model are compared at equal movement, or the comparison says which of them was turned up higher. A
response to steering rises, saturates and turns back, so the whole curve is looked at first, on a grid that goes outward
from 0, and the match is sought between the grid points before its peak, by bisection with interpolation (Brent's
method): a response costs a pass over all items. A target that is not reached there has no match: beyond the peak the
same movement is bought with damage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.optimize import brentq

from personascope.errors import DataError

TOLERANCE = 0.01
"""Of the target: a match is as near as that."""
MOST_STEPS = 40
"""Of the search between two grid points, after which floating-point numbers have no more to give."""


@dataclass(frozen=True)
class Match:
    """Where a response meets a target.

    Args:
        coefficient: the match; None where there is none.
        target: the response that was sought.
        response: the response at the match; None where there is none.
        peak: grid coefficient of the highest response in the target's sense before the curve first turns back.
        reachable: the response there.
        asked: every coefficient that was tried and its response, in the order of asking.
        why_none: why there is no match, or "".
    """

    coefficient: float | None
    target: float
    response: float | None
    peak: float
    reachable: float
    asked: tuple[tuple[float, float], ...]
    why_none: str

    def frame(self) -> pl.DataFrame:
        """One row per coefficient that was tried, ascending: coefficient, response, is_match, past_peak."""
        rows = sorted(self.asked)
        schema = {"coefficient": pl.Float64, "response": pl.Float64}
        frame = pl.DataFrame(rows, schema=schema, orient="row")
        c = pl.col("coefficient")
        return frame.with_columns(
            is_match=pl.lit(value=False) if self.coefficient is None else c == self.coefficient,
            past_peak=c.abs() > abs(self.peak),  # all have one sign; a peak of 0 is the model as it is
        )


def matched_coefficient(
    response: Callable[[float], float],
    target: float,
    grid: Sequence[float],
    *,
    tolerance: float = TOLERANCE,
) -> Match:
    """Find the smallest push whose response is the target.

    Args:
        response: of a coefficient: how far the model moved, in the target's unit, 0 at coefficient 0; asked once for
            every coefficient that is tried.
        target: movement to be matched, such as the share of the gap that training closed; not 0.
        grid: coefficients of one sign, without 0; the curve is read on them, outward.
        tolerance: the match may miss the target by this share of it.

    Returns:
        The match, or why there is none: the curve turns back, or ends, before the target, or jumps over it.

    Raises:
        DataError: a target of 0 or not finite, a grid that is empty or of both signs, a response that is not finite.
    """
    path = sorted({float(c) for c in grid}, key=abs)
    if not path or 0.0 in path or min(path) * max(path) < 0 or not np.isfinite(path).all():
        raise DataError(
            f"The grid {list(grid)} cannot be followed outward from 0.",
            "Coefficients of one sign are needed, without 0.",
            "Match + and - apart.",
        )
    if not np.isfinite(target) or target == 0:
        raise DataError(
            f"A movement of {target} cannot be matched.", "Any direction does nothing at coefficient 0.", ""
        )
    asked: list[tuple[float, float]] = []

    def at(c: float) -> float:
        value = float(response(c))
        if not np.isfinite(value):
            raise DataError(
                f"The response at coefficient {c:g} is {value}.", "", "Narrow the grid to the usable range."
            )
        asked.append((c, value))
        return value * float(np.sign(target))

    goal, low, peak = abs(target), (0.0, 0.0), (0.0, 0.0)
    found: tuple[float, float] | None = None
    turned, jump = False, ""
    for c in path:
        here = (c, at(c))
        if found is None and not turned and not jump:
            if here[1] >= goal:
                found = _between(at, low, here, goal, tolerance)
                jump = "" if found else f"the response jumps over it between {low[0]:g} and {c:g}"
            turned = here[1] < peak[1]
        if not turned and here[1] > peak[1]:
            peak = here
        low = here
    sign = float(np.sign(target))
    why = jump
    if found is None and not jump:
        why = (
            f"the response {'turns back' if turned else 'is largest'} at {peak[0]:g}, where it is {peak[1] * sign:.3g}"
        )
    return Match(
        coefficient=None if found is None else found[0],
        target=float(target),
        response=None if found is None else found[1] * sign,
        peak=peak[0],
        reachable=peak[1] * sign,
        asked=tuple(asked),
        why_none=why,
    )


def _between(
    at: Callable[[float], float], low: tuple[float, float], high: tuple[float, float], goal: float, tolerance: float
) -> tuple[float, float] | None:
    """A point from one below the goal to one not below it at which the response is near enough; None at a jump."""
    known = dict((low, high))
    near: list[tuple[float, float]] = []

    def missed(c: float) -> float:
        """0 where it is near enough, at which the search ends."""
        if c not in known:
            known[c] = at(c)
        if abs(known[c] - goal) > tolerance * goal:
            return known[c] - goal
        near.append((c, known[c]))
        return 0.0

    brentq(missed, low[0], high[0], maxiter=MOST_STEPS, disp=False)
    return near[0] if near else None
