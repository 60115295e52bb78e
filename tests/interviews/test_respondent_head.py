"""A head that knows people again: planted states, chance, what it cannot know, and bad input."""

import numpy as np
import pytest

from personascope.errors import DataError
from personascope.interviews.respondent_head import fit_respondent_head

N, D = 12, 24
NAMES = [f"p{n}" for n in range(N)]
RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(N, D))


def read(noise: float, interviews: int, seed: int) -> np.ndarray:
    """States of several interviews of everybody: the person's own place, give or take."""
    return np.tile(CENTRES, (interviews, 1)) + noise * np.random.default_rng(seed).normal(size=(interviews * N, D))


def test_people_are_known_again_by_what_their_interviews_share():
    head = fit_respondent_head(read(0.5, 4, 1), NAMES * 4)
    placed = head.place(read(0.5, 1, 2), NAMES)
    assert (placed.rank == 1).all() and placed.log2_p.mean() > -0.3
    logs = head.log2_posterior(read(0.5, 1, 2))
    assert np.exp2(logs).sum(axis=1) == pytest.approx(1.0)
    assert head.respondents == tuple(sorted(NAMES))
    # whose interview it is follows the name that is given, not the row
    back = head.place(read(0.5, 1, 2)[::-1], NAMES[::-1])
    assert back.log2_p == pytest.approx(placed.log2_p[::-1])


def test_states_that_say_nothing_of_people_leave_them_at_chance():
    noise = np.random.default_rng(3).normal(size=(5 * N, D))
    placed = fit_respondent_head(noise[: 4 * N], NAMES * 4).place(noise[4 * N :], NAMES)
    assert placed.log2_p.mean() < -np.log2(N) + 0.3
    summary = placed.summary(n_resamples=100)
    assert summary["low"] <= summary["log2_p"] <= summary["high"] and summary["n"] == N
    assert summary["top_1_low"] <= summary["top_1"] <= summary["top_1_high"]


def test_people_without_a_second_interview_and_strangers_are_refused():
    with pytest.raises(DataError, match="1 people"):
        fit_respondent_head(read(0.5, 1, 1)[:3], ["p0"] * 3)
    with pytest.raises(DataError, match="'p0' has one interview"):
        fit_respondent_head(read(0.5, 2, 1)[1:], (NAMES * 2)[1:])
    head = fit_respondent_head(read(0.5, 2, 1), NAMES * 2)
    with pytest.raises(DataError, match="'x' is none of the 12 people"):
        head.place(read(0.5, 1, 1)[:1], ["x"])
