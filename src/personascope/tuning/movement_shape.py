"""Shape of a movement: its direction, length and rank order compared with the gap to the ideal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy import stats

from personascope.tuning.estimates import Estimate, estimate
from personascope.tuning.halves import (
    N_RESAMPLES,
    N_SPLITS,
    FirstStage,
    Halves,
    Shift,
    cross,
    first_stage,
    random_splits,
    resampled,
    split_halves,
)
from personascope.tuning.movement_items import movement_items

SHAPES = ("cosine", "norm_ratio", "orthogonal_share", "rank_correlation")


@dataclass(frozen=True)
class MovementShape:
    """How after - before lies to ideal - before over facets.

    Args:
        cosine: without error, from products between halves.
        norm_ratio: length of the movement by that of the gap, both without error; 0 where the movement is not longer
            than its error.
        orthogonal_share: share of the movement's squared length that does not lie along the gap, 1 - cosine^2. The
            sign of the cosine says whether the rest goes toward the ideal.
        rank_correlation: Spearman's rho without error, by the same correction (which for ranks is approximate).
        cosine_between_halves: cosine of the gap in one half with the movement in the other, error and all.
        ceiling: what that would be for a movement straight toward the ideal: the root of the product of both
            reliabilities (cosines between halves of the gap, and of the movement). `cosine` is the quotient of the two.
        gap_stage: agreement of the halves of the gap; where weak, nothing is given.
        movement_stage: likewise of the movement; where weak, only the norm ratio is given.
        facets: names.
        left_out: facets without two independent items of either key.
        n_items: items.
        n_clusters: their clusters.
        n_dropped: items that lack a measurement.
    """

    cosine: Estimate
    norm_ratio: Estimate
    orthogonal_share: Estimate
    rank_correlation: Estimate
    cosine_between_halves: float | None
    ceiling: float | None
    gap_stage: FirstStage
    movement_stage: FirstStage
    facets: tuple[str, ...]
    left_out: tuple[str, ...]
    n_items: int
    n_clusters: int
    n_dropped: int

    def frame(self) -> pl.DataFrame:
        """One row for each of `SHAPES`.

        Columns: statistic, value, low, high, naive_biased, refused, ceiling (of the cosine between halves), n_facets,
        n_items, n_clusters, n_dropped, left_out.
        """
        about = {"n_facets": len(self.facets), "n_items": self.n_items, "n_clusters": self.n_clusters}
        about |= {"n_dropped": self.n_dropped}
        rows: list[dict[str, Any]] = [
            {"statistic": name, **vars(getattr(self, name)), "ceiling": None, **about, "left_out": list(self.left_out)}
            for name in SHAPES
        ]
        rows[0]["ceiling"] = self.ceiling
        schema: dict[str, Any] = dict.fromkeys(("value", "low", "high", "naive_biased", "ceiling"), pl.Float64)
        return pl.DataFrame(rows, schema_overrides=schema | {"refused": pl.String, "left_out": pl.List(pl.String)})


def movement_shape(
    items: pl.DataFrame,
    *,
    before: str = "before",
    ideal: str = "ideal",
    after: str = "after",
    cluster: str | None = None,
    n_splits: int = N_SPLITS,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> MovementShape:
    """Direction, length and rank order of a movement, freed of the error that both sides share.

    With x = ideal - before and y = after - before in halves a and b, each product is taken between halves and averaged
    over splits: xx = sum x_a x_b, yy = sum y_a y_b, xy = (sum x_a y_b + sum x_b y_a) / 2. Then the cosine is
    xy / sqrt(xx yy), which is the correction for attenuation (Spearman 1904), and the norm ratio is sqrt(yy / xx). The
    rank correlation puts Spearman's rho between halves in place of xy, xx and yy. The plain cosine of a model that did
    not move is about 1/2 where scores are mostly error, for both differences share it.

    Arguments and errors are those of `gap_closed`; profiles are not centred, because a facet's pole is a convention.
    """
    data = movement_items(items, {"before": before, "ideal": ideal, "after": after}, cluster=cluster)
    masks = random_splits(data, n_splits=n_splits, seed=seed)
    halves = split_halves(data, masks)
    draws = resampled(data, masks, _statistics, n_resamples=n_resamples, seed=seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = _statistics(halves)
    x, y = halves.shift("ideal", "before"), halves.shift("after", "before")
    stages = [first_stage(s, centred=False, n_resamples=n_resamples, seed=seed) for s in (x, y)]
    weak = stages[0].refusal("ideal - before")
    still = weak or stages[1].refusal("after - before")
    naive = _naive(*data.profiles(("ideal", "before"), ("after", "before")).T)
    refusals = (still, weak, still, still)
    found = [estimate(values[k], draws[:, k], naive[k], refusals[k]) for k in range(len(SHAPES))]
    observed = ceiling = None
    if still is None:
        observed = float(np.median((_cosine(x.one, y.other) + _cosine(x.other, y.one)) / 2))
        ceiling = float(np.sqrt(max(0.0, stages[0].r * stages[1].r)))
    n_items, n_clusters = data.count()
    return MovementShape(
        cosine=found[0],
        norm_ratio=found[1],
        orthogonal_share=found[2],
        rank_correlation=found[3],
        cosine_between_halves=observed,
        ceiling=ceiling,
        gap_stage=stages[0],
        movement_stage=stages[1],
        facets=data.facets,
        left_out=data.left_out,
        n_items=n_items,
        n_clusters=n_clusters,
        n_dropped=data.n_dropped,
    )


def cosine_between(x: Shift, y: Shift) -> Float[np.ndarray, "*draw"]:
    """Cosine without error, not clipped; NaN where a squared length is not above 0."""
    return _disattenuated(*(cross(*pair) for pair in ((x, y), (x, x), (y, y))))


def length_ratio(y: Shift, x: Shift) -> Float[np.ndarray, "*draw"]:
    """Length of y by that of x, both without error; NaN where x has none, 0 where only y has none."""
    yy, xx = cross(y, y).mean(axis=-1), cross(x, x).mean(axis=-1)
    return np.asarray(np.sqrt(np.maximum(0, yy) / np.where(xx > 0, xx, np.nan)))


def _statistics(halves: Halves) -> Float[np.ndarray, "*draw 4"]:
    """The numbers of `SHAPES`, in their order."""
    x, y = halves.shift("ideal", "before"), halves.shift("after", "before")
    cosine = np.clip(cosine_between(x, y), -1, 1)
    a, b = (Shift(_centred_ranks(shift.one), _centred_ranks(shift.other)) for shift in (x, y))
    rhos = [(_cosine(u.one, v.other) + _cosine(u.other, v.one)) / 2 for u, v in ((a, b), (a, a), (b, b))]
    rank = np.clip(_disattenuated(*rhos), -1, 1)
    return np.stack([cosine, length_ratio(y, x), 1 - cosine**2, rank], axis=-1)


def _disattenuated(
    xy: Float[np.ndarray, "*draw split"], xx: Float[np.ndarray, "*draw split"], yy: Float[np.ndarray, "*draw split"]
) -> Float[np.ndarray, "*draw"]:
    """Quotient xy / sqrt(xx yy) of the means over splits; NaN where xx or yy is not above 0."""
    top, first, second = (product.mean(axis=-1) for product in (xy, xx, yy))
    return np.asarray(top / np.sqrt(np.where((first > 0) & (second > 0), first * second, np.nan)))


def _naive(x: Float[np.ndarray, " facet"], y: Float[np.ndarray, " facet"]) -> tuple[float, float, float, float]:
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = float(_cosine(x, y))
        rank = float(_cosine(_centred_ranks(x), _centred_ranks(y)))
        return cosine, float(np.sqrt((y @ y) / (x @ x))), 1 - cosine**2, rank


def _cosine(u: Float[np.ndarray, "*draw facet"], v: Float[np.ndarray, "*draw facet"]) -> Float[np.ndarray, "*draw"]:
    uv, uu, vv = (np.nan_to_num(product).sum(axis=-1) for product in (u * v, u * u, v * v))
    return np.asarray(uv / np.sqrt(uu * vv))


def _centred_ranks(values: Float[np.ndarray, "*draw facet"]) -> Float[np.ndarray, "*draw facet"]:
    """Ranks among the facets that a resample has, minus their mean."""
    ranks = stats.rankdata(values, axis=-1, nan_policy="omit")
    there = np.isfinite(values).sum(axis=-1, keepdims=True)
    return np.asarray(ranks - (there + 1) / 2)
