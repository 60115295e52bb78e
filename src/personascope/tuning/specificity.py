"""Toward its ideal, or just toward helpful? The same movement held against another persona."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.measures.intervals import percentile_interval
from personascope.tuning.estimates import Estimate, estimate
from personascope.tuning.halves import (
    N_RESAMPLES,
    N_SPLITS,
    Halves,
    first_stage,
    random_splits,
    resampled,
    split_halves,
)
from personascope.tuning.movement import GapClosed, gap_closed_of
from personascope.tuning.movement_items import movement_items
from personascope.tuning.movement_shape import cosine_between

_PAIRS = (("after", "ideal"), ("after", "other"), ("ideal", "other"))


@dataclass(frozen=True)
class Specificity:
    """Movement toward the ideal and toward another persona, on the same items.

    Args:
        ideal: gap closed toward the ideal.
        other: gap closed toward the other persona.
        partial_ideal: cosine of movement and gap to the ideal, without what both have along the gap to the other.
        partial_other: likewise the other way round.
        ideal_with_other: cosine of the two gaps. All three cosines are without error.
    """

    ideal: GapClosed
    other: GapClosed
    partial_ideal: Estimate
    partial_other: Estimate
    ideal_with_other: Estimate

    def frame(self) -> pl.DataFrame:
        """Five rows: gap closed and partial cosine toward either, and the cosine of the gaps.

        Columns: statistic, toward, given, value, low, high, naive_biased, refused, n_facets, n_items, n_clusters,
        n_dropped, left_out.
        """
        names = (self.ideal.toward, self.other.toward)
        found = (
            ("gap closed", names[0], None, self.ideal.whole.closed),
            ("gap closed", names[1], None, self.other.whole.closed),
            ("partial cosine", names[0], names[1], self.partial_ideal),
            ("partial cosine", names[1], names[0], self.partial_other),
            ("cosine of the gaps", names[0], names[1], self.ideal_with_other),
        )
        about: dict[str, Any] = {"n_facets": len(self.ideal.facets), "n_items": self.ideal.whole.n_items}
        about |= {"n_clusters": self.ideal.whole.n_clusters, "n_dropped": self.ideal.n_dropped}
        about["left_out"] = list(self.ideal.left_out)
        rows = [{"statistic": s, "toward": t, "given": g, **vars(e), **about} for s, t, g, e in found]
        schema: dict[str, Any] = dict.fromkeys(("value", "low", "high", "naive_biased"), pl.Float64)
        schema |= {"given": pl.String, "refused": pl.String, "left_out": pl.List(pl.String)}
        return pl.DataFrame(rows, schema_overrides=schema)


def specificity(
    items: pl.DataFrame,
    *,
    before: str = "before",
    ideal: str = "ideal",
    after: str = "after",
    other: str = "other",
    cluster: str | None = None,
    n_splits: int = N_SPLITS,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Specificity:
    """Gap closed toward the ideal and toward another persona, and each one's partial cosine given the other.

    With the cosines c between movement y, gap to the ideal x and gap to the other o, each from products between halves
    (`movement_shape`), the partial cosine is (c_yx - c_yo c_xo) / sqrt((1 - c_yo^2) (1 - c_xo^2)), a partial
    correlation through the origin (Yule 1907). Where the interval of a cosine in the denominator reaches 1 in size,
    what remains cannot be told from nothing and the partial cosine is refused: the ideal is not told apart from the
    other, or the movement lies wholly along one of them.

    Args:
        items: as for `gap_closed`.
        before: column of the model as itself before training.
        ideal: column of its ideal self before training.
        after: column of the model as itself after training.
        other: column of the other persona before training, for example helpful.
        cluster: column of near duplicates.
        n_splits: random splits.
        n_resamples: bootstrap resamples.
        seed: of splits and resamples.

    Raises:
        DataError: as `movement_items`; also when other and ideal hold the same scores.
    """
    data = movement_items(items, {"before": before, "ideal": ideal, "after": after, "other": other}, cluster=cluster)
    settings = {"n_splits": n_splits, "n_resamples": n_resamples, "seed": seed}
    gaps = (gap_closed_of(data, "ideal", ideal, **settings), gap_closed_of(data, "other", other, **settings))
    masks = random_splits(data, n_splits=n_splits, seed=seed)
    halves = split_halves(data, masks)
    draws = resampled(data, masks, _cosines, n_resamples=n_resamples, seed=seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = _cosines(halves)
    stages = {
        name: first_stage(halves.shift(name, "before"), centred=False, n_resamples=n_resamples, seed=seed)
        for name in ("ideal", "other", "after")
    }
    weak = {name: stage.refusal(f"{name} - before") for name, stage in stages.items()}
    apart = [_not_apart(draws[:, k], f"{a} - before", f"{b} - before") for k, (a, b) in enumerate(_PAIRS)]
    any_weak = weak["ideal"] or weak["other"] or weak["after"]
    naive = _naive(data.profiles(("after", "before"), ("ideal", "before"), ("other", "before")))
    bounded = np.clip(draws, -1, 1)
    every = np.concatenate([np.clip([values, naive], -1, 1), bounded])
    toward_ideal = _partial_estimate(every, any_weak or apart[2] or apart[1])
    toward_other = _partial_estimate(every[:, [1, 0, 2]], any_weak or apart[2] or apart[0])
    both = estimate(float(every[0, 2]), bounded[:, 2], float(naive[2]), weak["ideal"] or weak["other"])
    return Specificity(*gaps, toward_ideal, toward_other, both)


def _cosines(halves: Halves) -> Float[np.ndarray, "*draw 3"]:
    """Cosines of `_PAIRS` of shifts from "before", without error and not clipped."""
    return np.stack([cosine_between(*(halves.shift(name, "before") for name in pair)) for pair in _PAIRS], axis=-1)


def _naive(profile: Float[np.ndarray, "facet 3"]) -> Float[np.ndarray, " 3"]:
    """The same cosines of the plain profiles of after, ideal and other."""
    moments = profile.T @ profile
    with np.errstate(divide="ignore", invalid="ignore"):
        cosines = moments / np.sqrt(np.outer(moments.diagonal(), moments.diagonal()))
    return np.asarray(cosines[[0, 0, 1], [1, 2, 2]])


def _partial_estimate(cosines: Float[np.ndarray, "row 3"], refused: str | None) -> Estimate:
    """Partial cosine of y and x given o from c_yx, c_yo, c_xo. Rows: the estimate, the plain profiles, resamples."""
    c_yx, c_yo, c_xo = cosines.T
    rest = (1 - c_yo**2) * (1 - c_xo**2)
    partial = np.clip((c_yx - c_yo * c_xo) / np.sqrt(np.where(rest > 0, rest, np.nan)), -1, 1)
    return estimate(float(partial[0]), partial[2:], float(partial[1]), refused)


def _not_apart(cosines: Float[np.ndarray, " resample"], first: str, second: str) -> str | None:
    """Why two directions are not told apart: the interval of their cosine, not clipped, reaches 1 in size."""
    low, high = percentile_interval(cosines)
    if low is None or high is None or low <= -1 or high >= 1:
        return f"{first} and {second} are not told apart: the interval of their cosine reaches 1 in size"
    return None
