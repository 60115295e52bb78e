"""The quick figures are met, and a planner or a model that is spoiled turns them red."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks import known_interviews, known_interviews_people

from personascope.interviews import twins
from personascope.interviews.planners import Planner

DATA = Path(__file__).parents[3] / "shared" / "data"


def missed(records):
    return [record.name for record in records if not record.ok]


def test_the_quick_figures_are_met():
    assert missed([*known_interviews._brute_force(), known_interviews._leak()]) == []


def test_a_kernel_that_forgets_the_noise_turns_the_row_red(monkeypatch):
    right = twins.TwinBelief.information
    monkeypatch.setattr(twins.TwinBelief, "information", lambda belief: right(belief) * 1.001)
    assert missed(known_interviews._brute_force()) == [
        "factorised against dense, 6 x 5 x 3",
        "factorised against dense, 200 x 30 x 7",
    ]


def test_a_planner_that_peeks_turns_the_row_red(monkeypatch):
    seen = []

    def spoiled():
        return Planner("spoiled", lambda belief, _: seen[-1][: belief.n])

    right = known_interviews.conduct

    def conduct(model, planner, answers, **how):
        seen.append(np.asarray(answers, dtype=float))
        return right(model, planner, answers, **how)

    monkeypatch.setattr(known_interviews, "conduct", conduct)
    monkeypatch.setattr(known_interviews.planners, "by_information", spoiled)
    assert missed([known_interviews._leak()]) == ["questions that unasked answers change"]


@pytest.mark.skipif(not DATA.is_dir(), reason="the published answers of people are not beside the project")
def test_who_of_2017_people_it_is_takes_as_many_questions_as_published():
    assert missed(known_interviews_people._ambi(DATA)) == []


@pytest.mark.skipif(not DATA.is_dir(), reason="the published answers of people are not beside the project")
def test_held_out_items_are_predicted_as_published(monkeypatch):
    monkeypatch.setattr(known_interviews_people, "SPLITS", 4)
    monkeypatch.setattr(known_interviews_people, "SPI_SHARE", 0.03)  # four splits scatter more than ten
    planned = {name: row for name, row in known_interviews_people.SPI.items() if name != "random"}
    monkeypatch.setattr(known_interviews_people, "SPI", planned)
    assert missed(known_interviews_people._spi(DATA)) == []
