"""What the study of a reading model asks it: next answers, states after transcripts, people to be known again."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from personascope.activations.plan import Plan, Row
from personascope.errors import DataError
from personascope.experiments.plans import answers_only, make_plan
from personascope.experiments.recipe_parts import ActivationsPart
from personascope.experiments.recipe_responder import RecognitionPart, ResponderRecipe
from personascope.experiments.responder_material import Material
from personascope.interviews.interview import Stop, conduct
from personascope.interviews.language_model import LanguageModel
from personascope.interviews.marginals import Marginals
from personascope.interviews.planners import at_random
from personascope.interviews.transcript_probes import LAST_ANSWER, model_history, reading_prompts
from personascope.interviews.transcripts import Transcripts
from personascope.models.engine import HookEngine

IN_ITEM = "mean:item"
"""Where the residual norm is measured that pushes are fractions of."""


def reader(engine: HookEngine, material: Material, recipe: ResponderRecipe) -> LanguageModel:
    """The language model as a model of respondents."""
    return LanguageModel(engine, engine.tokenizer, material.texts, recipe.people.options)


def answer_rows(model: LanguageModel, material: Material, interviews: int, at: tuple[int, ...]) -> tuple[Row, ...]:
    """The next answer to every predicted item after some questions, of the first interviews."""
    place = {item: column for column, item in enumerate(model.items)}
    return tuple(
        Row(
            f"{material.transcripts.respondents[interview]}/{n}/{item}",
            model.prompt(model_history(model, material.transcripts, interview, n), place[item]),
            {"person": material.transcripts.respondents[interview], "questions": str(n), "item": item},
        )
        for interview in range(interviews)
        for n in at
        for item in material.predicted
    )


def reading_plans(engine: HookEngine, material: Material, recipe: ResponderRecipe, state: str) -> Mapping[str, Plan]:
    """Plans "answers" and, where wanted, "states" and "people", of the model in one state (untrained, trained)."""
    model, data = reader(engine, material, recipe), material.hashes()
    rows = answer_rows(model, material, recipe.interviews, recipe.at)
    kept = answers_only(recipe.rows_per_shard)
    plans = {"answers": make_plan(f"answers-{state}", engine, rows, kept, model.template, data)}
    part = recipe.probes
    if part is not None:
        prompts = reading_prompts(model, material.transcripts, part.answers)
        names = material.transcripts.respondents
        read = tuple(Row(name, prompt, {"person": name}) for name, prompt in zip(names, prompts, strict=True))
        kept = ActivationsPart(
            layers=part.layers, positions=(LAST_ANSWER, IN_ITEM), rows_per_shard=recipe.rows_per_shard
        )
        plans["states"] = make_plan(f"states-{state}", engine, read, kept, model.template, data)
    again = recipe.recognition
    if again is not None:
        read = tuple(
            Row(f"{name}/{number}", prompt, {"person": name, "interview": str(number)})
            for number, held in enumerate(known_people(material, again, recipe.seed))
            for name, prompt in zip(held.respondents, reading_prompts(model, held, again.answers), strict=True)
        )
        kept = ActivationsPart(layers=(again.layer,), positions=(LAST_ANSWER,), rows_per_shard=recipe.rows_per_shard)
        plans["people"] = make_plan(f"people-{state}", engine, read, kept, model.template, data)
    return plans


def known_people(material: Material, part: RecognitionPart, seed: int) -> list[Transcripts]:
    """Several interviews of the same people who were learned from, each in a random order of its own.

    Raises:
        DataError: too few people who answered enough questions.
    """
    values = material.learned.values
    rows = np.flatnonzero((values > 0).sum(axis=1) >= part.answers)[: part.people]
    if len(rows) < part.people:
        raise DataError(
            f"{len(rows)} of the people who are learned from answered {part.answers} questions.",
            f"{part.people} are to be known again.",
            "Take fewer of them (`recognition.people`) or fewer answers.",
        )
    people = material.learned.part(rows)
    return [
        conduct(
            Marginals(material.learned),
            at_random(),
            people.values,
            stop=Stop(part.answers),
            respondents=people.respondents,
            seed=seed + 1 + number,
        )
        for number in range(part.interviews)
    ]
