"""Names and numbers as readers see them."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personascope.report.wording import (
    count,
    count_range,
    estimate,
    excerpt,
    figure_text,
    label,
    layer_runs,
    listed,
    number,
    percent,
    plural,
    pretty,
    probability,
    share,
    share_of,
    signed,
    spread,
    two_decimals,
    wrapped,
)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("greed_avoidance", "Greed avoidance"),
        ("social_self_esteem", "Social self-esteem"),
        ("meta - self", "Meta − Self"),
        ("facet:social_boldness", "Facet: social boldness"),
        ("persona identity", "Persona identity"),
        ("", ""),
    ],
)
def test_stored_names_are_shown_as_words(name, shown):
    assert pretty(name) == shown


def test_a_name_too_long_for_a_legend_is_cut():
    assert len(pretty("x" * 300)) == 44


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.25, "0.25"), (-0.25, "−0.25"), (0.0994, "0.099"), (0.0999, "0.10"), (-0.0001, "0.000"), (2.6, "2.60")],
)
def test_small_numbers_get_one_more_digit_and_zero_has_no_sign(value, shown):
    assert number(value) == shown


def test_missing_numbers_are_said_to_be_missing():
    assert number(None) == "not available"
    assert estimate(0.5, None, None) == "0.50 [no interval]"
    assert probability("q", None) == "q = not available"


def test_differences_carry_their_sign():
    assert [signed(value) for value in (0.2, -0.2, 0.0)] == ["+0.20", "−0.20", "0.000"]


def test_tiny_probabilities_are_bounded_not_rounded_to_zero():
    assert probability("p", 0.00001) == "p < 0.001"
    assert probability("p", 0.0312) == "p = 0.031"


def test_cells_of_a_map_have_two_decimals_and_no_negative_zero():
    assert [two_decimals(value) for value in (-0.001, 0.051, -0.5)] == ["0.00", "0.05", "−0.50"]


def test_counts_of_counts_read_as_words_at_the_ends():
    assert [share(n, 25) for n in (0, 3, 25)] == ["none of the 25", "3 of 25", "all 25"]


def test_lists_of_names_are_joined_as_in_a_sentence():
    assert [listed(names) for names in ([], ["A"], ["A", "B"], ["A", "B", "C"])] == [
        "none",
        "A",
        "A and B",
        "A, B and C",
    ]


@given(st.text(max_size=300))
def test_no_text_can_bring_a_tag_into_a_figure(text):
    for shown in (figure_text(text), label(text), wrapped(text).replace("<br>", " ")):
        assert "<" not in shown
        assert ">" not in shown


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), max_size=300))
def test_wrapping_loses_no_word_and_keeps_to_the_width(text):
    lines = [html.unescape(line) for line in wrapped(text, width=40).split("<br>")]
    assert all(len(line) <= 40 for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_ranges_are_given_once_when_they_read_the_same():
    assert [spread(values) for values in ([0.2, None, 0.1], [0.201, 0.2], [None], [])] == [
        "0.10 to 0.20",
        "0.20",
        "not available",
        "not available",
    ]
    assert [count_range(counts) for counts in ([3, 1, None], [2, 2], [])] == ["1 to 3", "2", "not available"]
    assert [count(n) for n in (0, 12, None)] == ["0", "12", "not available"]


def test_shares_and_words_for_several():
    assert [percent(part) for part in (0.125, 1.0, 0.0004, 0.0)] == ["12.5 %", "100.0 %", "0.04 %", "0 %"]
    assert [plural("item", n) for n in (0, 1, 2)] == ["items", "item", "items"]


def test_an_excerpt_is_cut_between_words():
    assert excerpt("one two three", 13) == "one two three"
    assert excerpt("one two three", 12) == "one two…"
    assert excerpt("one two three", 8) == "one two…"
    assert excerpt("onetwothree", 8) == "onetwot…"
    assert excerpt("  one\n\ttwo ", 8) == "one two"


@given(st.text(max_size=300), st.integers(2, 220))
def test_an_excerpt_keeps_to_its_length_in_one_line_that_can_be_written(text, length):
    shown = excerpt(text, length)
    assert len(shown) <= length
    assert shown == " ".join(shown.split())
    assert shown.encode("utf-8") is not None
    assert not set(shown) & {"\u202e", "\u2066", "\x00", "\x1b"}


def test_an_excerpt_drops_what_could_hide_or_reorder_the_text_beside_it():
    assert excerpt("a\u202eb\x00c\x1b[31m\ud800d\u2069", 50) == "abc[31md"
    assert excerpt("\u0628\u200c\u0627", 9) == "\u0628\u200c\u0627"  # a joiner belongs to its word


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (1, 1, "the only layer"),
        (0, 1, "none of the 1 layer"),
        (2, 3, "2 of 3 layers"),
        (3, 3, "all 3 layers"),
        (0, 2, "none of the 2 layers"),
    ],
)
def test_a_count_of_named_things_agrees_with_their_number(part, whole, shown):
    assert share_of(part, whole, "layer") == shown


@pytest.mark.parametrize(
    ("layers", "shown"),
    [
        ("12", "12"),
        ("12, 13, 14, 20", "12 to 14, 20"),
        ("13,12", "12 to 13"),
        ("all", "all"),
        ("", ""),
        ("1, <b>", "1, <b>"),
    ],
)
def test_layers_are_shown_as_runs(layers, shown):
    assert layer_runs(layers) == shown
