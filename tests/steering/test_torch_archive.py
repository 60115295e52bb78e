"""Reading .pt files without an unpickler: equal to torch's own safe loader on plain values, and closed to all else."""

from __future__ import annotations

import collections
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from personascope.errors import FileFormatError
from personascope.steering.torch_archive import read_archive

LARGEST = 1 << 20


def saved(path: Path, value: object) -> Path:
    torch.save(value, path)
    return path


def refused(path: Path, match: str | None = None) -> None:
    with pytest.raises(FileFormatError, match=match) as caught:
        read_archive(path, LARGEST)
    assert str(path) in caught.value.symptom


def with_program(path: Path, program: bytes, **entries: bytes) -> Path:
    """An archive whose program is written by hand."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", program)
        for name, content in entries.items():
            archive.writestr(f"a/data/{name}", content)
    return path


def test_plain_values_and_tensors_are_those_of_torchs_own_loader(tmp_path: Path) -> None:
    shared = torch.arange(12, dtype=torch.float32)
    value = {
        "layers.3": {"v": torch.randn(1, 5), "c": 2.5, "action": "add", "bias": None, "on": True, "off": False},
        "numbers": (1, 255, 65535, -70000, 2**40, -(2**62), 1e-300, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "views": (shared[2:5], shared.reshape(3, 4)[1:], shared),
        "types": tuple(torch.randn(3).to(t) for t in (torch.float64, torch.float16, torch.bfloat16)),
        "empty": torch.empty(0),
        "text": "é更\n" * 100,
        **{f"many{number}": str(number) for number in range(300)},  # more than one byte counts
    }
    path = saved(tmp_path / "a.pt", value)
    ours, theirs = read_archive(path, LARGEST), torch.load(path, weights_only=True)
    assert equal(ours, theirs) and equal(ours, value)


def equal(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return type(other) is dict and list(one) == list(other) and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return type(other) is tuple and len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


class Executed:
    """Unpickling one would make the folder `marker`."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def test_a_program_that_would_act_is_refused_and_does_nothing(tmp_path: Path) -> None:
    refused(saved(tmp_path / "a.pt", {"x": Executed(tmp_path / "made")}), "asks for 'posix mkdir'")
    refused(with_program(tmp_path / "b.pt", pickle.dumps(Executed(tmp_path / "made"), protocol=0)), "mkdir")
    for protocol in (3, 4, 5):
        refused(with_program(tmp_path / "c.pt", pickle.dumps(Executed(tmp_path / "made"), protocol)))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"x": [1]}, "EMPTY_LIST"),
        ({"x": {1, 2}}, ""),
        ({"x": b"bytes"}, "_codecs encode"),
        ({"x": torch.arange(3)}, "LongStorage"),
        ({"x": torch.float32}, "torch float32"),
        ({"x": torch.nn.Linear(1, 1)}, "torch.nn"),
        ({"x": torch.nn.Parameter(torch.ones(2))}, "_rebuild_parameter"),
        ({"x": collections.Counter()}, "collections Counter"),
        ({"x": np.float64(1)}, "numpy"),
        ({1: "x"}, "keys are not all text"),
        ({"x": torch.ones(3, 4).T}, "with gaps"),
        ({"x": torch.ones(1).expand(1000)}, "with gaps"),
        ({"x": torch.ones(1, 1, 1, 1, 1)}, "many axes"),
    ],
)
def test_other_values_are_refused(tmp_path: Path, value: object, message: str) -> None:
    refused(saved(tmp_path / "a.pt", value), message or None)


FLOATS = b"X\x07\x00\x00\x00storagectorch FloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
"""("storage", FloatStorage, "0", "cpu", as the program says it, without the mark and the length."""
REBUILD = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n("


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (b"\x80\x02", "does not end|exhausted"),
        (b"\x80\x02.", "values to unpack"),
        (b"\x80\x02NN.", "values to unpack"),
        (b"\x80\x02t.", "pop from empty"),
        (b"\x80\x02h\x07.", "7"),
        (b"\x80\x02Ns.", "what is not there"),
        (b"\x80\x02NX\x01\x00\x00\x00aNs.", "keys are not all text"),
        (b"\x80\x02}(NNNu.", "keys are not all text"),
        (b"\x80\x02N)R.", "does not make a tensor"),
        (b"\x80\x02ccollections\nOrderedDict\nN\x85R.", "does not make a tensor"),
        (b"\x80\x02ccollections\nOrderedDict\n.", None),
        (b"\x80\x02NQ.", ""),
        (b"\x80\x02(NNNNNtQ.", "no tensor storage"),
        (REBUILD + b"NK\x00K\x01\x85K\x01\x85\x89NtR.", "without numbers"),
    ],
)
def test_programs_that_make_no_sense_are_refused(tmp_path: Path, program: bytes, message: str | None) -> None:
    path = with_program(tmp_path / "a.pt", program)
    if message is None:  # a known name alone is a value, and as dead as text
        assert "OrderedDict" in str(read_archive(path, LARGEST))
    else:
        refused(path, message or None)


def storage(length: int) -> bytes:
    named = FLOATS.replace(b"torch FloatStorage\n", b"torch\nFloatStorage\n")
    return b"(" + named + b"J" + length.to_bytes(4, "little", signed=True) + b"tQ"


@pytest.mark.parametrize(
    ("length", "start", "size", "content", "message"),
    [
        (2, 0, 2, bytes(8), ""),
        (2, 0, 2, bytes(12), "has 3 numbers, not 2"),
        (2, 0, 2, bytes(7), "multiple"),
        (2, 1, 2, bytes(8), "larger than its storage"),
        (2, 0, -1, bytes(8), "without numbers"),
        (2, -1, 1, bytes(8), "without numbers"),
        (2, 0, 2**30, bytes(8), "larger than its storage"),
    ],
)
def test_tensors_stay_within_their_storage(
    tmp_path: Path, length: int, start: int, size: int, content: bytes, message: str
) -> None:
    first, many = (b"J" + number.to_bytes(4, "little", signed=True) for number in (start, size))
    program = REBUILD + storage(length) + first + many + b"\x85K\x01\x85\x89NtR."
    path = with_program(tmp_path / "a.pt", program, **{"0": content})
    if message:
        refused(path, message)
    else:
        assert torch.equal(read_archive(path, LARGEST), torch.zeros(2))


def test_archives_of_another_kind_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "none.pt", None)
    (tmp_path / "a.pt").write_bytes(pickle.dumps({"x": 1}, protocol=2))
    refused(tmp_path / "a.pt", "not a zip")
    torch.save({"x": 1}, tmp_path / "b.pt", _use_new_zipfile_serialization=False)
    refused(tmp_path / "b.pt", "not a zip")
    with zipfile.ZipFile(tmp_path / "c.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
    refused(tmp_path / "c.pt", "compressed")
    with zipfile.ZipFile(tmp_path / "d.pt", "w") as archive:
        archive.writestr("data.pkl", b"\x80\x02}.")
    refused(tmp_path / "d.pt", "not one entry")
    with zipfile.ZipFile(tmp_path / "e.pt", "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        archive.writestr("a/byteorder", b"big")
    refused(tmp_path / "e.pt", "big-endian")
    with pytest.raises(FileFormatError, match="more than 10"):
        read_archive(saved(tmp_path / "f.pt", {}), 10)


def test_one_storage_that_is_asked_for_often_is_read_once(tmp_path: Path) -> None:
    """A program of a few bytes must not multiply what the file holds."""
    content = bytes(LARGEST // 2)
    program = b"\x80\x02(" + storage(LARGEST // 8) * 1000 + b"t."
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", program)
        archive.writestr("a/data/0", content)
    everything = read_archive(tmp_path / "a.pt", LARGEST)
    assert isinstance(everything, tuple) and len({id(one) for one in everything}) == 1


def test_entries_that_lie_over_one_another_do_not_multiply_the_file(tmp_path: Path) -> None:
    """Entry 1, header and all, is inside the bytes of entry 0: together they are larger than the file."""
    inner = bytes(LARGEST * 5 // 8)
    with zipfile.ZipFile(tmp_path / "inner.zip", "w") as archive:
        archive.writestr("a/data/1", inner)
    header = (tmp_path / "inner.zip").read_bytes()[: 30 + len("a/data/1")]
    outer = header + inner + bytes(2)
    program = b"\x80\x02(" + storage(len(outer) // 4) + storage(len(inner) // 4).replace(b"\x000X", b"\x001X") + b"t."
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", program)
        archive.writestr("a/data/0", outer)
        within = zipfile.ZipInfo("a/data/1")
        within.header_offset = archive.getinfo("a/data/0").header_offset + len(header)
        within.file_size = within.compress_size = len(inner)
        within.CRC = zipfile.crc32(inner)
        archive.filelist.append(within)
    assert (tmp_path / "a.pt").stat().st_size < LARGEST
    refused(tmp_path / "a.pt", "larger together|Overlapped")  # later Pythons see it themselves


def test_damaged_archives_are_read_or_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", {"layers.3": {"v": torch.randn(1, 5), "c": 2.5, "action": "add", "bias": None}})
    with zipfile.ZipFile(path) as archive:
        program, numbers = archive.read("a/data.pkl"), archive.read("a/data/0")
    whole, draw, n_refused = path.read_bytes(), np.random.default_rng(0), 0
    for cut in range(0, len(whole), 23):
        (tmp_path / "s.pt").write_bytes(whole[:cut])
        refused(tmp_path / "s.pt")
    for _ in range(400):
        spoiled = bytearray(program)
        for place in draw.integers(0, len(program), 2):
            spoiled[place] = draw.integers(0, 256)
        try:
            read_archive(with_program(tmp_path / "s.pt", bytes(spoiled), **{"0": numbers}), LARGEST)
        except FileFormatError:
            n_refused += 1
    assert n_refused > 200
