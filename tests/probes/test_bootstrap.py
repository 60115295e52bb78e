import numpy as np
import pytest

from personascope.probes.bootstrap import (
    cluster_sums,
    draw_counts,
    percentile_interval,
    resampled_correlations,
    resampled_rates,
)


def test_each_resample_draws_as_many_clusters_as_there_are():
    counts = draw_counts(13, 400, 0)
    assert counts.shape == (400, 13)
    assert (counts.sum(axis=1) == 13).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(13), abs=0.2)
    assert counts.var() == pytest.approx(12 / 13, abs=0.05)


def test_the_seed_decides_the_draws():
    one, again, other = (draw_counts(9, 5, seed) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_cluster_sums_add_rows_by_code():
    values = np.arange(8.0).reshape(4, 2)
    assert cluster_sums(values, np.array([1, 0, 1, 1])).tolist() == [[2.0, 3.0], [10.0, 13.0]]


def test_resampled_correlations_are_those_of_the_repeated_rows():
    rng = np.random.default_rng(0)
    codes = np.sort(rng.integers(0, 6, 40))
    x, y = rng.normal(size=(40, 3)) + 1e6, rng.normal(size=(40, 3))
    counts = draw_counts(6, 20, 3)
    found = resampled_correlations(x, y, codes, counts)
    for resample in range(20):
        rows = np.repeat(np.arange(40), counts[resample, codes].astype(int))
        for t in range(3):
            assert found[resample, t] == pytest.approx(np.corrcoef(x[rows, t], y[rows, t])[0, 1], abs=1e-6)


def test_a_resample_without_spread_is_undefined_and_left_out():
    x = np.array([[1.0], [1.0], [2.0], [3.0]])
    counts = np.array([[2.0, 0.0], [1.0, 1.0]])
    found = resampled_correlations(x, x, np.array([0, 0, 1, 1]), counts)
    assert np.isnan(found[0, 0])
    assert found[1, 0] == pytest.approx(1.0)
    assert percentile_interval(found)[:, 0] == pytest.approx([1.0, 1.0])


def test_rates_are_means_over_what_was_drawn():
    rates = resampled_rates(np.array([1.0, 0.0, 1.0]), np.array([[1.0, 1.0, 1.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.0]]))
    assert rates[:2] == pytest.approx([2 / 3, 0.0])
    assert np.isnan(rates[2])


def test_clusters_make_the_interval_as_wide_as_the_number_of_clusters_says():
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(50), 20)
    shared = rng.normal(size=(50, 2))
    x, y = np.repeat(shared[:, [0]], 20, axis=0), np.repeat(shared[:, [1]], 20, axis=0)
    by_cluster = percentile_interval(resampled_correlations(x, y, codes, draw_counts(50, 2000, 0)))
    by_row = percentile_interval(resampled_correlations(x, y, np.arange(1000), draw_counts(1000, 500, 0)))
    # 20 copies of each row: rows pretend to sqrt(20) times the precision
    assert np.ptp(by_cluster) / np.ptp(by_row) == pytest.approx(np.sqrt(20), rel=0.15)
    assert np.ptp(by_cluster) == pytest.approx(2 * 1.96 / np.sqrt(50), rel=0.2)
