"""Interviews by every planner, and what they come to: people found, answers predicted, questions used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Int8

from personascope.experiments.collecting import Progress
from personascope.experiments.recipe_interview import InterviewRecipe
from personascope.instruments.responses import Responses
from personascope.interviews import planners
from personascope.interviews.fitting import fit_gaussian, fit_ordinal
from personascope.interviews.interview import Stop, conduct
from personascope.interviews.metrics import identification, prediction
from personascope.interviews.planners import Planner
from personascope.interviews.respondents import RespondentModel
from personascope.interviews.transcripts import NOT_ASKED, Transcripts
from personascope.interviews.twins import Twins

Tables = dict[str, pl.DataFrame]
Planned = tuple[RespondentModel, Planner]


@dataclass(frozen=True, eq=False)
class Interviewed:
    """Who is interviewed, and what is never asked.

    Args:
        known: people whom the models of respondents are made of.
        new: people whom they have not seen.
        held_out: items that are never asked.
    """

    known: Responses
    new: Responses
    held_out: tuple[str, ...]


def respondent_models(asked: Interviewed, recipe: InterviewRecipe) -> dict[str, RespondentModel]:
    """Noisy twins, the Gaussian model of all items and, where it is wanted, the graded response model."""
    models: dict[str, RespondentModel] = {
        "twins": Twins(asked.known, recipe.sigma, recipe.epsilon),
        "gaussian": fit_gaussian(asked.known),
    }
    if recipe.traits is not None:
        models["graded response"] = fit_ordinal(asked.known, recipe.traits)
    return models


def planned(models: dict[str, RespondentModel], asked: Interviewed, recipe: InterviewRecipe) -> list[Planned]:
    """Every planner with the model that it asks, baselines first."""
    twins, gaussian = models["twins"], models["gaussian"]
    found: list[Planned] = [
        (twins, planners.at_random()),
        (twins, planners.in_order(n_items=len(twins.items))),
        (twins, planners.by_spread(twins)),
        (twins, planners.static(twins)),
        (twins, planners.by_information()),
    ]
    if recipe.ahead is not None:
        found.append((twins, planners.two_steps(recipe.ahead)))
    found.append((gaussian, planners.by_items(gaussian, asked.held_out)))
    if "graded response" in models:
        found.append((models["graded response"], planners.by_determinant()))
    return found


def interview_tables(asked: Interviewed, recipe: InterviewRecipe, progress: Progress) -> Tables:
    """Hold all interviews.

    Returns:
        "interview_identification": as `metrics.identification`, of people of the bank on another day, drawn from the
        noisy twins. "interview_prediction": as `metrics.prediction`, of new people's held-out items, by every model
        (column predictor). "interview_questions": one row per planner and question: planner, question, n_items
        (different items asked at that place), share (of the most frequent), n (interviews).
    """
    models = respondent_models(asked, recipe)
    twins = models["twins"]
    assert isinstance(twins, Twins)
    rng = np.random.default_rng(recipe.seed)
    truth = rng.choice(len(asked.known.respondents), _few(recipe, asked.known), replace=False)
    retest = twins.draw(truth, recipe.seed)
    new = asked.new.values[: _few(recipe, asked.new)]
    plans = planned(models, asked, recipe)
    found: dict[str, list[pl.DataFrame]] = {"identification": [], "prediction": [], "questions": []}
    how = {"n_resamples": recipe.resamples, "seed": recipe.seed}
    spread = np.array([column[column > 0].std() for column in asked.known.values.T])
    bound = (twins, planners.hindsight(truth, retest))
    for number, (model, planner) in enumerate([*plans, bound]):
        progress("interviews", number, len(plans) + 1)
        held = _held(model, planner, retest, asked, recipe)
        found["identification"].append(identification(twins, held, truth, recipe.at, **how))
        found["questions"].append(questions_table(held))
        if planner.is_hindsight:
            continue
        others = _held(model, planner, new, asked, recipe)
        for name, predicting in models.items():
            scored = prediction(predicting, others, new, asked.held_out, recipe.at, spread=spread, **how)
            found["prediction"].append(scored.with_columns(predictor=pl.lit(name)))
    progress("interviews", len(plans) + 1, len(plans) + 1)
    return {f"interview_{name}": pl.concat(frames, how="vertical_relaxed") for name, frames in found.items()}


def _few(recipe: InterviewRecipe, people: Responses) -> int:
    return min(recipe.interviews, len(people.respondents))


def _held(
    model: RespondentModel,
    planner: Planner,
    answers: Int8[np.ndarray, "interview item"],
    asked: Interviewed,
    recipe: InterviewRecipe,
) -> Transcripts:
    stop = Stop(recipe.questions)
    return conduct(model, planner, answers, stop=stop, held_out=asked.held_out, seed=recipe.seed)


def questions_table(held: Transcripts) -> pl.DataFrame:
    """How many different items are asked at each place: 1 means the same for everybody."""
    rows = []
    for place, column in enumerate(held.asked.T, start=1):
        _, counts = np.unique(column[column != NOT_ASKED], return_counts=True)
        if len(counts):
            share = float(counts.max() / counts.sum())
            row = {"planner": held.planner, "question": place, "n_items": len(counts), "share": share}
            rows.append(row | {"n": int(counts.sum())})
    return pl.DataFrame(rows)
