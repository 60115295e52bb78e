"""Probes without what might explain them: without the means of topics, and without what the text alone predicts.

Whatever is taken away is estimated on training rows, inside every fold, so that no test label is ever used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int, Shaped

from personascope.probes.bootstrap import N_RESAMPLES
from personascope.probes.controls import permutations
from personascope.probes.evaluate import (
    check_targets,
    checked_rows,
    require_constant_groups,
    scored_predictions,
)
from personascope.probes.folds import fold_numbers, grouped_folds, inside, outside, require_three
from personascope.probes.leave_out import leave_out_ridge
from personascope.probes.results import ProbeResult
from personascope.probes.ridge import DEFAULT_ALPHAS, RidgeSolution, checked_alphas
from personascope.probes.topic_means import shuffles_within, topic_balanced_folds, without_topic_means
from personascope.shapes import Features, Targets

# How much worse than the best the text may predict the activations for the sake of leaving less of it
_WORSE = 0.5
_Mask: TypeAlias = Bool[np.ndarray, " row"]
_TextFeatures: TypeAlias = Float[np.ndarray, "row feature"]
_Prepare: TypeAlias = Callable[[Any], tuple[Features, Targets]]


@dataclass(frozen=True)
class WithoutText:
    """A probe of what the text does not predict of the activations.

    Args:
        result: of the probe on what is left.
        variance_left: share of the held-out activations' variance that is left, features standardised; above 1 where
            the ridge from the text does worse than the mean.
    """

    result: ProbeResult
    variance_left: float

    def frame(self) -> pl.DataFrame:
        """The row of the result, with variance_left."""
        return self.result.frame().with_columns(variance_left=pl.lit(self.variance_left))


@dataclass(frozen=True, eq=False)
class NestedPrepared:
    """Out-of-fold ridge predictions where features and targets depend on the training rows.

    Args:
        predictions: (row, target).
        truth: the targets as they were when tested, (row, target).
        tested: the features as they were when tested, (row, d_model).
        penalties: (fold, target).
    """

    predictions: Targets
    truth: Targets
    tested: Features
    penalties: Float[np.ndarray, "fold target"]


def evaluate_without_topic_means(
    X: Features,
    Y: Targets,
    *,
    names: Sequence[str],
    topics: Shaped[np.ndarray, " row"],
    texts_predictions: Targets,
    persona: str,
    position: str,
    layer: int,
    groups: Shaped[np.ndarray, " row"] | None = None,
    encoder_predictions: Targets | None = None,
    n_folds: int = 4,
    n_shuffles: int = 20,
    n_directions: int = 20,
    seed: int = 0,
    shuffle_groups: bool = False,
    n_resamples: int = N_RESAMPLES,
    alphas: Sequence[float] = DEFAULT_ALPHAS,
) -> list[ProbeResult]:
    """How well ridge probes read each target once the mean of its topic is taken away.

    Folds are `topic_balanced_folds`: every topic is in every training set, and the mean of a topic is that of its
    training rows, for training and test rows alike. Shuffles move targets within topics.

    Args:
        X: residual stream, shape (row, d_model).
        Y: targets, shape (row, target).
        names: name of each target; results are named "<name>, topic means removed".
        topics: topic of each row.
        texts_predictions: of `text_baseline_scores(texts, Y, topic_balanced_folds(...), topics=topics)`.
        persona: whose activations; with `position` and `layer` copied into the results.
        position: name of the token position.
        layer: decoder block.
        groups: task of each row, never split; by default each row is its own. Intervals resample them.
        encoder_predictions: of `feature_baseline_scores` with the same folds and topics.
        n_folds: at least 3.
        n_shuffles: permutations of the targets within topics.
        n_directions: random directions of each kind.
        seed: of folds, shuffles, random directions and bootstrap.
        shuffle_groups: permute the values of whole tasks, for targets that are constant within them.
        n_resamples: bootstrap resamples.
        alphas: penalties to choose from.

    Raises:
        DataError: as `evaluate_ridge`, and a topic with fewer than three tasks or a task in two topics.
        ActivationError: features that are not finite.
    """
    groups = np.arange(len(X)) if groups is None else groups
    X, codes, _ = checked_rows(X, groups, len(Y))
    texts = check_targets(Y, names, texts_predictions, encoder_predictions)
    numbers = fold_numbers(topic_balanced_folds(codes, topics, n_folds, seed), len(Y))
    if shuffle_groups:
        require_constant_groups(Y, codes, names)
    topic_codes = np.unique(topics, return_inverse=True)[1]
    shuffles = shuffles_within(topic_codes, codes if shuffle_groups else np.arange(len(Y)), n_shuffles, seed)
    everything = np.concatenate([Y[None], Y[shuffles]]).transpose(1, 0, 2).reshape(len(Y), -1)
    found = nested_prepared(without_topic_means(X, everything, topics), everything.shape[1], numbers, alphas)
    return scored_predictions(
        found.predictions,
        found.truth,
        found.penalties,
        X=X,
        names=[f"{name}, topic means removed" for name in names],
        groups=codes,
        means_of=topic_codes,
        texts=texts,
        place=(persona, position, layer),
        n_directions=n_directions,
        n_resamples=n_resamples,
        seed=seed,
    )


def evaluate_without_text(
    X: Features,
    Y: Targets,
    F: _TextFeatures,
    *,
    names: Sequence[str],
    groups: Shaped[np.ndarray, " row"],
    texts_predictions: Targets,
    persona: str,
    position: str,
    layer: int,
    encoder_predictions: Targets | None = None,
    n_folds: int = 4,
    n_shuffles: int = 20,
    n_directions: int = 20,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
    alphas: Sequence[float] = DEFAULT_ALPHAS,
    text_alphas: Sequence[float] = DEFAULT_ALPHAS,
) -> list[WithoutText]:
    """How well ridge probes read each target from what features of the text do not predict of the activations.

    In every training set a ridge from the text features to the activations is fitted, and its predictions are
    subtracted from training and test rows alike. Its penalty is the smallest whose error on left-out groups (closed
    form) is at most half above the least: what a penalty shrinks away stays in every activation, and a probe would
    add it up again. What the text encodes in ways that ridge on these features cannot follow is left; with as many text
    features as training rows, or more, so is some of what it could follow with more rows.

    Args:
        X: residual stream, shape (row, d_model).
        Y: targets, shape (row, target).
        F: features of the texts, shape (row, feature), such as sentence embeddings.
        names: name of each target; results are named "<name>, text removed".
        groups: group of each row, never split.
        texts_predictions: as for `evaluate_ridge`, with the same folds.
        persona: whose activations; with `position` and `layer` copied into the results.
        position: name of the token position.
        layer: decoder block.
        encoder_predictions: as for `evaluate_ridge`.
        n_folds: at least 3.
        n_shuffles: permutations of the targets.
        n_directions: random directions of each kind, in what is left of the activations.
        seed: of folds, shuffles, random directions and bootstrap.
        n_resamples: bootstrap resamples.
        alphas: penalties of the probe to choose from.
        text_alphas: penalties of the ridge from text to activations to choose from.

    Raises:
        DataError: as `evaluate_ridge`, and another number of rows in `F`.
        ActivationError: features that are not finite.
    """
    X, codes, _ = checked_rows(X, groups, len(Y))
    F, _, _ = checked_rows(F, groups, len(Y))
    texts = check_targets(Y, names, texts_predictions, encoder_predictions)
    shuffles = permutations(codes, n_shuffles, seed)
    everything = np.concatenate([Y[None], Y[shuffles]]).transpose(1, 0, 2).reshape(len(Y), -1)
    numbers = fold_numbers(grouped_folds(codes, n_folds, seed), len(Y))
    by_row = None if codes.max() + 1 == len(codes) else codes

    def in_training_units(train: _Mask) -> Features:
        # in which features count alike when shares of variance are taken
        scale = X[train].std(axis=0)
        return np.asarray((X - X[train].mean(axis=0)) / np.where(scale > 0, scale, 1.0))

    def left(train: _Mask) -> tuple[Features, Targets]:
        Z = in_training_units(train)
        from_text = _removing_ridge(F[train], Z[train], None if by_row is None else by_row[train], text_alphas)
        return Z - from_text(F), everything

    found = nested_prepared(left, everything.shape[1], numbers, alphas)
    total = sum(float((in_training_units(numbers != fold)[numbers == fold] ** 2).sum()) for fold in range(n_folds))
    results = scored_predictions(
        found.predictions,
        found.truth,
        found.penalties,
        X=found.tested,
        names=[f"{name}, text removed" for name in names],
        groups=codes,
        means_of=codes,
        texts=texts,
        place=(persona, position, layer),
        n_directions=n_directions,
        n_resamples=n_resamples,
        seed=seed,
    )
    share = float((found.tested**2).sum()) / total if total > 0 else 1.0
    return [WithoutText(result, share) for result in results]


def _removing_ridge(
    F: _TextFeatures, Z: Features, groups: Any, alphas: Sequence[float]
) -> Callable[[_TextFeatures], Features]:
    """What text features predict of activations, with one penalty that is chosen to leave little."""
    errors = leave_out_ridge(F, Z, alphas, groups).mean_squared_errors.sum(axis=1)
    alpha = min(np.asarray(alphas)[errors <= (1 + _WORSE) * errors.min()])
    coef, intercept = RidgeSolution(F, Z).weights(np.full(Z.shape[1], alpha))
    return lambda rows: np.asarray(rows @ coef + intercept)


def nested_prepared(
    prepare: _Prepare, n_targets: int, numbers: Int[np.ndarray, " row"], alphas: Sequence[float]
) -> NestedPrepared:
    """`nested_ridge` on features and targets that are made anew from every training set.

    Args:
        prepare: from a mask of training rows, the features and targets of all rows.
        n_targets: how many targets it makes.
        numbers: fold of each row.
        alphas: penalties to choose from, for each fold and target by squared error.

    Raises:
        DataError: fewer than three folds.
    """
    members, grid = numbers[:, None], checked_alphas(alphas)
    n_folds = require_three(members)
    errors = np.zeros((n_folds, len(grid), n_targets))
    for one, other in combinations(range(n_folds), 2):
        train = outside(members, (one, other))
        X, Y = prepare(train)
        solution = RidgeSolution(X[train], Y[train])
        for held, outer in ((one, other), (other, one)):
            rows = inside(members, held)
            errors[outer] += solution.squared_errors(X[rows], Y[rows], grid)
    chosen = grid[errors.argmin(axis=1)]
    predictions, truth = np.empty((2, len(numbers), n_targets))
    tested = []
    for fold in range(n_folds):
        test = inside(members, fold)
        X, Y = prepare(~test)
        predictions[test] = RidgeSolution(X[~test], Y[~test]).predict(X[test], chosen[fold])
        truth[test] = Y[test]
        tested.append((test, X[test]))
    features = np.empty((len(numbers), tested[0][1].shape[1]))
    for test, rows_left in tested:
        features[test] = rows_left
    return NestedPrepared(predictions, truth, features, chosen)
