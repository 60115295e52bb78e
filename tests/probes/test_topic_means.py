import numpy as np
import pytest

from personascope.errors import DataError
from personascope.probes.folds import fold_numbers
from personascope.probes.topic_means import shuffles_within, topic_balanced_folds, topic_means


def test_means_are_those_of_training_rows():
    Y = np.array([[1.0], [3.0], [5.0], [10.0], [20.0]])
    topics, train = np.array(["a", "a", "a", "b", "b"]), np.array([True, True, False, True, False])
    assert topic_means(Y, topics, train)[:, 0].tolist() == [2.0, 2.0, 2.0, 10.0, 10.0]
    with pytest.raises(DataError, match="Topic 'b' has none of 3 training rows"):
        topic_means(Y, topics, np.array([True, True, True, False, False]))


@pytest.mark.parametrize("n_folds", [3, 4, 5])
def test_two_folds_can_be_left_out_and_every_topic_is_still_known(n_folds):
    rng = np.random.default_rng(0)
    topic_of_task = np.repeat(np.arange(7), [3, 3, 4, 5, 9, 11, 20])
    tasks = rng.permutation(np.repeat(np.arange(55), 2))
    topics = topic_of_task[tasks]
    folds = topic_balanced_folds(tasks, topics, n_folds, 1)
    numbers = fold_numbers(folds, 110)
    assert all(len(set(numbers[tasks == task])) == 1 for task in range(55))
    for one in range(n_folds):
        for other in range(n_folds):
            assert set(topics[(numbers != one) & (numbers != other)]) == set(range(7))
    sizes = np.bincount(numbers)
    assert sizes.max() - sizes.min() <= 2
    assert all(np.array_equal(np.sort(np.concatenate(fold)), np.arange(110)) for fold in folds)
    again, other_seed = (topic_balanced_folds(tasks, topics, n_folds, seed) for seed in (1, 2))
    assert np.array_equal(fold_numbers(again, 110), numbers)
    assert not np.array_equal(fold_numbers(other_seed, 110), numbers)


def test_small_topics_and_tasks_of_two_topics_are_refused():
    with pytest.raises(DataError, match="Topic 'b' has 2 tasks"):
        topic_balanced_folds(np.arange(6), np.array([*"aaaabb"]), 3, 0)
    with pytest.raises(DataError, match="for 2 folds"):
        topic_balanced_folds(np.arange(6), np.array([*"aaabbb"]), 2, 0)
    with pytest.raises(DataError, match="'topic' varies within a group"):
        topic_balanced_folds(np.array([0, 0, 1, 2, 3, 4]), np.array([*"abaaab"]), 3, 0)


def test_shuffles_stay_within_topics_and_move_whole_tasks():
    topics, tasks = np.repeat(np.arange(4), 12), np.arange(48) // 3
    for units in (tasks, np.arange(48)):
        shuffles = shuffles_within(topics, units, 10, 0)
        assert len({tuple(order) for order in shuffles.tolist()}) == 10
        for order in shuffles:
            assert np.array_equal(topics[order], topics)
            values = units[order]
            assert all(len(set(values[units == unit])) == 1 for unit in np.unique(units))
            assert sorted(set(values)) == sorted(set(units))
    assert shuffles_within(topics, tasks, 1, 0).shape == (1, 48)
