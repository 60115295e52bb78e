"""The recipe of the study of interviews: who is asked, what, and by which plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from personascope.experiments.recipe_bases import Study
from personascope.experiments.recipe_parts import Part


class PeoplePart(Part):
    """Where the answers come from.

    `responses`: a table with a row per respondent (.csv, .tsv, .gz of either); null is a synthetic population that
    answers the built-in items. `items`: the words of its columns, whose names are the ids (`load_statements`); only
    what reads words needs it, and then these columns are asked. `columns`: a pattern of the columns that are items,
    such as "Q*A". `options`: K. `missing`: codes that mean no answer. `per_key`: built-in items of each facet and key.
    `n`: synthetic people.
    """

    responses: Path | None = None
    items: Path | None = None
    columns: str = "*"
    id_column: str | None = None
    options: Annotated[int, Field(ge=2, le=11)] = 5
    missing: tuple[int, ...] = (0,)
    per_key: Annotated[int, Field(ge=1)] = 3
    n: Annotated[int, Field(ge=60)] = 2000


class InterviewRecipe(Study):
    """Interviews by every planner: is the respondent found among people, and are answers predicted that nobody asked?

    `new`: share of the people whom no model of respondents has seen, `held_out`: share of the items that are never
    asked; both are what prediction is tested on. `interviews`: people interviewed of those known, and of the new.
    `questions`: at most; `at`: after how many it is looked at. `sigma`, `epsilon`: of the noisy twins. `traits`: of the
    graded response model; null leaves it out. `ahead`: candidates that are looked at two questions ahead; null leaves
    that planner out.
    """

    study: Literal["interview"] = "interview"
    people: PeoplePart = PeoplePart()
    new: Annotated[float, Field(gt=0, lt=1)] = 0.2
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.25
    interviews: Annotated[int, Field(ge=10)] = 300
    questions: Annotated[int, Field(ge=2)] = 40
    at: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0, 1, 2, 3, 5, 8, 10, 15, 20, 30, 40)
    sigma: Annotated[float, Field(gt=0)] = 1.0
    epsilon: Annotated[float, Field(gt=0, lt=1)] = 0.05
    traits: Annotated[int, Field(ge=1)] | None = 6
    ahead: Annotated[int, Field(ge=2)] | None = 3
    threads: Annotated[int, Field(ge=1)] | None = 2

    @model_validator(mode="after")
    def _looks_within_the_interview(self) -> InterviewRecipe:
        if list(self.at) != sorted(set(self.at)) or self.at[-1] > self.questions:
            raise ValueError(f"at {self.at} must rise and end at {self.questions} or before")
        return self
