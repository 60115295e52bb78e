"""The text-only baselines: what TF-IDF or sentence embeddings alone predict, out of fold, penalty chosen inside.

A probe that does no better than this has read which words were there, not what the model makes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from personascope.errors import DataError
from personascope.probes.confounds import nested_prepared
from personascope.probes.evaluate import checked_rows
from personascope.probes.folds import Folds, fold_numbers, inside, outside, pair_fold_numbers, require_three
from personascope.probes.logistic import DEFAULT_CS, checked_penalties, one_hot
from personascope.probes.nested import nested_logistic, nested_ridge, require_rows
from personascope.probes.ridge import DEFAULT_ALPHAS
from personascope.probes.topic_means import topic_means, without_topic_means
from personascope.shapes import RowValues

# TF-IDF rows have length 1, so useful penalties lie around 1
_ALPHAS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_CS = (0.1, 1.0, 10.0, 100.0)
_SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)

_WORD = r"(?u)\b\w+\b"

_Mask: TypeAlias = Bool[np.ndarray, " row"]


def text_baseline_scores(
    texts: Sequence[str],
    Y: Shaped[np.ndarray, "row ..."],
    folds: Folds,
    kind: Literal["regression", "classification"] = "regression",
    *,
    topics: Shaped[np.ndarray, " row"] | None = None,
) -> Shaped[np.ndarray, "row ..."]:
    """Out-of-fold predictions of the targets from the texts, shaped like `Y`.

    TF-IDF of words and word pairs (fitted on training texts only), then scikit-learn's `Ridge` or
    `LogisticRegression`, whose penalty is chosen on the other folds by squared error or log loss.

    Args:
        texts: one text per row.
        Y: targets (row,) or (row, target) for regression; classes (row,) for classification.
        folds: those of the probe, at least three: `grouped_folds(groups, n_folds, seed)` with the same arguments.
        kind: regression, or classification (then predicted classes are returned).
        topics: topic of each row; then the targets of regression are those of `evaluate_without_topic_means`.

    Raises:
        DataError: another number of texts than rows, texts without words, folds that do not partition the rows, fewer
            than three folds, one class alone in a training set, or a topic without training rows.
    """
    documents, numbers = _documents(texts, len(Y)), fold_numbers(folds, len(Y))[:, None]
    if kind == "regression":
        columns = np.asarray(Y, dtype=np.float64).reshape(len(Y), -1)

        def means(train: _Mask) -> np.ndarray:
            return np.zeros_like(columns) if topics is None else topic_means(columns, topics, train)

        def predict(train: _Mask, test: _Mask) -> np.ndarray:
            seen, unseen = _tf_idf(documents[train], documents[test])
            known = means(train)
            rest = columns[train] - known[train]
            fits = (Ridge(alpha=alpha).fit(seen, rest).predict(unseen) for alpha in _ALPHAS)
            # the topic means are added back, so that the error is that of what is left without them
            return np.stack([fit.reshape(-1, columns.shape[1]) + known[test] for fit in fits])

        def squared_error(rows: _Mask, found: np.ndarray) -> np.ndarray:
            return np.asarray(((found - columns[rows]) ** 2).sum(axis=1))

        predictions = _nested(numbers, predict, squared_error)
        for fold in range(len(folds)):
            test = inside(numbers, fold)
            predictions[test] -= means(~test)[test]
        return predictions.reshape(Y.shape)
    classes, codes = np.unique(Y, return_inverse=True)

    def probabilities(train: _Mask, test: _Mask) -> np.ndarray:
        seen, unseen = _tf_idf(documents[train], documents[test])
        return _class_probabilities(seen, codes[train], unseen, len(classes))

    def log_loss(rows: _Mask, found: np.ndarray) -> np.ndarray:
        own = found[:, np.arange(rows.sum()), codes[rows]]
        return np.asarray(-np.log(np.maximum(own, _SMALLEST_PROBABILITY)).sum(axis=1, keepdims=True))

    return np.asarray(classes[_nested(numbers, probabilities, log_loss).argmax(axis=1)])


def text_baseline_choices(
    texts: Sequence[str],
    first: Int[np.ndarray, " pair"],
    second: Int[np.ndarray, " pair"],
    margin: Float[np.ndarray, " pair"],
    folds: Folds,
) -> RowValues:
    """Out-of-fold scores of pairs from the texts of their two tasks: positive means that the first is chosen.

    A logistic regression without intercept on differences of TF-IDF vectors; each pair is shown both ways round.

    Args:
        texts: one text per task.
        first: index of the first task of each pair.
        second: index of the second.
        margin: order-corrected log-odds of choosing the first, whose sign is predicted.
        folds: over tasks, those of the probe.

    Returns:
        Scores (pair,), NaN for pairs that straddle folds and are never tested.

    Raises:
        DataError: as `text_baseline_scores`, or a fold without train or test pairs.
    """
    documents = _documents(texts, sum(len(test) for _, test in folds))
    numbers = pair_fold_numbers(first, second, folds)
    won = (margin > 0).astype(np.int64)

    def scores(train: _Mask, test: _Mask) -> np.ndarray:
        known = np.unique([first[train], second[train]])
        vectors = _tf_idf(documents[known], documents)[1]
        seen = vectors[first[train]] - vectors[second[train]]
        unseen = vectors[first[test]] - vectors[second[test]]
        both_ways, labels = sparse.vstack([seen, -seen]), np.concatenate([won[train], 1 - won[train]])
        fits = (LogisticRegression(C=C / 2, fit_intercept=False, max_iter=1000).fit(both_ways, labels) for C in _CS)
        return np.stack([fit.decision_function(unseen)[:, None] for fit in fits])

    def log_loss(rows: _Mask, found: np.ndarray) -> np.ndarray:
        return np.asarray(np.logaddexp(0.0, found * (1 - 2 * won[rows])[:, None]).sum(axis=1))

    return _nested(numbers, scores, log_loss)[:, 0]


def feature_baseline_scores(
    F: Float[np.ndarray, "row feature"],
    Y: Shaped[np.ndarray, "row ..."],
    folds: Folds,
    kind: Literal["regression", "classification"] = "regression",
    *,
    topics: Shaped[np.ndarray, " row"] | None = None,
    alphas: Sequence[float] = DEFAULT_ALPHAS,
    Cs: Sequence[float] = DEFAULT_CS,
) -> Shaped[np.ndarray, "row ..."]:
    """Out-of-fold predictions of the targets from dense features of the texts, such as sentence embeddings.

    The same probes, folds and choice of the penalty as for activations, so that only what is read differs.

    Args:
        F: features (row, feature) of the texts, standardised on training rows.
        Y: targets (row,) or (row, target) for regression; classes (row,) for classification.
        folds: those of the probe, at least three.
        kind: regression (ridge), or classification (logistic; then predicted classes are returned).
        topics: as for `text_baseline_scores`.
        alphas: penalties of ridge.
        Cs: penalties of logistic regression.

    Raises:
        DataError: another number of rows, folds that do not partition the rows, or fewer than three.
        ActivationError: features that are not finite.
        ConvergenceError: a logistic fit did not converge.
    """
    F, _, _ = checked_rows(F, np.arange(len(F)), len(Y))
    numbers = fold_numbers(folds, len(Y))
    if kind == "regression":
        columns = np.asarray(Y, dtype=np.float64).reshape(len(Y), -1)
        if topics is None:
            return nested_ridge(F, columns, numbers, alphas).predictions.reshape(Y.shape)
        prepare = without_topic_means(F, columns, topics)
        return nested_prepared(prepare, columns.shape[1], numbers, alphas).predictions.reshape(Y.shape)
    classes, codes = np.unique(Y, return_inverse=True)
    margins, _ = nested_logistic(
        F,
        one_hot(codes[:, None], len(classes)),
        numbers[:, None],
        checked_penalties(Cs),
        row_weights=np.ones(len(F)),
        fit_intercept=True,
    )
    found = margins[:, 0, 0] > 0 if len(classes) == 2 else margins[:, :, 0].argmax(axis=1)
    return np.asarray(classes[found.astype(np.int64)])


def feature_baseline_choices(
    F: Float[np.ndarray, "task feature"],
    first: Int[np.ndarray, " pair"],
    second: Int[np.ndarray, " pair"],
    margin: Float[np.ndarray, " pair"],
    folds: Folds,
    *,
    Cs: Sequence[float] = DEFAULT_CS,
) -> Float[np.ndarray, " pair"]:
    """Out-of-fold scores of pairs from dense features of their two tasks: positive means that the first is chosen.

    Args:
        F: features (task, feature), one row per task.
        first: index of the first task of each pair.
        second: index of the second.
        margin: order-corrected log-odds of choosing the first, whose sign is predicted; 0 counts half for either.
        folds: over tasks, those of the probe.
        Cs: penalties to choose from.

    Returns:
        Scores (pair,), NaN for pairs that straddle folds and are never tested.

    Raises:
        DataError: another number of tasks than in the folds, fewer than three, or a fold without train or test pairs.
        ActivationError: features that are not finite.
        ConvergenceError: a fit did not converge.
    """
    F, _, _ = checked_rows(F, np.arange(len(F)), sum(len(test) for _, test in folds))
    margins, _ = nested_logistic(
        F[first] - F[second],
        (0.5 + 0.5 * np.sign(margin))[:, None, None],
        pair_fold_numbers(first, second, folds),
        checked_penalties(Cs),
        row_weights=np.ones(len(margin)),
        fit_intercept=False,
    )
    return np.asarray(margins[:, 0, 0])


def _nested(
    numbers: Int[np.ndarray, "row member"],
    predict: Callable[[_Mask, _Mask], np.ndarray],
    loss: Callable[[_Mask, np.ndarray], np.ndarray],
) -> Float[np.ndarray, "row column"]:
    """Out-of-fold predictions with the penalty of least loss on the other folds.

    `predict(train, test)` gives (penalty, row, column); `loss(rows, predictions)` gives (penalty, column), or
    (penalty, 1) where one penalty serves all columns.
    """
    n_folds = require_three(numbers)
    blocks: list[tuple[_Mask, np.ndarray]] = []
    for fold in range(n_folds):
        total: Any = 0.0
        for inner in set(range(n_folds)) - {fold}:
            held, train = inside(numbers, inner), outside(numbers, (fold, inner))
            require_rows(held, f"tested in fold {inner}")
            require_rows(train, f"trained on outside folds {fold} and {inner}")
            total = total + loss(held, predict(train, held))
        test = inside(numbers, fold)
        found = predict(outside(numbers, (fold,)), test)
        chosen = np.broadcast_to(np.argmin(total, axis=0), found.shape[2])
        blocks.append((test, found[chosen, :, np.arange(found.shape[2])].T))
    predictions = np.full((len(numbers), blocks[0][1].shape[1]), np.nan)
    for test, block in blocks:
        predictions[test] = block
    return predictions


def _class_probabilities(seen: Any, codes: np.ndarray, unseen: Any, n_classes: int) -> np.ndarray:
    """(penalty, row, class); a class that no training text has gets probability 0."""
    present = np.unique(codes)
    if len(present) < 2:
        raise DataError(
            f"All {len(codes)} training texts are of one class.",
            "Its folds hold all other classes.",
            "Use more groups.",
        )
    found = np.zeros((len(_CS), unseen.shape[0], n_classes))
    for number, C in enumerate(_CS):
        found[number][:, present] = LogisticRegression(C=C, max_iter=1000).fit(seen, codes).predict_proba(unseen)
    return found


def _tf_idf(seen: np.ndarray, unseen: np.ndarray) -> tuple[Any, Any]:
    """Sparse TF-IDF rows of both, with the vocabulary and weights of the first."""
    vectoriser = TfidfVectorizer(ngram_range=(1, 2), token_pattern=_WORD)
    return vectoriser.fit_transform(seen), vectoriser.transform(unseen)


def _documents(texts: Sequence[str], n_rows: int) -> Shaped[np.ndarray, " row"]:
    documents = np.array([*texts, None], dtype=object)[:-1]
    if len(documents) != n_rows:
        raise DataError(f"{len(documents)} texts for {n_rows} rows.", "There must be one text per row.", "")
    if not any(letter.isalnum() for text in documents for letter in text):
        raise DataError(
            f"None of {n_rows} texts has a word.",
            "The baseline sees only words.",
            "Pass the texts the model was shown.",
        )
    return documents
