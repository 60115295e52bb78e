"""Paragraphs on a model organism: how much of what was planted came back, by which step of the chain."""

from __future__ import annotations

import polars as pl

from personascope.report.findings import Row
from personascope.report.findings_steering import beside_random
from personascope.report.findings_tuning import side
from personascope.report.wording import estimate, listed, number, pretty, signed


def recovered(frame: pl.DataFrame) -> list[str]:
    """How much came back of utilities and of traits, persona by persona, beside the base."""
    texts = []
    for kind in frame["what"].unique(maintain_order=True):
        own = frame.filter(pl.col("what") == kind)
        rows = {(row["state"], row["persona"]): row for row in own.to_dicts()}
        personas = list(own["persona"].unique(maintain_order=True))
        said = [
            f"{pretty(name)} {r_told(rows['organism', name])} (base {r_told(rows['base', name])})"
            for name in personas
            if ("organism", name) in rows and ("base", name) in rows
        ]
        clear = sum(side(row["low"], row["high"]) > 0 for (state, _), row in rows.items() if state == "organism")
        n = max(own["n"].to_list())
        asked = f"{n} tasks" if kind == "utilities" else f"{n} facets, by items"
        texts.append(
            f"Correlation of {kind} with what was planted, over {asked} that were not taught: {'; '.join(said)}. "
            f"The interval lies above 0 for {clear} of {len(personas)} personas."
        )
    return texts


def opposition(frame: pl.DataFrame) -> list[str]:
    """Whether personas are as opposed, or as unrelated, as they were made."""
    base = {(row["persona"], row["other"]): row["r"] for row in frame.filter(pl.col("state") == "base").to_dicts()}
    said = []
    for row in frame.filter(pl.col("state") == "organism").to_dicts():
        beside = f"planted {signed(row['planted_r'])}, base {number(base.get((row['persona'], row['other'])))}"
        said.append(f"{pretty(row['persona'])} and {pretty(row['other'])} {r_told(row)} ({beside})")
    if not said:
        return ["How two personas of the organism agree was not measured."]
    return [f"Correlation of two personas' utilities: {'; '.join(said)}."]


def cosines(frame: pl.DataFrame) -> list[str]:
    """Whether probes find the planted direction."""
    known = frame.drop_nulls(["cosine", "null_high"])
    if known.is_empty():
        return ["No probe could be compared with the planted direction."]
    said = [f"{pretty(row['persona'])} {signed(row['cosine'])}" for row in known.to_dicts()]
    beyond = known.filter(pl.col("cosine").abs() > pl.col("null_high")).height
    layer, chance = known["layer"][0], number(known["null_high"][0])
    return [
        f"Cosine of each persona's probe with the planted direction, after layer {layer}: {listed(said)}. {beyond} of "
        f"{known.height} lie beyond {chance}, below which 95 % of random directions do."
    ]


def transfer(frame: pl.DataFrame) -> list[str]:
    """Whether a probe of one persona reads another's utilities, topics left out."""
    same = frame.filter(pl.col("train") == pl.col("test")).to_dicts()
    other = frame.filter(pl.col("train") != pl.col("test")).to_dicts()
    texts = [f"Probes on topics that they were not fitted on: {_cells(same, 'test')}."] if same else []
    if other:
        texts.append(
            f"On another persona's utilities: {_cells(other, 'train', 'test')}. Values of all are written along one "
            "direction, so a probe that found it reads personas that want the opposite as well."
        )
    return texts


def steering(frame: pl.DataFrame) -> list[str]:
    """Whether pushes along the planted direction move choices, and random ones do not."""
    strength = max(frame["coefficient"].to_list())
    rows = beside_random(frame.filter(pl.col("coefficient") == strength), ("persona",)).drop_nulls("largest_random")
    if rows.is_empty():
        return ["What pushes along the planted direction do beside random ones was not measured."]
    said = [
        f"{pretty(row['persona'])} {estimate(row['value'], row['low'], row['high'])} (along random directions at most "
        f"{number(row['largest_random'])})"
        for row in rows.to_dicts()
    ]
    return [
        f"Pushed up on the first task and down on the second, by {number(strength)} of the residual norm, the log-odds "
        f"of the first change by: {'; '.join(said)}."
    ]


def r_told(row: Row) -> str:
    """A correlation with its interval."""
    return estimate(row["r"], row["low"], row["high"])


def _cells(rows: list[Row], *names: str) -> str:
    return "; ".join(f"{' on '.join(pretty(row[name]) for name in names)} {r_told(row)}" for row in rows)
