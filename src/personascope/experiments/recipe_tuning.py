"""The recipe of the study that trains a model toward its ideal self."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from personascope.experiments.recipe_bases import Study
from personascope.experiments.recipe_parts import HexacoPart, ModelPart, Part
from personascope.experiments.recipe_training import AdapterPart

OWN, IDEAL, OTHER = "self", "meta", "helpful"
"""Who a model says it is, who it would be, and an ideal that is not its own."""
Target = Literal["meta", "self", "shuffled", "helpful", "opposite", "high", "low", "like", "dislike"]
_NEVER_ANSWERED = ("opposite", "high", "low", "like", "dislike")
_OF_TOPICS = ("like", "dislike")
POLES = {"high": 1, "low": -1}


class TrainingPart(AdapterPart):
    """How adapters are trained. `both_orders`: each item in both anchor orders."""

    both_orders: bool = False


class TaughtRun(Part):
    """One adapter: what it is taught, from which seed.

    `reasons`: the reasoning that goes with the rating is taught too; it is elicited from the model as the persona whose
    ratings are taught. `held_out`: facets of which nothing is taught. `only`: a narrow training, on these facets alone;
    targets `high` and `low` are the poles. `topics`: for the targets `like` and `dislike`, which teach choices: tasks
    of these topics are taken, or left, whatever stands beside them. Poles are taught on all items of the facets, in
    both orders, but those that are near copies of what is tested. `epochs`: in place of the study's. `name` is how
    tables call it.
    """

    target: Target = "meta"
    seed: int = 0
    reasons: bool = False
    held_out: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    epochs: Annotated[int, Field(ge=1)] | None = None
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")] = ""

    @model_validator(mode="before")
    @classmethod
    def _name_says_what_it_is(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("name"):
            return values
        name = str(values.get("target", "meta"))
        name += "-reasoned" if values.get("reasons") else ""
        name += "-held-out" if values.get("held_out") else ""
        name += "".join(f"-{part}" for part in (*values.get("only", ()), *values.get("topics", ())))
        return {**values, "name": f"{name}-{values.get('seed', 0)}"}

    @model_validator(mode="after")
    def _reasons_exist(self) -> TaughtRun:
        if self.reasons and self.target in _NEVER_ANSWERED:
            raise ValueError(f"nobody gives reasons for the target {self.target!r}: it is set, not answered")
        if bool(self.topics) != (self.target in _OF_TOPICS):
            raise ValueError(f"`topics` go with the targets {' and '.join(_OF_TOPICS)}, and these need them")
        if self.target in POLES and not self.only:
            raise ValueError(f"the target {self.target!r} is a pole of facets, which `only` has to name")
        if (self.only or self.held_out) and (self.topics or (self.only and self.held_out)):
            raise ValueError("a run has one of `only`, `held_out` and `topics`")
        return self

    @property
    def is_narrow(self) -> bool:
        """Whether little was taught, so that what else moved is the question."""
        return bool(self.only or self.topics)


class TransferPart(Part):
    """Where else movement is looked for: further `wordings` of each persona, and a choice between two statements.

    `thinking`: the answers are also written after thoughts, for chat templates with the switch.
    """

    wordings: Annotated[int, Field(ge=0)] = 1
    forced_choice: bool = True
    thinking: bool = False
    max_new_tokens: Annotated[int, Field(ge=1)] = 512


class ComparisonPart(Part):
    """Steering that moves the model as far as the first run did.

    `layer`: after which it is pushed, at `where`, along the ideal minus self, the facets' directions weighted by their
    gaps, the preference direction and the shift that training made. `coefficients`: the grid for each sign, fractions
    of the mean residual norm.
    """

    layer: Annotated[int, Field(ge=0)] = 16
    where: str = "from:item"
    coefficients: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=2)] = (0.05, 0.1, 0.2, 0.4)
    random_directions: Annotated[int, Field(ge=5)] = 5


class TasksPart(Part):
    """Tasks of each topic that choices are asked between, each with `degree` others; the rest may be taught."""

    per_topic: Annotated[int, Field(ge=3)] = 4
    degree: Annotated[int, Field(ge=2)] = 4


class IdealSelfRecipe(Study):
    """Whether a model can be taught its own ideal self, and whether steering does the same.

    `ratios`: of items for training, validation and test, by facet and key. `layers`: where the shift is looked at,
    after block `layers` at `position`. `preferences`: choices between tasks, for the preference direction, and asked
    again after narrow runs; null asks none. `texts`: neutral passages on which damage is measured.
    """

    study: Literal["ideal-self"] = "ideal-self"
    model: ModelPart = ModelPart()
    hexaco: HexacoPart = HexacoPart(per_key=8, personas=(OWN, IDEAL, OTHER), contrasts=())
    ratios: tuple[float, float, float] = (0.5, 0.125, 0.375)
    training: TrainingPart = TrainingPart()
    runs: Annotated[tuple[TaughtRun, ...], Field(min_length=1)] = (TaughtRun(),)
    reason_tokens: Annotated[int, Field(ge=4)] = 40
    transfer: TransferPart = TransferPart()
    layers: Annotated[tuple[int, ...], Field(min_length=1)] = (8, 16, 24)
    position: str = "answer"
    comparison: ComparisonPart | None = ComparisonPart()
    preferences: TasksPart | None = TasksPart()
    texts: Annotated[int, Field(ge=2)] = 12
    rows_per_shard: Annotated[int, Field(ge=1)] = 512

    @model_validator(mode="after")
    def _all_that_is_needed_is_asked(self) -> IdealSelfRecipe:
        lacking = [name for name in (OWN, IDEAL, OTHER) if name not in self.hexaco.personas]
        if lacking:
            raise ValueError(f"hexaco.personas lacks {lacking[0]!r}; the study needs {OWN}, {IDEAL} and {OTHER}")
        names = [run.name for run in self.runs]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two runs would both be called {name!r}; give one another seed or a `name`")
        if self.runs[0].target != IDEAL:
            raise ValueError(f"the first run is compared with steering, so its target must be {IDEAL!r}")
        if self.preferences is None and any(run.topics for run in self.runs):
            raise ValueError("runs that teach choices need `preferences`, which says what is measured of them")
        if self.runs[0].is_narrow or self.runs[0].held_out:
            raise ValueError("the first run teaches all facets: it is the one that steering is compared with")
        if self.comparison is not None and self.comparison.layer not in self.layers:
            raise ValueError(f"comparison.layer {self.comparison.layer} is not among `layers` {self.layers}")
        return self
