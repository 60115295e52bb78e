"""Noisy twins against sums written out, and against their own dense form."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import norm
from tests.interviews.conftest import bank_of

from personascope.errors import DataError
from personascope.interviews.twin_targets import (
    item_information,
    score_information,
    score_moments,
    score_reduction,
)
from personascope.interviews.twins import Twins


def dense(twins: Twins) -> np.ndarray:
    """p(answer | person, item), written out person by person."""
    values, k = twins.bank.values, twins.n_options
    p = np.zeros((*values.shape, k))
    for r, q in np.ndindex(*values.shape):
        given = values[:, q][values[:, q] > 0]
        shares = np.array([(given == a + 1).mean() for a in range(k)])
        if values[r, q] < 0:
            p[r, q] = shares
            continue
        kernel = np.array([norm.pdf(a, values[r, q] - 1, twins.sigma) for a in range(k)])
        p[r, q] = (1 - twins.epsilon) * kernel / kernel.sum() + twins.epsilon * shares
    return p


def entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())


def posterior(twins: Twins, history: list[tuple[int, int]]) -> np.ndarray:
    p = dense(twins)
    w = np.ones(len(p)) / len(p)
    for item, option in history:
        w = w * p[:, item, option]
    return w / w.sum()


HISTORY = [(3, 2), (0, 0)]


def told(twins: Twins):
    belief = twins.begin(1)
    for item, option in HISTORY:
        belief.observe(np.array([item]), np.array([option]))
    return belief


def test_equals_brute_force_on_six_people_five_items_three_options(tiny_bank):
    twins = Twins(tiny_bank, sigma=0.8, epsilon=0.1)
    p, belief = dense(twins), told(twins)
    w = posterior(twins, HISTORY)
    assert belief.weights()[0].numpy() == pytest.approx(w, abs=1e-6)
    assert belief.predict()[0] == pytest.approx(np.einsum("r,rqa->qa", w, p), abs=1e-6)
    wanted = [entropy(w @ p[:, q]) - sum(w[r] * entropy(p[r, q]) for r in range(6)) for q in range(5)]
    assert belief.information()[0] == pytest.approx(wanted, abs=1e-6)
    assert belief.entropy()[0] == pytest.approx(entropy(w), abs=1e-6)


def test_information_about_held_out_items_equals_brute_force(tiny_bank):
    twins = Twins(tiny_bank, sigma=0.8, epsilon=0.1)
    p, w, targets = dense(twins), posterior(twins, HISTORY), [1, 4]
    found = item_information(told(twins), np.array(targets))[0]
    for q in (0, 2, 3):
        wanted = 0.0
        for j in targets:
            joint = np.einsum("r,ra,rc->ac", w, p[:, q], p[:, j])
            wanted += entropy(joint.sum(1)) + entropy(joint.sum(0)) - entropy(joint.ravel())
        assert found[q] == pytest.approx(wanted, abs=1e-6)
    assert np.isneginf(found[targets]).all()


def test_reduction_of_a_score_equals_brute_force(tiny_bank):
    twins = Twins(tiny_bank, sigma=0.8, epsilon=0.1)
    p, w, belief = dense(twins), posterior(twins, HISTORY), told(twins)
    scores = np.random.default_rng(2).normal(size=(6, 2))
    mean, sd = score_moments(belief, scores)
    assert mean[0] == pytest.approx(w @ scores, abs=1e-6)
    assert sd[0] == pytest.approx(np.sqrt(w @ scores**2 - (w @ scores) ** 2), abs=1e-5)
    found = score_reduction(belief, scores)[0]
    for q in range(5):
        left = 0.0
        for a in range(3):
            share = (w * p[:, q, a]).sum()
            after = w * p[:, q, a] / share
            left += share * (after @ scores**2 - (after @ scores) ** 2).sum()
        assert found[q] == pytest.approx((sd[0] ** 2).sum() - left, abs=1e-5)
    inside = scores[:, 0] > np.median(scores[:, 0])
    for q in range(5):
        joint = np.stack([(w * side) @ p[:, q] for side in (inside, ~inside)])
        wanted = entropy(joint.sum(1)) + entropy(joint.sum(0)) - entropy(joint.ravel())
        assert score_information(belief, scores[:, 0], 2)[0, q] == pytest.approx(wanted, abs=1e-6)


def test_in_pieces_is_as_at_once(bank):
    whole, pieces = Twins(bank), Twins(bank, memory=bank.values.shape[0] * 5 * 4 * 3)
    assert whole.one_hot is not None
    assert pieces.one_hot is None
    assert pieces.items_at_once == 3
    rng = np.random.default_rng(0)
    beliefs = whole.begin(7), pieces.begin(7)
    for _ in range(3):
        items, options = rng.integers(0, 24, 7), rng.integers(0, 5, 7)
        for belief in beliefs:
            belief.observe(items, options)
    assert beliefs[0].information() == pytest.approx(beliefs[1].information(), abs=1e-5)


def test_interviews_side_by_side_are_interviews_alone(bank):
    twins = Twins(bank)
    rng = np.random.default_rng(0)
    items, options = rng.integers(0, 24, 5), rng.integers(0, 5, 5)
    together = twins.begin(5)
    together.observe(items, options)
    for row in range(5):
        alone = twins.begin(1)
        alone.observe(items[[row]], options[[row]])
        assert together.information()[row] == pytest.approx(alone.information()[0], abs=1e-5)
    assert together.pick(np.array([4, 1])).predict()[1] == pytest.approx(together.predict()[1], abs=1e-6)
    assert together.repeat(2).predict()[3] == pytest.approx(together.predict()[1], abs=1e-6)


def test_exact_match_rules_everybody_else_out(tiny_bank):
    twins = Twins(tiny_bank, sigma=0.0, epsilon=0.0)
    belief = twins.begin(1)
    for item in range(5):
        belief.observe(np.array([item]), np.array([tiny_bank.values[0, item] - 1]))
    alike = ((tiny_bank.values == tiny_bank.values[0]) | (tiny_bank.values < 0)).all(axis=1)
    assert (belief.weights()[0].numpy() > 0).tolist() == alike.tolist()
    assert belief.rank(np.array([0]))[0] == 1
    never = next(
        answers
        for answers in itertools.product(range(3), repeat=5)
        if not ((tiny_bank.values - 1 == answers) | (tiny_bank.values < 0)).all(axis=1).any()
    )
    lost = twins.begin(1)
    with pytest.raises(DataError, match="nobody in the bank answers so"):
        for item, option in enumerate(never):
            lost.observe(np.array([item]), np.array([option]))


def test_forty_certain_answers_do_not_underflow():
    values = np.tile(np.arange(1, 6), (40, 1)).T
    belief = Twins(bank_of(values, 5), sigma=0.3, epsilon=1e-6).begin(1)
    for item in range(40):
        belief.observe(np.array([item]), np.array([2]))
    assert belief.weights()[0].numpy() == pytest.approx([0, 0, 1, 0, 0])
    assert np.isfinite(belief.log2_posterior(np.array([0]))).all()


def test_a_prior_weighs(tiny_bank):
    prior = np.array([0.0, 3.0, 1.0, 0.0, 0.0, 0.0])
    belief = Twins(tiny_bank, prior=prior).begin(1)
    assert belief.weights()[0].numpy() == pytest.approx([0, 0.75, 0.25, 0, 0, 0])


def test_another_day_is_drawn_from_the_model(bank):
    twins = Twins(bank, sigma=1.0, epsilon=0.05)
    drawn = twins.draw(np.zeros(4000, dtype=int), seed=0)
    shares = np.stack([(drawn == a + 1).mean(axis=0) for a in range(5)], axis=1)
    wanted = twins.answers[np.arange(24), bank.values[0] - 1]
    assert np.abs(shares - wanted).max() < 0.03


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bank": bank_of(np.ones((1, 3)), 3)}, "A bank of 1 respondent"),
        ({"bank": bank_of(np.array([[1, -1], [2, -1]]), 3)}, "Nobody in the bank answered 'q1'"),
        ({"sigma": -1.0}, "sigma -1.0"),
        ({"epsilon": 1.0}, "epsilon 1.0"),
        ({"prior": np.zeros(6)}, "no distribution"),
        ({"prior": np.full(6, np.nan)}, "no distribution"),
    ],
)
def test_what_is_no_bank_is_refused(tiny_bank, change, message):
    with pytest.raises(DataError, match=message):
        Twins(**({"bank": tiny_bank} | change))
