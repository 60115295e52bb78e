"""Selectivity: whether steering a facet moves that facet, and how much it moves all others.

For a direction d, a measured facet f and strength c, with A+ and A- the mean agreement with the facet's + and - items:

    positive(d, f) = (A+(c) - A+(-c)) / 2,   negative(d, f) = (A-(c) - A-(-c)) / 2
    effect(d, f) = (positive - negative) / 2                   half the difference of the trait score at +c and -c
    acquiescence(d, f) = (positive + negative) / 2             yea-saying, which moves no trait
    selectivity(d) = effect(d, own) - mean over f != own of |effect(d, f)|
    index = mean over the directions that have a facet of selectivity(d)

Noise adds to |effect| and not to the own effect, so that an index above 0 is earned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from personascope.errors import ActivationError, DataError, nearest
from personascope.measures.intervals import resampled_means
from personascope.probes.bootstrap import percentile_interval

_TIE = 1e-12
Matrix = Float[np.ndarray, "direction facet"]


@dataclass(frozen=True, eq=False)
class Selectivity:
    """Effects of directions on facets.

    Args:
        directions: names, in the order of the rows.
        steered: facet that each direction stands for; None for a random direction.
        facets: measured facets, in the order of the columns.
        coefficient: strength c.
        keyed: `positive` and `negative`, shape (key, direction, facet).
        draws: the same in each resample of a bootstrap over items within facet and key.
        n_items: items of each facet and key, shape (facet, key).
    """

    directions: tuple[str, ...]
    steered: tuple[str | None, ...]
    facets: tuple[str, ...]
    coefficient: float
    keyed: Float[np.ndarray, "key=2 direction facet"]
    draws: Float[np.ndarray, "resample key=2 direction facet"]
    n_items: Int[np.ndarray, "facet key=2"]

    @property
    def effect(self) -> Matrix:
        """The matrix of trait effects, shape (direction, facet)."""
        return np.asarray((self.keyed[0] - self.keyed[1]) / 2)

    @property
    def effect_draws(self) -> Float[np.ndarray, "resample direction facet"]:
        """Trait effects in each resample."""
        return np.asarray((self.draws[:, 0] - self.draws[:, 1]) / 2)

    @property
    def has_interval(self) -> bool:
        """Whether the spread over items can be seen in every facet: at least two items of either key."""
        return bool(self.n_items.min() > 1)

    @property
    def rows(self) -> Int[np.ndarray, " steered"]:
        """Rows of the directions that stand for a facet."""
        return np.array([row for row, facet in enumerate(self.steered) if facet is not None], dtype=np.int64)

    @property
    def own(self) -> Int[np.ndarray, " steered"]:
        """Column of the own facet of each of `rows`."""
        return np.array([self.facets.index(facet) for facet in self.steered if facet is not None], dtype=np.int64)

    def frame(self) -> pl.DataFrame:
        """One row for each direction and measured facet.

        Columns direction, steered (null for a random direction), facet, own, coefficient, effect, low, high, then
        positive, negative and acquiescence with their _low and _high, and n_items. Percentile bootstrap; ends are
        null where a key of the facet has one item.
        """
        positive, negative = self.keyed
        named: dict[str, tuple[Any, Any]] = {
            "effect": (self.effect, self.effect_draws),
            "positive": (positive, self.draws[:, 0]),
            "negative": (negative, self.draws[:, 1]),
            "acquiescence": ((positive + negative) / 2, self.draws.mean(axis=1)),
        }
        row, column = (index.reshape(-1) for index in np.indices(self.effect.shape))
        steered = [self.steered[r] for r in row]
        facet = [self.facets[f] for f in column]
        seen = (self.n_items.min(axis=1) > 1)[column]
        table: dict[str, Any] = {
            "direction": [self.directions[r] for r in row],
            "steered": pl.Series(steered, dtype=pl.String),
            "facet": facet,
            "own": [one == other for one, other in zip(steered, facet, strict=True)],
            "coefficient": [self.coefficient] * len(row),
        }
        for name, (value, draws) in named.items():
            ends = np.where(seen, percentile_interval(draws).reshape(2, -1), np.nan)
            prefix = "" if name == "effect" else f"{name}_"
            table[name] = value.reshape(-1)
            for end, values in zip(("low", "high"), ends, strict=True):
                table[f"{prefix}{end}"] = pl.Series(values, nan_to_null=True)
        return pl.DataFrame({**table, "n_items": self.n_items.sum(axis=1)[column]})

    def by_direction(self) -> pl.DataFrame:
        """One row for each direction that stands for a facet, beside the random directions.

        Columns direction, steered, own_effect, keys_agree (+ items rise and - items fall, or the reverse), off_diagonal
        (mean |effect| on other facets), selectivity, low, high (null where a key of any facet has one item), rank (1:
        no other facet moves as much, in either sense, as the own facet rises), n_facets, random_largest (largest
        |effect| of a random direction on the own facet; null without any), n_random,
        p = (1 + #{random |effect| on the own facet >= |own effect|}) / (1 + n_random).
        """
        effect, rows, own = self.effect, self.rows, self.own
        random = np.abs(np.delete(effect, rows, axis=0))
        ends = percentile_interval(self.selectivity_draws())
        low, high = (pl.Series(end if self.has_interval else [None] * len(rows), dtype=pl.Float64) for end in ends)
        matrix, hits = selectivities(effect[rows]), effect[rows, own]
        others = np.abs(effect[rows])
        others[np.arange(len(rows)), own] = -np.inf
        n = len(random)
        beyond = (random[:, own] >= np.abs(hits) - _TIE).sum(axis=0)
        value = matrix[np.arange(len(rows)), own]
        return pl.DataFrame(
            {
                "direction": [self.directions[r] for r in rows],
                "steered": [self.facets[f] for f in own],
                "own_effect": hits,
                "keys_agree": self.keyed[0][rows, own] * self.keyed[1][rows, own] < 0,
                "off_diagonal": hits - value,
                "selectivity": value,
                "low": low,
                "high": high,
                "rank": 1 + (others > hits[:, None]).sum(axis=1),
                "n_facets": [len(self.facets)] * len(rows),
                "random_largest": random[:, own].max(axis=0) if n else pl.Series([None] * len(rows), dtype=pl.Float64),
                "n_random": [n] * len(rows),
                "p": (1 + beyond) / (1 + n) if n else pl.Series([None] * len(rows), dtype=pl.Float64),
            }
        )

    def selectivity_draws(self) -> Float[np.ndarray, "resample steered"]:
        """Selectivity of each of `rows` in each resample, with the signs of the other facets' effects held.

        Resampling adds its noise to that of the data, and absolute values of noise grow with it: free signs would
        pull the whole interval below the estimate.
        """
        rows, own = self.rows, self.own
        draws, at = self.effect_draws[:, rows], np.arange(len(rows))
        weights = -np.sign(self.effect[rows]) / (len(self.facets) - 1)
        weights[at, own] = 1.0
        return np.asarray(np.einsum("rdf,df->rd", draws, weights))


def selectivity(
    agreement: Float[np.ndarray, "item direction coefficient"],
    facet: Sequence[str],
    key: Int[np.ndarray, " item"],
    *,
    directions: Sequence[str],
    steered: Sequence[str | None],
    coefficients: Sequence[float],
    at: float,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Selectivity:
    """Effects of every direction on every measured facet at one strength.

    Args:
        agreement: raw agreement in [-1, 1] with each item (mean of both anchor orders), not turned by key.
        facet: facet of each item; columns come in order of first appearance.
        key: +1 or -1 of each item.
        directions: names of the second axis.
        steered: facet that each direction stands for, None for a random direction.
        coefficients: of the third axis.
        at: strength c > 0; both c and -c must be among the coefficients.
        n_resamples: bootstrap resamples over items within facet and key; directions and facets share them.
        seed: of the bootstrap.

    Raises:
        DataError: lengths that do not fit, c or -c not swept, a facet with items of one key, fewer than two facets, a
            steered facet that is not measured or has two directions, no direction that stands for a facet.
        ActivationError: agreement that is NaN or infinite.
    """
    names = tuple(dict.fromkeys(facet))
    _check_axes(agreement, facet, key, directions, coefficients)
    _check_names(names, steered, coefficients, at)
    grid = list(coefficients)
    half = (agreement[:, :, grid.index(at)] - agreement[:, :, grid.index(-at)]).astype(np.float64) / 2
    cells = 2 * np.array([names.index(name) for name in facet]) + (key == -1)
    n_items = np.bincount(cells, minlength=2 * len(names)).reshape(-1, 2)
    if (n_items == 0).any():
        lacking = names[int(np.argmax((n_items == 0).any(axis=1)))]
        raise DataError(
            f"Facet {lacking!r} has items of one key only.", "Trait and yea-saying coincide.", "Add items, or drop it."
        )
    shape = (len(names), 2, len(directions))
    means = np.stack([half[cells == cell].mean(axis=0) for cell in range(2 * len(names))]).reshape(shape)
    draws = resampled_means(half, cells, np.arange(len(cells)), n_resamples=n_resamples, seed=seed, within=False)
    return Selectivity(
        tuple(directions),
        tuple(steered),
        names,
        float(at),
        means.transpose(1, 2, 0),
        draws.reshape(n_resamples, *shape).transpose(0, 2, 3, 1),
        n_items,
    )


def selectivities(effect: Matrix) -> Matrix:
    """What the selectivity of each row would be if each column in turn were its own facet."""
    size = np.abs(effect)
    return np.asarray(effect - (size.sum(axis=1, keepdims=True) - size) / (effect.shape[1] - 1))


def _check_axes(
    agreement: Float[np.ndarray, "item direction coefficient"],
    facet: Sequence[str],
    key: Int[np.ndarray, " item"],
    directions: Sequence[str],
    coefficients: Sequence[float],
) -> None:
    lengths = (len(facet), len(directions), len(coefficients))
    if agreement.shape != lengths or len(key) != len(facet) or not np.isin(key, (1, -1)).all():
        raise DataError(
            f"Agreement of shape {agreement.shape} for (items, directions, coefficients) = {lengths}, {len(key)} keys.",
            "Each item has a facet and a key of +1 or -1.",
            "Pass one entry for each.",
        )
    bad = ~np.isfinite(agreement).all(axis=(1, 2))
    if bad.any():
        raise ActivationError(
            f"Item {int(np.argmax(bad))} has NaN or infinite agreement ({int(bad.sum())} of {len(bad)} items).",
            "The push drove the logits out of range, or the item was never asked.",
            "Sweep smaller coefficients, or leave the item out and say so.",
        )


def _check_names(
    names: tuple[str, ...], steered: Sequence[str | None], coefficients: Sequence[float], at: float
) -> None:
    facets = [name for name in steered if name is not None]
    unknown = [name for name in facets if name not in names]
    if unknown:
        raise DataError(
            f"The steered facet {unknown[0]!r} is not measured.{nearest(unknown[0], names)}",
            "Without its items its own effect cannot be told from the others.",
            "Ask its items.",
        )
    if len(names) < 2 or not facets or len(set(facets)) < len(facets):
        raise DataError(
            f"{len(names)} measured facets and directions for {facets}.",
            "Selectivity compares one direction's own facet with at least one other.",
            "Measure two facets or more, and give each facet one direction.",
        )
    if not at > 0 or at not in coefficients or -at not in coefficients:
        raise DataError(
            f"The strength {at} is not among the coefficients {list(coefficients)} with both signs.",
            "An effect is half the difference of both signs.",
            "Choose a swept strength above 0.",
        )
