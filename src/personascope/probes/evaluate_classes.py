"""Evaluate logistic probes: which of two or more classes a row belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Int, Shaped

from personascope.errors import DataError
from personascope.probes.bootstrap import N_RESAMPLES, draw_counts, percentile_interval, resampled_rates
from personascope.probes.controls import Controls, permutations, random_scores
from personascope.probes.evaluate import checked_rows, over_best, require_constant_groups
from personascope.probes.folds import fold_numbers, grouped_folds
from personascope.probes.logistic import DEFAULT_CS, checked_penalties, one_hot
from personascope.probes.nested import nested_logistic
from personascope.probes.results import ProbeResult
from personascope.shapes import Features

Metric: TypeAlias = Literal["accuracy", "balanced_accuracy"]
_Codes: TypeAlias = Int[np.ndarray, " row"]


def evaluate_logistic(
    X: Features,
    y: Shaped[np.ndarray, " row"],
    *,
    name: str,
    groups: Shaped[np.ndarray, " row"],
    texts_predictions: Shaped[np.ndarray, " row"],
    persona: str,
    position: str,
    layer: int,
    n_folds: int = 4,
    n_shuffles: int = 20,
    n_directions: int = 20,
    seed: int = 0,
    shuffle_groups: bool = False,
    metric: Metric = "accuracy",
    n_resamples: int = N_RESAMPLES,
    Cs: Sequence[float] = DEFAULT_CS,
    encoder_predictions: Shaped[np.ndarray, " row"] | None = None,
) -> ProbeResult:
    """How well a logistic probe tells classes apart at one layer and position.

    As `evaluate_ridge`, with the penalty chosen by log loss and the interval over groups. A random direction is, for
    two classes, one vector through the mean, with the better of its two signs; for more, one vector per class.

    Args:
        X: residual stream, shape (row, d_model).
        y: class of each row, shape (row,), of any sortable kind.
        name: of the target.
        groups: group of each row; each class must occur in at least two, or it could never be learnt when tested.
        texts_predictions: out-of-fold predicted classes of the text baseline, shape (row,).
        persona: whose activations; with `position` and `layer` copied into the result.
        position: name of the token position.
        layer: decoder block.
        n_folds: at least 3; the inner folds are the other outer ones.
        n_shuffles: permutations of the classes.
        n_directions: random directions.
        seed: of folds, shuffles, random directions and bootstrap.
        shuffle_groups: permute the classes of whole groups, for classes that are constant within groups.
        metric: share of rows right, or the mean over classes of the share of each class's rows.
        n_resamples: bootstrap resamples.
        Cs: penalties to choose from.
        encoder_predictions: classes predicted out of fold by `feature_baseline_scores` on sentence embeddings, (row,).

    Raises:
        DataError: shapes that do not fit, fewer than two classes, a class in one group only, or too few groups.
        ActivationError: features that are not finite.
        ConvergenceError: a fit did not converge.
    """
    X, groups_of, n_groups = checked_rows(X, groups, len(y))
    classes, codes = np.unique(y, return_inverse=True)
    baselines = [texts_predictions, *([] if encoder_predictions is None else [encoder_predictions])]
    for predictions in baselines:
        _check_classes(y, codes, groups_of, predictions)
    if shuffle_groups:
        require_constant_groups(codes[:, None], groups_of, [name])
    shuffles = permutations(groups_of, n_shuffles, seed, whole_groups=shuffle_groups)
    labels = np.concatenate([codes[None], codes[shuffles]]).T
    margins, penalties = nested_logistic(
        X,
        one_hot(labels, len(classes)),
        fold_numbers(grouped_folds(groups_of, n_folds, seed), len(y))[:, None],
        checked_penalties(Cs),
        row_weights=np.ones(len(y)),
        fit_intercept=True,
    )
    decided = _decide(margins)
    scores = np.array([_score(found, truth, metric) for found, truth in zip(decided.T, labels.T, strict=True)])
    isotropic, matched = (
        _by_chance(projected, codes, len(classes), metric)
        for projected in random_scores(X, n_directions * _n_columns(len(classes)), seed=seed, layer=layer)
    )
    by_text = [np.searchsorted(classes, found) for found in baselines]
    text = [_score(found, codes, metric) for found in by_text]
    drawn = draw_counts(n_groups, n_resamples, seed)[:, groups_of]
    resampled, *resampled_texts = (
        _resampled_scores(found, codes, drawn, metric) for found in (decided[:, 0], *by_text)
    )
    low, high = percentile_interval(resampled)
    chance = float(np.bincount(codes).max() / len(codes)) if metric == "accuracy" else 1 / len(np.unique(codes))
    over_low, over_high = percentile_interval(over_best(resampled, resampled_texts, chance))
    return ProbeResult(
        target=name,
        kind="logistic",
        persona=persona,
        position=position,
        layer=layer,
        metric=metric,
        value=float(scores[0]),
        low=float(low),
        high=float(high),
        n=len(y),
        n_groups=n_groups,
        penalty=float(np.median(penalties[:, 0])),
        within_group=None,
        controls=Controls.measured(
            scores[0],
            shuffled=scores[1:],
            directions=isotropic,
            matched=matched,
            text=text[0],
            encoder=text[1] if text[1:] else None,
            chance=chance,
        ),
        over_text_low=float(over_low),
        over_text_high=float(over_high),
    )


def _decide(margins: Float[np.ndarray, "row column target"]) -> Int[np.ndarray, "row target"]:
    """The class number that each row gets."""
    return (margins[:, 0] > 0).astype(np.int64) if margins.shape[1] == 1 else margins.argmax(axis=1)


def _score(found: _Codes, truth: _Codes, metric: Metric) -> float:
    """Share of rows right, or its mean over the classes."""
    right = found == truth
    if metric == "accuracy":
        return float(right.mean())
    return float((np.bincount(truth, weights=right) / np.bincount(truth)).mean())


def _resampled_scores(
    found: _Codes, truth: _Codes, drawn: Float[np.ndarray, "resample row"], metric: Metric
) -> Float[np.ndarray, " resample"]:
    """The metric in every resample; a class of which nothing was drawn does not enter its mean."""
    right = (found == truth).astype(np.float64)
    if metric == "accuracy":
        return resampled_rates(right, drawn)
    rates = [resampled_rates(right[truth == label], drawn[:, truth == label]) for label in np.unique(truth)]
    return np.asarray(np.nanmean(rates, axis=0))


def _n_columns(n_classes: int) -> int:
    """Weight vectors that tell so many classes apart."""
    return 1 if n_classes == 2 else n_classes


def _by_chance(
    projected: Float[np.ndarray, "row column"], truth: _Codes, n_classes: int, metric: Metric
) -> Float[np.ndarray, " direction"]:
    """The metric of random weights through the mean, of two classes with the better sign."""
    scores = (projected - projected.mean(axis=0)).reshape(len(projected), _n_columns(n_classes), -1)
    rates = np.array([_score(found, truth, metric) for found in _decide(scores).T])
    # the sign of a random direction is arbitrary, and with it which class it says
    return np.maximum(rates, 1 - rates) if n_classes == 2 else rates


def _check_classes(
    y: Shaped[np.ndarray, " row"], codes: _Codes, groups_of: _Codes, texts_predictions: Shaped[np.ndarray, " row"]
) -> None:
    classes = np.unique(y)
    if texts_predictions.shape != y.shape or not np.isin(texts_predictions, classes).all():
        raise DataError(
            f"Text predictions {texts_predictions.shape} for {y.shape} rows of {len(classes)} classes.",
            "They must be one known class per row.",
            'Make them with text_baseline_scores(..., kind="classification") on the same rows.',
        )
    n_groups = [len(np.unique(groups_of[codes == code])) for code in range(len(classes))]
    if len(classes) < 2 or min(n_groups) < 2:
        rare = classes[int(np.argmin(n_groups))]
        raise DataError(
            f"{len(classes)} classes; {str(rare)!r} occurs in {min(n_groups)} of {groups_of.max() + 1} groups.",
            "There must be two, and one that lies in a single group is never seen in training when it is tested.",
            "Drop the class or use finer groups.",
        )
