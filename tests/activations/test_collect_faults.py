"""Collections that are interrupted, killed or met by a failing disk: nothing acknowledged is lost, resume is exact."""

import contextlib
import errno
import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from activation_fakes import FakeBackend, make_plan, snapshot, temporaries

from personascope.activations.collect import collect
from personascope.activations.shard import shard_path
from personascope.errors import StoreError

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.faults import Fault, ProcessDied, raising


def run_with_fault(plan, folder, k, error, after, forever):
    """Collect with the fault; returns the number of calls made and the error that came out, if any."""
    with Fault(k, raising(error), after=after, forever=forever) as fault:
        try:
            collect(plan, FakeBackend(), folder)
        except (ProcessDied, StoreError) as raised:
            return fault.count, raised
    return fault.count, None


def test_an_interrupt_leaves_no_temporary_and_can_be_resumed(tmp_path, plan, reference, monkeypatch):
    folder, link = tmp_path / "store", os.link

    def interrupt(prompts):
        if len(impatient.batches) == 2:
            raise KeyboardInterrupt

    impatient = FakeBackend(on_run=interrupt)
    with pytest.raises(KeyboardInterrupt):
        collect(plan, impatient, folder)
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        collect(plan, FakeBackend(), folder)
    assert not temporaries(folder)
    monkeypatch.setattr(os, "link", link)
    collect(plan, FakeBackend(), folder)
    assert snapshot(folder) == reference


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_dying_twice_in_a_row_loses_nothing_acknowledged(tmp_path, backend, after):
    plan = make_plan(backend, layers=(0,), positions=("answer",), rows_per_shard=12)
    collect(plan, backend, tmp_path / "reference")
    reference = snapshot(tmp_path / "reference")
    calls, _ = run_with_fault(plan, tmp_path / "count", 0, None, after, forever=False)
    for first in range(1, calls + 1):
        second, died = 0, True
        while died:
            second += 1
            folder = tmp_path / f"store{first}-{second}"
            run_with_fault(plan, folder, first, ProcessDied(), after, forever=True)
            _, died = run_with_fault(plan, folder, second, ProcessDied(), after, forever=True)
            collect(plan, FakeBackend(), folder)
            assert snapshot(folder) == reference, (first, second)
            assert not temporaries(folder)
            shutil.rmtree(folder)


@pytest.mark.parametrize(
    "code",
    [errno.ENOSPC, errno.EMFILE, *(pytest.param(code, marks=pytest.mark.slow) for code in (errno.EIO, errno.EROFS))],
)
def test_a_failing_system_call_is_a_clear_error_that_can_be_resumed(tmp_path, backend, code):
    plan = make_plan(backend, layers=(0,), rows_per_shard=6)
    collect(plan, backend, tmp_path / "reference")
    reference = snapshot(tmp_path / "reference")
    calls, _ = run_with_fault(plan, tmp_path / "count", 0, None, after=False, forever=False)
    stopped = 0
    for k in range(1, calls + 1):
        folder = tmp_path / f"store{k}"
        _, raised = run_with_fault(plan, folder, k, OSError(code, os.strerror(code)), after=False, forever=False)
        if raised:
            stopped += 1
            assert isinstance(raised, StoreError)
            assert raised.__cause__.errno == code
            assert os.strerror(code) in str(raised)
            assert not folder.exists() or not temporaries(folder)
        collect(plan, FakeBackend(), folder)
        assert snapshot(folder) == reference, k
        assert not temporaries(folder)
    removals = 1 + len(plan.shards())  # a temporary that cannot be removed is no reason to stop
    assert stopped == calls - removals


def test_a_full_disk_leaves_no_temporary_and_resumes_when_there_is_space(tmp_path, plan, reference):
    folder = tmp_path / "store"
    size = len(reference["shard-00000.h5"])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - 100, hard))
    try:
        with pytest.raises(StoreError, match="could not publish shard 0") as caught:
            collect(plan, FakeBackend(), folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.__cause__.errno == errno.EFBIG
    assert not temporaries(folder)
    assert not list(folder.glob("*.h5"))
    collect(plan, FakeBackend(), folder)
    assert snapshot(folder) == reference


@contextlib.contextmanager
def as_nobody():
    """Give up root for a while: root may write anywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_an_unwritable_folder_is_a_clear_error(plan, backend):
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        with as_nobody(), pytest.raises(StoreError, match=r"could not open the lock file(.|\n)*Permission denied"):
            collect(plan, backend, Path(name))
        with as_nobody(), pytest.raises(StoreError, match=r"could not make the folder(.|\n)*Permission denied"):
            collect(plan, backend, Path(name) / "inner")
        Path(name).chmod(0o755)
    assert backend.batches == []


def test_a_file_where_the_folder_should_be_is_a_clear_error(tmp_path, plan, backend):
    (tmp_path / "store").write_text("a file")
    with pytest.raises(StoreError, match="could not make the folder"):
        collect(plan, backend, tmp_path / "store")


def test_a_shard_that_cannot_be_read_is_not_thrown_away(tmp_path, plan, backend):
    collect(plan, backend, tmp_path)
    shard_path(tmp_path, 1).unlink()
    shard_path(tmp_path, 1).mkdir()
    with pytest.raises(StoreError, match="could not check what is there"):
        collect(plan, backend, tmp_path)
