"""Items with one keyed score for each measurement of a model, before and after training: checked and in one order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Float, Int, Shaped

from personascope.errors import DataError
from personascope.measures.intervals import cell_means, clusters_by_cell
from personascope.measures.pairing import codes_of
from personascope.measures.tables import require_columns, require_items

Keys: TypeAlias = Literal["both", "positive", "negative"]
SHARES: Mapping[Keys, tuple[float, float]] = {"both": (0.5, 0.5), "positive": (1.0, 0.0), "negative": (0.0, 1.0)}
"""What the means of the + and of the - items add to a facet's score. "both" is the trait, (d+ - d-) / 2 in raw
agreement, from which yea-saying cancels; either key alone holds trait and yea-saying together."""

TOO_FEW = "fewer than 2 independent items of either key"
_DIFFERENT = (("after", "before"), ("ideal", "before"), ("other", "before"), ("other", "ideal"))


@dataclass(frozen=True, eq=False)
class MovementItems:
    """Items that have all measurements, in order of facet, key and id whatever the order of the rows was.

    Args:
        table: columns item, facet, key, cluster (a label; an item's own where it has no near duplicate) and one for
            each measurement.
        measurements: names of the measurements ("before", "ideal", "after" ...).
        values: keyed scores in [-1, 1], shape (item, measurement).
        cells: 2 f for + items and 2 f + 1 for - items of facet f, shape (item,).
        clusters: label of each item's cluster, shape (item,).
        facets: names, in order.
        left_out: facets without two independent items of either key, so that the halves cannot both have one.
        n_dropped: items that lack a measurement.
        clustered: whether clusters were given.
    """

    table: pl.DataFrame
    measurements: tuple[str, ...]
    values: Float[np.ndarray, "item measurement"]
    cells: Int[np.ndarray, " item"]
    clusters: Shaped[np.ndarray, " item"]
    facets: tuple[str, ...]
    left_out: tuple[str, ...]
    n_dropped: int
    clustered: bool

    def count(self, keys: Keys = "both") -> tuple[int, int]:
        """Number of items and of clusters."""
        used = np.isin(self.cells % 2, np.flatnonzero(SHARES[keys]))
        return int(used.sum()), len(np.unique(self.clusters[used]))

    def differences(self, *pairs: tuple[str, str]) -> Float[np.ndarray, "item difference"]:
        """First minus second measurement of each pair, by item."""
        at = self.measurements.index
        return np.column_stack([self.values[:, at(to)] - self.values[:, at(start)] for to, start in pairs])

    def profiles(self, *pairs: tuple[str, str], keys: Keys = "both") -> Float[np.ndarray, "facet difference"]:
        """Facet scores of the differences."""
        d = self.differences(*pairs)
        means = cell_means(np.ones((1, len(d))), d, self.cells)[0]
        shares = np.array(SHARES[keys])
        return np.asarray(np.einsum("fkd,k->fd", means.reshape(len(self.facets), 2, -1), shares))

    def errors(self, *pairs: tuple[str, str], keys: Keys = "both") -> Float[np.ndarray, "facet difference difference"]:
        """Covariance of the sampling errors of `profiles` within each facet.

        Items are the sample and each has all measurements, so the covariances come from the item differences
        themselves: they hold what pairs share ("before" in ideal - before and after - before) and what answers to one
        item have in common. With a facet's cell of k clusters and N items, the error of its mean is the sum over
        clusters of (deviations summed) / N, with variance k / (k - 1) times the sum of their squares; for clusters of
        one item this is s^2 / N.
        """
        d = self.differences(*pairs)
        means = cell_means(np.ones((1, len(d))), d, self.cells)[0]
        k, share = clusters_by_cell(self.cells, self.clusters), np.array(SHARES[keys])
        scale = share[self.cells % 2] / np.bincount(self.cells)[self.cells] * np.sqrt(k / (k - 1))[self.cells]
        facet, n = self.cells // 2, len(self.facets)
        parts, part = np.unique(codes_of(self.clusters) * n + facet, return_inverse=True)
        summed = np.zeros((len(parts), len(pairs)))
        np.add.at(summed, part, scale[:, None] * (d - means[self.cells]))
        errors = np.zeros((n, len(pairs), len(pairs)))
        np.add.at(errors, parts % n, np.einsum("pa,pb->pab", summed, summed))
        return errors

    def answers(self, *measurements: str) -> pl.DataFrame:
        """The table that paired statistics take: persona (the measurement), item, facet, key, cluster, agreement."""
        about = self.table.select("item", "facet", "key", "cluster", *measurements)
        long = about.unpivot(measurements, index=["item", "facet", "key", "cluster"], variable_name="persona")
        return long.with_columns(agreement=pl.col("key") * pl.col("value")).drop("value")


def movement_items(
    items: pl.DataFrame, measurements: Mapping[str, str], *, cluster: str | None = None, min_facets: int = 3
) -> MovementItems:
    """Check a table of keyed scores and put it in order.

    Args:
        items: one row per item: item, facet, key (+1 or -1), the cluster and the measurements' columns. Items with a
            null measurement are left out and counted.
        measurements: column of each measurement, by its name here.
        cluster: column that names each item's cluster of near duplicates (null: the item stands alone).
        min_facets: fewest facets with two independent items of either key.

    Raises:
        DataError: missing columns, NaN or infinite scores or scores outside [-1, 1], an item twice, a key other than
            +1 or -1, one measurement passed as two, or too few facets.
    """
    columns = list(dict.fromkeys(measurements.values()))
    nullable = [*([cluster] if cluster is not None else []), *columns]
    require_columns(items, list(dict.fromkeys(["item", "facet", "key", *nullable])), may_be_null=nullable)
    own = pl.format("item {}", pl.col("item"))
    label = own if cluster is None else pl.format("cluster {}", pl.col(cluster)).fill_null(own)
    scores = {name: pl.col(column).cast(pl.Float64) for name, column in measurements.items()}
    every = items.select("item", "facet", "key", cluster=label, **scores)
    table = every.drop_nulls(list(measurements)).sort("facet", -pl.col("key"), "item")
    if table.is_empty():
        raise DataError(
            f"None of {len(every)} items has all of {', '.join(columns)}.",
            "Movement compares the same items before and after training.",
            "Measure the same test items each time.",
        )
    for name in measurements:
        require_items(table.with_columns(persona=pl.lit(measurements[name]), agreement=pl.col(name)))
    _require_scores(table, measurements)
    facet, minus = (part.to_numpy().astype(np.int64) for part in (table["facet"].rle_id(), table["key"] < 0))
    clusters = table["cluster"].to_numpy().astype(str)
    k = np.zeros(2 * (int(facet.max()) + 1), dtype=np.int64)
    found = clusters_by_cell(2 * facet + minus, clusters)
    k[: len(found)] = found
    usable = k.reshape(-1, 2).min(axis=1) >= 2
    kept = usable[facet]
    names = table["facet"].cast(pl.String).unique(maintain_order=True).to_list()
    left_out = tuple(name for name, ok in zip(names, usable, strict=True) if not ok)
    _require_facets(int(usable.sum()), min_facets, left_out)
    table = table.filter(pl.Series(kept))
    return MovementItems(
        table=table,
        measurements=tuple(measurements),
        values=table.select(list(measurements)).to_numpy(),
        cells=2 * codes_of(facet[kept]) + minus[kept],
        clusters=clusters[kept],
        facets=tuple(name for name in names if name not in left_out),
        left_out=left_out,
        n_dropped=len(every) - int(every.drop_nulls(list(measurements)).height),
        clustered=cluster is not None,
    )


def _require_scores(table: pl.DataFrame, measurements: Mapping[str, str]) -> None:
    for name, column in measurements.items():
        largest = table[name].abs().max()
        if isinstance(largest, float) and largest > 1 + 1e-9:
            raise DataError(
                f"Scores of {column!r} reach {largest:.3g}.",
                "Keyed scores lie in [-1, 1]: key * (2 (rating - 1) / (K - 1) - 1); ratings and unkeyed answers do not "
                "say how much of the trait was shown.",
                "Score the answers first.",
            )
    for first, second in _DIFFERENT:
        if {first, second} <= set(measurements) and table[first].equals(table[second]):
            raise DataError(
                f"{first!r} (column {measurements[first]!r}) and {second!r} (column {measurements[second]!r}) hold the "
                f"same {table.height} scores.",
                "One measurement was passed twice, or the adapter was off when the second was taken.",
                "Pass two measurements; after training, measure with the adapter on.",
            )


def _require_facets(n: int, least: int, left_out: tuple[str, ...]) -> None:
    if n < least:
        raise DataError(
            f"{n} facets have two independent items of each key, fewer than {least}"
            + (f"; left out: {', '.join(left_out[:10])}{' ...' if len(left_out) > 10 else ''}." if left_out else "."),
            "Halves of a facet must share no item, and without both keys trait and yea-saying cannot be told apart.",
            "Test more items per facet and key, or more facets.",
        )
