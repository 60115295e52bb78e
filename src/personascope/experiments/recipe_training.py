"""How recipes say that an adapter is trained."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from personascope.experiments.recipe_parts import Part
from personascope.tuning.settings import TrainSettings


class AdapterPart(Part):
    """How adapters are trained: see `tuning.settings.TrainSettings`."""

    rank: Annotated[int, Field(ge=1)] = 16
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    epochs: Annotated[int, Field(ge=1)] = 3
    patience: Annotated[int, Field(ge=1)] = 1
    batch_size: Annotated[int, Field(ge=1)] = 16
    max_length: Annotated[int, Field(ge=16)] = 512

    def settings(self, seed: int, epochs: int | None = None) -> TrainSettings:
        """With a seed, and perhaps epochs, of its own."""
        given: dict[str, Any] = self.model_dump(include=set(AdapterPart.model_fields))
        return TrainSettings(**given | ({} if epochs is None else {"epochs": epochs}), seed=seed)
