"""Choices under steering: which pairs are pushed along which directions, and the tables that come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import ceil
from typing import Any

import numpy as np
import polars as pl

from personascope.activations.plan import Row
from personascope.activations.store import ActivationStore
from personascope.direction import Direction
from personascope.errors import DataError
from personascope.experiments.collecting import Progress, named
from personascope.experiments.elicitation import ChoiceMaterial, choice_prompt
from personascope.experiments.probe_study import ridge_direction
from personascope.experiments.recipe_bases import ProbeStudy
from personascope.experiments.recipe_steering import PushPart
from personascope.experiments.rows import task_rows
from personascope.experiments.runs import RunFolder
from personascope.instruments.personas import Persona
from personascope.models.engine import HookEngine
from personascope.prompts.labels import Options, resolve_options
from personascope.prompts.templates import CHOICE
from personascope.steering.choice_read_outs import (
    contrastive_curve,
    order_flip_curve,
    position_curve,
    single_task_curve,
    utility_curve,
)
from personascope.steering.coefficient_sweep import SweepAnswers, SweepGrid, stored_coefficient_sweep
from personascope.steering.curves import Curves
from personascope.steering.dose_response import dose_response, mark_effects, mark_unusable

PUSHES: dict[str, dict[str, float]] = {
    "contrast": {"mean:task_a": 1.0, "mean:task_b": -1.0},
    "first": {"mean:task_a": 1.0},
    "second": {"mean:task_b": 1.0},
}
"""What +c does: the first task up and the second down, or one of both up."""
ALL_TYPES = "all"
Usable = Mapping[int, tuple[float, float]]


@dataclass(frozen=True)
class PushedPairs:
    """Pairs that are pushed, of tasks that no direction is fitted on.

    Args:
        pairs: numbers of tasks in the pool; `types` of each, such as "harmful-benign".
        types: see `pairs`.
        held_out: ids of all tasks that directions are not fitted on.
    """

    pairs: tuple[tuple[int, int], ...]
    types: tuple[str, ...]
    held_out: frozenset[str]


def pushed_pairs(material: ChoiceMaterial, part: PushPart, seed: int) -> PushedPairs:
    """Draw so many pairs of each type among the held-out tasks of all topics.

    Raises:
        DataError: a harmful topic that no task has, or fewer than two pairs of any type.
    """
    tasks = material.pool.tasks
    unknown = [topic for topic in part.harmful_topics if topic not in material.pool.topics]
    if unknown:
        raise DataError(
            f"push.harmful_topics names {unknown[0]!r}, which no task has.",
            f"Topics are {', '.join(material.pool.topics)}.",
            "Correct it, or give an empty list.",
        )
    rng = np.random.default_rng(seed)
    held_out: list[int] = []
    for topic in material.pool.topics:
        own = [number for number, task in enumerate(tasks) if task.topic == topic]
        held_out += rng.permutation(own)[: ceil(part.held_out * len(own))].tolist()
    harmful = [number for number in held_out if tasks[number].topic in part.harmful_topics]
    benign = [number for number in held_out if tasks[number].topic not in part.harmful_topics]
    candidates = {
        "benign-benign": list(combinations(benign, 2)),
        "harmful-benign": list(product(harmful, benign)),
        "harmful-harmful": list(combinations(harmful, 2)),
    }
    pairs: list[tuple[int, int]] = []
    types: list[str] = []
    for name, every in candidates.items():
        drawn = [every[at] for at in sorted(rng.permutation(len(every))[: part.pairs].tolist())]
        if len(drawn) >= 2:  # of one pair no spread can be seen
            pairs += drawn
            types += [name] * len(drawn)
    if not pairs:
        raise DataError(
            f"{len(held_out)} held-out tasks give no two pairs of any type.", "", "Hold out more tasks, or use more."
        )
    return PushedPairs(tuple(pairs), tuple(types), frozenset(tasks[number].id for number in held_out))


def choice_rows_of(engine: HookEngine, material: ChoiceMaterial, pushed: PushedPairs, persona: Persona) -> list[Row]:
    """Every pushed pair in both orders under one persona; rows carry persona, pair, pair_type, first, second."""
    tasks = material.pool.tasks
    return [
        Row(
            id=f"{persona.name}/{tasks[a].id}/{tasks[b].id}",
            prompt=choice_prompt(engine, persona, tasks[a], tasks[b]),
            meta={
                **{"persona": persona.name, "pair": str(number), "pair_type": kind},
                **{"first": tasks[a].id, "second": tasks[b].id},
            },
        )
        for number, ((i, j), kind) in enumerate(zip(pushed.pairs, pushed.types, strict=True))
        for a, b in ((i, j), (j, i))
    ]


def choice_options(engine: HookEngine, rows: Sequence[Row]) -> Options:
    """The labels of a choice, proved on the tokenizer."""
    return resolve_options(engine.tokenizer, rows[0].prompt.text.splitlines()[-1], CHOICE.labels)


def fitted_directions(
    engine: HookEngine,
    store: ActivationStore,
    utilities: pl.DataFrame,
    persona: str,
    recipe: ProbeStudy,
    layers: Sequence[int],
    held_out: frozenset[str],
) -> list[Direction]:
    """One persona's preference direction at some layers: ridge weights on the tasks that are not held out."""
    own = utilities.filter(pl.col("persona") == persona)
    kept = ~own["task"].is_in(list(held_out)).to_numpy()
    position = recipe.probes.position
    return [
        ridge_direction(
            engine,
            store,
            task_rows(store, utilities, persona, layer, position).of(kept),
            layer,
            position,
            f"higher task utility under persona {persona}",
            recipe.seed,
        )
        for layer in layers
    ]


@dataclass(frozen=True)
class Sweeper:
    """What all sweeps of a study share."""

    engine: HookEngine
    run: RunFolder
    progress: Progress
    data: Mapping[str, str]
    how: Mapping[str, Any]

    def sweep(self, name: str, rows: Sequence[Row], grid: SweepGrid) -> SweepAnswers:
        """Ask all rows under all cells of a grid, or find them asked; `name` is that of the store."""
        return stored_coefficient_sweep(
            self.engine,
            rows,
            grid,
            choice_options(self.engine, rows),
            self.run.store(name),
            context=self.data,
            progress=named(self.progress, name),
        )


def curve_tables(
    curves: Curves, keys: Mapping[str, str], types: Mapping[int, str], usable: Usable, how: Mapping[str, Any]
) -> dict[str, pl.DataFrame]:
    """Curve, effects and dose-response of one read-out: over all pairs, and by pair type.

    Args:
        curves: of one sweep.
        keys: columns that say of what, such as persona and target.
        types: type of each pair by its number.
        usable: layer -> range of coefficients that do no damage.
        how: n_resamples and seed.
    """
    whole = curves.frame(**how)
    draws = curves.draws(**how).reshape(how["n_resamples"], -1)
    dose = dose_response(whole, draws=draws, usable=usable)
    several = len(set(types.values())) > 1
    every = [(whole, curves.effects(**how))] + ([(curves.frame(types, **how), curves.effects(types, **how))] * several)
    first = [pl.lit(value).alias(name) for name, value in keys.items()]

    def labelled(frame: pl.DataFrame) -> pl.DataFrame:
        kind = [] if "pair_type" in frame.columns else [pl.lit(ALL_TYPES).alias("pair_type")]
        frame = frame.with_columns(kind)
        return frame.select(*first, "pair_type", pl.all().exclude("pair_type"))

    return {
        "curves": pl.concat([labelled(mark_effects(curve, dose)) for curve, _ in every]),
        "effects": mark_unusable(pl.concat([labelled(effects) for _, effects in every]), usable),
        "dose": labelled(dose),
    }


def contrast_tables(
    answers: SweepAnswers,
    rows: Sequence[Row],
    utilities: pl.DataFrame,
    persona: str,
    usable: Usable,
    how: Mapping[str, Any],
) -> dict[str, list[pl.DataFrame]]:
    """Tables "curves", "effects", "dose" and "position" of one persona's contrastive sweep."""
    pair = np.array([int(row.meta["pair"]) for row in rows])
    types = {int(row.meta["pair"]): row.meta["pair_type"] for row in rows}
    worth = dict(utilities.filter(pl.col("persona") == persona).select("task", "utility").iter_rows())
    first, second = (np.array([worth[row.meta[slot]] for row in rows]) for slot in ("first", "second"))
    found: dict[str, list[pl.DataFrame]] = {"curves": [], "effects": [], "dose": [], "position": []}
    untied = first != second
    targets = {"contrast": (contrastive_curve(answers, pair), types)}
    if untied.any():
        better = utility_curve(answers.of_rows(untied), pair[untied], first[untied], second[untied])
        targets["better task"] = (better, types)
    for target, (curves, kinds) in targets.items():
        tables = curve_tables(curves, {"persona": persona, "target": target}, kinds, usable, how)
        for name, table in tables.items():
            found[name].append(table)
    for curves in (position_curve(answers, pair, "contrast"), order_flip_curve(answers, pair, "contrast")):
        found["position"].append(curves.frame(**how).select(pl.lit(persona).alias("persona"), pl.all()))
    return found


def single_tables(
    on_first: SweepAnswers,
    on_second: SweepAnswers,
    rows: Sequence[Row],
    persona: str,
    usable: Usable,
    how: Mapping[str, Any],
) -> dict[str, pl.DataFrame]:
    """Tables "curves", "effects" and "dose" of one persona's pushes on a single task."""
    pair = np.array([int(row.meta["pair"]) for row in rows])
    types = {int(row.meta["pair"]): row.meta["pair_type"] for row in rows}
    curves = single_task_curve(on_first, on_second, pair)
    return curve_tables(curves, {"persona": persona, "target": "one task"}, types, usable, how)
