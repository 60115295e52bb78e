"""What choices lose without a direction, what they take from a donor, and what a span alone carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.activations.plan import Row
from personascope.direction import Direction
from personascope.experiments.recipe_steering import NecessityPart, PushPart
from personascope.experiments.rows import Rows
from personascope.experiments.steered_choices import PUSHES, choice_options
from personascope.models.engine import HookEngine
from personascope.models.sweep import sweep
from personascope.probes.removal import remove_directions
from personascope.shapes import Features
from personascope.steering.ablation import ablation_sweep
from personascope.steering.choice_read_outs import contrastive_curve
from personascope.steering.coefficient_sweep import SweepGrid
from personascope.steering.flips import ablation_flips, flip_rates, patching_flips
from personascope.steering.patching import patch_sweep
from personascope.steering.splice import isolated_sweep

DONORS = {"donor": "swapped order", "unrelated": "unrelated", "own": "own"}
MODES = ("ordinary", "isolated, suffix recomputed", "isolated, answer only")
ALL_LAYERS = -1
"""Stands for all layers together in the table of patching."""
FROM_TASKS = "from:task_a"


def successive_directions(
    rows: Rows, layer: int, position: str, persona: str, n: int, seed: int
) -> Float[np.ndarray, "step d_model"]:
    """Orthonormal directions of as many probes, each trained without those before it, shape (step, d_model)."""
    removal = remove_directions(
        rows.features,
        rows.target,
        groups=rows.groups,
        name="utility",
        persona=persona,
        position=position,
        layer=layer,
        n_steps=n,
        seed=seed,
    )
    return removal.directions


def ablation_table(
    engine: HookEngine,
    rows: Sequence[Row],
    directions: Float[np.ndarray, "step d_model"],
    features: Mapping[int, Features],
    part: NecessityPart,
    push: PushPart,
    how: Mapping[str, Any],
) -> pl.DataFrame:
    """Table "ablation": choices without the first directions at the tokens from the first task on, at one layer.

    Each rank stands beside random subspaces of its rank, see `steering.ablation`.
    """
    found = ablation_sweep(
        engine,
        [row.prompt for row in rows],
        directions,
        ranks=part.ranks,
        layers=[(push.layer,), tuple(range(push.layer, engine.n_layers))],
        features=features,
        options=choice_options(engine, rows),
        where=FROM_TASKS,
        n_random=push.random_directions,
        seed=how["seed"],
    )
    first, second = _tasks(rows)
    frame = found.frame()
    shape = found.option_logprobs.shape
    flips = ablation_flips(
        found.baseline,
        found.option_logprobs.reshape(shape[0], -1, shape[-1]),
        first,
        second,
        directions=[str(number) for number in range(frame.height)],
        kinds=frame["kind"].to_list(),
        **how,
    )
    kept = [
        "agreement",
        "agreement_low",
        "agreement_high",
        "swap_flips",
        "swap_flips_low",
        "swap_flips_high",
        "n_pairs",
    ]
    baseline = float(flips["swap_flips"][0])
    return pl.concat([frame, flips[1:].select(kept)], how="horizontal").with_columns(
        baseline_swap_flips=pl.lit(baseline)
    )


def patching_table(
    engine: HookEngine, rows: Sequence[Row], part: NecessityPart, how: Mapping[str, Any]
) -> pl.DataFrame:
    """Table "patching": every pair with the residual rows of its other order at the end of the user's turn.

    Rows of an unrelated pair show what any foreign row does; a prompt's own rows must change nothing.
    """
    first, second = _tasks(rows)
    place = {order: number for number, order in enumerate(zip(first.tolist(), second.tolist(), strict=True))}
    prompts = [row.prompt for row in rows]
    donors = [prompts[place[order[::-1]]] for order in place]
    layers = list(range(engine.n_layers)) if part.patched_layers == "all" else list(part.patched_layers)
    tables = []
    for where in part.patched:
        found = patch_sweep(
            engine,
            prompts,
            donors,
            where=where,
            layers=layers,
            options=choice_options(engine, rows),
            seed=how["seed"],
        )
        numbers = [own[0] if len(own) == 1 else ALL_LAYERS for own in found.layers]
        for kind, donor in DONORS.items():
            cells = [cell for cell, name in enumerate(found.donors) if name == kind]
            after = found.option_logprobs[:, cells]
            flips = patching_flips(found.baseline, after, first, second, [numbers[cell] for cell in cells])
            rates = flip_rates(flips, **how)
            tables.append(rates.select(pl.lit(where).alias("where"), pl.lit(donor).alias("donor"), pl.all()))
    table = pl.concat(tables)
    named = pl.when(pl.col("layer") == ALL_LAYERS).then(pl.lit("all")).otherwise(pl.col("layer").cast(pl.String))
    return table.with_columns(layers=named)


def spliced_table(
    engine: HookEngine,
    rows: Sequence[Row],
    direction: Direction,
    features: Mapping[int, Features],
    push: PushPart,
    how: Mapping[str, Any],
) -> pl.DataFrame:
    """Table "spliced": the contrastive push with each span steered in a run of its own, beside the ordinary one."""
    grid = SweepGrid.of(
        [direction],
        coefficients=(-push.strength, 0.0, push.strength),
        where=PUSHES["contrast"],
        features=features,
        n_random=push.random_directions,
        seed=how["seed"],
    )
    prompts, options = [row.prompt for row in rows], choice_options(engine, rows)
    cells = list(grid.cells(engine).values())
    pair = np.array([int(row.meta["pair"]) for row in rows])
    found = [
        sweep(engine, prompts, cells, options),
        isolated_sweep(engine, prompts, cells, options, recompute="suffix"),
        isolated_sweep(engine, prompts, cells, options, recompute="answer"),
    ]
    tables = []
    for mode, outputs in zip(MODES, found, strict=True):
        answers = grid.answers(outputs.option_logprobs.numpy(), outputs.other_logmass.numpy())
        tables.append(contrastive_curve(answers, pair).frame(**how).select(pl.lit(mode).alias("mode"), pl.all()))
    return pl.concat(tables)


def _tasks(rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the tasks shown first and second."""
    number: dict[str, int] = {}
    for row in rows:
        for slot in ("first", "second"):
            number.setdefault(row.meta[slot], len(number))
    first, second = (np.array([number[row.meta[slot]] for row in rows], dtype=np.int64) for slot in ("first", "second"))
    return first, second
