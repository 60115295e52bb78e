"""Equivalence: whether two personas answer alike within a bound, which a non-significant difference does not show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy import stats

from personascope.errors import DataError
from personascope.measures.contrasts import MIN_ITEMS, ONE_KEY
from personascope.measures.intervals import percentile_interval
from personascope.measures.multiplicity import Method, adjust
from personascope.measures.pairing import PairedGroup, paired_groups

BOUND = 0.10
_NUMBERS = ["difference", "low", "high", "bound", "p", "q"]
_Row: TypeAlias = dict[str, Any]


def equivalence(
    items: pl.DataFrame,
    pairs: Sequence[tuple[str, str]] = (("meta", "self"),),
    by: str = "facet",
    *,
    bound: float = BOUND,
    alpha: float = 0.05,
    method: Literal["t", "bootstrap"] = "t",
    cluster: str | None = None,
    correction: Method = "bh",
    min_items: int = MIN_ITEMS,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> pl.DataFrame:
    """Two one-sided tests that the trait difference of each group lies within (-bound, bound) (Schuirmann 1987).

    The difference is that of `paired_contrasts`, (d+ - d-) / 2. Method "t" tests the means d+/2 and d-/2 against each
    other with Welch's degrees of freedom (`statsmodels` ttost_ind), so a change in yea-saying does not count as spread.
    Method "bootstrap" asks whether the 1 - 2 alpha percentile interval lies within the bound; its p is the larger share
    of resamples beyond either bound.

    Args:
        items: as for `paired_contrasts`.
        pairs: (persona, reference) for each contrast.
        by: column that groups items.
        bound: smallest difference of interest in agreement units on [-1, 1]; .10 is about .3 human standard deviations.
        alpha: level of each one-sided test.
        method: "bootstrap" is needed for domains and clusters, whose items are not independent or not of one mean.
        cluster: as for `paired_contrasts`.
        correction: gives q over the groups of one contrast.
        min_items: fewest independent items for a test.
        n_resamples: bootstrap resamples.
        seed: of the bootstrap.

    Returns:
        One row per contrast and group: contrast, persona, reference, `by`, difference, low, high (1 - 2 alpha
        interval), bound, p, q, equivalent (p <= alpha or, for the bootstrap, interval within the bound; not
        corrected), n, n_clusters, untested (why p is null).

    Raises:
        DataError: as `paired_contrasts`; a bound or level out of range; "t" with clusters or domains.
    """
    _require_settings(bound, alpha, method, by, cluster)
    rows: list[tuple[int, _Row]] = []
    for group in paired_groups(items, pairs, by, cluster=cluster):
        resampled = None
        if method == "bootstrap" and group.has_interval:
            resampled = group.resampled(n_resamples, seed)
        for k, place in enumerate(group.contrasts):
            estimates = None if resampled is None else resampled[:, k]
            persona, reference = pairs[place]
            row = {"contrast": f"{persona} - {reference}", "persona": persona, "reference": reference, by: group.name}
            rows.append((place, row | _test(group, k, bound, alpha, estimates, min_items)))
    rows.sort(key=lambda row: row[0])
    for place in range(len(pairs)):
        tested = [row for c, row in rows if c == place and row["p"] is not None]
        for row, q in zip(tested, adjust(np.array([row["p"] for row in tested]), correction), strict=True):
            row["q"] = float(q)
    schema: dict[str, Any] = dict.fromkeys(_NUMBERS, pl.Float64)
    schema |= {"equivalent": pl.Boolean, "untested": pl.String, by: items.schema[by]}
    table = pl.DataFrame([row for _, row in rows], schema_overrides=schema, infer_schema_length=None)
    return table.select("contrast", "persona", "reference", by, *_NUMBERS, "equivalent", "n", "n_clusters", "untested")


def _test(
    group: PairedGroup,
    k: int,
    bound: float,
    alpha: float,
    estimates: Float[np.ndarray, " resample"] | None,
    min_items: int,
) -> _Row:
    row: _Row = dict.fromkeys([*_NUMBERS, "equivalent", "untested"])
    row |= {"bound": bound, "n": len(group.d), "n_clusters": group.n_clusters}
    if not group.has_trait:
        return row | {"untested": ONE_KEY}
    row["difference"] = float(group.shares[:, k].sum())
    if group.n_clusters < min_items:
        return row | {"untested": f"{group.n_clusters} independent items, fewer than {min_items}"}
    if not group.has_interval:
        return row | {"untested": "a single independent item of one key"}
    if estimates is not None:
        low, high = percentile_interval(estimates, 1 - 2 * alpha)
        beyond = max(int((estimates >= bound).sum()), int((estimates <= -bound).sum()))
        p = (1 + beyond) / (1 + int((~np.isnan(estimates)).sum()))
        inside = low is not None and high is not None and -bound < low and high < bound
        return row | {"low": low, "high": high, "p": p, "equivalent": inside}
    plus, minus = (group.d[group.signs[group.cells] == sign, k] / 2 for sign in (1, -1))
    if max(np.ptp(plus), np.ptp(minus)) <= 1e-12:
        return row | {"untested": "all items of a key moved alike"}
    from statsmodels.stats.weightstats import ttost_ind

    p = float(ttost_ind(plus, minus, -bound, bound, usevar="unequal")[0])
    interval = stats.ttest_ind(plus, minus, equal_var=False).confidence_interval(1 - 2 * alpha)
    return row | {"low": float(interval.low), "high": float(interval.high), "p": p, "equivalent": p <= alpha}


def _require_settings(bound: float, alpha: float, method: str, by: str, cluster: str | None) -> None:
    if not (bound > 0 and math.isfinite(bound) and 0 < alpha < 0.5):
        raise DataError(
            f"A bound of {bound} and a level of {alpha}.",
            "The bound is the smallest difference of interest, above 0; the level of a one-sided test is below .5.",
            f"Pass for instance bound={BOUND}, alpha=0.05.",
        )
    if method not in ("t", "bootstrap"):
        raise DataError(f"Unknown method {method!r}.", "There are t and bootstrap.", "Pass one of them.")
    if method == "t" and (cluster is not None or by == "domain"):
        raise DataError(
            f"The t-test cannot take {'clusters' if cluster is not None else 'domains'}.",
            "It supposes independent items with one mean for each key.",
            'Pass method="bootstrap".',
        )
