"""What is asked next: no peeking, ties, static orders, look-ahead, hindsight told apart."""

from __future__ import annotations

import numpy as np
import pytest
from tests.interviews.conftest import bank_of

from personascope.errors import DataError
from personascope.interviews import planners
from personascope.interviews.fitting import fit_gaussian, fit_ordinal
from personascope.interviews.interview import Stop, conduct
from personascope.interviews.metrics import identification
from personascope.interviews.twins import Twins


@pytest.fixture(scope="module")
def twins(bank):
    return Twins(bank)


def scores_of(bank) -> np.ndarray:
    return bank.values[:, :8].mean(axis=1, keepdims=True).astype(float)


def honest(bank, twins):
    """Every planner that may be used on people, with the model that it asks."""
    gaussian, ordinal = fit_gaussian(bank), fit_ordinal(bank, 3)
    held = ("q3", "q17")
    return {
        "information": (twins, planners.by_information()),
        "two steps": (twins, planners.two_steps(3)),
        "trait variance": (twins, planners.by_trait_variance(scores_of(bank))),
        "trait information": (twins, planners.by_trait_information(scores_of(bank)[:, 0])),
        "items of a bank": (twins, planners.by_items(twins, held, candidates=5)),
        "items": (ordinal, planners.by_items(ordinal, held)),
        "latent information": (ordinal, planners.by_information()),
        "latent variance": (ordinal, planners.by_trait_variance()),
        "determinant": (ordinal, planners.by_determinant()),
        "gaussian": (gaussian, planners.by_trait_variance()),
        "random": (twins, planners.at_random()),
        "fixed": (twins, planners.in_order(n_items=24)),
        "static": (twins, planners.static(twins)),
        "spread": (twins, planners.by_spread(twins)),
    }


NAMES = [
    "information",
    "two steps",
    "trait variance",
    "trait information",
    "items of a bank",
    "items",
    "latent information",
    "latent variance",
    "determinant",
    "gaussian",
    "random",
    "fixed",
    "static",
    "spread",
]


@pytest.fixture(scope="module")
def all_planners(bank, twins):
    return honest(bank, twins)


@pytest.mark.parametrize("name", NAMES)
def test_answers_that_were_not_asked_for_change_nothing(bank, all_planners, name):
    model, planner = all_planners[name]
    answers = bank.values[:6].copy()
    first = conduct(model, planner, answers, stop=Stop(6), held_out=("q3", "q17"))
    other = np.random.default_rng(0).permuted(answers, axis=1)
    other = np.where(other < 1, 1, other)
    np.put_along_axis(other, first.asked, np.take_along_axis(answers, first.asked, 1), 1)
    assert (other != answers).any()
    assert np.array_equal(conduct(model, planner, other, stop=Stop(6), held_out=("q3", "q17")).asked, first.asked)
    assert not planner.is_hindsight


@pytest.mark.parametrize("name", NAMES)
def test_an_interview_alone_is_as_among_others(bank, all_planners, name):
    model, planner = all_planners[name]
    together = conduct(model, planner, bank.values[:5], stop=Stop(5))
    apart = conduct(model, planner, bank.values[:5], stop=Stop(5), at_once=2)
    assert np.array_equal(together.asked, apart.asked)


def test_hindsight_looks_and_says_so(bank, twins):
    truth = np.arange(6)
    answers = twins.draw(truth, 0)
    planner = planners.hindsight(truth, answers)
    found = conduct(twins, planner, answers, stop=Stop(5))
    assert found.is_hindsight
    other = answers.copy()
    rows = np.arange(6)
    other[rows, found.asked[:, 0]] = 6 - other[rows, found.asked[:, 0]]
    moved = conduct(twins, planners.hindsight(truth, other), other, stop=Stop(5))
    assert not np.array_equal(moved.asked[:, 0], found.asked[:, 0])


def test_better_planners_find_people_sooner(bank, twins):
    truth = np.arange(100)
    answers = twins.draw(truth, 1)
    found = {
        planner.name: identification(
            twins, conduct(twins, planner, answers, stop=Stop(8)), truth, [8], n_resamples=100
        )["log2_p"][0]
        for planner in (
            planners.at_random(), planners.by_information(), planners.two_steps(6), planners.hindsight(truth, answers)
        )
    }  # fmt: skip
    assert found["random"] < found["information"] < found["hindsight"]
    assert found["information, two steps"] > found["random"]


def test_looking_ahead_sees_a_pair_that_says_all_together():
    # q0 alone tells .81 bits; q1 and q2 tell 1 bit each and 2 bits together, as do no two others
    values = np.array([[1, 1, 1], [1, 1, 2], [1, 2, 1], [2, 2, 2]])
    twins = Twins(bank_of(values, 2), sigma=0.0, epsilon=0.0)
    belief, open_ = twins.begin(1), np.ones((1, 3), dtype=bool)
    one = planners.by_information().scores(belief, open_, np.array([0]), 0)
    two = planners.two_steps(3).scores(belief, open_, np.array([0]), 0)
    assert one[0] == pytest.approx([0.8112781, 1, 1], abs=1e-5)
    assert two[0] == pytest.approx([1.5, 2, 2], abs=1e-5)


def test_ties_go_to_the_lowest_column():
    twins = Twins(bank_of(np.array([[1, 1, 1], [2, 2, 2]]), 2))
    found = conduct(twins, planners.by_information(), np.array([[1, 2, 1]]), stop=Stop(3))
    assert found.asked.tolist() == [[0, 1, 2]]


def test_a_fixed_order_is_kept():
    twins = Twins(bank_of(np.array([[1, 1, 1], [2, 2, 2]]), 2))
    found = conduct(twins, planners.in_order([2, 0], 3), np.array([[1, 2, 1]]), stop=Stop(3))
    assert found.asked.tolist() == [[2, 0, 1]]
    with pytest.raises(DataError, match="Neither an order"):
        planners.in_order()
