"""Paragraphs on whether choices need the direction, and where in the model they are carried."""

from __future__ import annotations

import polars as pl

from personascope.report.figures_necessity import DONORS, JOINTLY, SUBSPACES, TAKEN
from personascope.report.findings import Row
from personascope.report.findings_steering import PROBE
from personascope.report.sentences_random import PICKED
from personascope.report.wording import estimate, layer_runs, number, plural, pretty, share_of, spread


def ablation(frame: pl.DataFrame) -> list[str]:
    """Per set of layers: what is left of the choices at the highest rank, and whether random subspaces leave more."""
    texts = [_ablated(part) for part in frame.partition_by("layers", maintain_order=True)]
    return [*texts, *_against_matched(frame)]


def _ablated(part: pl.DataFrame) -> str:
    probe = part.filter(pl.col("kind") == PROBE).drop_nulls("agreement").sort("rank")
    layers = layer_runs(part["layers"][0])
    name = f"Layers {layers}" if "," in layers or " to " in layers else f"Layer {layers}"
    if probe.is_empty():
        return f"{name}: no choice was read without the probe's directions."
    last = probe.row(-1, named=True)
    n = last["rank"]
    text = (
        f"{name}: with {n} {plural('direction', n)} of the probe taken out, {_share(last, 'agreement')} of the choices "
        f"are those of the model left alone (n = {last['n']})"
    )
    said = []
    for kind, (words, _, _) in SUBSPACES.items():
        values = part.filter((pl.col("kind") == kind) & (pl.col("rank") == n))["agreement"].drop_nulls()
        if values.len():
            lower = int((values <= last["agreement"]).sum())
            said.append(f"{words} leave {spread(values)} ({lower} of {values.len()} as little or less)")
    text += f"; {', '.join(said)}." if said else ". There are no random subspaces to compare with."
    if last["swap_flips"] is not None:
        text += f" The task changes with the order in {_share(last, 'swap_flips')} of the pairs"
        alone = last["baseline_swap_flips"]
        text += "." if alone is None else f", in {number(alone)} when left alone."
    return text


def _against_matched(frame: pl.DataFrame) -> list[str]:
    texts = []
    for kind, (words, _, _) in SUBSPACES.items():
        won = cells = 0
        chance = 0.0
        for part in frame.drop_nulls("agreement").partition_by("layers", "rank", maintain_order=True):
            probe, random = (part.filter(pl.col("kind") == name)["agreement"] for name in (PROBE, kind))
            if probe.len() and random.len():
                cells += 1
                won += bool((random > probe[0]).all())
                chance += 1 / (1 + random.len())
        if cells:
            texts.append(f"{words} in {share_of(won, cells, 'cell')} (a meaningless removal: about {chance:.1f})")
    if not texts:
        return []
    return [
        f"Less agreement is left by the probe's directions than by all {'; than by all '.join(texts)}. A cell is a set "
        "of layers and a rank. Only what matched subspaces do not do is owed to what the directions mean."
    ]


def patching(frame: pl.DataFrame) -> list[str]:
    """Per position: at which layer a choice goes over to the donor's, beside unrelated donors and the prompt's own."""
    texts = []
    for (where,), part in frame.group_by("where", maintain_order=True):
        for what in ("takes donor's task", "takes donor's label"):
            texts += _taken(str(where), what, part.filter(pl.col("what") == what))
    own = frame.filter(pl.col("donor") == "own").drop_nulls("rate")
    if own.height:
        worst = own.sort("rate", descending=True).row(0, named=True)
        texts.append(
            "A prompt's own rows change nothing, as they must."
            if worst["rate"] == 0
            else f"A prompt's own rows change {number(worst['rate'])} of its choices ({worst['where']}, "
            f"{worst['what']}), which must be 0: part of these rates is rounding."
        )
    return texts or ["No choice could go over to a donor's."]


def _taken(where: str, what: str, part: pl.DataFrame) -> list[str]:
    rates = part.filter(pl.col("donor") == next(iter(DONORS))).drop_nulls("rate")
    single = rates.filter(pl.col("layer") != JOINTLY).sort("rate", descending=True, maintain_order=True)
    joint = rates.filter(pl.col("layer") == JOINTLY).to_dicts()
    if single.is_empty() and not joint:
        return []
    title = TAKEN[what].lower()
    text = f"Rows of the other order put in at {place(where)}, {title}:"
    if single.height:
        top = single.row(0, named=True)
        text += f" most at layer {top['layer']} ({PICKED}), {_rate(top)}"
        beside = part.filter((pl.col("donor") == "unrelated") & (pl.col("layer") == top["layer"])).drop_nulls("rate")
        if beside.height:
            row = beside.row(0, named=True)
            apart = top["low"] is not None and row["high"] is not None and top["low"] > row["high"]
            text += f", against {_rate(row)} for an unrelated prompt's rows" + (
                "" if apart else "; the intervals overlap"
            )
        text += "."
    text += "".join(f" All layers together: {_rate(row)}." for row in joint[:1])
    return [text]


def place(where: str) -> str:
    """A position in words."""
    start = where.removeprefix("from:")
    return pretty(where) if start == where else f"all tokens from {pretty(start)} on"


def _rate(row: Row) -> str:
    return f"{estimate(row['rate'], row['low'], row['high'])} (n = {row['n']} in {row['n_pairs']} pairs)"


def _share(row: Row, name: str) -> str:
    return estimate(row[name], row[f"{name}_low"], row[f"{name}_high"])
