"""Answer options: which single tokens spell each label right after a prompt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from personascope.errors import LabelError


@dataclass(frozen=True)
class Options:
    """The labels of a closed question with all single-token spellings of each.

    Args:
        labels: e.g. ("1", "2", "3", "4", "5").
        token_ids: for each label the token ids whose text is the label, white space aside; the first one is the
            token that really follows the prompt. No token belongs to two labels.
    """

    labels: tuple[str, ...]
    token_ids: tuple[tuple[int, ...], ...]


def resolve_options(tokenizer: Any, context: str, labels: Sequence[str]) -> Options:
    """Find every single-token spelling of each label, and prove on the tokenizer that it is the next token.

    Args:
        tokenizer: a Hugging Face tokenizer.
        context: the end of the rendered prompt (its last line suffices), after which the label comes.
        labels: label texts as the model would write them.

    Raises:
        LabelError: a label is empty, repeated or has white space at its ends, is not exactly one token after
            `context`, is unknown to the tokenizer, or two labels would be told apart by no token.
    """
    if len(set(labels)) != len(labels) or any(not label or label != label.strip() for label in labels):
        raise LabelError(
            f"Labels must be distinct, not empty and without white space at the ends: {list(labels)}.",
            "White space belongs to the answer prefix: all spellings of a label are counted as the label.",
            "Give every option its own label.",
        )
    before = tokenizer(context, add_special_tokens=False)["input_ids"]
    next_tokens = [_next_token(tokenizer, context, before, label) for label in labels]
    spelled: dict[str, list[int]] = {label: [token] for label, token in zip(labels, next_tokens, strict=True)}
    for token, text in _vocabulary_texts(tokenizer):
        label = text.strip()
        if label in spelled and token not in spelled[label]:
            spelled[label].append(token)
    if len(set(next_tokens)) != len(labels):
        raise LabelError(
            f"Two of the labels {list(labels)} start with the same token.",
            "The tokenizer splits them after a common beginning.",
            "Use labels with different first characters, such as digits or letters.",
        )
    for label, token in zip(labels, next_tokens, strict=True):
        if tokenizer.decode([token]).strip() != label:
            raise LabelError(
                f"Label {label!r} is read as the token {tokenizer.decode([token])!r}.",
                "The tokenizer does not know it, or changes its spelling.",
                "Use digits or letters.",
            )
    return Options(tuple(labels), tuple(tuple(spelled[label]) for label in labels))


def _next_token(tokenizer: Any, context: str, before: list[int], label: str) -> int:
    """The token that continues `context` with the label, written as a writer would: after a space in running text."""
    runs_on = bool(re.search(r"[0-9A-Za-z.,:;!?)]\Z", context))
    written = f" {label}" if runs_on else label
    after = tokenizer(context + written, add_special_tokens=False)["input_ids"]
    if after[: len(before)] != before or len(after) != len(before) + 1:
        pieces = [tokenizer.decode([token]) for token in after[max(0, len(before) - 2) :]]
        raise LabelError(
            f"Label {label!r} is not one token after {context[-30:]!r}.",
            f"{(context + written)[-30:]!r} is read as ... {pieces}.",
            "Change the template's answer prefix (with or without a final space) or use single-character labels.",
        )
    return int(after[-1])


def _vocabulary_texts(tokenizer: Any) -> list[tuple[int, str]]:
    """(token id, decoded text) of the whole vocabulary, cached on the tokenizer: decoding 262k tokens takes seconds."""
    cached: list[tuple[int, str]] | None = getattr(tokenizer, "_personascope_texts", None)
    if cached is None:
        ids = sorted(tokenizer.get_vocab().values())
        cached = list(zip(ids, tokenizer.batch_decode([[token] for token in ids]), strict=True))
        tokenizer._personascope_texts = cached
    return cached
