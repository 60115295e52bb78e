"""Batches within a token budget that shrinks, for good, when memory runs out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from personascope.errors import ModelError
from personascope.models.memory import is_out_of_memory
from personascope.models.tree import Segment, by_length, next_batch, padded_cost

S = TypeVar("S")
T = TypeVar("T")


class Budget:
    """Padded tokens per forward pass.

    Args:
        name: of the model, for messages.
        asked: the budget to begin with; `tokens` is what running out of memory has left of it.
    """

    def __init__(self, name: str, asked: int) -> None:
        self.name, self.asked, self.tokens = name, asked, asked

    def each_batch(
        self, segments: Sequence[Segment], compute: Callable[[list[Segment]], T], *, copies: int = 1, beside: int = 1
    ) -> Iterator[tuple[list[Segment], T]]:
        """Run `compute` over length-sorted batches; out of memory halves the batch, and the budget from then on.

        Args:
            segments: what is to be computed.
            compute: works on one batch, and leaves nothing behind when it fails.
            copies: how often `compute` repeats the batch with its past; they share the budget.
            beside: how often it repeats the new tokens over one past.

        Raises:
            ModelError: one single segment does not fit into memory.
        """

        def compute_or_give_up(batch: list[Segment]) -> T:
            try:
                return compute(batch)
            except (MemoryError, RuntimeError) as error:
                if len(batch) > 1 or not is_out_of_memory(error):
                    raise
                raise ModelError(
                    f"{self.name} runs out of memory on {len(batch[0].tokens)} tokens of a single prompt "
                    f"(row {batch[0].rows[0]}).",
                    " ".join(str(error).split())[:200],
                    "Free memory, ask for fewer layers or positions, shorten the prompt, or use bfloat16 or another "
                    "device.",
                ) from error

        return self._each(
            by_length(segments),
            lambda waiting: next_batch(waiting, self.tokens // copies, beside),
            lambda batch: padded_cost(batch, beside) * copies,
            compute_or_give_up,
        )

    def each_share(
        self, parts: Sequence[int], cost: int, limit: int, compute: Callable[[list[int]], T]
    ) -> Iterator[tuple[list[int], T]]:
        """Run `compute` over equal shares of `parts`, each of `cost` tokens, at most `limit` at once.

        Raises:
            MemoryError, RuntimeError: a single part does not fit into memory.
        """

        def next_share(waiting: Sequence[int]) -> list[int]:
            n_steps = -(-len(waiting) // max(1, min(limit, self.tokens // cost)))
            return list(waiting[: -(-len(waiting) // n_steps)])

        return self._each(list(parts), next_share, lambda share: cost * len(share), compute)

    def _each(
        self,
        waiting: list[S],
        take: Callable[[list[S]], list[S]],
        cost: Callable[[list[S]], int],
        compute: Callable[[list[S]], T],
    ) -> Iterator[tuple[list[S], T]]:
        while waiting:
            part = take(waiting)
            try:
                result = compute(part)
            except (MemoryError, RuntimeError) as error:
                if len(part) == 1 or not is_out_of_memory(error):
                    raise
                self._halve(cost(part), len(part))
                continue
            waiting = waiting[len(part) :]
            yield part, result

    def _halve(self, cost: int, size: int) -> None:
        self.tokens = max(1, cost // 2)
        warnings.warn(
            f"{self.name} ran out of memory on a batch of {size}; going on with {self.tokens} tokens per pass instead "
            f"of {self.asked}. Nothing is lost; results can differ in their last digits.",
            stacklevel=4,
        )
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
