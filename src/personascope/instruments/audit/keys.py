"""Key recovery: does the wording of an item go with the other items of its key?

Kernel ridge regression over words, words within the domain and words within the facet (so that "calm" may mean one key
in patience and the other in anxiety), rated desirability and, where they are given, sentence vectors and the hidden
states of a language model, each within the facet too. The poles of the facets are examples; near copies are left out.
Sentence encoders put opposites near each other, so their vectors say little about keys; hidden states say much.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from personascope.instruments.audit.examples import Examples
from personascope.instruments.audit.form import is_negated
from personascope.instruments.audit.left_out import left_out_scores, meaning_kernel, rounds, trust, word_kernel
from personascope.instruments.audit.wording import normal_form
from personascope.instruments.items import Item

_MIN_ITEMS, _MIN_CLUSTERS = 40, 10
_SHARPNESS, _DESIRABILITY, _NOISE = 1.0, 3.0, 0.2
_STATES, _WORDS_BESIDE_STATES, _NOISE_OF_STATES = 3.0, 0.3, 1.0
_SAME_FACET, _SAME_DOMAIN, _ANY = 1.0, 1.0, 0.3
"""How much of what is learnt from one item's hidden states goes to items of its facet, domain, and all others."""


@dataclass(frozen=True)
class KeyRecovery:
    """What the other texts say about the keys.

    Args:
        plus: probability that an item is keyed +1, its near copies left out, shape (item,).
        key: the key that it has, shape (item,).
    """

    plus: Float[np.ndarray, " item"]
    key: Int[np.ndarray, " item"]

    @property
    def own_probability(self) -> Float[np.ndarray, " item"]:
        """Probability of the key that the item has, shape (item,)."""
        return np.where(self.key == 1, self.plus, 1 - self.plus)

    @property
    def wrong_probabilities(self) -> Float[np.ndarray, "item other"]:
        """Probability of the other key: what the item would get were it keyed the wrong way, shape (item, 1)."""
        return 1 - self.own_probability[:, None]

    @property
    def trust(self) -> Float[np.ndarray, " item"]:
        """Probability that the item's key is right, shape (item,)."""
        return trust(self.own_probability, 1)

    @property
    def accuracy(self) -> float:
        """Share of items whose key is the likelier one; .5 is chance in a balanced bank."""
        return float((self.own_probability > 0.5).mean())

    @property
    def auc(self) -> float:
        """Probability that an item keyed + gets a higher value than one keyed -; .5 is chance."""
        return float(roc_auc_score(self.key, self.plus))


def recover_keys(
    items: Sequence[Item],
    group: Int[np.ndarray, " row"],
    *,
    vectors: Any = None,
    states: Any = None,
    examples: Examples | None = None,
) -> KeyRecovery | None:
    """Probability of each key from the texts of all items but its near copies.

    Args:
        items: the bank.
        group: number of the duplicate cluster of each item and then of each example, shape (item + example,).
        vectors: unit rows of an encoder for the items, shape (item, feature); words alone without them.
        states: unit rows of hidden states for the items, shape (item, feature).
        examples: definitions with facet and key, never tested; with vectors and states where the items have them.

    Returns:
        None for fewer than 40 items, or fewer than 10 clusters of one key.
    """
    key = np.array([item.key for item in items])
    clusters_of = [len(np.unique(group[: len(items)][key == sign])) for sign in (1, -1)]
    if len(items) < _MIN_ITEMS or min(clusters_of) < _MIN_CLUSTERS:
        return None
    beside = examples or Examples()
    rows = [*items, *beside.items]
    kernel = _kernel(rows, vectors, states, beside)
    noise = _NOISE if states is None else _NOISE_OF_STATES
    signs = np.array([item.key for item in rows], dtype=np.float64)
    trusted = np.ones(len(items))
    for _ in range(rounds(len(rows))):
        level = np.full(len(rows), noise)
        level[: len(items)] /= trusted
        scores = left_out_scores(kernel, signs[:, None], level, group)[: len(items)]
        fitted = LogisticRegression(C=100.0).fit(scores, key, sample_weight=trusted)
        found = KeyRecovery(fitted.predict_proba(scores)[:, list(fitted.classes_).index(1)], key.astype(np.int64))
        trusted = found.trust
    return found


def _kernel(rows: Sequence[Item], vectors: Any, states: Any, beside: Examples) -> Float[np.ndarray, "row row"]:
    """Similarity of items and examples in what bears on keys."""
    documents = map(_document, rows)
    kernel = word_kernel(
        TfidfVectorizer(analyzer=str.split, sublinear_tf=True, dtype=np.float32).fit_transform(documents)
    )
    facet = _same([item.facet for item in rows])
    if vectors is not None:
        both = vectors if beside.vectors is None else np.concatenate([vectors, beside.vectors])
        kernel += meaning_kernel(both, _SHARPNESS) * (0.5 + 0.5 * facet)
    if states is not None:
        both = states if beside.states is None else np.concatenate([states, beside.states])
        shared = _ANY + _SAME_FACET * facet + _SAME_DOMAIN * _same([str(item.domain) for item in rows])
        kernel = _WORDS_BESIDE_STATES * kernel + _STATES * (both @ both.T) * shared
    return np.asarray(kernel + _DESIRABILITY * word_kernel(_desirability(rows)))


def _same(labels: Sequence[str]) -> Float[np.ndarray, "row row"]:
    """1 where two rows have one label, else 0."""
    codes = np.unique(labels, return_inverse=True)[1]
    return np.asarray(codes[:, None] == codes, dtype=np.float32)


def _document(item: Item) -> str:
    """The words of a text three times: as they are, marked with the domain, marked with the facet."""
    found = normal_form(item.text).split()
    found += ["_".join(pair) for pair in itertools.pairwise(found)]
    found += ["<negated>"] if is_negated(item.text) else []
    marked = [f"{mark}|{word}" for mark in (item.domain or "none", item.facet) for word in found]
    return " ".join([*found, *marked, f"{item.facet}|<any>"])


def _desirability(items: Sequence[Item]) -> sparse.csr_matrix:
    """Desirability in the column of the facet and in one for all, where it is known; 0 elsewhere."""
    facets = sorted({item.facet for item in items})
    column = {facet: place for place, facet in enumerate(facets, start=1)}
    known = [(row, item) for row, item in enumerate(items) if item.desirability is not None]
    values = [float(item.desirability or 0.0) for _, item in known]
    rows = [row for row, _ in known]
    columns = [column[item.facet] for _, item in known]
    shape = (len(items), len(facets) + 1)
    return sparse.csr_matrix((values * 2, (rows * 2, columns + [0] * len(known))), shape=shape, dtype=np.float32)
