"""Pair designs: which tasks are compared with which."""

from __future__ import annotations

import itertools
from collections.abc import Collection

import numpy as np

from personascope.errors import DataError


def d_regular_pairs(n_tasks: int, degree: int, seed: int) -> list[tuple[int, int]]:
    """A random design in which every task meets `degree` different others, so that no task is known better.

    A union of `degree // 2` random Hamiltonian cycles (and for odd degree one random perfect matching), each mended
    until no pair repeats. Hamiltonian cycles keep the comparison graph connected by construction; uniform random
    d-regular graphs are connected only with high probability. A design with more than half of all pairs is the
    complement of such a union, connected because any two tasks that are not compared share a neighbour.

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
    drawn: set[tuple[int, int]] = set()
    drawn_degree = min(degree, n_tasks - 1 - degree)
    for is_cycle in [True] * (drawn_degree // 2) + [False] * (drawn_degree % 2):
        drawn |= _fresh_edges(rng, n_tasks, is_cycle, drawn)
    if drawn_degree == degree:
        return sorted(drawn)
    return [pair for pair in itertools.combinations(range(n_tasks), 2) if pair not in drawn]


def uniform_pairs(
    n_tasks: int, n_pairs: int, seed: int, exclude: Collection[tuple[int, int]] = ()
) -> list[tuple[int, int]]:
    """Pairs drawn uniformly without replacement: an evaluation set that no choice of pairs has favoured.

    Args:
        n_tasks: size of the pool.
        n_pairs: pairs to draw.
        seed: of the draw.
        exclude: pairs, in either order, that must not be drawn, such as those that were fitted.

    Returns:
        `n_pairs` pairs (i, j) with i < j, sorted.

    Raises:
        DataError: fewer pairs are left, or an excluded one is not of this pool.
    """
    total = n_tasks * (n_tasks - 1) // 2
    taken = {(min(pair), max(pair)) for pair in exclude}
    if any(not 0 <= i < j < n_tasks for i, j in taken) or not 0 <= n_pairs <= total - len(taken):
        raise DataError(
            f"{n_pairs} pairs of {n_tasks} tasks without {len(taken)} excluded ones.",
            f"There are {total} pairs, and excluded ones must be two different tasks of the pool.",
            "Ask for fewer pairs.",
        )
    drawn = np.random.default_rng(seed).choice(total, size=n_pairs + len(taken), replace=False)
    # pair (i, j), i < j, has the number j (j - 1) / 2 + i; the root is one off at most, for any pool in memory
    j = ((1 + np.sqrt(1 + 8 * drawn.astype(np.float64))) / 2).astype(np.int64)
    j += (j * (j + 1) // 2 <= drawn).astype(np.int64) - (j * (j - 1) // 2 > drawn)
    pairs = zip((drawn - j * (j - 1) // 2).tolist(), j.tolist(), strict=True)
    return sorted([pair for pair in pairs if pair not in taken][:n_pairs])


def _fresh_edges(
    rng: np.random.Generator, n_tasks: int, is_cycle: bool, taken: set[tuple[int, int]]
) -> set[tuple[int, int]]:
    """Edges of a random cycle or matching that avoids `taken`; clashes are mended by swapping tasks of the order."""
    order: list[int] = rng.permutation(n_tasks).tolist()

    def edges_at(place: int) -> list[tuple[int, int]]:
        beside = (place - 1, (place + 1) % n_tasks) if is_cycle else (place ^ 1,)
        return [(min(order[place], order[k]), max(order[place], order[k])) for k in beside]

    def clashes(*places: int) -> int:
        return sum(edge in taken for place in places for edge in edges_at(place))

    for _ in range(1000):
        clashing = [place for place in range(n_tasks) if clashes(place)]
        if not clashing:
            return {edge for place in range(n_tasks) for edge in edges_at(place)}
        for here, other in zip(clashing, rng.integers(n_tasks, size=len(clashing)).tolist(), strict=True):
            before = clashes(here, other)
            order[here], order[other] = order[other], order[here]
            if clashes(here, other) > before:
                order[here], order[other] = order[other], order[here]
    raise DataError(
        f"Found no further {'cycle' if is_cycle else 'matching'} over {n_tasks} tasks without a repeated pair.",
        "The degree is too close to the number of tasks.",
        "Use a lower degree.",
    )
