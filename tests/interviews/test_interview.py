"""Holding interviews: what may be asked, when they end, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from personascope.errors import DataError
from personascope.interviews import planners
from personascope.interviews.fitting import fit_ordinal
from personascope.interviews.interview import Limits, Stop, conduct
from personascope.interviews.transcripts import Transcripts
from personascope.interviews.twins import Twins


@pytest.fixture(scope="module")
def twins(bank):
    return Twins(bank)


def test_only_what_was_answered_and_is_not_held_out_is_asked(bank, twins):
    answers = bank.values[:4].copy()
    answers[1, :20] = -1
    found = conduct(twins, planners.by_information(), answers, stop=Stop(24), held_out=("q23", "q0"))
    assert found.lengths.tolist() == [22, 3, 22, 22]
    assert not np.isin(found.asked, [0, 23]).any()
    assert set(found.asked[1][:3]) == {20, 21, 22}
    frame = found.frame()
    assert frame.height == 22 * 3 + 3
    own = frame.filter(respondent="2").row(0, named=True)
    assert own["answer"] == answers[1, int(own["item"][1:])]


def test_a_subset_of_questions_is_kept_to(bank, twins):
    subset = np.zeros((3, 24), dtype=bool)
    subset[:, [2, 5, 9]] = True
    found = conduct(twins, planners.by_information(), bank.values[:3], stop=Stop(10), subset=subset)
    assert {tuple(sorted(row)) for row in found.asked.tolist()} == {(2, 5, 9)}


def test_contents_and_keys_take_turns(bank, twins):
    groups, keys = np.repeat(["a", "b", "c"], 8), np.tile([1, -1], 12)
    found = conduct(
        twins,
        planners.by_information(),
        bank.values[:5],
        stop=Stop(12),
        limits=Limits(groups=groups.tolist(), keys=keys.tolist()),
    )
    for row in found.asked:
        assert sorted(groups[row[:3]]) == ["a", "b", "c"]
        assert all((groups[row] == one).sum() == 4 for one in "abc")
        assert abs(keys[row].sum()) <= 2


def test_one_of_the_best_is_asked_at_random_and_the_seed_tells_which(bank, twins):
    plain = conduct(twins, planners.by_information(), bank.values[:40], stop=Stop(1))
    mixed = [
        conduct(twins, planners.by_information(), bank.values[:40], stop=Stop(1), limits=Limits(top=5), seed=seed).asked
        for seed in (0, 0, 1)
    ]
    assert len(np.unique(plain.asked)) == 1
    assert len(np.unique(mixed[0])) == 5
    assert np.array_equal(mixed[0], mixed[1])
    assert not np.array_equal(mixed[0], mixed[2])


def test_long_items_are_asked_later_and_the_time_is_kept(bank, twins):
    seconds = np.full(24, 5.0)
    best = conduct(twins, planners.by_information(), bank.values[:1], stop=Stop(1)).asked[0, 0]
    seconds[best] = 60.0
    found = conduct(
        twins, planners.by_information(), bank.values[:3], stop=Stop(24, seconds=32.0), limits=Limits(seconds=seconds)
    )
    assert found.lengths.tolist() == [6, 6, 6]
    assert best not in found.asked


def test_an_interview_ends_when_enough_is_known(bank, twins):
    truth = np.arange(30)
    found = conduct(twins, planners.by_information(), twins.draw(truth, 0), stop=Stop(24, bits=2.0))
    assert len(np.unique(found.lengths)) > 1
    for row, length in enumerate(found.lengths):
        belief = twins.begin(1)
        for place in range(length):
            before = belief.entropy()[0]
            belief.observe(found.asked[row, [place]], found.answers[row, [place]] - 1)
        assert length == 24 or belief.entropy()[0] <= 2.0
        assert before > 2.0
    model = fit_ordinal(bank, 3)
    sure = conduct(model, planners.by_trait_variance(), bank.values[:10], stop=Stop(24, sd=0.5))
    assert sure.lengths.max() < 24
    with pytest.raises(DataError, match="has no traits"):
        conduct(twins, planners.by_information(), bank.values[:2], stop=Stop(3, sd=0.5))


def test_what_cannot_be_asked_is_refused(bank, twins):
    planner, stop = planners.by_information(), Stop(3)
    outside = bank.values[:2].copy()
    outside[1, 4] = 6
    with pytest.raises(DataError, match=r"Row 2, item 'q4': 6 is no option \(1 such"):
        conduct(twins, planner, outside, stop=stop)
    with pytest.raises(DataError, match="has no item 'q99'"):
        conduct(twins, planner, bank.values[:2], stop=stop, held_out=("q99",))
    with pytest.raises(DataError, match="Respondent 1 has no answer"):
        conduct(twins, planner, np.full((1, 24), -1), stop=stop)
    with pytest.raises(DataError, match="Answers of shape"):
        conduct(twins, planner, bank.values[:2, :5], stop=stop)
    for wrong in ({"top": 0}, {"seconds": np.zeros(24)}):
        with pytest.raises(DataError):
            Limits(**wrong)
    with pytest.raises(DataError, match="0 questions"):
        Stop(0)


def transcript(asked, answers) -> Transcripts:
    return Transcripts(("a", "b", "c"), 5, ("p",), np.array([asked]), np.array([answers]))


@pytest.mark.parametrize(
    ("asked", "answers", "message"),
    [
        ([0, 0], [1, 2], "'p' was asked 'a' twice"),
        ([0, 1], [1, 6], "question 2: 6 is no option"),
        ([0, 3], [1, 2], "does not have"),
        ([-1, 1], [-1, 2], "has a gap"),
        ([0, 1], [1, -1], "has a gap"),
    ],
)
def test_what_is_no_transcript_is_refused(asked, answers, message):
    with pytest.raises(DataError, match=message):
        transcript(asked, answers)


def test_a_held_out_item_that_was_asked_is_found():
    with pytest.raises(DataError, match=r"held-out item 'b' was asked \(1 such"):
        transcript([0, 1], [1, 2]).require_not_asked({"b", "c"})
