"""Paragraphs and quotes on how personas lie to each other: topics, map, correlations, clusters, tasks at the ends."""

from __future__ import annotations

from math import sqrt

import polars as pl
from scipy import stats

from personascope.report.findings import Row, excludes_zero
from personascope.report.outline import Quote
from personascope.report.wording import (
    MISSING,
    count_range,
    estimate,
    excerpt,
    interval,
    listed,
    number,
    plural,
    pretty,
    probability,
    share,
    signed,
)

QUOTES, QUOTE_LENGTH = 6, 220
_LEVEL, _Z = 0.05, 1.96
WEAK = 0.25
"""A mean silhouette below this is commonly read as no structure (Kaufman & Rousseeuw 1990)."""


def profiles(frame: pl.DataFrame) -> list[str]:
    """How many topics are liked or disliked beyond the scatter of their tasks, by whom most, and by all alike."""
    known = frame.drop_nulls(["z", "low", "high"])
    if known.is_empty():
        return [f"Which topics a persona likes is {MISSING}: no topic has an interval."]
    sure = known.filter(excludes_zero())
    chance = round(sum(_false_share(n) for n in known["n"]))
    text = (
        f"{share(sure.height, known.height).capitalize()} topics of a persona have a mean z whose interval excludes 0; "
        f"of topics of {count_range(known['n'])} tasks about {chance} would if nobody liked or disliked any, since "
        "these intervals are too narrow for few tasks."
    )
    if sure.height <= chance:
        text += " So no topic is shown to be liked or disliked."
    ends = [known.sort("z", descending=down, maintain_order=True).row(0, named=True) for down in (True, False)]
    text += f" They run from {_topic(ends[1])} to {_topic(ends[0])}, the most extreme of {known.height}."
    n = known["persona"].n_unique()
    alike = [
        f"{pretty(str(topic)).lower()} ({'liked' if part['z'][0] > 0 else 'disliked'})"
        for (topic,), part in sure.group_by("topic", maintain_order=True)
        if part.height == n > 1 and (part["z"] > 0).n_unique() == 1
    ]
    shared = f"All {n} personas agree, each with an interval that excludes 0, on {listed(alike)}." if alike else ""
    return [text, *([shared] if shared else [])]


def _false_share(n: int) -> float:
    """How often a percentile interval of the mean of n normal values misses it.

    Its half-width is 1.96 s / sqrt(n) with the sum of squares divided by n, and Student's has n - 1 there.
    """
    return float(2 * stats.t.sf(_Z * sqrt((n - 1) / n), n - 1))


def _topic(row: Row) -> str:
    return f"{estimate(row['z'], row['low'], row['high'])} ({pretty(row['persona'])}, {pretty(row['topic']).lower()})"


def components(frame: pl.DataFrame) -> list[str]:
    """How many components in a row explain more than they would with shuffled tasks."""
    known = frame.drop_nulls(["share", "p", "null_95"]).sort("component")
    if known.is_empty():
        return [f"Whether the map shows more than shuffled tasks would is {MISSING}."]
    rows = known.to_dicts()
    above = next((index for index, row in enumerate(rows) if row["p"] >= _LEVEL), len(rows))
    named = [
        f"component {row['component']} {number(row['share'])} (shuffled: mean {number(row['null_mean'])}, 95th "
        f"percentile {number(row['null_95'])}, {probability('p', row['p'])})"
        for row in rows[: max(2, min(above + 1, 4))]
    ]
    text = f"Share of the variance between {frame.height + 1} personas: {'; '.join(named)}."
    if above == 0:
        return [
            f"{text} The first explains no more than it would if tasks were shuffled, so where a persona stands on the "
            "map says nothing."
        ]
    return [f"{text} Up to component {above} each explains more than shuffled tasks at p < .05."]


def places(frame: pl.DataFrame) -> list[str]:
    """Who stands at the ends of the map; its components say whether that means anything."""
    known = frame.drop_nulls(["component_1", "component_2"])
    if known.is_empty():
        return [f"A map of the personas is {MISSING}."]
    texts = []
    for component in ("component_1", "component_2"):
        low, high = (known.sort(component).row(at, named=True) for at in (0, -1))
        ends = [f"{pretty(row['persona'])} ({signed(row[component])})" for row in (low, high)]
        texts.append(f"{pretty(component).lower()} {' to '.join(ends)}")
    return [f"On the map {known.height} personas reach, along {listed(texts)}; the signs mean nothing by themselves."]


def corrected(frame: pl.DataFrame) -> list[str]:
    """How alike the personas are once the error of their utilities is taken out."""
    known = frame.drop_nulls("r")
    if known.is_empty():
        return ["No correlation between personas could be computed."]
    above, below = known.filter(pl.col("low") > 0).height, known.filter(pl.col("high") < 0).height
    text = (
        f"Of {known.height} pairs of personas, {above} correlate over tasks with an interval above 0 and {below} with "
        f"one below (n = {count_range(known['n'])} tasks)."
    )
    fixed = known.drop_nulls("r_corrected").sort("r_corrected", maintain_order=True)
    if fixed.is_empty():
        return [f"{text} They are not corrected for the error of the utilities."]
    text += f" Corrected for unreliability they run from {_pair(fixed.row(0, named=True))}"
    text += f" to {_pair(fixed.row(-1, named=True))}."
    beyond = fixed.filter("above_one").height
    if beyond:
        text += f" Beyond 1: {beyond} {plural('pair', beyond)}, for too few tasks or reliabilities too low."
    return [text]


def _pair(row: Row) -> str:
    raw = estimate(row["r"], row["low"], row["high"])
    return f"{number(row['r_corrected'])} ({pretty(row['persona'])} and {pretty(row['other'])}; r = {raw})"


def clusters(frame: pl.DataFrame) -> list[str]:
    """Who is with whom, and how clearly."""
    parts = frame.drop_nulls("cluster").sort("cluster", maintain_order=True).partition_by("cluster")
    groups = [listed([pretty(name) for name in part["persona"]]) for part in parts]
    if not groups:
        return [f"Clusters of personas are {MISSING}."]
    mean = frame["silhouette"].mean()
    text = f"Cut where the mean silhouette is highest, personas fall into {len(groups)} clusters: {'; '.join(groups)}."
    if not isinstance(mean, int | float):
        return [text]
    text += f" The mean silhouette is {number(float(mean))} (n = {frame.height} personas)"
    return [f"{text}, which is commonly read as no structure." if mean < WEAK else f"{text}."]


def cluster_counts(frame: pl.DataFrame) -> list[str]:
    """Whether the clusters come back when the tasks are drawn anew."""
    known = frame.drop_nulls("silhouette")
    if known.is_empty():
        return [f"How many clusters of personas there are is {MISSING}."]
    best = known.sort("silhouette", "n_clusters", descending=[True, False]).row(0, named=True)
    if best["stability"] is None:
        return [f"Whether {best['n_clusters']} clusters come back from other tasks is {MISSING}."]
    low, high = best["stability_low"], best["stability_high"]
    text = (
        f"With tasks drawn anew, {best['n_clusters']} clusters agree with these at an adjusted Rand index of "
        f"{number(best['stability'])}, 95 % of resamples {interval(low, high)} (n = {best['n_resamples']} resamples; 1 "
        "is the same clusters, 0 chance). The number of clusters was picked on the same data, and it cannot be one."
    )
    if low is None or low > 0:
        return [text]
    return [f"{text} So other tasks from the same topics could as well give unrelated clusters."]


def representatives(frame: pl.DataFrame) -> list[str]:
    """Which persona stands for each cluster."""
    named = []
    for row in frame.sort("cluster").iter_rows(named=True):
        alone = row["mean_distance"] is None
        of = "alone" if alone else f"of {row['n']}, mean 1 − r to the others {number(row['mean_distance'])}"
        named.append(f"{pretty(row['persona'])} ({of})")
    return [f"One persona stands for each cluster, the one nearest to the others in it: {listed(named)}."]


def extremes(frame: pl.DataFrame) -> list[str]:
    """Whose likes and dislikes are farthest from everybody's, and how many tasks all share at the ends."""
    known = frame.drop_nulls(["z", "mean_z", "difference"])
    if known.is_empty():
        return [f"Which tasks a persona likes most is {MISSING}."]
    n, k = known["persona"].n_unique(), max(known["rank"])
    counts = known.group_by("end", "task").agg(pl.col("persona").n_unique()).sort("persona", "task", descending=True)
    parts = [counts.filter(pl.col("end") == end).head(1).to_dicts() for end in ("top", "bottom")]
    shared = [
        f"{row['task']} ({'most' if row['end'] == 'top' else 'least'} liked, {row['persona']} of {n})"
        for rows in parts
        for row in rows
    ]
    own = known.sort(pl.col("difference").abs(), descending=True, maintain_order=True).row(0, named=True)
    text = f"The tasks that most personas have among their {k} most or least liked: {listed(shared)}." if shared else ""
    text += (
        f" Farthest from the mean of all personas: {pretty(own['persona'])} on {own['task']}, z {signed(own['z'])} "
        f"against {signed(own['mean_z'])}. These are the ends of many noisy utilities, so in part noise."
    )
    return [text.strip()]


def quotes(frame: pl.DataFrame) -> list[Quote]:
    """Tasks by which up to 6 personas differ most from the mean of all, where the table has their texts."""
    if "text" not in frame.columns:
        return []
    told = frame.drop_nulls(["text", "difference", "z", "mean_z"]).sort(
        pl.col("difference").abs(), descending=True, maintain_order=True
    )
    one_each = told.unique("persona", keep="first", maintain_order=True).head(QUOTES)
    return [Quote(f"“{excerpt(row['text'], QUOTE_LENGTH)}”", _source(row)) for row in one_each.iter_rows(named=True)]


def _source(row: Row) -> str:
    return (
        f"{pretty(row['persona'])}, {pretty(row['topic']).lower()}: z {signed(row['z'])}, mean over personas "
        f"{signed(row['mean_z'])}"
    )
