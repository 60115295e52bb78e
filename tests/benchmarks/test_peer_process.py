import ast
import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from benchmarks.peers.environments import ENVIRONMENTS, RECORD, TORCH, PeerError, python_of
from benchmarks.peers.process import HERE, PeerProcess, available_peers

WORKER = Path(__file__).parent / "echo_worker.py"
DIE, HANG, RAISE = 9001, 9002, 9003


def echo(folder="model", threads=1):
    return PeerProcess(Path(sys.executable), WORKER, Path(folder), threads, timeout=20, name="echo")


@pytest.fixture(scope="module")
def peer():
    with echo(threads=3) as running:
        yield running


def test_a_worker_says_what_it_is(peer):
    assert peer.about.versions == {"echo": "1"}
    assert (peer.about.layers, peer.about.positions, peer.about.threads) == (3, "any", 3)
    assert peer.about.seconds >= 0


def test_a_worker_finds_an_empty_input_and_nothing_of_ours(peer):
    assert peer.about.note == "'' False model"


def test_captured_rows_come_back_in_order_and_with_their_layers(peer):
    seconds, found = peer.capture([[1, 2, 3], (10,)], [2, 0])
    assert found.tolist() == [[[6, 3, 2], [6, 3, 0]], [[10, 1, 2], [10, 1, 0]]]
    assert found.dtype == np.float32
    assert 0.05 <= seconds < 5


def test_what_a_library_prints_does_not_break_the_protocol_and_is_kept(peer):
    peer.capture([[1]], [0])
    printed = peer._last_lines()
    assert "progress: 1 of 1" in printed
    assert "a child process that prints" in printed


def test_a_sweep_carries_vectors_coefficients_positions_and_options(peer):
    vectors = {2: np.array([1.0, 2.0]), 0: np.array([5.0, 5.0])}
    _, found = peer.sweep([[7, 7], [7, 7, 7]], vectors, [0.5, -1], [[1], [2, 3]], first_steered=[1, 2])
    rows = np.array([1 + 2, 2 + 3])[:, None] + np.array([1, 5])
    assert np.array_equal(found, np.array([1.5, -3, 5, -10])[:, None, None] + rows)


def test_a_sweep_steers_all_tokens_when_no_start_is_named(peer):
    _, found = peer.sweep([[7], [7, 7]], {0: np.zeros(2)}, [1], [[0]])
    assert found.tolist() == [[[1], [2]]]


def test_starts_must_be_one_per_row(peer):
    with pytest.raises(ValueError, match="1 values of first_steered for 2 rows"):
        peer.sweep([[7], [7]], {0: np.zeros(2)}, [1], [[0]], first_steered=[0])


def test_an_error_of_the_library_is_told_and_the_worker_lives_on(peer):
    with pytest.raises(PeerError, match="echo failed in `capture`: KeyError: 'not in this library'"):
        peer.capture([[RAISE]], [0])
    assert peer.capture([[4]], [1])[1].tolist() == [[[4, 1, 1]]]


def test_a_worker_that_dies_leaves_its_last_lines():
    with echo() as peer:
        with pytest.raises(PeerError, match="echo died in `capture` with exit code 7") as error:
            peer.capture([[DIE]], [0])
        assert error.value.cause.splitlines()[-1] == "the last words"
        with pytest.raises(PeerError, match="exit code 7"):
            peer.capture([[1]], [0])


def test_a_worker_that_cannot_load_is_an_error_on_entry():
    with pytest.raises(PeerError, match="echo died in `load` with exit code 1") as error, echo("broken"):
        pass
    assert "no model in here" in error.value.cause


def test_a_silent_worker_is_ended_after_the_time_limit():
    with echo() as peer:
        peer.timeout = 0.5
        started = time.monotonic()
        with pytest.raises(PeerError, match=r"did not answer `capture` within 0\.5 s"):
            peer.capture([[HANG]], [0])
        assert time.monotonic() - started < 10
        assert peer._process.wait(timeout=10) != 0


def test_leaving_ends_the_worker_and_removes_its_files():
    with echo() as peer:
        folder = Path(peer._folder.name)
        assert folder.is_dir()
    assert peer._process.returncode == 0
    assert not folder.exists()


def test_peers_are_those_whose_environment_was_made_from_these_pins(tmp_path, capsys):
    for name, pins in (("saklas", ENVIRONMENTS["saklas"].requirements), ("repeng", ("repeng==0.1",))):
        (tmp_path / name).mkdir()
        (tmp_path / name / RECORD).write_text(json.dumps({"requirements": [TORCH, *pins]}))
    found = available_peers(tmp_path)
    assert list(found) == ["saklas"]
    assert found["saklas"].python == tmp_path / "saklas" / "bin" / "python"
    printed = capsys.readouterr().out
    for name in set(ENVIRONMENTS) - {"saklas"}:
        assert f"{name}: no environment (python -m benchmarks.peers.environments)" in printed
    assert "saklas" not in printed
    assert available_peers(None) == {}
    assert python_of(tmp_path / "nowhere", "saklas") is None


def test_what_runs_in_a_peers_environment_imports_nothing_of_ours():
    shared = {"benchmarks.peers.serve", "benchmarks.peers.batches"}
    for path in [HERE / "serve.py", HERE / "batches.py", *HERE.glob("worker_*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name in shared or name.split(".")[0] not in {"benchmarks", "personascope"}, f"{path}: {name}"


def test_every_peer_has_a_worker_and_exact_pins():
    assert {environment.worker for environment in ENVIRONMENTS.values()} == {p.name for p in HERE.glob("worker_*.py")}
    for name, environment in ENVIRONMENTS.items():
        assert all("==" in pin for pin in environment.requirements), name
        assert environment.requirements[0].startswith(f"{name}==")
