"""Paragraphs on interviews: which planner finds people soonest, which predicts best, and whether it is the same."""

from __future__ import annotations

import polars as pl

from personascope.report.findings import Row
from personascope.report.wording import estimate, listed, number, pretty, signed

_BOUND, _CHANCE = "hindsight", "random"
_EARLY = 10
"""Questions after which planners are told apart: later all have found everybody."""


def identified(frame: pl.DataFrame) -> list[str]:
    """Who is found soonest, beside random questions and the bound."""
    at = _looked_at(frame)
    rows = {row["planner"]: row for row in frame.filter(pl.col("questions") == at).drop_nulls("log2_p").to_dicts()}
    plans = [row for name, row in rows.items() if name != _BOUND]
    if not plans:
        return ["Whether interviews find people was not measured."]
    best = max(plans, key=lambda row: row["log2_p"])
    said = [f"{named(row['planner'])} {_bits(row)}" for row in sorted(plans, key=lambda row: -row["log2_p"])]
    texts = [
        f"log2 posterior of the true person among all after {at} questions, over {best['n']} interviews: "
        f"{listed(said)}."
    ]
    if _CHANCE in rows and best["planner"] != _CHANCE:
        gain = best["log2_p"] - rows[_CHANCE]["log2_p"]
        apart = _apart(best, rows[_CHANCE], higher=True)
        texts.append(
            f"The best, {named(best['planner'])}, is {number(gain)} bits ahead of random questions"
            + (". " if apart else ", and their intervals overlap. ")
            + f"It has the right person first in {number(best['top_1'])} of interviews, random questions in "
            f"{number(rows[_CHANCE]['top_1'])}."
        )
    if _BOUND in rows:
        texts.append(
            f"Who knew the answers beforehand would stand at {signed(rows[_BOUND]['log2_p'])}: that bound picks "
            "questions by answers not yet given, and nobody can ask so."
        )
    return texts


def predicted(frame: pl.DataFrame) -> list[str]:
    """Who predicts best what was not asked, and whether those who find people do."""
    at = _looked_at(frame)
    texts = []
    for predictor in frame["predictor"].unique(maintain_order=True):
        own = frame.filter(pl.col("predictor") == predictor).drop_nulls("rmse")
        rows = {row["planner"]: row for row in own.filter(pl.col("questions") == at).to_dicts()}
        nothing = own.filter(pl.col("questions") == 0)
        if not rows:
            continue
        best = min(rows.values(), key=lambda row: row["rmse"])
        said = [
            f"{named(row['planner'])} {number(row['rmse'])}"
            for row in sorted(rows.values(), key=lambda row: row["rmse"])
        ]
        start = "" if nothing.is_empty() else f" ({number(nothing['rmse'][0])} with nothing asked)"
        text = f"Error on items never asked after {at} questions, predicted by {named(str(predictor))}: "
        text += f"{listed(said)}{start}."
        if _CHANCE in rows and best["planner"] != _CHANCE and not _apart(best, rows[_CHANCE], higher=False):
            text += " The best planner's interval overlaps that of random questions."
        texts.append(text)
    return texts or ["Whether interviews predict answers was not measured."]


def asked(frame: pl.DataFrame) -> list[str]:
    """Whether planners adapt at all."""
    most = frame.group_by("planner", maintain_order=True).agg(pl.col("n_items").max())
    same = [named(name) for name, n in most.iter_rows() if n == 1]
    moving = [f"{named(name)} (up to {n} items at one place)" for name, n in most.iter_rows() if n and n > 1]
    texts = []
    if same:
        texts.append(f"The same questions in the same order for everybody: {listed(same)}.")
    if moving:
        texts.append(f"Different questions for different people: {listed(moving)}.")
    return texts or ["Which questions were asked is not known."]


def rounds(frame: pl.DataFrame) -> list[str]:
    """Whether an interviewer that learns from its best interviews gets better."""
    known = frame.drop_nulls("gain").sort("number", maintain_order=True)
    if known.is_empty():
        return ["What rounds of learning came to was not measured."]
    said = [
        f"{estimate(row['gain'], row['low'], row['high'])}"
        + (f" having learned from {row['kept']} interviews of its own" if row["number"] else " as it was taught")
        for row in known.to_dicts()
    ]
    best = int(known.sort("gain", descending=True, maintain_order=True)["number"][0])
    share = max(float(one) for one in known["synthetic_share"])
    return [
        f"Bits by question that the interviewer's questions take off the surprise of answers of held-out people: "
        f"{listed(said)}. " + (f"Round {best} was kept." if best else "No round was better than what it was taught.")
        + (f" At most {number(share)} of the people it learned from are synthetic." if share else "")
    ]  # fmt: skip


def named(name: str) -> str:
    """A planner or a model of respondents, within a sentence: as it is written, escaped and not too long."""
    shown = pretty(name)
    return shown if name[:1].isupper() else shown[:1].lower() + shown[1:]


def _looked_at(frame: pl.DataFrame) -> int:
    """The number of questions that words are about: ten, or the nearest that was looked at."""
    return int(min(frame["questions"].unique().sort(), key=lambda n: abs(n - _EARLY)))


def _bits(row: Row) -> str:
    return estimate(row["log2_p"], row["low"], row["high"])


def _apart(one: Row, other: Row, *, higher: bool) -> bool:
    """Whether the interval of one lies beyond that of the other."""
    ends = (one["low"], other["high"]) if higher else (other["low"], one["high"])
    return None not in ends and ends[0] > ends[1]
