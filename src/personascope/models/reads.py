"""Which residual rows to gather while the prompts run, and the buffer they go to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from personascope.errors import ModelError
from personascope.models.tree import Segment
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt
from personascope.shapes import Hidden, Residuals


@dataclass(frozen=True)
class Gather:
    """For one batch: which tokens of it are added to which rows of the buffer, divided by how many make the mean."""

    batch: Tensor
    token: Tensor
    target: Tensor
    count: Tensor


class Reads:
    """The buffer of gathered rows, filled while the batches run; sums are float32, or float64 for such models.

    A position names a set of tokens and reads their mean; the set may lie in several segments of the prefix tree,
    so every segment adds its tokens' share.
    """

    def __init__(self, prompts: Sequence[Prompt], layers: Sequence[int], positions: Sequence[str]) -> None:
        self.layers = {layer: index for index, layer in enumerate(layers)}
        if len(self.layers) < len(layers):
            raise ModelError(f"A layer stands twice in {list(layers)}.", "", "Ask for each layer once.")
        self._shape = (len(prompts), len(positions))
        self._tokens = [[resolve(prompt, position) for position in positions] for prompt in prompts]
        self._buffer: Tensor | None = None

    def gather(self, segments: Sequence[Segment], device: torch.device) -> Gather:
        """Index arrays of one batch."""
        entries = [
            (slot, token - segment.start, row * self._shape[1] + column, len(tokens))
            for slot, segment in enumerate(segments)
            for row in segment.rows
            for column, tokens in enumerate(self._tokens[row])
            for token in range(max(tokens.start, segment.start), min(tokens.stop, segment.stop))
        ]
        batch, token, target, count = zip(*entries, strict=True) if entries else ((), (), (), ())
        return Gather(
            torch.tensor(batch, dtype=torch.long, device=device),
            torch.tensor(token, dtype=torch.long, device=device),
            torch.tensor(target, dtype=torch.long, device=device),
            torch.tensor(count, dtype=torch.long, device=device),
        )

    def take(self, layer: int, hidden: Hidden, gather: Gather) -> None:
        """Add one layer's rows of one batch to the buffer; called inside the layer's hook."""
        if not len(gather.target):
            return
        if self._buffer is None:
            n_rows = self._shape[0] * self._shape[1]
            shape = (len(self.layers), n_rows, hidden.shape[-1])
            dtype = torch.promote_types(hidden.dtype, torch.float32)
            with torch.inference_mode(False):  # an inference tensor could not be changed in place by its user
                self._buffer = torch.zeros(shape, dtype=dtype, device=hidden.device)
        rows = hidden[gather.batch, gather.token].to(self._buffer.dtype) / gather.count[:, None]
        self._buffer[self.layers[layer]].index_add_(0, gather.target, rows.to(self._buffer.device))

    def residuals(self, dtype: torch.dtype, d_model: int) -> Residuals:
        """The gathered rows on the CPU, shape (row, layer, position, d_model), in the model's dtype."""
        if self._buffer is None:
            return torch.zeros((self._shape[0], len(self.layers), self._shape[1], d_model), dtype=dtype)
        by_layer = self._buffer.to(dtype).cpu().view(len(self.layers), *self._shape, d_model)
        return by_layer.permute(1, 0, 2, 3)
