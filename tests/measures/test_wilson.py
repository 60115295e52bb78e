"""Wilson's interval against its closed form."""

from __future__ import annotations

import numpy as np
import pytest

from personascope.measures.wilson import wilson


def test_shares_have_the_closed_form_and_nothing_seen_has_none() -> None:
    share, n, z = np.array([0.25, 0.0, 0.5]), np.array([8.0, 5.0, 0.0]), 1.959963984540054
    low, high = wilson(share, n)
    for k in (0, 1):
        centre = (share[k] + z * z / (2 * n[k])) / (1 + z * z / n[k])
        half = z / (1 + z * z / n[k]) * np.sqrt(share[k] * (1 - share[k]) / n[k] + z * z / (4 * n[k] ** 2))
        assert (low[k], high[k]) == (pytest.approx(centre - half, abs=1e-12), pytest.approx(centre + half))
    assert np.isnan([low[2], high[2]]).all()


def test_no_and_all_hits_end_at_the_ends_exactly():
    low, high = wilson(np.array([0.0, 1.0, 0.0]), np.array([24.0, 24.0, 0.0]))
    assert (low[0], high[1]) == (0.0, 1.0) and np.isnan([low[2], high[2]]).all()
