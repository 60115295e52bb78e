"""Two options: utilities and taste are recovered, and active pairs need fewer comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr
from tests.interviews.conftest import bank_of

from personascope.errors import DataError
from personascope.interviews import planners
from personascope.interviews.interview import Stop, conduct
from personascope.interviews.latent import LatentTraits
from personascope.interviews.population import draw_people
from personascope.interviews.taste import (
    all_pairs,
    binned,
    pairs_of_ratings,
    preference_model,
    taste_model,
    thumbs,
)


def choosers(n: int, things: int, seed: int):
    """Planted utilities of respondents, with a liking for the first, and their choices of all pairs."""
    rng = np.random.default_rng(seed)
    utilities, order = rng.normal(0, 3.0, (n, things)), rng.normal(0, 1.0, (n, 1))
    first, second = np.array(all_pairs(things)).T
    p_first = ndtr(utilities[:, first] - utilities[:, second] + order)
    return utilities, order[:, 0], (rng.random(p_first.shape) < p_first).astype(np.int8) + 1


def recovered(model, held, at: int) -> np.ndarray:
    belief = model.begin(len(held.asked))
    for place in range(at):
        belief.observe(held.asked[:, place], held.answers[:, place] - 1)
    return belief.traits()[0]


def mean_r(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(one, other, strict=True)]))


def test_planted_utilities_come_back_and_order_is_not_taken_for_liking():
    names = [f"t{n}" for n in range(16)]
    model = preference_model(names)
    utilities, order, answers = choosers(20, 16, 0)
    held = conduct(model, planners.at_random(), answers, stop=Stop(120))
    assert mean_r(recovered(model, held, 120), utilities) > 0.95
    belief = model.begin(20)
    for place in range(120):
        belief.observe(held.asked[:, place], held.answers[:, place] - 1)
    assert np.corrcoef(belief.mean[:, -1], order)[0, 1] > 0.9
    assert belief.traits()[0].sum(axis=1) == pytest.approx(np.zeros(20), abs=1e-8)


def test_chosen_pairs_reach_as_much_with_at_most_60_percent_of_random_ones():
    model = preference_model([f"t{n}" for n in range(20)])
    utilities, _, answers = choosers(24, 20, 1)
    random = conduct(model, planners.at_random(), answers, stop=Stop(100))
    chosen = conduct(model, planners.by_trait_variance(), answers, stop=Stop(60))
    assert mean_r(recovered(model, chosen, 60), utilities) >= mean_r(recovered(model, random, 100), utilities)


def test_taste_of_new_people_is_found_by_pairs_of_what_others_rated():
    rng = np.random.default_rng(2)
    loadings = rng.normal(0, 0.6, (14, 2))
    cuts = np.sort(rng.normal(0, 1, (14, 4)), axis=1) + np.arange(4) * 0.2
    ratings = LatentTraits(tuple(f"f{n}" for n in range(14)), loadings, cuts, np.full(14, 0.5), np.zeros(2), np.eye(2))
    traits, values = draw_people(ratings, 60, 3)
    pairs = pairs_of_ratings(bank_of(values, 5))
    model = taste_model(ratings)
    held = conduct(model, planners.by_trait_variance(), pairs.values, stop=Stop(20))
    belief = model.begin(60)
    for place in range(held.asked.shape[1]):
        on = np.flatnonzero(held.asked[:, place] >= 0)
        told = belief.pick(on)
        told.observe(held.asked[on, place], held.answers[on, place] - 1)
        belief = belief.with_(on, told)
    for trait in range(2):
        assert np.corrcoef(belief.traits()[0][:, trait], traits[:, trait])[0, 1] > 0.75


def test_ratings_become_pairs_thumbs_and_bins():
    ratings = bank_of(np.array([[5, 3, -1], [2, 3, 3]]), 5)
    pairs = [(0, 1), (1, 2)]
    assert pairs_of_ratings(ratings, pairs).values.tolist() == [[2, -1], [1, -1]]
    assert pairs_of_ratings(ratings, pairs, least=2).values.tolist() == [[2, -1], [-1, -1]]
    assert pairs_of_ratings(ratings, pairs).items == ("q0|q1", "q1|q2")
    assert thumbs(ratings, 3).values.tolist() == [[2, 2, -1], [1, 2, 2]]
    found = binned(np.array([[0.1, 0.9], [0.5, np.nan]]), 2)
    assert found.tolist() == [[1, 2], [2, -1]]


def test_every_pair_stands_once_and_orders_are_balanced():
    pairs = all_pairs(9)
    assert len({frozenset(pair) for pair in pairs}) == len(pairs) == 36
    first = np.bincount([i for i, _ in pairs], minlength=9)
    assert first.max() - first.min() <= 1


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([(0, 0), (1, 2)], "none of 3 things"),
        ([(0, 3), (1, 2)], "none of 3 things"),
        ([(0, 1), (1, 0), (1, 2)], "stands twice"),
        ([(0, 1)], "leave 2 groups"),
    ],
)
def test_what_cannot_be_compared_is_refused(pairs, message):
    with pytest.raises(DataError, match=message):
        preference_model(["a", "b", "c"], pairs)


def test_what_are_no_ratings_is_refused():
    ratings = bank_of(np.array([[5, 3], [2, 3]]), 5)
    with pytest.raises(DataError, match="least is 0"):
        pairs_of_ratings(ratings, least=0)
    for up in (1, 6):
        with pytest.raises(DataError, match="up is"):
            thumbs(ratings, up)
    with pytest.raises(DataError, match="1 infinite scores"):
        binned(np.array([[np.inf, 1.0]]), 2)
