"""Run one computation per layer, several layers at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

Result = TypeVar("Result")


def over_layers(
    compute: Callable[[int], Result],
    layers: Sequence[int],
    progress: Callable[[str, int, int], None],
    what: str,
) -> list[Result]:
    """`compute(layer)` for every layer, in the order of `layers`, one thread per core.

    Linear algebra runs single-threaded inside: probes decompose matrices of a few hundred rows, on which the threads
    of one decomposition would wait for each other longer than they work. Layers do not depend on one another, so
    the results are the same however many run at a time.
    """
    progress(what, 0, len(layers))
    results: list[Result] = []
    with threadpool_limits(limits=1), ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for result in pool.map(compute, layers):
            results.append(result)
            progress(what, len(results), len(layers))
    return results
