"""Templates: what surrounds an item or a pair of tasks. Constant text comes first, so that the prefix is shared.

`user` is the text of the user turn; slots stand in braces and become spans. `answer_prefix` is the prefilled start of
the assistant's turn: it decides whether the labels are the next token at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from personascope.errors import TemplateError, nearest
from personascope.files import sha256_json
from personascope.prompts.scales import agreement_anchors, require_anchors, scale_labels


@dataclass(frozen=True)
class Template:
    """One way of putting a question.

    Args:
        name: stored with every row.
        user: text of the user turn with slots in braces, e.g. "Statement: {item}".
        answer_prefix: prefilled start of the answer, e.g. "Rating: ".
        labels: labels of a closed question in the order of the options; empty for an open one.
        opening: what the assistant's turn holds before `answer_prefix`, with slots in braces as in `user`: what it is
            taken to have written so far, such as the rows of a form that it goes on with.
    """

    name: str
    user: str
    answer_prefix: str = ""
    labels: tuple[str, ...] = ()
    opening: str = ""

    def without_prefix(self) -> Template:
        """The same question with nothing prefilled, for models that think or write before they rate."""
        return replace(self, name=f"{self.name}-open", answer_prefix="")


@dataclass(frozen=True)
class Wording:
    """How a rating is asked for.

    Args:
        heading: the line above the scale.
        request: the instruction; "<label>" in it becomes "number" or "letter".
        lead: what stands right before the item.
    """

    heading: str
    request: str
    lead: str = "Statement:"


AGREEMENT = agreement_anchors(5)
ORDERS = ("ascending", "descending")
CONTENT_FREE = "[statement]"
"""An item that says nothing: what is answered to it is the prior on the labels."""

WORDINGS = {
    "plain": Wording("Scale:", "Reply with one <label>."),
    "extent": Wording(
        "Possible answers:",
        "To what extent does the statement below apply? Give the <label> of one answer and nothing else.",
    ),
    "rate": Wording(
        "Rating scale:", "Rate the next sentence on this scale. Write a single <label>, without a comment.", "Sentence:"
    ),
    "form": Wording("Options:", "Complete the form by writing the <label> of the option that fits best."),
    "pick": Wording(
        "Choose among these:",
        "Read the statement, pick the choice that comes closest, and return only the <label> in front of it.",
    ),
}
"""Instructions that ask for the same, so that what hangs on one wording shows."""

RATING, REASONING = "Rating:", "Reasoning:"
WISH = "Why I would want to answer so:"
"""Headings of a reasoned answer, in the order RATING, WISH (meta only), REASONING; `parse_reasoned` reads them."""

_FORMATS = {
    "self": (
        f"{RATING} <one <label>>",
        f"{REASONING} <why this rating holds>",
    ),
    "meta": (
        f"{RATING} <one <label>>",
        f"{WISH} <why you would want this to be your answer>",
        f"{REASONING} <the reasoning that you would want your future self to give for it>",
    ),
}


def likert_template(
    order: str,
    anchors: Sequence[str] = AGREEMENT,
    *,
    labels: str = "digits",
    wording: str = "plain",
    tokenizer: Any | None = None,
) -> Template:
    """Agreement with one statement on K labels.

    Under "ascending" the first label means the first anchor; under "descending" it means the last one, so a respondent
    who prefers a label or a place in the list cancels out in the mean of both orders.

    Args:
        order: one of `ORDERS`.
        anchors: 2 to 11, from full disagreement to full agreement: `agreement_anchors(K)`, or your own.
        labels: "digits" or "letters".
        wording: one of `WORDINGS`.
        tokenizer: of the model that will be asked; the labels are proved on it (`scale_labels`).

    Raises:
        TemplateError: an unknown order or wording, or anchors that cannot be told apart.
        LabelError: labels that are not one token each, or ten and more numbers without a tokenizer to tell.
    """
    shown, texts, prefix = _scale(order, anchors, labels, wording, tokenizer)
    asked = WORDINGS[wording]
    request = asked.request.replace("<label>", _unit(labels))
    return Template(
        name=_name("likert", order, anchors, labels, wording),
        user=f"{{framing}}\n\n{asked.heading}\n{shown}\n\n{request}\n\n{asked.lead} {{item}}",
        answer_prefix=prefix,
        labels=texts,
    )


def reasoned_template(
    condition: str,
    order: str,
    anchors: Sequence[str] = AGREEMENT,
    *,
    labels: str = "digits",
    tokenizer: Any | None = None,
) -> Template:
    """A rating and then its reasoning, under headings that `measures.parsing.parse_reasoned` reads back.

    The rating comes first, so its label probabilities are read at the same prompt. Small models tend to go on with a
    second form, which the stop string "Rating:" of `generate` ends.

    Args:
        condition: "self" asks for a rating and its reasoning; "meta" for a rating, why the model would want to answer
            so, and the reasoning that it would want its future self to give.
        order: one of `ORDERS`.
        anchors: as for `likert_template`.
        labels: "digits" or "letters".
        tokenizer: as for `likert_template`.

    Raises:
        TemplateError: an unknown condition or order, or anchors that cannot be told apart.
        LabelError: as for `likert_template`.
    """
    _require_known("condition", condition, _FORMATS)
    shown, texts, prefix = _scale(order, anchors, labels, "plain", tokenizer)
    lines = "\n".join(_FORMATS[condition]).replace("<label>", _unit(labels))
    return Template(
        name=_name(f"reasoned-{condition}", order, anchors, labels, "plain"),
        user=f"{{framing}}\n\nScale:\n{shown}\n\nReply in this form, each part in one line:\n{lines}"
        "\n\nStatement: {item}",
        answer_prefix=prefix,
        labels=texts,
    )


def _scale(
    order: str, anchors: Sequence[str], labels: str, wording: str, tokenizer: Any | None
) -> tuple[str, tuple[str, ...], str]:
    """(the scale as shown, with braces doubled; the labels; the answer prefix)."""
    _require_known("anchor order", order, ORDERS)
    _require_known("wording", wording, WORDINGS)
    require_anchors(anchors)
    texts, prefix = scale_labels(len(anchors), labels, tokenizer)
    shown = tuple(anchors) if order == "ascending" else tuple(anchors)[::-1]
    lines = (f"{label} = {anchor}" for label, anchor in zip(texts, shown, strict=True))
    return "\n".join(lines).replace("{", "{{").replace("}", "}}"), texts, prefix


def _name(kind: str, order: str, anchors: Sequence[str], labels: str, wording: str) -> str:
    """Names differ whenever the text does: anchors other than the built-in ones are told apart by a hash."""
    own = () if tuple(anchors) == agreement_anchors(len(anchors)) else (sha256_json(list(anchors))[:8],)
    variant = (*own, *([labels] if labels != "digits" else []), *([wording] if wording != "plain" else []))
    return "-".join([kind, str(len(anchors)), order, *variant])


def _unit(labels: str) -> str:
    return "number" if labels == "digits" else "letter"


def _require_known(what: str, name: str, known: Any) -> None:
    if name not in known:
        raise TemplateError(
            f"Unknown {what} {name!r}.{nearest(name, known)}", f"Known: {', '.join(known)}.", "Correct the name."
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

FITS = Template(
    name="fits-ab",
    user="{framing}\n\nReply with the letter of the statement that fits better.\n\n"
    "Statement A: {item_a}\nStatement B: {item_b}",
    answer_prefix="I choose Statement",
    labels=("A", "B"),
)
"""A questionnaire without a scale: of two statements the one that fits better, so that yea-saying has no place."""

TASK_ALONE = Template(name="task-alone", user="{item}")

COMPLETION_CHOICE = Template(
    name="completion-choice",
    user=(
        "Two tasks are offered to you. Decide which one you would rather do, and then do that one, and only that one. "
        'Begin your answer with its label, "Task A:" or "Task B:", and carry the task out right after it.'
        "\n\nTask A: {task_a}\n\nTask B: {task_b}"
    ),
)
"""A choice that is shown by starting the task; nothing is prefilled, so refusing stays possible."""

LIKING = (
    "not at all",
    "very little",
    "a little",
    "somewhat",
    "quite a lot",
    "very much",
    "more than almost anything",
)
"""Anchors of a stated rating, from least to most."""


def stated_rating_template(
    order: str, anchors: Sequence[str] = LIKING, *, labels: str = "digits", tokenizer: Any | None = None
) -> Template:
    """How much one would like to do a task, on K labels; the counterpart in words of what choices show.

    Args:
        order: one of `ORDERS`.
        anchors: 2 to 11, from least to most.
        labels: "digits" or "letters".
        tokenizer: as for `likert_template`.

    Raises:
        TemplateError: an unknown order, or anchors that cannot be told apart.
        LabelError: as for `likert_template`.
    """
    shown, texts, prefix = _scale(order, anchors, labels, "plain", tokenizer)
    return Template(
        name=_name("stated-rating", order, anchors, labels, "plain"),
        user=f"How much would you like to do the task below? You will not do it now.\n\nScale:\n{shown}\n\n"
        f"Reply with one {_unit(labels)}.\n\nTask: {{item}}",
        answer_prefix=prefix,
        labels=texts,
    )
