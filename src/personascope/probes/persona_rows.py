"""Rows of several personas, aligned by task: what every comparison between personas starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from personascope.errors import DataError
from personascope.probes.evaluate import checked_rows
from personascope.shapes import Features, RowValues


@dataclass(frozen=True, eq=False)
class PersonaRows:
    """The same tasks under several personas.

    Args:
        personas: names, in the order of the features.
        X: features (task, d_model) of each persona, float64.
        U: utilities (task, persona).
        codes: group of each task, numbered from 0.
        n_groups: how many groups there are.
    """

    personas: tuple[str, ...]
    X: tuple[Features, ...]
    U: Float[np.ndarray, "task persona"]
    codes: Int[np.ndarray, " task"]
    n_groups: int


def aligned_rows(features: Mapping[str, Features], utilities: Mapping[str, RowValues], groups: Any) -> PersonaRows:
    """Check that all personas have the same tasks, features that are finite and utilities that vary.

    Args:
        features: (task, d_model) of each persona.
        utilities: (task,) of each persona.
        groups: group of each task, of any sortable kind.

    Raises:
        DataError: personas or shapes that do not match, or utilities that do not vary or are not finite.
        ActivationError: features that are not finite.
    """
    if set(features) != set(utilities) or not features:
        raise DataError(
            f"Features of {sorted(features)}, utilities of {sorted(utilities)}.", "", "Pass both for each persona."
        )
    shapes = {name: (features[name].shape, utilities[name].shape) for name in features}
    if len(set(shapes.values())) > 1 or any(len(features[name]) != len(utilities[name]) for name in features):
        raise DataError(
            f"Shapes of features and utilities do not match: {shapes}.",
            "All personas need the same tasks in the same order.",
            "Select the tasks that all personas have.",
        )
    personas = tuple(features)
    U = np.stack([np.asarray(utilities[name], dtype=np.float64) for name in personas], axis=1)
    flat = [
        name for name, column in zip(personas, U.T, strict=True) if not np.isfinite(column).all() or not np.ptp(column)
    ]
    if flat:
        raise DataError(f"Utilities of {flat} do not vary or are not finite.", "No correlation exists.", "Drop them.")
    checked = [checked_rows(features[name], groups, len(U)) for name in personas]
    return PersonaRows(personas, tuple(X for X, _, _ in checked), U, checked[0][1], checked[0][2])
