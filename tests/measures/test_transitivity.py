import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, ndtr

from personascope.errors import DataError
from personascope.measures import transitivity as module
from personascope.measures.outcomes import Outcomes
from personascope.measures.transitivity import transitivity
from personascope.measures.utilities import Utilities


def scale(values, bias=0.0):
    """Utilities as a fit would hold them."""
    n = len(values)
    return Utilities(np.asarray(values, dtype=float), np.ones(n), bias, 1.0, 0.0, 1, 1, 0.0, True)


def complete(p):
    """Every unordered pair once, smaller index first; p[i, j] is the probability that i is chosen."""
    i, j = np.triu_indices(len(p), 1)
    return Outcomes.soft(i, j, p[i, j], 1 - p[i, j])


def naive(outcomes, values, bias, cdf):
    """The docstring's formula, triad by triad: (observed, expected, majority) over triads."""
    share, fitted, total = {}, {}, {}
    for i, j, chosen, w in zip(
        outcomes.first.tolist(), outcomes.second.tolist(), outcomes.chose_first, outcomes.weights, strict=True
    ):
        model = cdf(values[i] - values[j] + bias)
        for pair, count, p in (((i, j), chosen, model), ((j, i), w - chosen, 1 - model)):
            share[pair] = share.get(pair, 0) + count
            fitted[pair] = fitted.get(pair, 0) + w * p
            total[pair] = total.get(pair, 0) + w
    rows = []
    for a, b, c in itertools.combinations(range(len(values)), 3):
        if all(total.get(pair, 0) for pair in ((a, b), (b, c), (a, c))):

            def circle(q, a=a, b=b, c=c):
                q = {pair: q[pair] / total[pair] for pair in q if total[pair]}
                return q[a, b] * q[b, c] * q[c, a] + q[b, a] * q[c, b] * q[a, c]

            p = {pair: share[pair] / total[pair] for pair in share if total[pair]}
            major = {pair: float(value > 0.5) for pair, value in p.items()}
            tied = any(p[pair] == 0.5 for pair in ((a, b), (b, c), (a, c)))
            one = {pair: major[pair] * total[pair] for pair in major}
            rows.append((circle(share), circle(fitted), np.nan if tied else circle(one)))
    return np.array(rows)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["logistic", "probit"]))
def test_agrees_with_triads_one_by_one(seed, link):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 9))
    first = rng.integers(n, size=40)
    second = (first + rng.integers(1, n, size=40)) % n
    counts = rng.integers(0, 3, size=(3, 40)).astype(float)
    outcomes = Outcomes(first, second, *counts, np.zeros(40))
    values = rng.normal(size=n)
    rows = naive(outcomes, values, 0.7, {"logistic": expit, "probit": ndtr}[link])
    if not len(rows):
        return
    found = transitivity(outcomes, scale(values, 0.7), link=link, n_resamples=0)
    assert found.cyclic == pytest.approx(rows[:, 0].mean())
    assert found.expected == pytest.approx(rows[:, 1].mean())
    assert found.excess == pytest.approx(found.cyclic - found.expected)
    assert (found.n_triads, found.n_tied) == (len(rows), np.isnan(rows[:, 2]).sum())
    if found.majority is not None:
        assert found.majority == pytest.approx(np.nanmean(rows[:, 2]))
    assert not found.sampled
    assert found.low is found.excess_high is None


def test_a_ranking_never_circles_and_a_coin_does_in_a_quarter():
    u = np.arange(12.0)
    ranked = transitivity(complete((u[:, None] > u).astype(float)), scale(10 * u), n_resamples=200)
    assert (ranked.cyclic, ranked.majority, ranked.low, ranked.high) == (0, 0, 0, 0)
    assert ranked.expected == pytest.approx(0, abs=1e-4)
    coin = transitivity(complete(np.full((12, 12), 0.5)), scale(np.zeros(12)))
    assert coin.cyclic == pytest.approx(module.CHANCE)
    assert coin.majority is None
    assert coin.n_tied == coin.n_triads == 220
    assert coin.frame().height == 1
    rng = np.random.default_rng(0)
    hard = transitivity(complete((rng.random((60, 60)) < 0.5).astype(float)), scale(np.zeros(60)))
    assert hard.low < hard.cyclic < hard.high
    assert hard.cyclic == hard.majority == pytest.approx(0.25, abs=0.02)


def test_stone_paper_scissors_always_circles():
    p = np.array([[0.5, 1, 0], [0, 0.5, 1], [1, 0, 0.5]])
    found = transitivity(complete(p), scale(np.zeros(3)))
    assert (found.cyclic, found.majority, found.expected, found.n_triads) == (1, 1, 0.25, 1)
    assert found.low is None  # one triad shows no spread


def test_choices_of_a_scale_circle_as_often_as_expected_and_others_more():
    rng = np.random.default_rng(1)
    i, j = np.triu_indices(40, 1)
    first, second = np.append(i, j), np.append(j, i)
    u = rng.normal(0, 1.5, 40)
    wins = rng.random(len(first)) < expit(u[first] - u[second] + 0.8)
    outcomes = Outcomes.sampled(first, second, np.where(wins, "first", "second").tolist())
    found = transitivity(outcomes, outcomes.fit(n_tasks=40))
    assert found.excess_low < 0 < found.excess_high
    assert 0.05 < found.expected < 0.2
    # Twelve games of stone, paper, scissors, beside each other: no scale can follow.
    stone = 3 * np.arange(12)
    first, second = np.concatenate([stone, stone + 1, stone + 2]), np.concatenate([stone + 1, stone + 2, stone])
    won = np.full(36, 0.9)
    outcomes = Outcomes.soft(first, second, won, 1 - won)
    found = transitivity(outcomes, outcomes.fit(n_tasks=36), n_resamples=200)
    assert found.cyclic == pytest.approx(0.9**3 + 0.1**3)
    assert found.majority == 1
    assert found.n_triads == 12


def test_order_bias_is_part_of_what_is_expected():
    # Each pair in one order only and the first always taken: circles without end, all due to order.
    rng = np.random.default_rng(2)
    i, j = np.triu_indices(30, 1)
    swap = rng.random(len(i)) < 0.5
    first, second = np.where(swap, j, i), np.where(swap, i, j)
    outcomes = Outcomes.soft(first, second, np.ones(len(i)), np.zeros(len(i)))
    found = transitivity(outcomes, scale(np.zeros(30), bias=20.0))
    assert found.cyclic == pytest.approx(found.expected, abs=1e-6)
    assert found.cyclic > 0.2


def test_refusals_and_names_of_tasks_do_not_matter():
    rng = np.random.default_rng(3)
    p = rng.random((15, 15))
    p = np.triu(p, 1) + np.tril(1 - p.T, -1)
    u = rng.normal(size=15)
    plain = transitivity(complete(p), scale(u), n_resamples=0)
    new = rng.permutation(15)
    q, v = np.empty_like(p), np.empty(15)
    q[np.ix_(new, new)], v[new] = p, u
    renamed = transitivity(complete(q), scale(v), n_resamples=0)
    assert (renamed.cyclic, renamed.expected) == (pytest.approx(plain.cyclic), pytest.approx(plain.expected))
    i, j = np.triu_indices(15, 1)
    less = transitivity(Outcomes.soft(i, j, p[i, j] / 2, (1 - p[i, j]) / 2, 0.5), scale(u), n_resamples=0)
    assert less.cyclic == pytest.approx(plain.cyclic)


def test_a_sample_of_many_triads_is_uniform(monkeypatch):
    rng = np.random.default_rng(4)
    p = (rng.random((50, 50)) < 0.5).astype(float)
    outcomes = complete(np.triu(p, 1) + np.tril(1 - p.T, -1))
    full = transitivity(outcomes, scale(np.zeros(50)), n_resamples=0)
    assert full.n_triads == 19_600
    capped = transitivity(outcomes, scale(np.zeros(50)), max_triads=4000, n_resamples=0)
    assert (capped.n_triads, capped.sampled) == (4000, True)
    assert capped.cyclic == pytest.approx(full.cyclic, abs=4 * (0.1875 / 4000) ** 0.5)
    monkeypatch.setattr(module, "_ENUMERATED", 5000)
    drawn = transitivity(outcomes, scale(np.zeros(50)), n_resamples=0)
    assert drawn.sampled
    assert 4000 < drawn.n_triads <= 5000
    assert drawn.cyclic == pytest.approx(full.cyclic, abs=4 * (0.1875 / 4400) ** 0.5)
    # Uniform over triads: the middle task of a complete design has i * (n - 1 - i) of them.
    triads, _ = module._triads(np.flatnonzero(np.triu(np.ones((50, 50)), 1)), 50, 10**6, rng)
    middle = np.bincount(triads[:, 1], minlength=50) / len(triads)
    theory = np.arange(50) * (49 - np.arange(50)) / 19_600
    np.testing.assert_allclose(middle, theory, atol=5 * (0.035 / len(triads)) ** 0.5)


def test_intervals_cover_what_the_tasks_come_from():
    # Tasks with u ~ N(0, 1) and sampled choices: the population value by a large simulation.
    rng = np.random.default_rng(5)
    u = rng.normal(size=(3, 200_000))
    ij, jk, ik = expit(u[0] - u[1]), expit(u[1] - u[2]), expit(u[0] - u[2])
    truth = np.mean(ij * jk * (1 - ik) + (1 - ij) * (1 - jk) * ik)
    covered = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        v = rng.normal(size=25)
        wins = (rng.random((25, 25)) < expit(v[:, None] - v)).astype(float)
        found = transitivity(complete(wins), scale(v), n_resamples=200, seed=seed)
        covered.append(found.low <= truth <= found.high)
    assert np.mean(covered) > 0.85


def test_designs_without_triangles_and_foreign_utilities_are_refused():
    chain = Outcomes.soft(np.arange(5), np.arange(1, 6), np.full(5, 0.6), np.full(5, 0.4))
    with pytest.raises(DataError, match="No three tasks of which all pairs were answered, among 5 pairs of 6"):
        transitivity(chain, scale(np.zeros(6)))
    with pytest.raises(DataError, match="name task 5, but there are 4"):
        transitivity(chain, scale(np.zeros(4)))
    refused = Outcomes.sampled(np.array([0, 1, 0]), np.array([1, 2, 2]), ["refusal"] * 3)
    with pytest.raises(DataError, match="No three tasks"):
        transitivity(refused, scale(np.zeros(3)))
