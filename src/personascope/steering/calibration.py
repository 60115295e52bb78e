"""How far a model can be pushed before it breaks: norms of the residual stream, damage, and the usable range.

The range says up to which strength four guards see no damage. It does not say that a direction does anything there:
that takes a sweep of its read-outs beside the same random directions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from personascope.direction import Direction
from personascope.errors import DataError
from personascope.models.engine import HookEngine
from personascope.models.requests import require_layers
from personascope.shapes import Features
from personascope.steering.coefficient_sweep import MIN_RANDOM
from personascope.steering.damage import Asked, Baseline, Damage, measure_damage
from personascope.steering.interventions import require_fitted_on
from personascope.steering.random_directions import random_directions
from personascope.steering.token_norms import TokenNorm, token_norms, token_rows

GIVEN, ISOTROPIC, MATCHED = "given", "isotropic", "covariance-matched"
KINDS = (GIVEN, ISOTROPIC, MATCHED)
GUARDS = ("perplexity_ratio", "kl", "label_mass", "repetition")


@dataclass(frozen=True)
class Limits:
    """Where each guard stops; fields are named like the measures of `Damage`.

    Args:
        perplexity_ratio: at most; 1.25 is .22 nats a token. By the scaling law of Kaplan et al. (2020), loss ~ N^-.076,
            a model at 3 nats loses as much when it is shrunk to two fifths of its parameters.
        kl: at most, in nats a token; as much as the former, for changes that leave the passages' own words alone. By
            Pinsker's inequality at most sqrt(.25 / 2) = 35 % of the drawn tokens are then others than unsteered.
        label_mass: at least; below .8 of the unsteered mass a read-out that is normalised over the labels speaks for
            less than four fifths of what it spoke for.
        repetition: at most, added to the unsteered share; .2 is one run of four words in five.
    """

    perplexity_ratio: float = 1.25
    kl: float = 0.25
    label_mass: float = 0.8
    repetition: float = 0.2

    def holds(self, guard: str, value: float) -> bool:
        """Whether a measure is within its limit; a value that is no number is not."""
        limit = float(getattr(self, guard))
        return value >= limit if guard == "label_mass" else value <= limit


@dataclass(frozen=True)
class Measured:
    """What one push did. Measures are those of `Damage`; `length` is that of the vector added."""

    layer: int
    direction: str
    kind: str
    coefficient: float
    length: float
    perplexity_ratio: float
    kl: float
    label_mass: float
    repetition: float


@dataclass(frozen=True)
class UsableRange:
    """Largest strength at one layer up to which directions of one kind do no damage.

    Args:
        layer: 0-based block.
        kind: one of `KINDS`.
        usable: largest |coefficient| of the grid such that all guards hold there and at all smaller ones, for the worst
            direction of the kind in its worse sign; None when they fail at the smallest.
        stopped_at: the next one, where a guard fails; None when the grid ends before.
        stopped_by: guards that fail there.
    """

    layer: int
    kind: str
    usable: float | None
    stopped_at: float | None
    stopped_by: tuple[str, ...]


@dataclass(frozen=True)
class Calibration:
    """Norms, damage and usable ranges of one model at one position.

    Args:
        model: its name; `position` the tokens that were steered.
        norms: of those tokens and of the answer position, by layer.
        reference_norms: layer -> the length that coefficient 1 has: that of the given direction, else the mean norm.
        baseline: the unsteered model.
        limits: where the guards stop.
        measured: one entry per layer, direction and coefficient of both signs.
    """

    model: str
    position: str
    norms: tuple[TokenNorm, ...]
    reference_norms: dict[int, float]
    baseline: Baseline
    limits: Limits
    measured: tuple[Measured, ...]

    def frame(self) -> pl.DataFrame:
        """Every push: layer, direction, kind, coefficient, length and the four measures."""
        return pl.DataFrame([dataclasses.asdict(one) for one in self.measured])

    def norm_frame(self) -> pl.DataFrame:
        """Columns layer, position, mean, sd, n."""
        return pl.DataFrame([dataclasses.asdict(one) for one in self.norms])

    def guard_frame(self) -> pl.DataFrame:
        """Each guard by layer, kind and coefficient: median and worst over the directions, limit, whether it holds.

        The worst is nearest to damage, or beyond it; a measure that is no number is worse than any.
        """
        groups: dict[tuple[int, str, float], list[Measured]] = {}
        for one in self.measured:
            groups.setdefault((one.layer, one.kind, one.coefficient), []).append(one)
        lines = []
        for (layer, kind, coefficient), members in groups.items():
            for guard in GUARDS:
                values = np.array([getattr(one, guard) for one in members])
                worst = float(values.min() if guard == "label_mass" else values.max())  # NaN wins in both
                place = {"layer": layer, "kind": kind, "coefficient": coefficient, "guard": guard}
                found = {"median": float(np.median(values)), "worst": worst, "limit": getattr(self.limits, guard)}
                lines.append(place | found | {"holds": self.limits.holds(guard, worst), "n": len(members)})
        return pl.DataFrame(lines)

    def ranges(self) -> tuple[UsableRange, ...]:
        """The usable range of every layer and kind, by layer."""
        guards = self.guard_frame().with_columns(strength=pl.col("coefficient").abs())
        found = []
        for (layer, kind), own in guards.group_by("layer", "kind", maintain_order=True):
            strengths = own["strength"].unique().sort().to_list()
            failing = {
                strength: own.filter((pl.col("strength") == strength) & ~pl.col("holds"))["guard"].to_list()
                for strength in strengths
            }
            stop = next((index for index, strength in enumerate(strengths) if failing[strength]), len(strengths))
            stopped_at = strengths[stop] if stop < len(strengths) else None
            stopped_by = tuple(guard for guard in GUARDS if stopped_at is not None and guard in failing[stopped_at])
            usable = strengths[stop - 1] if stop else None
            found.append(UsableRange(int(str(layer)), str(kind), usable, stopped_at, stopped_by))
        return tuple(found)

    def range_frame(self) -> pl.DataFrame:
        """Columns layer, kind, usable, stopped_at (null: nowhere on the grid), stopped_by."""
        schema = {"layer": pl.Int64, "kind": pl.String, "usable": pl.Float64, "stopped_at": pl.Float64}
        rows = [dataclasses.asdict(one) | {"stopped_by": list(one.stopped_by)} for one in self.ranges()]
        return pl.DataFrame(rows, schema=schema | {"stopped_by": pl.List(pl.String)})


def calibrate(
    engine: HookEngine,
    directions: Sequence[Direction] = (),
    *,
    layers: Sequence[int] = (),
    where: str,
    coefficients: Sequence[float],
    asked: Asked,
    features: dict[int, Features] | None = None,
    n_random: int = MIN_RANDOM,
    limits: Limits | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Calibration:
    """Push a model along given and random directions, harder and harder, and see where it breaks.

    Args:
        engine: a loaded model.
        directions: at most one per layer; their own strengths are set aside.
        layers: further layers, at which random directions alone are pushed: the model's own tolerance.
        where: position that is steered; all prompts of `asked` must have it.
        coefficients: strengths as fractions of the reference norm, above 0; both signs of each are measured.
        asked: what the model reads and answers meanwhile.
        features: layer -> residual rows (row, d_model), for covariance-matched directions; without them, those of the
            steered tokens of the closed questions.
        n_random: random directions at each layer, at least 5; two fifths of them covariance-matched.
        limits: where the guards stop.
        seed: of the random directions.
        progress: called with (parts done, parts in all).

    Raises:
        DataError: no layer, two directions at one, coefficients that are not above 0, too few random directions, no
            prompts of some sort.
        DirectionError: a direction of another model or width.
        ModelError: a layer that the model does not have.
        SpanError: a prompt without the position.
    """
    for direction in directions:
        require_fitted_on(direction, engine.name, engine.d_model)
    given = {direction.layer: dataclasses.replace(direction, strength=1.0) for direction in directions}
    layers = sorted({*layers, *given})
    grid = _checked_grid(coefficients, n_random, len(directions), len(given), layers)
    require_layers(engine, layers)
    rows = token_rows(engine, asked.closed, layers, where)
    norms = token_norms(rows, where)
    if where != "answer":
        norms += token_norms(token_rows(engine, asked.closed, layers, "answer"), "answer")
    lengths = {norm.layer: norm.mean for norm in norms if norm.position == where}
    lengths |= {layer: direction.reference_norm for layer, direction in given.items()}
    done, measured, baseline = 0, list[Measured](), None

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, 3 * len(layers))

    for layer in layers:
        own = (features or rows)[layer]
        variants = _variants(engine, layer, where, given.get(layer), lengths[layer], own, n_random, seed)
        pushes = [(*named, sign * strength) for named in variants for strength in grid for sign in (1, -1)]
        damage = measure_damage(engine, [c * one for _, _, one, c in pushes], where, asked, step)
        measured += _entries(pushes, damage)
        baseline = baseline or damage.baseline
    assert baseline is not None
    return Calibration(engine.name, where, norms, lengths, baseline, limits or Limits(), tuple(measured))


def _checked_grid(
    coefficients: Sequence[float], n_random: int, n_directions: int, n_distinct: int, layers: Sequence[int]
) -> list[float]:
    grid = sorted({float(value) for value in coefficients})
    if not grid or not all(0 < value < math.inf for value in grid):
        raise DataError(
            f"The coefficients {grid} are not all finite and above 0.",
            "A strength is a fraction of the residual norm; both of its signs are measured.",
            "Give for example 0.05 0.1 0.2.",
        )
    if n_random < MIN_RANDOM:
        raise DataError(
            f"{n_random} random directions were asked for.",
            f"Fewer than {MIN_RANDOM} do not show how much a meaningless push of this length does.",
            f"Use at least {MIN_RANDOM}.",
        )
    if n_directions > n_distinct:
        raise DataError("Two directions lie at one layer.", "", "Calibrate them one by one.")
    if not layers:
        raise DataError("There is no layer to calibrate.", "", "Give directions, layers or both.")
    return grid


def _variants(
    engine: HookEngine,
    layer: int,
    where: str,
    given: Direction | None,
    length: float,
    rows: Features,
    n_random: int,
    seed: int,
) -> list[tuple[str, str, Direction]]:
    """(name, kind, direction) of everything that is pushed along at one layer."""
    axis = np.eye(1, engine.d_model, dtype=np.float32)[0]
    pattern = given or Direction(axis, layer, where, engine.name, length, means="nothing", fit="none")
    n_matched = (2 * n_random) // 5
    drawn = [
        *((ISOTROPIC, one) for one in random_directions(pattern, n_random - n_matched, seed=seed)),
        *((MATCHED, one) for one in random_directions(pattern, n_matched, seed=seed, features=rows)),
    ]
    named = [(f"random {number}", kind, one) for number, (kind, one) in enumerate(drawn, start=1)]
    return named if given is None else [(given.means, GIVEN, given), *named]


def _entries(pushes: Sequence[tuple[str, str, Direction, float]], damage: Damage) -> list[Measured]:
    return [
        Measured(
            direction.layer,
            name,
            kind,
            coefficient,
            abs(coefficient) * direction.reference_norm,
            **{guard: float(getattr(damage, guard)[index]) for guard in GUARDS},
        )
        for index, (name, kind, direction, coefficient) in enumerate(pushes)
    ]
