"""What a transfer matrix says beyond its cells: asymmetry, who gives and who receives, and angles of the probes."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.errors import DataError
from personascope.probes.bootstrap import percentile_interval
from personascope.probes.geometry import cosine_frame
from personascope.probes.transfer import TransferMatrix
from personascope.shapes import Features

_ASYMMETRY_SCHEMA = {
    "first": pl.String,
    "second": pl.String,
    "layer": pl.Int64,
    "position": pl.String,
    **dict.fromkeys(("r_first_to_second", "r_second_to_first", "gap", "gap_low", "gap_high"), pl.Float64),
    "n": pl.Int64,
    "n_groups": pl.Int64,
}


def asymmetry(matrix: TransferMatrix) -> pl.DataFrame:
    """For each unordered pair of personas, how much better the probe of the first reads the second than conversely.

    Not only the probes differ between the two directions but also what they are tested on: utilities that a probe of
    their own persona reads badly, or that are unreliable, are read badly by any. Compare with the diagonal.

    Returns:
        Columns first, second, layer, position, r_first_to_second, r_second_to_first, gap (the one minus the other) with
        its paired 95 % interval over groups of tasks, n, n_groups. Empty but typed for one persona.
    """
    resampled = matrix.resampled()
    low, high = percentile_interval(resampled - resampled.transpose(0, 2, 1))
    rows = [
        {
            "first": matrix.personas[i],
            "second": matrix.personas[j],
            "r_first_to_second": matrix.r[i, j],
            "r_second_to_first": matrix.r[j, i],
            "gap": matrix.r[i, j] - matrix.r[j, i],
            "gap_low": low[i, j],
            "gap_high": high[i, j],
            **_place(matrix),
        }
        for i, j in combinations(range(len(matrix.personas)), 2)
    ]
    return pl.DataFrame(rows, schema=_ASYMMETRY_SCHEMA).with_columns(pl.col(pl.Float64).fill_nan(None))


def mean_transfer(matrix: TransferMatrix) -> pl.DataFrame:
    """Per persona the mean r of its probe on the others (outbound) and of the others' probes on it (inbound).

    Returns:
        Columns persona, layer, position; outbound, inbound and gap (outbound minus inbound), each with its 95 %
        interval over groups of tasks (not over personas: the means are those of these); n_others, n, n_groups.

    Raises:
        DataError: fewer than two personas.
    """
    n = len(matrix.personas)
    if n < 2:
        raise DataError(f"{n} persona has no others: {list(matrix.personas)}.", "", "Pass a matrix of two or more.")
    columns: dict[str, Any] = {
        "persona": list(matrix.personas),
        "layer": [matrix.layer] * n,
        "position": [matrix.position] * n,
    }
    outbound, inbound = _means(matrix.r[None])
    resampled_outbound, resampled_inbound = _means(matrix.resampled())
    for name, values, resampled in (
        ("outbound", outbound, resampled_outbound),
        ("inbound", inbound, resampled_inbound),
        ("gap", outbound - inbound, resampled_outbound - resampled_inbound),
    ):
        low, high = percentile_interval(resampled)
        columns |= {name: values[0], name + "_low": low, name + "_high": high}
    columns |= {"n_others": [n - 1] * n, "n": [matrix.n] * n, "n_groups": [matrix.n_groups] * n}
    return pl.DataFrame(columns).with_columns(pl.col(pl.Float64).fill_nan(None))


def weight_cosines(matrix: TransferMatrix, X: Features | None = None, *, n: int = 200) -> pl.DataFrame:
    """Cosines between the personas' probe weights, beside what random directions would have.

    Probes can transfer at small cosines: weights on raw activations are spread over directions that hardly vary, where
    noise decides. So a cosine inside the band does not say that nothing is shared; transfer says that.

    Args:
        matrix: whose weights (train, d_model) are compared.
        X: residual rows (row, d_model), for example of all personas; the null directions then have their covariance.
        n: null directions, with `X`.

    Returns:
        As `geometry.cosine_frame`: direction, other, layer, cosine, null_high, for ordered pairs.

    Raises:
        DirectionError: a probe whose weights are all zero.
        DataError: fewer than two rows of `X`, or rows that do not vary.
    """
    weights = dict(zip(matrix.personas, matrix.weights, strict=True))
    return cosine_frame(weights, layer=matrix.layer, X=X, n=n, seed=matrix.seed)


def _means(
    cells: Float[np.ndarray, "resample train test"],
) -> tuple[Float[np.ndarray, "resample persona"], Float[np.ndarray, "resample persona"]]:
    """Means over the others: as trained on, as tested on. NaN where a cell is."""
    n = cells.shape[1]
    others = np.where(np.eye(n, dtype=bool), 0.0, cells)
    return others.sum(axis=2) / (n - 1), others.sum(axis=1) / (n - 1)


def _place(matrix: TransferMatrix) -> dict[str, Any]:
    return {name: getattr(matrix, name) for name in ("layer", "position", "n", "n_groups")}
