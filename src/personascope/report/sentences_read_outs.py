"""Paragraphs and quotes on other ways of asking: labels, scales and wordings, written answers, reasonings."""

from __future__ import annotations

import polars as pl

from personascope.report.findings import Row, excludes_zero
from personascope.report.outline import Quote
from personascope.report.wording import (
    MISSING,
    count_range,
    estimate,
    excerpt,
    interval,
    listed,
    percent,
    plural,
    pretty,
    share,
    signed,
    spread,
)

QUOTES, QUOTE_LENGTH, STATEMENT_LENGTH = 6, 220, 160
_FIRST_OPTION = {"ascending": " (1 is full disagreement)", "descending": " (1 is full agreement)"}
_OUTCOMES = (("value_share", "a rating"), ("refusal_share", "a refusal"), ("unparsed_share", "not to be read"))


def variants(frame: pl.DataFrame) -> list[str]:
    """Per other way of asking: whether profiles and contrasts keep their shape, and how far their level moves."""
    return [_variant(part) for part in frame.partition_by("variant", maintain_order=True)]


def _variant(part: pl.DataFrame) -> str:
    texts = []
    for kind, subject in (("persona", "profiles"), ("contrast", "contrasts")):
        own = part.filter(pl.col("kind") == kind)
        known = own.drop_nulls("r").sort("r", maintain_order=True)
        if known.is_empty():
            texts += [f"no correlation of {subject} with the main way of asking could be computed"] * bool(own.height)
            continue
        text = f"{subject} correlate with the main way of asking at {_correlations(known, 'profile')}"
        if known.height > 1:
            text += f"; {share(known.filter(pl.col('low') > 0).height, known.height)} have an interval above 0"
        texts.append(text + _flat(own, known))
    counts = part["n_facets"].drop_nulls()
    over = f" (over {count_range(counts)} facets)" if counts.len() else ""
    text = f"{pretty(part['variant'][0])}{over}: {'. '.join(_sentence(one) for one in texts)}."
    return f"{text}{_level(part)}"


def _level(part: pl.DataFrame) -> str:
    personas = part.filter(pl.col("kind") == "persona")
    moved = personas.drop_nulls("mean_difference").sort(pl.col("mean_difference").abs(), descending=True)
    texts = []
    if moved.height:
        row = moved.row(0, named=True)
        texts.append(f"The level moves most for {pretty(row['profile'])}, by {signed(row['mean_difference'])}.")
    masses = personas["label_mass"].drop_nulls()
    if masses.len():
        texts.append(f"Mean label mass is {spread(masses)}.")
    return "".join(f" {text}" for text in texts)


def read_outs(frame: pl.DataFrame) -> list[str]:
    """Per read-out: what became of the written answers, and whether they say what the probabilities say."""
    return [_read_out(part) for part in frame.partition_by("read_out", maintain_order=True)]


def _read_out(part: pl.DataFrame) -> str:
    n_answers = int(part["n_answers"].sum())
    counted = part.drop_nulls(["n_answers", *(column for column, _ in _OUTCOMES)])
    text = f"{pretty(part['read_out'][0])}: {n_answers:,} written {plural('answer', n_answers)}"
    total = int(counted["n_answers"].sum())
    if total:
        shares = [
            f"{percent(float((counted[column] * counted['n_answers']).sum()) / total)} {name}"
            for column, name in _OUTCOMES
        ]
        text += f", of which {listed(shares)}"
    known = part.drop_nulls("r").sort("r", maintain_order=True)
    if known.is_empty():
        text += ". Their correlation with the expected ratings could not be computed"
    else:
        n = count_range(known["n"])
        text += f". Over items ({n}) they correlate with the expected ratings at {_correlations(known, 'persona')}"
        text += _flat(part, known)
    return f"{text}.{_gap(part)}{_left_out(part)}"


def _gap(part: pl.DataFrame) -> str:
    """Whether expected ratings are higher or lower than written ones."""
    known = part.drop_nulls("mean_difference").sort(pl.col("mean_difference").abs(), descending=True)
    if known.is_empty():
        return ""
    row = known.row(0, named=True)
    size = f"{signed(row['mean_difference'])} {interval(row['difference_low'], row['difference_high'])}"
    if known.height == 1:
        return f" Expected minus written agreement is {size} ({pretty(row['persona'])})."
    apart = known.filter(excludes_zero("difference_low", "difference_high")).height
    return (
        f" Expected minus written agreement is farthest from 0 for {pretty(row['persona'])}, {size}; its interval "
        f"excludes 0 in {share(apart, known.height)} personas."
    )


def _left_out(part: pl.DataFrame) -> str:
    n = int(part["n_left_out"].sum())
    return f" Items without any answer that could be read, over personas: {n}." if n else ""


def reasons(frame: pl.DataFrame) -> list[str]:
    """How many answers give a reasoning, and under meta why the model would wish to answer so."""
    texts = []
    for part in frame.partition_by("persona", maintain_order=True):
        given, wished = (part.filter(_written(column)).height for column in ("reasoning", "wish"))
        text = f"{pretty(part['persona'][0])} {share(given, part.height)} with a reasoning"
        texts.append(f"{text} and {share(wished, part.height)} with a wish" if wished or _is_meta(part) else text)
    rated = frame.filter(pl.col("kind") == "value").height
    text = f"Answers with reasons: {'; '.join(texts)}. {share(rated, frame.height).capitalize()} answers hold a rating."
    shown = min(QUOTES, _quotable(frame).height)
    if shown:
        text += f" Quoted below: {shown}, the first of each persona on the first facets asked, not picked by content."
    return [text]


def quotes(frame: pl.DataFrame) -> list[Quote]:
    """Up to 6 reasonings, each the first of its persona on a facet, so that personas can be compared."""
    return [
        Quote(f"“{excerpt(row['reasoning'], QUOTE_LENGTH)}”", _source(row))
        for row in _quotable(frame).head(QUOTES).iter_rows(named=True)
    ]


def _quotable(frame: pl.DataFrame) -> pl.DataFrame:
    """The first answer with a reasoning of each persona and facet, facet by facet as they were asked."""
    facets = {facet: place for place, facet in enumerate(frame["facet"].unique(maintain_order=True))}
    first = frame.filter(_written("reasoning")).unique(["persona", "facet"], keep="first", maintain_order=True)
    places = pl.Series("place", [facets[facet] for facet in first["facet"]], dtype=pl.Int64)
    return first.with_columns(places).sort("place", maintain_order=True)


def _source(row: Row) -> str:
    statement = excerpt(row["statement"] or "", STATEMENT_LENGTH) or MISSING
    outcomes = {"refusal": "refused to rate it", "unparsed": "no rating could be read"}
    first = _FIRST_OPTION.get(row["order"], "")
    rated = f"rated {row['value']}{first}" if row["value"] is not None else outcomes.get(row["kind"], "not rated")
    return f"{pretty(row['persona'])} on “{statement}”: {rated}"


def _written(column: str) -> pl.Expr:
    return pl.col(column).fill_null("").str.strip_chars() != ""


def _is_meta(part: pl.DataFrame) -> bool:
    return bool(part["persona"][0] == "meta")


def _correlations(known: pl.DataFrame, name: str) -> str:
    """Range of r with its lowest row, which comes first; a single one with its interval."""
    row = known.row(0, named=True)
    lowest = estimate(row["r"], row["low"], row["high"])
    who = pretty(row[name])
    return f"{lowest} ({who})" if known.height == 1 else f"{spread(known['r'])}, lowest for {who}, {lowest}"


def _flat(all_rows: pl.DataFrame, known: pl.DataFrame) -> str:
    n = all_rows.height - known.height
    return f" ({n} without a correlation: too few answers, or all the same)" if n else ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
