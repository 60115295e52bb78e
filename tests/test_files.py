import ast
import hashlib
import json
import math
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personascope.errors import FileFormatError, UnsafePathError
from personascope.files import (
    atomic_write,
    canonical_json,
    fsync_folder,
    read_json,
    read_yaml,
    safe_child,
    sha256_file,
    sha256_json,
    sha256_text,
    write_json,
    write_text,
)

FEW = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


REFUSED_NAMES = [
    "",
    ".",
    "..",
    "../x",
    "a/../../x",
    "a/b",
    "a\\b",
    "..\\x",
    "/etc/passwd",
    "C:x",
    "~root",
    "a\0b",
    "a\n",
    "a b",
    " a",
    ".hidden",
    "-rf",
    "a.",
    "a..",
    "CON",
    "con",
    "Con.txt",
    "nul.tar.gz",
    "LPT9",
    "com1.h5",
    "a" * 121,
    "\u0430bc",  # Cyrillic a
    "caf\u00e9",
    "a\u2215b",  # division slash
    "\uff0e\uff0e\uff0fx",  # full-width ../
    "a\u202etxt.exe",  # right-to-left override
    "a\u200b",  # zero-width space
    "\u0663",  # a digit, but not an ASCII one
]


@pytest.mark.parametrize("name", REFUSED_NAMES)
def test_names_that_are_no_plain_file_names_are_refused_with_a_name_that_works(tmp_path, name):
    with pytest.raises(UnsafePathError) as caught:
        safe_child(tmp_path, name)
    assert repr(name) in caught.value.symptom
    proposed = ast.literal_eval(caught.value.fix.removeprefix("Rename it, for example to "))
    assert safe_child(tmp_path, proposed) == tmp_path / proposed


@pytest.mark.parametrize(
    "name", ["a", "0", "layer-03.h5", "x" * 120, "console", "com0", "a+b_c.tar.gz", "nullable.csv"]
)
def test_plain_names_become_children(tmp_path, name):
    assert safe_child(tmp_path, name) == tmp_path / name


@FEW
@given(
    name=st.one_of(st.text(), st.text(alphabet="ab.~/\\:-+_\0 ", max_size=6), st.sampled_from(["con", "aux.", "a..b"]))
)
def test_a_name_is_a_direct_child_or_an_error(tmp_path, name):
    try:
        child = safe_child(tmp_path, name)
    except UnsafePathError:
        return
    assert child.parent == tmp_path and child.name == name and set(name) <= set(map(chr, range(33, 127)))


def test_links_that_lead_out_of_the_folder_are_refused(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "folder").symlink_to(outside)
    (inside / "file").symlink_to(outside / "not-there-yet")
    (inside / "parent").symlink_to("..")
    (inside / "loop").symlink_to("loop")
    for name in ("folder", "file", "parent", "loop"):
        with pytest.raises(UnsafePathError, match=f"{name} leads outside"):
            safe_child(inside, name)


def test_a_folder_that_is_itself_a_link_and_links_within_it_are_accepted(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to("real")
    (tmp_path / "real" / "latest").symlink_to("run-2")
    assert safe_child(tmp_path / "alias", "x") == tmp_path / "alias" / "x"
    assert safe_child(tmp_path / "real", "latest") == tmp_path / "real" / "latest"


def test_a_file_appears_whole_at_the_clean_exit_and_not_before(tmp_path):
    target = tmp_path / "new" / "folder" / "file.bin"
    with atomic_write(target) as stream:
        stream.write(b"first half, ")
        stream.flush()
        assert not target.exists()
        stream.write(b"second half")
    assert target.read_bytes() == b"first half, second half"
    assert listing(target.parent) == ["file.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_after_an_exception_and_the_old_file_stands(tmp_path, error):
    (tmp_path / "old").write_bytes(b"old")
    for name in ("old", "new"):
        with pytest.raises(error), atomic_write(tmp_path / name) as stream:
            stream.write(b"half")
            raise error
    assert listing(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


def test_nothing_is_left_when_the_target_cannot_be_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError), atomic_write(tmp_path / "folder") as stream:
        stream.write(b"x")
    assert listing(tmp_path) == ["folder"]


def test_the_file_is_synced_before_it_is_renamed_and_the_folder_after(tmp_path, monkeypatch):
    steps, fsync, replace = [], os.fsync, Path.replace

    def place(descriptor):
        return "folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file"

    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append(f"fsync {place(fd)}"), fsync(fd)))
    monkeypatch.setattr(Path, "replace", lambda a, b: (steps.append("rename"), replace(a, b)))
    write_text(tmp_path / "a", "x")
    assert steps == ["fsync file", "rename", "fsync folder"]


def test_syncing_a_folder_leaves_no_open_descriptor(tmp_path):
    before = len(listing(Path("/proc/self/fd")))
    fsync_folder(tmp_path)
    assert len(listing(Path("/proc/self/fd"))) == before


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@FEW
@given(value=JSON_VALUES)
def test_canonical_json_reads_back_and_is_a_fixed_point(value):
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


def test_canonical_json_has_one_spelling_for_every_order_of_keys():
    assert (
        canonical_json({"b": [1, 2.5], "a": "é"})
        == canonical_json({"a": "é", "b": [1, 2.5]})
        == '{"a":"é","b":[1,2.5]}'
    )
    assert sha256_json({"b": 1, "a": 2}) == hashlib.sha256(b'{"a":2,"b":1}').hexdigest()
    assert sha256_json([1, 2]) != sha256_json([2, 1])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_refused_and_nothing_is_written(tmp_path, value):
    with pytest.raises(ValueError):
        canonical_json({"a": [value]})
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"a": [value]})
    assert listing(tmp_path) == []


def test_json_that_was_written_reads_back(tmp_path):
    value = {"b": [1, 0.1, None, True], "a": "Grüße 🙂\n"}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert (tmp_path / "a.json").read_text("utf-8").endswith("}\n")


def broken(tmp_path, content, read):
    path = tmp_path / "broken"
    path.write_bytes(content)
    with pytest.raises(FileFormatError) as caught:
        read(path)
    assert str(path) in caught.value.symptom
    return caught.value


def test_broken_json_is_named_with_line_and_column(tmp_path):
    assert "line 2, column 7: not valid JSON" in broken(tmp_path, b'{"a": 1,\n "b": x}', read_json).symptom
    assert "not UTF-8" in broken(tmp_path, b'{"a": "\xff"}', read_json).symptom


@pytest.mark.parametrize("content", [b"[" * 100_000, b"1" * 5000])
def test_json_that_exhausts_the_parser_is_a_format_error(tmp_path, content):
    broken(tmp_path, content, read_json)


def test_broken_yaml_is_named_with_line_and_column(tmp_path):
    assert "line 2, column 4: not valid YAML" in broken(tmp_path, b"a: 1\nb: }", read_yaml).symptom
    assert "not UTF-8" in broken(tmp_path, b"a: \xff", read_yaml).symptom


def test_yaml_tags_construct_nothing(tmp_path):
    marker = tmp_path / "executed"
    for tag in (f"!!python/object/apply:pathlib.Path.touch [{marker}]", "!!python/name:os.system", "!custom x"):
        assert "line 1, column 4: not valid YAML" in broken(tmp_path, f"a: {tag}".encode(), read_yaml).symptom
    assert not marker.exists()


HOSTILE_YAML = ["2024-99-99", "!!int x", "!!int ''", "!!float x", "!!bool x", "!!timestamp x", "1" * 5000, "[" * 3000]


@pytest.mark.parametrize("value", HOSTILE_YAML)
def test_values_on_which_the_yaml_loader_stumbles_are_format_errors(tmp_path, value):
    assert "not valid YAML" in broken(tmp_path, value.encode(), read_yaml).symptom


def test_good_yaml_is_read(tmp_path):
    (tmp_path / "a.yaml").write_text("a: [1, 2.5]\nb: {c: d}\n", encoding="utf-8")
    assert read_yaml(tmp_path / "a.yaml") == {"a": [1, 2.5], "b": {"c": "d"}}


@FEW
@given(data=st.one_of(st.binary(max_size=60), st.text(alphabet="-:!&*<[]{}|>%@`'\"#,? \n\tab10.~=", max_size=60)))
@pytest.mark.parametrize("read", [read_json, read_yaml])
def test_random_files_are_read_or_refused(read, data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "random")
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        try:
            read(path)
        except FileFormatError as error:
            assert str(path) in error.symptom


def test_hashes_are_those_of_hashlib(tmp_path):
    content = "Grüße\n".encode() * 200_000
    (tmp_path / "a").write_bytes(content)
    assert sha256_file(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    assert sha256_text("Grüße") == hashlib.sha256("Grüße".encode()).hexdigest()
