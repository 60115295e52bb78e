"""Pair designs: which tasks are compared with which."""

from __future__ import annotations

import numpy as np

from personascope.errors import DataError


def d_regular_pairs(n_tasks: int, degree: int, seed: int) -> list[tuple[int, int]]:
    """A random design in which every task meets `degree` different others, so that no task is known better.

    A union of `degree // 2` random Hamiltonian cycles (and for odd degree one random perfect matching), redrawn
    cycle by cycle until no pair repeats. Hamiltonian cycles keep the comparison graph connected by construction;
    uniform random d-regular graphs are connected only with high probability.

    Returns:
        `n_tasks * degree / 2` pairs (i, j) with i < j, sorted.

    Raises:
        DataError: the degree is below 2, is not below `n_tasks`, or `n_tasks * degree` is odd.
    """
    if not 2 <= degree < n_tasks or n_tasks * degree % 2:
        raise DataError(
            f"No {degree}-regular design over {n_tasks} tasks.",
            "The degree must be at least 2 and below the number of tasks, and tasks x degree must be even.",
            "Change `degree` in the recipe.",
        )
    rng = np.random.default_rng(seed)
    pairs: set[tuple[int, int]] = set()
    steps = [1] * (degree // 2) + [0] * (degree % 2)
    for is_cycle in steps:
        pairs |= _fresh_edges(rng, n_tasks, bool(is_cycle), pairs)
    return sorted(pairs)


def _fresh_edges(
    rng: np.random.Generator, n_tasks: int, is_cycle: bool, taken: set[tuple[int, int]]
) -> set[tuple[int, int]]:
    """Edges of a random cycle or matching that avoids `taken`; clashes are mended by swapping tasks of the order."""
    order = rng.permutation(n_tasks)
    for _ in range(1000 * n_tasks):
        left = order if is_cycle else order[0::2]
        right = np.roll(order, -1) if is_cycle else order[1::2]
        edges = [(min(a, b), max(a, b)) for a, b in zip(left.tolist(), right.tolist(), strict=True)]
        clashes = [k for k, edge in enumerate(edges) if edge in taken]
        if not clashes:
            return set(edges)
        for k in clashes:
            here = k if is_cycle else 2 * k
            other = int(rng.integers(n_tasks))
            order[here], order[other] = order[other], order[here]
    raise DataError(
        f"Found no further {'cycle' if is_cycle else 'matching'} over {n_tasks} tasks without a repeated pair.",
        "The degree is too close to the number of tasks.",
        "Use a lower degree.",
    )
