import numpy as np
import pytest

from personascope.measures.intervals import (
    batch_size,
    cell_means,
    clusters_by_cell,
    means_interval,
    percentile_interval,
    resampled_means,
    resampled_weights,
)


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


def spread(values, cells, clusters, coefficients, *, within=True, n_resamples=20_000):
    """Bootstrap standard deviation of a weighted sum of cell means."""
    means = resampled_means(values[:, None], cells, clusters, n_resamples=n_resamples, seed=0, within=within)
    return float((means[:, :, 0] @ coefficients).std())


def test_with_clusters_of_one_item_the_resampling_is_that_of_means_interval():
    rng = np.random.default_rng(2)
    a, b = rng.normal(1, 2, 30), rng.normal(0, 1, 20)
    cells = np.repeat([0, 1], [30, 20])
    means = resampled_means(np.concatenate([a, b])[:, None], cells, np.arange(50), n_resamples=20_000, seed=0)
    ours = percentile_interval(means[:, :, 0] @ np.array([0.5, -0.5]))
    theirs = means_interval([a, b], [0.5, -0.5], n_resamples=20_000, seed=1)
    np.testing.assert_allclose(ours, theirs, atol=0.02 * (theirs[1] - theirs[0]))


def test_both_stages_have_their_closed_form_variance():
    # 12 clusters of 4: variance of cluster means / 12, and of items within clusters / 48 for the second stage.
    rng = np.random.default_rng(3)
    values = (rng.normal(0, 1, (12, 1)) + rng.normal(0, 1.5, (12, 4))).ravel()
    clusters, cells = np.repeat(np.arange(12), 4), np.zeros(48, dtype=int)
    table = values.reshape(12, 4)
    between, inside = table.mean(axis=1).var(), table.var(axis=1).mean()
    one = np.array([1.0])
    assert spread(values, cells, clusters, one, within=False) == pytest.approx((between / 12) ** 0.5, rel=0.02)
    assert spread(values, cells, clusters, one) == pytest.approx(((between + inside / 4) / 12) ** 0.5, rel=0.02)


def test_items_in_any_order_and_labels_of_any_kind_are_the_same_design():
    rng = np.random.default_rng(4)
    values, cells = rng.normal(size=(20, 1)), np.repeat([0, 1], 10)
    clusters = np.array([0, 0, 0, 1, 1, 2, 3, 4, 5, 5, 6, 6, 7, 8, 9, 10, 11, 11, 12, 13])
    settings = {"n_resamples": 4_000, "seed": 0}
    one = resampled_means(values, cells, clusters, **settings)
    named = resampled_means(values, cells, np.array([f"c{c:02d}" for c in clusters]), **settings)
    np.testing.assert_array_equal(one, named)
    order = rng.permutation(20)
    other = resampled_means(values[order], cells[order], clusters[order], **settings)
    np.testing.assert_allclose(other.mean(axis=0), one.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(other.std(axis=0), one.std(axis=0), rtol=0.05)


def test_a_cluster_in_two_cells_is_drawn_as_a_whole():
    # Every cluster has one item of each cell with equal values: the cells' means can never differ.
    pairs = np.random.default_rng(5).normal(size=8)
    means = resampled_means(
        np.repeat(pairs, 2)[:, None], np.tile([0, 1], 8), np.repeat(np.arange(8), 2), n_resamples=500, seed=0
    )
    np.testing.assert_allclose(means[:, 0], means[:, 1])
    assert means.std() > 0.1


def test_columns_share_their_resamples():
    values = np.random.default_rng(6).normal(size=(10, 1))
    means = resampled_means(
        np.hstack([values, 2 * values + 1]), np.zeros(10, dtype=int), np.arange(10), n_resamples=300, seed=0
    )
    np.testing.assert_allclose(means[:, :, 1], 2 * means[:, :, 0] + 1)


def test_batches_of_bounded_memory_cover_all_resamples():
    n = 1_500
    assert batch_size(4 * n) < 1_000
    means = resampled_means(np.ones((n, 1)), np.zeros(n, dtype=int), np.arange(n), n_resamples=1_000, seed=0)
    np.testing.assert_array_equal(means, 1.0)


def test_a_cell_that_was_not_drawn_is_undefined_and_left_out():
    # Cell 1 lives only in two clusters whose greater part lies in cell 0, so that resamples can miss it.
    cells = np.array([0, 0, 1, 0, 0, 1, 0, 0, 0, 0])
    clusters = np.array([0, 0, 0, 1, 1, 1, 2, 3, 4, 5])
    assert clusters_by_cell(cells, clusters).tolist() == [6, 2]
    means = resampled_means(np.arange(10.0)[:, None], cells, clusters, n_resamples=4_000, seed=0)
    lost = np.isnan(means[:, 1, 0])
    assert lost.mean() == pytest.approx((4 / 6) ** 6, abs=0.02)
    assert not np.isnan(means[:, 0]).any()
    low, high = percentile_interval(means[:, 1, 0])
    assert 2.0 <= low <= high <= 5.0
    assert percentile_interval(np.full(5, np.nan)) == (None, None)


def test_weights_give_weighted_means():
    values, cells = np.array([[1.0], [2.0], [10.0]]), np.array([0, 0, 1])
    means = cell_means(np.array([[1.0, 3.0, 2.0], [1.0, 0.0, 0.0]]), values, cells)
    np.testing.assert_array_equal(means[:, :, 0], [[1.75, 10.0], [1.0, np.nan]])


def test_cells_keep_their_number_of_clusters():
    # Drawn from one pot, one resample in eight would miss a cell.
    means = resampled_means(np.arange(4.0)[:, None], np.array([0, 0, 1, 1]), np.arange(4), n_resamples=500, seed=0)
    assert not np.isnan(means).any()
    assert set(means[:, 0, 0]) == {0.0, 0.5, 1.0}


def test_weights_are_those_of_the_resampled_means():
    values, cells, clusters = np.arange(12.0)[:, None], np.repeat([0, 1], 6), np.arange(12) // 2
    settings = {"n_resamples": 50, "seed": 3, "within": False}
    (weights,) = resampled_weights(cells, clusters, **settings)
    assert (weights.sum(axis=1) == 12).all()
    np.testing.assert_array_equal(
        cell_means(weights, values, cells), resampled_means(values, cells, clusters, **settings)
    )
    batches = list(resampled_weights(cells, clusters, held=5_000, **settings))
    assert [len(batch) for batch in batches] == [8] * 6 + [2]
