"""Plain paragraphs made from the numbers alone: what was found, and as plainly what was not.

Each function takes the tables of one section and returns paragraphs without markup.
"""

from __future__ import annotations

import polars as pl

from personascope.report.findings import (
    Row,
    beats_shuffled,
    beats_text,
    best_rows,
    best_text,
    excludes_zero,
    reads_nothing,
)
from personascope.report.wording import MISSING, estimate, listed, number, pretty, probability, share, signed, spread

Q_LEVEL = 0.05
OPTIMISTIC = (
    "Layer and position are picked on the same data as the values, so the values at the best layer are optimistic."
)


def facets(frame: pl.DataFrame) -> list[str]:
    """How many facet scores differ from zero, the extremes, and whether saying yes outweighs the trait."""
    scored = frame.drop_nulls("trait")
    if scored.is_empty():
        return ["No facet has items of both keys, so there is no trait score to show."]
    off_zero = scored.filter(excludes_zero()).height
    top, bottom = (scored.sort("trait", descending=down).row(0, named=True) for down in (True, False))
    personas, n_items = (
        scored["persona"].n_unique(),
        max(part["n_items"].sum() for part in frame.partition_by("persona")),
    )
    first = (
        f"{personas} {'persona' if personas == 1 else 'personas'} answered {n_items} items on "
        f"{frame['facet'].n_unique()} facets. {share(off_zero, scored.height).capitalize()} trait scores have a 95 % "
        f"interval that excludes 0. They run from {_facet_score(bottom)} to {_facet_score(top)}."
    )
    return [first, _acquiescence(scored)]


def contrasts(frame: pl.DataFrame) -> list[str]:
    """Per contrast: how many facets differ at q < .05, and the largest difference."""
    return [_contrast(part) for part in frame.partition_by("contrast", maintain_order=True)]


def answer_quality(frame: pl.DataFrame) -> list[str]:
    """Label mass, order bias and key consistency over personas."""
    mass = frame["label_mass"].median()
    lowest = frame.drop_nulls("label_mass").sort("label_mass").head(1).to_dicts()
    text = f"The median label mass over personas is {_number(mass)}"
    text += f"; the lowest is {number(lowest[0]['label_mass'])} ({pretty(lowest[0]['persona'])}). " if lowest else ". "
    reversal = frame["order_bias"].median()
    if reversal is not None:
        text += f"Reversing the order of the answers moves agreement by ±{_number(reversal)} (mean over items, median "
        text += f"over personas; n = {max(frame['n'].to_list())} items per persona). "
    keyed = frame.drop_nulls("key_consistency")
    if keyed.height:
        weak = [pretty(row["persona"]) for row in keyed.to_dicts() if row["key_consistency"] <= 0]
        text += (
            f"Positively and reversed negatively keyed items correlate at {_number(keyed['key_consistency'].median())}"
        )
        text += " (median over personas)"
        text += f"; in {listed(weak)} they do not agree at all." if weak else "."
    return [text.strip()]


def items(frame: pl.DataFrame) -> list[str]:
    """How often statements are agreed with, and whether those for and against a facet are told apart."""
    answered = frame.drop_nulls("agreement")
    if answered.is_empty():
        return ["No statement has an answer."]
    agreed = answered.filter(pl.col("agreement") > 0).height
    pro, contra = (answered.filter(pl.col("key") == key)["agreement"].median() for key in (1, -1))
    return [
        f"{share(agreed, answered.height).capitalize()} answers of all personas agree with the statement as worded. "
        f"The median agreement is {_number(pro)} with statements for a facet and {_number(contra)} with those against "
        "one."
    ]


def preferences(quality: pl.DataFrame) -> list[str]:
    """Position bias against the size of preferences, flips, and split-half reliability."""
    rows = quality.to_dicts()
    both = [row for row in rows if row["order_bias"] is not None and row["sd_log_odds"] is not None]
    outweighed = [row for row in both if abs(row["order_bias"]) > row["sd_log_odds"]]
    worst = max(both, key=lambda row: abs(row["order_bias"]), default=None)
    texts = []
    if worst:
        verdict = "is larger than" if outweighed else "is not larger than"
        where = f"in {share(len(outweighed), len(both))} personas" if outweighed else "in any persona"
        bias = estimate(*(worst[f"order_bias{end}"] for end in ("", "_low", "_high")))
        texts.append(
            f"The bias toward a position {verdict} the spread of preferences {where}; it is largest for "
            f"{pretty(worst['persona'])}, with {bias} logits against a spread of {number(worst['sd_log_odds'])} logits "
            f"(n = {worst['n_pairs']} pairs, each in both orders). The share of pairs whose likelier task changes with "
            f"the order is {spread(quality['flip_share'])}; median label mass is "
            f"{_number(quality['label_mass'].median())}."
        )
    texts.append(_split_half(quality))
    return texts


_MOST_NAMED = 6
"""Of more personas a sentence names only some."""


def utilities(frame: pl.DataFrame) -> list[str]:
    """Each persona's most and least liked topic, and whether utilities spread more than they are uncertain."""
    texts: list[tuple[float, str]] = []
    for part in frame.partition_by("persona", maintain_order=True):
        topics = part.group_by("topic").agg(pl.col("utility").mean()).sort("utility", "topic", descending=True)
        (top, high), (bottom, low) = topics.row(0), topics.row(-1)
        liked, disliked = pretty(top).lower(), pretty(bottom).lower()
        texts.append(
            (
                (high or 0.0) - (low or 0.0),
                f"{pretty(part['persona'][0])} {liked} ({signed(high)}), {disliked} ({signed(low)})",
            )
        )
    spread, error = frame["utility"].std(), frame["se"].median()
    named = [text for _, text in texts]
    which = ""
    if len(texts) > _MOST_NAMED:
        named = [text for _, text in sorted(texts, reverse=True)[: _MOST_NAMED // 2]]
        which = f", for the {len(named)} of {len(texts)} personas with the widest range"
    return [
        f"Highest and lowest topic by mean utility in logits, over {frame['task'].n_unique()} tasks{which}: "
        f"{'; '.join(named)}. Over all tasks and personas the standard deviation is {_number(spread)}, the median "
        f"standard error {_number(error)}."
    ]


def correlations(frame: pl.DataFrame) -> list[str]:
    """Which personas share preferences."""
    pairs = frame.filter(pl.col("persona_x") < pl.col("persona_y")).drop_nulls("r")
    if pairs.is_empty():
        return []
    positive = pairs.filter(pl.col("low") > 0).height
    negative = pairs.filter(pl.col("high") < 0).height
    top, bottom = (pairs.sort("r", descending=down).row(0, named=True) for down in (True, False))
    named = [
        f"{pretty(row['persona_x'])} and {pretty(row['persona_y'])}, r = {estimate(row['r'], row['low'], row['high'])}"
        for row in (top, bottom)
    ]
    return [
        f"Of {pairs.height} pairs of personas, {positive} have utilities that correlate positively with an interval "
        f"above 0, {negative} negatively. Most alike: {named[0]}. Least alike: {named[1]} (n = {top['n']} tasks)."
    ]


def probes(frame: pl.DataFrame) -> list[str]:
    """Per target: the best layer, and whether it beats shuffled labels and the text alone."""
    texts = [_target(target, best_rows(frame, target)) for target in frame["target"].unique(maintain_order=True)]
    return [*texts, OPTIMISTIC]


def _target(target: str, best: list[Row]) -> str:
    if not best:
        return f"{pretty(target)}: no probe has a value."
    top = best[0]
    name = "r" if top["metric"] == "r" else pretty(top["metric"]).lower()
    who = "" if top["persona"] == "all" else f" for {pretty(top['persona'])}"
    text = (
        f"{pretty(target)}: the best layer{who} is {top['layer']} (position {top['position']}), with {name} = "
        f"{estimate(top['value'], top['low'], top['high'])}, n = {top['n']}. {against_shuffled(top)} "
        f"{against_text(top)}"
    )
    if top["within_group"] is not None:
        text += f" Within groups {name} is {number(top['within_group'])}."
    if len(best) > 1:
        shuffled, words = (sum(test(row) for row in best) for test in (beats_shuffled, beats_text))
        text += (
            f" Over {len(best)} personas, each at its best layer, {share(shuffled, len(best))} beat the shuffled 95th "
            f"percentile and {share(words, len(best))} beat the text alone, with an interval above 0."
        )
    return text


def against_shuffled(row: Row) -> str:
    """Whether a probe reads more than probes of shuffled labels do."""
    if row["shuffled_high"] is None:
        return "There are no shuffled-label probes to compare with."
    if reads_nothing(row):
        return f"That is not above 0, let alone shuffled labels (95th percentile {number(row['shuffled_high'])})."
    verdict = "beats" if beats_shuffled(row) else "does not beat"
    return f"The probe {verdict} the 95th percentile of probes on shuffled labels ({number(row['shuffled_high'])})."


def against_text(row: Row) -> str:
    """Whether a probe reads more than words and a sentence encoder do, by their paired difference."""
    best = best_text(row)
    if best is None or row["over_text"] is None:
        return "There is no text-only baseline to compare with."
    which = text_baselines(row)
    if row["over_text"] <= 0 or reads_nothing(row):
        return f"The probe does not beat the text alone ({which})."
    by = estimate(row["over_text"], row["over_text_low"], row["over_text_high"])
    if beats_text(row):
        return f"It beats the text alone ({which}) by {by}."
    if row["over_text_low"] is None:
        return f"It is above the text alone ({which}) by {number(row['over_text'])}, untested."
    return f"It is above the text alone ({which}) by {by}, which is not distinguishable from 0."


def text_baselines(row: Row) -> str:
    """Both baselines of the text by name."""
    encoder = row.get("encoder_baseline")
    shown = "no encoder" if encoder is None else f"encoder {number(encoder)}"
    return f"words {number(row['text_baseline'])}, {shown}"


def _acquiescence(scored: pl.DataFrame) -> str:
    sizes = scored.group_by("persona", maintain_order=True).agg(
        yes=pl.col("acquiescence").abs().mean(), trait=pl.col("trait").abs().mean()
    )
    larger = sizes.filter(pl.col("yes") > pl.col("trait"))
    means = f"mean |acquiescence| {spread(sizes['yes'])} against mean |trait| {spread(sizes['trait'])} by persona"
    if larger.is_empty():
        return f"Acquiescence does not exceed the trait scores in any persona: {means}."
    return (
        f"Acquiescence, the tendency to agree whatever the statement says, exceeds the trait scores in "
        f"{share(larger.height, sizes.height)} personas: {means}."
    )


def _contrast(part: pl.DataFrame) -> str:
    name, tested = pretty(part["contrast"][0]), part.drop_nulls("q")
    if tested.is_empty():
        return f"{name}: no facet could be tested."
    differ = tested.filter(pl.col("q") < Q_LEVEL)
    largest = tested.sort(pl.col("difference").abs(), descending=True).row(0, named=True)
    shown = (
        f"{pretty(largest['facet'])}, {signed(largest['difference'])} [{number(largest['low'])}, "
        f"{number(largest['high'])}], {probability('q', largest['q'])}, n = {largest['n']} items"
    )
    if differ.is_empty():
        return f"{name}: no facet differs at q < .05 (of {tested.height}). The largest difference is {shown}."
    up = differ.filter(pl.col("difference") > 0).height
    return (
        f"{name}: {share(differ.height, tested.height)} facets differ at q < .05, {up} upward and {differ.height - up} "
        f"downward. The largest difference is {shown}."
    )


def _split_half(quality: pl.DataFrame) -> str:
    known = quality.drop_nulls("split_half")
    if known.is_empty():
        return "Split-half reliability is not available."
    unsure = [
        pretty(row["persona"])
        for row in known.to_dicts()
        if row["split_half_low"] is None or row["split_half_low"] <= 0
    ]
    text = f"Split-half reliability of the utilities is {spread(known['split_half'])}"
    return f"{text}; it is not above chance for {listed(unsure)}." if unsure else f"{text}, above 0 in every persona."


def _facet_score(row: Row) -> str:
    return f"{estimate(row['trait'], row['low'], row['high'])} ({pretty(row['persona'])}, {pretty(row['facet'])})"


def _number(value: object) -> str:
    """A polars aggregate, which is typed as anything."""
    return number(float(value)) if isinstance(value, int | float) else MISSING
