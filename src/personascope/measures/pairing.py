"""Items paired across personas: differences in agreement by facet or domain, with keys and near duplicates kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int, Shaped

from personascope.errors import DataError, nearest
from personascope.measures.intervals import clusters_by_cell, resampled_means
from personascope.measures.tables import require_items


@dataclass(frozen=True)
class PairedGroup:
    """The items of one facet or domain with their differences under the contrasts that asked the same of them.

    Args:
        name: value of the grouping column.
        contrasts: positions of the contrasts, one for each column of d.
        d: raw agreement under the persona minus under the reference, shape (item, contrast).
        cells: facet x key of each item, 0 .. len(signs) - 1.
        signs: key of each cell; a group that has a trait has as many cells of either key.
        clusters: code of each item's cluster of near duplicates, the same in all groups.
        left_out: facets of a domain that have items of one key only.
    """

    name: Any
    contrasts: tuple[int, ...]
    d: Float[np.ndarray, "item contrast"]
    cells: Int[np.ndarray, " item"]
    signs: Float[np.ndarray, " cell"]
    clusters: Int[np.ndarray, " item"]
    left_out: tuple[str, ...]

    @property
    def has_trait(self) -> bool:
        """Whether there are items of both keys, without which trait and yea-saying cannot be told apart."""
        return len(self.signs) > 0 and float(self.signs.sum()) == 0

    @property
    def has_interval(self) -> bool:
        """Whether the spread can be seen: at least two independent items in each cell."""
        return self.has_trait and int(clusters_by_cell(self.cells, self.clusters).min()) > 1

    @property
    def n_clusters(self) -> int:
        """Number of independent items."""
        return len(np.unique(self.clusters))

    @property
    def weights(self) -> Float[np.ndarray, " cell"]:
        """Coefficients of the cell means in the trait difference: the mean over facets of (d+ - d-) / 2."""
        return np.asarray(self.signs / max(1, len(self.signs)))

    @property
    def shares(self) -> Float[np.ndarray, "item contrast"]:
        """What each item adds to the difference; the shares sum to it."""
        return np.asarray((self.weights / np.bincount(self.cells))[self.cells, None] * self.d)

    def resampled(self, n_resamples: int, seed: int) -> Float[np.ndarray, "resample contrast"]:
        """Trait difference in each resample of the cluster bootstrap."""
        means = resampled_means(self.d, self.cells, self.clusters, n_resamples=n_resamples, seed=seed)
        return np.asarray(np.einsum("rck,c->rk", means, self.weights))


def paired_groups(
    items: pl.DataFrame, pairs: Sequence[tuple[str, str]], by: str, *, cluster: str | None = None
) -> list[PairedGroup]:
    """Items by group of first appearance, each group's in order of id; arguments and errors of `paired_contrasts`."""
    described = [by, *(["facet"] if by == "domain" else []), *([cluster] if cluster else [])]
    require_items(items, also=["facet"] if by == "domain" else [], nullable=[by, *([cluster] if cluster else [])])
    _require_one_description(items, ["key", *described])
    about = items.unique("item", keep="first", maintain_order=True).filter(pl.col(by).is_not_null())
    names = about[by].unique(maintain_order=True).to_list()
    about = about.sort("item")
    answers = about.select("item")
    for place, (persona, reference) in enumerate(pairs):
        paired = pair_items(items, persona, reference).select("item", pl.col("d").alias(f"d{place}"))
        answers = answers.join(paired, on="item", how="left", maintain_order="left")
    d = answers.drop("item").to_numpy().astype(np.float64).reshape(len(about), len(pairs))
    clusters = np.arange(len(about)) if cluster is None else _cluster_codes(about, cluster)
    key = about["key"].to_numpy()
    facet = about["facet"].to_numpy() if by == "domain" else np.zeros(len(about), dtype=np.int64)
    groups: list[PairedGroup] = []
    for name in names:
        rows = np.flatnonzero((about[by] == name).to_numpy())
        asked = ~np.isnan(d[rows])
        # Contrasts that asked the same items share their resamples.
        for pattern in {column.tobytes(): column for column in asked.T if column.any()}.values():
            which = tuple(np.flatnonzero((asked == pattern[:, None]).all(axis=0)).tolist())
            used, cells, signs, left_out = _cells(key[rows[pattern]], facet[rows[pattern]], by == "domain")
            kept = rows[pattern][used]
            groups.append(PairedGroup(name, which, d[kept][:, which], cells, signs, clusters[kept], left_out))
    if not groups:
        raise DataError(f"There is nothing to contrast: {len(pairs)} pairs, no item with a {by}.", "", "Pass both.")
    return groups


def pair_items(items: pl.DataFrame, persona: str, reference: str) -> pl.DataFrame:
    """Items of both personas with columns theirs (the reference's agreement) and d (agreement minus theirs).

    Raises:
        DataError: a persona without answers, or items that only one of the two answered, by name.
    """
    known = items["persona"].unique().sort().to_list()
    for name in (persona, reference):
        if name not in known:
            raise DataError(
                f"No answers of persona {name!r}.{nearest(name, known)}", f"The table has {known}.", "Ask it first."
            )
    ours, theirs = (items.filter(pl.col("persona") == name) for name in (persona, reference))
    unpaired = sorted(set(ours["item"]) ^ set(theirs["item"]))
    if unpaired:
        raise DataError(
            f"{len(unpaired)} items were answered by only one of {persona!r} and {reference!r}: "
            f"{', '.join(map(str, unpaired[:10]))}{' ...' if len(unpaired) > 10 else ''}.",
            "A paired contrast compares answers to the same items.",
            "Ask the missing items, or leave them out for both personas.",
        )
    answers = theirs.select("item", theirs="agreement")
    return ours.join(answers, on="item", maintain_order="left").with_columns(d=pl.col("agreement") - pl.col("theirs"))


def _require_one_description(items: pl.DataFrame, columns: Sequence[str]) -> None:
    several = items.select("item", *columns).unique()
    several = several.filter(several["item"].is_duplicated())
    if several.height:
        raise DataError(
            f"Item {several['item'].min()!r} is described in two ways: {', '.join(columns)} differ between its rows.",
            "A paired contrast needs one key and one group for each item, whoever answered it.",
            "Join the columns from one item bank.",
        )


def _cluster_codes(about: pl.DataFrame, cluster: str) -> Int[np.ndarray, " item"]:
    """Codes of the clusters; an item without one gets a code that no other has."""
    names = {name: code for code, name in enumerate(about[cluster].drop_nulls().unique().sort())}
    alone = len(names)
    return np.array([alone + row if name is None else names[name] for row, name in enumerate(about[cluster])])


def _cells(
    key: Int[np.ndarray, " item"], facet: Shaped[np.ndarray, " item"], drop_one_key: bool
) -> tuple[Int[np.ndarray, " used"], Int[np.ndarray, " used"], Float[np.ndarray, " cell"], tuple[str, ...]]:
    """Positions of the used items, their cells (facet x key), the cells' keys, and the facets that were left out."""
    both = {name: len(np.unique(key[facet == name])) == 2 for name in np.unique(facet)}
    left_out = tuple(str(name) for name, ok in both.items() if not ok) if drop_one_key else ()
    used = np.flatnonzero([not drop_one_key or both[name] for name in facet])
    if not len(used):
        return used, used, np.zeros(0), left_out
    found, cells = np.unique(np.column_stack([codes_of(facet[used]), -key[used]]), axis=0, return_inverse=True)
    return used, cells.reshape(-1).astype(np.int64), -found[:, 1].astype(np.float64), left_out


def codes_of(labels: Shaped[np.ndarray, " item"]) -> Int[np.ndarray, " item"]:
    """Labels as codes 0 .. n - 1 in their order."""
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)
