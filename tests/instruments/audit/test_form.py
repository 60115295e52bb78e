"""Form checks on sentences whose faults are known, and silence on published and built-in items."""

from __future__ import annotations

from pathlib import Path

import pytest

from personascope.instruments.audit.findings import Finding, worst
from personascope.instruments.audit.form import check_form, is_negated
from personascope.instruments.items import Item, load_items

IPIP = Path(__file__).parents[3].parent / "shared" / "data" / "ipip_hexaco_240_items.csv"


def found(text: str, facet: str = "patience") -> dict[str, str]:
    return {one.check: one.verdict for one in check_form(Item(id="a", facet=facet, key=1, text=text))}


@pytest.mark.parametrize(
    ("text", "check", "verdict"),
    [
        ("Rules are made to be broken.", "first_person", "review"),
        ("I wait.", "length", "review"),
        ("I work hard.", "length", "keep"),
        (f"I {'very ' * 20}often wait.", "length", "review"),
        ("I wait. I never complain.", "one_clause", "review"),
        ("I wait calmly; others shout at me.", "one_clause", "review"),
        ("Do I stay calm with everyone?", "one_clause", "review"),
        ("I plan every step and rarely change my mind.", "double_barrelled", "review"),
        ("I would never do nothing about it.", "double_negation", "review"),
        ("I have a great deal of patience.", "facet_name", "review"),
        ("I strongly agree with most people.", "answer_scale", "drop"),
        ("I rate myself on a scale from here.", "answer_scale", "drop"),
        ("I stay calm\u200b with everyone.", "unicode", "review"),
        ("I stay calm with every\ufffdone.", "unicode", "drop"),
        ("I st\u0430y calm with everyone.", "unicode", "drop"),  # a Cyrillic letter
        ("I stay calm in a cafe\u0301 quarrel.", "unicode", "review"),
        ("I stay **calm** with everyone.", "markup", "drop"),
        ("1. I stay calm with everyone.", "markup", "drop"),
        ("I stay calm with {name} today.", "markup", "drop"),
        ("I stay  calm with everyone.", "spaces", "keep"),
    ],
)
def test_each_fault_is_found_and_nothing_else(text: str, check: str, verdict: str) -> None:
    assert found(text) == {check: verdict}


@pytest.mark.parametrize(
    "text",
    [
        "I would never take things that aren't mine.",  # one negation in each clause
        "I don’t mind waiting for someone’s reply.",
        "Stories or images come to me easily.",
        "My décor would be plain, e.g. white walls.",
        "My patient manner comes easily to me.",
        "I agree with people easily.",
    ],
)
def test_sound_sentences_pass(text: str) -> None:
    assert found(text) == {}


def test_the_facet_name_counts_only_for_its_own_facet() -> None:
    assert found("I have a great deal of patience.", facet="modesty") == {}
    assert found("My greed knows no end.", facet="greed_avoidance") == {"facet_name": "review"}


@pytest.mark.parametrize(
    ("text", "negated"),
    [
        ("I don't like art.", True),
        ("I never lie.", True),
        ("I rarely complain.", True),
        ("I'm no longer interested in praise.", True),
        ("I avoid people who never listen.", False),
        ("If I can't win, I leave.", False),
        ("Nobody's praise matters to me.", False),
    ],
)
def test_negation_counts_in_the_main_statement_only(text: str, negated: bool) -> None:
    assert is_negated(text) is negated


def test_the_built_in_bank_has_no_finding_of_form() -> None:
    assert [item.id for item in load_items().items if check_form(item)] == []


@pytest.mark.skipif(not IPIP.is_file(), reason="the IPIP-HEXACO items are not beside this repository")
def test_published_items_raise_few_alarms() -> None:
    items = load_items(IPIP).items
    alarms = [item.text for item in items if worst(check_form(item)) != "keep"]
    assert len(alarms) <= 5, alarms


def test_the_worst_finding_decides() -> None:
    notes = [Finding("a", "keep", ""), Finding("b", "drop", ""), Finding("c", "review", "")]
    assert [worst(notes), worst(notes[::2]), worst([])] == ["drop", "review", "keep"]
