"""A calibration as tables for a terminal, to be read by someone who has never steered a model."""

from __future__ import annotations

import polars as pl
from rich.markup import escape
from rich.table import Column, Table

from personascope.steering.calibration import GIVEN, Calibration, UsableRange

_NAMES = {
    "perplexity_ratio": "perplexity x",
    "kl": "KL",
    "label_mass": "label mass x",
    "repetition": "repetition +",
}


def calibration_tables(found: Calibration) -> list[Table | str]:
    """Everything that `calibrate` shows, in order: norms, usable ranges, and how to read them."""
    limits, baseline = found.limits, found.baseline
    return [
        norms_table(found),
        ranges_table(found),
        f"Steering at coefficient c adds a vector to every token at {escape(repr(found.position))}, c times as long as "
        '"1 is" says. Usable is the largest |c| of those tried up to which no guard stops any '
        "direction of the kind in either sign.",
        "Random directions mean nothing: isotropic ones point anywhere, covariance-matched ones to where the model's "
        "own states differ from each other.",
        f"Guards, against the unsteered model: perplexity of plain passages (unsteered {baseline.perplexity:.1f}) at "
        f"most x {limits.perplexity_ratio:g}; shift of its predictions there at most {limits.kl:g} nats a token (KL); "
        f"probability on the answer labels (unsteered {baseline.label_mass:.2f}) at least x {limits.label_mass:g}; "
        f"repeated runs of four words in greedy answers (unsteered {baseline.repetition:.2f}) at most + "
        f"{limits.repetition:g}.",
        "The range says where the model is not damaged, not where a direction works.",
    ]


def norms_table(found: Calibration) -> Table:
    """Length of the residual stream by layer."""
    table = Table("layer", "position", "mean norm", "sd", "tokens", title=f"Residual stream of {escape(found.model)}")
    for norm in sorted(found.norms, key=lambda norm: norm.layer):
        table.add_row(str(norm.layer), escape(norm.position), f"{norm.mean:.4g}", f"{norm.sd:.3g}", str(norm.n))
    return table


def ranges_table(found: Calibration) -> Table:
    """The usable range by layer and kind of direction, and what stops it."""
    table = Table(
        "layer",
        Column("directions", overflow="fold"),
        "1 is",
        "usable",
        "stops at",
        "by (worst seen)",
        title=f"Usable strengths at {escape(found.position)}",
    )
    guards = found.guard_frame()
    names = {(one.layer, one.kind): one.direction for one in found.measured}
    counts = found.frame().group_by("layer", "kind").agg(pl.col("direction").n_unique())
    number = {(layer, kind): n for layer, kind, n in counts.iter_rows()}
    for one in found.ranges():
        kind = (
            f"given: {names[one.layer, one.kind]}"
            if one.kind == GIVEN
            else f"{number[one.layer, one.kind]} random {one.kind}"
        )
        table.add_row(
            str(one.layer),
            escape(kind),
            f"{found.reference_norms[one.layer]:.4g}",
            "none" if one.usable is None else f"{one.usable:g}",
            "beyond those tried" if one.stopped_at is None else f"{one.stopped_at:g}",
            _reason(one, guards),
        )
    return table


def _reason(one: UsableRange, guards: pl.DataFrame) -> str:
    """The guards that fail, each with the worst value at the strength where it does."""
    parts = []
    for guard in one.stopped_by:
        here = guards.filter(
            (pl.col("layer") == one.layer)
            & (pl.col("kind") == one.kind)
            & (pl.col("guard") == guard)
            & (pl.col("coefficient").abs() == one.stopped_at)
            & ~pl.col("holds")
        )["worst"].to_list()
        worst = min(here) if guard == "label_mass" else max(here)
        parts.append(f"{_NAMES[guard]} {worst:.2f}" if worst < 1000 else f"{_NAMES[guard]} {worst:.0e}")
    return ", ".join(parts)
