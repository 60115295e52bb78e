import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personascope.errors import DataError
from personascope.probes.folds import fold_numbers, grouped_folds, inside, outside, pair_fold_numbers, pair_folds


@given(st.lists(st.integers(0, 9), min_size=5, max_size=60), st.integers(2, 5), st.integers(0, 99))
def test_no_group_is_ever_on_both_sides(groups, n_folds, seed):
    labels = np.array(groups)
    if len(set(groups)) < n_folds:
        with pytest.raises(DataError):
            grouped_folds(labels, n_folds, seed)
        return
    folds = grouped_folds(labels, n_folds, seed)
    for train, test in folds:
        assert not set(labels[train]) & set(labels[test])
        assert sorted([*train, *test]) == list(range(len(labels)))
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(labels)))


def test_groups_may_be_names_and_the_seed_decides():
    names = np.array(["ann", "bob", "cy", "dee", "eve", "flo"] * 3)
    once, again, other = (fold_numbers(grouped_folds(names, 3, seed), 18).tolist() for seed in (1, 1, 2))
    assert once == again != other


def test_too_few_groups_are_refused_with_their_number():
    with pytest.raises(DataError, match="2 groups over 4 rows cannot fill 3 folds"):
        grouped_folds(np.array([0, 0, 1, 1]), 3, 0)
    with pytest.raises(DataError, match="cannot fill 1 folds"):
        grouped_folds(np.arange(4), 1, 0)


def test_fold_numbers_need_a_partition():
    rows = np.arange(4)
    assert fold_numbers([(rows[2:], rows[:2]), (rows[:2], rows[2:])], 4).tolist() == [0, 0, 1, 1]
    with pytest.raises(DataError, match="Row 3 of 4 is tested 0 times"):
        fold_numbers([(rows, rows[:2]), (rows, rows[2:3])], 4)
    with pytest.raises(DataError, match="Row 1 of 4 is tested 2 times"):
        fold_numbers([(rows, rows[:2]), (rows, rows[1:])], 4)


def test_no_task_of_a_test_pair_is_seen_in_training_and_straddling_pairs_are_nowhere():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 30, 400)
    second = (first + rng.integers(1, 30, 400)) % 30
    task_folds = grouped_folds(np.arange(30) // 3, 3, 0)
    folds = pair_folds(first, second, task_folds)
    for (train, test), (_, held_tasks) in zip(folds, task_folds, strict=True):
        held = set(held_tasks.tolist())
        both = [k for k in range(400) if first[k] in held and second[k] in held]
        neither = [k for k in range(400) if first[k] not in held and second[k] not in held]
        assert test.tolist() == both
        assert train.tolist() == neither
        assert len(both) + len(neither) < 400


def test_a_fold_without_pairs_is_refused():
    task_folds = grouped_folds(np.arange(6), 3, 0)
    numbers = fold_numbers(task_folds, 6)
    across = [(i, j) for i in range(6) for j in range(i) if numbers[i] != numbers[j]]
    first, second = np.array(across).T
    with pytest.raises(DataError, match="0 test pairs"):
        pair_folds(first, second, task_folds)


def test_a_pair_that_names_an_unknown_task_is_refused():
    with pytest.raises(DataError, match="names task 6, but the folds hold 6 tasks"):
        pair_fold_numbers(np.array([0]), np.array([6]), grouped_folds(np.arange(6), 3, 0))


def test_inside_asks_all_members_and_outside_asks_none():
    numbers = np.array([[0, 0], [0, 1], [1, 2], [2, 2]])
    assert inside(numbers, 0).tolist() == [True, False, False, False]
    assert outside(numbers, (0,)).tolist() == [False, False, True, True]
    assert outside(numbers, (0, 1)).tolist() == [False, False, False, True]
