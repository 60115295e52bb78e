"""Key recovery: does the wording of an item go with the other items of its key?

A logistic classifier over words, words within the domain and words within the facet (so that "calm" may mean one key
in patience and the other in anxiety), the definitions of both poles among its examples, cross-validated by duplicate
cluster. Meaning that words do not carry stays invisible: read its accuracy before its opinions.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from personascope.instruments.audit.form import is_negated
from personascope.instruments.audit.wording import normal_form
from personascope.instruments.facet_definitions import FacetDefinition
from personascope.instruments.items import Item

_FOLDS = 10
_MIN_ITEMS = 40
_STRENGTH = 30.0
"""Inverse penalty (scikit-learn's C) of the classifier; rows have unit length."""


@dataclass(frozen=True)
class KeyRecovery:
    """What the words say about the keys.

    Args:
        plus: cross-validated probability that an item is keyed +1, shape (item,).
        key: the key that it has, shape (item,).
    """

    plus: Float[np.ndarray, " item"]
    key: Int[np.ndarray, " item"]

    @property
    def own_probability(self) -> Float[np.ndarray, " item"]:
        """Probability of the key that the item has, shape (item,)."""
        return np.where(self.key == 1, self.plus, 1 - self.plus)

    @property
    def wrong_probabilities(self) -> Float[np.ndarray, " item"]:
        """Probability of the other key: what the item would get were it keyed the wrong way, shape (item,)."""
        return 1 - self.own_probability

    @property
    def accuracy(self) -> float:
        """Share of items whose key is the likelier one; .5 is chance in a balanced bank."""
        return float((self.own_probability > 0.5).mean())

    @property
    def auc(self) -> float:
        """Probability that an item keyed + gets a higher value than one keyed -; .5 is chance."""
        return float(roc_auc_score(self.key, self.plus))


def recover_keys(
    items: Sequence[Item], cluster: Int[np.ndarray, " item"], definitions: Mapping[str, FacetDefinition]
) -> KeyRecovery | None:
    """Cross-validated probability of each key from the wording.

    Args:
        items: the bank.
        cluster: number of the duplicate cluster of each item, shape (item,); a cluster is never on both sides.
        definitions: of the facets; their poles are examples to learn from and are never tested.

    Returns:
        None for fewer than 40 items, or fewer than 10 clusters of one key.
    """
    key = np.array([item.key for item in items])
    clusters_of = [len(np.unique(cluster[key == sign])) for sign in (1, -1)]
    if len(items) < _MIN_ITEMS or min(clusters_of) < _FOLDS:
        return None
    poles = [
        (one.facet, _domain(items, one.facet), one.pole(sign), sign) for one in definitions.values() for sign in (1, -1)
    ]
    documents = [_document(item.facet, item.domain, item.text) for item in items]
    documents += [_document(facet, domain, text) for facet, domain, text, _ in poles]
    features = TfidfVectorizer(analyzer=str.split, sublinear_tf=True, dtype=np.float64).fit_transform(documents)
    features = sparse.hstack([features, _desirability(items, len(poles))]).tocsr()
    signs = np.concatenate([key, [sign for *_, sign in poles]]).astype(np.int64)
    taught = np.arange(len(items), len(documents))
    plus = np.empty(len(items))
    folds = StratifiedGroupKFold(n_splits=_FOLDS, shuffle=True, random_state=0)
    for train, test in folds.split(key, key, groups=cluster):
        rows = np.concatenate([train, taught])
        fitted = LogisticRegression(C=_STRENGTH, solver="liblinear").fit(features[rows], signs[rows])
        plus[test] = fitted.predict_proba(features[test])[:, 1]
    return KeyRecovery(plus, key.astype(np.int64))


def _domain(items: Sequence[Item], facet: str) -> str | None:
    return next((item.domain for item in items if item.facet == facet), None)


def _document(facet: str, domain: str | None, text: str) -> str:
    """The words of a text three times: as they are, marked with the domain, marked with the facet."""
    found = normal_form(text).split()
    found += ["_".join(pair) for pair in itertools.pairwise(found)]
    found += ["<negated>"] if is_negated(text) else []
    marked = [f"{mark}|{word}" for mark in (domain or "none", facet) for word in found]
    return " ".join([*found, *marked, f"{facet}|<any>"])


def _desirability(items: Sequence[Item], n_poles: int) -> sparse.csr_matrix:
    """Desirability in the column of the facet and in one for all, where the bank knows it; 0 elsewhere."""
    facets = sorted({item.facet for item in items})
    column = {facet: place for place, facet in enumerate(facets, start=1)}
    known = [(row, item) for row, item in enumerate(items) if item.desirability is not None]
    values = [float(item.desirability or 0.0) for _, item in known]
    rows = [row for row, _ in known]
    columns = [column[item.facet] for _, item in known]
    shape = (len(items) + n_poles, len(facets) + 1)
    return sparse.csr_matrix((values * 2, (rows * 2, columns + [0] * len(known))), shape=shape)
