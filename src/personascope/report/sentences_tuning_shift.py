"""Paragraphs on where training moved the residual stream."""

from __future__ import annotations

import polars as pl

from personascope.report.findings_tuning import order, run_name
from personascope.report.sentences_random import PICKED
from personascope.report.wording import layer_runs, number, pretty, probability, share_of, spread


def shift(frame: pl.DataFrame) -> list[str]:
    """Along which direction the first run's shift lies, beside random directions and the shifts of other runs."""
    first = order(frame)[0]
    own = frame.filter(pl.col("run") == first)
    about = own.row(0, named=True)
    lengths, halves = own["length"].drop_nulls(), own["halves"].drop_nulls()
    text = (
        f"{run_name(first)} moved the self by {spread(lengths)} of the mean norm over layers "
        f"{layer_runs(', '.join(map(str, own['layer'].unique().sort())))} (n = {about['n']} items); mean shifts of two "
        f"halves of the items agree with a cosine of {spread(halves)}."
    )
    return [text, *_directions(own, frame), *_runs(own)]


def _directions(own: pl.DataFrame, frame: pl.DataFrame) -> list[str]:
    """Direction by direction: the layer with the largest cosine, beside random ones and the other runs there."""
    texts = []
    known = own.filter(pl.col("kind") == "direction").drop_nulls(["cosine", "null_high"])
    for (name,), part in known.group_by("other", maintain_order=True):
        beyond = part.filter(pl.col("cosine").abs() > pl.col("null_high"))
        top = part.sort(pl.col("cosine").abs(), descending=True, maintain_order=True).row(0, named=True)
        others = frame.filter(
            pl.col("run") != top["run"], pl.col("other") == str(name), pl.col("layer") == top["layer"]
        ).drop_nulls("cosine")
        picked = f" ({PICKED}, of {part.height} layers)" if part.height > 1 else ""
        text = (
            f"With {pretty(str(name)).lower()}: cosine {number(top['cosine'])} at layer {top['layer']}{picked}, where "
            f"95 % of random directions stay below {number(top['null_high'])}; beyond them at "
            f"{share_of(beyond.height, part.height, 'layer')}."
        )
        if others.height:
            as_much = others.filter(pl.col("cosine").abs() >= abs(top["cosine"])).height
            text += (
                f" Other runs there: {spread(others['cosine'])}; {share_of(as_much, others.height, 'run')} "
                f"{'lies' if as_much == 1 else 'lie'} along it as much in size."
            )
        texts.append(text)
    return texts


def _runs(own: pl.DataFrame) -> list[str]:
    """How like the other runs' shifts it is: what training does whatever is taught."""
    runs = own.filter(pl.col("kind") == "run").drop_nulls("cosine")
    if runs.is_empty():
        return []
    means = runs.group_by("other", maintain_order=True).agg(pl.col("cosine").mean())
    said = "; ".join(f"{run_name(row['other'])}: {number(row['cosine'])}" for row in means.to_dicts())
    return [
        f"Cosine with the shifts of other runs, mean over layers: {said}. What a run of another lesson shares is not "
        "owed to what was taught."
    ]


def span(frame: pl.DataFrame) -> list[str]:
    """How much of the first run's shift lies in the facets' span, against the strictest kind of random span."""
    own = frame.filter(pl.col("run") == frame["run"][0]).drop_nulls(["share", "random_high"])
    if own.is_empty():
        return ["How much of the shift lies in the span of the facets is not known."]
    strict = own.sort("random_high", descending=True, maintain_order=True).unique(
        "layer", maintain_order=True, keep="first"
    )
    top = strict.sort("share", descending=True, maintain_order=True).row(0, named=True)
    beyond = strict.filter(pl.col("share") > pl.col("random_high"))
    picked = f" ({PICKED}, of {strict.height} layers)" if strict.height > 1 else ""
    return [
        f"{number(top['share'])} of {run_name(top['run'])}'s squared shift lies in the span of the {top['rank']} "
        f"facets at layer {top['layer']}{picked}; random spans of the same rank ({top['kind']}, the kind that holds "
        f"most) hold {number(top['random_mean'])} on average and {number(top['random_high'])} at the 95th percentile "
        f"({probability('p', top['p'])}). It is beyond them at {share_of(beyond.height, strict.height, 'layer')}."
    ]
