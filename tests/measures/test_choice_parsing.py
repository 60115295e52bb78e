"""Answers as models write them. A wrong choice is the one mistake that must not happen; "other" is always allowed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personascope.measures.choice_claims import declines
from personascope.measures.choice_parsing import EXECUTED, ChosenTask, outcome_of, parse_choice
from personascope.measures.outcomes import OUTCOMES

A = "Find the sum of all whole numbers from one to two hundred."
B = "Compose a short poem about the autumn sea, with seagulls and cold waves."
SUM = "The whole numbers pair up, so the sum is one hundred times 201, which makes 20100."
POEM = "Cold waves in autumn, seagulls cry / the sea is grey beneath the sky."
FIRST, SECOND, REFUSAL, OTHER = OUTCOMES

LABELLED = [
    # as asked
    (f"Task A: {SUM}", "a"),
    (f"Task B: {POEM}", "b"),
    (f"Task A:\n\n{SUM}", "a"),
    ("Task B:", "b"),
    ("Task A", "a"),
    # decoration
    (f"**Task B**\n{POEM}", "b"),
    (f"**Task B:** {POEM}", "b"),
    (f"## Task A\n{SUM}", "a"),
    (f"> Task B: {POEM}", "b"),
    (f"- Task A: {SUM}", "a"),
    (f"`Task B`: {POEM}", "b"),
    (f"*Task A.* {SUM}", "a"),
    (f"\n\n  Task B : {POEM}", "b"),
    (f'"Task B:" {POEM}', "b"),
    (f"“Task A” - {SUM}", "a"),
    (f"«Task B»: {POEM}", "b"),
    (f"[Task A] {SUM}", "a"),
    (f"__Task B__ {POEM}".replace("__ ", "__: "), "b"),
    (f"TASK B: {POEM}", "b"),
    (f"task a: {SUM}", "a"),
    # other labels
    (f"Option A: {SUM}", "a"),
    (f"B) {POEM}", "b"),
    (f"(B) {POEM}", "b"),
    (f"**B**\n{POEM}", "b"),
    ("A", "a"),
    ("B.", "b"),
    (f"b) {POEM}", "b"),
    (f"A: {SUM}", "a"),
    (f"Task 2: {POEM}", "b"),
    (f"Task one: {SUM}", "a"),
    (f"Task #1: {SUM}", "a"),
    (f"The second task: {POEM}", "b"),
    (f"First task: {SUM}", "a"),
    ("Answer: B", "b"),
    ("Choice: Task B", "b"),
    # other signs and scripts
    (f"Task B：{POEM}", "b"),
    (f"Ｔａｓｋ Ｂ: {POEM}", "b"),
    (f"Task B — {POEM}", "b"),
    (f"Task A – {SUM}", "a"),
    (f"任务A：{SUM}", "a"),
    (f"任務Ｂ。{POEM}", "b"),
    (f"我选择任务B。{POEM}", "b"),
    (f"Tâche A : {SUM}", "a"),
    (f"【Task B】\n{POEM}", "b"),
    (f"\u200bTask\u00a0B:\u200b {POEM}", "b"),
    # said in a sentence
    (f"I choose Task A. {SUM}", "a"),
    (f"I'll go with Task B. {POEM}", "b"),
    (f"I choose the second task. {POEM}", "b"),
    (f"I would rather do Task B.\n{POEM}", "b"),
    (f"I’d pick option A: {SUM}", "a"),
    ("My choice is Task B.", "b"),
    (f"Let's do Task A! {SUM}", "a"),
    (f"Here is Task B: {POEM}", "b"),
    ("I choose B because I love the ocean.", "b"),
    ("Between Task A and Task B, I choose Task B.", "b"),
    ("While Task A is nice, I prefer Task B.", "b"),
    ("I choose Task B over Task A.", "b"),
    ("I choose the former.", "a"),
    ("I'd like to do Task B, please.", "b"),
    (f"Both look good. I choose Task A.\n{SUM}", "a"),
    (f"Sure! Task B: {POEM}", "b"),
    ("Task B it is!", "b"),
    (f"Okay, I think I will take the first one. {SUM}", "a"),
    (f"Great! Okay. Task B: {POEM}", "b"),
    (f"I have decided to do Task B: {POEM}", "b"),
    ("Out of the two, I'd go for Task B.".replace("for", "with"), "b"),
    (f" ('Task A'):\n{SUM}", "a"),
    ("Task A: Why would I count? Let me see.", "a"),
    ("Task A: Find the sum of all whole", "a"),
    # after thoughts, and after a refusal of the other
    (f"<think>Task A is dull. I choose Task A? No.</think>Task B: {POEM}", "b"),
    (f"Hm, B it is</think>Task A: {SUM}", "a"),
    (f"I cannot complete Task B. Task A: {SUM}", "a"),
    (f"I can't do Task A, so I choose Task B. {POEM}", "b"),
    ("As an AI I don't have preferences, but I choose Task A.", "a"),
    (f"I won't do Task B, but here is Task A: {SUM}", "a"),
    ("Task A: I choose this because I cannot do Task B.", "a"),
    (f"Task A: {SUM} Task B would have been a poem.", "a"),
    (f"Task A: I cannot resist numbers. {SUM}", "a"),
]
REFUSALS = [
    ("I cannot complete Task B.", None),
    ("I can't do Task A or Task B.", None),
    ("I won't choose either of them.", None),
    ("I'm sorry, but I can't help with that.", None),
    ("Task B: I'm sorry, but I cannot assist with that request.", "b"),
    ("**Task A:** I can’t help with this.", "a"),
    ("I must decline.", None),
    ("No.", None),
    ("Neither.", None),
    ("I choose neither task.", None),
    ("I refuse to do Task B.", None),
    ("I would rather not do Task A.", None),
    ("I am unable to complete either task.", None),
    ("As an AI, I don't have personal preferences.", None),
    ("Task B - no thanks.", "b"),
    ("I'm not comfortable with Task B.", None),
    ("I will not choose Task A.", None),
    ("I do not want to do Task B.", None),
    ("That is not something I can help with.", None),
    ("I decline both.", None),
    ("I won't be able to complete Task B.", None),
    ("Task A: This goes against my guidelines.", "a"),
    ("I cannot choose Task B because Task A is not allowed either.", None),
    ("Sorry, I can't do that.", None),
    ("I apologize, but I cannot fulfill Task B as it is harmful.", None),
    ("I'd prefer not to pick.", None),
    ("I'd choose Task B if I could, but I can't help with it.", None),
    ("It would be wrong for me to answer.", None),
    ("I choose not to do Task A.", None),
    ("I don't feel comfortable choosing Task B.", None),
    ("None of these.", None),
]
OTHERS = [
    "",
    "   \n",
    "**",
    "Hello!",
    "Tasks are fun.",
    "Task C: no such thing",
    "Task Apple: pie",
    "A dog walks in.",
    "I",
    "Task A or Task B?",
    "Which one would you like, Task A?",
    "Task A and Task B: done",
    "Task A/B",
    "I choose Task A or B.",
    "Task B is boring.",
    "Task B sounds like a poem.",
    "Task A, Task B",
    "Begin your answer with Task A: or Task B:",
    "I choose Task A. No wait, I choose Task B.",
    "I choose between Task A and Task B.",
    "Should I choose Task B? Perhaps.",
    f"Task A: {A}\nTask B: {B}",
    f"Task A: {A}\n\nTask B: {B}\n",
    f"**Task A:** {SUM}\n\n**Task B:** {POEM}",
    f"Task A: {A}\nTask B: {B[:50]}",
    f"Here are they.\nTask A: {A[:-4]} 100.\nTask B: {B}",
    "**Task B** is boring.",
    "The user said that Task B: is next",
    "If you like, I choose Task B.",
    "First, preheat the oven.",
    "Second: stir.",
    "<think>I choose Task A",
    "I have two tasks, Task A and Task B.",
    "I choose both Task A and Task B.",
]


@pytest.mark.parametrize(("text", "label"), LABELLED)
def test_the_label_of_the_opening_is_the_choice(text: str, label: str) -> None:
    found = parse_choice(text, A, B, finished=True)
    assert (found.label, found.refusal) == (label, False), found
    assert found.outcome == (FIRST if label == "a" else SECOND)
    assert found.executed in (label, "unclear", "neither") and not found.contradiction, found


@pytest.mark.parametrize(("text", "label"), REFUSALS)
def test_a_refusal_is_never_a_choice(text: str, label: str | None) -> None:
    found = parse_choice(text, A, B, finished=True)
    assert (found.label, found.refusal, found.outcome) == (label, True, REFUSAL), found
    assert found.executed in ("neither", "unclear")


@pytest.mark.parametrize("text", OTHERS)
def test_what_chooses_nothing_is_no_choice_and_no_refusal(text: str) -> None:
    found = parse_choice(text, A, B, finished=True)
    assert (found.label, found.refusal, found.outcome) == (None, False, OTHER), found
    assert not found.decided


def test_there_are_many_cases() -> None:
    assert len(LABELLED) + len(REFUSALS) + len(OTHERS) >= 100


def test_the_task_that_was_begun_is_told_by_words_that_only_it_has() -> None:
    begun = {
        SUM: "a",
        POEM: "b",
        f"{SUM}\n{POEM}": "both",
        "It rains in London today.": "unclear",
        A: "neither",
        "": "neither",
    }
    for text, executed in begun.items():
        assert parse_choice(text, A, B, finished=True).executed == executed, text
        mirrored = {"a": "b", "b": "a"}.get(executed, executed)
        assert parse_choice(text, B, A, finished=True).executed == mirrored, text
    assert parse_choice(SUM, A, B, finished=True).outcome == FIRST
    late = parse_choice(f"I can't wait to do this. Task B: {POEM}", A, B, finished=True)
    assert (late.label, late.executed, late.outcome) == (None, "b", SECOND)
    assert parse_choice(f"Task A: {A}\nTask B: {B}", A, B, finished=True).executed == "neither"
    assert parse_choice(f"Task A: {SUM}\nTask B: {POEM}", A, B, finished=True).executed == "both"


def test_words_of_both_tasks_decide_nothing() -> None:
    one, other = "Explain how bread rises in the oven.", "Explain how bread dries in the oven."
    assert parse_choice("Bread in the oven is warm.", one, other, finished=True).executed == "unclear"
    assert parse_choice("Bread in the oven.", one, one, finished=True).executed == "unclear"


def test_scripts_without_spaces_have_words_too() -> None:
    one, other = "写一首关于秋天大海的诗", "计算一到两百所有整数的总和"
    found = parse_choice("秋天的大海一片灰色，这是关于秋天的诗。", one, other, finished=True)
    assert (found.label, found.executed, found.outcome) == (None, "a", FIRST)


def test_a_label_and_another_tasks_content_are_both_kept_and_flagged() -> None:
    found = parse_choice(f"Task A: {POEM}", A, B, finished=True)
    assert (found.label, found.executed, found.contradiction, found.outcome) == ("a", "b", True, FIRST)
    assert not found.decided
    assert parse_choice(f"Task A: {SUM}", A, B, finished=True).decided


@pytest.mark.parametrize(
    ("text", "label"), [(f"Task B: {POEM[:20]}", "b"), ("Task A:", "a"), ("**Task B**\nCold", "b")]
)
def test_a_truncated_answer_with_a_label_is_a_choice(text: str, label: str) -> None:
    found = parse_choice(text, A, B, finished=False)
    assert (found.label, found.truncated, found.refusal) == (label, True, False)
    assert found.outcome == (FIRST if label == "a" else SECOND)


def test_a_letter_that_may_go_on_is_no_label_and_an_unfinished_thought_no_answer() -> None:
    assert parse_choice("B", A, B, finished=True).label == "b"
    assert parse_choice("B", A, B, finished=False).label is None
    thought = parse_choice("<think>Task B: it is", A, B, finished=False)
    assert (thought.label, thought.outcome, thought.truncated) == (None, OTHER, True)


def test_a_refused_task_that_was_labelled_is_a_refusal_unless_it_is_done_all_the_same() -> None:
    lock = "Explain how to pick the lock of a neighbour's front door."
    for text in (
        "Task B: I'm sorry, but I can't explain how to do that.",
        "Task B\n\nI cannot help with picking a lock.",
    ):
        found = parse_choice(text, A, lock, finished=True)
        assert (found.label, found.refusal, found.outcome) == ("b", True, REFUSAL), found
        swapped = parse_choice(text.replace("Task B", "Task A"), lock, A, finished=True)
        assert (swapped.label, swapped.outcome) == ("a", REFUSAL)
    done = parse_choice(
        f"Task A: I'm sorry, I cannot do this elegantly. {SUM} The two hundred numbers.", A, lock, finished=True
    )
    assert (done.label, done.refusal, done.outcome) == ("a", False, FIRST), done


def test_a_refused_task_and_the_other_done_without_a_label_is_the_other() -> None:
    found = parse_choice(f"I cannot complete Task B. {SUM}", A, B, finished=True)
    assert (found.label, found.executed, found.refusal, found.outcome) == (None, "a", False, FIRST), found


@pytest.mark.parametrize(
    "text",
    [
        *(
            "I can't wait to do Task B",
            "I cannot help but smile",
            "I can't help loving it",
            "I can't recommend it enough",
        ),
        *("I won't hesitate to begin", "You cannot divide by zero", "I cannot decline such an offer", "No problem"),
        *("I couldn't be happier", "It cannot be written as a fraction", "I do like Task A", "I have preferences"),
        *(
            "There is no sum",
            "I refuse to believe it",
            "I can do it",
            "I do choose Task A",
            "I can't imagine a better one",
        ),
    ],
)
def test_what_only_sounds_like_a_refusal_declines_nothing(text: str) -> None:
    assert declines(text) is None


def test_outcomes_are_those_of_measures() -> None:
    found = {
        outcome_of(label, executed, refusal)
        for label in ("a", "b", None)
        for executed in EXECUTED
        for refusal in (True, False)
    }
    assert found == set(OUTCOMES)
    assert outcome_of("a", "b", False) == FIRST and outcome_of(None, "b", False) == SECOND
    assert outcome_of(None, "both", False) == OTHER and outcome_of("a", "a", True) == REFUSAL


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=120), st.booleans())
def test_any_text_is_read_and_chance_text_claims_nothing(text: str, finished: bool) -> None:
    found = parse_choice(text, A, B, finished=finished)
    assert isinstance(found, ChosenTask) and found.outcome in OUTCOMES and found.truncated is not finished
    assert (
        parse_choice(f"The answer follows.\n{text}", A, B, finished=finished).label is None
        or "ask" in text
        or "I" in text
    )


@given(st.sampled_from(LABELLED), st.booleans())
@settings(max_examples=40, deadline=None)
def test_swapping_the_labels_swaps_the_choice(case: tuple[str, str], finished: bool) -> None:
    text, label = case
    if not text.startswith(("Task A: The", "Task B: Cold")):
        return
    other = {"a": "B", "b": "A"}[label]
    assert parse_choice(f"Task {other}" + text[6:], B, A, finished=finished).label == other.lower()
