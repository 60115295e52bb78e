"""Planted data and a counter of eigendecompositions for the probe tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jaxtyping
import numpy as np
import pytest


@pytest.fixture
def decompositions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one number (the side of the matrix) for every eigendecomposition."""
    sides: list[int] = []
    real: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] = np.linalg.eigh

    def counted(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sides.append(len(matrix))
        return real(matrix)

    monkeypatch.setattr(np.linalg, "eigh", counted)
    return sides


def planted_rows(
    n: int, d: int, n_targets: int, *, seed: int = 0, noise: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features with offsets and unequal scales, linear targets plus noise, and groups of four rows."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * np.exp(rng.normal(size=d)) + 5 * rng.normal(size=d)
    weights = rng.normal(size=(d, n_targets)) / X.std(axis=0)[:, None] / np.sqrt(d)
    Y = X @ weights + noise * rng.normal(size=(n, n_targets)) + 3.0
    return X, Y, rng.permutation(n) // 4


@pytest.fixture
def planted() -> Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]:
    return planted_rows


@pytest.fixture
def unchecked_annotations() -> Iterator[None]:
    """Switch the run-time check of annotations off: scikit-learn's checks set parameters to nonsense on purpose."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
