import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from personascope.errors import DataError
from personascope.instruments.pairs import _fresh_edges, d_regular_pairs, uniform_pairs


def check_design(pairs, n_tasks, degree):
    """Regular, without repeats, sorted, and connected by scipy's word."""
    assert pairs == sorted(set(pairs))
    assert all(0 <= i < j < n_tasks for i, j in pairs)
    left, right = np.array(pairs).T
    assert (np.bincount(np.concatenate([left, right]), minlength=n_tasks) == degree).all()
    graph = coo_array((np.ones(len(pairs)), (left, right)), shape=(n_tasks, n_tasks))
    assert connected_components(graph, directed=False)[0] == 1


@settings(max_examples=150, deadline=None)
@given(n_tasks=st.integers(3, 40), degree=st.integers(2, 39), seed=st.integers(0, 2**32))
def test_every_possible_design_is_regular_without_repeats_and_connected(n_tasks, degree, seed):
    if degree >= n_tasks or n_tasks * degree % 2:
        with pytest.raises(DataError, match=f"No {degree}-regular design over {n_tasks} tasks"):
            d_regular_pairs(n_tasks, degree, seed)
    else:
        check_design(d_regular_pairs(n_tasks, degree, seed), n_tasks, degree)


def test_all_small_designs_exist():
    for n_tasks, degree in itertools.product(range(3, 11), range(2, 10)):
        if degree < n_tasks and n_tasks * degree % 2 == 0:
            for seed in range(10):
                check_design(d_regular_pairs(n_tasks, degree, seed), n_tasks, degree)


def test_the_full_degree_gives_all_pairs():
    assert d_regular_pairs(9, 8, 0) == list(itertools.combinations(range(9), 2))


@pytest.mark.parametrize(("n_tasks", "degree"), [(240, 6), (60, 29), (60, 30), (240, 239)])
def test_dense_designs_exist_up_to_all_pairs(n_tasks, degree):
    check_design(d_regular_pairs(n_tasks, degree, 1), n_tasks, degree)


def test_the_design_is_fixed_by_the_seed():
    assert d_regular_pairs(30, 4, 7) == d_regular_pairs(30, 4, 7)
    assert len({tuple(d_regular_pairs(30, 4, seed)) for seed in range(20)}) == 20


def test_every_pair_is_about_equally_likely():
    counts = np.zeros((8, 8))
    for seed in range(500):
        for i, j in d_regular_pairs(8, 2, seed):
            counts[i, j] += 1
    share = counts[np.triu_indices(8, 1)] / 500  # each of 28 pairs stands in 8 of 28 places
    assert share == pytest.approx(np.full(28, 2 / 7), abs=5 * (2 / 7 * 5 / 7 / 500) ** 0.5)


@pytest.mark.parametrize(("n_tasks", "degree"), [(5, 3), (4, 4), (4, 5), (10, 1), (10, 0), (10, -2), (2, 2), (0, 2)])
def test_impossible_designs_are_refused(n_tasks, degree):
    with pytest.raises(DataError, match=f"No {degree}-regular design over {n_tasks} tasks"):
        d_regular_pairs(n_tasks, degree, 0)


def test_a_round_without_fresh_pairs_is_given_up():
    with pytest.raises(DataError, match="no further cycle over 6 tasks"):
        _fresh_edges(np.random.default_rng(0), 6, True, set(itertools.combinations(range(6), 2)))


def test_ten_thousand_tasks_take_less_than_five_seconds():
    start = time.perf_counter()
    pairs = d_regular_pairs(10_000, 6, 0)
    assert time.perf_counter() - start < 5
    check_design(pairs, 10_000, 6)


@pytest.mark.parametrize(("n_tasks", "n_pairs"), [(2, 1), (7, 21), (40, 100), (10_000, 1000)])
def test_uniform_pairs_are_different_pairs_of_the_pool(n_tasks, n_pairs):
    pairs = uniform_pairs(n_tasks, n_pairs, 3)
    assert pairs == sorted(set(pairs))
    assert len(pairs) == n_pairs
    assert all(0 <= i < j < n_tasks for i, j in pairs)
    assert pairs == uniform_pairs(n_tasks, n_pairs, 3)


def test_all_uniform_pairs_are_all_pairs():
    assert uniform_pairs(50, 1225, 0) == list(itertools.combinations(range(50), 2))


def test_each_pair_that_is_not_excluded_is_equally_likely():
    excluded = [(0, 1), (4, 2)]
    counts = np.zeros((6, 6))
    for seed in range(1000):
        for i, j in uniform_pairs(6, 4, seed, exclude=excluded):
            counts[i, j] += 1
    assert counts[0, 1] == counts[2, 4] == 0
    share = counts[counts > 0] / 1000
    assert len(share) == 13
    assert share == pytest.approx(np.full(13, 4 / 13), abs=5 * (4 / 13 * 9 / 13 / 1000) ** 0.5)


def test_what_is_left_can_be_drawn_to_the_last_pair():
    start = d_regular_pairs(9, 4, 0)
    rest = uniform_pairs(9, 18, 1, exclude=[(j, i) for i, j in start])
    assert sorted([*start, *rest]) == list(itertools.combinations(range(9), 2))


@pytest.mark.parametrize(("n_pairs", "exclude"), [(-1, ()), (11, ()), (10, [(1, 0)]), (1, [(2, 2)]), (1, [(0, 5)])])
def test_impossible_uniform_draws_are_refused(n_pairs, exclude):
    with pytest.raises(DataError, match=f"{n_pairs} pairs of 5 tasks without {len(exclude)} excluded"):
        uniform_pairs(5, n_pairs, 0, exclude=exclude)
