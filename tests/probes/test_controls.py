import numpy as np
import pytest

from personascope.errors import DataError
from personascope.probes.controls import Controls, permutations, random_directions, shuffled_choices

GOOD = {
    "shuffled": 0.0,
    "shuffled_high": 0.1,
    "p_value": 0.05,
    "random_direction": 0.1,
    "random_direction_high": 0.2,
    "text_baseline": 0.3,
    "n_shuffles": 20,
    "n_directions": 20,
}


def test_summaries_are_those_of_the_definitions():
    shuffled, directions = np.array([0.1, 0.5, -0.2, 0.3]), np.array([0.0, 0.4])
    found = Controls.measured(0.3, shuffled=shuffled, directions=directions, text=0.25)
    assert found.shuffled == pytest.approx(0.175)
    assert found.shuffled_high == pytest.approx(np.percentile(shuffled, 95))
    # two of four shuffles are at least as good
    assert found.p_value == pytest.approx(3 / 5)
    assert found.random_direction == pytest.approx(0.2)
    assert found.random_direction_high == pytest.approx(0.38)
    assert (found.text_baseline, found.n_shuffles, found.n_directions) == (0.25, 4, 2)


@pytest.mark.parametrize("name", list(GOOD)[:6])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_control_that_was_not_measured_is_refused_by_name(name, value):
    Controls(**GOOD)
    with pytest.raises(DataError, match=name):
        Controls(**{**GOOD, name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("p_value", 0.0), ("p_value", 1.5), ("n_shuffles", 0), ("n_directions", 0)]
)
def test_impossible_controls_are_refused(name, value):
    with pytest.raises(DataError, match=name):
        Controls(**{**GOOD, name: value})


def test_controls_cannot_be_left_out():
    with pytest.raises(TypeError, match="text_baseline"):
        Controls(**{name: value for name, value in GOOD.items() if name != "text_baseline"})
    with pytest.raises(DataError, match="0 shuffles"):
        Controls.measured(0.3, shuffled=np.empty(0), directions=np.ones(1), text=0.1)


def test_row_shuffles_are_permutations():
    found = permutations(np.zeros(30, dtype=np.int64), 5, 0)
    assert all(sorted(row) == list(range(30)) for row in found.tolist())
    assert len({tuple(row) for row in found.tolist()}) == 5
    assert np.array_equal(found, permutations(np.zeros(30, dtype=np.int64), 5, 0))


def test_group_shuffles_move_whole_groups():
    codes = np.array([0, 0, 0, 1, 2, 2, 3, 3])
    y = np.array([10.0, 11.0, 12.0, 13.0])[codes]
    for order in permutations(codes, 10, 0, whole_groups=True):
        values = [set(y[order][codes == code]) for code in range(4)]
        assert all(len(value) == 1 for value in values)
        assert set.union(*values) == {10.0, 11.0, 12.0, 13.0}


def test_shuffled_choices_follow_the_same_utilities_dealt_to_other_tasks():
    first, second = np.nonzero(~np.eye(7, dtype=bool))
    u = np.arange(7.0) ** 2
    found = shuffled_choices(first, second, u[first] - u[second], 7, 20, 0)
    orders = set()
    for chosen in found.T:
        wins = np.bincount(first[chosen], minlength=7)
        # without residuals the choices are transitive: one task wins all its pairs, one all but one ...
        assert sorted(wins) == list(range(7))
        assert np.array_equal(chosen, wins[first] > wins[second])
        orders.add(tuple(wins))
    assert len(orders) == 20


def test_choices_without_utilities_are_shuffled_like_coins():
    # each pair both ways round with the same margin: no task is better than another, all is residual
    first, second = np.nonzero(~np.eye(40, dtype=bool))
    found = shuffled_choices(first, second, np.full(len(first), 2.0), 40, 200, 0)
    assert found.mean() == pytest.approx(0.5, abs=0.005)
    assert found.mean(axis=0).std() == pytest.approx(0.5 / np.sqrt(len(first)), rel=0.15)


def test_random_directions_have_the_length_asked_for_and_no_preferred_one():
    found = random_directions(400, 300, seed=0, norm=3.0)
    assert found.shape == (400, 300)
    assert np.linalg.norm(found, axis=0) == pytest.approx(np.full(300, 3.0))
    cosines = (found.T @ found)[np.triu_indices(300, 1)] / 9
    assert cosines.std() == pytest.approx(1 / np.sqrt(400), rel=0.02)
