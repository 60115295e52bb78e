"""Facet recovery: do all other texts file an item under the facet that it is filed under?

Kernel ridge regression of the facets on the words and, where they are given, on sentence vectors and the hidden states
of a language model, the item's near copies left out; definitions and verified items are examples beside the bank. The
scores become probabilities, as sharp as this very bank bears out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.metrics import roc_auc_score

from personascope.instruments.audit.examples import Examples
from personascope.instruments.audit.left_out import left_out_scores, meaning_kernel, rounds, trust, word_kernel
from personascope.instruments.audit.similarity import topic_vectors
from personascope.instruments.items import Item

MIN_ITEMS = 4
"""Facets with fewer items are not learnt."""
_SHARPNESS, _WORDS, _NOISE = 2.0, 0.5, 2.0
_NOISE_OF_WORDS = 0.3


@dataclass(frozen=True)
class FacetRecovery:
    """What the other texts say about each item's facet.

    Args:
        facets: names, in the order of the columns.
        probability: of each facet, shape (item, facet).
        own: column of the facet that the item is filed under, shape (item,).
    """

    facets: tuple[str, ...]
    probability: Float[np.ndarray, "item facet"]
    own: Int[np.ndarray, " item"]

    @property
    def own_probability(self) -> Float[np.ndarray, " item"]:
        """Probability of the facet that the item is filed under, shape (item,)."""
        return np.asarray(self.probability[np.arange(len(self.own)), self.own])

    @property
    def wrong_probabilities(self) -> Float[np.ndarray, "item other"]:
        """Probabilities of the facets that an item is not filed under: what a wrong label would get."""
        mask = np.ones(self.probability.shape, dtype=bool)
        mask[np.arange(len(self.own)), self.own] = False
        return np.asarray(self.probability[mask]).reshape(len(self.own), -1)

    @property
    def trust(self) -> Float[np.ndarray, " item"]:
        """Probability that the item's label is right, shape (item,)."""
        return trust(self.own_probability, len(self.facets) - 1)

    @property
    def rank(self) -> Int[np.ndarray, " item"]:
        """Place of the own facet among all, 1 for the likeliest, shape (item,)."""
        return np.asarray(1 + (self.probability > self.own_probability[:, None]).sum(axis=1))

    @property
    def accuracy(self) -> float:
        """Share of items whose own facet is the likeliest."""
        return float((self.rank == 1).mean())

    @property
    def auc(self) -> float:
        """Probability that an item's own facet gets a higher value than a wrong one; .5 is chance."""
        wrong = self.wrong_probabilities.ravel()
        truth = np.concatenate([np.ones(len(self.own)), np.zeros(len(wrong))])
        return float(roc_auc_score(truth, np.concatenate([self.own_probability, wrong])))

    def nearest_other(self, item: int) -> str:
        """The likeliest facet but the own one."""
        others = self.probability[item].copy()
        others[self.own[item]] = -1
        return self.facets[int(others.argmax())]


def recover_facets(
    items: Sequence[Item],
    group: Int[np.ndarray, " row"],
    *,
    vectors: Any = None,
    states: Any = None,
    examples: Examples | None = None,
) -> FacetRecovery | None:
    """Probability of every facet for every item, from all texts but its near copies.

    Args:
        items: the bank.
        group: number of the duplicate cluster of each item and then of each example, shape (item + example,).
        vectors: unit rows of an encoder for the items, shape (item, feature); words alone without them.
        states: unit rows of hidden states for the items, shape (item, feature).
        examples: further labelled texts, of facets of the bank; with vectors where the items have them, and with states
            of the definitions.

    Returns:
        None when fewer than two facets have `MIN_ITEMS` items, examples included.
    """
    beside = examples or Examples()
    names, own = np.unique([item.facet for item in items], return_inverse=True)
    rows = [*items, *beside.items]
    sizes = Counter(item.facet for item in rows)
    if sum(sizes[name] >= MIN_ITEMS for name in names) < 2:
        return None
    kernel, noise = word_kernel(topic_vectors([item.text for item in rows])), _NOISE_OF_WORDS
    if vectors is not None:
        both = vectors if beside.vectors is None else np.concatenate([vectors, beside.vectors])
        kernel, noise = meaning_kernel(both, _SHARPNESS) + _WORDS * kernel, _NOISE
    if states is not None:  # verified items have none: there they add nothing
        known = states if beside.states is None else np.concatenate([states, beside.states])
        kernel[: len(known), : len(known)] += known @ known.T
    targets = (np.array([item.facet for item in rows])[:, None] == names).astype(np.float64)
    targets -= targets.mean(axis=0)
    labels, n = tuple(str(name) for name in names), len(items)
    trusted = np.ones(n)
    for _ in range(rounds(len(rows))):
        level = np.full(len(rows), float(noise))
        level[:n] /= trusted
        scores = left_out_scores(kernel, targets, level, group)[:n]
        found = FacetRecovery(labels, _probability(scores, own, trusted), np.asarray(own, dtype=np.int64))
        trusted = found.trust
    return found


def _probability(
    scores: Float[np.ndarray, "item facet"], own: Int[np.ndarray, " item"], trusted: Float[np.ndarray, " item"]
) -> Float[np.ndarray, "item facet"]:
    """softmax(score / T), T fitted to the labels of the bank by weighted maximum likelihood; shape (item, facet)."""
    rows = np.arange(len(own))

    def loss(log_t: float) -> float:
        return -float(np.average(log_softmax(scores / np.exp(log_t), axis=1)[rows, own], weights=trusted))

    best = minimize_scalar(loss, bounds=(-7.0, 2.0), method="bounded")
    return np.asarray(np.exp(log_softmax(scores / np.exp(best.x), axis=1)))
