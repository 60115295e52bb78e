"""Coefficient sweeps: answers under a direction and under random ones, over layers and strengths of both signs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from personascope.direction import Direction
from personascope.errors import DataError
from personascope.models.engine import HookEngine
from personascope.models.intervention import Cell, Intervention
from personascope.models.sweep import sweep
from personascope.prompts.labels import Options
from personascope.prompts.prompt import Prompt
from personascope.shapes import Features
from personascope.steering.random_directions import random_directions
from personascope.steering.steer import intervention

MIN_RANDOM = 5
PROBE = "probe"


@dataclass(frozen=True)
class SweepAnswers:
    """Answers of every prompt in every cell of a sweep.

    Args:
        layers: swept layers; `coefficients` ascending, symmetric, with 0; `directions` names, "probe" first.
        kinds: for each direction "probe", "isotropic" or "covariance-matched".
        option_logprobs: shape (row, layer, direction, coefficient, option), float32; the zero coefficient holds the
            one unsteered baseline in every layer and direction.
        other_logmass: log-probability outside the options, shape (row, layer, direction, coefficient).
    """

    layers: tuple[int, ...]
    coefficients: tuple[float, ...]
    directions: tuple[str, ...]
    kinds: tuple[str, ...]
    option_logprobs: Float[np.ndarray, "row layer direction coefficient option"]
    other_logmass: Float[np.ndarray, "row layer direction coefficient"]


def coefficient_sweep(
    engine: HookEngine,
    prompts: Sequence[Prompt],
    directions: Sequence[Direction],
    *,
    coefficients: Sequence[float],
    where: Mapping[str, float],
    options: Options,
    features: Mapping[int, Features],
    n_random: int = MIN_RANDOM,
    seed: int = 0,
) -> SweepAnswers:
    """Sweep strengths of one direction per layer, with random directions of the same length beside it.

    Args:
        engine: a loaded model.
        prompts: closed questions that all have the positions of `where`.
        directions: one per layer to be swept.
        coefficients: fractions of the mean residual norm; must contain 0 and both signs of every value.
        where: position -> sign, e.g. {"from:item": 1.0}, or {"mean:task_a": 1.0, "mean:task_b": -1.0} to push one
            task up and the other down.
        options: the labels that are read.
        features: layer -> residual rows (row, d_model), for the covariance-matched random directions.
        n_random: random directions per layer, at least 5; two fifths of them covariance-matched.
        seed: of the random directions.

    Raises:
        DataError: coefficients without zero or without both signs, fewer than 5 random directions, two directions
            at one layer.
    """
    grid = _checked_grid(coefficients, n_random, directions)
    kinds = _kinds(n_random)
    cells: list[Cell] = [()]
    index: list[tuple[int, int, int]] = []
    for layer_index, direction in enumerate(directions):
        n_matched = kinds.count("covariance-matched")
        variants = [
            direction,
            *random_directions(direction, n_random - n_matched, seed=seed),
            *random_directions(direction, n_matched, seed=seed, features=features[direction.layer]),
        ]
        for name_index, variant in enumerate(variants):
            for coefficient_index, coefficient in enumerate(grid):
                if coefficient != 0.0:
                    cells.append(_cell(engine, coefficient * variant, where))
                    index.append((layer_index, name_index, coefficient_index))
    answers = sweep(engine, prompts, cells, options)
    shape = (len(prompts), len(directions), len(kinds), len(grid))
    logprobs = np.empty((*shape, len(options.labels)), dtype=np.float32)
    other = np.empty(shape, dtype=np.float32)
    zero = grid.index(0.0)
    logprobs[:, :, :, zero] = answers.option_logprobs[:, :1, None].numpy()
    other[:, :, :, zero] = answers.other_logmass[:, :1, None].numpy()
    for cell, place in enumerate(index, start=1):
        logprobs[:, place[0], place[1], place[2]] = answers.option_logprobs[:, cell].numpy()
        other[:, place[0], place[1], place[2]] = answers.other_logmass[:, cell].numpy()
    names = (PROBE, *(f"random {number}" for number in range(1, n_random + 1)))
    return SweepAnswers(tuple(d.layer for d in directions), tuple(grid), names, kinds, logprobs, other)


def _checked_grid(coefficients: Sequence[float], n_random: int, directions: Sequence[Direction]) -> list[float]:
    grid = sorted({float(value) for value in coefficients})
    if 0.0 not in grid or any(-value not in grid for value in grid):
        raise DataError(
            f"The coefficients {grid} lack zero or one sign of a value.",
            "Without the unsteered row and both signs, a sweep cannot tell a direction's effect from damage.",
            "Give for example [-0.1, -0.05, 0, 0.05, 0.1].",
        )
    if n_random < MIN_RANDOM:
        raise DataError(
            f"{n_random} random directions were asked for.",
            f"Fewer than {MIN_RANDOM} do not show how much a meaningless push of this length does.",
            f"Use at least {MIN_RANDOM}.",
        )
    layers = [direction.layer for direction in directions]
    if not layers or len(set(layers)) != len(layers):
        raise DataError(f"One direction per layer is needed, got layers {layers}.", "", "Sweep directions one by one.")
    return grid


def _kinds(n_random: int) -> tuple[str, ...]:
    n_matched = (2 * n_random) // 5
    return (PROBE, *["isotropic"] * (n_random - n_matched), *["covariance-matched"] * n_matched)


def _cell(engine: HookEngine, direction: Direction, where: Mapping[str, float]) -> Cell:
    whole: list[Intervention] = [
        intervention(sign * direction, position, model=engine.name, d_model=engine.d_model)
        for position, sign in where.items()
    ]
    return tuple(whole)
