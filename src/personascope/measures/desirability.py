"""How far agreement follows the desirability of items, once what is common to a facet and key is taken out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int
from scipy import stats

from personascope.errors import DataError
from personascope.measures.intervals import batch_size, percentile_interval
from personascope.measures.likert import item_answers
from personascope.measures.tables import require_columns, require_items

_Moments = tuple[Any, Any, Any]


@dataclass(frozen=True)
class WithinCells:
    """Agreement regressed on desirability within key and facet: slope and r with 95 % intervals over `n` items.

    All are None when no cell of facet and key holds two items that differ in desirability; r alone when the
    answers do not vary within cells.
    """

    slope: float | None
    slope_low: float | None
    slope_high: float | None
    r: float | None
    r_low: float | None
    r_high: float | None
    n: int


def within_cells(items: pl.DataFrame, *, n_resamples: int, seed: int) -> WithinCells:
    """Slope and correlation of agreement on desirability, fixed effects of facet x key swept out.

    With x and y the deviations of desirability and agreement from their means in the item's cell, slope =
    sum xy / sum x^2 and r = sum xy / sqrt(sum x^2 sum y^2): what is common to the items of a facet and key, trait
    and acquiescence, plays no part. Intervals by percentile bootstrap over items within cells.

    Args:
        items: one persona's items: columns item, facet, key, agreement, desirability (null: left out).
        n_resamples: bootstrap resamples.
        seed: of the bootstrap.
    """
    rated = items.filter(pl.col("desirability").is_not_null()).sort("facet", "key", "item").with_row_index("_row")
    x, y = (rated[name].to_numpy().astype(np.float64) for name in ("desirability", "agreement"))
    groups = rated.group_by("facet", "key", maintain_order=True)
    cells = [part["_row"].to_numpy().astype(np.int64) for _, part in groups if part.height > 1]
    n = sum(map(len, cells))
    sxx, sxy, syy = _moments(cells, x, y) if cells else (0.0, 0.0, 0.0)
    if sxx <= 1e-12:
        return WithinCells(None, None, None, None, None, None, n)

    def slope(*drawn: Int[np.ndarray, "*batch _"], axis: int) -> Any:  # noqa: ARG001 (scipy names it)
        xx, xy, _ = _moments(drawn, x, y)
        return np.where(xx > 1e-12, xy / np.where(xx > 1e-12, xx, 1), np.nan)

    def r(*drawn: Int[np.ndarray, "*batch _"], axis: int) -> Any:  # noqa: ARG001
        xx, xy, yy = _moments(drawn, x, y)
        defined = (xx > 1e-12) & (yy > 1e-12)
        return np.where(defined, xy / np.sqrt(np.where(defined, xx * yy, 1)), np.nan)

    low, high = _interval(cells, slope, n_resamples, seed)
    if syy <= 1e-12:
        return WithinCells(float(sxy / sxx), low, high, None, None, None, n)
    r_low, r_high = _interval(cells, r, n_resamples, seed)
    return WithinCells(float(sxy / sxx), low, high, float(sxy / np.sqrt(sxx * syy)), r_low, r_high, n)


def keyed_items(answers: pl.DataFrame) -> pl.DataFrame:
    """Answers of both orders averaged, with what is known of the items.

    Returns:
        `item_answers` with facet, key, desirability (null where unknown) and cluster.

    Raises:
        DataError: as `item_answers` and `require_items`, or an item with two facets, keys or ratings.
    """
    require_columns(answers, ["item", "facet", "key"])
    frame = answers
    if "desirability" not in frame.columns:
        frame = frame.with_columns(desirability=pl.lit(None, pl.Float64))
    own = pl.col("item").cast(pl.String)
    cluster = pl.coalesce(pl.col("cluster").cast(pl.String), own) if "cluster" in frame.columns else own
    known = frame.select(
        "item", "facet", "key", pl.col("desirability").cast(pl.Float64), cluster.alias("cluster")
    ).unique(maintain_order=True)
    twice = known.filter(known["item"].is_duplicated()).sort("item")
    if twice.height:
        raise DataError(
            f"Item {twice['item'][0]!r} is described in two ways: {twice.row(0)[1:]} and {twice.row(1)[1:]}.",
            "Every item has one facet, key, desirability and cluster, in this order, whoever answers it.",
            "Mend the item bank.",
        )
    rated = known.filter(pl.col("desirability").is_not_null())
    if rated.height:
        require_columns(rated, ["desirability"])
    items = item_answers(answers).join(known, on="item", maintain_order="left")
    require_items(items, also=["facet"], nullable=["desirability"])
    return items


def _moments(cells: Sequence[Int[np.ndarray, "*batch _"]], x: Any, y: Any) -> _Moments:
    """Sums of x^2, x y and y^2 around the means of the cells; `cells` holds row numbers, shape (..., item)."""
    sums: list[Any] = [0.0, 0.0, 0.0]
    for cell in cells:
        dx, dy = (v[cell] - v[cell].mean(axis=-1, keepdims=True) for v in (x, y))
        sums = [s + p.sum(axis=-1) for s, p in zip(sums, (dx * dx, dx * dy, dy * dy), strict=True)]
    return sums[0], sums[1], sums[2]


def _interval(cells: Sequence[Any], statistic: Any, n_resamples: int, seed: int) -> tuple[float | None, float | None]:
    """Percentile bootstrap of a statistic of row numbers, drawn within cells; undefined resamples are left out."""
    found = stats.bootstrap(
        tuple(cells),
        statistic,
        vectorized=True,
        n_resamples=n_resamples,
        batch=batch_size(sum(map(len, cells))),
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return percentile_interval(found.bootstrap_distribution)
