import pytest
from benchmarks.planted import TEXTS

from personascope.instruments.audit.coordination import double_barrel
from personascope.instruments.items import load_items


def test_double_barrelled_sentences_are_found() -> None:
    missed = [text for text in TEXTS["double_barrelled"] if not double_barrel(text)]
    assert len(TEXTS["double_barrelled"]) >= 80
    assert len(missed) <= 0.1 * len(TEXTS["double_barrelled"]), missed


def test_sentences_that_the_rules_never_saw_are_mostly_found() -> None:
    held_out = TEXTS["double_barrelled_held_out"]
    found = [text for text in held_out if double_barrel(text) or ";" in text]  # the semicolon is another check's
    assert len(held_out) >= 60 and len(found) >= 0.8 * len(held_out)


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
        "I would hold back a true but crushing fact.",
        "I ask for nothing but the truth.",
        "I hum while I work.",
        "I have yet to find a fault in them.",
        "I read a text to its end, however dull.",
    ],
)
def test_joined_nouns_pass(text: str) -> None:
    assert double_barrel(text) == ""


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("I am shy but rarely sad.", "but rarely"),
        ("I am warm, honest and creative.", "and creative"),
        ("I avoid risks, though I love new ideas.", "though i"),
        ("I have many talents and few friends.", "and few"),
        ("I seldom plan, I just begin.", ", i"),
        ("Crowds tire me and art bores me.", "and art bores"),
        ("I prefer facts to feelings and company to solitude.", "and to"),
        ("I scrub my data and zap the outliers.", "and zap"),
    ],
)
def test_the_build_of_a_sentence_shows_verbs_that_no_list_holds(text: str, named: str) -> None:
    assert double_barrel(text) == named


def test_the_conjunction_at_fault_is_named() -> None:
    assert double_barrel("I like tea and history, but I avoid politics.") == "but i"
    assert double_barrel("I plan and/or improvise my answers.") != ""
