"""Reading records of one small model: formats, line numbers, limits and hostile files."""

import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from personascope.errors import FileFormatError
from personascope.instruments import records
from personascope.instruments.records import load_records, require_unique

BOUNDED = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SUFFIXES = [".csv", ".jsonl", ".json", ".yaml", ".yml"]


class Word(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    gloss: str = ""


def write(folder, suffix, content):
    path = folder / f"words{suffix}"
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def read(folder, suffix, content):
    return [(line, word.name) for line, word in load_records(write(folder, suffix, content), Word)]


def refused(folder, suffix, content):
    path = write(folder, suffix, content)
    with pytest.raises(FileFormatError) as caught:
        load_records(path, Word)
    assert str(path) in caught.value.symptom
    return caught.value.symptom.removeprefix(str(path))


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".csv", "name,gloss\na,x\n\n\nb,y\n"),
        (".jsonl", '{"name": "a"}\n\n  \n\n{"name": "b"}'),
        (".json", '\n[{"name": "a"},\n\n\n{"name":\n"b"}]'),
        (".yaml", "# words\n- name: a\n  gloss: |\n    b\n- {name: b}\n"),
        (".yml", "\n- {name: a}\n# one\n# two\n- name: b\n"),
    ],
)
def test_each_record_comes_with_the_line_on_which_it_starts(tmp_path, suffix, content):
    assert read(tmp_path, suffix, content) == [({".jsonl": 1}.get(suffix, 2), "a"), (5, "b")]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_byte_order_mark_is_skipped(tmp_path, suffix):
    content = {".csv": "name\na\n", ".jsonl": '{"name": "a"}', ".json": '[{"name": "a"}]'}.get(suffix, "- name: a")
    assert read(tmp_path, suffix, "\ufeff" + content) == read(tmp_path, suffix, content)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_windows_line_ends_count_once(tmp_path, suffix):
    content = {
        ".csv": "name\na\nb\n",
        ".jsonl": '\n{"name": "a"}\n{"name": "b"}',
        ".json": '[\n{"name": "a"},\n{"name": "b"}]',
    }.get(suffix, "\n- name: a\n- name: b")
    assert read(tmp_path, suffix, content.replace("\n", "\r\n")) == [(2, "a"), (3, "b")]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_text_that_is_not_utf8_or_holds_nul_is_refused_by_line(tmp_path, suffix):
    assert refused(tmp_path, suffix, b"\n\n- caf\xe9\n") == ", line 3: not UTF-8 text."
    assert refused(tmp_path, suffix, b"\xef\xbb\xbf\n- caf\xe9\n") == ", line 2: not UTF-8 text."
    assert refused(tmp_path, suffix, "a\nb\nc\0d\n") == ", line 3: a NUL character."
    assert "line 1" in refused(tmp_path, suffix, "- a".encode("utf-16"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_without_records_is_refused(tmp_path, suffix):
    empty = {".csv": "name,gloss\n", ".jsonl": "\n \n"}.get(suffix, "[]\n")
    assert "holds no records" in refused(tmp_path, suffix, empty)
    refused(tmp_path, suffix, "")


@pytest.mark.parametrize(
    ("content", "symptom"),
    [
        ("name,gloss\na,x\nb,one, two\n", "line 3: 2 columns expected, this row has 3"),
        ("name,gloss\na,x\nb\n", "line 3: 2 columns expected, this row has 1"),
        ('name,gloss\na,"x\ny"\n\nb,one,two\n', "line 5: 2 columns expected"),
        ('name,gloss\na,x\nb,"open\nc,y\nd,z\n', "line 3: not valid CSV"),
        ('name,gloss\na,"x"y\n', "line 2: not valid CSV"),
        ("\n\nname,name\na,b\n", "line 3: a column name stands twice"),
        ("name,gloss\na," + "x" * 200_000 + "\n", "line 2: not valid CSV"),
    ],
)
def test_broken_csv_is_named_by_the_line_on_which_the_row_starts(tmp_path, content, symptom):
    assert symptom in refused(tmp_path, ".csv", content)


@pytest.mark.parametrize(
    ("suffix", "content", "symptom"),
    [
        (".jsonl", '{"name": "a"}\n\n{"name": "b"\n{"name": "c"}', "line 3: not valid JSON"),
        (".jsonl", '{"name": "a"}\n{"name": ' + "1" * 5000 + "}", "line 2: a number too long"),
        (".jsonl", '{"name": "a"}\n' + "[" * 100_000, "line 2: nested too deeply"),
        (".json", '[{"name": "a"},\n{"name": "b"},\n{"name" "c"}]', "line 3: not valid JSON"),
        (".json", "[" * 100_000, "nested too deeply"),
        (".json", '[{"name": ' + "1" * 5000 + "}]", "a number too long"),
        (".json", '{"name": "a"}', "expected a list of records, got dict"),
        (".json", "5", "expected a list of records, got int"),
        (".yaml", "- name: a\n- name: [b\n", "line 3, column 1: not valid YAML"),
        (".yaml", "- name: a\n- !!python/object:os.system {}\n", "line 2, column 3: not valid YAML"),
        (".yaml", "- name: a\n- !!python/object/apply:os.system [ls]\n", "line 2, column 3: not valid YAML"),
        (".yaml", "[" * 5000, "not valid YAML"),
        (".yaml", "- name: 2024-99-99", "not valid YAML"),
        (".yaml", "name: a\n", "expected a list of records, got dict"),
        (".yaml", "- name: a\n---\n- name: b\n", "line 2, column 1: not valid YAML"),
    ],
)
def test_broken_json_and_yaml_are_named_by_line(tmp_path, suffix, content, symptom):
    assert symptom in refused(tmp_path, suffix, content)


@pytest.mark.parametrize("value", ["[1]", "[]", "5", '"a"', "null", "true"])
def test_something_other_than_an_object_is_refused_by_line(tmp_path, value):
    expected = "expected an object with fields"
    assert f"line 2: {expected}" in refused(tmp_path, ".jsonl", f'{{"name": "a"}}\n{value}')
    assert f"line 3: {expected}" in refused(tmp_path, ".json", f'[\n{{"name": "a"}},\n{value}]')
    assert f"line 2: {expected}" in refused(tmp_path, ".yaml", f"- name: a\n- {value}")


def test_an_unknown_field_is_answered_with_the_nearest_known_one(tmp_path):
    symptom = refused(tmp_path, ".jsonl", '{"name": "a", "glos": "x"}')
    assert "line 1, field 'glos'" in symptom and "Did you mean 'gloss'?" in symptom


def test_raw_line_separators_of_unicode_may_stand_in_json_lines(tmp_path):
    assert read(tmp_path, ".jsonl", '{"name": "a\u2028b\u0085c"}\n{"name": "d"}') == [(1, "a\u2028b\u0085c"), (2, "d")]


def test_an_exponential_yaml_value_is_reported_in_bounded_space_and_time(tmp_path):
    levels = ["&a [x,x,x,x,x,x,x,x,x,x]"]
    levels += [f"&{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]" for i in range(11)]
    start = time.perf_counter()
    path = write(tmp_path, ".yaml", f"- {{name: [{', '.join(levels)}]}}")
    with pytest.raises(FileFormatError, match="line 1, field 'name'") as caught:
        load_records(path, Word)
    assert len(str(caught.value)) < 2000
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_huge_file_is_refused_unread(tmp_path, suffix):
    path = write(tmp_path, suffix, "")
    with path.open("r+b") as stream:
        stream.truncate(records.MAX_BYTES + 1)  # sparse: takes no room on the disk
    start = time.perf_counter()
    with pytest.raises(FileFormatError, match="larger than 64 MiB"):
        load_records(path, Word)
    assert time.perf_counter() - start < 1


def test_a_file_of_exactly_the_limit_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "MAX_BYTES", len("name\na\n"))
    assert read(tmp_path, ".csv", "name\na\n") == [(2, "a")]
    assert "is larger than" in refused(tmp_path, ".csv", "name\naa\n")


def test_other_file_types_missing_files_and_folders_are_refused(tmp_path):
    assert "unknown file type '.txt'" in refused(tmp_path, ".txt", "name\na\n")
    (tmp_path / "folder.csv").mkdir()
    for name in ("none.csv", "folder.csv"):
        with pytest.raises(FileFormatError, match="does not exist or is not a file"):
            load_records(tmp_path / name, Word)


def test_the_suffix_is_read_in_any_case(tmp_path):
    assert read(tmp_path, ".CSV", "name\na\n") == [(2, "a")]


def test_duplicates_are_named_with_both_lines(tmp_path):
    require_unique(tmp_path, [(2, "a"), (3, "b")], "id")
    with pytest.raises(FileFormatError, match="line 7: id 'a' stands already in line 2"):
        require_unique(tmp_path, [(2, "a"), (3, "b"), (7, "a")], "id")


GOOD = {
    ".csv": 'name,gloss\na,"x, y"\nb,"two\nlines"\n',
    ".jsonl": '{"name": "a", "gloss": "x"}\n{"name": "b"}\n',
    ".json": json.dumps([{"name": "a", "gloss": "é"}, {"name": "b"}], indent=1),
    ".yaml": "- name: a\n  gloss: 'x: y'\n- {name: b}\n",
    ".yml": "# list\n- &a {name: a}\n- *a\n",
}


def try_to_read(folder, suffix, content):
    """Random content may be good or bad; nothing but FileFormatError may come of it."""
    path = write(folder, suffix, content)
    try:
        found = load_records(path, Word)
    except FileFormatError as error:
        assert str(path) in error.symptom
        assert not isinstance(error.__cause__, ValidationError) or "field" in error.symptom
    else:
        assert found and all(line >= 1 for line, _ in found)


@BOUNDED
@given(text=st.text(max_size=80) | st.text(alphabet="-:!&*<[]{}|>%@`'\"#,?= \n\t\r\ufeffnameab10.~\\", max_size=80))
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_random_text_is_read_or_refused(tmp_path, suffix, text):
    try_to_read(tmp_path, suffix, text)


@BOUNDED
@given(content=st.binary(max_size=60))
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_random_bytes_are_read_or_refused(tmp_path, suffix, content):
    try_to_read(tmp_path, suffix, content)


@BOUNDED
@given(at=st.integers(0, 60), drop=st.integers(0, 5), put=st.text(alphabet="-:!&*[]{}'\"#,\n\0\ufeff 1", max_size=4))
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_files_are_read_or_refused(tmp_path, suffix, at, drop, put):
    good = GOOD[suffix]
    try_to_read(tmp_path, suffix, good[:at] + put + good[at + drop :])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_undamaged_files_are_read(tmp_path, suffix):
    assert [name for _, name in read(tmp_path, suffix, GOOD[suffix])] == (
        ["a", "a"] if suffix == ".yml" else ["a", "b"]
    )
