"""A language model that learns to ask: taught by plans, it interviews beside its teacher and random questions."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import polars as pl

from personascope.experiments.collecting import Progress, named
from personascope.experiments.interview_tables import questions_table
from personascope.experiments.recipe_responder import InterviewerPart, ResponderRecipe
from personascope.experiments.responder_iteration import ITERATED, iterated
from personascope.experiments.responder_material import Material
from personascope.experiments.runs import RunFolder
from personascope.instruments.responses import Responses
from personascope.interviews.fitting import fit_ordinal
from personascope.interviews.interview import Stop, conduct
from personascope.interviews.interviewer import Interviewer
from personascope.interviews.language_model import LanguageModel
from personascope.interviews.metrics import prediction
from personascope.interviews.planners import Planner, at_random, by_determinant
from personascope.interviews.respondents import RespondentModel
from personascope.interviews.transcript_training import interviewer_examples, planned_transcripts
from personascope.models.adapters import attached
from personascope.models.engine import HookEngine
from personascope.tuning.examples import Example
from personascope.tuning.training import train_adapter

TAUGHT, UNTAUGHT = "interviewer, taught", "interviewer, untaught"
GRADED = "graded response"
Tables = dict[str, pl.DataFrame]


def interviewer_tables(
    engine: HookEngine, material: Material, recipe: ResponderRecipe, run: RunFolder, progress: Progress
) -> Tables:
    """Interviews by the model before and after it was taught to ask, by its teacher, and at random.

    Args:
        engine: the model, without an adapter.
        material: of the study.
        recipe: of the study.
        run: its folder; `adapters/interviewer` in it is the taught one.
        progress: of the study.

    Returns:
        "interview_prediction" and "interview_questions" as the study of interviews has them: how well the graded
        response model predicts held-out items from the answers that each of them collected. "interview_rounds" where
        the taught one goes on to learn from its own interviews.
    """
    part = recipe.interviewer
    assert part is not None
    graded = fit_ordinal(material.learned, recipe.traits)
    reading = LanguageModel(
        engine, engine.tokenizer, {item: material.texts[item] for item in graded.items}, recipe.people.options
    )
    asking = Interviewer(engine, engine.tokenizer, reading.texts, recipe.people.options)
    found: list[Tables] = []

    def hold(model: RespondentModel, planner: Planner) -> None:
        progress(f"interviews, {planner.name}", 0, 1)
        found.append(
            run.stage(f"asked-{len(found)}", lambda: _held(len(found), graded, model, planner, material, recipe))
        )
        progress(f"interviews, {planner.name}", 1, 1)

    hold(graded, at_random())
    hold(graded, by_determinant())
    hold(reading, asking.planner(UNTAUGHT))
    started = time.monotonic()
    train, validation = plans_to_learn(engine, graded, material, recipe, part)
    settings = recipe.training.settings(recipe.seed, part.epochs)
    folder = run.path / "adapters" / "interviewer"
    trained = train_adapter(engine, train, validation, folder, settings, progress=named(progress, "train interviewer"))
    run.seconds["train interviewer"] = time.monotonic() - started
    with attached(engine, trained.folder):
        hold(reading, asking.planner(TAUGHT))
    rounds: Tables = {}
    if part.rounds:
        rounds["interview_rounds"], best = iterated(engine, asking, reading, graded, material, recipe, run, progress)
        with attached(engine, best):
            hold(reading, asking.planner(ITERATED))
    return rounds | run.stage(
        "asked",
        lambda: {
            f"interview_{kind}": pl.concat(
                [one[f"asked_{at}_{kind}"] for at, one in enumerate(found)], how="vertical_relaxed"
            )
            for kind in ("prediction", "questions")
        },
    )


def plans_to_learn(
    engine: HookEngine, graded: RespondentModel, material: Material, recipe: ResponderRecipe, part: InterviewerPart
) -> tuple[list[Example], list[Example]]:
    """What is taught, and what training stops by: one planned interview of each person over half of the questions."""

    def planned(people: Responses) -> list[Example]:
        few = people.part(np.arange(min(part.people, len(people.respondents))), graded.items)
        (held,) = planned_transcripts(
            graded,
            by_determinant(),
            few.values,
            respondents=few.respondents,
            stop=Stop(part.questions),
            subsets=1,
            held_out=material.held_out,
            seed=recipe.seed,
        )
        return interviewer_examples(engine.tokenizer, held, material.texts)

    train, validation = planned(material.train), planned(material.validation)
    known = {example.ids for example in train}  # the first question of two people may be the same
    return train, [example for example in validation if example.ids not in known]


def _held(
    number: int,
    graded: RespondentModel,
    model: RespondentModel,
    planner: Planner,
    material: Material,
    recipe: ResponderRecipe,
) -> Tables:
    part = recipe.interviewer
    assert part is not None
    people = material.test.part(np.arange(min(part.interviews, len(material.test.respondents))), graded.items)
    held = conduct(
        model,
        planner,
        people.values,
        stop=Stop(part.questions),
        respondents=people.respondents,
        held_out=material.held_out,
        seed=recipe.seed,
    )
    values = material.learned.values.astype(float)
    values[values < 1] = np.nan
    how: dict[str, Any] = {"n_resamples": recipe.resamples, "seed": recipe.seed}
    at = range(part.questions + 1)
    errors = prediction(
        graded, held, people.values, material.held_out, at, spread=np.nanstd(values, axis=0), **how
    ).with_columns(predictor=pl.lit(GRADED))
    return {f"asked_{number}_prediction": errors, f"asked_{number}_questions": questions_table(held)}
