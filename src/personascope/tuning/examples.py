"""What is taught: a prompt, the answer that is wanted after it, and the exact tokens on which the loss falls.

A prompt and its answer are tokenised as one text, as the model will meet them, and the prompt's tokens must come first
and unchanged. So the labels of a batch decode to the answer and to nothing else, by construction and by check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from personascope.errors import DataError, TemplateError
from personascope.files import sha256_json
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render
from personascope.prompts.templates import Template

IGNORED = -100
"""Label of a token on which no loss falls, by torch's convention."""


@dataclass(frozen=True)
class Example:
    """One answer to be learned.

    Args:
        id: of the example.
        prompt: what the model is asked; no loss falls on it.
        answer: what it is to reply, without the token that ends its turn.
        ids: tokens of the prompt, the answer and the end of the turn.
    """

    id: str
    prompt: Prompt
    answer: str
    ids: tuple[int, ...]

    @property
    def labels(self) -> tuple[int, ...]:
        """Shape (token,): `IGNORED` for the prompt, then the tokens that are taught."""
        return (*[IGNORED] * len(self.prompt), *self.ids[len(self.prompt) :])


def make_example(
    tokenizer: Any,
    id_: str,
    template: Template,
    slots: Mapping[str, str],
    answer: str,
    *,
    system: str = "",
    thinking: bool | None = None,
) -> Example:
    """Put an answer behind a prompt and end the turn.

    Args:
        tokenizer: as for `render`.
        id_: of the example.
        template: of the question; what its `answer_prefix` prefills is not taught.
        slots: as for `render`.
        answer: what is taught after the prefix.
        system: as for `render`.
        thinking: as for `render`.

    Raises:
        TemplateError: as `render`; an empty answer; a chat template that ends no turn; an answer whose first token
            melts with the last of the prompt, so that the model would never see that prompt when it is asked.
    """
    answer = answer.strip()
    if not answer:
        raise TemplateError(f"Example {id_!r} has an empty answer.", "", "Leave it out.")
    prompt = render(tokenizer, template, slots, system=system, thinking=thinking)
    whole = render(tokenizer, template, slots, system=system, thinking=thinking, reply=answer, close=True)
    n = len(prompt)
    if whole.ids[:n] != prompt.ids or len(whole) < n + 2:
        shown = [tokenizer.decode([token]) for token in whole.ids[max(n - 3, 0) : n + 2]]
        raise TemplateError(
            f"The tokens of example {id_!r} do not begin with those of its prompt.",
            f"Around the place where the answer begins they are {shown}.",
            "Let the template's answer_prefix end where a token ends.",
        )
    return Example(id_, prompt, answer, whole.ids)


def require_teachable(tokenizer: Any, examples: Sequence[Example], max_length: int, what: str = "train") -> None:
    """Check that the loss falls on the whole answer of every example and on nothing else.

    Args:
        tokenizer: of the model that is trained.
        examples: at least one.
        max_length: tokens that the trainer keeps of an example.
        what: of which part these are, for messages.

    Raises:
        DataError: no examples, two with one id, one that is longer than `max_length` (its answer would be cut), or one
            whose taught tokens decode to something else than its answer and the end of the turn.
    """
    if not examples:
        raise DataError(f"There are no {what} examples.", "Nothing could be learned or chosen by.", "Give some.")
    ids = [example.id for example in examples]
    twice = next((id_ for id_, n in _counts(ids).items() if n > 1), None)
    if twice is not None:
        raise DataError(f"Two {what} examples have the id {twice!r}.", "", "Name them apart.")
    longest = max(examples, key=lambda example: len(example.ids))
    if len(longest.ids) > max_length:
        raise DataError(
            f"Example {longest.id!r} has {len(longest.ids)} tokens, more than max_length {max_length}.",
            "Its answer would be cut off and half an answer learned.",
            "Raise max_length, or shorten the answers.",
        )
    for example in examples:
        taught = [token for token in example.labels if token != IGNORED]
        decoded = tokenizer.decode(taught[:-1]).strip()
        if decoded != example.answer or len(example.labels) != len(example.ids):
            raise DataError(
                f"The loss of example {example.id!r} would fall on {decoded[:80]!r}.",
                f"Its answer is {example.answer[:80]!r}.",
                "Make examples with `make_example`.",
            )


def examples_hash(examples: Sequence[Example]) -> str:
    """Content hash over tokens and labels, whatever the order of the examples."""
    return sha256_json(sorted((example.id, list(example.ids), len(example.prompt)) for example in examples))


def example_frame(examples: Sequence[Example]) -> pl.DataFrame:
    """One row per example: example, n_prompt and n_taught (tokens), prompt, answer."""
    rows = [(e.id, len(e.prompt), len(e.ids) - len(e.prompt), e.prompt.text, e.answer) for e in examples]
    kinds = {"example": pl.String, "n_prompt": pl.Int64, "n_taught": pl.Int64, "prompt": pl.String, "answer": pl.String}
    return pl.DataFrame(rows, schema=kinds, orient="row")


def _counts(ids: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for id_ in ids:
        found[id_] = found.get(id_, 0) + 1
    return found
