"""Paragraphs on how far a model can be pushed before it breaks."""

from __future__ import annotations

import polars as pl

from personascope.report.figures_steering_range import KIND_NAMES, stop_text
from personascope.report.wording import listed, number, plural, pretty, share, share_of, spread

_LIMITS = {
    "perplexity_ratio": "perplexity of plain texts at most times",
    "kl": "shift of predictions, in nats a token, at most",
    "label_mass": "label mass at least times",
    "repetition": "repeated runs of words at most plus",
}


def norms(frame: pl.DataFrame) -> list[str]:
    """How long the residual stream is, which every coefficient is a fraction of."""
    known = frame.drop_nulls("mean")
    if known.is_empty():
        return ["No length of the residual stream was measured."]
    parts = [
        f"{spread(part['mean'])} at {pretty(part['position'][0])} over layers {spread_of_layers(part['layer'])}"
        for part in known.partition_by("position", maintain_order=True)
    ]
    return [f"A coefficient is a fraction of the mean length of the residual stream, which is {listed(parts)}."]


def ranges(frame: pl.DataFrame) -> list[str]:
    """Up to which strength each kind of direction does no damage, and what stops it."""
    texts = []
    for (kind,), own in frame.group_by("kind", maintain_order=True):
        name = KIND_NAMES.get(str(kind), pretty(str(kind)))
        n, usable = own.height, own.drop_nulls("usable")
        if usable.is_empty():
            texts.append(f"Usable strengths, {name}: none of those tried, at any of {n} {plural('layer', n)}.")
            continue
        over = share_of(usable.height, n, "layer")
        text = f"Usable strengths, {name}: |c| up to {spread(usable['usable'])} over {over}"
        none = n - usable.height
        text += f"; at {none} even the smallest tried does damage." if none else "."
        stopped = own.drop_nulls("stopped_at")
        free = n - stopped.height
        text += f" At {free} no guard stops any strength tried, so the range ends with the grid." if free else ""
        if stopped.height:
            counts: dict[str, int] = {}
            for by in stopped["stopped_by"]:
                for guard in stop_text(by).split(", "):
                    counts[guard] = counts.get(guard, 0) + 1
            said = [f"{guard} ({count})" for guard, count in sorted(counts.items(), key=lambda one: -one[1])]
            text += f" What stops the next strength (layers): {listed(said)}."
        texts.append(text)
    return [*texts, "The range says where the model is not damaged, not where a direction works."]


def guards(frame: pl.DataFrame) -> list[str]:
    """The limits, and how often each guard fails."""
    said = []
    for (guard,), own in frame.group_by("guard", maintain_order=True):
        failed = own.filter(~pl.col("holds").fill_null(value=False)).height
        limits = own["limit"].drop_nulls()
        limit = number(limits[0]) if limits.len() else "not known"
        name = _LIMITS.get(str(guard), f"{pretty(str(guard))}, limit")
        said.append(f"{name} {limit} (fails in {share(failed, own.height)} cells)")
    return [
        "Guards, read for the worst direction of each kind in every cell (layer × kind × coefficient), against the "
        f"unsteered model: {'; '.join(said)}."
    ]


def spread_of_layers(layers: pl.Series) -> str:
    """First to last layer, once when there is one."""
    ends = sorted(set(layers.to_list()))
    return str(ends[0]) if len(ends) == 1 else f"{ends[0]} to {ends[-1]}"
