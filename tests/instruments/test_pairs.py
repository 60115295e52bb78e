import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from personascope.errors import DataError
from personascope.instruments.pairs import _fresh_edges, d_regular_pairs


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
