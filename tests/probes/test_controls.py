import numpy as np
import pytest

from personascope.errors import DataError
from personascope.probes.controls import (
    Controls,
    covariance_matched_directions,
    permutations,
    random_directions,
    random_scores,
    shuffled_choices,
)

GOOD = {
    "shuffled": 0.0,
    "shuffled_high": 0.1,
    "p_value": 0.05,
    "random_direction": 0.1,
    "random_direction_high": 0.2,
    "matched_direction": 0.15,
    "matched_direction_high": 0.25,
    "text_baseline": 0.3,
    "encoder_baseline": 0.35,
    "n_shuffles": 20,
    "n_directions": 20,
}


def test_summaries_are_those_of_the_definitions():
    shuffled, directions = np.array([0.1, 0.5, -0.2, 0.3]), np.array([0.0, 0.4])
    matched = np.array([0.2, 0.7])
    found = Controls.measured(0.3, shuffled=shuffled, directions=directions, matched=matched, text=0.25)
    assert found.shuffled == pytest.approx(0.175)
    assert found.shuffled_high == pytest.approx(np.percentile(shuffled, 95))
    # two of four shuffles are at least as good
    assert found.p_value == pytest.approx(3 / 5)
    assert found.random_direction == pytest.approx(0.2)
    assert found.random_direction_high == pytest.approx(0.38)
    assert found.matched_direction == pytest.approx(0.45)
    assert found.matched_direction_high == pytest.approx(0.675)
    assert (found.text_baseline, found.n_shuffles, found.n_directions) == (0.25, 4, 2)
    assert found.encoder_baseline is None


def test_the_best_text_baseline_is_the_better_one_that_there_is():
    assert Controls(**GOOD).best_text == 0.35
    assert Controls(**{**GOOD, "encoder_baseline": 0.1}).best_text == 0.3
    assert Controls(**{**GOOD, "encoder_baseline": None}).best_text == 0.3


@pytest.mark.parametrize("name", list(GOOD)[:9])
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


def test_controls_cannot_be_left_out(unchecked_annotations):
    with pytest.raises(TypeError, match="text_baseline"):
        Controls(**{name: value for name, value in GOOD.items() if name != "text_baseline"})
    with pytest.raises(DataError, match="0 shuffles"):
        Controls.measured(0.3, shuffled=np.empty(0), directions=np.ones(1), matched=np.ones(1), text=0.1)
    with pytest.raises(DataError, match="1 isotropic and 2 matched"):
        Controls.measured(0.3, shuffled=np.ones(3), directions=np.ones(1), matched=np.ones(2), text=0.1)


@pytest.mark.parametrize("name", ["matched_direction", "matched_direction_high", "encoder_baseline"])
def test_new_controls_cannot_be_left_out(name):
    with pytest.raises(TypeError, match=name):
        Controls(**{key: value for key, value in GOOD.items() if key != name})


def test_a_control_that_is_none_is_refused_unless_it_is_the_encoder(unchecked_annotations):
    with pytest.raises(DataError, match="matched_direction"):
        Controls(**{**GOOD, "matched_direction": None})
    assert Controls(**{**GOOD, "encoder_baseline": None}).encoder_baseline is None


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


def test_covariance_matched_directions_lie_where_the_rows_vary():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 40)) * np.r_[np.full(4, 10.0), np.full(36, 0.1)] + 50
    found = covariance_matched_directions(X, 4000, seed=1, norm=2.0)
    assert found.shape == (40, 4000)
    assert np.linalg.norm(found, axis=0) == pytest.approx(np.full(4000, 2.0))
    # directions of normals with that covariance, drawn through the matrix itself
    draws = np.random.default_rng(2).multivariate_normal(np.zeros(40), np.cov(X.T), size=20_000)
    draws *= 2.0 / np.linalg.norm(draws, axis=1, keepdims=True)
    assert found @ found.T / 4000 == pytest.approx(draws.T @ draws / 20_000, abs=0.05)
    assert (found[:4] ** 2).sum() / (found**2).sum() > 0.99
    assert np.array_equal(found, covariance_matched_directions(X, 4000, seed=1, norm=2.0))
    with pytest.raises(DataError, match="at least two rows"):
        covariance_matched_directions(X[:1], 3, seed=0)
    with pytest.raises(DataError, match="do not vary"):
        covariance_matched_directions(np.ones((5, 3)), 3, seed=0)


def test_scores_of_both_kinds_are_those_of_their_directions():
    X = np.random.default_rng(0).normal(size=(30, 6))
    isotropic, matched = random_scores(X, 5, seed=3, layer=7)
    assert isotropic == pytest.approx(X @ random_directions(6, 5, seed=[3, 2, 7]))
    assert matched == pytest.approx(X @ covariance_matched_directions(X, 5, seed=[3, 3, 7]))
    assert not random_scores(np.ones((4, 6)), 5, seed=0, layer=0)[1].any()
