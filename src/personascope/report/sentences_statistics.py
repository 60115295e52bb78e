"""Paragraphs on a study's statistics: shrunken and adjusted effects, equivalence, agreement over wordings, D-study."""

from __future__ import annotations

from typing import Any

import polars as pl

from personascope.report.findings import TARGET, Row, excludes_zero, verdicts
from personascope.report.wording import (
    MISSING,
    count_range,
    estimate,
    interval,
    listed,
    number,
    plural,
    pretty,
    share,
    signed,
    spread,
)

_SINGLE, _MEAN = "ICC(2,1)", "ICC(2,k)"
_Q_LEVEL = 0.05


def shrunken(frame: pl.DataFrame) -> list[str]:
    """Per contrast: how far facets differ beyond their errors, and how many shrunken effects lie apart from 0."""
    return [_shrunken(part) for part in frame.partition_by("contrast", maintain_order=True)]


def _shrunken(part: pl.DataFrame) -> str:
    name, known = pretty(part["contrast"][0]), part.drop_nulls("shrunken")
    left_out = max([n for n in part["n_left_out"] if n], default=0)
    without = f" Left out: {left_out} {plural('facet', left_out)} without an error of its own." if left_out else ""
    if known.is_empty():
        return f"{name}: no facet has a shrunken effect.{without}"
    apart = known.filter(excludes_zero()).height
    top = known.sort(pl.col("shrunken").abs(), descending=True, maintain_order=True).row(0, named=True)
    tau = top["tau"]
    if tau == 0:
        verdict = "do not differ by more than their errors, so that each is drawn all the way to"
    else:
        verdict = f"differ by a standard deviation of {number(tau)} beyond their errors, around"
    mean = f"{signed(top['mean'])} (standard error {number(top['mean_se'])})"
    return (
        f"{name}, facets taken together: the effects of {known.height} {plural('facet', known.height)} {verdict} their "
        f"mean of {mean}. {share(apart, known.height).capitalize()} shrunken effects have an interval that excludes 0; "
        f"the largest is {pretty(top['facet'])}, {signed(top['shrunken'])} {interval(top['low'], top['high'])} (raw "
        f"{signed(top['effect'])}).{without}"
    )


def power(frame: pl.DataFrame) -> list[str]:
    """What a test could have found: without this, "no facet differs" says nothing."""
    texts = [
        f"{pretty(row['contrast'])} {number(row['smallest'])} (corrected for {row['n_facets']} "
        f"{plural('facet', row['n_facets'])}: {number(row['smallest_corrected'])})"
        for row in frame.drop_nulls().iter_rows(named=True)
    ]
    if not texts:
        return ["How small a difference a test could have found is not known."]
    items = count_range(frame["n"].to_list())
    return [
        f"With {items} items of a facet and the scatter seen here, a test finds with power .8 a difference in trait "
        f"of at least: {'; '.join(texts)}."
    ]


def equivalence(frame: pl.DataFrame) -> list[str]:
    """Per contrast: how many facets are shown to be alike, how many differ, and how many are neither."""
    texts = []
    for part in verdicts(frame).partition_by("contrast", maintain_order=True):
        tested = part.filter(pl.col("verdict") != "not tested")
        name, untested = pretty(part["contrast"][0]), part.height - tested.height
        if tested.is_empty():
            texts.append(f"{name} no facet could be tested")
            continue
        alike, apart, open_ = (
            tested.filter(pl.col("verdict") == word) for word in ("equivalent", "different", "undecided")
        )
        text = f"{name} {share(alike.height, tested.height)} facets equivalent"
        if alike.height:
            sure = alike.filter(pl.col("q") < _Q_LEVEL).height
            text += f" ({sure or 'none'} of them at q < .05)"
        text += f", {apart.height} different, {open_.height} undecided"
        texts.append(f"{text}, {untested} not tested" if untested else text)
    bounds = [f"±{number(bound)}" for bound in sorted(frame["bound"].drop_nulls().unique())]
    within = f" within {listed(bounds)}" if bounds else ""
    return [
        f"Equivalence{within}, by two one-sided tests: {'; '.join(texts)}. An undecided facet is neither shown to be "
        "alike nor shown to differ."
    ]


def adjusted(frame: pl.DataFrame) -> list[str]:
    """Per contrast: whether agreement follows desirability more, and what is left of the effects without that."""
    return [_adjusted(part) for part in frame.partition_by("contrast", maintain_order=True)]


def _adjusted(part: pl.DataFrame) -> str:
    name, both = pretty(part["contrast"][0]), part.drop_nulls(["raw", "adjusted"])
    if both.is_empty():
        return f"{name}: no facet has items of both keys with a rating of desirability, so nothing could be adjusted."
    row = both.row(0, named=True)
    ends = row["slope_low"], row["slope_high"]
    slope = estimate(row["desirability_slope"], *ends)
    if row["desirability_slope"] is None or None in ends:
        verdict = f"the change in how strongly agreement follows desirability is {slope}"
    elif ends[0] > 0 or ends[1] < 0:
        way = "more" if row["desirability_slope"] > 0 else "less"
        verdict = f"agreement follows desirability {way} strongly (slope {slope})"
    else:
        verdict = f"agreement is not shown to follow desirability more or less strongly (slope {slope})"
    before, after = (both[column].abs().mean() for column in ("raw", "adjusted"))
    raw = both.filter(excludes_zero("raw_low", "raw_high")).height
    kept = both.filter(excludes_zero()).height
    turned = both.filter((pl.col("raw") * pl.col("adjusted")) < 0).height
    left_out = int(part["n_left_out"].sum())
    text = (
        f"{name}, adjusted for desirability: {verdict}. The mean size of a facet's effect goes from {_number(before)} "
        f"to {_number(after)}; {share(raw, both.height)} raw effects have an interval that excludes 0, "
        f"{share(kept, both.height)} adjusted ones."
    )
    if turned:
        text += f" The sign turns in {turned} {plural('facet', turned)}."
    return f"{text} Items without a rating, left out: {left_out}." if left_out else text


def icc(frame: pl.DataFrame) -> list[str]:
    """Agreement over wordings of the profiles, and of the contrasts, which is what a claim rests on."""
    known = frame.drop_nulls("icc")
    if known.is_empty():
        return [f"Agreement over wordings is {MISSING}."]
    texts = []
    for kind, subject in (("persona", "profiles"), ("contrast", "contrasts")):
        own = known.filter(pl.col("kind") == kind)
        parts = [
            f"{pretty(str(profile))} {_coefficients(part)}"
            for (profile,), part in own.group_by("profile", maintain_order=True)
        ]
        if parts:
            texts.append(
                f"Agreement of {subject} over wordings, as one wording gives them and as the mean of all does: "
                f"{'; '.join(parts)}{_over(own)}."
            )
    contrasts = known.filter((pl.col("kind") == "contrast") & (pl.col("coefficient") == _SINGLE))
    sure = contrasts.filter(pl.col("low") > 0).height
    if contrasts.height:
        texts.append(
            f"With one wording, {share(sure, contrasts.height)} contrasts agree with an interval above 0. Profiles can "
            "agree because facets differ whoever is asked; a contrast has that taken out."
        )
    return texts


def _coefficients(part: pl.DataFrame) -> str:
    rows = {row["coefficient"]: row for row in part.iter_rows(named=True)}
    one, mean = (estimate(*_ends(rows[name])) if name in rows else MISSING for name in (_SINGLE, _MEAN))
    return f"{one} and {mean}"


def _over(part: pl.DataFrame) -> str:
    """Counts behind the coefficients, where they are known."""
    texts = []
    for column, word in (("n_facets", "facet"), ("n_variants", "wording")):
        counts = sorted(part[column].drop_nulls().unique())
        if counts:
            texts.append(f"{count_range(counts)} {plural(word, counts[-1])}")
    left_out = max(part["n_left_out"].drop_nulls(), default=0)
    more = f"; {left_out} {plural('facet', left_out)} of one key left out" if left_out else ""
    return f" ({' and '.join(texts)}{more})" if texts else ""


def d_study(frame: pl.DataFrame) -> list[str]:
    """What the numbers of items and wordings that were tried would give, and how many make a score reliable."""
    known = frame.drop_nulls("g")
    if known.is_empty():
        return [f"How reliable other numbers of items and wordings would be is {MISSING}."]
    order = ["n_item", "n_phrasing"]
    ends = [known.sort(order, descending=down).row(0, named=True) for down in (False, True)]
    varied = [name for name in frame.columns if name.startswith("n_") and frame[name].n_unique() > 1]
    tried = [f"{number(row['g'])} with {_design(row, varied)}" for row in ends]
    first = f"Reliability of a persona's score on one facet is {', '.join(dict.fromkeys(tried))}"
    phi = known["phi"].drop_nulls()
    if phi.len():
        first += f"; dependability, which also counts how severe items and wordings are, is {spread(phi)}"
    reached = known.filter(pl.col("g") >= TARGET).sort("n_phrasing")
    enough = {row["n_item"]: row for row in reached.reverse().iter_rows(named=True)}
    least: list[Row] = []  # more items are worth naming only where they spare wordings
    for n in sorted(enough):
        if not least or enough[n]["n_phrasing"] < least[-1]["n_phrasing"]:
            least.append(enough[n])
    texts = [_design(row, varied) for row in least]
    lacking = [n for n in sorted(known["n_item"].unique()) if n not in enough]
    second = f" A reliability of {number(TARGET)} takes {' or '.join(texts)}." if texts else ""
    if lacking:
        counts = listed([str(n) for n in lacking])
        second += f" With {counts} {plural('item', lacking[-1])} no number of wordings tried gives {number(TARGET)}."
    return [f"{first}.{second}"]


def _design(row: Row, varied: list[str]) -> str:
    """Numbers of items and wordings, and of what else was tried in several numbers."""
    names = {"n_item": "item", "n_phrasing": "wording"}
    names |= {name: name.removeprefix("n_") for name in varied if name not in names}
    return listed([f"{row[name]} {plural(word, row[name])}" for name, word in names.items()])


def _ends(row: Row) -> tuple[float | None, float | None, float | None]:
    return row["icc"], row["low"], row["high"]


def _number(value: Any) -> str:
    """A polars aggregate, which is typed as anything."""
    return number(float(value)) if isinstance(value, int | float) else MISSING
