"""Targets without the means of their topics, with folds that know every topic and shuffles within topics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Int, Shaped

from personascope.errors import DataError
from personascope.probes.bootstrap import cluster_sums
from personascope.probes.evaluate import require_constant_groups
from personascope.probes.folds import Folds
from personascope.shapes import Features, Targets

_Mask: TypeAlias = Bool[np.ndarray, " row"]


def without_topic_means(
    X: Features, Y: Targets, topics: Shaped[np.ndarray, " row"]
) -> Callable[[Any], tuple[Features, Targets]]:
    """For `nested_prepared`: the features as they are, and the targets less the training means of their topics."""
    return lambda train: (X, Y - topic_means(Y, topics, train))


def topic_means(Y: Targets, topics: Shaped[np.ndarray, " row"], train: _Mask) -> Targets:
    """For every row, the mean target (row, target) of the training rows of its topic.

    Raises:
        DataError: a topic without training rows.
    """
    names, codes = np.unique(topics, return_inverse=True)
    counts = np.bincount(codes[train], minlength=len(names))
    if not counts.all():
        raise DataError(
            f"Topic {str(names[int(np.argmin(counts))])!r} has none of {int(train.sum())} training rows.",
            "Its mean may come from training rows alone.",
            "Use topic_balanced_folds, or drop the topic.",
        )
    sums = cluster_sums(Y * train[:, None], codes)
    return np.asarray((sums / counts[:, None])[codes])


def topic_balanced_folds(
    groups: Shaped[np.ndarray, " row"], topics: Shaped[np.ndarray, " row"], n_folds: int, seed: int
) -> Folds:
    """Folds over tasks that leave every topic in the training set, even with two folds left out.

    The tasks of each topic, in random order, are dealt to the folds in turn.

    Args:
        groups: task of each row, never split.
        topics: topic of each row.
        n_folds: at least 3.
        seed: of the order.

    Raises:
        DataError: a task in two topics, a topic with fewer than three tasks, or fewer than three folds.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    names, topic_codes = np.unique(topics, return_inverse=True)
    require_constant_groups(topic_codes[:, None], codes, ["topic"])
    topic_of = topic_codes[np.unique(codes, return_index=True)[1]]
    counts = np.bincount(topic_of)
    if counts.min() < 3 or n_folds < 3:
        raise DataError(
            f"Topic {str(names[int(np.argmin(counts))])!r} has {counts.min()} tasks, for {n_folds} folds.",
            "With one fold tested and one judging the penalty, a third must know the topic's mean.",
            "Use at least 3 folds, and drop topics with fewer than 3 tasks.",
        )
    order = np.lexsort((np.random.default_rng(seed).random(len(topic_of)), topic_of))
    numbers = np.empty(len(topic_of), dtype=np.int64)
    numbers[order] = np.arange(len(order)) % n_folds
    return [(np.flatnonzero(numbers[codes] != fold), np.flatnonzero(numbers[codes] == fold)) for fold in range(n_folds)]


def shuffles_within(
    topics: Int[np.ndarray, " row"], units: Int[np.ndarray, " row"], n: int, seed: int
) -> Int[np.ndarray, "shuffle row"]:
    """Row indices that exchange the values of units (tasks, or rows) of one topic."""
    first_row = np.unique(units, return_index=True)[1]
    topic_of = topics[first_row]
    rng, order = np.random.default_rng([seed, 1]), np.argsort(topic_of, kind="stable")
    shuffles = np.empty((n, len(units)), dtype=np.int64)
    for k in range(n):
        dealt = np.empty(len(order), dtype=np.int64)
        dealt[order] = np.lexsort((rng.random(len(order)), topic_of))
        shuffles[k] = first_row[dealt[units]]
    return shuffles
