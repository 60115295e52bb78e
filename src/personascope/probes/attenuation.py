"""Correlations freed of the errors of measurement that lower them.

If x and y are measured with independent errors and reliabilities a and b, their correlation is sqrt(a b) times that of
what they measure; dividing by it corrects (Spearman 1904, "The proof and measurement of association between two
things"). Without it, two personas whose utilities are noisy seem to agree less than they do, and a probe that averages
the noise away seems to carry more than the utilities themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from personascope.errors import DataError

LOWEST_RELIABILITY = 0.1
"""Below this, one side alone would multiply r by more than 3, and the error of the reliability with it."""


def checked_reliabilities(personas: Sequence[str], given: Mapping[str, float] | None) -> Float[np.ndarray, " persona"]:
    """One reliability per persona, NaN where it is below `LOWEST_RELIABILITY` or not known.

    Args:
        personas: in the order wanted.
        given: reliability of each persona's utilities as they are used, from all pairs: a split-half correlation
            stepped up to all of them (`split_half`), not that of the halves. Estimates at or below 0 and NaN are let
            through, because split halves of noise give such numbers. None: all NaN.

    Raises:
        DataError: a persona without a reliability, or one above 1.
    """
    if given is None:
        return np.full(len(personas), np.nan)
    for name in personas:
        if name not in given or given[name] > 1:
            raise DataError(
                f"The reliability of persona {name!r} is {given.get(name, 'missing')}; given are {sorted(given)}.",
                "A reliability is a share of variance, at most 1.",
                "Give one for every persona (NaN where it is unknown), or none at all.",
            )
    values = np.array([given[name] for name in personas], dtype=np.float64)
    return np.asarray(np.where(values >= LOWEST_RELIABILITY, values, np.nan))


def joint_reliability(reliabilities: Float[np.ndarray, " persona"]) -> Float[np.ndarray, "persona persona"]:
    """Product of both reliabilities; 1 on the diagonal, where both sides have the same errors, not independent ones."""
    product = np.outer(reliabilities, reliabilities)
    np.fill_diagonal(product, np.where(np.isnan(reliabilities), np.nan, 1.0))
    return np.asarray(product)


def disattenuated(
    r: Float[np.ndarray, "*shape"], reliability: Float[np.ndarray, "*last"]
) -> Float[np.ndarray, "*shape"]:
    """The correlation r divided by sqrt(reliability), which broadcasts against it.

    The reliability is the product of both sides', or that of one side to correct that side only: the predictions of a
    probe are used as they are. Values above 1 stay: they say that a reliability is too low, or that rows are few.
    """
    return np.asarray(r / np.sqrt(reliability))
