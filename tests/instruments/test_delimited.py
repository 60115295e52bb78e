import gzip

import pytest

from personascope.errors import FileFormatError
from personascope.instruments.delimited import open_delimited


def write(path, text, *, packed=False):
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if packed else data)
    return path


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
@pytest.mark.parametrize("packed", [False, True])
def test_the_separator_is_found_in_the_header(tmp_path, separator, packed):
    text = "\n".join(separator.join(row) for row in [("a", "b", "c"), ("1", "", "3"), ("4", "5", "6")])
    path = write(tmp_path / ("t.csv.gz" if packed else "t.tsv"), text, packed=packed)
    table = open_delimited(path)
    assert (table.separator, table.header) == (separator, ("a", "b", "c"))
    assert table.read(["c", "b"]).columns == ["c", "b"]
    assert table.read(["c", "b"]).rows() == [("3", None), ("6", "5")]


def test_a_separator_that_makes_more_columns_wins_over_one_inside_names(tmp_path):
    table = open_delimited(write(tmp_path / "t.csv", 'id;"age, years";sex\n1;2;3\n'))
    assert table.header == ("id", "age, years", "sex")
    assert table.read(["age, years"]).item() == "2"


def test_line_ends_byte_order_mark_and_quoted_line_breaks(tmp_path):
    table = open_delimited(write(tmp_path / "t.csv", b'\xef\xbb\xbfa,b\r\n1,"x\ny"\r\n2,"say ""so"""\r\n'))
    assert table.header == ("a", "b")
    assert table.read(["a", "b"]).rows() == [("1", "x\ny"), ("2", 'say "so"')]


def test_spaces_around_names_and_line_ends_at_the_end_do_not_count(tmp_path):
    table = open_delimited(write(tmp_path / "t.csv", "a, b\n1, 2\n\n\n"))
    assert table.read(["a", "b"]).rows() == [("1", " 2")]


def test_a_stray_byte_in_a_column_that_is_not_read_does_no_harm(tmp_path):
    table = open_delimited(write(tmp_path / "t.csv", b"a,place\n1,Z\xfcrich\n2,\n"))
    assert table.read(["a"])["a"].to_list() == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("t.xlsx", b"a,b\n1,2\n", "unknown file type"),
        ("t.gz", b"a,b\n1,2\n", "unknown file type"),
        ("t.csv.gz", b"a,b\n1,2\n", "damaged gzip"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-9], "damaged gzip"),
        ("t.csv", b"", "no header"),
        ("t.csv", b"a,b\n1,\x002\n", "NUL"),
        ("t.csv", b"a\xff,b\n1,2\n", "line 1: not UTF-8"),
        ("t.csv", b"a,b,a\n1,2,3\n", "column 'a' stands twice"),
        ("t.csv", b"answer\n1\n2\n", "has one column"),
        ("t.csv", b"a,b\n1,2\n1\n", "line 3: 2 columns expected, this row has 1"),
        ("t.csv", b"a,b\n1,2\n1,2,3\n", "line 3: 2 columns expected, this row has 3"),
        ("t.csv", b'a,b\n1,"2"\n1\n', "line 3: 2 columns expected, this row has 1"),
        ("t.csv", b'a,b,c\n"1,2",3\n', "line 2: 3 columns expected"),  # as many commas as a whole row has
        ("t.csv", b"a,b\n1,2,3\n1\n", "line 2: 2 columns expected"),  # one too many and one too few cancel in number
        ("t.csv", b"a,b\n1,2\n\n3,4\n", "line 3: an empty line"),
        ("t.csv", b'a,b\n1,"2\n3,4\n', "not valid delimited text"),
    ],
)
def test_what_is_not_a_table_is_refused_with_its_place(tmp_path, name, data, said):
    path = write(tmp_path / name, data)
    with pytest.raises(FileFormatError, match=said) as caught:
        open_delimited(path).read(["a", "b"])
    assert name in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match="does not exist"):
        open_delimited(tmp_path / "t.csv")


def test_a_wrong_separator_is_told_with_the_one_that_fits(tmp_path):
    path = write(tmp_path / "t.csv", "a\tb\tc\n1\t2\t3\n")
    with pytest.raises(FileFormatError) as caught:
        open_delimited(path, separator=",")
    assert "one column by ','" in str(caught.value)
    assert "With '\\t' there are 3." in str(caught.value)
    assert open_delimited(path, separator="\t").header == ("a", "b", "c")
    with pytest.raises(FileFormatError, match="one ASCII character"):
        open_delimited(path, separator="::")


def test_an_unknown_column_is_told_with_the_nearest(tmp_path):
    path = write(tmp_path / "t.csv", "respondent,answer\n1,2\n")
    with pytest.raises(FileFormatError, match="Did you mean 'respondent'"):
        open_delimited(path).read(["respondant"])


def test_text_is_bounded_unpacked(tmp_path):
    text = "a,b\n" + "1,2\n" * 100_000
    plain, packed = write(tmp_path / "t.csv", text), write(tmp_path / "t.csv.gz", text, packed=True)
    assert packed.stat().st_size < 2_000
    for path in (plain, packed):
        assert open_delimited(path, max_bytes=len(text)).read(["b"]).height == 100_000
        with pytest.raises(FileFormatError, match="more than 400,003 bytes"):
            open_delimited(path, max_bytes=len(text) - 1)
