"""Paragraphs on steering under other personas, and on tasks that are steered each in a run of its own."""

from __future__ import annotations

import polars as pl

from personascope.report.findings import Row, excludes_zero
from personascope.report.findings_steering import (
    PROBE,
    SWING,
    TARGETS,
    beside_random,
    beyond,
    by_chance,
    largest,
    of_all_pairs,
    of_kind,
    swings,
)
from personascope.report.sentences_random import PICKED, as_much, ends_of, signed_estimate, verdict
from personascope.report.wording import number, percent, plural, pretty, signed


def spliced(frame: pl.DataFrame) -> list[str]:
    """How much of the ordinary swing is left when each task is steered alone."""
    rows = beside_random(swings(frame, ("mode",)), ("mode",))
    first = frame["mode"][0]
    own = rows.filter(pl.col("mode") == first)
    top = largest(own)
    if top is None:
        return [f"{pretty(first)}: no swing of the probe direction could be computed."]
    text = (
        f"{pretty(first)}: {verdict(own, 'layer × strength', 'swing')} The largest ({PICKED}) is "
        f"{signed(top['value'])}, at layer {top['layer']} and strength {number(top['coefficient'])} (n = {top['n']}, "
        f"lowest label mass {number(top['label_mass'])}); {as_much(top)}."
    )
    here = rows.filter((pl.col("layer") == top["layer"]) & (pl.col("coefficient") == top["coefficient"]))
    said = [
        f"{row['mode']} {signed(row['value'])}{_part(row['value'], top['value'])} ({as_much(row)}, lowest label mass "
        f"{number(row['label_mass'])})"
        for row in here.to_dicts()
        if row["mode"] != first
    ]
    return [text, f"The same push with each task steered in a run of its own: {'; '.join(said)}."] if said else [text]


def _part(value: float, whole: float) -> str:
    return f", {percent(value / whole)} of it" if whole and value / whole > 0 else ""


def cross(frame: pl.DataFrame) -> list[str]:
    """Per target: whether the first persona's direction steers the others, beside their own and random ones."""
    rows = of_all_pairs(frame).filter(pl.col("effect") == SWING)
    return [
        text
        for (target,), part in rows.group_by("target", maintain_order=True)
        for text in _cross(str(target), part, frame["persona"][0])
    ]


def _cross(target: str, part: pl.DataFrame, first: str) -> list[str]:
    name = TARGETS.get(target, pretty(target))
    own = beside_random(part, ("persona",))
    top = largest(own.filter(pl.col("persona") == first))
    if top is None:
        return [f"{name}. No swing of the direction of {pretty(first)} is known under that persona."]
    texts = [
        f"{name}. The direction of {pretty(first)}, under that persona: largest swing ({PICKED}) "
        f"{signed_estimate(*ends_of(top))} at layer {top['layer']} and strength {number(top['coefficient'])} (n = "
        f"{top['n']}); {as_much(top)}."
    ]
    place = (pl.col("layer") == top["layer"]) & (pl.col("coefficient") == top["coefficient"])
    others = own.filter(place, pl.col("persona") != first)
    if others.is_empty():
        return texts
    theirs = {row["persona"]: row for row in beside_random(part, ("persona",), "own").filter(place).to_dicts()}
    said = [_other(row, theirs.get(row["persona"])) for row in others.to_dicts()]
    alike = others.filter(excludes_zero(), (pl.col("value") > 0) == (top["value"] > 0))
    return [
        *texts,
        f"The same push under others, at a layer and strength picked for {pretty(first)}: {'; '.join(said)}.",
        f"Of these {others.height} {plural('persona', others.height)}, it does more than every random direction under "
        f"{beyond(others)}, where a meaningless one would under about {by_chance(others):.1f}; its interval excludes 0 "
        f"on the side of {pretty(first)} under {alike.height}.",
    ]


def _other(row: Row, own: Row | None) -> str:
    text = f"{pretty(row['persona'])} {signed_estimate(*ends_of(row))} ({as_much(row)}"
    return f"{text}; its own direction {signed_estimate(*ends_of(own))})" if own else f"{text})"


def differences(frame: pl.DataFrame) -> list[str]:
    """Whether a persona's own direction steers it more than the first persona's, on the same pairs."""
    texts = []
    for (persona,), part in frame.drop_nulls("value").group_by("persona", maintain_order=True):
        more = part.filter(excludes_zero(), pl.col("value") > 0).height
        less = part.filter(excludes_zero(), pl.col("value") < 0).height
        top = part.sort(pl.col("value").abs(), descending=True, maintain_order=True).row(0, named=True)
        texts.append(
            f"Swing of {pretty(str(persona))}'s own direction minus that of the first persona's, on the same pairs: "
            f"above 0 in {more} and below 0 in {less} of {part.height} {plural('cell', part.height)} (layer × "
            f"strength); largest at layer {top['layer']} and strength {number(top['coefficient'])} ({PICKED}), "
            f"{signed_estimate(*ends_of(top))} (n = {top['n']})."
        )
    return texts or ["No direction of a persona's own could be compared with the first persona's."]


def cross_curves(frame: pl.DataFrame) -> list[str]:
    """Where the unsteered curves of the personas start."""
    zero = of_kind(of_all_pairs(frame), PROBE).filter(pl.col("coefficient") == 0).drop_nulls("value")
    one_each = zero.unique(["target", "persona"], keep="first", maintain_order=True)
    texts = []
    for (target,), part in one_each.group_by("target", maintain_order=True):
        if target != "better task" or part.height < 2:
            continue
        said = ", ".join(f"{pretty(row['persona'])} {number(row['value'])}" for row in part.to_dicts())
        texts.append(f"Unsteered, the task of higher utility is taken with P = {said}.")
    return texts
