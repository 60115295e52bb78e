"""Paragraphs on written choices: what became of them, how steady they are, and whether the labels say the same."""

from __future__ import annotations

import polars as pl

from personascope.report.findings import Row
from personascope.report.sentences_elicitation import ends_of
from personascope.report.wording import (
    MISSING,
    count_range,
    estimate,
    listed,
    number,
    percent,
    plural,
    pretty,
    share,
    spread,
)


def outcomes(frame: pl.DataFrame) -> list[str]:
    """What became of the written answers of all personas, and whether a place was preferred."""
    answers = frame.filter(pl.col("what") == "first")
    n = int(answers["n"].sum())
    texts = []
    for what, name in (
        ("first", "chose the task shown first"),
        ("second", "chose the second"),
        ("refusal", "refused"),
        ("other", "could not be read as any of these"),
        ("truncated", "were cut off"),
    ):
        own = frame.filter(pl.col("what") == what)
        if int(own["n"].sum()):
            texts.append(f"{percent(int(own['count'].sum()) / int(own['n'].sum()))} {name}")
    text = f"{n:,} written {plural('answer', n)}: {listed(texts)}." if texts else "No answer was written."
    return [text, *_place(frame), *_refused(frame)]


def _place(frame: pl.DataFrame) -> list[str]:
    known = frame.filter(pl.col("what") == "p_first").drop_nulls("share").sort("share", maintain_order=True)
    if known.is_empty():
        return []
    apart = known.filter((pl.col("low") > 0.5) | (pl.col("high") < 0.5)).height
    return [
        f"Where a task was chosen, it was the one shown first in {ends_of(known, 'share')}; without a preference for a "
        f"place it is one half, which the interval excludes for {share(apart, known.height)} personas (n = "
        f"{count_range(known['n'])} choices in {count_range(known['n_pairs'])} pairs)."
    ]


def _refused(frame: pl.DataFrame) -> list[str]:
    known = frame.filter(pl.col("what") == "refusal").drop_nulls("share").sort("share", maintain_order=True)
    if known.is_empty():
        return []
    if not int(known["count"].sum()):
        row = known.sort("high").row(-1, named=True)
        return [f"No answer refused; by their numbers, up to {number(row['high'])} of answers could still be refusals."]
    return [f"Refusals make {ends_of(known, 'share')} (n = {count_range(known['n'])} answers)."]


def consistency(frame: pl.DataFrame) -> list[str]:
    """Whether choices stay with the task when the order is swapped, and when the same is asked again."""
    flips = frame.drop_nulls("flip_rate").sort("flip_rate", maintain_order=True)
    texts = []
    if flips.height:
        below = flips.filter(pl.col("flip_high") < 0.5).height
        texts.append(
            f"Swapping the order changes the chosen task in {ends_of(flips, 'flip_rate', 'flip_low', 'flip_high')} of "
            f"pairs; a coin would in one half, and the interval lies below that for {share(below, flips.height)} "
            f"personas (n = {count_range(flips['n_pairs'])} pairs)."
        )
    again = frame.drop_nulls("agreement")
    if again.height:
        named = [
            f"{pretty(row['persona'])} {number(row['agreement'])} (chance {number(row['chance'])}, n = "
            f"{row['n_ordered']} ordered pairs)"
            for row in again.iter_rows(named=True)
        ]
        texts.append(f"Asked again, the same task is chosen with probability: {listed(named)}.")
    return texts or [f"Whether written choices are steady is {MISSING}: too few pairs have a choice in both orders."]


def agreement(frame: pl.DataFrame) -> list[str]:
    """Whether written choices are those that the label log-odds prefer, beyond a shared preference for a place."""
    names = ("corrected", "same_order")
    texts = [_signs(frame, name) for name in names]
    known = frame.drop_nulls("r").sort("r", maintain_order=True)
    if known.height:
        above = known.filter(pl.col("r_low") > 0).height
        texts.append(
            f"Over pairs, the share of written choices correlates with the order-corrected log-odds at "
            f"{ends_of(known, 'r', 'r_low', 'r_high')}, with an interval above 0 for {share(above, known.height)} "
            f"personas (n = {count_range(known['n_pairs'])} pairs)."
        )
    else:
        texts.append("No correlation of written choices with log-odds could be computed.")
    return texts


def _signs(frame: pl.DataFrame, name: str) -> str:
    column = f"agreement_{name}"
    meaning = {
        "corrected": "the task that the order-corrected log-odds prefer",
        "same_order": "what the labels say in the same order, place included",
    }[name]
    known = frame.drop_nulls(column).sort(column, maintain_order=True)
    if known.is_empty():
        return f"How often written choices are {meaning} is {MISSING}."
    above = known.filter(pl.col(f"{column}_low") > pl.col(f"{column}_chance")).height
    return (
        f"Written choices are {meaning} in {ends_of(known, column, f'{column}_low', f'{column}_high')} of answers; "
        f"independent ones with the same preference for a place would be in {spread(known[f'{column}_chance'])}"
        f", and the interval lies above its chance for {share(above, known.height)} personas (n = "
        f"{count_range(known[f'{column}_n'])} answers)."
    )


def calibration(frame: pl.DataFrame) -> list[str]:
    """How many samples of a pair it takes to rank the tasks."""
    most = max(frame["k"].drop_nulls(), default=0)
    apart = frame.drop_nulls("rank_r_apart")
    if apart.is_empty():
        return [f"How many samples it takes cannot be told from {most} of each ordered pair."]
    texts = [
        f"{pretty(row['persona'])} {number(row['rank_r_apart'])} with {row['k']} of {most}"
        for row in apart.sort("k").group_by("persona", maintain_order=True).last().iter_rows(named=True)
    ]
    return [f"Ranks from some samples correlate with those from the samples left out at: {listed(texts)}."]


def refusals(frame: pl.DataFrame) -> list[str]:
    """The tasks whose pairs were refused most, and whether that is more than of the others."""
    either = frame.filter(pl.col("slot") == "either").drop_nulls("rate")
    refused = either.filter(pl.col("refused") > 0)
    if refused.is_empty():
        return [f"No pair with any of {frame['task'].n_unique()} tasks was refused."]
    overall = float(either["refused"].sum()) / float(either["asked"].sum())
    sure = refused.filter(pl.col("low") > overall)
    top = refused.sort("low", "rate", descending=True, maintain_order=True).head(3)
    named = [_task(row) for row in top.iter_rows(named=True)]
    return [
        f"Refusals by task: {share(sure.height, either.height)} tasks of a persona have an interval above the mean of "
        f"{number(overall)}. Highest lower ends: {'; '.join(named)}. A refusal counts for both tasks of its pair, and "
        "these are the highest of many, so optimistic."
    ]


def _task(row: Row) -> str:
    rate = estimate(row["rate"], row["low"], row["high"])
    return f"{row['task']} ({pretty(row['persona'])}), {rate}, n = {row['n_pairs']} {plural('pair', row['n_pairs'])}"


def judging(frame: pl.DataFrame) -> list[str]:
    """Whether the judge reads what the parser reads, and what it settled."""
    known = frame.drop_nulls("agreement").sort("agreement", maintain_order=True)
    texts = []
    if known.height:
        kappas = spread(known["kappa"])
        texts.append(
            f"Where the parser decided and the judge was asked, both read the same in {ends_of(known, 'agreement')} of "
            f"answers (n = {count_range(known['n'])}; Cohen's kappa {kappas})."
        )
    else:
        texts.append("No answer was read by both the parser and the judge, so their agreement is not known.")
    undecided, settled = (int(frame[name].sum()) for name in ("n_undecided", "n_settled"))
    texts.append(f"The judge settled {settled} of {undecided} {plural('answer', undecided)} that the parser left open.")
    return [" ".join(texts)]
