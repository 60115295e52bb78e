"""The recipe of the study of a language model that reads interviews: what it is taught, asked and pushed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from personascope.experiments.recipe_bases import Study
from personascope.experiments.recipe_interview import PeoplePart
from personascope.experiments.recipe_parts import ModelPart, Part
from personascope.experiments.recipe_training import AdapterPart

Share = Annotated[float, Field(gt=0, lt=1)]


class TranscriptsPart(Part):
    """What is taught: `per_person` transcripts of everybody, each of `questions` answers after those before them."""

    per_person: Annotated[int, Field(ge=1)] = 1
    questions: Annotated[int, Field(ge=1)] = 24


class TraitProbesPart(Part):
    """Where traits, uncertainty and the worth of a question are looked for, after `answers` answers."""

    layers: Annotated[tuple[int, ...], Field(min_length=1)] = (8, 16, 24)
    answers: Annotated[int, Field(ge=1)] = 10
    folds: Annotated[int, Field(ge=3)] = 4


class TraitSteeringPart(Part):
    """A push along each trait's direction at `layer` and `where`, at both signs of `strength`.

    `interviews`: people whose next answers are predicted under it, after `probes.answers` answers.
    """

    layer: Annotated[int, Field(ge=0)] = 16
    where: str = "from:item"
    strength: Annotated[float, Field(gt=0)] = 0.1
    random_directions: Annotated[int, Field(ge=5)] = 5
    interviews: Annotated[int, Field(ge=2)] = 6


class RecognitionPart(Part):
    """Whether people are known again: a head on the state at `layer` after `answers` answers names one of `people`.

    `interviews`: of each of them, in random orders; the head is fitted on all but the last, which it is tried on.
    """

    people: Annotated[int, Field(ge=2)] = 40
    interviews: Annotated[int, Field(ge=3)] = 5
    layer: Annotated[int, Field(ge=0)] = 16
    answers: Annotated[int, Field(ge=1)] = 10


class SyntheticPart(Part):
    """People drawn from the taught model: `people` of them answer `items` items that were learned from, one by one.

    They are compared with the tested people, beside as many of these and as many drawn from models of answers.
    """

    people: Annotated[int, Field(ge=8)] = 24
    items: Annotated[int, Field(ge=3)] = 8


class NovelPart(Part):
    """Statements that no item says: the model writes up to `questions` of them, and the taught one reads transcripts.

    What it expects their answers to tell of `targets` held-out items is worked out after `answers` answers of each of
    `interviews` tested people, beside as many unseen items, of which it is known what their answers told.
    """

    questions: Annotated[int, Field(ge=1)] = 4
    targets: Annotated[int, Field(ge=1)] = 4
    answers: Annotated[int, Field(ge=0)] = 4
    interviews: Annotated[int, Field(ge=2)] = 8


class InterviewerPart(Part):
    """A second adapter that learns which question comes next, from plans by expected information about traits.

    `people`: of those who are learned from, one planned interview of `questions` questions each. `interviews`: tested
    people whom it then asks as many, beside the planner and random questions. `rounds`: of expert iteration, at most:
    it learns from those interviews of its own that told most of held-out items, until people of validation gain no
    more.
    """

    people: Annotated[int, Field(ge=2)] = 80
    questions: Annotated[int, Field(ge=1)] = 6
    interviews: Annotated[int, Field(ge=8)] = 16
    epochs: Annotated[int, Field(ge=1)] | None = None
    rounds: Annotated[int, Field(ge=0)] = 0


class ResponderRecipe(Study):
    """Whether a language model learns to say what people answer next, what it knows of them, and what steers that.

    `people`: who answered; their items must have words (synthetic people answer the built-in ones). `split`: of people
    into those who are learned from, those by whom training stops, and those who are tested. `held_out`: share of the
    items of each domain and key that tested people are never asked, `unseen`: share whose answers nobody's training
    holds. `interviews`: tested people whose answers are predicted; `at`: after how many questions. `traits`: of the
    graded response model beside it. `probes`, `steering`, `recognition`, `synthetic`, `novel`, `interviewer`: null
    leaves them out.
    """

    study: Literal["responder"] = "responder"
    model: ModelPart = ModelPart()
    people: PeoplePart = PeoplePart(per_key=2, n=500)
    split: tuple[Share, Share, Share] = (0.4, 0.1, 0.5)
    held_out: Share = 0.25
    unseen: Share = 0.125
    transcripts: TranscriptsPart = TranscriptsPart()
    training: AdapterPart = AdapterPart()
    interviews: Annotated[int, Field(ge=8)] = 40
    at: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0, 5, 10, 20)
    sigma: Annotated[float, Field(gt=0)] = 1.0
    epsilon: Annotated[float, Field(gt=0, lt=1)] = 0.05
    traits: Annotated[int, Field(ge=1)] = 6
    probes: TraitProbesPart | None = TraitProbesPart()
    steering: TraitSteeringPart | None = TraitSteeringPart()
    recognition: RecognitionPart | None = None
    synthetic: SyntheticPart | None = None
    novel: NovelPart | None = None
    interviewer: InterviewerPart | None = None
    rows_per_shard: Annotated[int, Field(ge=1)] = 512

    @model_validator(mode="after")
    def _parts_fit(self) -> ResponderRecipe:
        if list(self.at) != sorted(set(self.at)):
            raise ValueError(f"at {self.at} must rise")
        if abs(sum(self.split) - 1) > 1e-9 or self.held_out + self.unseen >= 1:
            raise ValueError("the shares of `split` must sum to 1, and `held_out` and `unseen` leave items to ask")
        if self.steering is not None and (self.probes is None or self.steering.layer not in self.probes.layers):
            raise ValueError("steering goes along directions that are fitted where `probes.layers` looks")
        if self.novel is not None and (self.novel.answers > self.questions or self.novel.interviews > self.interviews):
            raise ValueError("`novel` reads the interviews that are held: no more `answers`, no more `interviews`")
        return self

    @property
    def questions(self) -> int:
        """Of the interviews with tested people."""
        return max(*self.at, 0 if self.probes is None else self.probes.answers, 1)
