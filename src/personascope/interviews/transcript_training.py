"""What a language model is taught of interviews: answers by transcripts in random order, questions by planned ones.

The answer model must not learn from how questions were chosen, so it reads random orders and the loss falls on answers.
The interviewer learns which question comes next, so it reads planned transcripts and the loss falls on questions; a
plan that looked at answers before it asked would teach that what is asked is answered unusually, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Integer

from personascope.errors import DataError
from personascope.files import sha256_text
from personascope.instruments.option_codes import MISSING
from personascope.instruments.responses import Responses
from personascope.interviews.interview import Stop, conduct
from personascope.interviews.language_model import History, answer_slots, answer_template, told
from personascope.interviews.planners import Planner
from personascope.interviews.respondents import RespondentModel
from personascope.interviews.transcripts import Transcripts
from personascope.prompts.templates import Template
from personascope.tuning.examples import Example, make_example, make_transcript

PARTS = ("train", "validation", "test")


def split_people(
    responses: Responses, ratios: Sequence[float] = (0.8, 0.1, 0.1), salt: str = ""
) -> dict[str, Responses]:
    """People apart into training, validation and test, by a hash of their ids: adding people moves nobody.

    Args:
        responses: of people.
        ratios: of the three parts; they sum to 1.
        salt: another gives another split.

    Raises:
        DataError: ratios that are none, or a part without people.
    """
    if len(ratios) != len(PARTS) or min(ratios) <= 0 or abs(sum(ratios) - 1) > 1e-9:
        raise DataError(f"Ratios {tuple(ratios)}.", "Three shares above 0 that sum to 1 are needed.", "Correct them.")
    places = np.array([int(sha256_text(f"{salt}/{name}")[:12], 16) / 16**12 for name in responses.respondents])
    part = np.searchsorted(np.cumsum(ratios)[:-1], places, side="right")
    found = {}
    for number, name in enumerate(PARTS):
        rows = np.flatnonzero(part == number)
        if not len(rows):
            raise DataError(
                f"Nobody is in the {name} part of {len(places)} people.", "", "Give more people or other ratios."
            )
        found[name] = responses.part(rows)
    return found


def require_unseen(trained_on: Sequence[str], tested_on: Sequence[str]) -> None:
    """Refuse people who are tested after they were learned from.

    Raises:
        DataError: somebody is in both.
    """
    both = sorted(set(trained_on) & set(tested_on))
    if both:
        raise DataError(
            f"Respondent {both[0]!r} is in training and in the test ({len(both)} such people).",
            "What is known of them by heart would pass for inference.",
            "Split people with `split_people`.",
        )


def planned_transcripts(
    model: RespondentModel,
    planner: Planner,
    answers: Integer[np.ndarray, "respondent item"],
    *,
    respondents: Sequence[str],
    stop: Stop,
    subsets: int = 3,
    share: float = 0.5,
    held_out: Sequence[str] = (),
    seed: int = 0,
) -> list[Transcripts]:
    """Several near-optimal interviews of each person, each planned over a random subset of the questions.

    Args:
        model: of respondents.
        planner: chooses the questions.
        answers: as for `conduct`.
        respondents: ids.
        stop: when an interview ends.
        subsets: interviews of each person.
        share: of the questions in a subset.
        held_out: never asked.
        seed: of the subsets; a person's hang on the seed and their number alone.

    Raises:
        DataError: as `conduct`, or a share that is none.
    """
    if not 0 < share <= 1 or subsets < 1:
        raise DataError(f"share {share}, subsets {subsets}.", "", "A share above 0 up to 1, and at least one subset.")
    size = max(1, round(share * len(model.items)))
    found = []
    for number in range(subsets):
        may = np.zeros(answers.shape, dtype=bool)
        for row in range(len(answers)):
            may[row, np.random.default_rng([seed, number, row]).permutation(len(model.items))[:size]] = True
        found.append(
            conduct(
                model, planner, answers, stop=stop, respondents=respondents, held_out=held_out, subset=may, seed=seed
            )
        )
    return found


def responder_examples(
    tokenizer: Any,
    responses: Responses,
    texts: Mapping[str, str],
    *,
    length: int = 24,
    per_person: int = 1,
    skip: Sequence[str] = (),
    seed: int = 0,
) -> list[Example]:
    """Answers to be learned: transcripts in random order, each answer of which is taught after those before it.

    Args:
        tokenizer: of the model.
        responses: of the people who are learned from.
        texts: item id -> statement, of all items.
        length: answers of a transcript; fewer where fewer were given.
        per_person: transcripts of each person.
        skip: items that are never learned nor told, on which the model will be tested.
        seed: of orders; a person's hang on the seed, their id and nothing else.

    Raises:
        DataError: an item without a text, or nobody with an answer to be learned.
        TemplateError: as `make_transcript`.
    """
    template, items = answer_template(responses.n_options, tokenizer), responses.items
    lost = [item for item in items if item not in texts]
    if lost:
        raise DataError(f"Item {lost[0]!r} has no text ({len(lost)} such items).", "", "Give the words of every item.")
    may = np.array([item not in set(skip) for item in items])
    found = []
    for name, values in zip(responses.respondents, responses.values, strict=True):
        given = np.flatnonzero((values != MISSING) & may)
        for number in range(per_person if len(given) else 0):
            rng = np.random.default_rng([seed, number, int(sha256_text(name)[:12], 16)])
            order = rng.permutation(given)[:length].tolist()
            history: History = tuple((column, int(values[column]) - 1) for column in order)
            questions = [
                answer_slots(template, texts, items, history[:place], column) for place, column in enumerate(order)
            ]
            labels = [template.labels[option] for _, option in history]
            found.append(make_transcript(tokenizer, f"{name}/{number}", template, questions, labels))
    if not found:
        raise DataError("Nobody has an answer to be learned.", "", "Give people with answers, and skip fewer items.")
    return found


def question_template() -> Template:
    """The next question of an interview, in words."""
    return Template(
        name="interview-question",
        user="You interview one person. Which statement should they rate next, so that most is learned about them?"
        "\n\n{history}",
        answer_prefix="Statement:",
        labels=(),
    )


def question_slots(
    template: Template, texts: Mapping[str, str], items: Sequence[str], history: History
) -> dict[str, str]:
    """What fills the template: everything that was answered, told as `answer_template` (here `template`) has it."""
    return {"history": told(template, texts, items, history)}


def interviewer_examples(
    tokenizer: Any, transcripts: Transcripts, texts: Mapping[str, str], *, force: bool = False
) -> list[Example]:
    """Questions to be learned: each after what was asked and answered before it.

    Args:
        tokenizer: of the model.
        transcripts: planned by expectation.
        texts: item id -> statement.
        force: take transcripts of hindsight too.

    Raises:
        DataError: transcripts of hindsight.
        TemplateError: as `make_example`.
    """
    if transcripts.is_hindsight and not force:
        raise DataError(
            "These transcripts were planned in hindsight.",
            "Their questions were chosen by answers that were not known yet: a model that learns from them takes the "
            "question for the answer.",
            "Plan by expectation (`by_information`), or pass force=True to study just that.",
        )
    template, items, found = question_template(), transcripts.items, []
    answered = answer_template(transcripts.n_options, tokenizer)
    for interview, name in enumerate(transcripts.respondents):
        whole = transcripts.history(interview, transcripts.asked.shape[1])
        for place, (column, _) in enumerate(whole):
            slots = question_slots(answered, texts, items, whole[:place])
            found.append(make_example(tokenizer, f"{name}/{place}", template, slots, texts[items[column]]))
    return found
