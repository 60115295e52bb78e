"""Paragraphs on a reading model: does it beat the item marginals, is it calibrated, does it know more than it read."""

from __future__ import annotations

from math import log2

import polars as pl

from personascope.report.findings import Row
from personascope.report.sentences_interview import named
from personascope.report.wording import estimate, excerpt, listed, number, pretty, share

_MARGINALS = "item marginals"
_WRITTEN = "written"


def training(frame: pl.DataFrame) -> list[str]:
    """What was learned, and whether it carried over."""
    known = frame.drop_nulls("validation_loss")
    if known.is_empty():
        return ["How training went is not known."]
    best = known.filter(pl.col("best"))
    row = (best if best.height else known.tail(1)).row(0, named=True)
    first = known.row(0, named=True)
    return [
        f"The model was taught {row['answers']} answers of {row['people']} people. Loss on other people's answers, in "
        f"nats a token: {number(first['validation_loss'])} before, {number(row['validation_loss'])} after epoch "
        f"{row['epoch']}, which was kept."
    ]


def errors(frame: pl.DataFrame) -> list[str]:
    """Whether each predictor is less surprised than the item marginals, for each kind of items."""
    texts = []
    for (kind,), own in frame.group_by("items", maintain_order=True):
        part = own.drop_nulls(["bits", "gain"])
        if part.is_empty():
            continue
        last = int(part["questions"].sort()[-1])
        rows = [row for row in part.filter(pl.col("questions") == last).to_dicts() if row["predictor"] != _MARGINALS]
        base = part.filter(pl.col("predictor") == _MARGINALS, pl.col("questions") == last)
        start = "" if base.is_empty() else f" ({number(base['bits'][0])} bits an answer)"
        said = [f"{named(row['predictor'])} {_gain(row)}" for row in sorted(rows, key=lambda row: -row["gain"])]
        if said:
            texts.append(
                f"Items {pretty(str(kind)).lower()}: bits of surprise below the item marginals{start} after {last} "
                f"questions: {listed(said)}."
            )
        texts += [_verdict(row) for row in rows if row["predictor"] == "language model, trained"]
    return texts or ["Whether answers are predicted was not measured."]


def _verdict(row: Row) -> str:
    if row["gain_low"] is not None and row["gain_low"] > 0:
        return "The trained model beats the marginals: its interval over people lies above 0."
    if row["gain_high"] is not None and row["gain_high"] < 0:
        return "The trained model is worse than the marginals: its interval over people lies below 0."
    return "The trained model is not told from the marginals: its interval over people holds 0."


def calibration(frame: pl.DataFrame) -> list[str]:
    """Mean distance of expected from observed, by predictor."""
    rows = frame.drop_nulls("error").group_by("predictor", maintain_order=True).first().to_dicts()
    if not rows:
        return ["Whether certainty can be trusted was not measured."]
    said = [f"{named(row['predictor'])} {number(row['error'])}" for row in sorted(rows, key=lambda row: row["error"])]
    return [f"Mean distance between expected and observed shares of options: {listed(said)}."]


def probes(frame: pl.DataFrame) -> list[str]:
    """For each state: how many targets are read beyond chance, and beyond the answers themselves."""
    texts = []
    for (state,), part in frame.group_by("state", maintain_order=True):
        known = part.drop_nulls(["value", "shuffled_high"])
        best = known.sort("value", descending=True, maintain_order=True).group_by("target", maintain_order=True).first()
        if best.is_empty():
            continue
        n = best.height
        beyond = best.filter(pl.col("value") > pl.col("shuffled_high")).height
        more = best.drop_nulls("over_text_low").filter(pl.col("over_text_low") > 0).height
        top = best.row(0, named=True)
        texts.append(
            f"{pretty(str(state))} model, each target at its best layer (picked on the same people): "
            f"{share(beyond, n)} targets are read above the 95th percentile of shuffled people, {more} of {n} beyond "
            f"what the answers give by themselves. The highest is {pretty(top['target'])} at layer {top['layer']}: r = "
            f"{estimate(top['value'], top['low'], top['high'])}, the answers alone {number(top['text_baseline'])} "
            f"(n = {top['n']} people)."
        )
    return texts or ["What the states hold was not measured."]


def people(frame: pl.DataFrame) -> list[str]:
    """Who knows people again, beside a guess."""
    rows = frame.drop_nulls("log2_p").sort("log2_p", descending=True, maintain_order=True).to_dicts()
    if not rows:
        return ["Whether people are known again was not measured."]
    said = [f"{named(row['reader'])} {estimate(row['log2_p'], row['low'], row['high'])}" for row in rows]
    first = [f"{named(row['reader'])} {number(row['top_1'])}" for row in rows if row["top_1"] is not None]
    n = rows[0]["people"]
    text = f"log2 posterior of the true person: {listed(said)}."
    if n:
        text = f"log2 posterior of the true person among {n}, a guess being {number(-log2(n))}: {listed(said)}."
    return [text, *([f"It is put first in these shares of interviews: {listed(first)}."] if first else [])]


def synthetic(frame: pl.DataFrame) -> list[str]:
    """How like people those are who were drawn, beside as many people."""
    rows = frame.drop_nulls("mean").to_dicts()
    if not rows:
        return ["Whether people who are made up are like people was not measured."]
    texts = []
    for measure, what in (
        ("mean", "From the item means of the tested people, in options, {n} of each kind are off by"),
        ("correlation", "From the correlations of items they are off by"),
        ("spread", "People's mean answers spread, as a multiple of real ones, by"),
    ):
        said = [f"{named(row['source'])} {_among_samples(row, measure)}" for row in rows if row[measure] is not None]
        if said:
            texts.append(f"{what.format(n=rows[0]['people'])}: {listed(said)}.")
    copied = [f"{named(row['source'])} {number(row['copies'])}" for row in rows if row["copies"] is not None]
    if copied:
        text = f"These shares answer all {rows[0]['items']} items as somebody does whom the model was taught about"
        texts.append(f"{text}, which few items make likely for anybody: {listed(copied)}.")
    return texts


def novel(frame: pl.DataFrame) -> list[str]:
    """What was written, and whether the model's opinion of questions is borne out where that can be seen."""
    if frame.is_empty() or frame["gain"].null_count() == frame.height:
        return ["What questions are worth was not measured."]
    first = frame.row(0, named=True)
    new = frame.filter(pl.col("realised").is_null() & (pl.col("kind") == _WRITTEN)).drop_nulls("gain")
    asked, wrote, unfit, copies = (first[f"n_{name}"] for name in ("requests", "written", "unfit", "copies"))
    texts = [
        f"Asked {asked} times, the model wrote {wrote} lines. Left out because nobody could rate them of themselves: "
        f"{unfit}; as near copies: {copies}."
    ]
    if new.height:
        best = new.sort("gain", descending=True).row(0, named=True)
        gain = estimate(best["gain"], best["low"], best["high"])
        texts.append(
            f"The answer to “{excerpt(best['text'], 90)}” is expected to tell most, {gain} bits about "
            f"{best['targets']} held-out items (n = {best['n']} interviews)."
        )
    seen = frame.drop_nulls(["gain", "realised"])
    if seen.height:
        expected, came = (number(float(seen[name].to_numpy().mean())) for name in ("gain", "realised"))
        texts.append(
            f"Of {seen.height} items that people have answered it expects {expected} bits on average; their answers "
            f"took {came} bits off its surprise."
        )
    return texts


def _among_samples(row: Row, measure: str) -> str:
    """With the range of samples, which only people have."""
    ends = row.get(f"{measure}_low"), row.get(f"{measure}_high")
    return number(row[measure]) if None in ends else estimate(row[measure], *ends)


def _gain(row: Row) -> str:
    return estimate(row["gain"], row["gain_low"], row["gain_high"])
