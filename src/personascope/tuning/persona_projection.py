"""Which persona the residual stream moved toward: the shift of a training along what sets each persona apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.errors import DataError
from personascope.measures.halves import half_masks
from personascope.measures.intervals import percentile_interval, resampled_means
from personascope.shapes import Features
from personascope.tuning.shift_geometry import N_SPLITS, ShiftRows, shift_table

_LAST = ("layer", "n")


def projection_table(
    shifts: Mapping[str, ShiftRows],
    personas: Mapping[str, ShiftRows],
    own: ShiftRows,
    *,
    layer: int,
    base: Features | None = None,
    clusters: Sequence[str] | None = None,
    n_random: int = 200,
    n_resamples: int = 1_000,
    seed: int = 0,
) -> pl.DataFrame:
    """Projection of every run's mean shift at one layer on every persona's direction, beside random directions.

    A persona's direction is the mean of the base model's rows as that persona minus the mean of its rows as itself
    (persona vectors: Chen et al. 2025, arXiv 2507.21509, who find that shifts along them go with what a fine-tune then
    does). `way` is the shift along it by its length: 0 is no movement toward the persona, 1 is as far as it is. The
    cosine, its null and what is beside them are `shift_table`'s.

    Args:
        shifts: rows (item, d_model), tuned minus base as itself, by run.
        personas: rows (item, d_model) of the base model as each persona: the same items in the same order.
        own: rows (item, d_model) of the base model as itself.
        layer: for the column.
        base: rows (row, d_model) whose covariance the random directions have; by default `own`.
        clusters: of near-duplicate items.
        n_random: random directions.
        n_resamples: bootstrap resamples of clusters, for the interval of `way` along the direction as it is.
        seed: of random directions, halves and resamples.

    Returns:
        Columns run, persona, way, low, high (95 %), cosine, null_high (95 % of random directions stay below it in
        size), beyond (whether the cosine is larger), crossed (cosine of the shift of half of the items with the
        direction of the other half, median over splits: error that both share is not in it), length (of the shift, by
        that of the rows), halves (agreement of halves of the shift), layer, n (items).

    Raises:
        DataError: as `shift_table`; no persona, or rows that are not those of the same items.
        DirectionError: a persona whose rows are the model's own.
    """
    if not personas:
        raise DataError("There is no persona to project on.", "", "Pass the base model's rows as some.")
    shapes = {name: rows.shape for name, rows in {**shifts, **personas}.items()}
    odd = next((name for name, shape in shapes.items() if shape != own.shape), None)
    if odd is not None:
        raise DataError(
            f"The rows of {odd!r} have the shape {shapes[odd]}, those of the model as itself {own.shape}.",
            "A persona's direction is a mean over the same items, at the same layer and position.",
            "Ask every persona the same items in the same order.",
        )
    exact = own.astype(np.float64)
    apart = {name: rows.astype(np.float64) - exact for name, rows in personas.items()}
    directions = {name: rows.mean(axis=0) for name, rows in apart.items()}
    table = shift_table(
        shifts, directions, own if base is None else base, layer=layer, clusters=clusters, n_random=n_random, seed=seed
    ).filter(kind="direction")
    labels = np.arange(len(own)) if clusters is None else np.asarray(clusters)
    masks = half_masks(np.zeros(len(own), dtype=np.int64), labels, n_splits=N_SPLITS, seed=seed).astype(np.float64)
    cells, rows = np.zeros(len(own), dtype=np.int64), []
    for run, name in table.select("run", "other").iter_rows():
        shift, vector = shifts[run].astype(np.float64), directions[name]
        along = shift @ vector / (vector @ vector)
        draws = resampled_means(along[:, None], cells, labels, n_resamples=n_resamples, seed=seed, within=False)
        low, high = percentile_interval(draws[:, 0, 0])
        about: dict[str, Any] = {"way": float(along.mean()), "low": low, "high": high}
        rows.append(about | {"crossed": _crossed(shift, apart[name], masks)})
    table = table.rename({"other": "persona"}).with_columns(beyond=pl.col("cosine").abs() > pl.col("null_high"))
    table = table.hstack(pl.DataFrame(rows, schema=dict.fromkeys(("way", "low", "high", "crossed"), pl.Float64)))
    ordered = ("run", "persona", "way", "low", "high", "cosine", "null_high", "beyond", "crossed", "length", "halves")
    return table.select(*ordered, *_LAST)


def _crossed(
    shift: Float[np.ndarray, "item d_model"],
    apart: Float[np.ndarray, "item d_model"],
    masks: Float[np.ndarray, "split item"],
) -> float:
    """Median cosine of the sums of one over half of the items with the sums of the other over the other half."""
    cosines = []
    for first in (masks, 1 - masks):
        one, other = first @ shift, (1 - first) @ apart
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        cosines.append((one * other).sum(axis=1) / np.where(lengths > 0, lengths, np.inf))
    return float(np.median((cosines[0] + cosines[1]) / 2))
