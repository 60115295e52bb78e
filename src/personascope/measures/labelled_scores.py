"""Scores of labelled texts at one place (set, turn, position, layer, scorer), and statistics of how labels differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy import stats

from personascope.errors import DataError, nearest
from personascope.measures.contrasts import sign_flip_p
from personascope.measures.multiplicity import N_FLIPS
from personascope.measures.tables import require_columns, require_unique

PLACE = ("set", "turn", "position", "layer", "scorer")
"""What is compared across personas; personas are compared within a place."""

Weights: TypeAlias = tuple[Float[np.ndarray, "draw positive"], Float[np.ndarray, "draw negative"]]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Scores of one persona at one place; paired texts stand in the same order in both arrays."""

    positive: Float[np.ndarray, " positive"]
    negative: Float[np.ndarray, " negative"]
    items: tuple[str, ...]
    paired: bool

    @property
    def n(self) -> int:
        """Pairs; the smaller label's texts where unpaired."""
        return min(len(self.positive), len(self.negative))

    def minus(self, other: Labelled) -> Labelled:
        """Each text's score under this persona minus that under the other."""
        return replace(self, positive=self.positive - other.positive, negative=self.negative - other.negative)


def labelled_places(scores: pl.DataFrame, reference: str) -> Iterator[tuple[dict[str, Any], dict[str, Labelled]]]:
    """Each place with its personas' scores.

    Raises:
        DataError: missing columns or values, an item twice, a pair without both labels, personas with different items,
            an unknown reference, fewer than two texts of a label.
    """
    columns = [*PLACE, "persona", "item", "pair", "positive", "score"]
    require_columns(scores, columns, may_be_null=["pair", "position", "layer"])
    require_unique(scores, [*PLACE, "persona", "item"])
    for key, part in scores.group_by(*PLACE, maintain_order=True):
        found = {
            str(persona): _labelled(rows, {**dict(zip(PLACE, key, strict=True)), "persona": persona})
            for (persona,), rows in part.group_by("persona", maintain_order=True)
        }
        place = dict(zip(PLACE, key, strict=True))
        if reference not in found:
            raise DataError(
                f"There are no scores of the reference {reference!r} at {place}.{nearest(reference, found)}",
                f"Personas there are {', '.join(found)}.",
                "Score it at every place, or name another reference.",
            )
        for persona, labelled in found.items():
            if labelled.items != found[reference].items:
                odd = sorted(set(labelled.items) ^ set(found[reference].items))
                raise DataError(
                    f"Personas {persona!r} and {reference!r} have different items or pairs at {place}"
                    + (f", such as {odd[0]!r}." if odd else "."),
                    "Effects are compared on the same texts.",
                    "Score every text under every persona.",
                )
        yield place, found


def _labelled(rows: pl.DataFrame, where: Mapping[str, Any]) -> Labelled:
    rows = rows.sort("pair", "item")
    sides = [rows.filter(pl.col("positive") == side) for side in (True, False)]
    paired = rows["pair"].null_count() == 0
    if rows["pair"].null_count() not in (0, rows.height):
        raise DataError(f"Some items have a pair and some have none at {where}.", "", "Pair all items or none.")
    if paired and (sides[0]["pair"].to_list() != sides[1]["pair"].to_list() or sides[0]["pair"].is_duplicated().any()):
        odd = sorted(set(sides[0]["pair"]) ^ set(sides[1]["pair"]))
        raise DataError(
            f"Pairs are not one positive and one negative item each at {where}"
            + (f": {odd[0]!r} has one label only." if odd else "."),
            "A paired difference needs both.",
            "Score both texts of each pair.",
        )
    if min(side.height for side in sides) < 2:
        raise DataError(
            f"{sides[0].height} positive and {sides[1].height} negative items at {where}.",
            "A standard deviation needs two of each label.",
            "Score more texts.",
        )
    high, low = (side["score"].to_numpy().astype(np.float64) for side in sides)
    items = tuple(str(item) for side in sides for item in side["item"])
    return Labelled(high, low, items, paired)


def resampling_weights(labelled: Labelled, n: int, seed: int) -> Weights:
    """How often each text counts; the first row is the sample itself. Both texts of a pair are drawn together."""
    rng = np.random.default_rng(seed)
    drawn = []
    for size in (len(labelled.positive), len(labelled.negative)):
        counts = rng.multinomial(size, np.full(size, 1 / size), size=n)
        drawn.append(np.concatenate([np.ones((1, size)), counts]).astype(np.float64))
    return (drawn[0], drawn[0]) if labelled.paired else (drawn[0], drawn[1])


def resampled_effects(labelled: Labelled, yard: Labelled, weights: Weights) -> dict[str, Float[np.ndarray, " draw"]]:
    """Every statistic in the sample (first) and in each resample; NaN where its denominator is zero."""
    high, low = weights
    difference = _mean(labelled.positive, high) - _mean(labelled.negative, low)
    sd = _pooled_sd(yard, weights)
    found = {"difference": difference, "sd_reference": sd, "d_paired": difference / _or_nan(sd)}
    found["d"] = difference / _or_nan(_pooled_sd(labelled, weights))
    if labelled.paired:
        found["d_z"] = difference / _or_nan(np.sqrt(_variance(labelled.positive - labelled.negative, high)))
    above = np.sign(labelled.positive[:, None] - labelled.negative) / 2 + 0.5
    found["auc"] = ((high @ above) * low).sum(axis=1) / (high.sum(axis=1) * low.sum(axis=1))
    return found


def label_p(labelled: Labelled, seed: int) -> float:
    """Two-sided p from flipping the signs of pairs' differences, or from exchanging labels where unpaired."""
    if labelled.paired:
        return sign_flip_p(labelled.positive - labelled.negative, seed=seed)
    test = stats.permutation_test(
        (labelled.positive, labelled.negative),
        lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
        vectorized=True,
        n_resamples=N_FLIPS,
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def _mean(values: np.ndarray, weights: np.ndarray) -> Float[np.ndarray, " draw"]:
    return np.asarray(weights @ values / weights.sum(axis=1))


def _variance(values: np.ndarray, weights: np.ndarray) -> Float[np.ndarray, " draw"]:
    """Sample variance of each resample, with n - 1; exactly zero where only one value was drawn."""
    n = weights.sum(axis=1)
    centred = values - values.mean()
    centred = np.where(np.abs(centred) > 1e-12 * np.abs(values).max(initial=0.0), centred, 0.0)
    spread = weights @ centred**2 - (weights @ centred) ** 2 / n
    return np.asarray(np.where(spread > 1e-12 * (weights @ centred**2), spread, 0.0) / (n - 1))


def _pooled_sd(labelled: Labelled, weights: Weights) -> Float[np.ndarray, " draw"]:
    """Square root of the variances within the labels, weighted by their degrees of freedom."""
    parts = [
        (_variance(v, w), w.shape[1] - 1) for v, w in zip((labelled.positive, labelled.negative), weights, strict=True)
    ]
    return np.asarray(np.sqrt(sum(s * df for s, df in parts) / sum(df for _, df in parts)))


def _or_nan(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(values > 0, values, np.nan))
