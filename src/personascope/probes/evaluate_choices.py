"""Evaluate pairwise probes: which of two tasks is chosen, read from the difference of their residual streams."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Shaped

from personascope.errors import DataError
from personascope.probes.bootstrap import N_RESAMPLES, draw_counts, percentile_interval, resampled_rates
from personascope.probes.controls import Controls, random_scores, shuffled_choices
from personascope.probes.evaluate import checked_rows, over_best
from personascope.probes.folds import Rows, grouped_folds, pair_fold_numbers, pair_folds
from personascope.probes.logistic import DEFAULT_CS, checked_penalties
from personascope.probes.nested import nested_logistic
from personascope.probes.results import ProbeResult
from personascope.shapes import Features, RowValues

_COIN = 0.5


def evaluate_choices(
    X_tasks: Features,
    first: Int[np.ndarray, " pair"],
    second: Int[np.ndarray, " pair"],
    chose_first_margin: Float[np.ndarray, " pair"],
    *,
    task_groups: Shaped[np.ndarray, " task"],
    texts_predictions: Float[np.ndarray, " pair"],
    persona: str,
    position: str,
    layer: int,
    name: str = "choice",
    weighted: bool = False,
    n_folds: int = 4,
    n_shuffles: int = 20,
    n_directions: int = 20,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
    Cs: Sequence[float] = DEFAULT_CS,
    encoder_predictions: Float[np.ndarray, " pair"] | None = None,
) -> ProbeResult:
    """How well a pairwise (Bradley-Terry) probe predicts which of two tasks is chosen, from their residual streams.

    A logistic regression without intercept on x_first - x_second; its target is the sign of the margin, so pairs with
    margin 0 stay out. Pairs are tested when both tasks are in the held-out groups and trained on when neither is; the
    value is the accuracy over all tested pairs. The interval resamples task groups, and a pair counts as often as its
    two groups were drawn, multiplied (once if they are one group): the pigeonhole bootstrap of Owen (2007), which is
    somewhat too wide rather than too narrow. Shuffled labels are those of `shuffled_choices`: tasks exchange utilities.

    Args:
        X_tasks: residual stream of each task on its own, shape (task, d_model).
        first: index of the first task of each pair, shape (pair,).
        second: index of the second.
        chose_first_margin: order-corrected log-odds of choosing the first, shape (pair,).
        task_groups: group of each task (topic, or the task itself).
        texts_predictions: out-of-fold scores of the text baseline, shape (pair,), NaN only where never tested; see
            `text_baseline_choices`.
        persona: whose activations; with `position`, `layer` and `name` copied into the result.
        position: name of the token position.
        layer: decoder block.
        name: of the target.
        weighted: weigh pairs by |margin| in training (the value counts all pairs alike).
        n_folds: at least 3; the inner folds are the other outer ones.
        n_shuffles: number of exchanges of the tasks' utilities.
        n_directions: random directions, each with the better of its two signs.
        seed: of folds, shuffles, random directions and bootstrap.
        n_resamples: bootstrap resamples.
        Cs: penalties to choose from.
        encoder_predictions: out-of-fold scores of `feature_baseline_choices` on sentence embeddings, shape (pair,).

    Raises:
        DataError: shapes that do not fit, non-finite margins, too few groups, or a fold without pairs.
        ActivationError: features that are not finite.
        ConvergenceError: a fit did not converge.
    """
    X, groups_of, n_groups = checked_rows(X_tasks, task_groups, len(X_tasks))
    baselines = [texts_predictions, *([] if encoder_predictions is None else [encoder_predictions])]
    for predictions in baselines:
        _check_pairs(first, second, chose_first_margin, predictions, len(X))
    decided = chose_first_margin != 0
    first, second, margin = first[decided], second[decided], chose_first_margin[decided]
    folds = grouped_folds(groups_of, n_folds, seed)
    tested = np.concatenate([test for _, test in pair_folds(first, second, folds)])
    shuffled = shuffled_choices(first, second, margin, len(X), n_shuffles, seed)
    truth = np.concatenate([margin[:, None] > 0, shuffled], axis=1)
    differences = X[first] - X[second]
    weights = np.abs(margin) / np.abs(margin).mean() if weighted else np.ones(len(margin))
    margins, penalties = nested_logistic(
        differences,
        truth[:, None, :].astype(np.float64),
        pair_fold_numbers(first, second, folds),
        checked_penalties(Cs),
        row_weights=weights,
        fit_intercept=False,
    )
    correct = (margins[tested, 0] > 0) == truth[tested]
    accuracy = correct.mean(axis=0)
    by_chance = [
        ((scores[first[tested]] > scores[second[tested]]) == truth[tested, :1]).mean(axis=0)
        for scores in random_scores(X, n_directions, seed=seed, layer=layer)
    ]
    isotropic, matched = (np.maximum(rates, 1 - rates) for rates in by_chance)
    by_text = [(_tested_texts(found[decided], tested) > 0) == truth[tested, 0] for found in baselines]
    drawn = _pair_counts(groups_of[first[tested]], groups_of[second[tested]], n_groups, n_resamples, seed)
    resampled, *resampled_texts = (
        resampled_rates(right.astype(np.float64), drawn) for right in (correct[:, 0], *by_text)
    )
    low, high = percentile_interval(resampled)
    over_low, over_high = percentile_interval(over_best(resampled, resampled_texts, _COIN))
    return ProbeResult(
        target=name,
        kind="logistic",
        persona=persona,
        position=position,
        layer=layer,
        metric="accuracy",
        value=float(accuracy[0]),
        low=float(low),
        high=float(high),
        n=len(tested),
        n_groups=n_groups,
        penalty=float(np.median(penalties[:, 0])),
        within_group=None,
        controls=Controls.measured(
            accuracy[0],
            shuffled=accuracy[1:],
            directions=isotropic,
            matched=matched,
            text=float(by_text[0].mean()),
            encoder=float(by_text[1].mean()) if by_text[1:] else None,
            chance=_COIN,
        ),
        over_text_low=float(over_low),
        over_text_high=float(over_high),
    )


def _pair_counts(
    one: Rows, other: Rows, n_groups: int, n_resamples: int, seed: int
) -> Float[np.ndarray, "resample pair"]:
    """How often each pair appears in each resample of task groups."""
    counts = draw_counts(n_groups, n_resamples, seed)
    return np.asarray(np.where(one == other, counts[:, one], counts[:, one] * counts[:, other]))


def _tested_texts(scores: Float[np.ndarray, " pair"], tested: Rows) -> Float[np.ndarray, " tested"]:
    found = np.asarray(scores[tested])
    if np.isnan(found).any():
        raise DataError(
            f"{int(np.isnan(found).sum())} of {len(found)} tested pairs have no text prediction.",
            "The text baseline was made with other folds or other pairs.",
            "Pass text_baseline_choices the folds grouped_folds(task_groups, n_folds, seed) and the same pairs.",
        )
    return found


def _check_pairs(first: Rows, second: Rows, margin: RowValues, texts_predictions: RowValues, n_tasks: int) -> None:
    if not len(first) == len(second) == len(margin) == len(texts_predictions):
        raise DataError(
            f"{len(first)} first tasks, {len(second)} second, {len(margin)} margins, {len(texts_predictions)} texts.",
            "Each pair needs one of each.",
            "Align them.",
        )
    bad = (first == second) | (np.minimum(first, second) < 0) | (np.maximum(first, second) >= n_tasks)
    bad |= ~np.isfinite(margin)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"Pair {row}: tasks {first[row]} and {second[row]} of {n_tasks}, margin {margin[row]}.",
            "A pair is two different tasks with a finite margin.",
            "Drop pairs without an answer.",
        )
