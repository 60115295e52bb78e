"""Specification curve: one effect under every wording, order and read-out, not only under the one that was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.errors import DataError
from personascope.measures.multiplicity import EXACT_LIMIT, N_FLIPS, sign_batches
from personascope.measures.tables import require_columns, require_unique

ROBUST_SHARE = 0.9


@dataclass(frozen=True)
class SpecificationCurve:
    """Effects of each group under all specifications (Simonsohn, Simmons & Nelson 2020).

    Args:
        curve: the given rows with columns rank (1 = smallest effect of its group), same_sign (as the group's median)
            and significant (the interval excludes 0), sorted by group and effect.
        summary: one row per group: its name, median, smallest, largest, share_same_sign, share_significant (interval
            excludes 0 on the median's side), robust, n_specifications, p_joint where differences were given.
        by: column that names the groups.
    """

    curve: pl.DataFrame
    summary: pl.DataFrame
    by: str

    def frame(self) -> pl.DataFrame:
        """The curve with its group's summary beside each row."""
        return self.curve.join(self.summary, on=self.by, maintain_order="left")


def specification_curve(
    table: pl.DataFrame,
    specification: Sequence[str],
    by: str = "facet",
    *,
    effect: str = "difference",
    robust_share: float = ROBUST_SHARE,
    differences: Mapping[Any, Float[np.ndarray, "specification item"]] | None = None,
    n_flips: int = N_FLIPS,
    seed: int = 0,
) -> SpecificationCurve:
    """Order each group's effects over specifications and say how far they agree.

    Args:
        table: one row per specification and group: the specification columns (phrasing, order, read-out ...), `by`,
            the effect, low, high.
        specification: columns that together name a specification.
        by: column of groups (facets). For one effect alone, give a column with one value.
        effect: column of effects.
        robust_share: a group is robust when at least this share of effects has the sign of the median.
        differences: per group, each item's share of the effect under each specification, shape
            (specification, item); gives p_joint by `joint_p`.
        n_flips: random sign patterns for p_joint.
        seed: of the random patterns.

    Raises:
        DataError: missing columns, values that are null or NaN, a specification that occurs twice in a group or is
            missing from one, differences that do not match the groups.
    """
    require_columns(table, [*specification, by, effect, "low", "high"])
    require_unique(table, [*specification, by])
    _require_complete(table, specification, by)
    median = pl.col(effect).median().over(by)
    curve = (
        table.with_row_index("_place")
        .with_columns(
            _place=pl.col("_place").min().over(by),
            rank=pl.col(effect).rank("ordinal").over(by).cast(pl.Int64),
            same_sign=(pl.col(effect).sign() == median.sign()) & (median != 0),
            significant=(pl.col("low") > 0) | (pl.col("high") < 0),
        )
        .sort("_place", "rank")
        .drop("_place")
    )
    summary = curve.group_by(by, maintain_order=True).agg(
        median=pl.col(effect).median(),
        smallest=pl.col(effect).min(),
        largest=pl.col(effect).max(),
        share_same_sign=pl.col("same_sign").mean(),
        share_significant=(pl.col("significant") & pl.col("same_sign")).mean(),
        n_specifications=pl.len(),
    )
    summary = summary.with_columns(robust=pl.col("share_same_sign") >= robust_share)
    if differences is not None:
        _require_differences(summary, by, differences)
        p = [joint_p(differences[name], n_flips=n_flips, seed=seed) for name in summary[by]]
        summary = summary.with_columns(p_joint=pl.Series(p, dtype=pl.Float64))
    return SpecificationCurve(curve, summary, by)


def joint_p(differences: Float[np.ndarray, "specification item"], *, n_flips: int = N_FLIPS, seed: int = 0) -> float:
    """Two-sided p of the median effect over specifications, from sign flips that all specifications share.

    The effects of one set of items under many specifications are far from independent; flipping each item's sign in
    all of them at once keeps their dependence (Simonsohn, Simmons & Nelson 2020, with sign flips for their shuffles).

    Args:
        differences: each item's share of each specification's effect, shape (specification, item); rows sum to the
            effects.
        n_flips: random sign patterns; all 2^n are taken for n <= 12 items.
        seed: of the random patterns.

    Raises:
        DataError: no specification or item, or values that are not finite (with their count).
    """
    n_bad = int((~np.isfinite(differences)).sum())
    if n_bad or not differences.size:
        raise DataError(
            f"{n_bad} of {differences.size} differences are NaN or infinite.",
            "Every item must have been asked under every specification.",
            "Leave items out that were not, for all specifications, and report how many.",
        )
    n, hits = differences.shape[1], 0
    limit = abs(float(np.median(differences.sum(axis=1)))) - 1e-12 * float(np.abs(differences).sum())
    for signs in sign_batches(n, n_flips=n_flips, seed=seed):
        hits += int((np.abs(np.median(signs @ differences.T, axis=1)) >= limit).sum())
    return hits / 2**n if n <= EXACT_LIMIT else (1 + hits) / (1 + n_flips)


def _require_complete(table: pl.DataFrame, specification: Sequence[str], by: str) -> None:
    every = table.select(specification).unique().join(table.select(by).unique(), how="cross")
    missing = every.join(table, on=[*specification, by], how="anti").sort(pl.all())
    if missing.height:
        raise DataError(
            f"{missing.height} of {every.height} effects are missing, first {missing.row(0, named=True)}.",
            "Shares over specifications compare groups only when each was tried under all of them.",
            "Run the missing specification, or leave it out for all groups.",
        )


def _require_differences(summary: pl.DataFrame, by: str, differences: Mapping[Any, np.ndarray]) -> None:
    wrong = [
        name
        for name, n in summary.select(by, "n_specifications").iter_rows()
        if name not in differences or len(differences[name]) != n
    ]
    if wrong:
        raise DataError(
            f"The differences of {len(wrong)} groups do not match their specifications, first {wrong[0]!r}.",
            "The joint p needs one row of item differences for each specification.",
            "Pass them for every group, or none at all.",
        )
