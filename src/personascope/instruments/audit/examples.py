"""Labelled texts to learn from that are not audited: the poles of the facets, and items that raters have verified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from personascope.instruments.audit.similarity import cosine_blocks, spelling_vectors
from personascope.instruments.audit.wording import normal_form
from personascope.instruments.facet_definitions import FacetDefinition
from personascope.instruments.facets import DOMAIN_OF
from personascope.instruments.items import Item, ItemBank, load_items

_DEFINITION = "definition"


@dataclass(frozen=True)
class Examples:
    """Labelled texts beside the bank.

    Args:
        items: with facet and key.
        vectors: their rows by the encoder of the bank's vectors, shape (example, feature); None without an encoder.
        states: hidden states of the definitions, which come first, shape (definition, feature); None without a model.
    """

    items: tuple[Item, ...] = ()
    vectors: Any = None
    states: Any = None

    def of(self, facets: Sequence[str]) -> Examples:
        """Those of the given facets."""
        return self._kept([place for place, item in enumerate(self.items) if item.facet in facets])

    @property
    def n_poles(self) -> int:
        """How many are definitions; these come first."""
        return sum(item.source == _DEFINITION for item in self.items)

    def poles(self) -> Examples:
        """The definitions alone."""
        return self._kept(list(range(self.n_poles)))

    def _kept(self, kept: list[int]) -> Examples:
        rows = None if self.vectors is None else np.asarray(self.vectors)[kept]
        states = None if self.states is None else np.asarray(self.states)[[n for n in kept if n < self.n_poles]]
        return Examples(tuple(self.items[place] for place in kept), rows, states)

    @cached_property
    def verified(self) -> dict[str, Item]:
        """Verified items by the normal form of their text; definitions are not among them."""
        return {normal_form(item.text): item for item in self.items if item.source != _DEFINITION}

    def groups(self, texts: Sequence[str], cluster: Int[np.ndarray, " item"], threshold: float) -> Any:
        """Groups of bank and examples, in this order, shape (item + example,): a text and its near copies are one.

        Args:
            texts: of the bank.
            cluster: duplicate cluster of each of them.
            threshold: cosine of spelling from which on an example nearly copies an item.
        """
        if not self.items:
            return np.asarray(cluster, dtype=np.int64)
        n, n_clusters = len(texts), int(cluster.max()) + 1
        rows = spelling_vectors([*texts, *(item.text for item in self.items)])
        pairs = []
        for start, cosines in cosine_blocks(rows[n:], rows[:n]):
            example, item = np.nonzero(cosines >= threshold)
            pairs.append(np.stack([example + start + n_clusters, cluster[item]]))
        ends = np.concatenate(pairs, axis=1)
        size = n_clusters + len(self.items)
        graph = sparse.coo_matrix((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=(size, size))
        joined = connected_components(graph, directed=False)[1]
        return np.concatenate([joined[cluster], joined[n_clusters:]]).astype(np.int64)


def pole_items(definitions: Mapping[str, FacetDefinition], facets: Sequence[str]) -> tuple[Item, ...]:
    """Both poles of each facet as items."""
    return tuple(
        Item(
            id=f"{facet} {sign:+d}",
            facet=facet,
            key=sign,
            text=definitions[facet].pole(sign),
            domain=DOMAIN_OF.get(facet),
            source=_DEFINITION,
        )
        for facet in facets
        if facet in definitions
        for sign in (1, -1)
    )


def learning_items(bank: ItemBank, definitions: Mapping[str, FacetDefinition]) -> tuple[Item, ...]:
    """What a bank can be held against: the poles of its facets, and the built-in items of these facets.

    The built-in items vouch for texts that are theirs word for word, those of the built-in bank included: two raters
    who saw neither facet nor key have filed them, so it is not the bank that vouches for itself.
    """
    return (*pole_items(definitions, bank.facets), *(one for one in load_items().items if one.facet in bank.facets))
