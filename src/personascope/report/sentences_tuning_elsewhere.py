"""Paragraphs on where else movement shows and on what training did besides."""

from __future__ import annotations

import polars as pl

from personascope.report.findings import Row
from personascope.report.findings_tuning import run_name, side, why
from personascope.report.wording import estimate, number, percent, pretty, signed, spread

_DAMAGED = 1.1
"""A perplexity ratio from which on plain text has become clearly less likely; a convention."""


def transfer(frame: pl.DataFrame) -> list[str]:
    """For each other form whether the first run's movement shows there too."""
    return [f"{pretty(row['form'])}: {_carried(row)}" for row in frame.to_dicts()]


def held_out(frame: pl.DataFrame) -> list[str]:
    """For each run that was not taught some facets whether these moved too."""
    return [
        f"{run_name(row['run'])}, on facets of which it was taught nothing: {_carried(row)}" for row in frame.to_dicts()
    ]


def _carried(row: Row) -> str:
    n = f"n = {row['n_items']}"
    if row["gap_closed"] is None:
        plain = "" if row["naive_biased"] is None else f"; plain slope {number(row['naive_biased'])}, biased"
        return f"nothing can be concluded, {why(row['refused'])} ({n}{plain})."
    where = {1: "the movement shows there", -1: "it moved the other way there", 0: "no movement is shown there"}
    text = (
        f"gap closed {estimate(row['gap_closed'], row['low'], row['high'])} ({n}), "
        f"{where[side(row['low'], row['high'])]}"
    )
    if row["ratio"] is None:
        return f"{text}; what share of the taught movement that is cannot be said: {why(row['ratio_refused'])}."
    return f"{text}; {estimate(row['ratio'], row['ratio_low'], row['ratio_high'])} of that where it was taught."


def side_effects(frame: pl.DataFrame) -> list[str]:
    """What the first run changed besides what it was taught, beside the range of the others."""
    first, others = frame.row(0, named=True), frame.slice(1)
    beside = "" if others.is_empty() else f" ({spread(others['kl'])} in the other runs)"
    text = (
        f"{run_name(first['run'])} changed the predictions of neutral text by {number(first['kl'])} nats a "
        f"token{beside} and made it {number(first['perplexity_ratio'])} times as perplexing as before"
    )
    text += "" if others.is_empty() else f" ({spread(others['perplexity_ratio'])})"
    text += f"; n = {first['n_tokens']} tokens of text."
    worse = frame.filter(pl.col("perplexity_ratio") > _DAMAGED)
    if worse.height:
        names = ", ".join(run_name(run) for run in worse["run"])
        text += f" Text became more than {percent(_DAMAGED - 1)} more perplexing after {names}."
    answers = (
        f"As it answers: label mass {_change(first, 'label_mass')}, yea-saying {_change(first, 'acquiescence')}, order "
        f"bias {_change(first, 'order_bias')}, entropy of an answer {_change(first, 'entropy')} nats. These have no "
        "intervals; a control run that changes as much says that training by itself does it."
    )
    if others.height:
        answers += (
            f" Changes in the other runs: label mass {_changes(others, 'label_mass')}, yea-saying "
            f"{_changes(others, 'acquiescence')}, order bias {_changes(others, 'order_bias')}, entropy "
            f"{_changes(others, 'entropy')}."
        )
    return [text, answers]


def _change(row: Row, name: str) -> str:
    return f"{number(row[f'{name}_before'])} → {number(row[f'{name}_after'])}"


def _changes(frame: pl.DataFrame, name: str) -> str:
    found = (frame[f"{name}_after"] - frame[f"{name}_before"]).drop_nulls()
    if found.is_empty():
        return "not available"
    low, high = signed(float(found.min())), signed(float(found.max()))  # type: ignore[arg-type]
    return low if low == high else f"{low} to {high}"
