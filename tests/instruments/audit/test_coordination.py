import pytest
from planted import TEXTS

from personascope.instruments.audit.coordination import double_barrel
from personascope.instruments.items import load_items


def test_double_barrelled_sentences_are_found() -> None:
    missed = [text for text in TEXTS["double_barrelled"] if not double_barrel(text)]
    assert len(TEXTS["double_barrelled"]) >= 80
    assert len(missed) <= 0.1 * len(TEXTS["double_barrelled"]), missed


def test_the_built_in_bank_raises_no_alarm() -> None:
    assert [item.text for item in load_items().items if double_barrel(item.text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "Poetry or music seems like wasted effort to me.",
        "I jump back and forth between points.",
        "I like history and science.",
        "I try to forgive and forget.",
        "I trust friends and strangers alike.",
        "I enjoy poetry and prose in equal measure.",
        "I wonder now and then whether people like me.",
        "I look two or three steps ahead.",
        "I like red, green and blue ideas, and plain ones.",
    ],
)
def test_joined_nouns_pass(text: str) -> None:
    assert double_barrel(text) == ""


def test_the_conjunction_at_fault_is_named() -> None:
    assert double_barrel("I like tea and history, but I avoid politics.") == "but i"
    assert double_barrel("I plan and/or improvise my answers.") != ""
