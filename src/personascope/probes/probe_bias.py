"""Whose preferences does a transferred probe follow: those of the persona it reads, or of the one it was trained on?

The probe of persona T, applied out of fold to the activations of persona E, predicts u_hat. Gilg et al. (2026, arXiv
2605.13339) compare its correlations with the utilities of T, of E and of others, and take out by partial correlation
what the others share with u_E, and then with u_T. A probe of what E prefers leaves nothing for T; one that has learnt
which tasks T likes follows u_T beyond u_E.

Utilities have errors, and what a noisy u_E leaves in is not taken out: with personas that agree, a partial correlation
somewhat above 0 is expected of a perfect probe. `TransferMatrix.r_corrected` says how noisy they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Shaped

from personascope.errors import DataError, nearest
from personascope.probes.bootstrap import percentile_interval, resampled_correlations
from personascope.probes.evaluate import column_correlations
from personascope.probes.transfer import TransferMatrix
from personascope.shapes import Targets

# Where less than this share of the variance is left, it is rounding errors
_COLLINEAR = 1e-9

_SCHEMA = {
    "train": pl.String,
    "test": pl.String,
    "third": pl.String,
    "kind": pl.String,
    "layer": pl.Int64,
    "position": pl.String,
    "r": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "n": pl.Int64,
    "n_groups": pl.Int64,
}

_Values = Shaped[np.ndarray, "*resample"]


def probe_bias(matrix: TransferMatrix, *, reference: str | None = None) -> pl.DataFrame:
    """Correlations of transferred predictions with the utilities of every persona concerned.

    For each ordered pair of different personas, `train` T and `test` E, one row for each of

    - "raw": r(u_hat, u_third), third being T, E and the reference;
    - "partial": r(u_hat, u_third | u_E), third being T and the reference;
    - "double partial": r(u_hat, u_third | u_E, u_T), third being each persona but T and E.

    Where the reference is T, its row is that of T; where it is E, nothing is left to partial out. Intervals are the
    percentile bootstrap over groups of tasks of the matrix, with all correlations taken anew in each resample.

    Args:
        matrix: of `transfer_matrix`.
        reference: persona that the model has without being told, as a yardstick for T; none by default.

    Returns:
        Columns train, test, third, kind, layer, position, r, low, high, n, n_groups. Null where what is partialled out
        determines the utilities or the predictions.

    Raises:
        DataError: a reference that is not among the personas.
    """
    if reference is not None and reference not in matrix.personas:
        raise DataError(
            f"The reference {reference!r} is none of {list(matrix.personas)}.",
            "Only personas of the matrix have utilities to compare with.",
            f"Name one of them.{nearest(reference, matrix.personas)}",
        )
    known = None if reference is None else matrix.personas.index(reference)
    counts = matrix.counts()
    agreement = _correlations(matrix, matrix.utilities, counts)
    place = {name: getattr(matrix, name) for name in ("layer", "position", "n", "n_groups")}
    rows: list[dict[str, Any]] = []
    for train in range(len(matrix.personas)):
        predicted = _correlations(matrix, matrix.predictions[:, train], counts)
        for test in range(len(matrix.personas)):
            if train == test:
                continue
            for third, kind, values in _of_pair(predicted[:, test], agreement, train, test, known):
                names = {"train": train, "test": test, "third": third}
                row = {role: matrix.personas[index] for role, index in names.items()}
                rows.append(row | {"kind": kind, **_estimate(values)} | place)
    return pl.DataFrame(rows, schema=_SCHEMA)


def partial_correlation(r_xy: _Values, r_xz: _Values, r_yz: _Values) -> _Values:
    """Correlation of x and y given z, from their correlations; given z and w from those given w (Yule 1907).

    NaN where z determines x or y.
    """
    left = (1 - r_xz**2) * (1 - r_yz**2)
    free = (1 - r_xz**2 > _COLLINEAR) & (1 - r_yz**2 > _COLLINEAR)
    return np.asarray(np.where(free, (r_xy - r_xz * r_yz) / np.sqrt(np.where(free, left, 1.0)), np.nan))


def _of_pair(
    predicted: Float[np.ndarray, "sample persona"],
    agreement: Float[np.ndarray, "sample persona persona"],
    train: int,
    test: int,
    reference: int | None,
) -> Iterator[tuple[int, str, Float[np.ndarray, " sample"]]]:
    """Rows of one ordered pair: the third persona, the kind, and the correlation in every sample."""
    yardstick = [] if reference is None or reference in (train, test) else [reference]
    for third in (train, test, *yardstick):
        yield third, "raw", predicted[:, third]

    def given_test(third: int) -> Float[np.ndarray, " sample"]:
        return partial_correlation(predicted[:, third], predicted[:, test], agreement[:, third, test])

    for third in (train, *yardstick):
        yield third, "partial", given_test(third)
    for third in range(predicted.shape[1]):
        if third not in (train, test):
            thirds_train = partial_correlation(
                agreement[:, third, train], agreement[:, third, test], agreement[:, train, test]
            )
            yield third, "double partial", partial_correlation(given_test(third), given_test(train), thirds_train)


def _correlations(
    matrix: TransferMatrix, columns: Targets, counts: Float[np.ndarray, "resample group"]
) -> Float[np.ndarray, "sample column persona"]:
    """Of each column with each persona's utilities: on all tasks first, then in every resample."""
    n = len(matrix.personas)
    x, y = np.repeat(columns, n, axis=1), np.tile(matrix.utilities, columns.shape[1])
    every = np.concatenate([column_correlations(x, y)[None], resampled_correlations(x, y, matrix.codes, counts)])
    return every.reshape(len(every), -1, n)


def _estimate(values: Float[np.ndarray, " sample"]) -> dict[str, float | None]:
    """The value on all tasks and its interval; all null where it is not defined."""
    if not np.isfinite(values[0]):
        return {"r": None, "low": None, "high": None}
    low, high = percentile_interval(values[1:])
    return {"r": float(values[0]), "low": float(low), "high": float(high)}
