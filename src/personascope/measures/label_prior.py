"""The label prior: which labels a persona prefers when there is nothing to rate, and answers with it taken away."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy.special import entr, logsumexp

from personascope.errors import DataError
from personascope.measures.intervals import means_interval
from personascope.measures.likert import item_answers, score_likert
from personascope.measures.tables import require_columns

INDICES = ("prior_kl", "prior_agreement", "prior_order_bias")
_COLUMNS = ["persona", "order", "option_probabilities"]


def label_prior(prior: pl.DataFrame, *, n_resamples: int = 2_000, seed: int = 0) -> pl.DataFrame:
    """How each persona answers a content-free item, in which the statement is a placeholder such as "[statement]".

    With q the label probabilities renormalised to sum 1, prior_kl = sum_k q_k log(K q_k), the Kullback-Leibler
    divergence of q from uniform in nats: 0 for an even prior, log K for a single label. prior_agreement and
    prior_order_bias are the mean and half the difference of its expected agreement under ascending and descending
    anchors: yea-saying and the preference for late labels that need no statement.

    Args:
        prior: columns persona, order, option_probabilities (list of K numbers in the order in which the prompt
            numbered the labels; they need not sum to 1) and, with several placeholders, item.
        n_resamples: bootstrap resamples over placeholders.
        seed: of the bootstrap.

    Returns:
        One row per persona and index: persona, index (prior_kl, prior_agreement, prior_order_bias), value, low, high
        (95 %, null with fewer than two placeholders) and n (placeholders).

    Raises:
        DataError: unusable probabilities, or a placeholder that was not asked in both orders.
    """
    frame = prior if "item" in prior.columns else prior.with_columns(item=pl.lit("content-free"))
    require_columns(frame, [*_COLUMNS, "item"])
    p = option_probabilities(frame)
    asked = frame.select("persona", "item", "order").with_columns(
        agreement=pl.Series(expected_agreement(np.log(np.maximum(p, 1e-300)), frame["order"])),
        label_mass=pl.lit(1.0),
        kl=pl.Series(np.log(p.shape[1]) - entr(p).sum(axis=1)),
    )
    both = item_answers(asked).join(asked.group_by("persona", "item").agg(pl.col("kl").mean()), on=["persona", "item"])
    rows: list[dict[str, Any]] = []
    for (persona,), part in both.sort("item").group_by("persona", maintain_order=True):
        for index, column in zip(INDICES, ("kl", "agreement", "order_bias"), strict=True):
            values = part[column].to_numpy()
            low, high = means_interval([values], [1.0], n_resamples=n_resamples, seed=seed)
            value = float(values.mean())
            rows.append(
                {"persona": persona, "index": index, "value": value, "low": low, "high": high, "n": len(values)}
            )
    return pl.DataFrame(rows, schema_overrides={"low": pl.Float64, "high": pl.Float64}, infer_schema_length=None)


def subtract_prior(
    option_logprobs: Float[np.ndarray, "row option"], prior_logprobs: Float[np.ndarray, "*prior_row option"]
) -> Float[np.ndarray, "row option"]:
    """Take a label prior q out of label probabilities p in logit space: p_k becomes proportional to p_k / q_k.

    Contextual calibration with a diagonal matrix (Zhao et al. 2021). The probability on the labels together stays as
    it was, so that `score_likert` takes the result with the same other mass. A prior is an estimate of its own: report
    the scores with and without it.

    Args:
        option_logprobs: natural log-probability of each label in the order shown, shape (row, option).
        prior_logprobs: of the content-free item in the same order, shape (row, option) or (option,) for all rows.

    Raises:
        DataError: shapes that do not fit, or a prior that is not finite: no division by a probability of zero.
    """
    p, q = np.asarray(option_logprobs, dtype=np.float64), np.asarray(prior_logprobs, dtype=np.float64)
    if q.shape not in (p.shape, p.shape[1:]):
        raise DataError(
            f"The prior has shape {q.shape}, the answers {p.shape}.",
            "Expected one prior for each row, or a single one of shape (option,).",
            "Pass the prior of the same template.",
        )
    if not np.isfinite(q).all():
        raise DataError(
            f"{int((~np.isfinite(q)).sum())} log-probabilities of the prior are not finite.",
            "A label that the prior rules out cannot be corrected for it.",
            "Read the prior from the model's probabilities in float32, or do not subtract it.",
        )
    logits = p - (q - logsumexp(q, axis=-1, keepdims=True))
    total = logsumexp(p, axis=1, keepdims=True) - logsumexp(logits, axis=1, keepdims=True)
    return np.asarray(logits + total)


def without_prior(answers: pl.DataFrame, prior: pl.DataFrame) -> pl.DataFrame:
    """The same answers with `agreement` re-computed after `subtract_prior`.

    Args:
        answers: columns persona, order, option_probabilities, agreement and any others.
        prior: as for `label_prior`. The log-probabilities of several placeholders are averaged.

    Raises:
        DataError: a persona without a prior in one of the orders, or numbers of labels that differ.
    """
    require_columns(answers, _COLUMNS)
    require_columns(prior, _COLUMNS)
    p, q = option_probabilities(answers), option_probabilities(prior)
    if p.shape[1] != q.shape[1]:
        raise DataError(
            f"The answers have {p.shape[1]} labels, the prior has {q.shape[1]}.", "", "Use the same template for both."
        )
    with np.errstate(divide="ignore"):
        log_p, log_q = np.log(p), np.log(q)
    asked = list(prior.select("persona", "order").iter_rows())
    means = {key: log_q[[row for row, other in enumerate(asked) if other == key]].mean(axis=0) for key in set(asked)}
    wanted = list(answers.select("persona", "order").iter_rows())
    for persona, order in dict.fromkeys(wanted):
        if (persona, order) not in means:
            raise DataError(
                f"There is no label prior of persona {persona!r} under {order} anchors.",
                "The preference for labels depends on both.",
                "Put the content-free item to every persona in both orders.",
            )
    corrected = subtract_prior(log_p, np.stack([means[key] for key in wanted]))
    return answers.with_columns(agreement=pl.Series(expected_agreement(corrected, answers["order"])))


def option_probabilities(frame: pl.DataFrame) -> Float[np.ndarray, "row option"]:
    """The column option_probabilities as a matrix whose rows sum to 1.

    Raises:
        DataError: rows of different lengths, negative or non-finite numbers, or a row of zeros.
    """
    lists = frame["option_probabilities"].to_list()
    lengths = {len(row) for row in lists}
    p = np.array(lists, dtype=np.float64) if len(lengths) == 1 else np.empty((0, 0))
    if p.ndim != 2 or p.shape[1] < 2 or not ((p >= 0) & (p < np.inf)).all() or not (p.sum(axis=1) > 0).all():
        raise DataError(
            f"option_probabilities are not usable (lengths {sorted(lengths)}).",
            "Every row is a list of the same number (at least 2) of probabilities, not all zero.",
            "Pass exp(option log-probabilities) of one template.",
        )
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def expected_agreement(logprobs: Float[np.ndarray, "row option"], order: pl.Series) -> Float[np.ndarray, " row"]:
    """Agreement in [-1, 1] of label log-probabilities that sum to 1 within the labels, shape (row,)."""
    nothing_else = np.full(len(logprobs), -np.inf)
    descending = (order == "descending").to_numpy()
    return score_likert(logprobs, nothing_else, n_options=logprobs.shape[1], descending=descending).agreement
