"""The interview study: people, models of them, planners, interviews, report, in that order; no language model runs."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import torch

from personascope.errors import DataError
from personascope.experiments.collecting import Progress
from personascope.experiments.estimate import PlanLine
from personascope.experiments.interview_tables import Interviewed, interview_tables
from personascope.experiments.pages import write_page
from personascope.experiments.recipe_interview import InterviewRecipe, PeoplePart
from personascope.experiments.results_interview import interview_results
from personascope.experiments.runs import RunFolder
from personascope.files import sha256_text
from personascope.instruments.delimited import open_delimited
from personascope.instruments.items import ItemBank, load_items
from personascope.instruments.responses import Responses, load_responses
from personascope.instruments.statements import load_statements
from personascope.interviews.population import draw_people, synthetic_population


def built_in(part: PeoplePart) -> ItemBank:
    """What synthetic people answer."""
    return load_items().subset(None, part.per_key)


def load_people(part: PeoplePart, seed: int) -> Responses:
    """The answers that a recipe names, or those of synthetic people.

    Raises:
        FileFormatError: as `load_responses` and `load_statements`.
        DataError: no column fits the pattern, or is an item of the bank.
    """
    if part.responses is None:
        model = synthetic_population(built_in(part), part.options, seed)
        _, values = draw_people(model, part.n, seed)
        return Responses(values, model.items, tuple(f"s{number + 1}" for number in range(part.n)), part.options)
    header = open_delimited(part.responses).header
    columns = [name for name in header if fnmatchcase(name, part.columns) and name != part.id_column]
    sought = repr(part.columns)
    if part.items is not None:
        known = {item.id for item in load_statements(part.items).items}
        columns, sought = [name for name in columns if name in known], f"{sought} and is an item of {part.items}"
    if not columns:
        raise DataError(
            f"{part.responses}: no column fits {sought}.",
            f"Its columns are {', '.join(header[:8])} ...",
            "Correct people.columns, such as Q*, or the ids of people.items, which are names of columns.",
        )
    return load_responses(
        part.responses, n_options=part.options, columns=columns, id_column=part.id_column, missing=part.missing
    )


def load_interviewed(recipe: InterviewRecipe) -> Interviewed:
    """People apart into known and new, items into those that may be asked and those that are held out.

    Raises:
        DataError: too few people or items.
    """
    everybody = load_people(recipe.people, recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    people, items = rng.permutation(len(everybody.respondents)), rng.permutation(len(everybody.items))
    n_new, n_held = round(recipe.new * len(people)), round(recipe.held_out * len(items))
    if n_new < 2 or len(people) - n_new < 2 or n_held < 1 or len(items) - n_held < recipe.questions:
        raise DataError(
            f"{len(people)} people and {len(items)} items: {n_new} new, {n_held} held out, {recipe.questions} asked.",
            "There are too few of them for these shares.",
            "Ask fewer questions, or change new and held_out.",
        )
    held_out = tuple(everybody.items[item] for item in sorted(items[:n_held]))
    return Interviewed(everybody.part(np.sort(people[n_new:])), everybody.part(np.sort(people[:n_new])), held_out)


def run_interviews(recipe: InterviewRecipe, folder: Path, progress: Progress, *, fork: bool = False) -> Path:
    """Run, continue or find finished; returns the page's path. Arguments and errors: see `studies.run_study`."""
    run = RunFolder(folder, recipe, fork)
    if run.is_finished():
        return run.report
    asked = load_interviewed(recipe)
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    run.begin({"people": {"responses": _hash(asked), "held_out": ", ".join(asked.held_out)}})
    if run.is_finished():  # a fork of before
        return run.report
    tables = run.stage("interviews", lambda: interview_tables(asked, recipe, progress))
    run.write_results(interview_results(tables))
    facts = {"rows": len(asked.known.respondents) + len(asked.new.respondents)}
    run.write_provenance({}, {"stores": {"people": facts}, "notes": list(asked.known.notes)})
    write_page(run, recipe, tables)
    return run.report


def _hash(asked: Interviewed) -> str:
    parts = [asked.known, asked.new]
    return sha256_text(json.dumps([[one.items, one.respondents, one.values.tolist()] for one in parts]))


def estimate_interviews(recipe: InterviewRecipe) -> list[PlanLine]:
    """What would be asked; minutes are not estimated, as no model of language is run."""
    asked = load_interviewed(recipe)
    rows = {"known people": asked.known, "new people": asked.new}
    return [
        PlanLine(f"answers of {name}", min(recipe.interviews, len(one.respondents)) * recipe.questions, 0, 0, 0, 0.0)
        for name, one in rows.items()
    ]
