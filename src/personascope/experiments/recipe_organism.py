"""The recipe of the study that checks a model organism: what was planted against what the chain recovers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from personascope.experiments.recipe_bases import ChoiceStudy, Study
from personascope.experiments.recipe_parts import Part


class OrganismPart(Part):
    """A model organism, asked what was planted in it.

    `adapter`: its folder; null is the one that comes with the package. `per_topic`: tasks of each topic that choices
    are asked between, each with `degree` others; none of them was taught. `per_key`: items of each facet and key, of
    those that were not taught.
    """

    adapter: Path | None = None
    per_topic: Annotated[int, Field(ge=3)] = 5
    degree: Annotated[int, Field(ge=2)] = 6
    per_key: Annotated[int, Field(ge=1)] = 2
    rows_per_shard: Annotated[int, Field(ge=1)] = 512


class OrganismRecipe(OrganismPart, Study):
    """As `OrganismPart`, and steered.

    `coefficients`: of steering along the planted direction, beside `random_directions`. `pairs`: choices that are
    steered, for each persona.
    """

    study: Literal["organism"] = "organism"
    coefficients: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (0.1, 0.2)
    random_directions: Annotated[int, Field(ge=5)] = 5
    pairs: Annotated[int, Field(ge=2)] = 12
    threads: Annotated[int, Field(ge=1)] | None = 2

    @classmethod
    def beside(cls, study: ChoiceStudy, part: OrganismPart) -> OrganismRecipe:
        """The organism of another study, with its seed, resamples, personas and threads, which are of the process."""
        shared = {key: getattr(study, key) for key in ("name", "seed", "resamples", "personas")}
        return cls(**shared, threads=study.model.threads, **part.model_dump())
