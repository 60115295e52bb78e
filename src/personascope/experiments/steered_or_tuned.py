"""Steering against tuning at equal movement, and whether training's own shift is enough for it and needed by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from personascope.direction import Direction
from personascope.errors import DataError
from personascope.experiments.ideal_directions import SHIFT
from personascope.experiments.matched_pushes import Comparison, matched, plain_slope, push
from personascope.experiments.movement_tables import facet_movement, likeness
from personascope.experiments.recipe_tuning import IDEAL, OWN
from personascope.models.adapters import attached
from personascope.models.intervention import Cell, Intervention
from personascope.models.likelihood import likelihoods
from personascope.shapes import Features
from personascope.steering.damage import SCORED
from personascope.steering.interventions import clamp
from personascope.steering.random_directions import random_directions
from personascope.tuning.drift import ideal_drift
from personascope.tuning.movement import gap_closed

TUNED, STEERED, ADDED, REMOVED, CLAMPED = "tuned", "steered", "shift added", "shift removed", "shift held"
RANDOM = "random"
Found = tuple[pl.DataFrame, dict[str, Any]]
"""Items as moved, and what is said of them."""


def comparison_tables(
    data: Comparison,
    ways: Mapping[str, Direction],
    tuned: pl.DataFrame,
    validation: pl.DataFrame,
    features: Features,
    shift: float,
    adapter: Path,
    about_tuned: Mapping[str, Any],
) -> dict[str, pl.DataFrame]:
    """One row for each way of moving the model.

    Args:
        data: see `Comparison`.
        ways: directions at one layer.
        tuned: `paired` of the test items of the tuned model.
        validation: the same of the validation items.
        features: rows of the self before training (row, d_model), for random directions of their covariance.
        shift: length of training's shift as a strength.
        adapter: folder of the tuned model's adapter.
        about_tuned: kl, perplexity_ratio and label_mass of it.

    Returns:
        "tuning_compared": kind, way, strength, is_matched, why_none, target and response (`plain_slope` on validation
        items), gap_closed with low, high and refused (test items), slope, slope_positive and slope_negative (biased
        alike), reading, drift with drift_low, drift_high and equivalent, like_tuned (correlation of the facets'
        movements with those of training), kl (nats per token of neutral text), perplexity_ratio, label_mass, n_items.
        "tuning_responses": way, coefficient, response, is_match, past_peak. "tuning_compared_facets": kind, way,
        facet, moved (after - before).
    """
    target = plain_slope(validation)
    rows = [{"kind": TUNED, "way": data.recipe.runs[0].name, **outcome(tuned, tuned, data), **about_tuned}]
    moved = [_moves(tuned, TUNED, data.recipe.runs[0].name)]
    matches = matched(data, ways, validation, target)
    responses = [match.frame().select(pl.lit(name).alias("way"), pl.all()) for name, match in matches.items()]
    strengths = {
        name: match.peak if match.coefficient is None else match.coefficient for name, match in matches.items()
    }
    moving = [
        name for name, strength in strengths.items() if strength
    ]  # others go away from the target at any strength
    steered = read(data, [(push(data, strengths[name] * ways[name]),) for name in moving], tuned, with_ideal=True)
    for name, match in matches.items():
        row = {"kind": STEERED, "way": name, "strength": strengths[name], "is_matched": match.coefficient is not None}
        row |= {"why_none": match.why_none, "target": target, "response": match.response}
        if name in moving:
            found = steered[moving.index(name)]
            row |= found[1]
            moved.append(_moves(found[0], STEERED, name))
        rows.append(row)
    for kind, way, strength, found in causes(data, ways[SHIFT], features, shift, adapter, tuned):
        rows.append({"kind": kind, "way": way, "strength": strength, **found[1]})
        moved.append(_moves(found[0], kind, way))
    floats = ("strength", "target", "response", "gap_closed", "low", "high", "drift", "drift_low", "drift_high")
    schema = {**dict.fromkeys(floats, pl.Float64), "is_matched": pl.Boolean, "equivalent": pl.Boolean}
    schema |= {"why_none": pl.String, "refused": pl.String}
    table = pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)
    return {
        "tuning_compared": table,
        "tuning_responses": pl.concat(responses),
        "tuning_compared_facets": pl.concat(moved),
    }


def read(data: Comparison, cells: Sequence[Cell], tuned: pl.DataFrame, *, with_ideal: bool) -> list[Found]:
    """Test items under each cell, with damage to neutral text where nothing else is in the model."""
    if not cells:
        return []
    own = data.steered(OWN, data.items.test, cells)
    ideal = data.steered(IDEAL, data.items.test, cells) if with_ideal else None
    damage = (
        None if data.engine.adapter is not None else likelihoods(data.engine, data.texts, [(), *cells], score=SCORED)
    )
    found = []
    for number in range(len(cells)):
        items = tuned.drop("after", "ideal_after").join(own.column(number, "after"), on="item", maintain_order="left")
        if ideal is not None:
            items = items.join(ideal.column(number, "ideal_after"), on="item", maintain_order="left")
        about = {"label_mass": float(own.label_mass[number]), **outcome(items, tuned, data)}
        if damage is not None:
            perplexity = damage.perplexity()
            about |= {"kl": float(damage.mean_kl()[number + 1])}
            about |= {"perplexity_ratio": float(perplexity[number + 1] / perplexity[0])}
        found.append((items, about))
    return found


def causes(
    data: Comparison, shift: Direction, features: Features, length: float, adapter: Path, tuned: pl.DataFrame
) -> list[tuple[str, str, float, Found]]:
    """Is the shift enough, and is it needed? Added to the base; taken from the tuned model, or held at the base's.

    Random directions of the same length stand beside each. What is held is the coordinate along the direction, at the
    mean of the base, where the direction was measured.
    """
    n = data.part.random_directions
    n_matched = (2 * n) // 5
    seed = data.recipe.seed
    others = [
        *random_directions(shift, n - n_matched, seed=seed),
        *random_directions(shift, n_matched, seed=seed, features=features),
    ]
    named = {SHIFT: shift, **{f"{RANDOM} {number}": one for number, one in enumerate(others, 1)}}
    found: list[tuple[str, str, float, Found]] = []

    def run(kind: str, cells: Sequence[Cell], strengths: Sequence[float]) -> None:
        data.progress(f"compare with {kind}", 0, 1)
        read_all = read(data, cells, tuned, with_ideal=False)
        found.extend((kind, name, s, one) for name, s, one in zip(named, strengths, read_all, strict=True))
        data.progress(f"compare with {kind}", 1, 1)

    lengths = [length] * len(named)
    run(ADDED, [(push(data, length * one),) for one in named.values()], lengths)
    with attached(data.engine, adapter):
        run(REMOVED, [(push(data, -length * one),) for one in named.values()], [-length] * len(named))
        held = {name: held_at_base(data, one, features) for name, one in named.items()}
        run(CLAMPED, [(cell,) for cell, _ in held.values()], [strength for _, strength in held.values()])
    return found


def held_at_base(data: Comparison, direction: Direction, features: Features) -> tuple[Intervention, float]:
    """The coordinate along a direction is put to the base's mean, at the position where it was measured."""
    mean = float((features.astype(np.float64) @ direction.vector.astype(np.float64)).mean())
    strength = mean / direction.reference_norm
    cell = clamp(strength * direction, data.recipe.position, model=data.engine.name, d_model=data.engine.d_model)
    return cell, strength


def outcome(items: pl.DataFrame, tuned: pl.DataFrame, data: Comparison) -> dict[str, Any]:
    """What is said of every way: gap closed, slopes by key, drift of the ideal, likeness to training."""
    try:
        gap = gap_closed(items, cluster="cluster", **data.how)
    except DataError as error:  # such as a push that moves nothing
        return {"refused": error.symptom, "n_items": items.height}
    whole = gap.whole.closed
    row = {"gap_closed": whole.value, "low": whole.low, "high": whole.high, "refused": whole.refused}
    row |= {"slope": plain_slope(items), "slope_positive": plain_slope(items, 1)}
    row |= {"slope_negative": plain_slope(items, -1), "reading": gap.reading, "n_items": gap.whole.n_items}
    alike = likeness({"this": items, "tuned": tuned}, data.how).filter(run="this")
    row["like_tuned"] = alike["r"][0]
    if "ideal_after" in items.columns:
        mean = ideal_drift(items, cluster="cluster", **data.how).overall.row(0, named=True)
        row |= {"drift": mean["difference"], "drift_low": mean["low"], "drift_high": mean["high"]}
        row["equivalent"] = mean["equivalent"]
    return row


def _moves(items: pl.DataFrame, kind: str, way: str) -> pl.DataFrame:
    return facet_movement(items).select(pl.lit(kind).alias("kind"), pl.lit(way).alias("way"), "facet", "moved")
