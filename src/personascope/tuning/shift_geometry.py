"""Where training moved the residual stream, and whether the directions that steering uses point there.

The shift of an item is its row in the tuned model minus its row in the base model, on the same tokens. Activations fill
few of their dimensions, so any two things that live there are at a smaller angle than isotropic directions: cosines are
set beside those of random directions with the covariance of the base's rows, and beside the shifts of runs that were
trained on something else (the model's own answers, shuffled ones), which share all that training does by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.errors import DataError
from personascope.measures.halves import half_masks
from personascope.probes.geometry import cosine_with_null
from personascope.shapes import Features, Vector
from personascope.steering.random_subspaces import Basis, Spread, orthonormal, random_subspaces

N_SPLITS = 200
"""Random halves of the items for how far a shift agrees with itself."""
ShiftRows: TypeAlias = Float[np.ndarray, "_ _"]
"""Tuned minus base, shape (item, d_model)."""


def shift_table(
    shifts: Mapping[str, ShiftRows],
    directions: Mapping[str, Vector],
    base: Features,
    *,
    layer: int,
    clusters: Sequence[str] | None = None,
    n_random: int = 200,
    seed: int = 0,
) -> pl.DataFrame:
    """Every run's mean shift at one layer against every direction, and against the shifts of the other runs.

    Args:
        shifts: rows (item, d_model), tuned minus base, by run; the same items in the same order for all.
        directions: vectors (d_model,) by name, such as "ideal - self", facets, preference.
        base: rows (row, d_model) of the base model: the covariance of the null.
        layer: for the column.
        clusters: of near-duplicate items, which stay in one half; by default every item is its own.
        n_random: draws of the null.
        seed: of the draws and of the halves.

    Returns:
        Columns run, other, kind ("direction" or "run"), layer, cosine, null_high (95 % of random directions stay below
        it in size), share (squared cosine: how much of the squared shift lies along the other), length (of the mean
        shift over the mean length of the base's rows), halves (cosine of the mean shifts of two halves of the items,
        median over splits: no cosine with anything real can be expected to exceed its root), n (items).

    Raises:
        DataError: no runs, rows of different shapes, a row that is not finite, fewer than two items, or a shift that
            is exactly zero: the adapter was off, or did nothing.
    """
    _require_shifts(shifts, base)
    means = {run: rows.astype(np.float64).mean(axis=0) for run, rows in shifts.items()}
    reference = float(np.linalg.norm(base.astype(np.float64), axis=1).mean())
    rows = []
    for number, (run, mean) in enumerate(means.items()):
        others = [("direction", name, vector.astype(np.float64)) for name, vector in directions.items()]
        others += [("run", name, vector) for name, vector in means.items() if name != run]
        about: dict[str, Any] = {
            "length": float(np.linalg.norm(mean)) / reference,
            "halves": _halves(shifts[run], clusters, seed),
            "n": len(shifts[run]),
        }
        for kind, name, vector in others:
            found = cosine_with_null(mean, vector, base, n_random, seed=seed + number)
            cell: dict[str, Any] = {"run": run, "other": name, "kind": kind, "layer": layer, "cosine": found.cosine}
            rows.append({**cell, "null_high": found.null_high, "share": found.cosine**2, **about})
    return pl.DataFrame(rows)


def subspace_table(
    shifts: Mapping[str, ShiftRows],
    directions: Sequence[Vector],
    base: Features,
    *,
    layer: int,
    n_random: int = 40,
    seed: int = 0,
) -> pl.DataFrame:
    """How much of every run's mean shift lies in the span of some directions (25 facets, say), beside random spans.

    Args:
        shifts: as for `shift_table`.
        directions: vectors (d_model,), linearly independent.
        base: rows (row, d_model) of the base model.
        layer: for the column.
        n_random: random subspaces of the same rank, of each kind.
        seed: of the draws.

    Returns:
        Columns run, layer, rank, share (of the squared shift), angle (between the shift and the subspace, in degrees),
        kind (of random subspaces: isotropic, or holding as much of the base's variance or mean square), random_mean,
        random_high (95th percentile), p (share of random ones that hold as much, this one counted).

    Raises:
        DataError: as `shift_table`; directions that are not independent.
    """
    _require_shifts(shifts, base)
    basis = orthonormal(np.stack([vector.astype(np.float64) for vector in directions]))
    spreads = [Spread.of(base, centre=centre) for centre in (True, False)]
    drawn = random_subspaces(spreads, basis, n_random, seed=[seed, layer])
    rows = []
    for run, given in shifts.items():
        mean = given.astype(np.float64).mean(axis=0)
        share = _share(mean, basis)
        for kind, subspaces in drawn.items():
            null = np.array([_share(mean, one) for one in subspaces])
            rows.append(
                {
                    "run": run,
                    "layer": layer,
                    "rank": len(basis),
                    "share": share,
                    "angle": float(np.degrees(np.arccos(np.sqrt(min(share, 1.0))))),
                    "kind": kind,
                    "random_mean": float(null.mean()),
                    "random_high": float(np.quantile(null, 0.95)),
                    "p": float((1 + (null >= share).sum()) / (1 + n_random)),
                }
            )
    return pl.DataFrame(rows)


def _share(vector: Float[np.ndarray, " d_model"], basis: Basis) -> float:
    """Share of the squared length of a vector inside a subspace."""
    return float(((basis @ vector) ** 2).sum() / (vector**2).sum())


def _halves(rows: ShiftRows, clusters: Sequence[str] | None, seed: int) -> float:
    """Median cosine of the mean shifts of two random halves of the items."""
    labels = np.arange(len(rows)) if clusters is None else np.asarray(clusters)
    first = half_masks(np.zeros(len(rows), dtype=np.int64), labels, n_splits=N_SPLITS, seed=seed).astype(np.float64)
    exact = rows.astype(np.float64)
    one, other = first @ exact, (1 - first) @ exact
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(np.median((one * other).sum(axis=1) / np.where(lengths > 0, lengths, np.inf)))


def _require_shifts(shifts: Mapping[str, ShiftRows], base: Features) -> None:
    if not shifts:
        raise DataError("There is no run whose shift could be looked at.", "", "Train an adapter first.")
    shapes = {rows.shape for rows in shifts.values()}
    if len(shapes) > 1 or next(iter(shapes))[0] < 2 or next(iter(shapes))[1] != base.shape[1]:
        raise DataError(
            f"Shifts of the shapes {sorted(shapes)} beside base rows of width {base.shape[1]}.",
            "All runs need the same two or more items, and all rows the same width.",
            "Ask all runs the same items at the same layer.",
        )
    for run, rows in shifts.items():
        if not np.isfinite(rows).all():
            raise DataError(f"The shift of {run!r} is not finite.", "", "Look for overflow in the tuned model.")
        if not rows.any():
            raise DataError(
                f"The shift of {run!r} is zero for every item.",
                "Its adapter was off, or does nothing.",
                "Switch it on.",
            )
