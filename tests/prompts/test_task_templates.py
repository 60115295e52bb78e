"""The templates that put tasks: written choices and stated ratings."""

from __future__ import annotations

import string

import pytest

from personascope.errors import TemplateError
from personascope.prompts.templates import CHOICE, COMPLETION_CHOICE, LIKING, ORDERS, stated_rating_template


def slots(template) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(template.user) if name]


def test_a_written_choice_prefills_nothing_and_puts_the_tasks_last_under_their_labels() -> None:
    assert slots(COMPLETION_CHOICE) == slots(CHOICE) == ["task_a", "task_b"]
    assert COMPLETION_CHOICE.answer_prefix == "" and COMPLETION_CHOICE.labels == ()
    assert COMPLETION_CHOICE.user.endswith("\n\nTask A: {task_a}\n\nTask B: {task_b}")
    assert COMPLETION_CHOICE.user.count('"Task A:"') == COMPLETION_CHOICE.user.count('"Task B:"') == 1


def test_the_orders_of_a_stated_rating_mirror_each_other_and_share_labels_and_prefix() -> None:
    up, down = (stated_rating_template(order) for order in ORDERS)
    shown = [t.user.split("Scale:\n")[1].split("\n\n")[0].splitlines() for t in (up, down)]
    assert [line.split(" = ")[1] for line in shown[0]] == list(LIKING)
    assert [line.split(" = ")[1] for line in shown[1]] == list(LIKING[::-1])
    assert up.labels == down.labels == tuple("1234567") and up.answer_prefix == down.answer_prefix
    assert slots(up) == slots(down) == ["item"] and up.user.endswith("{item}")
    assert len({up.name, down.name, stated_rating_template("ascending", ("no", "a bit", "yes")).name}) == 3
    assert stated_rating_template("ascending", labels="letters").labels == tuple("ABCDEFG")


def test_what_no_scale_can_be_is_refused() -> None:
    with pytest.raises(TemplateError):
        stated_rating_template("upward")
    with pytest.raises(TemplateError):
        stated_rating_template("ascending", ("no", "no"))
