"""Facets and keys from all other texts: planted topics, robustness to wrong labels, calibration, levels of doubt."""

from __future__ import annotations

import numpy as np

from personascope.instruments.audit.examples import Examples, pole_items
from personascope.instruments.audit.keys import recover_keys
from personascope.instruments.audit.labels import doubt
from personascope.instruments.audit.recovery import recover_facets
from personascope.instruments.facet_definitions import load_facet_definitions
from personascope.instruments.items import Item, load_items

POLES = Examples(pole_items(load_facet_definitions(), ["patience"]))


def topics(noise: float, seed: int = 0) -> tuple[list[Item], np.ndarray]:
    """Five facets whose vectors lie about five axes, with texts that say nothing."""
    draw = np.random.default_rng(seed)
    labels = np.repeat(np.arange(5), 12)
    vectors = np.eye(5)[labels] + noise * draw.normal(size=(60, 5))
    words = [f"w{n}" for n in range(40)]
    items = [
        Item(id=str(n), facet=f"f{label}", key=1, text=" ".join(draw.choice(words, 6)))
        for n, label in enumerate(labels)
    ]
    return items, (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_separate_topics_are_recovered_and_a_misfiled_item_is_not() -> None:
    items, vectors = topics(0.05)
    items[0] = items[0].model_copy(update={"facet": "f3"})
    found = recover_facets(items, np.arange(60), vectors=vectors)
    assert (found.rank[1:] == 1).all() and found.rank[0] > 1
    assert found.nearest_other(0) == "f0" and found.auc > 0.95
    assert found.own_probability[0] < 0.01 < 0.9 < found.own_probability[1:].min()
    assert found.trust[0] < 0.1 < 0.9 < found.trust[1:].min()
    np.testing.assert_allclose(found.probability.sum(axis=1), 1)


def test_chance_vectors_and_words_give_chance() -> None:
    items, _ = topics(0.05)
    vectors = np.random.default_rng(1).normal(size=(60, 8)).astype(np.float32)
    found = recover_facets(items, np.arange(60), vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    assert 0.3 < found.auc < 0.65 and found.own_probability.max() < 0.6


def test_definitions_help_and_few_items_are_left_alone() -> None:
    items = load_items().form("200").items
    poles = Examples(pole_items(load_facet_definitions(), load_items().facets))
    own = recover_facets(items, np.arange(200))
    more = recover_facets(items, np.arange(250), examples=poles)
    assert more.accuracy > own.accuracy > 2 / 25
    assert recover_facets(items[:3], np.arange(3)) is None


def test_a_level_of_doubt_is_set_outright_or_by_what_it_has_to_find() -> None:
    own, wrong, trust = np.array([0.9, 0.8, 0.05, 0.7]), np.array([[0.1], [0.2], [0.3], [0.9]]), np.ones(4)
    given = doubt(own, wrong, trust, level=0.25)
    assert (given.recall, given.alarms) == (0.5, 0.25)
    sought = doubt(own, wrong, trust, level=0.0, recall=0.75)
    assert sought.recall >= 0.75 and 0.3 < sought.level < 0.31
    # an item whose own label is hardly trusted counts for little on either side
    trusting = doubt(own, wrong, np.array([1, 1, 1e-9, 1]), level=0.25)
    np.testing.assert_allclose((trusting.recall, trusting.alarms), (2 / 3, 0), atol=1e-6)


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
    group = np.arange(202)
    blind = recover_keys(items_with_keys(200, rated=False), group, examples=POLES)
    assert 0.35 < blind.auc < 0.65
    seen = recover_keys(items_with_keys(200, rated=True), group, examples=POLES)
    assert seen.auc > 0.95 and seen.accuracy > 0.9
    assert recover_keys(items_with_keys(20, rated=True), np.arange(20)) is None


def test_hidden_states_that_tell_the_key_are_used_and_survive_wrong_labels() -> None:
    items, draw = items_with_keys(200, rated=False), np.random.default_rng(2)
    key = np.array([item.key for item in items])
    states = draw.normal(size=(200, 16)) * 0.5
    states[:, 0] += key
    states = (states / np.linalg.norm(states, axis=1, keepdims=True)).astype(np.float32)
    wrong = draw.choice(200, 20, replace=False)
    for place in wrong:
        items[place] = items[place].model_copy(update={"key": -items[place].key})
    found = recover_keys(items, np.arange(200), states=states)
    assert (found.own_probability[wrong] < 0.5).mean() > 0.9
    assert (np.delete(found.own_probability, wrong) > 0.5).mean() > 0.9


def test_a_copy_in_the_training_part_does_not_vouch_for_itself() -> None:
    half = items_with_keys(100, rated=False)
    twice = [*half, *[item.model_copy(update={"id": f"{item.id}b"}) for item in half]]
    together = np.tile(np.arange(100), 2)
    honest = recover_keys(twice, together)
    leaking = recover_keys(twice, np.arange(200))
    assert leaking.auc > 0.9 > 0.65 > honest.auc
