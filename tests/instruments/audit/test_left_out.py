"""Predictions without a row's own group against refitting; trust by Bayes."""

from __future__ import annotations

import numpy as np
import pytest

from personascope.instruments.audit.left_out import left_out_scores, meaning_kernel, trust


def test_every_prediction_is_that_of_a_fit_without_the_rows_group() -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(30, 6))
    kernel = (rows @ rows.T).astype(np.float32)
    targets, noise = draw.normal(size=(30, 2)), draw.uniform(0.5, 2, size=30)
    group = np.arange(30)
    group[[3, 9, 17]] = 0
    found = left_out_scores(kernel, targets, noise, group)
    for row in range(30):
        rest = np.flatnonzero(group != group[row])
        inner = kernel[np.ix_(rest, rest)] + np.diag(noise[rest])
        expected = kernel[row, rest] @ np.linalg.solve(inner, targets[rest])
        np.testing.assert_allclose(found[row], expected, atol=1e-3)


def test_trust_is_bayes_theorem() -> None:
    # one label in ten is wrong, spread over four others
    own = np.array([0.2, 0.9, 0.0])
    np.testing.assert_allclose(trust(own, 4)[:2], own[:2] * 0.9 / (own[:2] * 0.9 + (1 - own[:2]) / 4 * 0.1))
    assert trust(own, 4)[2] == 0.05  # never none: the noise would be infinite
    assert trust(np.array([0.2]), 4)[0] == pytest.approx(0.9)  # at chance, what was known before


def test_equal_rows_are_as_near_as_can_be() -> None:
    unit = np.eye(3, dtype=np.float32)
    np.testing.assert_allclose(meaning_kernel(unit, 2.0), np.exp(2 * (np.eye(3) - 1)), rtol=1e-6)
