"""Control vectors: what the library of the format reads, the way back, repeng's own files, and damaged ones."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import gguf
import numpy as np
import pytest

from personascope.direction import Direction
from personascope.errors import DirectionError, FileFormatError
from personascope.steering import gguf_export
from personascope.steering.gguf_export import read_gguf, write_gguf

WIDTH = 40


def made(layer: int = 3, **changes: object) -> Direction:
    vector = np.random.default_rng(layer).standard_normal(WIDTH)
    fields = {"model": "org/m", "reference_norm": 52.5, "means": "héhé 更多", "fit": "ridge", "strength": 0.06}
    return Direction(vector, layer, "eot", **{**fields, **changes})


def assert_same(found: Direction, written: Direction) -> None:
    """Equal in every field; the vector, which the file holds times the strength, up to one rounding of float32."""
    assert found.card() == written.card()
    assert np.abs(found.vector - written.vector).max() <= np.spacing(np.abs(written.vector).max())


def as_repeng_writes(path: Path, directions: dict[int, np.ndarray], arch: str = "controlvector") -> Path:
    """The calls of repeng's `ControlVector.export_gguf` (0.4.0), in its order."""
    writer = gguf.GGUFWriter(path, arch)
    writer.add_string(f"{arch}.model_hint", "llama")
    writer.add_uint32(f"{arch}.layer_count", len(directions))
    for layer, vector in directions.items():
        writer.add_tensor(f"direction.{layer}", vector)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_what_was_written_reads_back_in_its_order(tmp_path: Path) -> None:
    written = [made(9), -made(2, strength=1.5), made(5, extra={"alpha": 0.1, "folds": [1, 2]}, model_hash="ab")]
    write_gguf(written, tmp_path / "v.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["v.gguf"]
    found = read_gguf(tmp_path / "v.gguf", model="not used", position="nor this", reference_norm=1.0)
    assert len(found) == 3
    for one, other in zip(found, written, strict=True):
        assert_same(one, other)


def test_the_file_is_what_the_other_tools_expect(tmp_path: Path) -> None:
    directions = [made(1), -made(4)]
    write_gguf(directions, tmp_path / "v.gguf", model_hint="llama")
    reader = gguf.GGUFReader(tmp_path / "v.gguf")
    assert reader.get_field("general.architecture").contents() == "controlvector"
    assert reader.get_field("controlvector.model_hint").contents() == "llama"
    assert reader.get_field("controlvector.layer_count").contents() == 2
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    assert list(tensors) == ["direction.1", "direction.4"]
    for one in directions:
        tensor = tensors[f"direction.{one.layer}"]
        assert tensor.tensor_type == gguf.GGMLQuantizationType.F32 and tensor.shape.tolist() == [WIDTH]
        assert np.array_equal(tensor.data, one.offset())  # bit for bit: coefficient 1 does what `steer` does


def test_a_file_of_repeng_takes_its_place_from_the_caller(tmp_path: Path) -> None:
    vectors = {3: np.arange(4, dtype=np.float32), 2: np.array([0, 3, 0, -4], np.float32)}
    path = as_repeng_writes(tmp_path / "r.gguf", vectors)
    three, two = read_gguf(path, model="org/m", position="answer", reference_norm={2: 50.0, 3: 10.0})
    assert (two.layer, two.model, two.position, two.reference_norm) == (2, "org/m", "answer", 50.0)
    assert two.strength == pytest.approx(0.1) and np.allclose(two.offset(), vectors[2])
    assert np.allclose(three.offset(), vectors[3]) and three.strength == pytest.approx(14**0.5 / 10)
    assert "r.gguf" in two.fit and "r.gguf" in two.means


@pytest.mark.parametrize(
    "known",
    [
        {},
        {"model": "m", "position": "eot"},
        {"model": "m", "reference_norm": 2.0},
        {"position": "eot", "reference_norm": 2.0},
        {"model": "m", "position": "eot", "reference_norm": {4: 1.0}},
    ],
)
def test_a_file_of_repeng_alone_does_not_say_where_it_belongs(tmp_path: Path, known: dict[str, object]) -> None:
    path = as_repeng_writes(tmp_path / "r.gguf", {3: np.ones(4, np.float32)})
    with pytest.raises(DirectionError, match="where its vectors belong"):
        read_gguf(path, **known)


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        ([], "one model"),
        ([made(1), made(2, model="other")], "org/m, other"),
        ([made(1), Direction(np.ones(3), 2, "eot", "org/m", 1.0, "", "")], "widths 3, 40"),
        ([made(4), made(2), made(4)], "Several directions of layer 4"),
        ([made(1), made(2, strength=0.0)], "has length 0.0"),
        ([made(1, strength=1e30, reference_norm=1e30)], "has length inf"),
        ([made(0)], "llama.cpp"),
        ([made(1, extra={"alpha": float("nan")})], "JSON cannot"),
        ([made(1, extra={"alpha": object()})], "JSON cannot"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_what_cannot_be_a_control_vector_is_refused_and_leaves_no_file(
    tmp_path: Path, directions: list[Direction], message: str
) -> None:
    with pytest.raises(DirectionError, match=message):
        write_gguf(directions, tmp_path / "v.gguf")
    assert list(tmp_path.iterdir()) == []


def refused(path: Path, match: str | None = None) -> None:
    with pytest.raises(FileFormatError, match=match):
        read_gguf(path, model="m", position="eot", reference_norm=1.0)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "none.gguf", "No such file")
    (tmp_path / "a.gguf").write_bytes(b"")
    refused(tmp_path / "a.gguf")
    (tmp_path / "b.gguf").write_text("no GGUF, text " * 9)
    refused(tmp_path / "b.gguf", "magic")
    one = np.ones(4, np.float32)
    refused(as_repeng_writes(tmp_path / "c.gguf", {3: one}, arch="llama"), "architecture is 'llama'")
    refused(as_repeng_writes(tmp_path / "d.gguf", {}), "holds 0 vectors")
    refused(as_repeng_writes(tmp_path / "e.gguf", {3: one, 4: np.ones(5, np.float32)}), "different widths")
    refused(as_repeng_writes(tmp_path / "f.gguf", {3: np.ones((2, 4), np.float32)}), "shape")
    refused(as_repeng_writes(tmp_path / "g.gguf", {3: one.astype(np.float16)}), "F16")
    refused(as_repeng_writes(tmp_path / "h.gguf", {-1: one}), "direction.LAYER")
    refused(as_repeng_writes(tmp_path / "i.gguf", {3: np.zeros(4, np.float32)}), "length is 0")
    refused(as_repeng_writes(tmp_path / "j.gguf", {3: one * np.nan}), "length is nan")


def changed(tmp_path: Path, old: bytes, new: bytes) -> Path:
    write_gguf([made(3)], tmp_path / "v.gguf")
    content = (tmp_path / "v.gguf").read_bytes()
    assert content.count(old) == 1 and len(old) == len(new)
    (tmp_path / "v.gguf").write_bytes(content.replace(old, new))
    return tmp_path / "v.gguf"


def test_a_card_that_belongs_to_another_vector_is_refused(tmp_path: Path) -> None:
    refused(changed(tmp_path, b'"layer": 3', b'"layer": 4'), "do not belong together")
    refused(changed(tmp_path, b'"strength": 0.06', b'"strength": 0.07'), "do not belong together")
    refused(changed(tmp_path, b'"strength": 0.06', b'"strength": "6" '), "Wrong type of strength")
    refused(changed(tmp_path, b'{"data_hash"', b'["data_hash"'), "its card")
    refused(changed(tmp_path, b'"position"', b'"positing"'), "its card")
    offset = (2 * made(3).offset()).tobytes()
    refused(changed(tmp_path, made(3).offset().tobytes(), offset), "do not belong together")


def test_false_counts_end_at_the_end_of_the_file(tmp_path: Path) -> None:
    """A list that claims 10^5 entries in a file of a few bytes: the library alone would read on through all of them."""
    key = b"general.architecture"
    entry = struct.pack("<Q", len(key)) + key + struct.pack("<IIQ", 9, 0, 10**5)
    (tmp_path / "a.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + entry)
    refused(tmp_path / "a.gguf", "a list among its entries")
    (tmp_path / "b.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**62))
    refused(tmp_path / "b.gguf", "ends before")


def test_large_files_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_gguf([made(3)], tmp_path / "v.gguf")
    monkeypatch.setattr(gguf_export, "LARGEST_FILE", 100)
    refused(tmp_path / "v.gguf", "more than a control vector has")


def test_damaged_files_are_read_as_directions_or_refused(tmp_path: Path) -> None:
    write_gguf([made(3), made(7)], tmp_path / "v.gguf")
    whole = (tmp_path / "v.gguf").read_bytes()
    draw = np.random.default_rng(0)
    spoiled = [whole[:cut] for cut in range(0, len(whole) - 1, 41)]
    for _ in range(300):
        content = bytearray(whole)
        for place in draw.integers(0, len(whole), 2):
            content[place] = draw.integers(0, 256)
        spoiled.append(bytes(content))
    n_refused = 0
    for content in spoiled:
        (tmp_path / "s.gguf").write_bytes(content)
        try:
            found = read_gguf(tmp_path / "s.gguf", model="m", position="eot", reference_norm=1.0)
            assert all(dataclasses.is_dataclass(one) and np.isfinite(one.vector).all() for one in found)
        except FileFormatError:
            n_refused += 1
    assert n_refused > len(spoiled) / 3
