"""Likert read-out: agreement in [-1, 1] from the log-probabilities of the rating labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float
from scipy.special import entr, logsumexp

from personascope.errors import ActivationError, DataError, nearest
from personascope.measures.tables import require_columns, require_total_mass, require_unique
from personascope.shapes import RowValues

ORDERS = ("ascending", "descending")


@dataclass(frozen=True)
class LikertAnswers:
    """Answers to rating questions, one per row.

    Args:
        agreement: logit-expected score in [-1, 1], shape (row,); +1 is full agreement whatever the label order was.
        label_mass: probability in [0, 1] on the labels together, shape (row,); the rest is refusal or chatter.
        entropy: uncertainty in nats of the answer given that it is a label, shape (row,); at most log(n_options).
    """

    agreement: RowValues
    label_mass: RowValues
    entropy: RowValues

    def frame(self) -> pl.DataFrame:
        """One row per answer with columns agreement, label_mass, entropy."""
        return pl.DataFrame({"agreement": self.agreement, "label_mass": self.label_mass, "entropy": self.entropy})


def score_likert(
    option_logprobs: Float[np.ndarray, "row option"],
    other_logmass: RowValues,
    *,
    n_options: int,
    descending: Bool[np.ndarray, " row"],
) -> LikertAnswers:
    """Turn label log-probabilities into expected agreement.

    With p_k the label probabilities renormalised to sum 1 and E = sum_k k p_k over k = 1..K,
    agreement = 2 (E - 1) / (K - 1) - 1. In a row with descending anchors label 1 means full agreement, so the labels
    are reversed before the mapping. Probability outside the labels is never imputed as the midpoint: it only
    shows in `label_mass`.

    Args:
        option_logprobs: natural log-probability of each label in the order in which the prompt numbered
            them, shape (row, option); -inf means impossible.
        other_logmass: natural log of the probability outside the labels, shape (row,).
        n_options: K, at least 2.
        descending: whether the row's anchors ran from agreement down to disagreement, shape (row,).

    Raises:
        ActivationError: NaN, shapes that do not fit, a row without any mass on the labels, or a row whose label
            and other mass do not sum to 1 (logits instead of log-probabilities).
    """
    logprobs = np.asarray(option_logprobs, dtype=np.float64)
    other = np.asarray(other_logmass, dtype=np.float64)
    flipped = np.asarray(descending, dtype=bool)
    _check_masses(logprobs, other, flipped, n_options)
    log_label_mass = logsumexp(logprobs, axis=1)
    p = np.exp(logprobs - log_label_mass[:, None])
    p = np.where(flipped[:, None], p[:, ::-1], p)
    expected = p @ np.arange(1, n_options + 1)
    agreement = np.clip(2 * (expected - 1) / (n_options - 1) - 1, -1, 1)
    return LikertAnswers(agreement, np.minimum(np.exp(log_label_mass), 1.0), entr(p).sum(axis=1))


def item_answers(frame: pl.DataFrame) -> pl.DataFrame:
    """Average both anchor orders of each item.

    Args:
        frame: columns persona, item, order ("ascending" or "descending"), agreement, label_mass; one row for each
            order of each persona's item.

    Returns:
        One row per persona and item, in order of first appearance: agreement (mean of the orders), order_bias
        (half of agreement under ascending minus agreement under descending anchors: positive means leaning to
        the labels that come last) and label_mass (mean of the orders).

    Raises:
        DataError: a missing value, an unknown order, an item without both orders or with one repeated.
    """
    require_columns(frame, ["persona", "item", "order", "agreement", "label_mass"])
    require_unique(frame, ["persona", "item", "order"])
    unknown = sorted(set(frame["order"]) - set(ORDERS))
    if unknown:
        raise DataError(
            f"Unknown anchor order {unknown[0]!r}.{nearest(unknown[0], ORDERS)}",
            f"order must be one of {ORDERS}.",
            "Write down the order in which the anchors were shown.",
        )
    up, down = pl.col("order") == "ascending", pl.col("order") == "descending"
    both = frame.group_by("persona", "item", maintain_order=True).agg(
        up=pl.col("agreement").filter(up).first(),
        down=pl.col("agreement").filter(down).first(),
        label_mass=pl.col("label_mass").mean(),
    )
    wrong = both.filter(pl.col("up").is_null() | pl.col("down").is_null())
    if wrong.height:
        missing = ORDERS[0] if wrong["up"][0] is None else ORDERS[1]
        raise DataError(
            f"Item {wrong['item'][0]!r} of persona {wrong['persona'][0]!r} has no {missing} answer "
            f"({wrong.height} such items).",
            "Order bias can be removed only when each item was asked in both anchor orders.",
            "Ask the missing order, or leave the item out.",
        )
    return both.select(
        "persona",
        "item",
        agreement=(pl.col("up") + pl.col("down")) / 2,
        order_bias=(pl.col("up") - pl.col("down")) / 2,
        label_mass="label_mass",
    )


def _check_masses(
    logprobs: Float[np.ndarray, "*logprobs"],
    other: Float[np.ndarray, "*other"],
    flipped: Bool[np.ndarray, "*flipped"],
    n_options: int,
) -> None:
    rows = logprobs.shape[:1]
    if n_options < 2 or logprobs.ndim != 2 or logprobs.shape[1] != n_options or {other.shape, flipped.shape} != {rows}:
        raise ActivationError(
            f"Shapes do not fit: option_logprobs {logprobs.shape}, other_logmass {other.shape}, "
            f"descending {flipped.shape}, n_options {n_options}.",
            "Expected (row, n_options), (row,) and (row,) with at least 2 options.",
            "Pass the answers of one template at a time.",
        )
    broken = np.isnan(logprobs).any(axis=1) | np.isnan(other)
    if broken.any():
        raise ActivationError(
            f"Row {int(np.argmax(broken))} has NaN log-probabilities ({int(broken.sum())} of {len(broken)} rows).",
            "The model's logits overflowed, or the row was never run.",
            "Run the model in float32, or leave the row out and say so.",
        )
    with np.errstate(over="ignore"):  # logits passed as log-probabilities may overflow; the check names them
        require_total_mass(np.exp(logprobs).sum(axis=1), np.exp(other))
