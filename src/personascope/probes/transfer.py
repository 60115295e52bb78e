"""Do personas share it: train a probe on one persona's activations, test it on another's.

Method of the cross-persona transfer in Gilg et al. (2026, arXiv 2605.13339), with what it lacks: the tested tasks are
never trained on, also not under the other persona, the penalty is chosen inside, and every number has an interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Shaped

from personascope.errors import DataError
from personascope.probes.bootstrap import N_RESAMPLES, draw_counts, percentile_interval, resampled_correlations
from personascope.probes.evaluate import checked_rows, column_correlations
from personascope.probes.folds import fold_numbers, grouped_folds
from personascope.probes.nested import nested_ridge
from personascope.probes.ridge import DEFAULT_ALPHAS
from personascope.shapes import Features, RowValues

_Square = Float[np.ndarray, "train test"]


@dataclass(frozen=True, eq=False)
class TransferMatrix:
    """Transfer between all ordered pairs of personas; all arrays have shape (train, test).

    Args:
        personas: names of rows (trained on) and columns (tested on).
        layer: decoder block.
        position: name of the token position.
        r: correlation of the train persona's probe, applied out of fold to the test persona's activations, with the
            test persona's utilities; `low` and `high` its 95 % interval.
        utility_r: correlation of the two personas' utilities: what transfer would be if the probe only repeated the
            train persona's preferences. 1 on the diagonal, where `difference` says nothing about transfer.
        difference: r minus utility_r, with its interval from the same resamples. Utilities have errors, which lower
            utility_r more than r, so a small positive difference is not yet sharing.
        n: tasks.
    """

    personas: tuple[str, ...]
    layer: int
    position: str
    r: _Square
    low: _Square
    high: _Square
    utility_r: _Square
    difference: _Square
    difference_low: _Square
    difference_high: _Square
    n: int

    def frame(self) -> pl.DataFrame:
        """One row per ordered pair, the diagonal too.

        Columns train, test, layer, position, r, low, high, utility_r, difference, difference_low, difference_high, n.
        """
        pairs = [(train, test) for train in self.personas for test in self.personas]
        names = ("r", "low", "high", "utility_r", "difference", "difference_low", "difference_high")
        columns: dict[str, Any] = {
            "train": [train for train, _ in pairs],
            "test": [test for _, test in pairs],
            "layer": [self.layer] * len(pairs),
            "position": [self.position] * len(pairs),
            **{name: getattr(self, name).ravel() for name in names},
            "n": [self.n] * len(pairs),
        }
        return pl.DataFrame(columns)


def transfer_matrix(
    features: Mapping[str, Features],
    utilities: Mapping[str, RowValues],
    groups: Shaped[np.ndarray, " task"],
    *,
    layer: int,
    position: str,
    n_folds: int = 4,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    alphas: Sequence[float] = DEFAULT_ALPHAS,
) -> TransferMatrix:
    """Train ridge probes on each persona and test them on every persona, out of fold.

    The probe keeps the centre and scale of the persona that it was trained on. r pools the predictions of all folds.
    Intervals are percentile bootstraps over tasks, in which predictions, both personas' utilities and thereby r and
    utility_r are resampled together; probes are not refitted.

    Args:
        features: residual stream (task, d_model) of each persona, tasks in the same order for all.
        utilities: utilities (task,) of each persona, in that order.
        groups: group of each task; groups are never split between training and test.
        layer: decoder block.
        position: name of the token position.
        n_folds: at least 3.
        n_resamples: bootstrap resamples.
        seed: of folds and bootstrap.
        alphas: penalties to choose from.

    Raises:
        DataError: personas or shapes that do not match, utilities that do not vary, or too few groups.
        ActivationError: features that are not finite.
    """
    personas, U = _aligned(features, utilities)
    n_tasks, n = U.shape
    rows = [checked_rows(features[name], groups, n_tasks) for name in personas]
    X = [matrix for matrix, _, _ in rows]
    numbers = fold_numbers(grouped_folds(rows[0][1], n_folds, seed), n_tasks)
    predictions = np.empty((n_tasks, n, n))
    for train in range(n):
        found = nested_ridge(X[train], U[:, [train]], numbers, alphas, others=X)
        predictions[:, train] = np.concatenate(found.elsewhere, axis=1)
    # columns run over (train, test): the prediction, the test persona's utilities, the train persona's
    predicted, tested, trained = predictions.reshape(n_tasks, -1), np.tile(U, n), np.repeat(U, n, axis=1)
    tasks, counts = np.arange(n_tasks), draw_counts(n_tasks, n_resamples, seed)
    r, utility_r = column_correlations(predicted, tested), column_correlations(trained, tested)
    resampled = resampled_correlations(predicted, tested, tasks, counts)
    gaps = resampled - resampled_correlations(trained, tested, tasks, counts)
    low, high = percentile_interval(resampled)
    difference_low, difference_high = percentile_interval(gaps)
    parts = {
        "r": r,
        "low": low,
        "high": high,
        "utility_r": utility_r,
        "difference": r - utility_r,
        "difference_low": difference_low,
        "difference_high": difference_high,
    }
    squares = {name: values.reshape(n, n) for name, values in parts.items()}
    return TransferMatrix(personas=personas, layer=layer, position=position, n=n_tasks, **squares)


def _aligned(
    features: Mapping[str, Features], utilities: Mapping[str, RowValues]
) -> tuple[tuple[str, ...], Float[np.ndarray, "task persona"]]:
    personas = tuple(features)
    if set(personas) != set(utilities) or not personas:
        raise DataError(
            f"Features of {sorted(personas)}, utilities of {sorted(utilities)}.", "", "Pass both for each persona."
        )
    shapes = {name: (features[name].shape, utilities[name].shape) for name in personas}
    if len(set(shapes.values())) > 1 or any(len(features[name]) != len(utilities[name]) for name in personas):
        raise DataError(
            f"Shapes of features and utilities do not match: {shapes}.",
            "All personas need the same tasks in the same order.",
            "Select the tasks that all personas have.",
        )
    U = np.stack([np.asarray(utilities[name], dtype=np.float64) for name in personas], axis=1)
    flat = [
        name for name, column in zip(personas, U.T, strict=True) if not np.isfinite(column).all() or not np.ptp(column)
    ]
    if flat:
        raise DataError(f"Utilities of {flat} do not vary or are not finite.", "No correlation exists.", "Drop them.")
    return personas, U
