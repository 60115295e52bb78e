"""What all other texts say about one: kernel ridge regression, each prediction made without the text's own group.

With K the similarities and D the noise of the labels, A = K + D, and G the inverse of A, the prediction of a group g
from all rows but its own is y_g - G_gg^-1 (G y)_g (Rasmussen & Williams 2006, eq. 5.12, for groups): one inverse gives
them all, nothing is refitted, nothing drawn at random.

A wrong label also misleads what is said about its neighbours. So labels that the others make improbable get more noise,
and all is computed once again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.linalg import lapack, solve

from personascope.instruments.audit.similarity import TextVectors

WRONG_SHARE = 0.1
"""Share of wrong labels that is reckoned with before a text is looked at."""
_LEAST_TRUST = 0.05
_MANY_ROWS = 4000


def left_out_scores(
    kernel: Float[np.ndarray, "row row"],
    targets: Float[np.ndarray, "row target"],
    noise: Float[np.ndarray, " row"],
    group: Int[np.ndarray, " row"],
) -> Float[np.ndarray, "row target"]:
    """Predicted targets of each row from the rows of all other groups.

    Args:
        kernel: similarities, positive semidefinite, shape (row, row).
        targets: shape (row, target).
        noise: variance of each row's label, above 0, shape (row,).
        group: number of each row's group, shape (row,).
    """
    inverse = _inverse(kernel, noise)
    weights = inverse @ targets.astype(np.float32)
    scores = targets - weights / np.diag(inverse)[:, None]
    order = np.argsort(group, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        if len(rows) > 1:
            block = inverse[np.ix_(rows, rows)].astype(np.float64)
            scores[rows] = targets[rows] - solve(block, weights[rows], assume_a="pos")
    return np.asarray(scores, dtype=np.float64)


def rounds(n_rows: int) -> int:
    """How often all is computed: twice, but once where a few wrong labels among thousands mislead hardly anyone."""
    return 2 if n_rows <= _MANY_ROWS else 1


def trust(own: Float[np.ndarray, " item"], others: int) -> Float[np.ndarray, " item"]:
    """Probability that a label is right by Bayes, wrong ones being drawn evenly from the others, shape (item,).

    Args:
        own: probability that the texts give to the label.
        others: how many other labels there are.
    """
    right, wrong = own * (1 - WRONG_SHARE), (1 - own) / others * WRONG_SHARE
    return np.asarray(np.maximum(right / (right + wrong), _LEAST_TRUST))


def meaning_kernel(vectors: Any, sharpness: float) -> Float[np.ndarray, "row row"]:
    """exp(sharpness * (cosine - 1)) of unit rows, shape (row, row)."""
    rows = np.asarray(vectors, dtype=np.float32)
    return np.asarray(np.exp(sharpness * (rows @ rows.T - 1)), dtype=np.float32)


def word_kernel(vectors: TextVectors) -> Float[np.ndarray, "row row"]:
    """Cosines of sparse unit rows, shape (row, row)."""
    product = vectors @ vectors.T
    return np.asarray(product.toarray() if sparse.issparse(product) else product, dtype=np.float32)


def _inverse(kernel: Float[np.ndarray, "row row"], noise: Float[np.ndarray, " row"]) -> Float[np.ndarray, "row row"]:
    """Inverse of kernel + diag(noise) by Cholesky, in single precision: it halves the time, labels are far coarser."""
    whole = np.array(kernel, dtype=np.float32, order="F")
    whole[np.diag_indices_from(whole)] += noise.astype(np.float32)
    factor, failed = lapack.spotrf(whole, lower=1, overwrite_a=1)
    assert failed == 0, "similarities plus noise are positive definite"
    half, failed = lapack.spotri(factor, lower=1, overwrite_c=1)
    assert failed == 0
    lower = np.tril(half)
    return np.asarray(lower + np.tril(lower, -1).T)
