"""File systems without hard links, and network ones that repeat calls: the first writer still wins."""

import errno
import os
import threading

import pytest
from activation_fakes import FakeBackend, names, snapshot

from personascope.activations import publish, rename
from personascope.activations.collect import collect
from personascope.activations.publish import link_once, sweep_strays, temporary_path
from personascope.errors import StoreError


def no_links(code):
    def refused(*_):
        raise OSError(code, os.strerror(code))

    return refused


@pytest.fixture(params=["renameat2", "claims"])
def without_links(request, monkeypatch):
    monkeypatch.setattr(os, "link", no_links(errno.EPERM))
    if request.param == "claims":
        monkeypatch.setattr(rename, "_renameat2", lambda *_: errno.EINVAL)


def written(folder, name, data):
    (folder / name).write_bytes(data)
    return folder / name


def test_the_first_writer_wins_and_nothing_is_overwritten(tmp_path, without_links):
    target = tmp_path / "shard"
    assert link_once(written(tmp_path, ".tmp-1", b"first"), target)
    inode = target.stat().st_ino
    assert not link_once(written(tmp_path, ".tmp-2", b"second"), target)
    assert (target.read_bytes(), target.stat().st_ino) == (b"first", inode)
    assert names(tmp_path) == [".tmp-2", "shard"]


@pytest.mark.parametrize("code", sorted(publish._NO_LINKS))
def test_a_collection_is_bit_identical_without_hard_links(tmp_path, plan, reference, monkeypatch, code):
    monkeypatch.setattr(os, "link", no_links(code))
    collect(plan, FakeBackend(), tmp_path / "store")
    assert snapshot(tmp_path / "store") == reference
    assert not [name for name in names(tmp_path / "store") if name.startswith(".")]


def test_many_writers_at_once_leave_one_winner(tmp_path, without_links):
    target, won = tmp_path / "shard", []
    files = [written(tmp_path, f".tmp-{number}", bytes([number])) for number in range(8)]
    threads = [threading.Thread(target=lambda file=file: won.append((link_once(file, target), file))) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [file for is_first, file in won if is_first]
    assert target.read_bytes() == bytes([int(winner.name[5:])])


def test_other_errors_of_link_are_not_taken_for_missing_links(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", no_links(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        link_once(written(tmp_path, ".tmp-1", b"x"), tmp_path / "shard")
    assert names(tmp_path) == [".tmp-1"]


@pytest.mark.parametrize("code", [errno.EEXIST, errno.EIO])
def test_a_repeated_call_whose_first_answer_was_lost_counts_as_won(tmp_path, monkeypatch, code):
    link = os.link

    def repeated(source, target):
        link(source, target)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", repeated)
    assert link_once(written(tmp_path, ".tmp-1", b"x"), tmp_path / "shard")
    assert (tmp_path / "shard").read_bytes() == b"x"


def test_a_claim_that_nobody_uses_is_an_error_and_the_next_run_sweeps_it(tmp_path, plan, monkeypatch, reference):
    monkeypatch.setattr(os, "link", no_links(errno.EPERM))
    monkeypatch.setattr(rename, "_renameat2", lambda *_: errno.EINVAL)
    monkeypatch.setattr(rename, "_PATIENCE", 0.05)
    folder = tmp_path / "store"
    folder.mkdir()
    dead = f".tmp-{publish._host()}-00000000-1-0123abcd.h5"
    (folder / ".claim-shard-00001.h5").write_text(dead)
    (folder / ".claim-shard-00002.h5").write_text(f".tmp-another-{publish._boot_id()}-1-0123abcd.h5")
    with pytest.raises(StoreError, match=r"claimed by \.tmp-another"):
        collect(plan, FakeBackend(), folder)
    assert names(folder) == [
        ".claim-shard-00002.h5",
        "manifest.jsonl",
        "plan.json",
        "run.lock",
        *sorted(reference)[1:3],
    ]
    (folder / ".claim-shard-00002.h5").unlink()
    collect(plan, FakeBackend(), folder)
    assert snapshot(folder) == reference


def test_a_claim_of_a_living_writer_is_kept(tmp_path):
    with temporary_path(tmp_path, ".h5") as temporary:
        name = temporary.name.replace(f"-{os.getpid()}-", f"-{os.getppid()}-")
        (tmp_path / ".claim-shard").write_text(name)
        (tmp_path / ".claim-odd").write_bytes(b"\xff")
        assert sweep_strays(tmp_path) == ()
