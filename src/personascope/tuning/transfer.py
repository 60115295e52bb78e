"""Does the movement carry over? Gap closed on other items or in another mode by that on those trained for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.tuning.estimates import Estimate, estimate
from personascope.tuning.halves import N_RESAMPLES, N_SPLITS, Halves, random_splits, resampled, split_halves
from personascope.tuning.movement import Gap, gap_of, split_half_gap
from personascope.tuning.movement_items import MovementItems, movement_items


@dataclass(frozen=True)
class TransferRatio:
    """Gap closed on one set of items by that on another.

    Args:
        ratio: 1 is full transfer, 0 none.
        on: gap closed on the set that movement should carry over to.
        over: gap closed on the set that it is compared with.
        facets: names of the facets of either set.
        left_out: facets of either set without two independent items of either key.
        n_dropped: items of either set that lack a measurement.
        n_shared: clusters that are in both sets, and are resampled together.
    """

    ratio: Estimate
    on: Gap
    over: Gap
    facets: tuple[tuple[str, ...], tuple[str, ...]]
    left_out: tuple[tuple[str, ...], tuple[str, ...]]
    n_dropped: tuple[int, int]
    n_shared: int

    def frame(self) -> pl.DataFrame:
        """One row.

        Columns: ratio, low, high, naive_biased, refused, n_shared; on, on_low, on_high (its gap closed), n_facets_on,
        n_items_on, n_dropped_on, left_out_on, and the same of over.
        """
        e = self.ratio
        row: dict[str, Any] = {"ratio": e.value, "low": e.low, "high": e.high, "naive_biased": e.naive_biased}
        row["refused"] = e.refused
        schema: dict[str, Any] = dict.fromkeys(("ratio", "low", "high", "naive_biased"), pl.Float64)
        for k, (name, gap) in enumerate((("on", self.on), ("over", self.over))):
            row |= {name: gap.closed.value, f"{name}_low": gap.closed.low, f"{name}_high": gap.closed.high}
            schema |= dict.fromkeys((name, f"{name}_low", f"{name}_high"), pl.Float64)
            row |= {f"n_facets_{name}": len(self.facets[k]), f"n_items_{name}": gap.n_items}
            row |= {f"n_dropped_{name}": self.n_dropped[k], f"left_out_{name}": list(self.left_out[k])}
            schema[f"left_out_{name}"] = pl.List(pl.String)
        row["n_shared"] = self.n_shared
        return pl.DataFrame([row], schema_overrides=schema | {"refused": pl.String})


def transfer_ratio(
    on: pl.DataFrame,
    over: pl.DataFrame,
    *,
    before: str = "before",
    ideal: str = "ideal",
    after: str = "after",
    cluster: str | None = None,
    n_splits: int = N_SPLITS,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> TransferRatio:
    """Gap closed on one set of items by the gap closed on another: held-out facets, other wording, forced choice.

    Both are uncentred split-half estimates (`gap_closed`). Items or clusters of both sets (thinking on and off) are
    resampled and split together, so that the interval of the ratio is paired. The ratio is refused when either gap
    is, or when the interval of the denominator does not lie off 0: by how much nothing was multiplied is no question.

    Args:
        on: items that the movement should carry over to, as for `gap_closed`.
        over: items that it is compared with, with the same columns.
        before: column of the model as itself before training.
        ideal: column of its ideal self before training.
        after: column of the model as itself after training.
        cluster: column of near duplicates; the labels of the two sets are one family. Without it items of one id are.
        n_splits: random splits.
        n_resamples: bootstrap resamples.
        seed: of splits and resamples.

    Raises:
        DataError: as `movement_items`, for either set.
    """
    columns = {"before": before, "ideal": ideal, "after": after}
    sets = [movement_items(items, columns, cluster=cluster) for items in (on, over)]
    both, at = _stacked(*sets), len(sets[0].facets)
    end = at + len(sets[1].facets)

    def statistic(halves: Halves) -> Float[np.ndarray, "*draw 3"]:
        gaps = [split_half_gap(halves.part(*ends), "ideal") for ends in ((0, at), (at, end))]
        return np.stack([*gaps, gaps[0] / gaps[1]], axis=-1)

    masks = random_splits(both, n_splits=n_splits, seed=seed)
    halves = split_halves(both, masks)
    draws = resampled(both, masks, statistic, n_resamples=n_resamples, seed=seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = statistic(halves)
    gaps = [
        gap_of(part, halves.part(*ends), draws[:, k], "ideal", n_resamples=n_resamples, seed=seed)
        for k, (part, ends) in enumerate(zip(sets, ((0, at), (at, end)), strict=True))
    ]
    top, bottom = (gap.closed.naive_biased for gap in gaps)
    naive = np.nan if top is None or not bottom else top / bottom
    return TransferRatio(
        ratio=estimate(float(values[2]), draws[:, 2], naive, _refusal(*gaps)),
        on=gaps[0],
        over=gaps[1],
        facets=(sets[0].facets, sets[1].facets),
        left_out=(sets[0].left_out, sets[1].left_out),
        n_dropped=(sets[0].n_dropped, sets[1].n_dropped),
        n_shared=len(np.intersect1d(sets[0].clusters, sets[1].clusters)),
    )


def _refusal(on: Gap, over: Gap) -> str | None:
    for name, gap in (("numerator", on), ("denominator", over)):
        if gap.closed.refused is not None:
            return f"{name} {gap.closed.refused}"
    low, high = over.closed.low, over.closed.high
    if low is None or high is None or low <= 0 <= high:
        return "denominator weak: the interval of its gap closed holds 0"
    return None


def _stacked(on: MovementItems, over: MovementItems) -> MovementItems:
    """Both sets as one, the facets of the second after those of the first, so that shared clusters go together."""
    return MovementItems(
        table=pl.concat([on.table, over.table], how="vertical_relaxed"),
        measurements=on.measurements,
        values=np.concatenate([on.values, over.values]),
        cells=np.concatenate([on.cells, over.cells + 2 * len(on.facets)]),
        clusters=np.concatenate([on.clusters, over.clusters]),
        facets=(*on.facets, *over.facets),
        left_out=(*on.left_out, *over.left_out),
        n_dropped=on.n_dropped + over.n_dropped,
        clustered=on.clustered,
    )
