"""What a request must satisfy before any backend computes a token of it."""

from __future__ import annotations

from collections.abc import Sequence

from personascope.errors import ModelError
from personascope.models.backend import Backend
from personascope.models.intervention import Intervention
from personascope.prompts.prompt import Prompt


def require_layers(backend: Backend, layers: Sequence[int]) -> None:
    """Raise ModelError for a layer that the model does not have."""
    wrong = [layer for layer in layers if not 0 <= layer < backend.n_layers]
    if wrong:
        raise ModelError(
            f"{backend.name} has no layer {wrong[0]}.",
            f"Its layers are 0 to {backend.n_layers - 1}, counted from the embedding.",
            "Use numbers in that range.",
        )


def require_distinct_layers(layers: Sequence[int]) -> None:
    """Raise ModelError when a layer is asked for twice."""
    if len(set(layers)) < len(layers):
        raise ModelError(f"A layer stands twice in {list(layers)}.", "", "Ask for each layer once.")


def require_interventions(backend: Backend, interventions: Sequence[Intervention]) -> None:
    """Raise ModelError for an intervention that does not fit the model; a shorter offset would broadcast."""
    require_layers(backend, [intervention.layer for intervention in interventions])
    for shape in (intervention.offset.shape for intervention in interventions):
        if shape != (backend.d_model,):
            raise ModelError(
                f"An offset of shape {shape} cannot steer {backend.name}.",
                f"Its residual stream has shape ({backend.d_model},).",
                "Fit the direction on this model.",
            )


def require_lengths(backend: Backend, prompts: Sequence[Prompt], max_length: int) -> None:
    """Raise ModelError for a prompt without tokens or with more than the model has positions for."""
    for row, prompt in enumerate(prompts):
        if not 0 < len(prompt) <= max_length:
            raise ModelError(
                f"Prompt {row} has {len(prompt)} tokens; {backend.name} takes 1 to {max_length}.",
                f"It ends with {prompt.text[-80:]!r}.",
                "Shorten the persona, the template or the item.",
            )
