"""Whether answers come as often as they are expected: of all options given about 20 %, one in five should be chosen."""

from __future__ import annotations

import numpy as np
import polars as pl
from jaxtyping import Integer

from personascope.errors import DataError
from personascope.instruments.option_codes import MISSING
from personascope.interviews.respondents import Probabilities
from personascope.measures.wilson import wilson


def calibration(p: Probabilities, truth: Integer[np.ndarray, "interview item"], n_bins: int = 8) -> pl.DataFrame:
    """Expected against observed, over all options of all answers, in bins of equally many.

    Args:
        p: expected probabilities of the options.
        truth: what was answered, options from 1, -1 where there is no answer.
        n_bins: of the probability.

    Returns:
        One row per bin: bin, p (mean expected), share (observed) with low and high (Wilson, 95 %), n, and in every row
        error: the mean distance of p from share over the options, by bin (expected calibration error, Naeini et al.
        2015, of all options).

    Raises:
        DataError: fewer answers than bins.
    """
    given = truth != MISSING
    if given.sum() < n_bins or n_bins < 1:
        raise DataError(f"{given.sum()} answers for {n_bins} bins.", "", "Give more answers, or take fewer bins.")
    expected = p[given].ravel()
    chosen = (np.arange(1, p.shape[-1] + 1) == truth[given][:, None]).ravel()
    order = np.argsort(expected, kind="stable")
    parts = np.array_split(order, n_bins)
    n = np.array([len(part) for part in parts], dtype=float)
    mean, share = (np.array([values[part].mean() for part in parts]) for values in (expected, chosen))
    low, high = wilson(share, n)
    error = float((np.abs(mean - share) * n).sum() / n.sum())
    columns = {"bin": range(1, n_bins + 1), "p": mean, "share": share, "low": low, "high": high, "n": n.astype(int)}
    return pl.DataFrame(columns).with_columns(error=pl.lit(error))
