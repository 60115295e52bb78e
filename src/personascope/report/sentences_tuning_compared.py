"""Paragraphs on steering beside tuning: at equal movement, and whether training's shift is enough and needed."""

from __future__ import annotations

import polars as pl

from personascope.report.findings import Row
from personascope.report.findings_tuning import run_name, side, true_minus, why
from personascope.report.findings_tuning_compared import (
    ADDED,
    HELD,
    REMOVED,
    TUNED,
    Cause,
    causes,
    steered_rows,
    tuned_row,
    way_name,
)
from personascope.report.sentences_random import PICKED, counted
from personascope.report.wording import estimate, listed, number, plural, pretty, share_of, spread


def compared(frame: pl.DataFrame) -> list[str]:
    """Each way of steering beside training, then what the shift itself does."""
    tuned = tuned_row(frame)
    texts = []
    if tuned is not None:
        texts.append(_tuned(tuned))
    steered = steered_rows(frame)
    if steered:
        texts.append(_matches(steered))
        texts += [_way(row, tuned) for row in steered]
    if tuned is not None:
        texts += [_cause(cause, tuned) for cause in causes(frame)]
    return texts or ["Nothing was compared with training."]


def _tuned(row: Row) -> str:
    name = run_name(row["way"])
    if row["gap_closed"] is None:
        return (
            f"Training ({name}): gap closed on test items is refused, {why(row['refused'])} (n = {row['n_items']} "
            "items). So ways are compared by the plain slope, which has the same bias for all of them; that they agree "
            "in it says that they move alike, not that either moves toward the ideal."
        )
    return (
        f"Training ({name}) closed {estimate(row['gap_closed'], row['low'], row['high'])} of the gap on test items (n "
        f"= {row['n_items']} items; plain slope {number(row['slope'])}, biased)."
    )


def _matches(rows: list[Row]) -> str:
    matched = [row for row in rows if row["is_matched"]]
    target = number(rows[0]["target"])
    text = (
        f"{share_of(len(matched), len(rows), 'way')} of steering {'reaches' if len(matched) == 1 else 'reach'} what "
        f"training moved on validation items (plain slope {target}) before the response turns back."
    )
    return text[0].upper() + text[1:]


def _way(row: Row, tuned: Row | None) -> str:
    name = way_name(row["kind"], row["way"])
    if not row["is_matched"]:
        reason = true_minus(row["why_none"] or "no strength was found")
        if not row["strength"]:
            return (
                f"{name}: no match. Its response does not rise from 0 but first turns the other way, so there is no "
                "strength at which it could be compared."
            )
        return (
            f"{name}: no match; {reason}, short of {number(row['target'])}. At that strength it is not as far as "
            f"training: {_outcome(row, tuned)}"
        )
    return f"{name}: matched at strength {number(row['strength'])}. {_outcome(row, tuned, capital=True)}"


def _outcome(row: Row, tuned: Row | None, *, capital: bool = False) -> str:
    """Gap closed on test items, which facets moved, and at what price, each beside training."""
    if row["slope"] is None and row["gap_closed"] is None:
        return f"{'On' if capital else 'on'} test items nothing can be said: {why(row['refused'])}."
    closed = (
        f"gap closed refused, plain slope {number(row['slope'])} (biased)"
        if row["gap_closed"] is None
        else f"gap closed {estimate(row['gap_closed'], row['low'], row['high'])}"
    )
    beside = "" if tuned is None else f", training {_closed(tuned, refused=row['gap_closed'] is None)}"
    text = f"{'On' if capital else 'on'} test items: {closed}{beside}; {_reading(row)}."
    if row["like_tuned"] is not None:
        text += f" Its facets move as training's do with r = {number(row['like_tuned'])} (no interval)."
    price = _price(row, tuned)
    return f"{text}{price}"


def _closed(tuned: Row, *, refused: bool) -> str:
    if refused or tuned["gap_closed"] is None:
        return f"plain slope {number(tuned['slope'])}"
    return estimate(tuned["gap_closed"], tuned["low"], tuned["high"])


def _reading(row: Row) -> str:
    slopes = f"+ items {number(row['slope_positive'])}, − items {number(row['slope_negative'])} (plain slopes)"
    words = {
        "trait movement": "both keys move the same way",
        "answer shift": "an answer shift: the keys move in opposite ways",
    }
    return f"{slopes}, {words.get(row['reading'] or '', 'trait or answer shift not settled')}"


def _price(row: Row, tuned: Row | None) -> str:
    parts = []
    for name, words in (("kl", "KL"), ("perplexity_ratio", "perplexity ×"), ("label_mass", "label mass")):
        if row[name] is not None:
            beside = "" if tuned is None or tuned[name] is None else f" (training {number(tuned[name])})"
            parts.append(f"{words} {number(row[name])}{beside}")
    drift = ""
    if row["drift"] is not None:
        moved = side(row["drift_low"], row["drift_high"])
        drift = f", and the ideal {'moves' if moved else 'is not shown to move'} on average "
        drift += estimate(row["drift"], row["drift_low"], row["drift_high"])
    return f" Price: {listed(parts)}{drift}." if parts else ""


def _cause(cause: Cause, tuned: Row) -> str:
    """Enough, or needed: the slope of the shift itself beside those of random directions and of training."""
    own, slopes = cause.own["slope"], cause.slopes
    beginning = {
        ADDED: "Is training's shift enough? Added to the base at its own length",
        REMOVED: "Is it needed? Taken from the tuned model",
        HELD: "With the tuned model's place along the shift held at the base's mean",
    }[cause.kind]
    if own is None:
        return f"{beginning}, nothing can be said: {why(cause.own['refused'])}."
    text = f"{beginning}, the plain slope on test items is {number(own)}, that of training {number(tuned['slope'])}"
    if not slopes:
        return f"{text}; there are no random directions to compare with."
    n = len(slopes)
    sign = 1 if cause.kind == ADDED else -1  # what is left is small where the shift was needed
    as_much = sum(sign * slope >= sign * own for slope in slopes)
    what = "as much" if cause.kind == ADDED else "as little"
    verb = (
        counted(as_much, n).replace(" does", " leaves").replace(" do", " leave")
        if cause.kind != ADDED
        else counted(as_much, n)
    )
    text += (
        f"; {n} random {plural('direction', n)} of the same length give {spread(slopes)}, and {verb} {what} (a "
        f"meaningless direction would be first once in {n + 1} times)."
    )
    return f"{text} {_said(cause, as_much, own, tuned['slope'])}"


def _said(cause: Cause, as_much: int, own: float, tuned: float | None) -> str:
    if as_much or tuned is None:
        what = "enough" if cause.kind == ADDED else "needed"
        return f"So this does not show that the shift is {what}."
    if tuned <= 0:
        return "Training's own slope is not above 0, so there is nothing to reproduce or to lose."
    part = own / tuned if cause.kind == ADDED else 1 - own / tuned
    verb = "gives" if cause.kind == ADDED else "takes away"
    return f"It {verb} {number(part)} of training's slope, more than random directions do; slopes have no interval."


def responses(frame: pl.DataFrame) -> list[str]:
    """How the strengths were found."""
    asked = frame.height
    ways = frame["way"].n_unique()
    return [
        f"Strengths were sought on validation items, with {asked} pushes along {ways} {plural('direction', ways)}; "
        "test items took no part in it."
    ]


def facets_compared(frame: pl.DataFrame) -> list[str]:
    """Which facets part most between training and the way of steering that is most like it."""
    tuned = dict(frame.filter(pl.col("kind") == TUNED).select("facet", "moved").iter_rows())
    steered = frame.filter(pl.col("kind") == "steered", pl.col("facet").is_in(list(tuned))).drop_nulls("moved")
    apart = [(row["moved"] - tuned[row["facet"]], row) for row in steered.to_dicts() if tuned[row["facet"]] is not None]
    if not apart:
        return ["No facet was moved by both training and steering."]
    row = max(apart, key=lambda pair: abs(pair[0]))[1]
    return [
        f"Facet by facet, the farthest apart ({PICKED}, of {len(apart)}) are {pretty(row['facet'])} under "
        f"{pretty(row['way'])} ({number(row['moved'])}) and under training ({number(tuned[row['facet']])})."
    ]
