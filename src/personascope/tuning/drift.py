"""Whether the ideal stayed where it was, and how far the trained model still is from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.measures.equivalence import BOUND, equivalence
from personascope.tuning.estimates import Estimate, estimate
from personascope.tuning.halves import (
    N_RESAMPLES,
    N_SPLITS,
    Halves,
    cross,
    first_stage,
    random_splits,
    resampled,
    split_halves,
)
from personascope.tuning.movement_items import movement_items
from personascope.tuning.movement_shape import length_ratio

ALL = "all facets"


@dataclass(frozen=True)
class IdealDrift:
    """How the ideal moved in training.

    Args:
        facets: `equivalence` of ideal_after - ideal by facet: facet, difference, low, high (1 - 2 alpha interval),
            bound, p, q, equivalent, n, n_clusters, untested.
        overall: the same for the mean over facets, one row; drifts of opposite signs cancel in it.
        stable: every facet's drift is shown to lie within the bound; None where some could not be tested. No
            correction is needed to claim all (Berger 1982).
        length: root mean square drift over facets without error, in score units; 0 where not longer than error.
        distance_ratio: |ideal_after - after| / |ideal - before|, lengths over facets without error: 0 is a model that
            is at its ideal, 1 one that is as far from it as before.
        names: facets.
        left_out: facets without two independent items of either key.
        n_items: items.
        n_clusters: their clusters.
        n_dropped: items that lack a measurement.
    """

    facets: pl.DataFrame
    overall: pl.DataFrame
    stable: bool | None
    length: Estimate
    distance_ratio: Estimate
    names: tuple[str, ...]
    left_out: tuple[str, ...]
    n_items: int
    n_clusters: int
    n_dropped: int

    def frame(self) -> pl.DataFrame:
        """One row, without the facets.

        Columns: drift, drift_low, drift_high, bound, equivalent (of the mean over facets), stable, n_equivalent,
        length, length_low, length_high, length_naive_biased, distance_ratio, ..._low, ..._high, ..._naive_biased,
        distance_ratio_refused, n_facets, n_items, n_clusters, n_dropped, left_out.
        """
        mean = self.overall.row(0, named=True)
        row: dict[str, Any] = {"drift": mean["difference"], "drift_low": mean["low"], "drift_high": mean["high"]}
        row |= {"bound": mean["bound"], "equivalent": mean["equivalent"], "stable": self.stable}
        row["n_equivalent"] = int(self.facets["equivalent"].fill_null(False).sum())
        for name, part in (("length", self.length), ("distance_ratio", self.distance_ratio)):
            row |= {name: part.value, f"{name}_low": part.low, f"{name}_high": part.high}
            row[f"{name}_naive_biased"] = part.naive_biased
        row |= {"distance_ratio_refused": self.distance_ratio.refused, "n_facets": len(self.names)}
        row |= {"n_items": self.n_items, "n_clusters": self.n_clusters, "n_dropped": self.n_dropped}
        schema: dict[str, Any] = {name: pl.Float64 for name in row if name.startswith(("length", "distance", "drift"))}
        schema |= {"equivalent": pl.Boolean, "stable": pl.Boolean, "distance_ratio_refused": pl.String}
        row["left_out"] = list(self.left_out)
        return pl.DataFrame([row], schema_overrides=schema | {"left_out": pl.List(pl.String)})


def ideal_drift(
    items: pl.DataFrame,
    *,
    before: str = "before",
    ideal: str = "ideal",
    after: str = "after",
    ideal_after: str = "ideal_after",
    cluster: str | None = None,
    bound: float = BOUND,
    alpha: float = 0.05,
    n_splits: int = N_SPLITS,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> IdealDrift:
    """Drift of the ideal with equivalence tests, and the distance between self and ideal after by before training.

    That a drift is not significant shows nothing; `equivalence` tests that it lies within the bound, by Welch's t for
    each facet, or by the bootstrap where items have clusters. Lengths are roots of products between halves of the
    items, averaged over splits, so that error does not add to them as it does to plain ones.

    Args:
        items: as for `gap_closed`.
        before: column of the model as itself before training.
        ideal: column of its ideal self before training.
        after: column of the model as itself after training.
        ideal_after: column of its ideal self after training.
        cluster: column of near duplicates.
        bound: smallest drift of interest, in score units; .10 is about .3 human standard deviations.
        alpha: level of each one-sided test.
        n_splits: random splits.
        n_resamples: bootstrap resamples.
        seed: of splits and resamples.

    Raises:
        DataError: as `movement_items` and `equivalence`.
    """
    columns = {"before": before, "ideal": ideal, "after": after, "ideal_after": ideal_after}
    data = movement_items(items, columns, cluster=cluster)
    answers, pairs = data.answers("ideal", "ideal_after"), [("ideal_after", "ideal")]
    label = "cluster" if data.clustered else None
    how: Literal["t", "bootstrap"] = "bootstrap" if data.clustered else "t"
    settings: dict[str, Any] = {"bound": bound, "alpha": alpha, "n_resamples": n_resamples, "seed": seed}
    settings["cluster"] = label
    facets = equivalence(answers, pairs, method=how, **settings)
    whole = answers.with_columns(domain=pl.lit(ALL))
    overall = equivalence(whole, pairs, by="domain", method="bootstrap", **settings)
    masks = random_splits(data, n_splits=n_splits, seed=seed)
    halves = split_halves(data, masks)
    draws = resampled(data, masks, _lengths, n_resamples=n_resamples, seed=seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        length, ratio = _lengths(halves)
    drift, apart, gap = data.profiles(("ideal_after", "ideal"), ("ideal_after", "after"), ("ideal", "before")).T
    stage = first_stage(halves.shift("ideal", "before"), centred=False, n_resamples=n_resamples, seed=seed)
    naive = float(np.linalg.norm(apart) / np.linalg.norm(gap)) if gap.any() else np.nan
    claims = facets["equivalent"]
    return IdealDrift(
        facets,
        overall,
        None if claims.null_count() else bool(claims.all()),
        estimate(length, draws[:, 0], float(np.sqrt(np.mean(drift**2)))),
        estimate(ratio, draws[:, 1], naive, stage.refusal("ideal - before")),
        data.facets,
        data.left_out,
        *data.count(),
        data.n_dropped,
    )


def _lengths(halves: Halves) -> Float[np.ndarray, "*draw 2"]:
    """Root mean square drift, and the distance after by that before."""
    drift, apart = halves.shift("ideal_after", "ideal"), halves.shift("ideal_after", "after")
    n_facets = np.isfinite(drift.one).sum(axis=-1)
    squared = (cross(drift, drift) / n_facets).mean(axis=-1)
    return np.stack([np.sqrt(np.maximum(0, squared)), length_ratio(apart, halves.shift("ideal", "before"))], axis=-1)
