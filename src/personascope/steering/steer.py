"""`with steer(model, 0.06 * direction, where="from:item"):` changes the residual stream in every call in the block."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from transformers import PreTrainedModel

from personascope.direction import Direction
from personascope.errors import ModelError
from personascope.models.adapt import as_backend
from personascope.models.equal_lengths import EqualLengthBackend
from personascope.models.intervention import Intervention, Phase
from personascope.models.own_calls import BareModel, own_calls
from personascope.models.requests import require_interventions
from personascope.prompts.prompt import Prompt
from personascope.steering.interventions import add


@contextlib.contextmanager
def steer(
    model: Any,
    *steps: Direction | Intervention,
    where: str | None = None,
    prompts: Sequence[Prompt] | None = None,
    phase: Phase | None = None,
) -> Iterator[Any]:
    """Steer the model inside the block; it is restored on leaving the block, after an error too.

    Every `run` of a backend is steered, and `generate` of the hook engine. Of a TransformerLens bridge, an nnsight
    model in this process and a Hugging Face model your own calls are steered too: `model(**inputs)`,
    `model.generate(...)`, `bridge.run_with_hooks(...)`, `with model.trace(...)`. There positions are counted in each
    row's own tokens: padding (by the attention mask) is never steered, cached decoding goes on where the prompt ended.

    Args:
        model: a loaded model; a TransformerLens bridge, an nnsight model or one of our adapters of them; or a Hugging
            Face causal language model.
        steps: what is done, in this order: directions with their strengths, e.g. `0.06 * d`, which are added, and
            whatever steering/interventions.py makes.
        where: position at which directions are added.
        prompts: what your own calls are of, rendered: more than the call has and in another order is fine. Without them
            only "all" (every token) and "answer" (the prompt's last token) can be told.
        phase: when directions are added: "prompt", "generation", or None as the position says (see `Intervention`).

    Returns:
        The backend; for models of other libraries this is their adapter. A Hugging Face model itself.

    Raises:
        DirectionError: a direction of another model or width. A Hugging Face model has no name to compare.
        ModelError: what was given is no decoder, a step does not fit it, or a position of directions is missing or
            without directions. For your own calls see `own_calls`: a model that was never called, or never steered, is
            an error.
        SpanError: on running a prompt that lacks the position.
    """
    if isinstance(model, PreTrainedModel):
        bare = BareModel(model)
        with own_calls(bare, _interventions(steps, where, phase, None, bare.d_model), prompts):
            yield model
        return
    backend = as_backend(model)
    added = _interventions(steps, where, phase, backend.name, backend.d_model)
    require_interventions(backend, added)
    is_local = isinstance(backend, EqualLengthBackend) and not getattr(backend, "is_elsewhere", False)
    before = list(backend.interventions)
    backend.interventions = [*before, *added]
    try:
        with own_calls(backend, added, prompts) if is_local else contextlib.nullcontext():  # type: ignore[arg-type]
            yield backend
    finally:
        backend.interventions = before


def _interventions(
    steps: Sequence[Direction | Intervention],
    where: str | None,
    phase: Phase | None,
    name: str | None,
    d_model: int,
) -> list[Intervention]:
    n_directions = sum(isinstance(step, Direction) for step in steps)
    if (steps and bool(n_directions) != (where is not None)) or (phase and not n_directions):
        raise ModelError(
            f"{n_directions} of {len(steps)} steps are directions, and where={where!r}.",
            "`where` and `phase` say where and when directions are added; interventions have their own.",
            "Give `where` with directions, and only with them.",
        )
    return [
        step if isinstance(step, Intervention) else add(step, where or "", phase=phase, model=name, d_model=d_model)
        for step in steps
    ]
