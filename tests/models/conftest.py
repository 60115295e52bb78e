"""Lets the tests of this room import its tiny models, and keeps torch to one thread."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _one_thread():
    """Tiny models gain nothing from a second thread, and lose much when another process holds the second core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def llama():
    """A fresh engine over a tiny random Llama."""
    from tiny_models import tiny_engine

    return tiny_engine("llama")


@pytest.fixture
def prompts():
    """Fifteen prompts whose prefixes nest three deep."""
    from tiny_models import nested_prompts

    return nested_prompts()
