"""Threads of linear algebra during a computation per layer, and afterwards."""

from __future__ import annotations

import contextlib
import re

import pytest
import torch

from personascope.experiments.layers import single_threaded


def mkl_threads() -> int:
    """What torch's own MKL would use; other tools neither see nor set it."""
    found = re.search(r"mkl_get_max_threads\(\) : (\d+)", torch.__config__.parallel_info())
    if found is None:
        pytest.skip("torch was built without MKL")
    return int(found[1])


@pytest.mark.parametrize("fails", [False, True])
def test_torch_goes_on_with_its_threads_whoever_sets_them_inside(fails: bool) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with contextlib.suppress(ZeroDivisionError), single_threaded():
            assert torch.get_num_threads() == 1
            torch.set_num_threads(torch.get_num_threads())  # as an encoder does that puts them back
            if fails:
                raise ZeroDivisionError
        assert (torch.get_num_threads(), mkl_threads()) == (2, 2)
    finally:
        torch.set_num_threads(before)
