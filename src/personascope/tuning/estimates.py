"""A number with its interval, beside what the plain formula would have said, or the reason why it is not given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from personascope.measures.intervals import percentile_interval


@dataclass(frozen=True)
class Estimate:
    """A statistic from products between halves of the items.

    Args:
        value: None where it is refused.
        low: 2.5th percentile of a cluster bootstrap over items.
        high: 97.5th percentile.
        naive_biased: the plain formula on all items, shown to be compared: the error of scores that both sides share
            enters it as if it were movement.
        refused: why there is no value.
    """

    value: float | None
    low: float | None
    high: float | None
    naive_biased: float | None
    refused: str | None = None


def estimate(value: float, draws: Float[np.ndarray, " resample"], naive: float, refused: str | None = None) -> Estimate:
    """An estimate from its value and bootstrap draws; a value that is not finite is refused."""
    plain = float(naive) if np.isfinite(naive) else None
    if refused is None and not np.isfinite(value):
        refused = "a squared length without its error is not above 0"
    if refused is not None:
        return Estimate(None, None, None, plain, refused)
    return Estimate(float(value), *percentile_interval(draws), plain)
