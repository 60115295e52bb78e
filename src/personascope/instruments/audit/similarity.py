"""Similarity of texts without a downloaded encoder: TF-IDF of words and character n-grams, and blocked products.

Vectors of another kind (mean hidden states of a loaded model, sentence embeddings) are taken wherever these are.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from personascope.errors import DataError
from personascope.instruments.audit.wording import normal_form

TextVectors: TypeAlias = Any
"""Rows of unit length, one for each text: scipy CSR matrix or float array of shape (item, feature)."""

BLOCK = 512
"""Rows of a similarity matrix held at once: 512 x 5,000 float32 are 10 MB."""


def spelling_vectors(texts: Sequence[str]) -> sparse.csr_matrix:
    """Character n-grams (2 to 4, within words): near in spelling. Shape (item, feature), unit rows."""
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, dtype=np.float32)
    return vectorizer.fit_transform([normal_form(text) or "?" for text in texts]).tocsr()


def topic_vectors(texts: Sequence[str]) -> sparse.csr_matrix:
    """Words, word pairs and word stems as character n-grams: near in topic. Shape (item, feature), unit rows."""
    forms = [normal_form(text) or "?" for text in texts]
    words = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, analyzer=_words)
    stems = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, dtype=np.float32, max_df=max(0.2, 2 / len(forms))
    )
    blocks = [words.fit_transform(forms)]
    with contextlib.suppress(ValueError):  # every n-gram stands in too many of the texts: nothing to tell them apart by
        blocks.append(stems.fit_transform(forms))
    return normalize(sparse.hstack(blocks).tocsr())


def _words(form: str) -> list[str]:
    """Single words and pairs of neighbours."""
    found = form.split()
    return [*found, *map(" ".join, itertools.pairwise(found))]


def dense_vectors(vectors: Any, n_items: int) -> Float[np.ndarray, "item feature"]:
    """Given vectors, centred and of unit length.

    Hidden states share one large common direction; without centring every cosine is near 1.

    Raises:
        DataError: not one finite row for each item.
    """
    rows = np.asarray(vectors, dtype=np.float32)
    if rows.ndim != 2 or len(rows) != n_items or not np.isfinite(rows).all():
        raise DataError(
            f"Vectors of shape {rows.shape} for {n_items} items.",
            "One finite row is needed for each item, in the bank's order.",
            "Compute one vector for each item of the bank.",
        )
    return np.asarray(normalize(rows - rows.mean(axis=0)), dtype=np.float32)


def state_vectors(states: Any, n_items: int) -> Float[np.ndarray, "item feature"]:
    """Given hidden states, each feature brought to mean 0 and variance 1, as rows of unit length.

    A few features of a residual stream are hundreds of times as large as the others and would be all that counts.

    Raises:
        DataError: not one finite row for each item.
    """
    rows = np.asarray(states, dtype=np.float32)
    scale = rows.std(axis=0) if rows.ndim == 2 else np.ones(1)
    return dense_vectors(rows / np.where(scale > 0, scale, 1), n_items)


def cosine_blocks(
    left: TextVectors, right: TextVectors, *, block: int = BLOCK
) -> Iterator[tuple[int, Float[np.ndarray, "block item"]]]:
    """Cosines of `left` with `right` in blocks of rows: (first row, block). Memory does not grow with the rows."""
    turned = right.T.tocsr() if sparse.issparse(right) else np.asarray(right).T
    for start in range(0, left.shape[0], block):
        product = left[start : start + block] @ turned
        yield start, product.toarray() if sparse.issparse(product) else np.asarray(product)


def pair_cosines(left: TextVectors, right: TextVectors) -> Float[np.ndarray, " item"]:
    """Cosine of each row of `left` with the same row of `right`, shape (item,)."""
    product = left.multiply(right) if sparse.issparse(left) else left * right
    return np.asarray(product.sum(axis=1), dtype=np.float64).ravel()


def mean_cosines(vectors: TextVectors, groups: Sequence[str]) -> tuple[float, float]:
    """Mean cosine of two items of one group, and of two groups. NaN where no such pair exists.

    From sums of unit vectors: |sum v|^2 = n + the sum over ordered pairs, so no pair is ever visited.
    """
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    sums = group_sums(vectors, codes, len(names))
    n = np.bincount(codes).astype(np.float64)
    whole = float((np.asarray(sums.sum(axis=0)) ** 2).sum()) - n.sum()
    within = float((sums**2).sum()) - n.sum()
    pairs_within, pairs_all = float((n * (n - 1)).sum()), float(n.sum() * (n.sum() - 1))
    return (
        within / pairs_within if pairs_within else float("nan"),
        (whole - within) / (pairs_all - pairs_within) if pairs_all > pairs_within else float("nan"),
    )


def group_sums(vectors: TextVectors, codes: Any, n_groups: int) -> Float[np.ndarray, "group feature"]:
    """Sum of the rows of each group, shape (group, feature)."""
    n = len(codes)
    member = sparse.csr_matrix((np.ones(n, dtype=np.float32), (codes, np.arange(n))), shape=(n_groups, n))
    product = member @ vectors
    return np.asarray(product.toarray() if sparse.issparse(product) else product, dtype=np.float64)
