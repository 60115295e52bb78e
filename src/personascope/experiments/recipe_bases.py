"""What recipes of several studies have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from personascope.experiments.recipe_parts import ActivationsPart, ModelPart, Part, PreferencesPart, ProbesPart
from personascope.files import sha256_json


class Study(Part):
    """What the recipes of all studies have: name, seed, bootstrap resamples, a file of further personas."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
    study: str
    seed: int = 0
    resamples: Annotated[int, Field(ge=100)] = 2000
    personas: Path | None = None

    def resolved(self) -> dict[str, Any]:
        """Every setting with its value, as plain JSON."""
        return self.model_dump(mode="json")

    def hash(self) -> str:
        """Content hash of the resolved recipe."""
        return sha256_json(self.resolved())


class ChoiceStudy(Study):
    """What studies of one model's choices between tasks have."""

    model: ModelPart = ModelPart()
    preferences: PreferencesPart = PreferencesPart()


class ProbeStudy(ChoiceStudy):
    """What studies have that look for these preferences in the residual stream."""

    activations: ActivationsPart = ActivationsPart()
    probes: ProbesPart = ProbesPart()

    @model_validator(mode="after")
    def _probe_position_is_kept(self) -> ProbeStudy:
        if self.probes.position not in self.activations.positions:
            raise ValueError(
                f"probes.position {self.probes.position!r} is not among activations.positions "
                f"{self.activations.positions}"
            )
        return self
