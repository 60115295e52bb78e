"""Targets: the taught levels have the mean that was measured, whatever the place bias; controls are what they say."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from personascope.errors import DataError
from personascope.tuning.targets import KINDS, label_of, level_probabilities, target_levels

K, N = 5, 400
LEVELS = np.arange(1, K + 1)


def answered(**of: np.ndarray) -> pl.DataFrame:
    """Answers in both orders, with less than all mass on the labels; `of`: distributions over levels by persona."""
    rows = []
    for persona, distributions in of.items():
        for number, p in enumerate(distributions):
            rows.append((persona, f"i{number}", "ascending", (0.7 * p).tolist()))
            rows.append((persona, f"i{number}", "descending", (0.5 * p[::-1]).tolist()))
    return pl.DataFrame(rows, schema=["persona", "item", "order", "option_probabilities"], orient="row")


@pytest.fixture
def answers() -> pl.DataFrame:
    rng = np.random.default_rng(5)
    own, ideal, helpful = (rng.dirichlet(a * np.ones(K) + b * LEVELS, N) for a, b in ((2, 0), (1, 1), (3, 0.3)))
    return answered(self=own, meta=ideal, helpful=helpful)


KEYS = {f"i{number}": 1 if number % 2 else -1 for number in range(N)}


def mean_level(answers, persona) -> float:
    return float(np.mean([p @ LEVELS for p in level_probabilities(answers, persona).values()]))


def test_place_bias_cancels_and_orders_are_turned():
    tilted = np.array([0.4, 0.3, 0.2, 0.1, 0.0])
    frame = answered(self=tilted[None])
    assert np.allclose(level_probabilities(frame, "self")["i0"], tilted)
    place = frame.with_columns(option_probabilities=pl.Series([[0.0, 0.0, 0.0, 0.0, 1.0]] * 2))
    assert level_probabilities(place, "self")["i0"] @ LEVELS == 3, "who always takes the last label means nothing"


@pytest.mark.parametrize("kind", ["meta", "self", "helpful"])
def test_drawn_levels_have_the_measured_mean(answers, kind):
    levels = target_levels(answers, KEYS, kind, seed=1)
    assert levels["item"].to_list() == list(KEYS) == levels["source"].to_list()
    assert set(levels["level"]) == set(range(1, K + 1))
    assert levels["level"].mean() == pytest.approx(mean_level(answers, kind), abs=0.15)
    means = [target_levels(answers, KEYS, kind, seed=seed)["level"].mean() for seed in range(30)]
    assert np.mean(means) == pytest.approx(mean_level(answers, kind), abs=0.03)
    likeliest = target_levels(answers, KEYS, kind, pick="likeliest")["level"]
    modes = [int(p.argmax()) + 1 for p in level_probabilities(answers, kind).values()]
    assert likeliest.to_list() == modes


def test_the_opposite_is_as_far_on_the_other_side(answers):
    own, ideal = (level_probabilities(answers, name) for name in ("self", "meta"))
    expected = [np.clip(2 * own[item] @ LEVELS - ideal[item] @ LEVELS, 1, K) for item in KEYS]
    drawn = np.array([target_levels(answers, KEYS, "opposite", seed=seed)["level"] for seed in range(200)])
    assert np.abs(drawn.mean(axis=0) - expected).max() < 0.15
    assert (np.abs(drawn - np.array(expected)) < 1).all()
    nearest = target_levels(answers, KEYS, "opposite", pick="likeliest")["level"]
    assert nearest.to_list() == [round(value) for value in expected]


def test_shuffled_levels_are_the_ideals_among_items_of_a_key(answers):
    plain, dealt = (target_levels(answers, KEYS, kind, seed=3) for kind in ("meta", "shuffled"))
    of_meta = dict(plain.select("item", "level").iter_rows())
    for item, level, source in dealt.iter_rows():
        assert source != item and KEYS[source] == KEYS[item] and level == of_meta[source]
    assert sorted(dealt["source"]) == sorted(KEYS)
    assert dealt["source"].to_list() != target_levels(answers, KEYS, "shuffled", seed=4)["source"].to_list()
    with pytest.raises(DataError, match="only one item of key -1"):
        target_levels(answers, {"i0": -1, "i1": 1, "i3": 1}, "shuffled")


def test_an_item_keeps_its_draw_whatever_other_items_there_are(answers):
    few = target_levels(answers, dict(list(KEYS.items())[:7]), "meta", seed=2)
    assert few.equals(target_levels(answers, KEYS, "meta", seed=2).head(7))


def test_labels_follow_the_order_of_the_anchors():
    assert [label_of(level, "ascending", "12345") for level in range(1, K + 1)] == list("12345")
    assert [label_of(level, "descending", "12345") for level in range(1, K + 1)] == list("54321")


def test_what_cannot_be_a_target_is_named(answers):
    assert set(KINDS) == {"meta", "self", "helpful", "shuffled", "opposite"}
    for change, message in (
        (answers.filter(pl.col("order") == "ascending"), "one anchor order only"),
        (answers.filter(pl.col("persona") != "meta"), "Persona 'meta' answered nothing"),
        (answers.filter(pl.col("item") != "i5"), "Item 'i5' was not asked"),
        (pl.concat([answers, answers.head(1)]), "item"),
        (answers.with_columns(option_probabilities=pl.Series([[0.0] * K] * answers.height)), "no mass on the labels"),
    ):
        with pytest.raises(DataError, match=message):
            target_levels(change, KEYS, "opposite")
    with pytest.raises(DataError, match=r"Unknown target 'mta'. Did you mean 'meta'"):
        target_levels(answers, KEYS, "mta")
