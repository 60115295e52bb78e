"""Expert iteration on an interviewer that learns which questions are worth asking."""

from __future__ import annotations

import numpy as np
import pytest

from personascope.errors import DataError
from personascope.interviews import planners
from personascope.interviews.expert_iteration import expert_iteration, gain_per_question, rounds_frame
from personascope.interviews.fitting import fit_gaussian
from personascope.interviews.interview import Stop, conduct
from personascope.interviews.metrics import prediction

HELD = ("q0", "q1", "q2")


@pytest.fixture(scope="module")
def model(bank):
    return fit_gaussian(bank)


def test_the_score_is_the_fall_of_surprise_by_question(bank, model):
    held = conduct(model, planners.by_items(model, HELD), bank.values[:20], stop=Stop(4), held_out=HELD)
    scores = gain_per_question(model, held, bank.values[:20], HELD)
    bits = prediction(model, held, bank.values[:20], HELD, [0, 4], spread=np.ones(24), n_resamples=2)["bits"]
    assert scores.mean() == pytest.approx((bits[0] - bits[1]) / 4)
    with pytest.raises(DataError, match="was asked"):
        gain_per_question(model, held, bank.values[:20], (model.items[int(held.asked[0, 0])],))


class Interviewer:
    """Asks at random by weights, and takes the questions of the interviews that it learns from for good ones."""

    def __init__(self, bank, model, seed=0):
        self.bank, self.model, self.weights = bank, model, np.ones(24)
        self.weights[:3] = 0
        self.seed = seed

    def interviews(self, rows, number):
        rng = np.random.default_rng([self.seed, number])
        subset = np.zeros((len(rows), 24), dtype=bool)
        for place in range(len(rows)):
            subset[place, rng.choice(24, 3, replace=False, p=self.weights / self.weights.sum())] = True
        answers, names = self.bank.values[rows], [f"p{row}" for row in rows]
        held = conduct(
            self.model, planners.at_random(), answers, stop=Stop(3), respondents=names, subset=subset, held_out=HELD
        )
        return held, gain_per_question(self.model, held, answers, HELD)

    def hold(self, number):
        return (*self.interviews(np.repeat(np.arange(120), 6), number), 72)

    def learn(self, transcripts, _number):
        self.weights = np.bincount(transcripts.asked[transcripts.asked >= 0], minlength=24) + 0.2
        self.weights[:3] = 0

    def judge(self, number):
        rows = np.arange(120, 200)
        return np.concatenate([self.interviews(rows, 100 * number + again)[1] for again in range(1, 9)])


def test_two_rounds_raise_the_gain_of_held_out_people(bank, model):
    one = Interviewer(bank, model)
    found = rounds_frame(expert_iteration(one.hold, one.learn, one.judge, rounds=2))
    assert found["gain"].to_list() == sorted(found["gain"].to_list())
    assert found["low"][-1] > found["high"][0]
    assert found["kept"].to_list() == [0, *[180] * (found.height - 1)]
    assert found["synthetic_share"][1] == pytest.approx(0.1)


def test_it_stops_when_nothing_is_gained(bank, model):
    one = Interviewer(bank, model)
    found = expert_iteration(one.hold, lambda *_: None, lambda _: np.array([0.1, 0.2]), rounds=9)
    assert len(found) == 2


def test_what_would_learn_from_itself_is_refused(bank, model):
    one = Interviewer(bank, model)
    held, scores, _ = one.hold(0)
    with pytest.raises(DataError, match="600 of 720 people are synthetic"):
        expert_iteration(lambda _: (held, scores, 600), one.learn, one.judge)
    with pytest.raises(DataError, match="keep 0"):
        expert_iteration(one.hold, one.learn, one.judge, keep=0.0)
    with pytest.raises(DataError, match="No interview has a score"):
        expert_iteration(lambda _: (held, np.full(720, np.nan), 0), one.learn, one.judge)
