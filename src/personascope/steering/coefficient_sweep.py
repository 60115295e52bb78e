"""Coefficient sweeps: answers under a direction and under its controls, over layers and strengths of both signs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from personascope.activations.plan import Row
from personascope.direction import Direction
from personascope.errors import DataError
from personascope.models.adapt import as_backend
from personascope.models.backend import Backend
from personascope.models.intervention import Cell
from personascope.models.sweep import sweep
from personascope.prompts.labels import Options
from personascope.prompts.prompt import Prompt
from personascope.shapes import Features
from personascope.steering.interventions import add
from personascope.steering.random_directions import random_directions
from personascope.steering.stored_sweep import stored_sweep

MIN_RANDOM = 5
PROBE = "probe"
BASELINE = "baseline"


@dataclass(frozen=True)
class SweepAnswers:
    """Answers of every prompt in every cell of a sweep.

    Args:
        layers: swept layers; `coefficients` ascending, symmetric, with 0; `directions` names, "probe" first.
        kinds: for each direction "probe", "isotropic", "covariance-matched", or the kind of a further one.
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

    def of_rows(self, rows: np.ndarray) -> SweepAnswers:
        """The answers of some rows, by a mask or by their numbers."""
        return dataclasses.replace(
            self, option_logprobs=self.option_logprobs[rows], other_logmass=self.other_logmass[rows]
        )


@dataclass(frozen=True, eq=False)
class SweepGrid:
    """The cells of a sweep: every direction at every layer with every strength.

    Args:
        directions: for each layer the direction that is asked about, then the further ones, then the random ones.
        names: of the directions, "probe" first; `kinds` likewise.
        kinds: see `names`.
        coefficients: ascending, symmetric, with 0.
        where: position -> sign.
    """

    directions: tuple[tuple[Direction, ...], ...]
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    coefficients: tuple[float, ...]
    where: Mapping[str, float]

    @classmethod
    def of(
        cls,
        directions: Sequence[Direction],
        *,
        coefficients: Sequence[float],
        where: Mapping[str, float],
        features: Mapping[int, Features],
        n_random: int = MIN_RANDOM,
        seed: int = 0,
        further: Mapping[str, Sequence[Direction]] | None = None,
    ) -> SweepGrid:
        """The grid of one direction per layer with its controls.

        Args:
            directions: one per layer to be swept.
            coefficients: fractions of the mean residual norm; must contain 0 and both signs of every value.
            where: position -> sign, e.g. {"from:item": 1.0}, or {"mean:task_a": 1.0, "mean:task_b": -1.0} to push
                one task up and the other down.
            features: layer -> residual rows (row, d_model), for the covariance-matched random directions.
            n_random: random directions per layer, at least 5; two fifths of them covariance-matched.
            seed: of the random directions.
            further: by kind, one more direction per layer, e.g. "other layer": one that was fitted elsewhere.

        Raises:
            DataError: coefficients without zero or without both signs, fewer than 5 random directions, two directions
                at one layer, a further direction at another layer, no features.
        """
        grid = _checked_grid(coefficients, n_random, directions)
        others = dict(further or {})
        layers = [direction.layer for direction in directions]
        wrong = [kind for kind, own in others.items() if [direction.layer for direction in own] != layers]
        if wrong:
            raise DataError(
                f"The directions of kind {wrong[0]!r} are at other layers than {layers}.", "", "Give one for each."
            )
        n_matched = (2 * n_random) // 5
        per_layer = []
        for number, direction in enumerate(directions):
            per_layer.append(
                (
                    direction,
                    *(own[number] for own in others.values()),
                    *random_directions(direction, n_random - n_matched, seed=seed),
                    *random_directions(direction, n_matched, seed=seed, features=features[direction.layer]),
                )
            )
        return cls(
            directions=tuple(per_layer),
            names=(PROBE, *others, *(f"random {number}" for number in range(1, n_random + 1))),
            kinds=(PROBE, *others, *["isotropic"] * (n_random - n_matched), *["covariance-matched"] * n_matched),
            coefficients=grid,
            where=dict(where),
        )

    @property
    def layers(self) -> tuple[int, ...]:
        """Swept layers."""
        return tuple(own[0].layer for own in self.directions)

    def places(self) -> list[tuple[int, int, int]]:
        """(layer, direction, coefficient) of every steered cell, by number."""
        return [
            (layer, direction, coefficient)
            for layer in range(len(self.directions))
            for direction in range(len(self.names))
            for coefficient, value in enumerate(self.coefficients)
            if value != 0.0
        ]

    def cells(self, backend: Backend) -> dict[str, Cell]:
        """The baseline, and then every steered cell in the order of `places`, by name."""
        cells: dict[str, Cell] = {BASELINE: ()}
        for layer, number, place in self.places():
            direction, strength = self.directions[layer][number], self.coefficients[place]
            name = f"layer {self.layers[layer]}, {self.names[number]}, {strength:+g}"
            cells[name] = cell_of(strength * direction, self.where, backend)
        return cells

    def answers(
        self, option_logprobs: Float[np.ndarray, "row cell option"], other_logmass: Float[np.ndarray, "row cell"]
    ) -> SweepAnswers:
        """Answers in the order of `cells`, put into the grid."""
        shape = (len(option_logprobs), len(self.layers), len(self.names), len(self.coefficients))
        logprobs = np.empty((*shape, option_logprobs.shape[-1]), dtype=np.float32)
        other = np.empty(shape, dtype=np.float32)
        zero = self.coefficients.index(0.0)
        logprobs[:, :, :, zero], other[:, :, :, zero] = option_logprobs[:, :1, None], other_logmass[:, :1, None]
        for cell, place in enumerate(self.places(), start=1):
            logprobs[:, *place], other[:, *place] = option_logprobs[:, cell], other_logmass[:, cell]
        return SweepAnswers(self.layers, self.coefficients, self.names, self.kinds, logprobs, other)


def cell_of(direction: Direction, where: Mapping[str, float], backend: Backend) -> Cell:
    """The cell that adds a direction at every position with its sign.

    Raises:
        DirectionError: the direction was fitted on another model or has another width.
    """
    return tuple(
        add(sign * direction, position, model=backend.name, d_model=backend.d_model) for position, sign in where.items()
    )


def coefficient_sweep(
    model: Any,
    prompts: Sequence[Prompt],
    directions: Sequence[Direction],
    *,
    coefficients: Sequence[float],
    where: Mapping[str, float],
    options: Options,
    features: Mapping[int, Features],
    n_random: int = MIN_RANDOM,
    seed: int = 0,
    further: Mapping[str, Sequence[Direction]] | None = None,
) -> SweepAnswers:
    """Sweep strengths of one direction per layer, with random directions of the same length beside it.

    Args:
        model: a loaded model, or one of another library (see `as_backend`).
        prompts: closed questions that all have the positions of `where`.
        directions: one per layer to be swept.
        coefficients: see `SweepGrid.of`, with all that follow but `options`.
        where: position -> sign.
        options: the labels that are read.
        features: layer -> residual rows, for the covariance-matched random directions.
        n_random: random directions per layer, at least 5.
        seed: of the random directions.
        further: by kind, one more direction per layer.

    Raises:
        DataError: as `SweepGrid.of`.
        PersonascopeError: as `models.sweep.sweep`.
    """
    grid = SweepGrid.of(
        directions,
        coefficients=coefficients,
        where=where,
        features=features,
        n_random=n_random,
        seed=seed,
        further=further,
    )
    backend = as_backend(model)
    found = sweep(backend, prompts, list(grid.cells(backend).values()), options)
    return grid.answers(found.option_logprobs.numpy(), found.other_logmass.numpy())


def stored_coefficient_sweep(
    model: Any,
    rows: Sequence[Row],
    grid: SweepGrid,
    options: Options,
    folder: Path,
    *,
    context: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SweepAnswers:
    """The same, with every answer kept in a store: interrupted at any instant, it continues.

    Args:
        model: as for `coefficient_sweep`.
        rows: closed questions with ids and what is known of them, which the store keeps too.
        grid: what is done to them.
        options: the labels that are read.
        folder: of the store.
        context: hashes of data, for the store's key.
        progress: called with (answers there, answers in all).

    Raises:
        PersonascopeError: as `stored_sweep`.
    """
    backend = as_backend(model)
    cells = grid.cells(backend)
    store = stored_sweep(backend, rows, cells, options, folder, context=context, progress=progress)
    shape = (len(rows), len(cells))
    return grid.answers(store.option_logprobs.reshape(*shape, len(options.labels)), store.other_logmass.reshape(shape))


def _checked_grid(coefficients: Sequence[float], n_random: int, directions: Sequence[Direction]) -> tuple[float, ...]:
    grid = sorted({float(value) for value in coefficients})
    if 0.0 not in grid or any(-c not in grid for c in grid) or len(grid) < 3:
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
    return tuple(grid)
