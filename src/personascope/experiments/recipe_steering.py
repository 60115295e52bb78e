"""Recipes of the studies that steer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from personascope.experiments.recipe_bases import ProbeStudy, Study
from personascope.experiments.recipe_parts import (
    SPAN,
    ActivationsPart,
    ElicitationPart,
    HexacoPart,
    ModelPart,
    Part,
    ProbesPart,
)

Coefficients = Annotated[tuple[float, ...], Field(min_length=3)]
"""With 0 and both signs of every value."""
AT_TASKS = ProbesPart(position="mean:item")


class PushPart(Part):
    """What choices are steered by.

    `layer`: where all is done but the sweep over `layers`. `coefficients`: fractions of the mean residual norm.
    `strength`: the one at which what costs more is done. `pairs`: of each pair type, drawn among `held_out` of each
    topic's tasks, on which no direction is fitted. `other_layer`: whose direction is pushed at all layers as a control;
    null leaves it out. `harmful_topics`: make a task harmful, for pair types.
    """

    layers: Annotated[tuple[int, ...], Field(min_length=1)] = (6, 11, 16, 21)
    layer: int = 16
    coefficients: Coefficients = (-0.4, -0.2, -0.1, 0.0, 0.1, 0.2, 0.4)
    strength: Annotated[float, Field(gt=0)] = 0.2
    pairs: Annotated[int, Field(ge=2)] = 8
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.4
    random_directions: Annotated[int, Field(ge=5)] = 5
    other_layer: int | None = 26
    harmful_topics: tuple[str, ...] = ("harmful_request",)

    @model_validator(mode="after")
    def _what_is_used_is_swept(self) -> PushPart:
        if self.layer not in self.layers:
            raise ValueError(f"layer {self.layer} is not among `layers` {self.layers}")
        if self.strength not in self.coefficients:
            raise ValueError(f"strength {self.strength} is not among `coefficients` {self.coefficients}")
        return self


class CalibrationPart(Part):
    """How hard the model can be pushed before it breaks: strengths above 0, both signs of each are tried."""

    coefficients: Annotated[tuple[float, ...], Field(min_length=1)] = (0.1, 0.2, 0.4)


class SteeredChoicesPart(Part):
    """Choices that are made by beginning the task, at the layer of the push."""

    pairs: Annotated[int, Field(ge=2)] = 6
    coefficients: Coefficients = (-0.2, 0.0, 0.2)
    random_directions: Annotated[int, Field(ge=1)] = 2
    max_new_tokens: Annotated[int, Field(ge=1)] = 32
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0


class OpenAnswersPart(Part):
    """Free answers under steering of every token, judged blind.

    `reflections`, `requests`: prompts, and prompts of each tier. `scenarios`: messages of which only one span is
    steered. `judge`: the model itself, or `endpoint_model` behind `endpoint`.
    """

    personas: Annotated[tuple[str, ...], Field(min_length=1)] = ("assistant", "evil")
    reflections: Annotated[int, Field(ge=1)] = 4
    requests: Annotated[int, Field(ge=1)] = 2
    scenarios: Annotated[int, Field(ge=0)] = 4
    coefficients: Coefficients = (-0.2, 0.0, 0.2)
    random_directions: Annotated[int, Field(ge=1)] = 2
    rubrics: tuple[str, ...] = ("evilness", "assistant", "coherence")
    max_new_tokens: Annotated[int, Field(ge=1)] = 40
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    judge: Literal["local", "endpoint"] = "local"
    endpoint: str | None = None
    endpoint_model: str | None = None

    @model_validator(mode="after")
    def _judge_can_be_asked(self) -> OpenAnswersPart:
        if self.judge == "endpoint" and (self.endpoint is None or self.endpoint_model is None):
            raise ValueError("judge: endpoint needs `endpoint` (an address) and `endpoint_model` (a name)")
        return self


class NecessityPart(Part):
    """What choices lose without the directions (ranks), and what they take from a donor (where it is patched in)."""

    ranks: Annotated[tuple[int, ...], Field(min_length=1)] = (1, 3)
    patched: Annotated[tuple[str, ...], Field(min_length=1)] = ("from:eot", "eot")
    patched_layers: Literal["all"] | tuple[int, ...] = "all"


class SteeringSweepRecipe(ProbeStudy):
    """Whether a preference direction causes choices: strengths, layers, controls, damage, words, necessity."""

    study: Literal["steering-sweep"] = "steering-sweep"
    preferences: ElicitationPart = ElicitationPart(personas=("assistant",))
    activations: ActivationsPart = ActivationsPart(positions=("mean:item",))
    probes: ProbesPart = AT_TASKS
    push: PushPart = PushPart()
    calibration: CalibrationPart | None = CalibrationPart()
    written: SteeredChoicesPart | None = SteeredChoicesPart()
    answers: OpenAnswersPart | None = OpenAnswersPart()
    necessity: NecessityPart | None = NecessityPart()


class CrossSteeringRecipe(ProbeStudy):
    """Whether the first persona's direction steers the others' choices, beside each persona's own direction."""

    study: Literal["cross-persona-steering"] = "cross-persona-steering"
    preferences: ElicitationPart = ElicitationPart(personas=SPAN)
    activations: ActivationsPart = ActivationsPart(positions=("mean:item",))
    probes: ProbesPart = AT_TASKS
    push: PushPart = PushPart(layers=(16,), coefficients=(-0.4, -0.2, 0.0, 0.2, 0.4), other_layer=None)


class FacetSteeringRecipe(Study):
    """Whether facets can be raised and lowered each by itself.

    `hexaco`: the items that directions are fitted on, under all its personas, read at `position` after `layer`.
    `measured`: items of each key and facet, none of them fitted on, that the first persona answers under steering from
    the item on. `curves`: facets whose own curves are swept over all `coefficients`.
    """

    study: Literal["facet-steering"] = "facet-steering"
    model: ModelPart = ModelPart()
    hexaco: HexacoPart = HexacoPart(form="200", contrasts=(), personas=("self", "meta", "helpful", "evil"))
    position: str = "mean:item"
    layer: Annotated[int, Field(ge=0)] = 16
    measured: Annotated[int, Field(ge=1)] = 2
    coefficients: Coefficients = (-0.4, -0.2, 0.0, 0.2, 0.4)
    strength: Annotated[float, Field(gt=0)] = 0.2
    random_directions: Annotated[int, Field(ge=5)] = 5
    curves: tuple[str, ...] = ("patience",)
    rows_per_shard: Annotated[int, Field(ge=1)] = 256

    @model_validator(mode="after")
    def _strength_is_swept(self) -> FacetSteeringRecipe:
        if self.strength not in self.coefficients:
            raise ValueError(f"strength {self.strength} is not among `coefficients` {self.coefficients}")
        return self
