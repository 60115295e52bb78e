"""Paragraphs on steering facets: does each direction move its own facet more than others, and by which items."""

from __future__ import annotations

import polars as pl

from personascope.report.findings import Row, excludes_zero
from personascope.report.findings_steering import beside_random, largest, swings
from personascope.report.sentences_random import PICKED, as_much, verdict
from personascope.report.wording import estimate, number, pretty, probability, share, signed


def index(frame: pl.DataFrame) -> list[str]:
    """Whether the whole matrix is selective, over which direction is which facet."""
    row = frame.row(0, named=True)
    if row["index"] is None:
        return ["No index of selectivity could be computed."]
    n, facets = row["n_directions"], row["n_facets"]
    text = (
        f"Selectivity index over {n} directions and {facets} facets: "
        f"{estimate(row['index'], row['low'], row['high'])}, {probability('p', row['p'])} over which direction is "
        f"which facet. A direction moves its own facet by {signed(row['diagonal'])} on average and the others by "
        f"{number(row['off_diagonal'])} in size"
    )
    text += "." if row["random"] is None else f"; random directions move facets by {number(row['random'])} in size."
    first = row["rank_one"]
    return [
        f"{text} {share(first, n).capitalize()} directions move no other facet as much as they raise their own, where "
        f"about {n / (2 * facets):.1f} would by chance.{_by_cosine(row)}"
    ]


def _by_cosine(row: Row) -> str:
    """Whether facets move together as far as their directions point the same way, where that was computed."""
    if row.get("cosine_r") is None:
        return ""
    return (
        " How far a direction moves another facet follows the cosine of the two directions with r = "
        f"{estimate(row['cosine_r'], row['cosine_low'], row['cosine_high'])}, {probability('p', row['cosine_p'])} "
        f"(n = {row['cosine_n']} pairs)."
    )


def by_direction(frame: pl.DataFrame) -> list[str]:
    """Direction by direction: own effect, selectivity, random directions, and whether both keys agree."""
    known = frame.drop_nulls(["own_effect", "selectivity"])
    if known.is_empty():
        return ["No direction has an effect on its own facet to show."]
    n = known.height
    above = known.filter(excludes_zero(), pl.col("selectivity") > 0).height
    below = known.filter(excludes_zero(), pl.col("selectivity") < 0).height
    raised = known.filter(pl.col("own_effect") > 0).height
    keys = known.filter(pl.col("keys_agree")).height
    top = known.sort("selectivity", descending=True, maintain_order=True).row(0, named=True)
    text = (
        f"{share(raised, n).capitalize()} directions raise their own facet, and in {share(keys, n)} its + and − items "
        "move in opposite ways, as a trait does; otherwise agreement moves, not the trait. Selectivity has an interval "
        f"above 0 for {share(above, n)} and below 0 for {below}. The most selective ({PICKED}) is "
        f"{pretty(top['steered'])}: own effect {signed(top['own_effect'])}, others {number(top['off_diagonal'])} in "
        "size, selectivity "
        f"{estimate(top['selectivity'], top['low'], top['high'])}, rank {top['rank']} of {top['n_facets']}."
    )
    compared = known.filter(pl.col("n_random") > 0, pl.col("random_largest").is_not_null())
    if compared.is_empty():
        return [text, "There are no random directions to compare with."]
    won = compared.filter(pl.col("own_effect").abs() > pl.col("random_largest")).height
    chance = sum(1 / (1 + each) for each in compared["n_random"])
    return [
        text,
        f"On its own facet a direction does more than every random one in {share(won, compared.height)} cases, where a "
        f"meaningless direction would in about {chance:.1f}.",
    ]


def matrix(frame: pl.DataFrame) -> list[str]:
    """The largest effects on another facet, which say what a direction really moves."""
    known = frame.drop_nulls(["effect", "steered"])
    if known.is_empty():
        return ["No effect of a facet's direction could be computed."]
    c = number(known["coefficient"][0])
    texts = [f"Effects are half the difference of a facet's score at +{c} and at −{c}."]
    others = known.filter(~pl.col("own")).sort(pl.col("effect").abs(), descending=True, maintain_order=True)
    if others.height:
        top = others.row(0, named=True)
        texts[0] += (
            f" The largest on another facet ({PICKED}, of {others.height}) is {_effect(top)} on {pretty(top['facet'])} "
            f"by the direction of {pretty(top['steered'])}."
        )
    own = known.filter(pl.col("own")).drop_nulls(["positive", "negative", "acquiescence"])
    if own.height:
        yes = own.filter(pl.col("acquiescence").abs() > pl.col("effect").abs()).height
        texts.append(
            f"In {share(yes, own.height)} cases a direction changes yea-saying, the agreement with + and − items "
            "alike, more than its own trait."
        )
    return texts


def curves(frame: pl.DataFrame) -> list[str]:
    """Facet by facet: whether its score moves with the push beyond random ones."""
    texts = []
    for (facet,), part in frame.group_by("facet", maintain_order=True):
        rows = beside_random(swings(part, ()), ())
        top = largest(rows)
        if top is None:
            texts.append(f"{pretty(str(facet))}: its score is not known at both signs of any strength.")
            continue
        apart = "the intervals lie apart" if top["apart"] else "the intervals are not known to lie apart"
        texts.append(
            f"{pretty(str(facet))}: {verdict(rows, 'layer × strength', 'swing')} The largest ({PICKED}) is "
            f"{signed(top['value'])}, from {number(top['minus'])} to {number(top['plus'])} between − and + of strength "
            f"{number(top['coefficient'])} at layer {top['layer']} (n = {top['n']}, lowest label mass "
            f"{number(top['label_mass'])}); {apart}, and {as_much(top)}."
        )
    return texts


def _effect(row: Row) -> str:
    return f"{signed(row['effect'])} {estimate(row['effect'], row['low'], row['high']).partition(' ')[2]}"
