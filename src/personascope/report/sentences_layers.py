"""Paragraphs on directions: between layers, of facets, and of another model."""

from __future__ import annotations

from itertools import pairwise

import polars as pl

from personascope.instruments.facets import DOMAIN_OF
from personascope.report.findings import Row, beats_shuffled, beats_text
from personascope.report.findings_sweep import between_facets, cosine_layer, facet_layer, highest, preference_cosines
from personascope.report.sentences import OPTIMISTIC, against_shuffled, against_text
from personascope.report.wording import estimate, listed, number, percent, plural, pretty, share, spread

_BY_CHANCE = 0.05
_BEYOND = pl.col("cosine").abs() > pl.col("null_high")


def between_layers(frame: pl.DataFrame) -> list[str]:
    """How far the direction and the probe of one layer hold at others."""
    layers = frame["layer"].unique().sort().to_list()
    if len(layers) < 2:
        return ["With one layer there is nothing to compare between layers."]
    follows = dict(pairwise(layers))
    near = frame.filter(pl.col("other") == pl.col("layer").replace_strict(follows, default=None))
    far = frame.filter(pl.col("layer") == layers[0], pl.col("other") == layers[-1])
    others = frame.filter(pl.col("layer") != pl.col("other"))
    own = frame.filter(pl.col("layer") == pl.col("other"))
    best = highest(own, "r")
    text = (
        f"Probes of the utilities at {len(layers)} layers: neighbouring layers have cosines of "
        f"{spread(near['cosine'])}, the first and the last {spread(far['cosine'])}. "
    )
    if best is None or others["r"].drop_nulls().is_empty():
        return [f"{text}No correlation between layers could be computed."]
    text += (
        f"Applied to its own layer a probe reaches r = {spread(own['r'])}, to another {spread(others['r'])} (n = "
        f"{best['n']} tasks). The best on its own, of layer {best['layer']}, reads {_elsewhere(frame, best)}."
    )
    if best["r"] <= 0:
        text += " As no layer reads the utilities, cosines between layers are ones of noise that is alike."
    return [text]


def _elsewhere(frame: pl.DataFrame, best: Row) -> str:
    away = frame.filter(pl.col("layer") == best["layer"], pl.col("other") != best["layer"]).drop_nulls("r")
    half = away.filter(pl.col("r") >= 0.5 * best["r"]).height
    if best["r"] <= 0:
        return f"r = {number(best['r'])} there, so it reads nothing"
    return f"r = {number(best['r'])} there and at least half of it at {share(half, away.height)} other layers"


def norms(frame: pl.DataFrame) -> list[str]:
    """How the length of the residual stream changes over layers."""
    known = frame.drop_nulls("mean")
    if known.is_empty():
        return ["No length of the residual stream is known."]
    texts = []
    for part in known.sort("layer").partition_by("store", "position", maintain_order=True):
        first, last = (part.row(place, named=True) for place in (0, -1))
        longest = part.sort("mean").row(-1, named=True)
        peak = "" if longest["layer"] == last["layer"] else f", at most {_length(longest)}"
        texts.append(f"{first['store']} at {first['position']} {_length(first)}, {_length(last)}{peak}")
    return [
        f"Mean length of the residual stream at the first and last layer kept: {'; '.join(texts)}. A coefficient is a "
        "fraction of this length, so one coefficient is another push at every layer."
    ]


def _length(row: Row) -> str:
    return f"{number(row['mean'], 1)} (layer {row['layer']})"


def facets(frame: pl.DataFrame) -> list[str]:
    """How many facets can be read from items that the probe never saw."""
    if frame["value"].null_count() == frame.height:
        return ["No facet's probe has a value."]
    layer = facet_layer(frame)
    own = frame.filter(pl.col("layer") == layer).drop_nulls("value")
    shuffled, words = (sum(test(row) for row in own.to_dicts()) for test in (beats_shuffled, beats_text))
    top, bottom = (own.sort("value", descending=down).row(0, named=True) for down in (True, False))
    named = [f"{pretty(row['target'])} {estimate(row['value'], row['low'], row['high'])}" for row in (top, bottom)]
    lower = f"; lowest {named[1]}" if own.height > 1 else ""
    return [
        f"Keyed answers to the items of a facet, read from items held out, at layer {layer}, which has the highest "
        f"mean r over facets: {share(shuffled, own.height)} facets beat the 95th percentile of shuffled labels "
        f"({_expected(own.height)} by chance), and {share(words, own.height)} beat the text alone, with an interval "
        f"above 0. Highest {named[0]}{lower} (n = {spread_of_counts(own['n'])} rows).",
        OPTIMISTIC,
    ]


def spread_of_counts(counts: pl.Series) -> str:
    """Smallest to largest of whole numbers."""
    ends = sorted(counts.drop_nulls().unique())
    return " to ".join(str(n) for n in dict.fromkeys((ends[0], ends[-1]))) if ends else "not available"


def _expected(n: int) -> str:
    return f"about {number(_BY_CHANCE * n, 1)} would"


def facet_cosines(frame: pl.DataFrame) -> list[str]:
    """Which facets' directions lie along that of preference, and whether facets of a domain share one."""
    layer = cosine_layer(frame)
    own = frame.filter(pl.col("layer") == layer)
    everywhere = preference_cosines(frame).drop_nulls(["cosine", "null_high"])
    return [
        *_with_preference(preference_cosines(own), everywhere, layer),
        *_with_each_other(between_facets(own), layer),
    ]


def _with_preference(own: pl.DataFrame, everywhere: pl.DataFrame, layer: int) -> list[str]:
    known = own.drop_nulls(["cosine", "null_high"])
    if known.is_empty():
        return ["There is no cosine of a facet with preference to show."]
    beyond, beyond_anywhere = (part.filter(_BEYOND) for part in (known, everywhere))
    largest = known.sort(pl.col("cosine").abs(), descending=True).head(3).to_dicts()
    named = [f"{pretty(row['other'])} {number(row['cosine'])} (random {number(row['null_high'])})" for row in largest]
    picked = "with the most facets beyond their null" if beyond.height else "with the largest cosine"
    return [
        f"At layer {layer}, the one {picked}, {share(beyond.height, known.height)} facets have a cosine with "
        "preference beyond the 95th percentile of random directions with the same covariance; "
        f"{_expected(known.height)} by chance at a layer that was not picked. Largest: {listed(named)}. Over all "
        f"layers it is {percent(beyond_anywhere.height / everywhere.height)} of cosines, where 5 % would be by chance."
    ]


def _with_each_other(own: pl.DataFrame, layer: int) -> list[str]:
    known = own.drop_nulls(["cosine", "null_high"]).filter(pl.col("direction") < pl.col("other"))
    if known.is_empty():
        return []
    domain = {side: [DOMAIN_OF.get(facet) for facet in known[side]] for side in ("direction", "other")}
    same = pl.Series([one is not None and one == two for one, two in zip(*domain.values(), strict=True)])
    inside, outside = known.filter(same), known.filter(~same)
    beyond = known.filter(_BEYOND).height
    means = [
        f"{number(_mean(part))} {where} ({part.height} {plural('pair', part.height)})"
        for part, where in ((inside, "within a domain"), (outside, "between domains"))
        if part.height
    ]
    return [
        f"Between facets at layer {layer} the mean cosine is {listed(means)}; {share(beyond, known.height)} pairs lie "
        f"beyond their null ({_expected(known.height)} by chance). {_domains(inside, outside)}".strip()
    ]


def _mean(part: pl.DataFrame) -> float:
    return float(part["cosine"].to_numpy().mean())


def _domains(inside: pl.DataFrame, outside: pl.DataFrame) -> str:
    if inside.is_empty() or outside.is_empty():
        return ""
    if _mean(inside) > _mean(outside):
        return "Facets of one domain are more alike than others, which is a description, not a test."
    return "Facets of one domain are no more alike than others."


def across_models(frame: pl.DataFrame) -> list[str]:
    """Whether the activations of one model read its own utilities better than those of another do."""
    texts = []
    for part in frame.partition_by("utilities_of", maintain_order=True):
        best = [row for own in part.partition_by("model", maintain_order=True) if (row := highest(own)) is not None]
        best.sort(key=lambda row: row["model"] != row["utilities_of"])
        texts.append(_utilities_of(part["utilities_of"][0], best))
    return [*texts, *_agreement(frame), OPTIMISTIC]


def _utilities_of(model: str, best: list[Row]) -> str:
    if not best:
        return f"Utilities of {model}: no probe has a value."
    texts = [
        f"{'Its own activations' if row['model'] == model else 'Those of ' + row['model']} reach r = "
        f"{estimate(row['value'], row['low'], row['high'])} (layer {row['layer']}). {against_shuffled(row)} "
        f"{against_text(row)}"
        for row in best
    ]
    own, *others = best
    if own["model"] == model and others:
        texts.append(_shared(own, max(others, key=lambda row: float(row["value"]))))
    return f"Utilities of {model} (n = {own['n']} tasks). {' '.join(texts)}"


def _shared(own: Row, other: Row) -> str:
    if not beats_shuffled(own):
        return f"As {own['model']} itself does not read them, there is nothing to share."
    if own["low"] is not None and own["low"] > other["value"]:
        return f"Its own interval lies above what {other['model']} reads, so part of it may be its own."
    if own["value"] > other["value"]:
        return f"{other['model']} reads less, but within the interval, so nothing here is shown to be its own."
    return f"{other['model']} reads as much, so nothing here is shown to be its own."


def _agreement(frame: pl.DataFrame) -> list[str]:
    pairs = frame.filter(pl.col("model") != pl.col("utilities_of")).drop_nulls("utility_r")
    if pairs.is_empty():
        return []
    row = pairs.row(0, named=True)
    return [
        f"The utilities of {row['utilities_of']} and {row['model']} correlate at "
        f"{estimate(row['utility_r'], row['utility_low'], row['utility_high'])}. Models that like the same tasks read "
        "each other's utilities without sharing any code for them."
    ]
