"""`with steer(model, 0.06 * direction, where="from:item"):` adds a direction to the residual stream in the block."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from personascope.direction import Direction
from personascope.errors import DirectionError
from personascope.models.engine import HookEngine
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
def steer(engine: HookEngine, *directions: Direction, where: str) -> Iterator[HookEngine]:
    """Steer every `engine.run` inside the block; the engine is restored on leaving it, after an error too.

    Args:
        engine: a loaded model.
        directions: one or more directions with their strengths, e.g. `0.06 * d`.
        where: position at which to add them.

    Raises:
        DirectionError: a direction of another model.
        SpanError: on running a prompt that lacks the position.
    """
    added = [intervention(d, where, model=engine.name, d_model=engine.d_model) for d in directions]
    before = list(engine.interventions)
    engine.interventions = [*before, *added]
    try:
        yield engine
    finally:
        engine.interventions = before
