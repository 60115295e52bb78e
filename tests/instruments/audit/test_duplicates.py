"""Copies against a ten-line double loop, clusters, medoids, and the calibration of the threshold."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.planted import TEXTS

from personascope.errors import DataError
from personascope.instruments.audit.duplicates import JACCARD, find_duplicates
from personascope.instruments.audit.similarity import (
    cosine_blocks,
    dense_vectors,
    mean_cosines,
    spelling_vectors,
    topic_vectors,
)
from personascope.instruments.audit.wording import normal_form
from personascope.instruments.items import load_items

TEXT = [item.text for item in load_items().items[:60]]


def test_blocks_and_means_equal_the_whole_product() -> None:
    rows = topic_vectors(TEXT)
    whole = (rows @ rows.T).toarray()
    blocks = np.concatenate([block for _, block in cosine_blocks(rows, rows, block=7)])
    np.testing.assert_allclose(blocks, whole, atol=1e-6)
    groups = [f"g{n % 4}" for n in range(len(TEXT))]
    same = np.array([[a == b for b in groups] for a in groups])
    off = ~np.eye(len(TEXT), dtype=bool)
    within, between = mean_cosines(rows, groups)
    assert within == pytest.approx(whole[same & off].mean(), abs=1e-6)
    assert between == pytest.approx(whole[~same].mean(), abs=1e-6)


def test_the_pairs_are_those_of_a_double_loop() -> None:
    texts = [
        *TEXT,
        *TEXTS["near_copy"][:5],
        TEXT[3].upper(),
        "My praise means just what it says, even when I need a favor.",
    ]
    found = find_duplicates(texts, threshold=0.6)
    rows = spelling_vectors(texts)
    cosine = (rows @ rows.T).toarray()
    expected = set()
    for i in range(len(texts)):
        for j in range(i + 1, len(texts)):
            a, b = set(normal_form(texts[i]).split()), set(normal_form(texts[j]).split())
            if cosine[i, j] >= 0.6 or len(a & b) / len(a | b) >= JACCARD:
                expected.add((i, j))
    assert set(found.pairs.select("first", "second").iter_rows()) == expected
    assert found.pairs.filter(found.pairs["kind"] == "exact").select("first", "second").rows() == [(3, 65)]
    np.fill_diagonal(cosine, -1)
    np.testing.assert_array_equal(found.nearest, cosine.argmax(axis=1))


def test_a_chain_is_one_cluster_and_its_middle_the_medoid() -> None:
    angles = np.radians([0, 20, 40, 120, 180])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = find_duplicates(
        [f"text {n} is {n}{n}" for n in range(5)], vectors=vectors, threshold=np.cos(np.radians(25))
    )
    assert len(set(found.cluster[:3])) == 1 and len(set(found.cluster)) == 3
    assert found.medoid.tolist() == [1, 1, 1, 3, 4]
    assert found.rate == pytest.approx(2 / 5)


def test_case_marks_and_contractions_make_no_difference() -> None:
    found = find_duplicates(
        ["I don't like waiting.", "i do not like WAITING!", "I welcome strange theories."], threshold=0.99
    )
    assert found.pairs.rows() == [(0, 1, "exact", 1.0)]
    assert normal_form("I can’t wait") == normal_form("I cannot wait") == "i can not wait"


def test_near_copies_are_found_and_the_bank_itself_has_none() -> None:
    texts = [item.text for item in load_items().items]
    alone = find_duplicates(texts)
    assert alone.pairs.height == 0
    near = TEXTS["near_copy"]
    both = find_duplicates([*texts, *near])
    paired = set(both.pairs["second"].to_list())
    hits = [len(texts) + n in paired for n in range(len(near))]
    assert np.mean(hits) >= 0.9
    # each pair joins a planted copy with the bank: no two items of the bank are called copies
    assert min(paired) >= len(texts) and both.pairs["first"].max() < len(texts)


def test_given_vectors_are_calibrated_on_known_pairs_or_refused() -> None:
    draw = np.random.default_rng(0)
    base = draw.normal(size=(40, 16))
    vectors = dense_vectors(np.concatenate([base, base[:10] + 0.1 * draw.normal(size=(10, 16))]), 50)
    texts = [f"statement {n} about {n * 7}" for n in range(50)]
    with pytest.raises(DataError, match="0 pairs of texts are known"):
        find_duplicates(texts, vectors=vectors)
    found = find_duplicates(texts, vectors=vectors, known=[(n, 40 + n) for n in range(6)])
    assert set(found.pairs.select("first", "second").iter_rows()) == {(n, 40 + n) for n in range(10)}


def test_vectors_that_do_not_fit_are_refused() -> None:
    for bad in (np.ones((3, 2)), np.full((2, 2), np.nan), np.ones(2)):
        with pytest.raises(DataError, match="for 2 items"):
            dense_vectors(bad, 2)
