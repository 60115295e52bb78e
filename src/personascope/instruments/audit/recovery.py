"""Facet recovery: is an item nearest to the facet that it is filed under?

Nearest centroid, the item and its near copies left out of every centroid; each facet's definition counts as one more
item of it. Short texts share few words, so many a good item is nearer to a neighbour. Therefore the cosines become
probabilities, as sharp as this very bank bears out, and only an item whose own facet is improbable is doubted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from personascope.instruments.audit.similarity import TextVectors, pair_cosines

MIN_ITEMS = 4
"""Facets with fewer items have no centroid to speak of."""


@dataclass(frozen=True)
class FacetRecovery:
    """How near each item is to each facet.

    Args:
        facets: names, in the order of the columns.
        cosine: of each item with each facet's centroid, shape (item, facet).
        own: column of the facet that the item is filed under, shape (item,).
    """

    facets: tuple[str, ...]
    cosine: Float[np.ndarray, "item facet"]
    own: Int[np.ndarray, " item"]

    @property
    def own_probability(self) -> Float[np.ndarray, " item"]:
        """Probability of the facet that the item is filed under, shape (item,)."""
        return np.asarray(self.probability[np.arange(len(self.own)), self.own])

    @property
    def wrong_probabilities(self) -> Float[np.ndarray, " label"]:
        """Probabilities of all facets that items are not filed under: what a wrong label would get."""
        mask = np.ones(self.cosine.shape, dtype=bool)
        mask[np.arange(len(self.own)), self.own] = False
        return np.asarray(self.probability[mask])

    @property
    def margin(self) -> Float[np.ndarray, " item"]:
        """Cosine with the own facet minus that with the nearest other one, shape (item,). Negative: misfiled?"""
        rows = np.arange(len(self.own))
        others = self.cosine.copy()
        others[rows, self.own] = -np.inf
        return np.asarray(self.cosine[rows, self.own] - others.max(axis=1))

    @cached_property
    def probability(self) -> Float[np.ndarray, "item facet"]:
        """softmax(cosine / T), T fitted to the labels of the bank by maximum likelihood; shape (item, facet)."""
        rows = np.arange(len(self.own))

        def loss(log_t: float) -> float:
            return -float(log_softmax(self.cosine / np.exp(log_t), axis=1)[rows, self.own].mean())

        best = minimize_scalar(loss, bounds=(-7.0, 2.0), method="bounded")
        return np.asarray(np.exp(log_softmax(self.cosine / np.exp(best.x), axis=1)))

    @property
    def rank(self) -> Int[np.ndarray, " item"]:
        """Place of the own facet among all, 1 for the nearest, shape (item,)."""
        own = self.cosine[np.arange(len(self.own)), self.own]
        return np.asarray(1 + (self.cosine > own[:, None]).sum(axis=1))

    @property
    def accuracy(self) -> float:
        """Share of items that are nearest to their own facet."""
        return float((self.rank == 1).mean())

    def nearest_other(self, item: int) -> str:
        """The nearest facet but the own one."""
        others = self.cosine[item].copy()
        others[self.own[item]] = -np.inf
        return self.facets[int(others.argmax())]


def recover_facets(
    vectors: TextVectors,
    facets: Sequence[str],
    cluster: Int[np.ndarray, " item"],
    *,
    extra: Mapping[str, TextVectors] | None = None,
) -> FacetRecovery | None:
    """Cosines of every item with every facet's centroid, itself and its cluster left out.

    Args:
        vectors: unit rows, shape (item, feature).
        facets: facet of each item.
        cluster: number of the duplicate cluster of each item, shape (item,).
        extra: further rows of a facet, of shape (1, feature), that belong to its centroid (its definition).

    Returns:
        None when fewer than two facets have `MIN_ITEMS` items.
    """
    names, own = np.unique(np.asarray(facets), return_inverse=True)
    n_items, n_facets = len(own), len(names)
    if (np.bincount(own, minlength=n_facets) >= MIN_ITEMS).sum() < 2:
        return None
    sums = _sum_rows(vectors, own, n_facets)
    if extra:
        blank = sparse.csr_matrix((1, vectors.shape[1]), dtype=np.float32)
        sums = (sums + sparse.vstack([extra.get(str(name), blank) for name in names])).tocsr()
    dots = np.asarray((vectors @ sums.T).toarray() if sparse.issparse(sums) else vectors @ sums.T, dtype=np.float64)
    squares = np.broadcast_to(pair_cosines(sums, sums), (n_items, n_facets)).copy()
    # what a cluster adds to one facet's sum is taken out again for each of its members
    cells, cell = np.unique(np.stack([cluster, own], axis=1), axis=0, return_inverse=True)
    parts = _sum_rows(vectors, cell.ravel(), len(cells))
    item, part = _members(cluster, cells[:, 0])
    dots[item, cells[part, 1]] -= pair_cosines(vectors[item], parts[part])
    less = pair_cosines(parts, parts) - 2 * pair_cosines(parts, sums[cells[:, 1]])
    squares[item, cells[part, 1]] += less[part]
    norms = np.sqrt(np.maximum(squares, 0))
    # a facet left empty resembles nothing; rounding leaves a hair of length where everything was taken out
    cosine = np.where(norms > 1e-3, dots / np.maximum(norms, 1e-3), -1.0)
    return FacetRecovery(tuple(str(name) for name in names), cosine, np.asarray(own, dtype=np.int64))


def _sum_rows(vectors: TextVectors, codes: Int[np.ndarray, " item"], n_groups: int) -> TextVectors:
    n = len(codes)
    member = sparse.csr_matrix((np.ones(n, dtype=np.float32), (codes, np.arange(n))), shape=(n_groups, n))
    return member @ vectors


def _members(
    cluster: Int[np.ndarray, " item"], of_part: Int[np.ndarray, " part"]
) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]:
    """All pairs of an item and a part (cluster x facet) of its own cluster."""
    order = np.argsort(of_part, kind="stable")
    first = np.searchsorted(of_part[order], cluster, side="left")
    last = np.searchsorted(of_part[order], cluster, side="right")
    counts = last - first
    item = np.repeat(np.arange(len(cluster)), counts)
    offset = np.arange(len(item)) - np.repeat(np.cumsum(counts) - counts, counts)
    return item, order[np.repeat(first, counts) + offset]
