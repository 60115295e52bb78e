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


@pytest.fixture
def small(tmp_path):
    """Path of a valid shard of two rows, one layer, one position, four dimensions."""
    from activation_fakes import FakeBackend, make_plan, make_rows

    from personascope.activations.shard import shard_path
    from personascope.activations.write import write_shard

    backend = FakeBackend(d_model=4)
    plan = make_plan(backend, rows=make_rows(2, 1), layers=(0,), positions=("answer",), rows_per_shard=2)
    outputs = backend.run([row.prompt for row in plan.rows], layers=(0,), options=plan.options)
    write_shard(tmp_path, plan.shard(0), outputs)
    return shard_path(tmp_path, 0)


@pytest.fixture
def reference(tmp_path, plan, backend):
    """Files of an uninterrupted run."""
    from activation_fakes import snapshot

    from personascope.activations.collect import collect

    collect(plan, backend, tmp_path / "reference")
    return snapshot(tmp_path / "reference")
