"""`with steer(model, 0.06 * direction, where="from:item"):` adds a direction to the residual stream in the block."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from personascope.direction import Direction
from personascope.errors import DirectionError
from personascope.models.adapt import as_backend
from personascope.models.backend import Backend
from personascope.models.intervention import Intervention


def intervention(
    direction: Direction, where: str, *, model: str | None = None, d_model: int | None = None
) -> Intervention:
    """The intervention that adds a direction at its own layer.

    Args:
        direction: its strength is a fraction of the mean residual norm (`reference_norm`) at its layer.
        where: position of `prompts.positions`, e.g. "answer", "from:item", "mean:task_a".
        model: name of the model it will be used on, checked when given.
        d_model: width of that model's residual stream, checked when given.

    Raises:
        DirectionError: the direction was fitted on another model or has another width.
    """
    if model is not None and direction.model != model:
        raise DirectionError(
            f"A direction fitted on {direction.model!r} cannot steer {model!r}.",
            "Residual streams of different models share no axes.",
            "Fit the direction on the model that you steer.",
        )
    if d_model is not None and len(direction.vector) != d_model:
        raise DirectionError(
            f"The direction has width {len(direction.vector)}, the model's residual stream {d_model}.",
            "It was fitted on another model or on other features.",
            "Fit the direction on the model that you steer.",
        )
    return Intervention(layer=direction.layer, offset=direction.offset(), where=where)


@contextlib.contextmanager
def steer(model: Any, *directions: Direction, where: str) -> Iterator[Backend]:
    """Steer every `run` of the backend inside the block; it is restored on leaving the block, after an error too.

    Args:
        model: a loaded model, or a TransformerLens bridge or nnsight model of your own (see `as_backend`).
        directions: one or more directions with their strengths, e.g. `0.06 * d`.
        where: position at which to add them.

    Returns:
        The backend; `load_model` has made one already, for models of other libraries this is their adapter.

    Raises:
        DirectionError: a direction of another model.
        ModelError: what was given is no model.
        SpanError: on running a prompt that lacks the position.
    """
    backend = as_backend(model)
    added = [intervention(d, where, model=backend.name, d_model=backend.d_model) for d in directions]
    before = list(backend.interventions)
    backend.interventions = [*before, *added]
    try:
        yield backend
    finally:
        backend.interventions = before
