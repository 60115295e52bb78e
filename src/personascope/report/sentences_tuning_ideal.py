"""Paragraphs on whether the ideal moved with the self, and on toward whom the self moved."""

from __future__ import annotations

import polars as pl

from personascope.report.findings import Row
from personascope.report.findings_tuning import order, run_name, side, why
from personascope.report.sentences_random import PICKED
from personascope.report.wording import estimate, number, plural, pretty, share, signed

_CLOSE = 0.9
"""A cosine of the two gaps from which on a movement toward one is nearly a movement toward the other."""


def ideal_drift(frame: pl.DataFrame) -> list[str]:
    """How many facets of the ideal are shown to have stayed, and how far the self is from it now."""
    first = frame.row(0, named=True)
    name, n = run_name(first["run"]), first["n_facets"]
    equivalent = first["n_equivalent"]
    text = (
        f"After {name}, the ideal of {share(equivalent, n)} facets is shown to lie within ±{number(first['bound'])} of "
        f"where it was (n = {first['n_items']} items)."
    )
    if equivalent < n:
        text += " That the others are not shown to does not say that they moved."
    text += f" Over all facets the ideal moved by {_signed(first, 'drift')} on average. {_distance(first)}"
    texts = [text]
    if frame.height > 1:
        others = frame.slice(1)
        counts = "; ".join(
            f"{run_name(row['run'])}: {row['n_equivalent']} of {row['n_facets']}, distance "
            + (number(row["distance_ratio"]) if row["distance_ratio"] is not None else "refused")
            for row in others.to_dicts()
        )
        texts.append(f"Other runs, facets within the bound and distance from self to ideal by that before: {counts}.")
    return texts


def _distance(row: Row) -> str:
    value = row["distance_ratio"]
    if value is None:
        return (
            "How much nearer the self is to its ideal now cannot be said: "
            f"{why(row['distance_ratio_refused'])} (plain ratio {number(row['distance_ratio_naive_biased'])}, biased)."
        )
    low, high = row["distance_ratio_low"], row["distance_ratio_high"]
    if high is not None and high < 1:
        said = "nearer than before"
    elif low is not None and low > 1:
        said = "farther than before"
    else:
        said = "not shown to be nearer or farther than before"
    return f"The self's distance from it is {estimate(value, low, high)} times that before training: {said}."


def drift_by_facet(frame: pl.DataFrame) -> list[str]:
    """The facet whose ideal moved most in the first run."""
    own = frame.filter(pl.col("run") == frame["run"][0]).drop_nulls("difference")
    if own.is_empty():
        return ["No facet's drift could be tested."]
    top = own.sort(pl.col("difference").abs(), descending=True, maintain_order=True).row(0, named=True)
    return [
        f"The ideal's largest drift ({PICKED}, of {own.height} facets) is that of {pretty(top['facet'])}: "
        f"{signed(top['difference'])}, 90 % interval [{number(top['low'])}, {number(top['high'])}] "
        f"(n = {top['n']} items)."
    ]


def specificity(frame: pl.DataFrame) -> list[str]:
    """Whether the first run moved toward its own ideal more than toward a helpful assistant."""
    run = frame["run"][0]
    rows = {(row["statistic"], row["toward"]): row for row in frame.filter(pl.col("run") == run).to_dicts()}
    gaps = rows.get(("cosine of the gaps", "ideal"))
    ends = [rows.get(("gap closed", toward)) for toward in ("ideal", "other")]
    texts = []
    if None not in ends:
        said = [
            _value(row, f"toward {name}")
            for row, name in zip(ends, ("its ideal", "the helpful assistant"), strict=True)
        ]
        texts.append(f"Gap that {run_name(run)} closed: {'; '.join(said)}.{_apart(gaps)}")
    partial = [rows.get(("partial cosine", toward)) for toward in ("ideal", "other")]
    if None not in partial:
        texts.append(_partial(partial[0], partial[1]))
    return texts or ["Toward whom the runs moved was not measured."]


def _apart(row: Row | None) -> str:
    """How alike the two gaps are."""
    if row is None or row["value"] is None:
        reason = "" if row is None else f": {why(row['refused'])}"
        return f" How alike the two gaps are cannot be said{reason}."
    text = f" The two gaps point {estimate(row['value'], row['low'], row['high'])} alike (cosine)"
    if row["high"] is not None and row["high"] >= _CLOSE:
        return f"{text}, so to move toward one is nearly to move toward the other."
    return f"{text}."


def _partial(ideal: Row | None, other: Row | None) -> str:
    """What is left of the movement toward either when the other is taken out."""
    assert ideal is not None and other is not None
    if ideal["value"] is None:
        return (
            "Whether it is the ideal and not helpfulness that it moved toward cannot be concluded: "
            f"{why(ideal['refused'])}."
        )
    where = side(ideal["low"], ideal["high"])
    said = {
        1: "it moved toward its ideal beyond what helpfulness explains",
        -1: "apart from helpfulness it moved away from its ideal",
        0: "beyond helpfulness no movement toward its ideal is shown",
    }[where]
    rest = _value(other, "toward the helpful assistant with the ideal taken out")
    return (
        f"With the helpful assistant taken out, the movement's cosine with the gap to its ideal is "
        f"{estimate(ideal['value'], ideal['low'], ideal['high'])}: {said}; {rest} (n = {ideal['n_items']} items)."
    )


def _value(row: Row | None, name: str) -> str:
    if row is None or row["value"] is None:
        return f"{name} refused ({why(None if row is None else row['refused'])})"
    return f"{name} {estimate(row['value'], row['low'], row['high'])}"


def shape(frame: pl.DataFrame) -> list[str]:
    """Direction, length and what goes elsewhere, of the first run."""
    run = frame["run"][0]
    rows = {row["statistic"]: row for row in frame.filter(pl.col("run") == run).to_dicts()}
    cosine = rows.get("cosine")
    if cosine is None or cosine["value"] is None:
        reason = why(None if cosine is None else cosine["refused"])
        return [f"The shape of {run_name(run)}'s movement cannot be given: {reason}."]
    ceiling = (
        ""
        if cosine["ceiling"] is None
        else f" Between halves a straight movement would show {number(cosine['ceiling'])}."
    )
    return [
        f"{run_name(run)}'s movement has the cosine {estimate(cosine['value'], cosine['low'], cosine['high'])} with "
        f"the gap (1: straight toward the ideal); it is {_of(rows, 'norm_ratio')} times as long as the gap, "
        f"{_of(rows, 'orthogonal_share')} of its squared length does not lie along it, and facets stand in the gap's "
        f"order with r = {_of(rows, 'rank_correlation')}; error is taken off (n = {cosine['n_items']} items).{ceiling}"
    ]


def _of(rows: dict[str, Row], name: str) -> str:
    row = rows.get(name)
    return "not available" if row is None else estimate(row["value"], row["low"], row["high"])


def likeness(frame: pl.DataFrame) -> list[str]:
    """With which runs the first one shares its movement."""
    first = frame["run"][0]
    own = frame.filter(pl.col("run") == first).drop_nulls("r").sort("r", descending=True, maintain_order=True)
    if own.is_empty():
        return ["Whether runs move the same facets is not known."]
    sure = own.filter(pl.col("low") > 0).height
    said = "; ".join(
        f"{run_name(row['other'])}: {estimate(row['r'], row['low'], row['high'])}" for row in own.to_dicts()
    )
    n = len(order(frame))
    return [
        f"{run_name(first)} moves the same facets as: {said} (r over n = {own['n'][0]} facets). The interval lies "
        f"above 0 for {share(sure, own.height)} other {plural('run', n - 1)}. All runs share the error of the self "
        "before training, which alone makes them alike, so a run of another lesson is what r is to be read against."
    ]


def _signed(row: Row, name: str) -> str:
    interval = estimate(row[name], row[f"{name}_low"], row[f"{name}_high"]).partition(" ")[2]
    return f"{signed(row[name])} {interval}"
