"""The baseline that knows items and not the person, and whether expectations can be trusted."""

from __future__ import annotations

import numpy as np
import pytest
from tests.interviews.conftest import bank_of

from personascope.errors import DataError
from personascope.interviews import planners
from personascope.interviews.calibration import calibration
from personascope.interviews.interview import Stop, conduct
from personascope.interviews.marginals import Marginals
from personascope.interviews.metrics import expectations, prediction, prediction_errors, surprises


def test_shares_are_counts_with_half_an_answer_more_of_each_option(tiny_bank):
    model = Marginals(tiny_bank)
    counts = np.array([[(column == option).sum() for option in (1, 2, 3)] for column in tiny_bank.values.T])
    assert model.shares == pytest.approx((counts + 0.5) / (counts.sum(axis=1, keepdims=True) + 1.5))


def test_unseen_items_have_the_shares_of_all_others_whatever_was_answered_to_them(tiny_bank):
    model = Marginals(tiny_bank, unseen=("q0",))
    others = tiny_bank.values[:, 1:]
    counts = np.array([(others == option).sum() for option in (1, 2, 3)])
    assert model.shares[0] == pytest.approx((counts + 0.5) / (counts.sum() + 1.5))
    changed = bank_of(np.concatenate([np.full((6, 1), 3), others], axis=1), 3)
    assert Marginals(changed, unseen=("q0",)).shares == pytest.approx(model.shares)
    with pytest.raises(DataError, match="No answer is left"):
        Marginals(tiny_bank, unseen=tiny_bank.items)


def test_answers_change_nothing_and_it_can_be_asked_like_any_model(tiny_bank):
    model = Marginals(tiny_bank)
    belief = model.begin(2)
    before = belief.predict().copy()
    belief.observe(np.array([0, 1]), np.array([2, 0]))
    assert np.array_equal(belief.predict(), before)
    assert belief.repeat(3).n == 6 and belief.pick(np.array([1])).n == 1
    assert not belief.information().any() and not belief.entropy().any()
    held = conduct(model, planners.at_random(), tiny_bank.values, stop=Stop(2))
    assert held.lengths.tolist() == [2] * 6


def test_errors_of_expectations_are_those_of_the_model(bank):
    model, held_out = Marginals(bank), ("q0", "q5")
    held = conduct(model, planners.at_random(), bank.values[:9], stop=Stop(4), held_out=held_out)
    spread = bank.values.std(axis=0)
    whole = prediction(model, held, bank.values[:9], held_out, [0, 4], spread=spread, n_resamples=50)
    expected = expectations(model, held, held_out, [0, 4])
    truth = bank.values[:9, [0, 5]].astype(int)
    again = prediction_errors(expected, truth, planner="random", spread=spread[[0, 5]], n_resamples=50)
    assert again.equals(whole)
    bits = -np.log2(np.take_along_axis(model.shares[[0, 5]][None], truth[..., None] - 1, -1)[..., 0])
    assert surprises(expected[4], truth) == pytest.approx(bits)
    assert whole["bits"][1] == pytest.approx(bits.mean())
    truth[0] = -1
    assert np.isnan(surprises(expected[4], truth)[0]).all()


def test_who_draws_by_what_it_expects_is_calibrated_and_who_overstates_is_not():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(4, 0.7), size=(400, 30))
    truth = 1 + (rng.random((400, 30, 1)) > p.cumsum(axis=-1)[..., :-1]).sum(axis=-1)
    found = calibration(p, truth, n_bins=10)
    assert found["n"].sum() == 400 * 30 * 4
    assert found["p"].is_sorted()
    assert found["error"][0] < 0.01
    assert ((found["low"] <= found["p"]) & (found["p"] <= found["high"])).sum() >= 8
    sharp = p**3 / (p**3).sum(axis=-1, keepdims=True)
    assert calibration(sharp, truth, n_bins=10)["error"][0] > 0.05
    gone = truth.copy()
    gone[:, 0] = -1
    assert calibration(p, gone)["n"].sum() == 400 * 29 * 4
    with pytest.raises(DataError, match="0 answers for 8 bins"):
        calibration(p, np.full_like(truth, -1))
