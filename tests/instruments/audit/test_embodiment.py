import pytest
from benchmarks.planted import TEXTS

from personascope.instruments.audit.embodiment import check_embodiment, embodiment
from personascope.instruments.items import load_items


def test_embodied_sentences_are_tagged() -> None:
    missed = [text for text in TEXTS["embodied"] if embodiment(text)[0] == "applicable"]
    assert len(TEXTS["embodied"]) >= 80
    assert len(missed) <= 0.1 * len(TEXTS["embodied"]), missed


def test_of_sentences_that_the_lists_never_saw_seven_in_ten_are_tagged() -> None:
    tagged = [text for text in TEXTS["embodied_held_out"] if embodiment(text)[0] != "applicable"]
    assert len(TEXTS["embodied_held_out"]) >= 60 and len(tagged) >= 0.7 * len(TEXTS["embodied_held_out"])


def test_few_items_written_for_text_only_models_are_tagged() -> None:
    items = [item for item in load_items().items if item.applicability == "applicable"]
    tagged = [item.text for item in items if embodiment(item.text)[0] == "not"]
    assert len(tagged) <= 0.02 * len(items), tagged


@pytest.mark.parametrize(
    "text",
    [
        "I face problems head on.",
        "From my point of view, rules matter.",
        "I hand over a rough version of my work.",
        "I see myself as an honest respondent.",
        "I speak ill of others.",
        "I run through several drafts.",
        "Heavy work suits me.",
    ],
)
def test_metaphors_pass(text: str) -> None:
    assert embodiment(text) == ("applicable", "")


def test_the_tag_names_what_decided_it() -> None:
    assert embodiment("I cook for my friends.") == ("not", "food: cook")
    assert embodiment("I make friends easily.") == ("as-if", "company: make friends")


def test_a_declared_tag_stands_and_the_doubt_is_noted() -> None:
    tier, notes = check_embodiment("I cook for my friends.", "applicable")
    assert tier == "applicable"
    assert [note.verdict for note in notes] == ["keep"] and "the lexicon says not" in notes[0].reason
    assert check_embodiment("I like order.", None) == ("applicable", [])
    assert check_embodiment("I like order.", "as-if")[0] == "as-if"
