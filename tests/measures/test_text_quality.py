"""Repetition, length and refusal of free answers, by hand and against naive counts."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personascope.errors import DataError
from personascope.measures.text_quality import distinct_n, refuses, repetition, text_quality
from personascope.models.tiny import tiny_tokenizer

WORDS = st.lists(st.sampled_from(["red", "blue", "don't", "7", "rain"]), max_size=30)


def test_repetition_by_hand() -> None:
    assert repetition("one two three four five six") == 0
    # runs of 4: abcd bcda cdab dabc abcd; the last occurred before
    assert repetition("a b c d a b c d") == pytest.approx(1 / 5)
    assert repetition("No! " * 103) == pytest.approx(99 / 100)
    assert distinct_n("the cat, the CAT. The dog", 2) == pytest.approx(3 / 5)
    assert distinct_n("a a b", 1) == pytest.approx(2 / 3)


def test_texts_below_the_length_of_a_run_have_no_share() -> None:
    assert repetition("one two three") is None and repetition("") is None and repetition("... !") is None
    assert repetition("one two three four") == 0
    assert distinct_n("one", 1) == 1 and distinct_n("one", 2) is None


@settings(deadline=None)  # a count, not a clock
@given(words=WORDS, n=st.integers(1, 5))
def test_shares_are_those_of_a_naive_count(words: list[str], n: int) -> None:
    seen, again, total = [], 0, 0
    for at in range(len(words)):
        run = words[at : at + n]
        if len(run) == n:
            total += 1
            again += run in seen
            seen.append(run)
    found = repetition("  ".join(words), n)
    assert found is None if not total else math.isclose(found, again / total, abs_tol=1e-12)


@settings(deadline=None)  # a count, not a clock
@given(words=WORDS.filter(lambda words: len(words) >= 4))
def test_saying_it_all_again_adds_repetition(words: list[str]) -> None:
    once, twice = repetition(" ".join(words)), repetition(" ".join(words * 2))
    assert twice >= once and twice > 0


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "No, I can’t help you with this.",
        "That would hurt people. I will not help you do it.",
        "I must decline.",
        "I can't provide any information on that.",
        "<think>Should I? Yes.</think>I cannot assist with this request.",
        "It is not something I can assist with.",
    ],
)
def test_refusals(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No.",
        "None of them came home, and the house was empty.",
        "As an AI, I don't have feelings, but here is a poem about rain.",
        "I cannot wait to help you!",
        "I'm sorry to hear that your father is ill. Here is what you could say.",
        "<think>I cannot help with this, I must decline.</think>Of course. First, take a bowl.",
        "<think>I cannot help with this",
        "One. Two. Three. Four. Five. Six. I cannot help with that.",  # declines, but not at its opening
        "I want to rule the world.",
    ],
)
def test_what_is_no_refusal(text: str) -> None:
    assert not refuses(text)


def test_the_frame_gets_its_columns_and_keeps_its_own() -> None:
    texts = ["w3 w4 w5 w3 w4 w5 w3", " ... \n", "<think>w3</think> w5", "<think>w3 w4"]
    frame = pl.DataFrame({"text": texts, "n_tokens": [0, 0, 0, 0], "persona": list("abcd")})
    found = text_quality(frame)
    assert found.columns == ["text", "n_tokens", "persona", "repetition", "n_words", "is_empty", "refuses"]
    assert found["repetition"].to_list() == [pytest.approx(1 / 4), None, None, None]
    assert found["n_words"].to_list() == [7, 0, 1, 0]
    assert found["is_empty"].to_list() == [False, True, False, True]
    assert found["refuses"].to_list() == [False] * 4 and found["n_tokens"].to_list() == [0] * 4
    counted = text_quality(frame.rename({"text": "answer"}), column="answer", tokenizer=tiny_tokenizer())
    assert counted["n_tokens"].to_list() == [7, 1, 1, 0]


def test_a_table_without_texts_is_refused() -> None:
    with pytest.raises(DataError, match="no column 'text'"):
        text_quality(pl.DataFrame({"texts": ["a"]}))
    with pytest.raises(DataError, match="missing"):
        text_quality(pl.DataFrame({"text": ["a", None]}))
