"""Paragraphs on how far preferences can be trusted: wordings, pairs never fitted, circles, rounds, stated ratings."""

from __future__ import annotations

import polars as pl

from personascope.report.wording import MISSING, count_range, estimate, listed, number, pretty, share, spread

_ALL_PAIRS = 0.995


def retest(frame: pl.DataFrame) -> list[str]:
    """Per wording: whether its utilities are those of the first."""
    return [_retest(part) for part in frame.sort("wording").partition_by("wording", maintain_order=True)]


def _retest(part: pl.DataFrame) -> str:
    wording = part["wording"][0]
    known = part.drop_nulls("r").sort("r", maintain_order=True)
    if known.is_empty():
        return f"Whether wording {wording} gives the same utilities as wording 1 is {MISSING}."
    above = known.filter(pl.col("low") > 0).height
    verdict = f"above 0 for {share(above, known.height)} personas" if above else "above 0 for no persona"
    text = (
        f"Utilities of wording {wording} correlate with those of wording 1 at {ends_of(known, 'r')}; the interval lies "
        f"{verdict} (n = {count_range(known['n'])} tasks)."
    )
    if (known["shared_pairs"] >= _ALL_PAIRS).all():
        text += " Both wordings were asked the same pairs, so r also holds what is peculiar to these pairs."
    return text if above else f"{text} The preferences do not survive other words."


def accuracy(frame: pl.DataFrame) -> list[str]:
    """Whether utilities predict the choices of pairs that were never fitted."""
    known = frame.drop_nulls("accuracy").sort("accuracy", maintain_order=True)
    if known.is_empty():
        return [f"Whether utilities predict pairs that were never fitted is {MISSING}."]
    above = known.filter(pl.col("low") > pl.col("chance")).height
    text = (
        f"Of pairs that were never fitted (n = {count_range(known['n'])} for each persona) the utilities predict "
        f"{ends_of(known, 'accuracy')}, where a coin predicts {spread(known['chance'])}; the interval lies above "
        f"that for {share(above, known.height)} personas."
    )
    return [text if above else f"{text} So nothing shows that the utilities say more than the choices they come from."]


def circles(frame: pl.DataFrame) -> list[str]:
    """Whether choices run in circles less often than coins, and more often than the scale expects."""
    known = frame.drop_nulls("cyclic").sort("cyclic", maintain_order=True)
    if known.is_empty():
        return [f"How often choices run in circles is {MISSING}."]
    below = known.filter(pl.col("high") < pl.col("chance")).height
    text = (
        f"Three answers run in a circle with probability {ends_of(known, 'cyclic')}; coins do with "
        f"{spread(known['chance'])}, and the interval lies below that for {share(below, known.height)} personas "
        f"(n = {count_range(known['n_triads'])} triads)."
    )
    if not below:
        text += " So the choices are not shown to have any order."
    excess = known.drop_nulls("excess").sort(pl.col("excess").abs(), maintain_order=True)
    if excess.height:
        more = excess.filter(pl.col("excess_low") > 0).height
        top = excess.row(-1, named=True)
        size = estimate(top["excess"], top["excess_low"], top["excess_high"])
        text += (
            f" Circles beyond what the utilities expect have an interval above 0 for {share(more, excess.height)}; the "
            f"difference is farthest from 0 for {pretty(top['persona'])}, {size}."
        )
    return [text]


def design(frame: pl.DataFrame) -> list[str]:
    """How the rounds of chosen pairs ended, and after how many pairs."""
    last = frame.sort("round").group_by("persona", maintain_order=True).last()
    text = (
        f"Pairs were chosen by the answers before them in {count_range(last['round'])} rounds, up to "
        f"{count_range(last['pairs'])} pairs for a persona."
    )
    known = last.drop_nulls("rank_r")
    if known.height:
        row = known.sort("rank_r", maintain_order=True).row(0, named=True)
        text += (
            f" In its last round the ranks of a persona correlate with those before at {number(row['rank_r'])} or more "
            f"(lowest for {pretty(row['persona'])}; not independent, since the choices before are in both)."
        )
    ended = last.drop_nulls("outcome").group_by("outcome", maintain_order=True).len()
    ways = [f"{outcome} for {n}" for outcome, n in ended.iter_rows()]
    return [f"{text} How it ended: {listed(ways)} of {last.height}." if ways else text]


def ratings(frame: pl.DataFrame) -> list[str]:
    """How far ratings vary over tasks, beside what the order of the scale does."""
    known = frame.drop_nulls(["rating", "order_bias"])
    if known.is_empty():
        return [f"How tasks are rated one by one is {MISSING}."]
    by = known.group_by("persona", maintain_order=True).agg(
        pl.col("rating").std(), bias=pl.col("order_bias").abs().mean(), mass=pl.col("label_mass").mean(), n=pl.len()
    )
    outweighed = by.filter(pl.col("bias") > pl.col("rating")).height
    sizes = spread(by["rating"]), spread(by["bias"])
    return [
        f"Rated one by one, tasks differ by {sizes[0]} points (standard deviation of a persona's expected ratings, "
        f"n = {count_range(by['n'])} tasks); the order of the scale moves a rating by ±{sizes[1]} on average, which is "
        f"more than that for {share(outweighed, by.height)} personas. Mean label mass is {spread(by['mass'])}."
    ]


def rated(frame: pl.DataFrame) -> list[str]:
    """Whether what a persona says it likes is what it chooses."""
    known = frame.drop_nulls("r").sort("r", maintain_order=True)
    if known.is_empty():
        return [f"Whether ratings agree with choices is {MISSING}."]
    above, below = known.filter(pl.col("low") > 0).height, known.filter(pl.col("high") < 0).height
    text = (
        f"Ratings correlate with the utilities at {ends_of(known, 'r')}; the interval lies above 0 for "
        f"{share(above, known.height)} personas and below 0 for {share(below, known.height)} (n = "
        f"{count_range(known['n'])} tasks)."
    )
    return [text if above else f"{text} What is said to be liked is not shown to be what is chosen."]


def ends_of(known: pl.DataFrame, name: str, low: str = "low", high: str = "high") -> str:
    """A sorted column's lowest and highest value, each with persona and interval; a single one once."""
    rows = [known.row(0, named=True), known.row(-1, named=True)] if known.height > 1 else [known.row(0, named=True)]
    return " to ".join(f"{estimate(row[name], row[low], row[high])} ({pretty(row['persona'])})" for row in rows)
