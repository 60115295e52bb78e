"""Reading sampled answers: a value, a refusal, or unparsed; never a default, never one end of a range."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from personascope.errors import DataError, nearest
from personascope.measures.answer_text import folded, without_thoughts
from personascope.measures.likert import ORDERS
from personascope.measures.rating_claims import DOUBT, Claim, Scale, sentences
from personascope.measures.tables import require_columns
from personascope.prompts.templates import RATING, REASONING, WISH

KINDS = ("value", "refusal", "unparsed")
_SAID = ("marked", "alone", "pair", "lead")

_LACKING = (
    r"(?:personal |own |any |real |actual |subjective |human |such |the |a |strong )*"
    r"(?:opinions?|feelings?|emotions?|beliefs?|experiences?|preferences?|personality|views?|consciousness|self|traits?|"
    r"ability|capacity|capability)"
)
_REFUSALS = re.compile(
    rf"(?:don't|do not|doesn't|does not|not) (?:really |actually |truly )?(?:have|possess|hold|experience) {_LACKING}|"
    rf"(?:have|possess|with) no {_LACKING}|lack(?:s|ing)? {_LACKING}|"
    r"(?:can't|cannot|can not|am not able to|'m not able to|unable to|won't|will not|am not going to|couldn't|"
    r"not (?:possible|appropriate) (?:for me )?to|prefer not to|rather not|refuse to|decline to|not comfortable) "
    r"(?:\w+ )?(?:answer|rate|rating|provide|respond|responding|reply|give|giving|choose|pick|select|agree|say|express|"
    r"comment|assign|evaluate|assess|help|assist|fulfill|engage|complete|offer|share|do that|do this)|"
    r"^\W*(?:i )?(?:must |have to |respectfully |politely )*(?:decline|refuse)\b|^\W*no (?:answer|comment)\b|"
    r"^\W*(?:n/a|not applicable)\W*$|(?:does|do)(?:n't| not) apply to me|^\W*(?:i'm|i am) sorry,? but",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True)
class Rating:
    """What an answer says.

    Args:
        kind: "value", "refusal" or "unparsed".
        value: the option, 1..K in the order in which the prompt showed them; None unless `kind` is "value".
        why: what was seen, for a person who looks into it.
    """

    kind: Literal["value", "refusal", "unparsed"]
    value: int | None
    why: str


@dataclass(frozen=True)
class Reasoned:
    """A rating with its reasoning; `wish` is why the model would want to answer so (meta). Empty where not written."""

    rating: Rating
    wish: str
    reasoning: str


def parse_rating(
    text: str,
    n_options: int,
    *,
    anchors: Sequence[str] = (),
    labels: Sequence[str] = (),
    statement: str = "",
    finished: bool = True,
) -> Rating:
    """Read one rating from what a model wrote.

    A number counts only where a rating stands: alone on a line or in a sentence, after "Rating:" or "I'd say", or in
    front of its reason ("4, because ...", but not "4. I plan", which may be a list). Thoughts, copies of the scale and
    of the statement are left out first. Two claims that differ, a range, a decimal, a number off the scale, or a label
    with an anchor that is not its own are unparsed.
    A refusal counts only where no rating is claimed.

    Args:
        text: the answer as sampled, thoughts included.
        n_options: K.
        anchors: anchor texts in the order shown (so descending ones for a descending scale); without them words such as
            "agree" are no answer.
        labels: label texts in the order shown, numbers or single capital letters; by default "1".."K".
        statement: the item, whose copy in the answer is left out.
        finished: False when the answer ran into a limit of length, so that a "4" at its very end may have begun a
            "4.5", and "1 = strongly disagree" a copy of the scale. Leave it when one token was asked for, on purpose.

    Raises:
        DataError: numbers of labels or anchors that do not fit, or labels that are neither numbers nor letters.
    """
    scale = Scale(_labels(labels, n_options), anchors)
    spoken = without_thoughts(text)
    if spoken is None:
        return _unparsed("the thoughts are unfinished, so the answer was cut off")
    plain = folded(spoken)
    if statement:
        plain = re.sub(re.escape(folded(statement).rstrip(" .!")), "", plain, flags=re.IGNORECASE)
    plain = scale.doubts(plain)
    if not plain.strip():
        return _unparsed("empty")
    ending = re.search(r"\w+\Z", folded(spoken[-20:])) if spoken[-1:].strip() else None
    if not finished and ending and scale.value(ending.group()) is not None:
        return _unparsed(f"cut off: {ending.group()!r} may have gone on")
    claims = [claim for claim in (scale.read(part) for part in sentences(plain, scale)) if claim]
    if not claims and _REFUSALS.search(plain):
        return Rating("refusal", None, f"refuses: {_REFUSALS.search(plain).group()!r}")  # type: ignore[union-attr]
    return _decide(claims, scale, plain, finished)


def _decide(claims: list[Claim], scale: Scale, plain: str, finished: bool) -> Rating:
    """One value that all that is said agrees on, or unparsed."""
    wrong = next((claim for claim in claims if claim.kind == "contradiction"), None)
    if wrong:
        return _unparsed(f"contradicts the scale: {wrong.why}")
    marked, alone, pairs, leads = ([c for c in claims if c.kind == kind] for kind in _SAID)
    copied = {claim.value for claim in pairs}
    # a rating that is called one stands above any copy of the scale, a bare one only above a whole copy
    if marked or (alone and copied == set(scale.values.values())):
        counted = marked + alone
    elif alone:
        counted = alone + pairs
    elif pairs:
        counted = pairs + leads
        if len(copied) > 1 or not finished:
            return _unparsed("only repeats the scale")
    else:
        counted = leads
        if leads and scale.mentions(plain) - {leads[0].value}:
            return _unparsed(f"other numbers beside {leads[0].why}")
    if not counted:
        return _unparsed("no rating is claimed")
    values = {claim.value for claim in counted}
    if len(values) > 1:
        return _unparsed("claims differ: " + "; ".join(claim.why for claim in counted).replace(DOUBT, "(unclear)"))
    value = values.pop()
    if value is None:
        return _unparsed(f"no single option: {counted[0].why}".replace(DOUBT, "(unclear)"))
    return Rating("value", value, counted[-1].why)


def parse_reasoned(
    text: str, n_options: int, *, anchors: Sequence[str] = (), labels: Sequence[str] = (), statement: str = ""
) -> Reasoned:
    """Read a rating and its reasoning, as `prompts.templates.reasoned_template` asks for them.

    The heading of the rating may be missing, as it is when the prompt prefilled it. Without any heading the whole text
    is read as a rating.

    Args:
        text: the answer as sampled.
        n_options: K.
        anchors: as for `parse_rating`.
        labels: as for `parse_rating`.
        statement: as for `parse_rating`.

    Raises:
        DataError: as for `parse_rating`.
    """
    spoken = without_thoughts(text)
    names = {heading.rstrip(":").casefold(): heading for heading in (RATING, WISH, REASONING)}
    parts: dict[str, list[str]] = {heading: [] for heading in (RATING, WISH, REASONING)}
    pattern = rf"^[\s>*_#\-]*({'|'.join(map(re.escape, names))})[\s*_]*:[ \t*_]*"
    pieces = re.split(pattern, spoken or "", flags=re.IGNORECASE | re.MULTILINE)
    if pieces[0].strip():
        parts[RATING].append(pieces[0])
    for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
        parts[names[name.casefold()]].append(body)
    rated = text if spoken is None else "\n".join(parts[RATING])  # a rating given twice must be the same
    rating = parse_rating(rated, n_options, anchors=anchors, labels=labels, statement=statement)
    wish, reasoning = ("\n".join(parts[heading]).strip() for heading in (WISH, REASONING))
    return Reasoned(rating, wish, reasoning)


def sampled_table(answers: pl.DataFrame, *, n_options: int) -> pl.DataFrame:
    """Sampled answers by item: how many were values, refusals, unparsed, and what the values say on average.

    Agreement of a value v is 2 (v - 1) / (K - 1) - 1, negated under descending anchors. Its mean is taken over the
    parsed answers of each anchor order and then over the orders that were asked, so that refusing under one order does
    not tilt it; with s_o^2 the variance of the n_o values of order o, its standard error over O orders is
    sqrt(sum_o s_o^2 / n_o) / O. A refusal is never counted as the midpoint, or as anything else.

    Args:
        answers: one row for each sampled answer, with columns persona, item, order ("ascending" or "descending"), kind
            and value (null unless kind is "value").
        n_options: K.

    Returns:
        One row per persona and item in order of first appearance: persona, item, n, n_value, n_refusal, n_unparsed,
        agreement (in [-1, 1]; null where an order that was asked has no parsed answer), se (null where one has fewer
        than two).

    Raises:
        DataError: a missing column, an unknown order or kind, a value off the scale or beside a refusal.
    """
    require_columns(answers, ["persona", "item", "order", "kind", "value"], may_be_null=["value"])
    _require_kinds(answers, n_options)
    scaled = 2 * (pl.col("value").cast(pl.Float64) - 1) / (n_options - 1) - 1
    sign = pl.when(pl.col("order") == "descending").then(-1.0).otherwise(1.0)
    by_order = (
        answers.with_columns(_agreement=scaled * sign)
        .group_by("persona", "item", "order", maintain_order=True)
        .agg(
            pl.len().alias("n"),
            *((pl.col("kind") == kind).sum().alias(f"n_{kind}") for kind in KINDS),
            mean=pl.col("_agreement").mean(),
            error=pl.col("_agreement").var() / pl.col("_agreement").count(),
        )
    )
    return (
        by_order.group_by("persona", "item", maintain_order=True)
        .agg(
            pl.col("n", *(f"n_{kind}" for kind in KINDS)).sum().cast(pl.Int64),
            agreement=_all_or_null("mean", pl.col("mean").mean()),
            se=_all_or_null("error", pl.col("error").sum().sqrt() / pl.len()),
        )
        .select("persona", "item", "n", *(f"n_{kind}" for kind in KINDS), "agreement", "se")
    )


def _all_or_null(column: str, value: pl.Expr) -> pl.Expr:
    return pl.when(pl.col(column).is_null().any()).then(None).otherwise(value)


def _require_kinds(answers: pl.DataFrame, n_options: int) -> None:
    if n_options < 2:
        raise DataError(f"A scale of {n_options} options has no agreement.", "", "Pass K, at least 2.")
    for column, known in (("kind", KINDS), ("order", ORDERS)):
        strange = sorted(set(answers[column]) - set(known))
        if strange:
            raise DataError(
                f"Unknown {column} {strange[0]!r}.{nearest(strange[0], known)}",
                f"{column} must be one of {known}.",
                "Write down what `parse_rating` returned, and the order in which the anchors were shown.",
            )
    is_value = pl.col("kind") == "value"
    wrong = answers.filter(
        pl.when(is_value)
        .then(~pl.col("value").is_between(1, n_options).fill_null(False))
        .otherwise(pl.col("value").is_not_null())
    )
    if wrong.height:
        row: dict[str, Any] = wrong.select("persona", "item", "order", "kind", "value").row(0, named=True)
        raise DataError(
            f"Kind and value do not fit: {row} ({wrong.height} of {answers.height} rows).",
            f"A value lies in 1..{n_options}; a refusal or an unparsed answer has none.",
            "Pass the columns as `parse_rating` made them.",
        )


def _labels(labels: Sequence[str], n_options: int) -> tuple[str, ...]:
    if labels and len(labels) != n_options:
        raise DataError(f"There are {len(labels)} labels for {n_options} options.", "", "Pass one label per option.")
    return tuple(labels) or tuple(map(str, np.arange(1, n_options + 1)))


def _unparsed(why: str) -> Rating:
    return Rating("unparsed", None, why)
