"""Rating scales: anchors for 2 to 11 options, and the labels that stand before them."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from personascope.errors import LabelError, TemplateError, nearest
from personascope.prompts.labels import resolve_options

MOST_OPTIONS = 11
LABEL_KINDS = ("digits", "letters")
_DIGIT_PREFIX, _LETTER_PREFIX = "Rating: ", "Rating:"
_DEGREES = {
    1: ("",),
    2: ("strongly ", ""),
    3: ("strongly ", "", "slightly "),
    4: ("very strongly ", "strongly ", "", "slightly "),
    5: ("completely ", "very strongly ", "strongly ", "", "slightly "),
}


def agreement_anchors(n_options: int) -> tuple[str, ...]:
    """Anchors from full disagreement to full agreement; an odd number of options has a neutral one in the middle.

    Raises:
        TemplateError: fewer than 2 or more than 11 options.
    """
    if not 2 <= n_options <= MOST_OPTIONS:
        raise TemplateError(
            f"There are no built-in anchors for {n_options} options.",
            f"They are worded for 2 to {MOST_OPTIONS}.",
            "Choose a number in that range, or give anchors of your own.",
        )
    degrees = _DEGREES[n_options // 2]
    middle = ("neither agree nor disagree",) if n_options % 2 else ()
    return (*(f"{degree}disagree" for degree in degrees), *middle, *(f"{degree}agree" for degree in degrees[::-1]))


def require_anchors(anchors: Sequence[str]) -> None:
    """Hold that anchors can be told apart, each on a line of its own.

    Raises:
        TemplateError: fewer than 2 or more than 11 anchors, or one that is empty, repeated, or not one trimmed line.
    """
    if not 2 <= len(anchors) <= MOST_OPTIONS:
        raise TemplateError(
            f"A scale needs 2 to {MOST_OPTIONS} anchors, not {len(anchors)}: {list(anchors)}.",
            "Each option has one anchor.",
            "Give one anchor for each option.",
        )
    unusable = [anchor for anchor in anchors if not anchor or " ".join(anchor.split()) != anchor]
    if unusable or len({anchor.casefold() for anchor in anchors}) < len(anchors):
        raise TemplateError(
            f"The anchors {list(anchors)} cannot be told apart.",
            f"{unusable[0]!r} is empty or is not one trimmed line." if unusable else "One of them stands twice.",
            "Give every option an anchor of its own, on one line, without white space at the ends.",
        )


def scale_labels(n_options: int, kind: str, tokenizer: Any | None = None) -> tuple[tuple[str, ...], str]:
    """Labels of a scale, and the answer prefix after which each of them is the next token.

    With a tokenizer both are proved on it: the prefix ends with a space or not, whichever makes every label one token.
    Without one the prefix is the usual one, "Rating: " before digits and "Rating:" before letters (which take
    their space into their token), and `resolve_options` judges it when the prompt is run.

    Args:
        n_options: K, 2 to 11.
        kind: "digits" for 1..K, "letters" for A, B ...
        tokenizer: Hugging Face tokenizer of the model that will be asked; needed for digits beyond 9.

    Raises:
        LabelError: an unknown kind; two-digit labels that are not one token each, or without a tokenizer to tell;
            labels that are one token after neither prefix.
    """
    if kind not in LABEL_KINDS:
        raise LabelError(
            f"Unknown kind of labels {kind!r}.{nearest(kind, LABEL_KINDS)}", "", f"Use {' or '.join(LABEL_KINDS)}."
        )
    digits = kind == "digits"
    labels = tuple(str(n) for n in range(1, n_options + 1)) if digits else tuple(ascii_uppercase[:n_options])
    usual, other = (_DIGIT_PREFIX, _LETTER_PREFIX) if digits else (_LETTER_PREFIX, _DIGIT_PREFIX)
    if tokenizer is None:
        if digits and n_options > 9:
            raise LabelError(
                f"Whether the labels 10 to {n_options} are one token each depends on the tokenizer.",
                f"A scale of {n_options} numbered options was asked for without a tokenizer.",
                'Use letters (labels="letters"), or pass the tokenizer of the model that you ask.',
            )
        return labels, usual
    try:
        resolve_options(tokenizer, usual, labels)
        return labels, usual
    except LabelError as error:
        try:
            resolve_options(tokenizer, other, labels)
            return labels, other
        except LabelError:
            other_kind = LABEL_KINDS[digits]
            raise LabelError(
                f"The labels {labels[0]} to {labels[-1]} are not one token each for this tokenizer.",
                f"{error.symptom} {error.cause}",
                f'Use {other_kind} (labels="{other_kind}")' + (", or at most 9 options." if n_options > 9 else "."),
            ) from error
