"""Run one computation per layer, several layers at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

Result = TypeVar("Result")


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Linear algebra on one thread, and torch as it was afterwards.

    What sets torch's threads inside (a text encoder) sets those of its own MKL too, which the limits do not see and so
    leave behind: the model would go on with another number of threads, more slowly and with other rounding.
    """
    before = torch.get_num_threads()
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


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
    with single_threaded(), ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for result in pool.map(compute, layers):
            results.append(result)
            progress(what, len(results), len(layers))
    return results
