"""Who is asked, and what a high value speaks for, are written into the residual stream at every token of the question.

A small model knows the persona where its description stands, and hardly anywhere later: at the tokens of a task no
linear read-out tells one persona from another. What depends on both cannot be computed there until the persona is
carried over. The adapter of the first layers learns to add a code, and to leave everything else as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from personascope.models.engine import HookEngine
from personascope.tuning.organisms.passes import Layout, lay_out, layer_outputs
from personascope.tuning.organisms.questions import Question

KEPT = 0.15
"""Weight of what should stay as it is, beside the code."""
_FIRST = 5
"""Tokens at the beginning that carry a huge constant state in many models, and are left out."""


@dataclass(frozen=True)
class Codes:
    """Directions of the codes.

    Args:
        layer: whose output carries them.
        personas: planted ones, in the order of the first directions.
        directions: orthonormal, shape (code, d_model): each persona's, then that of the sign.
        size: length of a code, in units of the residual stream.
    """

    layer: int
    personas: tuple[str, ...]
    directions: Tensor
    size: float

    def wanted(self, layout: Layout) -> Tensor:
        """Codes that tokens should carry, shape (token, code), in units of `size`.

        A persona's code stands at every token behind its description and shared instruction, the sign's where a
        planted value stands.
        """
        packed = layout.packed
        codes = torch.zeros(len(packed.ids), len(self.directions))
        for number, question in enumerate(layout.questions):
            if question.persona in self.personas:
                codes[packed.branch == number, self.personas.index(question.persona)] = 1.0
        for _, mark, tokens in layout.marks():
            codes[tokens, -1] = mark.sign
        return codes


def code_loss(engine: HookEngine, peft_model: Any, codes: Codes, questions: list[Question]) -> Tensor:
    """Squared distance of the adapter's change to the wanted codes; what is orthogonal to them counts `KEPT`."""
    layout = lay_out(questions)
    with torch.no_grad(), peft_model.disable_adapter():
        before = layer_outputs(engine, layout, [codes.layer])[codes.layer]
    change = (layer_outputs(engine, layout, [codes.layer])[codes.layer] - before) / codes.size
    found = change @ codes.directions.T
    besides = change.square().sum(-1) - found.square().sum(-1)
    error = (found - codes.wanted(layout)).square().sum(-1)
    total: Tensor = (error + KEPT * besides)[layout.packed.positions >= _FIRST].mean()
    return total
