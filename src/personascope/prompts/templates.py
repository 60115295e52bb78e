"""Templates: what surrounds an item or a pair of tasks. Constant text comes first, so that the prefix is shared.

`user` is the text of the user turn; slots stand in braces and become spans. `answer_prefix` is the prefilled start of
the assistant's turn: it decides whether the labels are the next token at all.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Template:
    """One way of putting a question.

    Args:
        name: stored with every row.
        user: text of the user turn with slots in braces, e.g. "Statement: {item}".
        answer_prefix: prefilled start of the answer, e.g. "Rating: ".
        labels: labels of a closed question in the order of the options; empty for an open one.
    """

    name: str
    user: str
    answer_prefix: str = ""
    labels: tuple[str, ...] = ()


AGREEMENT = ("strongly disagree", "disagree", "neither agree nor disagree", "agree", "strongly agree")
ORDERS = ("ascending", "descending")


def likert_template(order: str, anchors: tuple[str, ...] = AGREEMENT) -> Template:
    """Agreement with one statement on labels 1..K.

    Under "ascending" label 1 means the first anchor; under "descending" label 1 means the last one, so a respondent
    who prefers a label or a place in the list cancels out in the mean of both orders.
    """
    shown = anchors if order == "ascending" else anchors[::-1]
    scale = "\n".join(f"{label} = {anchor}" for label, anchor in enumerate(shown, start=1))
    return Template(
        name=f"likert-{len(anchors)}-{order}",
        user="{framing}\n\nScale:\n" + scale + "\n\nReply with one number.\n\nStatement: {item}",
        answer_prefix="Rating: ",
        labels=tuple(str(label) for label in range(1, len(anchors) + 1)),
    )


CHOICE = Template(
    name="choice-ab",
    user=(
        "Two tasks are offered to you. You will do one of them. "
        "Reply with the letter of the task that you would rather do.\n\nTask A: {task_a}\nTask B: {task_b}"
    ),
    answer_prefix="I choose Task",
    labels=("A", "B"),
)

TASK_ALONE = Template(name="task-alone", user="{item}")
