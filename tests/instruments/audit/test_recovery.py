"""Leave-one-cluster-out centroids against a double loop; calibration; keys."""

from __future__ import annotations

import numpy as np
import pytest

from personascope.instruments.audit.keys import recover_keys
from personascope.instruments.audit.labels import doubt
from personascope.instruments.audit.recovery import recover_facets
from personascope.instruments.audit.similarity import topic_vectors
from personascope.instruments.facet_definitions import load_facet_definitions
from personascope.instruments.items import Item, load_items


@pytest.mark.parametrize("dense", [False, True])
def test_every_cosine_is_that_of_a_centroid_without_the_items_own_cluster(dense: bool) -> None:
    items = load_items().items[:96]
    facets = [item.facet for item in items]
    rows = topic_vectors([item.text for item in items])
    cluster = np.arange(len(items))
    cluster[[1, 5, 50]] = 0  # a cluster within a facet and across two
    plain = rows.toarray().astype(np.float64)
    given = plain.astype(np.float32) if dense else rows
    found = recover_facets(given, facets, cluster)
    for place in range(0, len(items), 5):
        for column, facet in enumerate(found.facets):
            others = [n for n in range(len(items)) if facets[n] == facet and cluster[n] != cluster[place]]
            centroid = plain[others].sum(axis=0)
            expected = plain[place] @ centroid / np.linalg.norm(centroid)
            assert found.cosine[place, column] == pytest.approx(expected, abs=1e-5)


def test_separate_topics_are_recovered_and_a_misfiled_item_is_not() -> None:
    draw = np.random.default_rng(0)
    centres = np.eye(5)
    labels = np.repeat(np.arange(5), 12)
    vectors = centres[labels] + 0.05 * draw.normal(size=(60, 5))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    names = [f"f{label}" for label in labels]
    names[0] = "f3"
    found = recover_facets(vectors, names, np.arange(60))
    assert (found.rank[1:] == 1).all() and found.rank[0] > 1
    assert found.nearest_other(0) == "f0" and found.margin[0] < -0.5
    assert found.own_probability[0] < 0.01 < 0.9 < found.own_probability[1:].min()
    np.testing.assert_allclose(found.probability.sum(axis=1), 1)


def test_definitions_help_and_few_items_are_left_alone() -> None:
    items = load_items().form("200").items
    facets = [item.facet for item in items]
    definitions = load_facet_definitions()
    rows = topic_vectors([*(i.text for i in items), *(f"{d.high} {d.low}" for d in definitions.values())])
    extra = {facet: rows[len(items) + n] for n, facet in enumerate(definitions)}
    own = recover_facets(rows[: len(items)], facets, np.arange(len(items)))
    more = recover_facets(rows[: len(items)], facets, np.arange(len(items)), extra=extra)
    assert more.accuracy > own.accuracy > 2 / 25
    assert recover_facets(rows[:3], facets[:3], np.arange(3)) is None


def test_a_level_of_doubt_is_set_outright_or_by_what_it_has_to_find() -> None:
    own, wrong = np.array([0.9, 0.8, 0.05, 0.7]), np.array([0.1, 0.2, 0.3, 0.9])
    given = doubt(own, wrong, level=0.25)
    assert (given.recall, given.alarms) == (0.5, 0.25)
    sought = doubt(own, wrong, level=0.0, recall=0.75)
    assert sought.recall >= 0.75 and 0.3 < sought.level < 0.31


def items_with_keys(n: int, *, rated: bool) -> list[Item]:
    """Items whose words say nothing about the key; when rated, desirability does."""
    draw = np.random.default_rng(1)
    words = [f"w{k}" for k in range(80)]
    made = []
    for place in range(n):
        key = 1 if place % 2 else -1
        text = f"I {' '.join(draw.choice(words, 6))}."
        liked = float(np.clip(0.5 * key + 0.2 * draw.normal(), -1, 1)) if rated else None
        made.append(Item(id=str(place), facet="patience", key=key, text=text, domain="A", desirability=liked))
    return made


def test_keys_are_at_chance_where_words_carry_nothing_and_clear_where_desirability_does() -> None:
    definitions = load_facet_definitions()
    blind = recover_keys(items_with_keys(200, rated=False), np.arange(200), definitions)
    assert 0.35 < blind.auc < 0.65
    seen = recover_keys(items_with_keys(200, rated=True), np.arange(200), definitions)
    assert seen.auc > 0.95 and seen.accuracy > 0.9
    assert recover_keys(items_with_keys(20, rated=True), np.arange(20), definitions) is None


def test_a_copy_in_the_training_part_does_not_vouch_for_itself() -> None:
    half = items_with_keys(100, rated=False)
    twice = [*half, *[item.model_copy(update={"id": f"{item.id}b"}) for item in half]]
    together = np.tile(np.arange(100), 2)
    honest = recover_keys(twice, together, load_facet_definitions())
    leaking = recover_keys(twice, np.arange(200), load_facet_definitions())
    assert leaking.auc > 0.9 > 0.65 > honest.auc
