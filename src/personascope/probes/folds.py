"""Folds that keep what belongs together on one side: items, topics, personas of an item, and both tasks of a pair."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Int
from sklearn.model_selection import GroupKFold

from personascope.errors import DataError

Rows: TypeAlias = Int[np.ndarray, " _"]
Folds: TypeAlias = list[tuple[Rows, Rows]]


def grouped_folds(groups: Any, n_folds: int, seed: int) -> Folds:
    """Split rows into folds so that no group is on both sides (scikit-learn's `GroupKFold`, shuffled).

    Args:
        groups: group of each row, shape (row,), of any sortable kind.
        n_folds: number of folds, at least 2.
        seed: of the random assignment of groups to folds. Equal seeds give equal folds.

    Returns:
        (train, test) row indices for each fold; the test parts partition the rows.

    Raises:
        DataError: fewer groups than folds, or fewer than two folds.
    """
    labels = np.asarray(groups)
    n_groups = len(np.unique(labels))
    if n_folds < 2 or n_groups < n_folds:
        raise DataError(
            f"{n_groups} groups over {len(labels)} rows cannot fill {n_folds} folds.",
            "A group is never split, so each fold needs at least one, and there must be two folds.",
            "Use fewer folds or more groups.",
        )
    splitter = GroupKFold(n_splits=n_folds, shuffle=True, random_state=seed)
    return list(splitter.split(labels, groups=labels))


def fold_numbers(folds: Folds, n_rows: int) -> Int[np.ndarray, " row"]:
    """The number of the fold in which each row is tested, shape (row,).

    Raises:
        DataError: the test parts do not partition the rows.
    """
    times = np.zeros(n_rows, dtype=np.int64)
    numbers = np.zeros(n_rows, dtype=np.int64)
    for number, (_, test) in enumerate(folds):
        times[test] += 1
        numbers[test] = number
    if (times != 1).any():
        row = int(np.argmax(times != 1))
        raise DataError(
            f"Row {row} of {n_rows} is tested {times[row]} times in {len(folds)} folds.",
            "Each row must be tested exactly once.",
            "Make the folds with grouped_folds on these rows.",
        )
    return numbers


def pair_folds(first: Rows, second: Rows, task_folds: Folds) -> Folds:
    """Folds over pairs in which no task of a test pair was ever seen in training.

    Test pairs have both tasks among the held-out tasks, train pairs have neither. Pairs that straddle are on neither
    side of that fold, so with k folds about 1/k of the pairs are tested at all.

    Args:
        first: index of the first task of each pair, shape (pair,).
        second: index of the second, shape (pair,).
        task_folds: folds over tasks.

    Raises:
        DataError: a fold has no pair to train on or none to test on.
    """
    numbers = pair_fold_numbers(first, second, task_folds)
    folds = [
        (np.flatnonzero(outside(numbers, (number,))), np.flatnonzero(inside(numbers, number)))
        for number in range(len(task_folds))
    ]
    for number, (train, test) in enumerate(folds):
        if not len(train) or not len(test):
            raise DataError(
                f"Fold {number} of {len(folds)} has {len(train)} train pairs and {len(test)} test pairs.",
                f"Only those of the {len(first)} pairs count that have both tasks on one side.",
                "Use fewer folds, more pairs, or pairs within groups.",
            )
    return folds


def pair_fold_numbers(first: Rows, second: Rows, task_folds: Folds) -> Int[np.ndarray, "pair member"]:
    """The folds in which the two tasks of each pair are tested, shape (pair, 2)."""
    n_tasks = sum(len(test) for _, test in task_folds)
    numbers = fold_numbers(task_folds, n_tasks)
    if len(first) and max(first.max(), second.max()) >= n_tasks:
        raise DataError(
            f"A pair names task {max(first.max(), second.max())}, but the folds hold {n_tasks} tasks.",
            "Pairs hold row indices into the tasks.",
            "Make the folds over all tasks.",
        )
    return np.stack([numbers[first], numbers[second]], axis=1)


def require_three(numbers: Int[np.ndarray, "row member"]) -> int:
    """The number of folds, which nested cross-validation needs to be three.

    Raises:
        DataError: fewer.
    """
    n_folds = int(numbers.max()) + 1
    if n_folds < 3:
        raise DataError(
            f"{n_folds} folds are too few for nested cross-validation.",
            "One fold is tested, one judges the penalty and at least one is left to train on.",
            "Use at least 3 folds.",
        )
    return n_folds


def inside(numbers: Int[np.ndarray, "row member"], number: int) -> Bool[np.ndarray, " row"]:
    """Rows all of whose members are tested in that fold (a pair has two members, a plain row one)."""
    return np.asarray((numbers == number).all(axis=1))


def outside(numbers: Int[np.ndarray, "row member"], held: tuple[int, ...]) -> Bool[np.ndarray, " row"]:
    """Rows none of whose members are tested in the held folds."""
    return np.asarray((~np.isin(numbers, held)).all(axis=1))
