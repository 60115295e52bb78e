"""Persona selection: what else did a narrow training move, and whose profile does that follow?

By the persona selection model (janus 2022, "Simulators"; nostalgebraist 2025, "the void") a model that is taught one
narrow thing becomes, in all else too, more like a character who would do that: emergent misalignment (Betley et al.
2025, arXiv 2502.17424) is the known case. So after one facet was taught, the movement of all others says who was
selected. Two traps are kept out here. The mean size of any movement is above 0 from noise alone; and "after - before"
and "persona - before" share the error of "before", so that a model that did not move seems to go toward every persona
at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.errors import DataError
from personascope.measures.contrasts import paired_contrasts, sign_flip_p
from personascope.measures.intervals import resampled_means
from personascope.measures.multiplicity import Method, adjust
from personascope.measures.pairing import codes_of
from personascope.measures.tables import require_columns
from personascope.tuning.estimates import estimate
from personascope.tuning.halves import N_RESAMPLES, N_SPLITS, Halves, first_stage, random_splits, resampled
from personascope.tuning.halves import split_halves as halves_of
from personascope.tuning.movement_items import SHARES, TOO_FEW, MovementItems, movement_items
from personascope.tuning.movement_shape import cosine_between
from personascope.tuning.unrequested import (
    CONTROL,
    N_PERMUTATIONS,
    TAUGHT,
    UNREQUESTED,
    estimate_row,
    permutation_p,
    persona_frame,
    require_personas,
    require_taught,
    total_frame,
    total_row,
)

LEVEL = 0.05
_COLUMNS = ("facet", "taught", "moved", "low", "high", "p", "q", "p_holm", "n", "n_clusters", "untested")


@dataclass(frozen=True)
class Selection:
    """Movement in what was not taught.

    Args:
        units: one row per facet (or topic): see the function that made it.
        totals: one row for what was taught, for what was not, and for the latter in a control run where one was given:
            part, mean_absolute, floor and floor_high (mean and 95th percentile of it under random signs), p, length
            (root mean square without error), low, high, naive_biased (error and all), n_units, n, n_clusters.
        personas: one row per persona (and level): how far the movement that nobody asked for follows its profile.
        left_out: facets (or topics) that had too few items.
        n_dropped: items (or tasks) that lack a measurement.
    """

    units: pl.DataFrame
    totals: pl.DataFrame
    personas: pl.DataFrame
    left_out: tuple[str, ...]
    n_dropped: int

    @property
    def moved(self) -> bool:
        """Whether what was not taught moved, altogether, by more than noise (p of the total at most .05)."""
        return bool(self.totals.filter(part=UNREQUESTED)["p"][0] <= LEVEL)

    @property
    def selected(self) -> tuple[str, ...]:
        """Personas toward which it moved, q at most .05 and the interval above 0, the most alike first."""
        toward = self.personas.filter(pl.col("q") <= LEVEL, pl.col("low") > 0)
        measure = "cosine" if "cosine" in toward.columns else "r"
        names: list[str] = toward.sort(measure, descending=True)["persona"].unique(maintain_order=True).to_list()
        return tuple(names)


def facet_selection(
    items: pl.DataFrame,
    taught: Sequence[str],
    personas: Mapping[str, str] | None = None,
    *,
    before: str = "before",
    after: str = "after",
    control: str | None = None,
    cluster: str | None = None,
    method: Method = "bh",
    n_splits: int = N_SPLITS,
    n_resamples: int = N_RESAMPLES,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> Selection:
    """Movement of facets that were not taught, and the personas whose difference from the model it follows.

    A facet's movement is that of its trait, the half difference of keyed means: with keyed scores the mean over + and
    the mean over - items, averaged, so that training that only raises ratings moves it not at all (it does raise the
    noise floor, which is cautious then). The cosine of movement y = after - before and profile x = persona - before
    over the facets that were not taught comes from products between halves of the items (`movement_shape`), which have
    no error in common; profiles are not centred, because a facet's pole is a convention. p permutes facets: is it the
    pattern of that persona? p_signs turns the signs of facets: does it go its way, be it alike in all facets? (Where a
    model did not move and items are few, either falls below .05 in 5 to 7 % of data sets.)

    Args:
        items: as for `gap_closed`: item, facet, key, and keyed scores in [-1, 1] in the columns named next.
        taught: facets that training was about; none, where it was about something else.
        personas: column by name, of the model as that persona before training: {"evil": "evil", "ideal": "meta"}.
        before: column of the model as itself before training.
        after: column of the model as itself after training.
        control: column of the model after a control run (its own answers, shuffled ones): its movement is what training
            does by itself. Pass it as `before` too to take that off.
        cluster: column of near duplicates.
        method: correction that gives q, among the facets that were taught and those that were not, and among personas.
        n_splits: random splits.
        n_resamples: bootstrap resamples.
        n_permutations: random permutations of facets.
        seed: of all of them.

    Returns:
        units: facet, taught, moved (score units), low, high (95 % cluster bootstrap), p (sign flips), q, p_holm, n,
        n_clusters, untested (why there is no p); those left out come last. personas: persona, cosine (without error),
        low, high, naive_biased (the plain one), refused, p, q (of p, over personas), p_signs, first_stage (agreement of
        halves of the profile), first_stage_movement, n_facets, n, n_clusters.

    Raises:
        DataError: as `movement_items`; an unknown taught facet, fewer than three others with two independent
            items of either key, or a persona whose column is missing, or is or equals the model's own.
    """
    columns = dict(personas or {})
    require_columns(items, ["facet"])
    require_personas(columns, items.columns, {"before": before, "after": after})
    known = items["facet"].unique(maintain_order=True).cast(pl.String).to_list()
    require_taught(set(taught), known, "facet")
    named = {"before": before, "after": after, **{_as(name): column for name, column in columns.items()}}
    named |= {} if control is None else {"control": control}
    is_taught = pl.col("facet").cast(pl.String).is_in(list(taught))
    whole = movement_items(items, named, cluster=cluster, min_facets=1)
    data = movement_items(items.filter(~is_taught), named, cluster=cluster)
    _require_apart(data, columns)
    parts = {UNREQUESTED: data}
    if set(whole.facets) & set(taught):
        parts[TAUGHT] = movement_items(items.filter(is_taught), named, cluster=cluster, min_facets=1)
    settings = {"n_resamples": n_resamples, "seed": seed}
    totals = [_total(part, given, "after", **settings) for part, given in reversed(parts.items())]
    totals += [] if control is None else [_total(CONTROL, data, "control", **settings)]
    masks = random_splits(data, n_splits=n_splits, seed=seed)
    rows = _resemblance(data, masks, list(columns), n_permutations=n_permutations, **settings)
    if rows:
        for row, q in zip(rows, adjust(np.array([row["p"] for row in rows]), method), strict=True):
            row["q"] = float(q)
    units = _units(parts, whole, set(taught), method, **settings)
    return Selection(units, total_frame(totals), persona_frame(rows, "cosine"), whole.left_out, whole.n_dropped)


def _as(persona: str) -> str:
    return f"as {persona}"


def _require_apart(data: MovementItems, personas: Mapping[str, str]) -> None:
    own = data.values[:, data.measurements.index("before")]
    for name, column in personas.items():
        if np.array_equal(own, data.values[:, data.measurements.index(_as(name))]):
            raise DataError(
                f"The persona {name!r} (column {column!r}) holds the {len(own)} scores of the model before training.",
                "It has no profile of its own.",
                "Ask the model as that persona.",
            )


def _units(
    parts: Mapping[str, MovementItems], whole: MovementItems, taught: set[str], method: Method, **settings: Any
) -> pl.DataFrame:
    """One row per facet; those that were taught and those that were not are families of their own."""
    tables = []
    for data in parts.values():
        found = paired_contrasts(
            data.answers("before", "after"),
            [("after", "before")],
            cluster="cluster",
            method=method,
            extra=("holm",),
            **settings,
        )
        name = pl.col("facet").cast(pl.String)
        tables.append(found.with_columns(facet=name, moved="difference", taught=name.is_in(list(taught))))
    table = pl.concat(tables).select(_COLUMNS).sort("facet")
    lost = [{"facet": name, "taught": name in taught, "untested": TOO_FEW} for name in whole.left_out]
    return pl.concat([table, pl.DataFrame(lost, schema=table.schema)]) if lost else table


def _total(part: str, data: MovementItems, to: str, *, n_resamples: int, seed: int) -> dict[str, Any]:
    """The row of all facets of some items together."""
    moved = data.differences((to, "before"))
    facet, share = data.cells // 2, 0.5 / np.bincount(data.cells)[data.cells]
    codes = codes_of(data.clusters)
    shares = np.zeros((int(codes.max()) + 1, len(data.facets)))
    np.add.at(shares, (codes, facet), share * moved[:, 0])
    means = resampled_means(moved, data.cells, data.clusters, n_resamples=n_resamples, seed=seed, within=False)
    draws = means[..., 0].reshape(n_resamples, -1, 2) @ np.array(SHARES["both"])
    variances = data.errors((to, "before"))[:, 0, 0]
    return total_row(part, shares, variances, draws[np.isfinite(draws).all(axis=1)], n=len(moved), seed=seed)


def _resemblance(
    data: MovementItems,
    masks: Float[np.ndarray, "split item"],
    personas: Sequence[str],
    *,
    n_resamples: int,
    n_permutations: int,
    seed: int,
) -> list[dict[str, Any]]:
    """One row per persona."""
    if not personas:
        return []

    def cosines(halves: Halves) -> Float[np.ndarray, "*draw persona"]:
        y = halves.shift("after", "before")
        return np.stack([cosine_between(y, halves.shift(_as(name), "before")) for name in personas], axis=-1)

    halves = halves_of(data, masks)
    draws = resampled(data, masks, cosines, n_resamples=n_resamples, seed=seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.clip(cosines(halves), -1, 1)
    settings: dict[str, Any] = {"centred": False, "n_resamples": n_resamples, "seed": seed}
    y = halves.shift("after", "before")
    movement, rows = first_stage(y, **settings), []
    for k, name in enumerate(personas):
        x = halves.shift(_as(name), "before")
        stage = first_stage(x, **settings)
        refused = stage.refusal(f"{name} - before") or movement.refusal("after - before")
        a, b = data.profiles(("after", "before"), (_as(name), "before")).T
        naive = float(a @ b / np.sqrt(a @ a * (b @ b))) if a.any() and b.any() else np.nan
        found = estimate(float(values[k]), np.clip(draws[:, k], -1, 1), naive, refused)
        products = (y.one.T @ x.other + y.other.T @ x.one) / (2 * len(y.one))
        row = {"persona": name, **estimate_row(found, "cosine")}
        row |= {"p": permutation_p(products, n_permutations=n_permutations, seed=seed), "q": None}
        row |= {"p_signs": sign_flip_p(products.diagonal(), seed=seed)}
        row |= {"first_stage": stage.r, "first_stage_movement": movement.r, "n_facets": len(data.facets)}
        rows.append(row | dict(zip(("n", "n_clusters"), data.count(), strict=True)))
    return rows
