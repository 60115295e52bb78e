"""The sections that recipes are made of: frozen, with defaults, and checked when a recipe is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from personascope.prompts.scales import MOST_OPTIONS
from personascope.prompts.templates import WORDINGS

Form = Literal["60", "200", "full"]


class Part(BaseModel):
    """A section of a recipe: frozen, and no key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


PartType = TypeVar("PartType", bound=Part)


class ModelPart(Part):
    """Which model answers: see `models.load.load_model`.

    `adapter`: a peft adapter that is put on it, a folder or a hub name (owner/name). `label` is how tables call it; by
    default the end of its name, and of its adapter's.
    """

    name: str = "smollm2"
    label: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")] = ""
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    device: str = "cpu"
    revision: str | None = None
    adapter: Path | str | None = None
    adapter_revision: str | None = None
    chat_template: Literal["plain"] | Path | None = None
    threads: Annotated[int, Field(ge=1)] | None = 2

    @field_validator("adapter")
    @classmethod
    def _folder_or_hub_name(cls, adapter: Path | str | None) -> Path | str | None:
        is_name = isinstance(adapter, str) and re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", adapter)
        return adapter if adapter is None or is_name else Path(adapter)

    @model_validator(mode="before")
    @classmethod
    def _label_from_name(cls, values: Any) -> Any:
        if isinstance(values, dict) and "label" not in values:
            whole = "-".join(
                Path(str(name)).name for name in (values.get("name", "smollm2"), values.get("adapter")) if name
            )
            return {**values, "label": re.sub(r"[^A-Za-z0-9._-]+", "-", whole).strip(".-_")[:80] or "model"}
        return values


class HexacoPart(Part):
    """Which items are asked under which personas; `items` a file or null for the built-in bank, `form` a short one."""

    items: Path | None = None
    form: Form | None = None
    facets: tuple[str, ...] | None = None
    per_key: Annotated[int, Field(ge=1)] | None = None
    personas: tuple[str, ...] = ("self", "meta", "helpful", "placebo", "evil")
    contrasts: tuple[tuple[str, str], ...] = (("meta", "self"), ("helpful", "self"), ("placebo", "self"))

    @model_validator(mode="after")
    def _contrasts_are_asked(self) -> HexacoPart:
        for name in (name for contrast in self.contrasts for name in contrast):
            if name not in self.personas:
                raise ValueError(f"contrast names persona {name!r}, which is not among `personas` {self.personas}")
        return self


class PreferencesPart(Part):
    """Which tasks are compared how often under which personas; the first persona is the baseline."""

    tasks: Path | None = None
    per_topic: Annotated[int, Field(ge=1)] | None = None
    personas: Annotated[tuple[str, ...], Field(min_length=2)] = (
        "assistant",
        "evil",
        "mathematician",
        "poet",
        "slacker",
    )
    degree: Annotated[int, Field(ge=2)] = 4
    prior_sd: Annotated[float, Field(gt=0)] = 3.0


SPAN = ("assistant", "evil", "mathematician", "slacker", "contrarian", "sentient_ai")
"""Personas as far apart as the built-in ones go; the first is the baseline."""


class ActivePart(Part):
    """Pairs are chosen where the utilities so far leave the answer open: see `instruments.pair_design`."""

    batch: Annotated[int, Field(ge=1)] = 100
    max_pairs: Annotated[int, Field(ge=1)] = 1000
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.99
    closest: Annotated[float, Field(gt=0, le=1)] = 0.3


class ElicitationPart(PreferencesPart):
    """As `PreferencesPart`, with what tells how far the utilities can be trusted.

    `active`: go on after the d-regular start, for each persona by its own utilities; null does not. `wordings`:
    wordings of each persona that are asked the d-regular pairs; utilities are of the first. `evaluation_pairs`: drawn
    uniformly, for each persona, and never fitted.
    """

    personas: Annotated[tuple[str, ...], Field(min_length=1)] = SPAN
    active: ActivePart | None = None
    wordings: Annotated[int, Field(ge=1)] = 1
    evaluation_pairs: Annotated[int, Field(ge=0)] = 0


class ActivationsPart(Part):
    """Which layers ("all" or a list) are kept at which positions."""

    layers: Literal["all"] | tuple[int, ...] = "all"
    positions: Annotated[tuple[str, ...], Field(min_length=1)] = ("answer", "eot", "mean:item")
    rows_per_shard: Annotated[int, Field(ge=1)] = 256


class ProbesPart(Part):
    """Folds and controls of every probe; `position` is where transfer and directions are taken."""

    position: str = "eot"
    folds: Annotated[int, Field(ge=3)] = 4
    shuffles: Annotated[int, Field(ge=10)] = 20
    directions: Annotated[int, Field(ge=5)] = 20


class SteeringPart(Part):
    """Sweep grid: layers, coefficients (fractions of the mean residual norm), prompts, random directions."""

    layers: Annotated[tuple[int, ...], Field(min_length=1)] = (8, 13, 18, 23)
    coefficients: tuple[float, ...] = (-0.5, -0.25, -0.1, 0.0, 0.1, 0.25, 0.5)
    pairs: Annotated[int, Field(ge=2)] = 12
    facet: str = "patience"
    random_directions: Annotated[int, Field(ge=5)] = 5


Samples = Annotated[int, Field(ge=1, le=1000)]


class ScalePart(Part):
    """How agreement is asked for: number of options, kind of labels, wording of the instruction."""

    options: Annotated[int, Field(ge=2, le=MOST_OPTIONS)] = 5
    labels: Literal["digits", "letters"] = "digits"
    wording: str = "plain"

    @field_validator("wording")
    @classmethod
    def _wording_exists(cls, name: str) -> str:
        if name not in WORDINGS:
            raise ValueError(f"unknown wording {name!r}; known are {', '.join(WORDINGS)}")
        return name

    @property
    def name(self) -> str:
        """For tables: "7 digits", or "5 letters, wording form"."""
        return f"{self.options} {self.labels}" + ("" if self.wording == "plain" else f", wording {self.wording}")


class WrittenPart(Part):
    """Answers that are written out and then read by a parser.

    `form`: which items; `personas`: all of the study by default. `thinking`: for chat templates with the switch.
    """

    form: Form | None = "60"
    personas: tuple[str, ...] | None = None
    samples: Samples = 1
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    max_new_tokens: Annotated[int, Field(ge=1)] = 24
    thinking: bool | None = None

    @model_validator(mode="after")
    def _samples_can_differ(self) -> WrittenPart:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("several samples at temperature 0 would be the same answer")
        return self


class ReasonedPart(WrittenPart):
    """Ratings with their reasoning; under meta also why the model would want to answer so."""

    personas: tuple[str, ...] | None = ("self", "meta")
    max_new_tokens: Annotated[int, Field(ge=1)] = 120


class QuestionnairePart(HexacoPart):
    """As `HexacoPart`, with all that tells how far the answers hang on how they are asked for.

    `scale`: how all items are asked. `phrasings`: wordings of each persona; the first is asked all items, the others a
    short form. `prior`: the first wording is also asked an item that says nothing. `variants`: further scales, on a
    short form. `sampled`, `reasoned`: answers that are written out; null leaves them out. `thinking`: for chat
    templates with the switch; label probabilities are read without thoughts.
    """

    personas: tuple[str, ...] = ("self", "meta", "helpful", "evil", "placebo")
    contrasts: tuple[tuple[str, str], ...] = (
        ("meta", "self"),
        ("helpful", "self"),
        ("evil", "self"),
        ("placebo", "self"),
        ("meta", "helpful"),
    )
    scale: ScalePart = ScalePart()
    thinking: Literal[False] | None = None
    phrasings: Annotated[int, Field(ge=1)] = 3
    phrasing_form: Form | None = "200"
    prior: bool = True
    variants: tuple[ScalePart, ...] = ()
    variant_form: Form | None = "60"
    sampled: WrittenPart | None = None
    reasoned: ReasonedPart | None = None

    @model_validator(mode="after")
    def _ways_differ_and_personas_are_asked(self) -> QuestionnairePart:
        ways = [self.scale, *self.variants]
        for way in ways:
            if ways.count(way) > 1:
                raise ValueError(f"the scale {way.name!r} stands twice among `scale` and `variants`")
        for what, part in (("sampled", self.sampled), ("reasoned", self.reasoned)):
            for name in (part.personas or ()) if part is not None else ():
                if name not in self.personas:
                    raise ValueError(f"{what}.personas names {name!r}, which is not among `personas` {self.personas}")
        return self


class WrittenChoicesPart(Part):
    """Choices that are made by beginning the task, in both orders, on the first `pairs` pairs of some personas.

    `judge`: who reads what the parser cannot: nobody, the model itself, or the name of a model behind `endpoint`.
    """

    personas: tuple[str, ...] | None = None
    pairs: Annotated[int, Field(ge=1)] = 30
    samples: Samples = 1
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    max_new_tokens: Annotated[int, Field(ge=1)] = 48
    thinking: bool | None = None
    judge: Literal["none", "local", "endpoint"] = "local"
    endpoint: str | None = None
    endpoint_model: str | None = None

    @model_validator(mode="after")
    def _judge_can_be_asked(self) -> WrittenChoicesPart:
        if self.judge == "endpoint" and (self.endpoint is None or self.endpoint_model is None):
            raise ValueError("judge: endpoint needs `endpoint` (an address) and `endpoint_model` (a name)")
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("several samples at temperature 0 would be the same answer")
        return self
