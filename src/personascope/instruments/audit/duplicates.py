"""Duplicates: exact after normalising, nearly the same words, or nearer than a calibrated cosine; in clusters.

Two paraphrases of one sentence are not two pieces of evidence, and one of them in the training set and the other in
the test set is a leak. So clusters are named, and whatever splits or resamples items takes whole clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import CountVectorizer

from personascope.errors import DataError
from personascope.instruments.audit.similarity import TextVectors, cosine_blocks, pair_cosines, spelling_vectors
from personascope.instruments.audit.wording import normal_form

JACCARD = 0.8
"""Texts that share at least this part of their different words are near copies."""
_MIN_KNOWN = 5
_SAMPLE = 400


@dataclass(frozen=True)
class Duplicates:
    """Near copies within a list of texts.

    Args:
        pairs: one row per pair of near copies: first, second (positions), kind (exact, words, cosine), similarity.
        cluster: number of each text's cluster, shape (item,); a text without copies is alone in its own.
        medoid: position of the text that is most like the others of its cluster, shape (item,).
        nearest: position of each text's most similar other text, -1 when there is none, shape (item,).
        nearest_cosine: how similar, shape (item,).
        threshold: cosine from which on two texts are near copies.
    """

    pairs: pl.DataFrame
    cluster: Int[np.ndarray, " item"]
    medoid: Int[np.ndarray, " item"]
    nearest: Int[np.ndarray, " item"]
    nearest_cosine: Float[np.ndarray, " item"]
    threshold: float

    @property
    def rate(self) -> float:
        """Share of texts that are superfluous: all but one of each cluster."""
        return 1 - len(np.unique(self.cluster)) / max(1, len(self.cluster))


def find_duplicates(
    texts: Sequence[str],
    *,
    vectors: TextVectors | None = None,
    threshold: float | None = None,
    known: Sequence[tuple[int, int]] = (),
) -> Duplicates:
    """Find near copies and join them to clusters.

    Args:
        texts: the items.
        vectors: unit rows of another encoder, shape (item, feature); character n-grams of the texts by default.
        threshold: cosine of a near copy; calibrated when it is not given.
        known: pairs of positions that are known to say the same, to calibrate on.

    Raises:
        DataError: vectors are given with neither a threshold nor enough known pairs.
    """
    rows = spelling_vectors(texts) if vectors is None else vectors
    forms = [normal_form(text) for text in texts]
    if threshold is None:
        threshold = spelling_threshold(texts) if vectors is None else _given_threshold(rows, forms, known)
    bags, sizes = _bags(forms)
    n = len(texts)
    nearest, best = np.full(n, -1), np.full(n, -1.0)
    found: list[tuple[int, int, str, float]] = []
    for (start, cosines), (_, shared) in zip(cosine_blocks(rows, rows), cosine_blocks(bags, bags), strict=True):
        here = np.arange(start, start + len(cosines))
        jaccard = shared / np.maximum(1, sizes[here, None] + sizes[None, :] - shared)
        cosines[np.arange(len(here)), here] = -1
        if n > 1:
            nearest[here], best[here] = cosines.argmax(axis=1), cosines.max(axis=1)
        close = np.triu((cosines >= threshold) | (jaccard >= JACCARD), k=start + 1)
        for row, column in np.argwhere(close):
            first, second = int(here[row]), int(column)
            kind = (
                "exact" if forms[first] == forms[second] else ("words" if jaccard[row, column] >= JACCARD else "cosine")
            )
            value = jaccard[row, column] if kind == "words" else cosines[row, column]
            found.append((first, second, kind, 1.0 if kind == "exact" else float(value)))
    schema = {"first": pl.Int64, "second": pl.Int64, "kind": pl.String, "similarity": pl.Float64}
    pairs = pl.DataFrame(found, schema=schema, orient="row")
    cluster = _clusters(pairs, n)
    return Duplicates(pairs, cluster, _medoids(cluster, rows), nearest, best, float(threshold))


def spelling_threshold(texts: Sequence[str]) -> float:
    """Cosine of character n-grams from which on two texts of this bank count as near copies.

    Known copies are made by small edits of a sample of the texts; unrelated pairs are each text's nearest other one.
    The threshold lies halfway between the copies' 10th percentile and the unrelated pairs' median, never above the
    former: a bank that is itself full of copies moves the median and would otherwise hide them.
    """
    step = max(1, len(texts) // _SAMPLE)
    sample = list(texts)[::step]
    edited = [_edited(text, place) for place, text in enumerate(sample)]
    rows = spelling_vectors([*sample, *edited])
    originals, copies = rows[: len(sample)], rows[len(sample) :]
    known = float(np.percentile(pair_cosines(originals, copies), 10))
    unrelated = [0.0]
    for start, cosines in cosine_blocks(originals, originals):
        cosines[np.arange(len(cosines)), np.arange(start, start + len(cosines))] = 0
        unrelated.extend(cosines.max(axis=1).tolist())
    return min(known, (known + float(np.median(unrelated))) / 2)


def _edited(text: str, place: int) -> str:
    """A near copy: one of five small edits, taken in turn."""
    parts = text.rstrip(".!").split()
    middle = len(parts) // 2
    edits = (
        [*parts[:1], "usually", *parts[1:]],
        [*parts[:middle], *parts[middle + 1 :]],
        [*parts, "in general"],
        ["Honestly,", *parts],
        [*parts[:-1], "things"],
    )
    return " ".join(edits[place % len(edits)]) + "."


def _given_threshold(rows: TextVectors, forms: Sequence[str], known: Sequence[tuple[int, int]]) -> float:
    """Halfway between the 10th percentile of the known pairs and the median of every text's nearest other text."""
    pairs = list(known) or _word_copies(forms)
    if len(pairs) < _MIN_KNOWN:
        raise DataError(
            f"{len(pairs)} pairs of texts are known to say the same.",
            f"The cosine of given vectors has no natural threshold; at least {_MIN_KNOWN} such pairs calibrate it.",
            "Pass known_pairs, or a threshold.",
        )
    first, second = np.asarray(pairs).T
    same = float(np.percentile(pair_cosines(rows[first], rows[second]), 10))
    nearest = []
    for start, cosines in cosine_blocks(rows, rows):
        cosines[np.arange(len(cosines)), np.arange(start, start + len(cosines))] = -1
        nearest.extend(cosines.max(axis=1).tolist())
    return min(same, (same + float(np.median(nearest))) / 2)


def _word_copies(forms: Sequence[str]) -> list[tuple[int, int]]:
    bags, sizes = _bags(forms)
    pairs = []
    for start, shared in cosine_blocks(bags, bags):
        total = sizes[start : start + len(shared), None] + sizes[None, :] - shared
        close = np.triu(shared >= JACCARD * np.maximum(1, total), k=start + 1)
        pairs += [(int(row) + start, int(column)) for row, column in np.argwhere(close)]
    return pairs


def _bags(forms: Sequence[str]) -> tuple[sparse.csr_matrix, Float[np.ndarray, " item"]]:
    """Which words stand in which text, and how many different ones."""
    counter = CountVectorizer(binary=True, analyzer=str.split, dtype=np.float32)
    bags = counter.fit_transform([form or "?" for form in forms]).tocsr()
    return bags, np.asarray(bags.sum(axis=1), dtype=np.float64).ravel()


def _clusters(pairs: pl.DataFrame, n: int) -> Int[np.ndarray, " item"]:
    ends = pairs["first"].to_numpy(), pairs["second"].to_numpy()
    graph = sparse.coo_matrix((np.ones(len(pairs)), ends), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _medoids(cluster: Int[np.ndarray, " item"], rows: TextVectors) -> Int[np.ndarray, " item"]:
    medoid = np.arange(len(cluster))
    order = np.argsort(cluster, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(cluster[order])) + 1):
        if len(members) > 1:
            own = rows[members]
            # the sum over members of their cosines with one of them is its product with their sum
            medoid[members] = members[int(np.argmax(np.asarray(own @ np.asarray(own.sum(axis=0)).ravel()).ravel()))]
    return medoid
