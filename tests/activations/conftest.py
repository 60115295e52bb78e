"""Lets the tests of this room, and the child process of the kill tests, import the same fakes."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def backend():
    from activation_fakes import FakeBackend

    return FakeBackend()


@pytest.fixture
def plan(backend):
    from activation_fakes import make_plan

    return make_plan(backend)
