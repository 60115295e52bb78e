"""Random halves of items that share no cluster, so that the errors of the two are independent."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int, Shaped


def half_masks(
    cells: Int[np.ndarray, " item"], clusters: Shaped[np.ndarray, " item"], *, n_splits: int, seed: int
) -> Bool[np.ndarray, "split item"]:
    """Which items are in the first half, for each of many random splits.

    Each cell's clusters are split evenly and stay whole; with an odd number either half may have one more.

    Args:
        cells: stratum of each item (facet x key). A cluster of several cells is split among those of the cell where
            its first item lies.
        clusters: label of each item's cluster; a label of its own for an item that has no near duplicate.
        n_splits: random splits.
        seed: of the splits.
    """
    rng = np.random.default_rng(seed)
    _, first, cluster = np.unique(clusters, return_index=True, return_inverse=True)
    home = cells[first]
    in_first = np.zeros((n_splits, len(home)), dtype=bool)
    for cell in np.unique(home):
        (ids,) = np.nonzero(home == cell)
        ranks = rng.random((n_splits, len(ids))).argsort(axis=1).argsort(axis=1)
        in_first[:, ids] = ranks < (len(ids) + rng.integers(2, size=(n_splits, 1))) // 2
    return in_first[:, cluster]
