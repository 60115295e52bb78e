import numpy as np

from personascope.measures.halves import half_masks


def test_every_cell_is_split_evenly_and_clusters_stay_whole():
    cells = np.repeat([0, 1, 2], [12, 12, 9])
    clusters = np.repeat(np.arange(11), 3)
    masks = half_masks(cells, clusters, n_splits=200, seed=0)
    assert masks.shape == (200, 33)
    by_cluster = masks.reshape(200, 11, 3)
    assert (by_cluster == by_cluster[:, :, :1]).all()
    counts = [by_cluster[:, ids, 0].sum(axis=1) for ids in (slice(0, 4), slice(4, 8), slice(8, 11))]
    assert (np.array(counts[:2]) == 2).all()
    # Of three clusters either half has two in turn.
    assert 70 < (counts[2] == 1).sum() < 130
    assert set(counts[2]) == {1, 2}
    # Each cluster falls in the first half half of the time.
    assert np.abs(by_cluster[:, :, 0].mean(axis=0) - 0.5).max() < 0.15


def test_a_cluster_of_two_cells_counts_where_its_first_item_lies():
    cells, clusters = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 1, 2, 3, 3, 4])
    masks = half_masks(cells, clusters, n_splits=50, seed=1)
    assert (masks[:, 3] == masks[:, 4]).all()
    assert (masks[:, :4].sum(axis=1) == 2).all()
