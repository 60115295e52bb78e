"""The order in which examples are met: random, with examples that begin alike in short rows behind each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from personascope.tuning.examples import Example

_SHARED = ("framing",)
"""Slots that several examples have in common: how a question is framed."""


class AlikeTogether(Sampler[int]):
    """A new random order in every epoch, the same for one seed and epoch, whatever was drawn elsewhere.

    Args:
        examples: in the order of the data set.
        together: length of the rows; 1 is a plain shuffle.
        seed: of the orders.
    """

    def __init__(self, examples: Sequence[Example], together: int, seed: int) -> None:
        self.kinds = [_beginning(example) for example in examples] if together > 1 else [()] * len(examples)
        self.together, self.seed, self.epoch = together, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer when an epoch begins or is resumed."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.kinds)

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch])
        alike: dict[tuple[int, ...], list[int]] = {}
        for index in rng.permutation(len(self.kinds)).tolist():
            alike.setdefault(self.kinds[index], []).append(index)
        rows = [
            members[start : start + self.together]
            for members in alike.values()
            for start in range(0, len(members), self.together)
        ]
        for number in rng.permutation(len(rows)):
            yield from rows[number]


def _beginning(example: Example) -> tuple[int, ...]:
    """Tokens before the first slot of an example's own; all of them have the same where none is marked."""
    starts = [start for name, (start, _) in example.prompt.spans.items() if name not in _SHARED]
    return example.prompt.ids[: min(starts, default=0)]
