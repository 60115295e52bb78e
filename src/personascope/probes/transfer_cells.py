"""Cells of a transfer matrix: one number for each ordered pair (train, test) of personas, all from one product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

from personascope.probes.bootstrap import resampled_correlations
from personascope.probes.evaluate import column_correlations, within_groups
from personascope.probes.nested import nested_ridge
from personascope.shapes import Features, Targets

Cells: TypeAlias = Float[np.ndarray, "train test"]
CellTasks: TypeAlias = Float[np.ndarray, "task train test"]
CellResamples: TypeAlias = Float[np.ndarray, "resample train test"]


def out_of_fold_cells(
    X: Sequence[Features], U: Targets, folds: Int[np.ndarray, " task"], alphas: Sequence[float]
) -> CellTasks:
    """Predictions (task, train, test) of each persona's probe for every persona's features."""
    columns = [nested_ridge(rows, U[:, [t]], folds, alphas, others=X).elsewhere for t, rows in enumerate(X)]
    return np.stack([np.concatenate(found, axis=1) for found in columns], axis=1)


def cell_correlations(x: CellTasks, U: Targets) -> Cells:
    """Of x (task, train, test) with the utilities of the test persona."""
    return column_correlations(x.reshape(len(U), -1), np.tile(U, x.shape[1])).reshape(x.shape[1:])


def resampled_cells(
    x: CellTasks, U: Targets, codes: Int[np.ndarray, " task"], counts: Float[np.ndarray, "resample group"]
) -> CellResamples:
    """The same in every resample, shape (resample, train, test)."""
    found = resampled_correlations(x.reshape(len(U), -1), np.tile(U, x.shape[1]), codes, counts)
    return found.reshape(-1, *x.shape[1:])


def cells_within_groups(predictions: CellTasks, U: Targets, codes: Int[np.ndarray, " task"]) -> Cells:
    """Correlations after removing group means from both, NaN where utilities do not vary within groups."""
    found = within_groups(predictions.reshape(len(U), -1), np.tile(U, predictions.shape[1]), codes)
    return np.array([np.nan if r is None else r for r in found]).reshape(predictions.shape[1:])
