"""Paragraphs of a questionnaire study: bias, wordings, helpful against meta, short form against rest, models."""

from __future__ import annotations

import polars as pl

from personascope.report.wording import MISSING, count_range, estimate, listed, number, percent, plural, pretty, share

_SURE = 0.9
_BEYOND = 1.96
_LARGEST = 4


def bias(frame: pl.DataFrame) -> list[str]:
    """Which indices are flagged for whom; nothing when nobody looked for flags."""
    if "flag" not in frame.columns:
        return []
    known = frame.drop_nulls("value")
    if known.is_empty():
        return ["No index of response bias could be computed."]
    flagged, personas = known.drop_nulls("flag"), known["persona"].n_unique()
    if flagged.is_empty():
        who = f"any of the {personas} personas" if personas > 1 else pretty(known["persona"][0])
        return [f"No index of response bias passes its limit for {who}."]
    texts = []
    for (index,), part in flagged.group_by("index", maintain_order=True):
        by = pl.col("value") if index == "label_mass" else -pl.col("value").abs()  # of all, only mass is bad when small
        worst = part.sort(by).row(0, named=True)
        everyone = part["persona"].n_unique() == personas > 1
        who = "all personas" if everyone else listed([pretty(name) for name in part["persona"]])
        texts.append(
            f"{pretty(str(index)).lower()} for {who} (at worst {estimate(worst['value'], worst['low'], worst['high'])})"
        )
    return [f"Indices beyond their limits: {'; '.join(texts)}."]


def wordings(frame: pl.DataFrame) -> list[str]:
    """How many contrasts keep their sign whatever the wording and order."""
    groups = frame.unique(["contrast", "domain"], keep="first", maintain_order=True)
    counts = sorted(groups["n_specifications"].drop_nulls().unique())
    ways = " or ".join(map(str, counts))
    asked = (
        f"Each contrast was asked in {ways} {plural('way', max(counts))} (wordings times anchor orders). "
        if ways
        else ""
    )
    judged = groups.drop_nulls("robust")
    if judged.is_empty():
        return [f"{asked}Whether its sign depends on the wording is {MISSING}."]
    robust = judged.filter(pl.col("robust"))
    text = (
        f"{asked}{share(robust.height, judged.height).capitalize()} domain differences keep the same sign in at least "
        "90 % of them"
    )
    if robust.height and robust["share_significant"].null_count() == 0:
        sure = robust.filter(pl.col("share_significant") >= _SURE)
        text += f", and {share(sure.height, judged.height)} also lie apart from 0 in as many"
    return [f"{text}."]


def components(frame: pl.DataFrame) -> list[str]:
    """How much of the variance the personas make, and where most of it lies."""
    known = frame.drop_nulls("share")
    if known.is_empty():
        return [f"How the variance of keyed answers within facets divides is {MISSING}."]
    largest = known.filter(pl.col("share") > 0).sort("share", descending=True, maintain_order=True).head(_LARGEST)
    named = [f"{row['component'].replace('_', ' ')} {percent(row['share'])}" for row in largest.to_dicts()]
    own = known.filter(pl.col("component") == "persona")["share"].to_list()
    texts = [f"Of the variance of keyed answers within facets, the personas make {percent(own[0])}."] if own else []
    if named:
        texts.append(f"Largest parts of the variance within facets: {listed(named)}.")
    return [" ".join(texts)] if texts else []


def just_helpful(frame: pl.DataFrame) -> list[str]:
    """The regression's own statement, with the numbers behind it where there are any."""
    row = frame.row(0, named=True)
    statement = row["statement"] or ""
    if row.get("slope") is None:
        return [f"There is no slope to show. {statement}".strip()]
    facets = "" if row.get("n_facets") is None else f" over {row['n_facets']} {plural('facet', row['n_facets'])}"
    numbers = (
        f"Slope {estimate(row['slope'], row.get('low'), row.get('high'))}{facets} (plain least squares "
        f"{number(row.get('naive_slope'))}); cosine of the two profiles {number(row.get('cosine'))}, without their "
        f"errors {number(row.get('cosine_corrected'))}; reliability of helpful − self "
        f"{number(row.get('reliability'))}."
    )
    return [f"{statement} {numbers}".strip()]


def short_and_rest(frame: pl.DataFrame) -> list[str]:
    """Whether the short form and the other items agree within their errors."""
    texts, expected = [], []
    for part in frame.partition_by("contrast", maintain_order=True):
        tested = part.drop_nulls("z")
        beyond = tested.filter(pl.col("z").abs() > _BEYOND).height
        apart = f"{share(beyond, tested.height)} facets apart" if tested.height else "no facet could be tested"
        texts.append(f"{pretty(part['contrast'][0])} r = {number(_correlation(part))}, {apart}")
        expected.append(0.05 * tested.height)
    text = f"Items of the short form against all others, over facets: {'; '.join(texts)}."
    if max(expected) > 0:
        text += (
            f" Apart means by more than {_BEYOND} standard errors; about {number(max(expected), 1)} of each would be "
            "by chance."
        )
    return [text]


def between_models(frame: pl.DataFrame) -> list[str]:
    """How alike the models' contrasts are."""
    own = frame.filter(pl.col("profile") == "contrast").drop_nulls("r")
    texts = [
        f"{pretty(row['subject'])} {estimate(row['r'], row['low'], row['high'])} ({row['model_x']} and "
        f"{row['model_y']})"
        for row in own.iter_rows(named=True)
    ]
    if not texts:
        return ["No contrast has a correlation between models."]
    counts = sorted(own["n"].drop_nulls().unique())
    over = f" over {count_range(counts)} {plural('facet', counts[-1])}" if counts else ""
    return [f"Correlation of contrasts{over}: {'; '.join(texts)}."]


def _correlation(part: pl.DataFrame) -> float | None:
    """Pearson's r over facets; None where fewer than two have both numbers, or one side does not vary."""
    pairs = part.select("short_difference", "rest_difference").drop_nulls()
    if any(pairs[name].n_unique() < 2 for name in pairs.columns):
        return None
    return float(pairs.select(pl.corr("short_difference", "rest_difference")).item())
