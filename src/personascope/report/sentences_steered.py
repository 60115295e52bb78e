"""Paragraphs and quotes on what is written under steering."""

from __future__ import annotations

import polars as pl

from personascope.report.figures_steered_answers import span_title, with_asked
from personascope.report.findings import Row
from personascope.report.findings_steering import (
    PROBE,
    beside_random,
    from_zero,
    largest,
    of_kind,
    swings,
)
from personascope.report.outline import Quote
from personascope.report.sentences_random import PICKED, as_much, verdict
from personascope.report.wording import estimate, excerpt, number, pretty, signed

LABEL, DEED = "P(writes label of steered task)", "P(carries out steered task)"
FATES = ("refuses", "cut off", "no choice", "repetition", "words")
_COUNTED = ("refusal by words", "repetition", "words")
"""What is counted in free answers beside what a judge rates."""
_NOT_TOLD = "drawn below but not told in words, as the judge's two orders do not agree on it."
QUOTED, QUOTE_LENGTH = 2, 320
"""Questions that are quoted, each at three strengths, and letters of an answer."""


def written(frame: pl.DataFrame) -> list[str]:
    """Whether a push moves what is said, what is done, or only breaks the text."""
    texts = []
    tops: dict[str, Row] = {}
    for name in (LABEL, DEED):
        rows = beside_random(swings(frame.filter(pl.col("read_out") == name), ()), ())
        top = largest(rows)
        if top is None:
            texts.append(f"{name} was not read at both signs of any strength.")
            continue
        tops[name] = top
        texts.append(f"{name}: {verdict(rows, 'layer × strength', 'swing')} {_largest(top)}")
    if len(tops) == len((LABEL, DEED)):
        texts.append(_said_and_done(frame, tops[LABEL]))
    return [*texts, *_fates(frame)]


def _said_and_done(frame: pl.DataFrame, top: Row) -> str:
    place = (pl.col("layer") == top["layer"]) & (pl.col("coefficient") == top["coefficient"])
    deed = of_kind(swings(frame.filter(pl.col("read_out") == DEED), ()), PROBE).filter(place).to_dicts()
    if not deed:
        return "Where the label moves most, it is not known what was carried out."
    return (
        f"Where the label moves most ({signed(top['value'])}), the task carried out moves by "
        f"{signed(deed[0]['value'])}: a label that moves alone is a word, not a choice."
    )


def _fates(frame: pl.DataFrame) -> list[str]:
    said = []
    for name in FATES:
        top = largest(beside_random(from_zero(frame.filter(pl.col("read_out") == name), ()), ()))
        if top is not None and top["value"]:
            said.append(
                f"{name} {number(top['unsteered'])} without a push, {number(top['steered'])} at "
                f"{signed(top['coefficient'])} of layer {top['layer']} ({as_much(top)})"
            )
    return [f"What becomes of the text where each changes most ({PICKED}): {'; '.join(said)}."] if said else []


def judge(frame: pl.DataFrame) -> list[str]:
    """Whether the judge reads meanings: in how many answers its two orders of the options agree, beside guessing."""
    known = frame.drop_nulls("value")
    if known.is_empty():
        return ["It is not known whether the judge's readings in two orders of the options agree."]
    said = [
        f"{pretty(row['rubric']).lower()} {estimate(row['value'], row['low'], row['high'])} against "
        f"{number(row['by_habit'])}"
        for row in known.to_dicts()
    ]
    texts = [
        f"Every answer is read twice, with the options of the rubric in either order. Share of "
        f"{known['n_answers'].to_list()[0]} answers of which "
        "both orders name the same option, against the share that would be expected if each named its options as "
        f"often as it does but without reading: {'; '.join(said)}."
    ]
    blind = known.filter(~pl.col("reads"))["rubric"].to_list()
    if blind:
        which = "any rubric" if len(blind) == known.height else ", ".join(pretty(name).lower() for name in blind)
        texts.append(
            f"That is not more than without reading for {which}: there the judge follows the places of the options, "
            "and its ratings are no evidence about the answers, however the numbers below move."
        )
    return texts


def ratings(frame: pl.DataFrame) -> list[str]:
    """Per rubric and persona: whether free answers move with the push, and how sure the judge is of its labels."""
    told, texts = frame.filter(pl.col("reads").fill_null(value=True)), []
    unread = frame.filter(~pl.col("reads"))["rubric"].unique(maintain_order=True).to_list()
    if unread:
        texts.append(f"Ratings for {', '.join(pretty(name).lower() for name in unread)}: {_NOT_TOLD}")
    own = with_asked(told)
    for (rubric, persona), part in own.group_by("rubric", "persona", maintain_order=True):
        rows = beside_random(swings(part, ("asked",)), ("asked",))
        top = largest(rows)
        what = pretty(str(rubric))
        name = f"{what if rubric in _COUNTED else f'Rated for {what.lower()}'}, answers of {pretty(str(persona))}"
        if top is None:
            texts.append(f"{name}: no rating is known at both signs of a strength.")
            continue
        text = f"{name}: {verdict(rows, 'what was asked for × layer × strength', 'swing')} {_largest(top)}"
        beside = _coherence(own, str(persona), top) if rubric != "coherence" else ""
        texts.append(f"{text} That is for {top['asked'].lower()}.{beside}")
    masses = told["label_mass"].drop_nulls()
    if masses.len():
        texts.append(
            f"The judge did not see which answer was steered. It has {number(min(masses))} to {number(max(masses))} of "
            "its probability on its labels; a judge that is unsure of them rates near the middle whatever it reads."
        )
    return texts


def _coherence(own: pl.DataFrame, persona: str, top: Row) -> str:
    place = (pl.col("persona") == persona) & (pl.col("asked") == top["asked"]) & (pl.col("layer") == top["layer"])
    known = of_kind(own.filter(place & (pl.col("rubric") == "coherence")), PROBE).drop_nulls("value")
    ends = dict(zip(known["coefficient"].round(9), known["value"], strict=True))
    c = top["coefficient"]
    if not {-c, 0.0, c} <= set(ends):
        return ""
    return f" Coherence there: {number(ends[-c])} at −, {number(ends[0.0])} without a push, {number(ends[c])} at +."


def compliance(frame: pl.DataFrame) -> list[str]:
    """By tier of request: how the shares of full compliance and refusal move between the ends of the grid."""
    if not frame["reads"].all():
        return [f"What became of requests: {_NOT_TOLD}"]
    texts = []
    for (persona, tier), part in frame.group_by("persona", "tier", maintain_order=True):
        said = []
        for outcome in ("full", "refusal"):
            curve = part.filter(pl.col("outcome") == outcome).rename({"share": "value"})
            top = largest(beside_random(swings(curve, ()), ()))
            if top is not None:
                said.append(
                    f"{outcome} {number(top['minus'])} at −, {number(top['plus'])} at + of strength "
                    f"{number(top['coefficient'])}, layer {top['layer']} (n = {top['n']}; {as_much(top)})"
                )
        name = f"{pretty(str(tier))} requests, {pretty(str(persona))}"
        texts.append(f"{name}: {'; '.join(said)}." if said else f"{name}: no share is known at both signs.")
    return [*texts, f"Layer and strength are those of the largest change, {PICKED}."]


def spans(frame: pl.DataFrame) -> list[str]:
    """Whether steering at the questionable words does what steering elsewhere, or in the twin, does not."""
    keys = ("version", "steered")
    rows = beside_random(swings(frame, keys), keys)
    first = frame.select(keys).row(0)
    top = largest(rows.filter((pl.col("version") == first[0]) & (pl.col("steered") == first[1])))
    if top is None:
        return ["No disclosure is known at both signs of a strength."]
    name = span_title(*first)
    texts = [f"{name}. {_largest(top)}"]
    here = rows.filter((pl.col("layer") == top["layer"]) & (pl.col("coefficient") == top["coefficient"]))
    others = [
        f"{span_title(row['version'], row['steered']).lower()} {signed(row['value'])} ({as_much(row)})"
        for row in here.to_dicts()
        if (row["version"], row["steered"]) != first
    ]
    if others:
        texts.append(
            f"The same push elsewhere: {'; '.join(others)}. What is as large there is no sign that the questionable "
            "words are felt."
        )
    zero = of_kind(frame, PROBE).filter(pl.col("coefficient") == 0).drop_nulls("value").unique("version", keep="first")
    if zero.height == len({"critical", "benign"}):
        levels = dict(zip(zero["version"], zero["value"], strict=True))
        critical, benign = (levels.get(name) for name in ("critical", "benign"))
        texts.append(
            f"Without a push disclosure is {number(critical)} of 5 for the questionable texts and {number(benign)} for "
            "their harmless twins."
        )
    return texts


def quotes(frame: pl.DataFrame) -> list[Quote]:
    """Answers to the first questions at the lowest coefficient, without a push, and at the highest one."""
    own = of_kind(frame, PROBE).drop_nulls("text")
    found = []
    questions = own.select("persona", "question").unique(maintain_order=True).head(QUOTED).rows()
    for persona, question in questions:
        part = own.filter((pl.col("persona") == persona) & (pl.col("question") == question)).sort("coefficient")
        for c in dict.fromkeys((part["coefficient"][0], 0.0, part["coefficient"][-1])):
            for row in part.filter(pl.col("coefficient") == c).head(1).to_dicts():
                asked = excerpt(row["question"], 140)
                source = f"{pretty(persona)}, coefficient {signed(c) if c else 0}: {asked}"
                found.append(Quote(f"“{excerpt(row['text'], QUOTE_LENGTH)}”", source))
    return found


def quoted(frame: pl.DataFrame) -> list[str]:
    """What the quotes are."""
    if not quotes(frame):
        return ["No answer under a push along the probe direction was kept."]
    return [
        "Quoted below: the first questions with the answers at the lowest coefficient, without a push and at the "
        "highest, cut to their beginnings and not picked by content."
    ]


def _largest(top: Row) -> str:
    mass = "" if top["label_mass"] is None else f", lowest label mass {number(top['label_mass'])}"
    apart = "their intervals lie apart" if top["apart"] else "their intervals are not known to lie apart"
    return (
        f"The largest swing ({PICKED}) is {signed(top['value'])}, from {number(top['minus'])} to {number(top['plus'])} "
        f"between − and + of strength {number(top['coefficient'])} at layer {top['layer']} (n = {top['n']}{mass}); "
        f"{apart}, and {as_much(top)}."
    )
