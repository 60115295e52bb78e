"""Wilson's interval of shares, many at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from personascope.measures.intervals import CONFIDENCE


def wilson(
    share: Float[np.ndarray, " share"], n: Float[np.ndarray, " share"]
) -> tuple[Float[np.ndarray, " share"], Float[np.ndarray, " share"]]:
    """95 % score interval (Wilson 1927) of each share, by statsmodels; NaN where n = 0.

    Args:
        share: shares in [0, 1], shape (share,); what stands where n = 0 is not looked at.
        n: independent observations behind each. Where several answers hang together (a pair asked in both orders),
            their number is that of the pairs, which makes the interval cautious.

    Returns:
        (low, high), each of shape (share,).
    """
    from statsmodels.stats.proportion import proportion_confint  # slow to import

    known = n > 0
    low, high = np.full(len(n), np.nan), np.full(len(n), np.nan)
    if known.any():
        some = n[known]
        low[known], high[known] = proportion_confint(share[known] * some, some, alpha=1 - CONFIDENCE, method="wilson")
    low[known & (share == 0)], high[known & (share == 1)] = 0.0, 1.0  # where rounding leaves 1e-17
    return low, high
