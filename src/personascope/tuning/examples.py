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
    """One answer to be learned, or several in one text (`make_transcript`).

    Args:
        id: of the example.
        prompt: what the model is asked first; no loss falls on it.
        answer: what it is to reply, without the token that ends its turn; several answers behind each other.
        ids: tokens of the prompt, the answer and the end of the turn.
        places: of the tokens that are taught, ascending; none stand for all behind the prompt.
    """

    id: str
    prompt: Prompt
    answer: str
    ids: tuple[int, ...]
    places: tuple[int, ...] = ()

    @property
    def taught(self) -> tuple[int, ...]:
        """Places of the tokens on which the loss falls."""
        return self.places or tuple(range(len(self.prompt), len(self.ids)))

    @property
    def labels(self) -> tuple[int, ...]:
        """Shape (token,): the tokens that are taught, and `IGNORED` for the others."""
        taught = set(self.taught)
        return tuple(token if place in taught else IGNORED for place, token in enumerate(self.ids))


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


def make_transcript(
    tokenizer: Any, id_: str, template: Template, questions: Sequence[Mapping[str, str]], answers: Sequence[str]
) -> Example:
    """One text that holds several questions of one respondent, each answer of which is taught.

    Every question must begin as the text does, token by token: so each answer is learned in the place in which it will
    be asked for, after all that was answered before it, and the text is computed once.

    Args:
        tokenizer: as for `render`.
        id_: of the example.
        template: of the questions, with what was answered before in its `opening`.
        questions: slots of each; those of the last hold all answers but its own.
        answers: labels, one token each.

    Raises:
        TemplateError: as `render`; a question that is not how the text begins, or an answer of several tokens.
    """
    whole = render(tokenizer, template, questions[-1], reply=answers[-1])
    prompts = [render(tokenizer, template, slots) for slots in questions]
    for prompt, answer in zip(prompts, answers, strict=True):
        n = len(prompt)
        if whole.ids[:n] != prompt.ids or tokenizer.decode([whole.ids[n]]).strip() != answer:
            shown = [tokenizer.decode([token]) for token in whole.ids[max(n - 3, 0) : n + 2]]
            raise TemplateError(
                f"Transcript {id_!r} does not go on from one of its questions with its answer {answer!r}.",
                f"Around that place its tokens are {shown}.",
                "Let every question repeat what came before it, and let answer_prefix end where a token ends.",
            )
    places = tuple(len(prompt) for prompt in prompts)
    return Example(id_, prompts[0], " ".join(answers), whole.ids[: places[-1] + 1], places)


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
        if example.places:
            decoded = " ".join(tokenizer.decode([token]).strip() for token in taught)
        else:
            decoded = tokenizer.decode(taught[:-1]).strip()
        if decoded != example.answer:
            raise DataError(
                f"The loss of example {example.id!r} would fall on {decoded[:80]!r}.",
                f"Its answer is {example.answer[:80]!r}.",
                "Make examples with `make_example` or `make_transcript`.",
            )


def examples_hash(examples: Sequence[Example]) -> str:
    """Content hash over tokens and labels, whatever the order of the examples."""
    return sha256_json(sorted((e.id, list(e.ids), list(e.places) or len(e.prompt)) for e in examples))


def example_frame(examples: Sequence[Example]) -> pl.DataFrame:
    """One row per example: example, n_prompt and n_taught (tokens), prompt, answer."""
    rows = [(e.id, len(e.prompt), len(e.taught), e.prompt.text, e.answer) for e in examples]
    kinds = {"example": pl.String, "n_prompt": pl.Int64, "n_taught": pl.Int64, "prompt": pl.String, "answer": pl.String}
    return pl.DataFrame(rows, schema=kinds, orient="row")


def _counts(ids: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for id_ in ids:
        found[id_] = found.get(id_, 0) + 1
    return found
