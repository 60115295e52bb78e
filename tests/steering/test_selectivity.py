"""Selectivity of planted effects, against plain loops and closed forms."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from personascope.errors import ActivationError, DataError
from personascope.steering.selectivity import Selectivity, selectivity
from personascope.steering.selectivity_index import cosine_correlation, selectivity_index

GRID = (-0.2, -0.1, 0.0, 0.1, 0.2)
FACETS = ("sincerity", "fearfulness", "patience", "prudence")


def measured(
    effect: np.ndarray, yes: float = 0.0, noise: float = 0.0, n_random: int = 3, per_key: int = 4, **settings: Any
) -> Selectivity:
    """Agreement moves by (key * effect + yes + noise) * c / 0.1; random directions have no effect."""
    n = len(effect)
    facet = np.repeat(np.arange(len(FACETS)), 2 * per_key)
    key = np.tile(np.repeat([1, -1], per_key), len(FACETS))
    rng = np.random.default_rng(1)
    slope = np.concatenate([effect, np.zeros((n_random, len(FACETS)))])[:, facet].T * key[:, None] + yes
    slope = slope + rng.normal(0, noise, slope.shape) if noise else slope
    answers = rng.normal(0, 0.3, (len(facet), 1, 1)) + slope[:, :, None] * np.array(GRID) / 0.1
    steered = [*FACETS[:n], *[None] * n_random]
    names = [*(f"to {name}" for name in FACETS[:n]), *(f"random {k}" for k in range(1, n_random + 1))]
    return selectivity(
        answers,
        [FACETS[f] for f in facet],
        key,
        directions=names,
        steered=steered,
        coefficients=GRID,
        at=settings.pop("at", 0.1),
        **settings,
    )


PLANTED = np.array([[0.30, 0.02, -0.05, 0.0], [0.1, 0.2, 0.0, 0.0], [0.0, -0.4, 0.1, 0.0], [0.0, 0.0, 0.05, 0.25]])


def test_planted_effects_come_back_with_yea_saying_beside_them() -> None:
    effects = measured(PLANTED, yes=0.15)
    assert np.allclose(effects.effect[:4], PLANTED)
    assert np.allclose(effects.effect[4:], 0.0)
    row = effects.frame().filter((pl.col("steered") == "sincerity") & pl.col("own")).row(0, named=True)
    assert row["positive"] == pytest.approx(0.45)
    assert row["negative"] == pytest.approx(-0.15)
    assert row["acquiescence"] == pytest.approx(0.15)
    assert (row["low"], row["high"], row["n_items"]) == (pytest.approx(0.3), pytest.approx(0.3), 8)
    assert effects.frame()["own"].sum() == 4
    assert np.allclose(measured(PLANTED, at=0.2).effect[:4], 2 * PLANTED)


def test_each_direction_is_weighed_as_by_hand() -> None:
    table = measured(PLANTED, yes=0.0, noise=0.0).by_direction()
    assert table["own_effect"].to_list() == pytest.approx([0.3, 0.2, 0.1, 0.25])
    assert table["off_diagonal"].to_list() == pytest.approx([0.07 / 3, 0.1 / 3, 0.4 / 3, 0.05 / 3])
    assert table["selectivity"].to_list() == pytest.approx(
        [0.3 - 0.07 / 3, 0.2 - 0.1 / 3, 0.1 - 0.4 / 3, 0.25 - 0.05 / 3]
    )
    # patience rises by less than fearfulness falls
    assert table["rank"].to_list() == [1, 1, 2, 1]
    assert table["keys_agree"].all()
    assert table["p"].to_list() == [0.25] * 4  # beyond all three random directions


def test_an_own_facet_that_falls_comes_last() -> None:
    table = measured(np.diag([-0.5, 0.2, 0.2, 0.2]) + 0.01).by_direction()
    assert table["rank"].to_list()[:2] == [4, 1]
    assert table["selectivity"][0] < -0.4


def test_yea_saying_alone_is_no_effect_and_the_keys_disagree() -> None:
    effects = measured(np.zeros((4, 4)), yes=0.3)
    assert np.allclose(effects.effect, 0.0)
    assert not effects.by_direction()["keys_agree"].any()


def test_intervals_are_those_of_a_plain_loop_within_facet_and_key() -> None:
    effects = measured(PLANTED, noise=0.2, n_resamples=300, seed=5)
    again = measured(PLANTED, noise=0.2, n_resamples=1000, seed=6)
    facet, per_key = np.repeat(np.arange(4), 8), 4
    key = np.tile(np.repeat([1, -1], per_key), 4)
    rng = np.random.default_rng(1)
    slope = np.concatenate([PLANTED, np.zeros((3, 4))])[:, facet].T * key[:, None]
    slope = slope + rng.normal(0, 0.2, slope.shape)
    loop, draw = np.zeros((1000, 7, 4)), np.random.default_rng(9)
    for r in range(1000):
        for f in range(4):
            means = [
                slope[draw.choice(np.flatnonzero((facet == f) & (key == k)), per_key)].mean(axis=0) for k in (1, -1)
            ]
            loop[r, :, f] = (means[0] - means[1]) / 2
    low, high = np.quantile(loop, [0.025, 0.975], axis=0)
    frame = again.frame()
    assert np.allclose(frame["low"], low.reshape(-1), atol=0.025)
    assert np.allclose(frame["high"], high.reshape(-1), atol=0.025)
    assert np.allclose(effects.effect_draws.mean(axis=0), effects.effect, atol=0.03)


def test_the_index_and_its_p_are_those_of_all_assignments() -> None:
    effects = measured(PLANTED, noise=0.3)
    e = effects.effect[:4]
    everything = [
        np.mean([e[i, j] - np.mean([abs(e[i, k]) for k in range(4) if k != j]) for i, j in enumerate(order)])
        for order in permutations(range(4))
    ]
    row = selectivity_index(effects, n_permutations=40_000).row(0, named=True)
    assert row["index"] == pytest.approx(everything[0])
    assert row["p"] == pytest.approx(np.mean(np.array(everything) >= everything[0] - 1e-12), abs=0.01)
    assert row["low"] < row["index"] < row["high"]
    assert row["diagonal"] - row["off_diagonal"] == pytest.approx(row["index"])
    assert row["random"] == pytest.approx(np.abs(effects.effect[4:]).mean())
    assert (row["n_directions"], row["n_facets"]) == (4, 4)


def test_directions_under_wrong_names_are_not_selective() -> None:
    right, wrong = (selectivity_index(measured(m, noise=0.1)) for m in (np.eye(4), np.roll(np.eye(4), 1, axis=1)))
    assert right["p"][0] < 0.06 and right["rank_one"][0] == 4
    assert wrong["p"][0] > 0.5 and wrong["index"][0] < 0


def test_some_of_the_measured_facets_can_be_steered() -> None:
    effects = measured(PLANTED[:2], noise=0.0)
    assert effects.by_direction()["n_facets"].to_list() == [4, 4]
    assert selectivity_index(effects)["index"][0] == pytest.approx((0.3 - 0.07 / 3 + 0.2 - 0.1 / 3) / 2)


def test_effects_that_follow_the_cosines_correlate_off_the_diagonal() -> None:
    rng = np.random.default_rng(0)
    cosines = rng.normal(0, 0.2, (4, 4))
    cosines = np.where(np.eye(4, dtype=bool), 1.0, (cosines + cosines.T) / 2)
    cosines[0, 1] = cosines[1, 0] = 0.5
    effects = measured(0.2 * cosines, noise=0.02)
    row = cosine_correlation(effects, cosines).row(0, named=True)
    off = ~np.eye(4, dtype=bool)
    assert row["r"] == pytest.approx(stats.pearsonr(effects.effect[:4][off], cosines[off])[0])
    assert row["low"] <= row["r"] <= row["high"]
    assert row["r"] > 0.9 and row["low"] > 0.7 and row["p"] < 0.1 and row["n"] == 12
    # the diagonal alone makes a correlation that is not there
    bare = cosine_correlation(measured(0.3 * np.eye(4), noise=0.02), cosines).row(0, named=True)
    assert bare["r_with_diagonal"] > 0.8 > abs(bare["r"]) and bare["p"] > 0.05


def test_cosines_that_do_not_vary_have_no_correlation() -> None:
    row = cosine_correlation(measured(PLANTED, noise=0.1), np.eye(4)).row(0, named=True)
    assert (row["r"], row["low"], row["p"]) == (None, None, None)


def test_one_item_of_a_key_leaves_no_interval() -> None:
    effects = measured(PLANTED, per_key=1)
    assert effects.frame()["low"].null_count() == effects.frame().height
    assert effects.by_direction()["low"].null_count() == 4
    assert selectivity_index(effects)["low"][0] is None


def ask(**changes: Any) -> Selectivity:
    given: dict[str, Any] = {
        "agreement": np.zeros((8, 2, 5)),
        "facet": ["a"] * 4 + ["b"] * 4,
        "key": np.tile([1, -1], 4),
        "directions": ["to a", "random 1"],
        "steered": ["a", None],
        "coefficients": GRID,
        "at": 0.1,
    }
    given |= changes
    return selectivity(given.pop("agreement"), given.pop("facet"), given.pop("key"), **given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"at": 0.15}, "not among the coefficients"),
        ({"at": 0.0}, "not among the coefficients"),
        ({"steered": ["c", None]}, "'c' is not measured"),
        ({"steered": ["a", "a"]}, "one direction"),
        ({"steered": [None, None]}, "one direction"),
        ({"facet": ["a"] * 8}, "two facets or more"),
        ({"key": np.array([1, 1, 1, 1, 1, -1, 1, -1])}, "'a' has items of one key only"),
        ({"directions": ["to a"]}, "Agreement of shape"),
        ({"key": np.zeros(8, dtype=int)}, "key of"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        ask(**changes)


def test_nan_agreement_and_foreign_cosines_are_refused() -> None:
    agreement = np.zeros((8, 2, 5))
    agreement[5, 0, 1] = np.nan
    with pytest.raises(ActivationError, match="Item 5"):
        ask(agreement=agreement)
    with pytest.raises(DataError, match="Cosines of shape"):
        cosine_correlation(measured(PLANTED), np.eye(3))
    with pytest.raises(DataError, match="needs two"):
        selectivity_index(ask())
