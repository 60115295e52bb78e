"""Paragraphs on steered choices: the curves, what a push does by layer and strength, dose and response, the place."""

from __future__ import annotations

import polars as pl

from personascope.report.findings import Row
from personascope.report.findings_steering import (
    CONTRAST,
    PROBE,
    SWING,
    TARGETS,
    beside_random,
    from_zero,
    largest,
    of_all_pairs,
    of_kind,
)
from personascope.report.sentences_random import PICKED, as_much, counted, ends_of, signed_estimate, verdict
from personascope.report.wording import estimate, number, percent, pretty, share, signed, spread

_ANTISYMMETRIC = (
    "With + on one task and − on the other, P(chooses steered task) is antisymmetric about 1/2 by construction: it is "
    "1/2 without a push, and what a push up gains a push down loses. Only its slope is a finding."
)


def curves(frame: pl.DataFrame) -> list[str]:
    """How the curves are to be read: construction, the unsteered start, damage and turning points."""
    probe = of_kind(frame, PROBE)
    texts = [_ANTISYMMETRIC] if CONTRAST in frame["target"].to_list() else []
    unsteered = of_all_pairs(probe).filter(pl.col("target") == "better task", pl.col("coefficient") == 0)
    texts += [
        f"Unsteered, {pretty(row['persona'])} takes the task of higher utility with P = "
        f"{estimate(row['value'], row['low'], row['high'])} (n = {row['n']}); a push against it has to overturn that."
        for row in unsteered.drop_nulls("value").unique("persona", keep="first", maintain_order=True).to_dicts()
    ]
    cells = probe.filter(pl.col("coefficient") != 0)
    if cells.height:
        outside = cells.filter(pl.col("outside_usable")).height
        past = cells.filter(pl.col("past_peak")).height
        texts.append(
            f"Of the {cells.height} pushes along the probe direction (layers × coefficients × targets × types of "
            f"pairs), {outside} lie outside the usable range of their layer, where the model is damaged and its "
            f"answers say little (hollow dots), and {past} lie past a peak from which the curve turns back. The label "
            f"mass runs from {spread(cells['label_mass'])}."
        )
    return texts or ["There is no push along the probe direction to show."]


def effects(frame: pl.DataFrame) -> list[str]:
    """Per persona and target: whether a push moves the choice more than random ones, and by which of its halves."""
    texts = []
    for (persona, target), own in of_all_pairs(frame).group_by("persona", "target", maintain_order=True):
        texts += _effects_of(frame, own, str(persona), str(target))
    return texts


def _effects_of(frame: pl.DataFrame, own: pl.DataFrame, persona: str, target: str) -> list[str]:
    rows = beside_random(own.filter(pl.col("effect") == SWING), ())
    name = f"{TARGETS.get(target, pretty(target))} ({pretty(persona)})"
    top = largest(rows)
    if top is None:
        return [f"{name}. No swing of the probe direction could be computed."]
    text = f"{name}. {verdict(rows, 'layer × strength', 'swing')} {_strongest(top)}"
    here = own.filter((pl.col("layer") == top["layer"]) & (pl.col("coefficient") == top["coefficient"]))
    for row in of_kind(here, "other layer").filter(pl.col("effect") == SWING).drop_nulls("value").to_dicts()[:1]:
        text += f" The direction of another layer, put in there, gives {signed_estimate(*ends_of(row))}."
    halves = {row["effect"]: row for row in beside_random(here, ("effect",)).to_dicts() if row["effect"] != SWING}
    if target == CONTRAST:
        text += " Its halves, + against none and none against −, are equal by construction."
    elif len(halves) == 2:
        text += " Apart: " + " and ".join(
            f"{effect} {signed_estimate(*ends_of(halves[effect]))} ({as_much(halves[effect])})"
            for effect in ("amplification", "suppression")
        )
        text += "."
    return [text, *_by_pair_type(frame, persona, target, top)]


def _strongest(top: Row) -> str:
    text = (
        f"It is largest at layer {top['layer']} and strength {number(top['coefficient'])} ({PICKED}): "
        f"{top['read_out']} swings by {signed_estimate(*ends_of(top))} between + and − (n = {top['n']}, lowest label "
        f"mass {number(top['label_mass'])}); {as_much(top)}."
    )
    return text + (" That push lies outside the usable range." if top.get("outside_usable") else "")


def _by_pair_type(frame: pl.DataFrame, persona: str, target: str, top: Row) -> list[str]:
    place = {"persona": persona, "target": target, "layer": top["layer"], "coefficient": top["coefficient"]}
    cells = frame.filter(pl.col("effect") == SWING, *(pl.col(name) == value for name, value in place.items()))
    rows = beside_random(cells.filter(pl.col("pair_type") != "all"), ("pair_type",)).to_dicts()
    if len(rows) < 2:
        return []
    said = [f"{row['pair_type']} {signed_estimate(*ends_of(row))} (n = {row['n']}, {as_much(row)})" for row in rows]
    return [f"The same push by type of pair: {'; '.join(said)}."]


def dose(frame: pl.DataFrame) -> list[str]:
    """Per persona and target: how steep at 0, how straight, where it turns back, and whether that is chance."""
    texts = []
    for (persona, target), own in of_all_pairs(frame).group_by("persona", "target", maintain_order=True):
        probe = of_kind(own, PROBE)
        name = f"{TARGETS.get(str(target), pretty(str(target)))} ({pretty(str(persona))})"
        top = largest(probe.with_columns(value=pl.col("slope"), outside_usable=pl.col("slope_outside_usable")))
        texts.append(f"{name}. No slope could be computed." if top is None else f"{name}. {_slope(probe, top)}")
    return texts


def _slope(probe: pl.DataFrame, top: Row) -> str:
    ends = (top["slope"], top["slope_low"], top["slope_high"])
    text = (
        f"The slope at 0, read from ±{number(top['step'])}, is steepest at layer {top['layer']} ({PICKED}): "
        f"{signed_estimate(*ends)} per unit of the coefficient"
    )
    many = probe.height > 1
    n = top["n_random"]
    if top["p"] is None or not n:
        text += ". There are no random directions to compare with."
    else:
        steeper = round(top["p"] * (1 + n)) - 1
        text += (
            f"; {counted(steeper, n)} as much (p = {number(top['p'])}; {number(1 / (1 + n))} is the smallest that {n} "
            "can show)."
        )
        if many:
            least = probe.filter(pl.col("n_random") > 0, pl.col("p") * (1 + pl.col("n_random")) < 1.5).height
            chance = sum(1 / (1 + each) for each in probe["n_random"] if each)
            text += (
                f" It is steeper than every random direction at {share(least, probe.height)} layers, where a "
                f"meaningless direction would be at about {chance:.1f}."
            )
    return text + _shape(probe, top)


def _shape(probe: pl.DataFrame, top: Row) -> str:
    text = ""
    if top["saturation"] is not None:
        lost = top["saturation"]
        text = f" Out to the largest usable strength {percent(lost)} of that slope is lost" if lost >= 0 else ""
        text = text or f" Farther out the curve is steeper, by {percent(-lost)}"
        text += "." if top["linearity"] is None else f"; a straight line has R² = {number(top['linearity'])}."
    n = probe.height
    turning = probe.filter(pl.col("turns_plus") | pl.col("turns_minus")).height
    where = f" at {share(turning, n)} layers" if n > 1 else ""
    text += f" The curve {'turns' if turning or n > 1 else 'does not turn'} back within the swept strengths{where}"
    outside = probe.filter(pl.col("slope_outside_usable")).height
    where = f"at {share(outside, n)} layers" if n > 1 else "there"
    return text + (f"; {where} even the smallest strength lies outside the usable range." if outside else ".")


def position(frame: pl.DataFrame) -> list[str]:
    """How far a push along the probe direction moves the preference for a place, which it should not."""
    texts = []
    for (read_out,), own in frame.group_by("read_out", maintain_order=True):
        keys = [key for key in ("persona",) if key in own.columns]
        rows = beside_random(from_zero(own, keys), keys)
        top = largest(rows)
        if top is None:
            texts.append(f"{read_out}: no push could be compared with none.")
            continue
        texts.append(
            f"{read_out}: {number(top['unsteered'])} without a push, moved most by "
            f"{signed(top['coefficient'])} at layer {top['layer']} ({PICKED}), to "
            f"{estimate(top['steered'], top['low'], top['high'])} (n = {top['n']}); {as_much(top)}."
        )
    even = "Where + is on one task and − on the other, these curves are even by construction, alike for + and −."
    return [*texts, even]
