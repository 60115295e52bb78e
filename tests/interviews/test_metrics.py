"""Identification and prediction against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest

from personascope.errors import DataError
from personascope.interviews import planners
from personascope.interviews.fitting import fit_gaussian
from personascope.interviews.interview import Stop, conduct
from personascope.interviews.metrics import identification, prediction
from personascope.interviews.twins import Twins


@pytest.fixture(scope="module")
def twins(bank):
    return Twins(bank)


def test_the_prior_and_the_end_are_known(bank, twins):
    truth = np.array([3, 8, 40])
    answers = bank.values[truth]
    exact = Twins(bank, sigma=0.1, epsilon=1e-6)
    held = conduct(exact, planners.in_order(n_items=24), answers, stop=Stop(24))
    found = identification(exact, held, truth, [0, 24], n_resamples=100)
    assert found["log2_p"].to_list() == pytest.approx([-np.log2(200), 0], abs=1e-4)
    assert found["rank"].to_list() == [100.0, 1.0]
    assert found["top_1"].to_list() == [0.0, 1.0]
    assert found["bits_per_question"].to_list() == [None, pytest.approx(np.log2(200) / 24, abs=1e-4)]


def test_an_interview_that_ended_stays_as_it_was(bank, twins):
    truth = np.arange(20)
    answers = twins.draw(truth, 0)
    short = conduct(twins, planners.by_information(), answers, stop=Stop(24, bits=3.0))
    found = identification(twins, short, truth, [24], n_resamples=100)
    alone = []
    for row, length in enumerate(short.lengths):
        belief = twins.begin(1)
        for place in range(length):
            belief.observe(short.asked[row, [place]], short.answers[row, [place]] - 1)
        alone.append(belief.log2_posterior(truth[[row]])[0])
    assert found["log2_p"][0] == pytest.approx(np.mean(alone), abs=1e-6)


def test_prediction_is_by_the_posterior(bank):
    model = fit_gaussian(bank)
    held = ("q1", "q9")
    asked = conduct(model, planners.by_items(model, held), bank.values[:8], stop=Stop(4), held_out=held)
    spread = bank.values.std(axis=0)
    found = prediction(model, asked, bank.values[:8], held, [0, 4], spread=spread, n_resamples=100)
    squares, surprise = [], []
    for row in range(8):
        belief = model.begin(1)
        for place in range(4):
            belief.observe(asked.asked[row, [place]], asked.answers[row, [place]] - 1)
        for item in (1, 9):
            p = belief.predict()[0, item]
            own = bank.values[row, item]
            squares.append(((p @ np.arange(1, 6) - own) / spread[item]) ** 2)
            surprise.append(-np.log2(p[own - 1]))
    assert found["rmse"][1] == pytest.approx(np.sqrt(np.mean(squares)))
    assert found["bits"][1] == pytest.approx(np.mean(surprise))
    assert found["rmse"][1] < found["rmse"][0]
    assert (found["low"] < found["rmse"]).all()


def test_a_missing_answer_is_not_scored(bank):
    model, answers = fit_gaussian(bank), bank.values[:6].copy()
    answers[:3, 1] = -1
    asked = conduct(model, planners.in_order(n_items=24), answers, stop=Stop(3), held_out=("q1",))
    found = prediction(model, asked, answers, ["q1"], [3], spread=bank.values.std(axis=0), n_resamples=100)
    assert found["n"][0] == 3


def test_what_was_asked_is_not_predicted(bank, twins):
    asked = conduct(twins, planners.in_order(n_items=24), bank.values[:3], stop=Stop(3))
    with pytest.raises(DataError, match="held-out item 'q2' was asked"):
        prediction(twins, asked, bank.values[:3], ["q2"], [3], spread=np.ones(24))
    with pytest.raises(DataError, match="2 places for 3 interviews"):
        identification(twins, asked, np.arange(2), [3])
