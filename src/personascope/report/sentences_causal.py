"""Paragraphs on transfer between personas, angles of directions, and steering."""

from __future__ import annotations

import polars as pl

from personascope.report.findings import (
    Push,
    best_transfer,
    other_pairs,
    pushes,
    strongest_push,
)
from personascope.report.wording import estimate, interval, number, pretty, share, signed


def transfer(frame: pl.DataFrame) -> list[str]:
    """Whether probes of one persona read another beyond what the personas' utilities share."""
    best = best_transfer(frame)
    if best is None:
        return ["No probe was tested on another persona."]
    layer, position = best
    pairs = other_pairs(frame).filter((pl.col("layer") == layer) & (pl.col("position") == position))
    n_pairs = pairs.height
    reads = pairs.filter(pl.col("low") > 0).height
    more = pairs.filter(pl.col("difference_low") > 0).height
    less = pairs.filter(pl.col("difference_high") < 0).height
    top = pairs.sort("difference", descending=True, nulls_last=True).row(0, named=True)
    largest = (
        f"the largest difference is {pretty(top['train'])} to {pretty(top['test'])}, "
        f"{signed(top['difference'])} {interval(top['difference_low'], top['difference_high'])}, n = {top['n']}"
    )
    verdict = (
        f"In {share(more, n_pairs)} pairs the probe transfers better than the utilities themselves correlate (interval "
        f"of the difference above 0); {largest}."
        if more
        else "In no pair does the probe transfer better than the two personas' utilities correlate, so nothing here "
        f"shows a code for preference beyond shared preferences; {largest}."
    )
    return [
        f"Layer {layer} (position {position}) has the highest mean transfer (picked on the same data, so optimistic): "
        f"mean r over {n_pairs} pairs of different personas is {_mean(pairs, 'r')}, while the utilities alone "
        f"correlate at {_mean(pairs, 'utility_r')} on average. {share(reads, n_pairs).capitalize()} pairs have "
        "an interval of r above 0.",
        f"{verdict} In {less} of {n_pairs} it transfers worse, with an interval below 0.",
    ]


def directions(frame: pl.DataFrame) -> list[str]:
    """Whether preference directions point along persona directions more than random ones do."""
    known = frame.drop_nulls(["cosine", "null_high"])
    if known.is_empty():
        return ["No cosine has a random baseline to be compared with."]
    beyond = known.filter(pl.col("cosine").abs() > pl.col("null_high")).height
    top = known.sort(pl.col("cosine").abs(), descending=True).row(0, named=True)
    verdict = (
        f"{beyond} of {known.height} cosines lie beyond the 95th percentile of random directions"
        if beyond
        else f"None of the {known.height} cosines lies beyond the 95th percentile of random directions"
    )
    return [
        f"{verdict}, where about {round(0.05 * known.height)} would by chance. The largest is {number(top['cosine'])} "
        f"between the preference direction of {pretty(top['direction'])} and the identity direction of "
        f"{pretty(top['other'])} at layer {top['layer']} (random: {number(top['null_high'])}); it is the largest of "
        f"{known.height}, so optimistic."
    ]


def steering(frame: pl.DataFrame) -> list[str]:
    """Per target: whether the push moves the read-out more than random pushes of the same length."""
    return [_steered(target, pushes(frame, target)) for target in frame["target"].unique(maintain_order=True)]


def _steered(target: str, found: list[Push]) -> str:
    if not found:
        return f"{pretty(target)}. No coefficient was asked with both signs, so no effect can be told from damage."
    top = strongest_push(found)
    beyond = sum(push.beyond_random for push in found)
    both = sum(push.beyond_random and push.apart for push in found)
    against = sum(push.beyond_random and push.effect < 0 for push in found)
    c = number(top.coefficient)
    shown = (
        f"{top.read_out} is {estimate(*top.plus)} at +{c} and {estimate(*top.minus)} at −{c} of layer {top.layer}, a "
        f"half difference of {signed(top.effect)}"
    )
    if top.largest_random is not None:
        shown += f" where the largest of {top.n_random} random directions has {number(top.largest_random)}"
    shown += f" (n = {top.n}, label mass {number(top.label_mass)})"
    if not top.n_random:
        return f"{pretty(target)}. There are no random directions to compare with. At its strongest, {shown}."
    verdict = (
        "Steering moves the read-out beyond every random direction at the same coefficient in "
        f"{share(beyond, len(found))} cells (layer × strength), and in {both} of them the intervals at both signs lie "
        f"apart; {against} of them go against the direction's sign"
        if beyond
        else f"Steering does not move the read-out beyond the random directions in any of {len(found)} cells "
        "(layer × strength)"
    )
    chance = round(len(found) / (1 + top.n_random), 1)
    return (
        f"{pretty(target)}. {verdict}; a meaningless direction would win about {chance:g} cells. At its strongest "
        f"(picked on the same data, so optimistic), {shown}."
    )


def _mean(frame: pl.DataFrame, name: str) -> str:
    values = frame[name].drop_nulls().to_list()
    return number(sum(values) / len(values) if values else None)
