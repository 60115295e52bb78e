"""Steering curves: a read-out of every pair or item in every cell of a sweep, and its mean with an interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from personascope.errors import ActivationError, DataError
from personascope.measures.intervals import resampled_means
from personascope.probes.bootstrap import percentile_interval
from personascope.steering.coefficient_sweep import SweepAnswers

N_RESAMPLES = 1000
EFFECTS = ("amplification", "suppression", "swing")


@dataclass(frozen=True, eq=False)
class Curves:
    """A read-out v of each unit (pair of tasks, item) in each cell; the curve is sum_s weight_s mean(v in stratum s).

    Choices have one stratum of weight 1. A facet has its + and - items as strata of weight 1/2 and -1/2, so that the
    curve is the trait; resampling within strata keeps the numbers of either key.

    Args:
        read_out: what the numbers are.
        layers: swept layers.
        coefficients: ascending, symmetric about the 0 that is among them.
        directions: names; `kinds` says what each is ("probe", "isotropic", ...).
        kinds: see above.
        units: number of each unit, ascending.
        values: shape (unit, layer, direction, coefficient).
        mass: probability on the labels, likewise.
        strata: stratum of each unit, from 0.
        weights: of each stratum.

    Raises:
        DataError: a grid that is not symmetric.
        ActivationError: values that are NaN or infinite.
    """

    read_out: str
    layers: tuple[int, ...]
    coefficients: tuple[float, ...]
    directions: tuple[str, ...]
    kinds: tuple[str, ...]
    units: Int[np.ndarray, " unit"]
    values: Float[np.ndarray, "unit layer direction coefficient"]
    mass: Float[np.ndarray, "unit layer direction coefficient"]
    strata: Int[np.ndarray, " unit"]
    weights: Float[np.ndarray, " stratum"]

    def __post_init__(self) -> None:
        grid = list(self.coefficients)
        if grid != sorted(set(grid)) or 0.0 not in grid or grid != [-c for c in reversed(grid)]:
            raise DataError(
                f"The coefficients {grid} are not ascending and symmetric about a 0 among them.",
                "The push on the other task is read at the same coefficient with the other sign.",
                "Sweep both signs of every value, and 0.",
            )
        bad = ~np.isfinite(self.values).all(axis=(1, 2, 3))
        if bad.any():
            raise ActivationError(
                f"{self.read_out}: unit {self.units[bad][0]} has a NaN or infinite value ({int(bad.sum())} such).",
                "The push drove the logits out of range, or no label has any probability.",
                "Sweep smaller coefficients, or leave the unit out and say so.",
            )

    @classmethod
    def of_rows(
        cls,
        answers: SweepAnswers,
        read_out: str,
        rows: Float[np.ndarray, "row layer direction coefficient"],
        mass: Float[np.ndarray, "row layer direction coefficient"],
        unit: Int[np.ndarray, " row"],
        keys: Int[np.ndarray, " row"] | None = None,
    ) -> Curves:
        """Average rows into units. `keys` (+1/-1, one for each row) makes + and - items the strata of a trait."""
        units, code, size = np.unique(unit, return_inverse=True, return_counts=True)
        sums = np.zeros((2, len(units), *rows.shape[1:]))
        np.add.at(sums[0], code, rows)
        np.add.at(sums[1], code, mass)
        values, masses = sums / size[:, None, None, None]
        strata, weights = np.zeros(len(units), dtype=np.int64), np.ones(1)
        if keys is not None:
            strata[code] = np.where(keys == 1, 0, 1)
            weights = np.array([0.5, -0.5])
        grid = tuple(float(c) for c in answers.coefficients)
        return cls(
            read_out, answers.layers, grid, answers.directions, answers.kinds, units, values, masses, strata, weights
        )

    @property
    def value(self) -> Float[np.ndarray, "layer direction coefficient"]:
        """The curve itself."""
        return np.asarray(np.tensordot(self.weights, self.stratum_means, 1))

    @property
    def stratum_means(self) -> Float[np.ndarray, "stratum layer direction coefficient"]:
        """Mean over the units of each stratum."""
        return np.stack([self.values[self.strata == s].mean(axis=0) for s in range(len(self.weights))])

    def draws(
        self, n_resamples: int = N_RESAMPLES, seed: int = 0
    ) -> Float[np.ndarray, "resample layer direction coefficient"]:
        """The curve in each resample of a bootstrap over units within strata; cells share the resamples."""
        shape, n = self.values.shape[1:], len(self.units)
        means = resampled_means(
            self.values.reshape(n, -1), self.strata, np.arange(n), n_resamples=n_resamples, seed=seed, within=False
        )
        return np.asarray(np.einsum("rsc,s->rc", means, self.weights)).reshape(n_resamples, *shape)

    def frame(
        self, pair_type: Mapping[int, str] | None = None, *, n_resamples: int = N_RESAMPLES, seed: int = 0
    ) -> pl.DataFrame:
        """The curve of all units, or one for each pair type.

        Args:
            pair_type: type of every unit by its number, such as "benign-benign".
            n_resamples: bootstrap resamples over units.
            seed: of the bootstrap.

        Returns:
            Columns (pair_type,) read_out, layer, direction, control, coefficient, value, low, high (95 % percentile
            bootstrap; null where a stratum has one unit, whose spread cannot be seen), n (units), label_mass.

        Raises:
            DataError: a unit without a type, or a type that lacks a whole stratum.
        """
        parts = []
        for name, part in self._by_type(pair_type).items():
            draws = part.draws(n_resamples, seed)
            cells = part._cells(part.value, draws, part.mass.mean(axis=0), part.coefficients)
            parts.append(cells if name is None else cells.select(pl.lit(name).alias("pair_type"), pl.all()))
        return pl.concat(parts)

    def effects(
        self, pair_type: Mapping[int, str] | None = None, *, n_resamples: int = N_RESAMPLES, seed: int = 0
    ) -> pl.DataFrame:
        """What each strength c > 0 does, seen from the unsteered answers.

            amplification = v(+c) - v(0),   suppression = v(0) - v(-c),   swing = v(+c) - v(-c) = their sum

        Arguments and errors are those of `frame`.

        Returns:
            The columns of `frame` with `effect` after read_out; label_mass is the lowest of the compared cells.
        """
        zero = self.coefficients.index(0.0)
        plus, minus = np.arange(zero + 1, len(self.coefficients)), np.arange(zero)[::-1]
        middle = np.full(zero, zero)
        ends = dict(zip(EFFECTS, ((plus, middle), (middle, minus), (plus, minus)), strict=True))
        parts = []
        for name, part in self._by_type(pair_type).items():
            draws, value, mass = part.draws(n_resamples, seed), part.value, part.mass.mean(axis=0)
            for effect, (upper, lower) in ends.items():
                cells = part._cells(
                    value[..., upper] - value[..., lower],
                    draws[..., upper] - draws[..., lower],
                    np.minimum(mass[..., upper], mass[..., lower]),
                    part.coefficients[zero + 1 :],
                )
                cells = cells.select("read_out", pl.lit(effect).alias("effect"), pl.all().exclude("read_out"))
                parts.append(cells if name is None else cells.select(pl.lit(name).alias("pair_type"), pl.all()))
        return pl.concat(parts)

    def subset(self, keep: Bool[np.ndarray, " unit"]) -> Curves:
        """The curves of some units.

        Raises:
            DataError: a stratum is left without units.
        """
        part = replace(
            self, units=self.units[keep], values=self.values[keep], mass=self.mass[keep], strata=self.strata[keep]
        )
        if len(set(part.strata.tolist())) < len(self.weights):
            raise DataError(
                f"{int(keep.sum())} of {len(keep)} units of {self.read_out!r} lack a whole stratum.",
                "A curve needs units of every kind that it weighs, such as items of both keys.",
                "Take more units together.",
            )
        return part

    def _by_type(self, pair_type: Mapping[int, str] | None) -> dict[str | None, Curves]:
        if pair_type is None:
            return {None: self}
        untyped = [number for number in self.units.tolist() if number not in pair_type]
        if untyped:
            raise DataError(
                f"{len(untyped)} of {len(self.units)} pairs have no type, first {untyped[0]}.",
                "A pair left out unseen would change the rest.",
                "Give every pair a type.",
            )
        types = np.array([pair_type[number] for number in self.units.tolist()])
        return {str(name): self.subset(types == name) for name in np.unique(types)}

    def _cells(
        self,
        value: Float[np.ndarray, "layer direction c"],
        draws: Float[np.ndarray, "resample layer direction c"],
        mass: Float[np.ndarray, "layer direction c"],
        coefficients: tuple[float, ...],
    ) -> pl.DataFrame:
        """Long frame, one row for each cell."""
        low, high = percentile_interval(draws)
        seen = bool(np.bincount(self.strata).min() > 1)
        layer, direction, coefficient = (index.reshape(-1) for index in np.indices(value.shape))
        return pl.DataFrame(
            {
                "read_out": [self.read_out] * value.size,
                "layer": np.array(self.layers)[layer],
                "direction": np.array(self.directions)[direction],
                "control": np.array(self.kinds)[direction],
                "coefficient": np.array(coefficients)[coefficient],
                "value": value.reshape(-1),
                "low": low.reshape(-1) if seen else [None] * value.size,
                "high": high.reshape(-1) if seen else [None] * value.size,
                "n": [len(self.units)] * value.size,
                "label_mass": mass.reshape(-1),
            },
            schema_overrides={"low": pl.Float64, "high": pl.Float64},
        )
