"""Memory: what a shard takes is foretold, what does not fit is refused, and nothing grows with the batches."""

import gc
import os
import tracemalloc
from pathlib import Path

import pytest
import torch
from activation_fakes import FakeBackend

from personascope.activations import memory
from personascope.activations.collect import collect
from personascope.activations.memory import available_bytes, require_memory, shard_bytes
from personascope.activations.plan import Plan, Row
from personascope.errors import StoreError
from personascope.models.backend import Outputs
from personascope.prompts.prompt import Prompt


class Constant(FakeBackend):
    """Numbers that cost nothing, so that only the store's own memory is seen."""

    def run(self, prompts, *, layers=(), positions=("answer",), options=None, interventions=()):
        shape = (len(prompts), len(layers), len(positions), self.d_model)
        return Outputs(torch.ones(shape), torch.zeros(len(prompts), 0), torch.zeros(len(prompts)))


def wide_plan(backend, n, rows_per_shard):
    rows = [Row(str(number), Prompt((1, number), "", {}), {}) for number in range(n)]
    return Plan("wide", rows, (0, 1), ("answer",), None, backend.fingerprint(), rows_per_shard)


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def live_tensor_bytes():
    """Bytes of all tensors that are alive: resident memory would hide what the allocator takes from what it kept."""
    storages = {}
    for found in gc.get_objects():
        if isinstance(found, torch.Tensor) and found.device.type == "cpu":
            storages[found.untyped_storage().data_ptr()] = found.untyped_storage().nbytes()
    return sum(storages.values())


def test_the_estimate_is_within_a_quarter_of_what_is_taken(tmp_path):
    backend = Constant(d_model=200_000)
    plan = wide_plan(backend, 64, 32)
    collect(plan, backend, tmp_path / "warm")
    gc.collect()
    before, peak = live_tensor_bytes(), []

    class Watched(Constant):
        def run(self, prompts, **how):
            outputs = super().run(prompts, **how)
            gc.collect()
            peak.append(live_tensor_bytes() - before)
            return outputs

    collect(plan, Watched(d_model=200_000), tmp_path / "store")
    estimate = shard_bytes(plan.shard(0), 200_000)
    assert len(peak) > 1  # so that a shard that is kept while the next is read would be seen
    assert abs(max(peak) - estimate) <= 0.25 * estimate
    tracemalloc.start()
    collect(plan, Constant(d_model=200_000), tmp_path / "again")
    own = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert own < 0.25 * estimate  # what Python and numpy add to the backend's tensor


def test_a_shard_that_does_not_fit_is_refused_before_the_backend_runs(tmp_path, plan, backend, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 500)
    with pytest.raises(StoreError, match=r"5 rows \(one shard\) take") as caught:
        collect(plan, backend, tmp_path / "store")
    assert "rows_per_shard=1" in caught.value.fix
    assert backend.batches == []
    assert not (tmp_path / "store").exists()


def test_the_narrower_of_system_and_control_group_counts(tmp_path, monkeypatch, plan):
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    7 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert available_bytes() == 7 * 1024
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("4000\n")
    assert available_bytes() == 1000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes() == 7 * 1024
    (tmp_path / "meminfo").unlink()
    assert available_bytes() is None
    require_memory(plan.shard(0), 10**12)  # nothing is known, so nothing is refused


def leak(root, batches):
    """Growth of resident memory in bytes per 1000 batches, and of open files, over many shards of one row."""
    backend = Constant()
    plan = wide_plan(backend, batches, 1)
    plan.key()
    seen = []
    descriptors = Path("/proc/self/fd")

    def note(rows, _tokens):
        if rows in (batches // 4, batches):
            gc.collect()
            seen.append((resident(), len(list(descriptors.iterdir()))))

    collect(plan, backend, root / "store", progress=note)
    (start, files), (end, files_at_end) = seen
    return (end - start) / (batches - batches // 4) * 1000, files_at_end - files


def test_open_files_do_not_grow(tmp_path):
    assert leak(tmp_path, 60)[1] == 0


@pytest.mark.slow
def test_two_thousand_batches_take_no_memory(tmp_path):
    slope, files = leak(tmp_path, 2000)
    assert files == 0
    assert slope <= 1e6
