"""SIGTERM and Ctrl-C while a store is filled: known exit codes, nothing half-written, resumable."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from activation_fakes import FakeBackend, make_plan, snapshot, temporaries

from personascope.activations.collect import collect
from personascope.activations.manifest import read_records
from personascope.activations.stop import stopping

SCRIPT = """
    import os, sys
    from pathlib import Path
    from activation_fakes import FakeBackend, make_plan
    from personascope.activations.collect import collect
    backend = FakeBackend(delay=float(sys.argv[2]), on_run=lambda _: os.write(1, b"run\\n"))
    plan = make_plan(FakeBackend(), rows_per_shard=2)
    try:
        collect(plan, backend, Path(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard():
    """A shell's background job, and so a test run inside one, starts with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_process_exits_as_asked_and_can_be_resumed(tmp_path, number, code):
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path / "store"), "0.4"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    for _ in range(3):
        assert process.stdout.readline() == b"run\n"
    process.send_signal(number)
    assert process.wait(timeout=20) == code
    process.stdout.close()
    assert sorted(read_records(tmp_path / "store")) == [0, 1]
    assert not temporaries(tmp_path / "store")
    backend = FakeBackend()
    plan = make_plan(backend, rows_per_shard=2)
    collect(plan, backend, tmp_path / "store")
    assert len(backend.batches) == len(plan.shards()) - 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_shard_that_is_being_published_is_finished_first(tmp_path, plan, monkeypatch, number, reference):
    link, count = os.link, iter(range(100))

    def stopped_while_publishing(*names):
        if next(count) == 1:  # the plan's link comes first, then shard 0
            os.kill(os.getpid(), number)
            time.sleep(0.01)
        link(*names)

    monkeypatch.setattr(os, "link", stopped_while_publishing)
    with pytest.raises((SystemExit, KeyboardInterrupt)) as caught:
        collect(plan, FakeBackend(), tmp_path / "store")
    if number == signal.SIGTERM:
        assert caught.value.code == 143
    assert sorted(read_records(tmp_path / "store")) == [0]
    assert not temporaries(tmp_path / "store")
    collect(plan, FakeBackend(), tmp_path / "store")
    assert snapshot(tmp_path / "store") == reference


def test_handlers_are_restored_and_a_programs_own_are_left_alone(tmp_path, plan):
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    collect(plan, FakeBackend(), tmp_path / "a")
    assert {number: signal.getsignal(number) for number in before} == before
    own = []
    signal.signal(signal.SIGTERM, lambda *_: own.append(True))
    try:
        collect(plan, FakeBackend(on_run=lambda _: os.kill(os.getpid(), signal.SIGTERM)), tmp_path / "b")
    finally:
        signal.signal(signal.SIGTERM, before[signal.SIGTERM])
    assert len(own) == len(plan.shards())


def test_the_second_signal_does_not_wait():
    with pytest.raises(KeyboardInterrupt), stopping() as stop:
        stop.receive(signal.SIGINT, None)
        assert stop.signal == signal.SIGINT
        stop.receive(signal.SIGINT, None)
        pytest.fail("went on")


def test_outside_the_main_thread_nothing_is_handled(tmp_path, plan):
    found = []
    thread = threading.Thread(target=lambda: found.append(collect(plan, FakeBackend(), tmp_path / "store")))
    thread.start()
    thread.join()
    assert found[0].complete
    assert json.loads((tmp_path / "store" / "plan.json").read_text())["key"] == plan.key()
