"""Paragraphs on what a probe survives: groups left out, means and text taken away, directions removed."""

from __future__ import annotations

import polars as pl

from personascope.report.findings import Row, best_text
from personascope.report.findings_sweep import above_zero, highest, left_out, split_target, untouched
from personascope.report.sentences import OPTIMISTIC, against_shuffled, against_text, text_baselines
from personascope.report.wording import estimate, number, plural, pretty, share, spread


def groups_left_out(frame: pl.DataFrame) -> list[str]:
    """Per target, at the layer with the best pooled r: pooled, on average and within groups, and group by group."""
    texts = [_left_out(frame, target) for target in frame["target"].unique(maintain_order=True)]
    return [*texts, OPTIMISTIC]


def _left_out(frame: pl.DataFrame, target: str) -> str:
    best = highest(left_out(frame, target, "pooled"))
    if best is None:
        return f"{pretty(target)}: no pooled correlation over groups left out could be computed."
    layer = best["layer"]
    text = (
        f"{pretty(target)}, trained on all groups but one and tested on that one: pooled r is highest at layer "
        f"{layer}, {_value(best)} over {best['n_groups']} groups (n = {best['n']}). {_levels(best)}"
    )
    within = highest(left_out(frame, target, "within groups").filter(pl.col("layer") == layer))
    if within is None:
        text += " Within groups there is no correlation to show, so the pooled one may be one of group means."
    else:
        text += f" Within groups, where knowing the group is worth nothing, r is {_value(within)}. {_levels(within)}"
    mean = highest(left_out(frame, target, "mean over groups").filter(pl.col("layer") == layer))
    text += "" if mean is None else f" The mean of the groups' own r is {_value(mean)}."
    return f"{text} {_each_group(frame, target, layer)}{_ceiling(best)}"


def _value(row: Row) -> str:
    return estimate(row["value"], row["low"], row["high"])


def _levels(row: Row) -> str:
    """Whether an interval lies above shuffled labels and the better text baseline; there is no paired test here."""
    if row["value"] <= 0:
        return "That is not above 0, so nothing is read there."
    return f"{_level(row, row['shuffled_high'], _shuffled(row))} {_text_level(row)}"


def _level(row: Row, level: float | None, name: str) -> str:
    if level is None:
        return f"There is no value of {name} to compare with."
    if row["value"] <= level:
        return f"That is not above {name}."
    if row["low"] is not None and row["low"] > level:
        return f"The interval lies above {name}."
    return f"That is above {name}, but the interval reaches it."


def _shuffled(row: Row) -> str:
    return f"shuffled labels (95th percentile {number(row['shuffled_high'])})"


def _text_level(row: Row) -> str:
    return _level(row, best_text(row), f"the better text baseline ({text_baselines(row)})")


def _each_group(frame: pl.DataFrame, target: str, layer: int) -> str:
    groups = left_out(frame, target, "group").filter(pl.col("layer") == layer).drop_nulls("value")
    if groups.is_empty():
        return "No single group has an r of its own."
    text = sum((best := best_text(row)) is not None and row["value"] > best for row in groups.to_dicts())
    top, bottom = (groups.sort("value", descending=down).row(0, named=True) for down in (True, False))
    return (
        f"In {share(above_zero(groups), groups.height)} groups the interval of r lies above 0, and in "
        f"{share(text, groups.height)} r is above the better text baseline; it runs from {number(bottom['value'])} "
        f"({pretty(bottom['group'])}) to {number(top['value'])} ({pretty(top['group'])})."
    )


def _ceiling(row: Row) -> str:
    if row["ceiling"] is None:
        return ""
    return f" Given its own error the target allows r = {number(row['ceiling'])} at most."


def confounds(frame: pl.DataFrame) -> list[str]:
    """Per target and what was taken away: the best layer against shuffled labels and the text."""
    parts = split_target(frame).partition_by("of", "without", maintain_order=True)
    texts = [_without(part) for part in parts]
    if frame["variance_left"].null_count() == frame.height:
        texts.append("Without a sentence encoder, what the text predicts of the activations was not taken away.")
    return texts


def _without(part: pl.DataFrame) -> str:
    target, without = part.select("of", "without").row(0)
    name = f"{pretty(target)}, {without}" if without else pretty(target)
    best = highest(part)
    if best is None:
        return f"{name}: no probe has a value."
    text = (
        f"{name}: best at layer {best['layer']}, r = {_value(best)}, n = {best['n']}. {against_shuffled(best)} "
        f"{against_text(best)}"
    )
    left = part["variance_left"].drop_nulls()
    if best["variance_left"] is not None:
        text += (
            f" Without the text {number(best['variance_left'])} of the activations' variance is left there "
            f"({spread(left)} over layers)."
        )
        if best["variance_left"] >= 1:
            text += " The text predicted held-out activations no better than their mean, so nothing was taken away."
    return text


def removals(frame: pl.DataFrame) -> list[str]:
    """Per target, at the layer that reads best before removals: how many directions carry it."""
    return [_removed(frame, target) for target in frame["target"].unique(maintain_order=True)]


def _removed(frame: pl.DataFrame, target: str) -> str:
    best = highest(untouched(frame, target), "r")
    if best is None:
        return f"{pretty(target)}: no probe has a value before removals."
    own = frame.filter(pl.col("target") == target, pl.col("layer") == best["layer"])
    probe = own.filter(pl.col("removed") == "probe").sort("step")
    start = f"{pretty(target)}, directions removed at layer {best['layer']} (n = {best['n']}): r is " + estimate(
        best["r"], best["low"], best["high"]
    )
    if best["shuffled_high"] is None or best["r"] <= max(0.0, best["shuffled_high"]):
        return (
            f"{start} before any removal, which is not above {_shuffled(best)}, so there is nothing whose removal "
            "could be followed."
        )
    last = probe.row(-1, named=True)
    steps = last["step"]
    text = (
        f"{start} before any removal and {estimate(last['r'], last['low'], last['high'])} after {steps} of the probe's "
        f"own {plural('direction', steps)}. {_gone(probe)}"
    )
    random = own.filter(pl.col("removed") == "random", pl.col("step") == steps)["r"].drop_nulls()
    if random.is_empty():
        return f"{text} There are no random removals to compare with."
    below = f"Removing as many random directions leaves r = {spread(random)} ({random.len()} draws)"
    if last["r"] is not None and last["r"] < min(random):
        return f"{text} {below}, all above."
    return f"{text} {below}, so the probe's directions matter no more than random ones."


def _gone(probe: pl.DataFrame) -> str:
    lost = probe.filter(pl.col("r") <= pl.col("shuffled_high"))
    if lost.is_empty():
        return "It never falls to the 95th percentile of shuffled labels, so more directions than these carry it."
    step = lost["step"][0]
    return f"With {step} removed it is no longer above the 95th percentile of shuffled labels."
