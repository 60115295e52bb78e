import numpy as np
import pytest

from personascope.measures.intervals import means_interval


def test_with_many_rows_the_interval_is_that_of_the_normal_distribution():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1.0, 2.0, 900), rng.normal(0.0, 1.0, 400)
    low, high = means_interval([a, b], [0.5, -0.5], n_resamples=20_000, seed=1)
    error = 0.5 * np.sqrt(a.var() / len(a) + b.var() / len(b))
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.03)
    assert (high + low) / 2 == pytest.approx((a.mean() - b.mean()) / 2, abs=0.1 * error)


def test_strata_are_resampled_apart():
    # Two constant strata: a bootstrap that mixed them would show a spread.
    low, high = means_interval([np.ones(5), np.zeros(7)], [1.0, -1.0], n_resamples=200, seed=0)
    assert low == high == 1.0


def test_a_stratum_of_one_row_has_no_visible_spread():
    assert means_interval([np.arange(5.0), np.ones(1)], [1.0, 1.0], n_resamples=100, seed=0) == (None, None)


def test_the_seed_decides_the_resamples():
    x = np.random.default_rng(0).normal(size=30)
    one, again, other = (means_interval([x], [1.0], n_resamples=200, seed=s) for s in (1, 1, 2))
    assert one == again != other
