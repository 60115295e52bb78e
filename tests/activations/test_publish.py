import os
import subprocess
import sys
from pathlib import Path

import pytest
from activation_fakes import names, temporaries

from personascope.activations import publish
from personascope.activations.publish import disk_errors_explained, link_once, sweep_strays, temporary_path, write_once
from personascope.errors import StoreError


def ended_pid():
    """Id of a process that has ended and been waited for."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def stray(folder, host=None, boot=None, pid=None, name=None):
    host, boot = host or publish._host(), boot or publish._boot_id()
    path = folder / (name or f".tmp-{host}-{boot}-{os.getppid() if pid is None else pid}-0123abcd.h5")
    path.write_bytes(b"half")
    return path


def test_a_file_appears_whole_and_is_never_overwritten(tmp_path):
    target = tmp_path / "plan.json"
    assert write_once(target, b"first")
    assert not write_once(target, b"second")
    assert target.read_bytes() == b"first"
    assert names(tmp_path) == ["plan.json"]


def test_the_temporary_is_removed_after_any_error(tmp_path):
    with pytest.raises(KeyboardInterrupt), temporary_path(tmp_path, ".h5") as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_the_file_is_synced_before_its_link_and_the_folder_after(tmp_path, monkeypatch):
    steps, fsync, link = [], os.fsync, os.link
    monkeypatch.setattr(
        os, "fsync", lambda fd: (steps.append(f"fsync {Path(f'/proc/self/fd/{fd}').readlink()}"), fsync(fd))
    )
    monkeypatch.setattr(os, "link", lambda a, b: (steps.append("link"), link(a, b)))
    (tmp_path / "a").write_bytes(b"x")
    assert link_once(tmp_path / "a", tmp_path / "b")
    assert steps == [f"fsync {tmp_path}/a", "link", f"fsync {tmp_path}"]


def test_a_temporary_of_a_dead_writer_is_swept(tmp_path):
    dead = stray(tmp_path, pid=ended_pid())
    assert sweep_strays(tmp_path) == (dead.name,)
    assert names(tmp_path) == []


def test_a_temporary_of_before_the_last_boot_is_swept_even_if_its_pid_lives(tmp_path):
    boot = "0" * 8 if publish._boot_id() != "0" * 8 else "1" * 8
    old = stray(tmp_path, boot=boot)
    assert sweep_strays(tmp_path) == (old.name,)


def test_a_temporary_with_this_process_id_is_a_predecessors(tmp_path):
    old = stray(tmp_path, pid=os.getpid())
    assert sweep_strays(tmp_path) == (old.name,)


def test_temporaries_of_living_writers_other_hosts_and_other_programs_are_kept(tmp_path):
    kept = {
        stray(tmp_path).name,
        stray(tmp_path, host="another", pid=ended_pid()).name,
        stray(tmp_path, name=".tmp-notes.h5").name,
        stray(tmp_path, name="results.h5").name,
    }
    assert sweep_strays(tmp_path) == ()
    assert set(names(tmp_path)) == kept


def test_another_users_living_writer_is_kept(tmp_path, monkeypatch):
    def denied(pid, signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", denied)
    stray(tmp_path)
    assert sweep_strays(tmp_path) == ()


def test_the_sweep_knows_the_names_that_are_given(tmp_path, monkeypatch):
    monkeypatch.setattr(publish.socket, "gethostname", lambda: "odd-host/name é")
    with temporary_path(tmp_path, ".h5") as temporary:
        temporary.write_bytes(b"x")
        assert temporaries(tmp_path) == [temporary.name]
        assert sweep_strays(tmp_path) == (temporary.name,)


def test_systems_without_a_boot_id_get_zeros(tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "_BOOT_ID", tmp_path / "none")
    assert publish._boot_id() == "00000000"


def test_disk_errors_keep_their_cause(tmp_path):
    full = OSError(28, "No space left on device")
    with (
        pytest.raises(StoreError, match=r"could not publish(.|\n)*No space") as caught,
        disk_errors_explained(tmp_path, "publish"),
    ):
        raise full
    assert caught.value.__cause__ is full
