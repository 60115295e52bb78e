"""Questions laid out as one sequence, and a forward pass through it up to some layer, with gradients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from personascope.models.engine import HookEngine
from personascope.tuning.organisms.questions import Mark, Question
from personascope.tuning.packing import Packed, additive_mask, pack


class _ReachedError(Exception):
    """The last layer that is needed has run."""


@dataclass(frozen=True)
class Layout:
    """Questions in one sequence, their common beginnings once.

    Args:
        questions: in order.
        packed: the sequence; `packed.read` are the tokens that answers are read at.
    """

    questions: Sequence[Question]
    packed: Packed

    def tokens(self, question: int, span: tuple[int, int]) -> Tensor:
        """Places of a question's span, shape (token,)."""
        packed = self.packed
        group = packed.group[packed.read[question]]
        own = (packed.branch == question) | ((packed.branch < 0) & (packed.group == group))
        return torch.nonzero(own & (packed.positions >= span[0]) & (packed.positions < span[1]))[:, 0]

    def marks(self) -> Iterator[tuple[int, Mark, Tensor]]:
        """Number of the question, its mark, and the places of the mark's tokens."""
        for number, question in enumerate(self.questions):
            for mark in question.marks:
                yield number, mark, self.tokens(number, mark.span)


def lay_out(questions: Sequence[Question]) -> Layout:
    """Put questions in one sequence."""
    rows = [[*question.prompt.ids, 0] for question in questions]  # a place behind the last, which predicts the answer
    return Layout(questions, pack(rows, [[len(row) - 1] for row in rows]))


def layer_outputs(engine: HookEngine, layout: Layout, layers: Iterable[int]) -> dict[int, Tensor]:
    """Outputs of some layers, each of shape (token, d_model); blocks above the last of them do not run."""
    wanted = sorted(set(layers))
    found: dict[int, Tensor] = {}
    blocks = engine.anatomy.layers

    def keep(layer: int) -> RemovableHandle:
        def hook(_: nn.Module, __: object, output: Tensor | tuple[Tensor, ...]) -> None:
            found[layer] = (output if isinstance(output, Tensor) else output[0])[0]
            if layer == wanted[-1]:
                raise _ReachedError

        return blocks[layer].register_forward_hook(hook)

    handles = [keep(layer) for layer in wanted]
    embedding = next(iter(blocks.parameters()))
    try:
        engine.anatomy.body(
            input_ids=layout.packed.ids[None].to(embedding.device),
            position_ids=layout.packed.positions[None].to(embedding.device),
            attention_mask=additive_mask(layout.packed.allowed(), embedding),
            use_cache=False,
        )
    except _ReachedError:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return found
