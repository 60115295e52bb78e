"""The Intervention value: a vector added to the residual stream at one layer and a named position."""

from __future__ import annotations

from dataclasses import dataclass

from personascope.shapes import Vector


@dataclass(frozen=True, eq=False)
class Intervention:
    """Add `offset` to `resid_post[layer]` at every token that `where` names.

    Args:
        layer: 0-based decoder block after whose output the vector is added.
        offset: shape (d_model,), in the units of the residual stream.
        where: a position of `prompts.positions`, e.g. "mean:task_a", "from:item", "answer".
    """

    layer: int
    offset: Vector
    where: str
