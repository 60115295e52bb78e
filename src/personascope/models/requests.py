"""What a request must satisfy before any backend computes a token of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from personascope.errors import ModelError
from personascope.models.backend import Backend
from personascope.models.intervention import Intervention
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt


@runtime_checkable
class Stream(Protocol):
    """What layers and interventions must fit: a backend, or a user's own model."""

    @property
    def name(self) -> str: ...  # noqa: D102  (what it is called in errors)
    @property
    def n_layers(self) -> int: ...  # noqa: D102
    @property
    def d_model(self) -> int: ...  # noqa: D102


def require_layers(backend: Stream, layers: Sequence[int]) -> None:
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


def require_interventions(
    backend: Stream, interventions: Sequence[Intervention], prompts: Sequence[Prompt] | None = None
) -> None:
    """Raise ModelError for an intervention that does not fit the model; a shorter offset would broadcast.

    With `prompts`, given rows must be as many as the tokens that they replace, prompt by prompt.
    """
    require_layers(backend, [intervention.layer for intervention in interventions])
    for one in interventions:
        basis = [] if one.erase is None else list(one.erase)
        shapes = [one.offset.shape, *[row.shape for row in basis], *[given.shape[1:] for given in one.rows or ()]]
        wrong = next((shape for shape in shapes if shape != (backend.d_model,)), None)
        if wrong is not None:
            raise ModelError(
                f"An offset of shape {wrong} cannot steer {backend.name}.",
                f"Its residual stream has shape ({backend.d_model},).",
                "Fit the direction on this model.",
            )
        if one.rows is not None and prompts is not None:
            _require_one_row_a_token(one, prompts)


def _require_one_row_a_token(intervention: Intervention, prompts: Sequence[Prompt]) -> None:
    assert intervention.rows is not None
    given = [len(rows) for rows in intervention.rows]
    named = [len(resolve(prompt, intervention.where)) for prompt in prompts]
    if given != named:
        place = next((n for n, pair in enumerate(zip(given, named, strict=False)) if pair[0] != pair[1]), None)
        where = "" if place is None else f" (prompt {place}: {given[place]} rows for {named[place]} tokens)"
        raise ModelError(
            f"What replaces the residual stream at {intervention.where!r} does not fit the prompts{where}.",
            f"Rows are given for {len(given)} prompts; {len(named)} are run.",
            "Give every prompt of the call one row for each token that the position names in it.",
        )


def require_prompt_phase(interventions: Sequence[Intervention]) -> None:
    """Raise ModelError for steering that could never act: there is no generation in a call that only reads."""
    if any(not intervention.reads_prompt for intervention in interventions):
        raise ModelError(
            "Steering in the phase 'generation' would do nothing here.",
            "This call reads prompts and generates no token.",
            "Use `generate`, or another phase.",
        )


def require_all_ran(backend: Backend, ran: int, wanted: int) -> None:
    """Raise ModelError when a block's hook did not fire: what was read or steered there would be silently absent."""
    if ran != wanted:
        raise ModelError(
            f"{ran} of {wanted} blocks of {backend.name} called their hook in one pass.",
            "It skips blocks or calls them where hooks do not see it, so nothing that is read there can be trusted.",
            "This architecture cannot be read or steered by hooks.",
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
