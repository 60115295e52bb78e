"""Pairwise choices: preference and position bias taken apart by asking every pair in both orders."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from scipy.special import expit

from personascope.errors import DataError
from personascope.measures.intervals import means_interval
from personascope.measures.tables import require_columns, require_total_mass, require_unique

_CHOICE_COLUMNS = ["persona", "first", "second", "logprob_first", "logprob_second"]


def choice_table(frame: pl.DataFrame) -> pl.DataFrame:
    """Order-corrected log-odds of each pair of tasks.

    With L(x, y) = logprob_first - logprob_second when x is shown first and y second,
    log_odds_a = (L(a, b) - L(b, a)) / 2 is the preference for a over b, and position_bias = (L(a, b) + L(b, a)) / 2 the
    preference for whatever comes first; both in logits.

    Args:
        frame: columns persona, first, second (task ids in the order shown), logprob_first, logprob_second (natural log
            of the probability of choosing either), other_logmass (of the rest); each pair once in each order.

    Returns:
        One row per persona and unordered pair: persona, task_a, task_b (task_a < task_b), log_odds_a,
        position_bias, label_mass (mean over both orders of the probability of choosing at all).

    Raises:
        DataError: a missing or infinite value, a task against itself, a pair that lacks an order or has one twice.
        ActivationError: a row whose choice and other mass do not sum to 1.
    """
    require_columns(frame, [*_CHOICE_COLUMNS, "other_logmass"], may_be_null=["other_logmass"])
    chosen = frame.select(pl.col("logprob_first").exp() + pl.col("logprob_second").exp()).to_series()
    require_total_mass(chosen.to_numpy(), np.exp(frame["other_logmass"].to_numpy()))
    require_unique(frame, ["persona", "first", "second"])
    alone = frame.filter(pl.col("first") == pl.col("second"))
    if alone.height:
        raise DataError(
            f"Task {alone['first'][0]!r} is compared with itself (persona {alone['persona'][0]!r}).",
            "A choice needs two tasks.",
            "Mend the pair design.",
        )
    a_first = pl.col("first") < pl.col("second")
    log_odds = pl.col("logprob_first") - pl.col("logprob_second")
    table = (
        frame.with_columns(task_a=pl.min_horizontal("first", "second"), task_b=pl.max_horizontal("first", "second"))
        .group_by("persona", "task_a", "task_b", maintain_order=True)
        .agg(
            ab=log_odds.filter(a_first).first(),
            ba=log_odds.filter(~a_first).first(),
            label_mass=(pl.col("logprob_first").exp() + pl.col("logprob_second").exp()).mean(),
        )
    )
    _require_both_orders(table)
    return table.select(
        "persona",
        "task_a",
        "task_b",
        log_odds_a=(pl.col("ab") - pl.col("ba")) / 2,
        position_bias=(pl.col("ab") + pl.col("ba")) / 2,
        label_mass="label_mass",
    )


def order_bias(choices: pl.DataFrame, *, n_resamples: int = 2_000, seed: int = 0) -> pl.DataFrame:
    """How much of each persona's choosing is position rather than content.

    Args:
        choices: what `choice_table` returned.
        n_resamples: bootstrap resamples.
        seed: of the bootstrap.

    Returns:
        One row per persona: position_bias (mean, logits; positive means the first is favoured) with low and
        high (95 % percentile bootstrap over pairs, which takes pairs that share a task as independent; null for a
        single pair), flip_share (pairs whose likelier task changes when the order is swapped), p_first (mean
        probability of the first, given that one is chosen), label_mass, sd_log_odds (spread of the order-corrected
        log-odds, logits) and n_pairs.

    Raises:
        DataError: missing columns or non-finite values.
    """
    require_columns(choices, ["persona", "task_a", "task_b", "log_odds_a", "position_bias", "label_mass"])
    rows: list[dict[str, Any]] = []
    for (persona,), part in choices.group_by("persona", maintain_order=True):
        part = part.sort("task_a", "task_b")
        content, position = (part[name].to_numpy().astype(np.float64) for name in ("log_odds_a", "position_bias"))
        low, high = means_interval([position], [1.0], n_resamples=n_resamples, seed=seed)
        p_first = np.concatenate([expit(position + content), expit(position - content)])
        rows.append(
            {
                "persona": persona,
                "position_bias": float(position.mean()),
                "low": low,
                "high": high,
                "flip_share": float(np.mean(np.abs(position) > np.abs(content))),
                "p_first": float(p_first.mean()),
                "label_mass": float(part["label_mass"].to_numpy().mean()),
                "sd_log_odds": float(content.std(ddof=1)) if part.height > 1 else None,
                "n_pairs": part.height,
            }
        )
    nullable = {"low": pl.Float64, "high": pl.Float64, "sd_log_odds": pl.Float64}
    return pl.DataFrame(rows, schema_overrides=nullable, infer_schema_length=None)


def _require_both_orders(table: pl.DataFrame) -> None:
    lacking = table.filter(pl.col("ab").is_null() | pl.col("ba").is_null())
    if lacking.height:
        pair = lacking.row(0, named=True)
        first, second = (pair["task_a"], pair["task_b"]) if pair["ab"] is None else (pair["task_b"], pair["task_a"])
        raise DataError(
            f"Persona {pair['persona']!r} was never asked with {first!r} first and {second!r} second "
            f"({lacking.height} pairs lack an order).",
            "Preference and position bias can be told apart only when both orders were asked.",
            "Ask every pair in both orders.",
        )
