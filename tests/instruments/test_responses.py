import contextlib
import gzip

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personascope.errors import DataError, FileFormatError
from personascope.instruments.responses import Responses, load_responses

WIDE = "person,q1,q2,q3\nann,1,5,0\nbob,0,0,0\ncyd,2,,4\n"
LONG = "id,item,resp,rt\nann,q2,5,8.1\nann,q1,1,7.5\ncyd,q1,2,3\ncyd,q3,4,9\n"


def saved(tmp_path, text, name="answers.csv"):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def test_a_wide_file(tmp_path):
    found = load_responses(saved(tmp_path, WIDE), n_options=5, id_column="person")
    assert found.values.tolist() == [[1, 5, -1], [2, -1, 4]]
    assert found.values.dtype == np.int8
    assert found.items == ("q1", "q2", "q3")
    assert found.respondents == ("ann", "cyd")
    assert found.left_out == ("bob",)
    assert found.n_options == 5
    assert found.notes == (
        "1 of 3 respondents left out: no answer to any item (bob)",
        "2 of 6 answers (33.3%) read as missing: [0], empty or NA",
    )


def test_without_ids_respondents_are_numbered_as_in_the_file(tmp_path):
    found = load_responses(saved(tmp_path, WIDE), n_options=5, columns=["q3", "q1"])
    assert found.respondents == ("1", "3")
    assert found.values.tolist() == [[-1, 1], [4, 2]]


def test_columns_can_be_renamed(tmp_path):
    found = load_responses(saved(tmp_path, WIDE), n_options=5, columns={"q2": "E1", "q1": "E2"})
    assert found.items == ("E1", "E2")
    assert found.values.tolist() == [[5, 1], [-1, 2]]


def test_long_and_wide_and_packed_files_say_the_same(tmp_path):
    wide = load_responses(saved(tmp_path, WIDE), n_options=5, id_column="person")
    packed = saved(tmp_path, WIDE.replace(",", "\t"), "answers.tsv.gz")
    assert load_responses(packed, n_options=5, id_column="person").frame().equals(wide.frame())
    long = load_responses(saved(tmp_path, LONG, "long.csv"), n_options=5, layout="long")
    assert long.items == ("q2", "q1", "q3")  # order of first appearance
    ordered = load_responses(saved(tmp_path, LONG, "long.csv"), n_options=5, layout="long", columns=["q1", "q2", "q3"])
    assert ordered.frame().equals(wide.frame())


def test_the_long_layout_takes_other_names_and_renames_items(tmp_path):
    text = LONG.replace("id,item,resp", "who,what,said")
    found = load_responses(
        saved(tmp_path, text),
        n_options=5,
        layout="long",
        id_column="who",
        item_column="what",
        response_column="said",
        columns={"q3": "third"},
    )
    assert found.items == ("third",)
    assert (found.respondents, found.left_out) == (("cyd",), ("ann",))


def test_the_frame_loads_again_as_it_was(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.integers(1, 8, size=(50, 9), dtype=np.int8)
    values[rng.random(values.shape) < 0.2] = -1
    values[:, 0] = 4
    one = Responses(values, tuple(f"i{k}" for k in range(9)), tuple(f"r{k}" for k in range(50)), 7)
    path = tmp_path / "again.csv"
    one.frame().write_csv(path)
    again = load_responses(path, n_options=7, id_column="respondent")
    assert np.array_equal(again.values, values)
    assert (again.items, again.respondents) == (one.items, one.respondents)
    one.frame().unpivot(index="respondent", variable_name="item", value_name="resp").write_csv(path)
    long = load_responses(path, n_options=7, layout="long", id_column="respondent")
    assert np.array_equal(long.values, values)


def test_a_frame_has_nulls_for_missing_answers():
    one = Responses(np.array([[1, -1], [2, 3]], dtype=np.int8), ("a", "b"), ("x", "y"), 5)
    assert one.frame().to_dict(as_series=False) == {"respondent": ["x", "y"], "a": [1, 2], "b": [None, 3]}
    assert one.frame().schema["b"] == pl.Int8


def test_respondents_without_answers_can_be_refused(tmp_path):
    with pytest.raises(FileFormatError, match=r"1 of 3 respondents have no answer to any item, the first is 'bob'"):
        load_responses(saved(tmp_path, WIDE), n_options=5, id_column="person", strict=True)
    with pytest.raises(FileFormatError, match="2 of 2 respondents have no answer"):
        load_responses(saved(tmp_path, "a,b\n0,0\n,\n"), n_options=5)
    with pytest.raises(FileFormatError, match="0 of 0 respondents"):
        load_responses(saved(tmp_path, "a,b\n"), n_options=5)
    with pytest.raises(FileFormatError, match="0 of 0 respondents"):
        load_responses(saved(tmp_path, "id,item,resp\n"), n_options=5, layout="long")


def test_an_item_that_nobody_answered_is_noted(tmp_path):
    found = load_responses(saved(tmp_path, "a,b\n1,0\n2,0\n"), n_options=5)
    assert found.notes[-1] == "1 items without any answer: b"


@pytest.mark.parametrize(
    ("text", "extra", "said"),
    [
        (WIDE.replace("5", "6"), {}, "data row 1, column 'q2': '6' is outside 1 to 5"),
        (WIDE.replace("5", "4.5"), {}, "'4.5' is not a whole number"),
        (WIDE.replace("cyd", "ann"), {}, "respondent 'ann' stands in data rows 1 and 3"),
        (WIDE.replace("cyd", ""), {}, "data row 3: column 'person' is empty"),
        (WIDE, {"id_column": None}, "column 'person': 'ann' is not a whole number"),
        (WIDE, {"missing": ()}, "data row 2, column 'q1': '0' is outside 1 to 5"),
        (WIDE, {"columns": ["q1", "qq2"]}, "no column 'qq2'. Did you mean 'q2'"),
        (WIDE, {"id_column": "persn"}, "no column 'persn'. Did you mean 'person'"),
        (WIDE, {"separator": ";"}, "one column by ';'"),
        (WIDE, {"max_bytes": 20}, "more than 20 bytes"),
        (LONG, {"layout": "long", "id_column": "ident"}, "no column 'ident'"),
        (LONG.replace("q1,1", "q2,1"), {"layout": "long"}, "data row 2: respondent 'ann' answers item 'q2' again"),
        (LONG.replace("cyd,q3", ",q3"), {"layout": "long"}, "data row 4: column 'id' is empty"),
        (LONG.replace("cyd,q3", "cyd,"), {"layout": "long"}, "data row 4: column 'item' is empty"),
        (LONG, {"layout": "long", "columns": ["q1", "q33"]}, "no item 'q33'. Did you mean 'q3'"),
    ],
)
def test_bad_files_are_refused(tmp_path, text, extra, said):
    chosen = {"id_column": None if extra.get("layout") == "long" else "person", **extra}
    with pytest.raises(FileFormatError) as caught:
        load_responses(saved(tmp_path, text), n_options=5, **chosen)
    assert said in str(caught.value)


FIELDS = st.sampled_from(["1", "5", "0", "", "9", "x", "NA", '"3"', '"', '"a\n"', ",", "\t", "\r", "\x00", "é", "2.5"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.lists(FIELDS, min_size=2, max_size=4), max_size=4), layout=st.sampled_from(["wide", "long"]))
def test_whatever_stands_in_a_file_is_read_or_refused(tmp_path, rows, layout):
    text = "\n".join(["id,item,resp", *(",".join(row) for row in rows)])
    with contextlib.suppress(FileFormatError):
        found = load_responses(saved(tmp_path, text), n_options=5, layout=layout, id_column="id")
        assert found.values.size
        assert len(found.respondents) + len(found.left_out) <= len(rows)


def test_ids_that_never_repeat_do_not_make_a_matrix_of_their_square(tmp_path):
    text = "id,item,resp\n" + "".join(f"p{k},q{k},1\n" for k in range(2_000))
    with pytest.raises(FileFormatError, match="2,000 respondents x 2,000 items"):
        load_responses(saved(tmp_path, text), n_options=5, layout="long", max_bytes=100_000)


def test_settings_that_make_no_sense_are_refused(tmp_path):
    path = saved(tmp_path, WIDE)
    with pytest.raises(DataError, match="2 columns, 1 different"):
        load_responses(path, n_options=5, columns=["q1", "q1"])
    with pytest.raises(DataError, match="0 columns"):
        load_responses(path, n_options=5, columns=[])
    with pytest.raises(DataError, match="both missing and an option"):
        load_responses(path, n_options=5, missing=(0, 5))
    with pytest.raises(DataError, match="1 options"):
        load_responses(path, n_options=1)


@pytest.mark.parametrize(
    ("values", "items", "respondents", "said"),
    [
        ([[1, 2]], ("a",), ("x",), "1 items"),
        ([[1, 2]], ("a", "a"), ("x",), "item 'a' stands twice"),
        ([[1], [2]], ("a",), ("x", "x"), "respondent 'x' stands twice"),
        ([[1, 2]], ("a", "respondent"), ("x",), "called 'respondent'"),
        ([[1, 6]], ("a", "b"), ("x",), "item 'b': 6 is not an option"),
        ([[0, 5]], ("a", "b"), ("x",), "item 'a': 0 is not an option"),
    ],
)
def test_a_matrix_holds_what_it_says(values, items, respondents, said):
    with pytest.raises(DataError) as caught:
        Responses(np.array(values, dtype=np.int8), items, respondents, 5)
    assert said in str(caught.value)


def test_answers_of_some_items():
    one = Responses(np.array([[1, 2, 3]], dtype=np.int8), ("warm", "cold", "kind"), ("x",), 5)
    assert one.answers(["kind", "warm"]).tolist() == [[3, 1]]
    with pytest.raises(DataError, match="Did you mean 'kind'"):
        one.answers(["kinds"])
