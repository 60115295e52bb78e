from pathlib import Path

import polars as pl
import pytest

from personascope.errors import DataError, FileFormatError
from personascope.instruments.option_codes import OptionCodes, check_options


def read(texts, n_options=5, lowest=1, missing=(0,)):
    return OptionCodes(Path("t.csv"), n_options, lowest, missing).read("q", pl.Series(texts, dtype=pl.String)).tolist()


def test_options_and_missing_answers():
    assert read(["1", " 5 ", "3.0", "0", "", None, "NA", "NaN", " "]) == [1, 5, 3, -1, -1, -1, -1, -1, -1]


def test_options_counted_from_zero_are_shifted():
    assert read(["0", "4", "-9", ""], lowest=0, missing=(-9,)) == [1, 5, -1, -1]
    assert read(["-2", "2"], lowest=-2, missing=()) == [1, 5]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("6", "outside 1 to 5"),
        ("-1", "outside 1 to 5"),
        ("1e9", "outside 1 to 5"),
        ("2.5", "not a whole number"),
        ("inf", "not a whole number"),
        ("nan", "not a whole number"),
        ("agree", "not a whole number"),
        ("1,000", "not a whole number"),
    ],
)
def test_other_values_are_refused_with_their_place(text, said):
    with pytest.raises(FileFormatError) as caught:
        read(["3", text, "4", text])
    assert f"data row 2, column 'q': {text!r} is {said}" in str(caught.value)
    assert "2 such values" in str(caught.value)


def test_zero_is_an_answer_like_others_unless_it_means_missing():
    with pytest.raises(FileFormatError, match="outside 1 to 5"):
        read(["0"], missing=())


def test_a_code_is_missing_or_an_option_but_not_both():
    with pytest.raises(DataError, match="The code 0 cannot be both"):
        read(["0"], lowest=0)
    with pytest.raises(DataError, match="The code 9 cannot be both"):
        read(["9"], n_options=9, missing=(0, 9))


@pytest.mark.parametrize("n_options", [1, 0, 128])
def test_a_scale_has_a_sensible_number_of_options(n_options):
    with pytest.raises(DataError, match="2 to 127"):
        check_options(n_options)
    check_options(2)
    check_options(127)
