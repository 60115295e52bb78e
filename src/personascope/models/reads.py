"""Which residual rows to gather while the prompts run, and the buffer they go to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from personascope.models.tree import Segment
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt
from personascope.shapes import Hidden, Residuals


@dataclass(frozen=True)
class Gather:
    """What one batch contributes. A *piece* is the part of a position's tokens that lies in one segment.

    Several rows that share a segment share its pieces, so each is summed once, however many rows it goes to.

    Args:
        slot, token, piece: which tokens of the batch are summed into which piece, shape (entry,).
        n_pieces: number of pieces; as many as entries when every piece is one token.
        source, target, count: which piece goes to which row of the buffer, and of how many tokens that row is the
            mean, shape (contribution,), on the CPU.
        pieces: per layer, shape (piece, d_model), filled by the hooks.
    """

    slot: Tensor
    token: Tensor
    piece: Tensor
    n_pieces: int
    source: Tensor
    target: Tensor
    count: Tensor
    pieces: dict[int, Tensor] = field(default_factory=dict)


class Reads:
    """The buffer of gathered rows on the CPU; sums are float32, or float64 for such models.

    A batch is committed whole or not at all, so one that ran out of memory can be run again in parts. On a GPU its
    rows are copied into pinned memory while the next batch computes, and added when that one is committed.
    """

    def __init__(self, prompts: Sequence[Prompt], layers: Sequence[int], positions: Sequence[str]) -> None:
        self.layers = {layer: index for index, layer in enumerate(layers)}
        self._shape = (len(prompts), len(positions))
        self._tokens = [[resolve(prompt, position) for position in positions] for prompt in prompts]
        self._buffer: Tensor | None = None
        self._under_way: tuple[Tensor, Gather, torch.cuda.Event] | None = None

    def gather(self, segments: Sequence[Segment], device: torch.device) -> Gather:
        """Index arrays of one batch."""
        pieces: dict[tuple[int, int, int], int] = {}
        contributions = []
        for slot, segment in enumerate(segments):
            for row in segment.rows:
                for column, tokens in enumerate(self._tokens[row]):
                    start, stop = max(tokens.start, segment.start), min(tokens.stop, segment.stop)
                    if start < stop:
                        place = (slot, start - segment.start, stop - segment.start)
                        number = pieces.setdefault(place, len(pieces))
                        contributions.append((number, row * self._shape[1] + column, len(tokens)))
        entries = [(slot, token, n) for (slot, start, stop), n in pieces.items() for token in range(start, stop)]
        slot_of, token_of, piece_of = _columns(entries, device)
        source, target, count = _columns(contributions, torch.device("cpu"))
        return Gather(slot_of, token_of, piece_of, len(pieces), source, target, count)

    def take(self, layer: int, hidden: Hidden, gather: Gather) -> None:
        """Gather one layer's rows of one batch; called inside the layer's hook."""
        if not gather.n_pieces:
            return
        device = hidden.device  # of this layer: a large model may be spread over several
        rows = hidden[gather.slot.to(device), gather.token.to(device)]
        if len(rows) > gather.n_pieces:
            sums = torch.zeros((gather.n_pieces, rows.shape[1]), dtype=_sum_type(rows), device=device)
            rows = sums.index_add_(0, gather.piece.to(device), rows.to(sums.dtype))
        gather.pieces[layer] = rows

    def commit(self, gather: Gather) -> None:
        """Add what a finished batch gathered to the buffer."""
        if not gather.pieces:
            return
        devices = {rows.device for rows in gather.pieces.values()}
        if len(devices) > 1:
            gather.pieces.update({layer: rows.cpu() for layer, rows in gather.pieces.items()})
        unread = torch.full_like(next(iter(gather.pieces.values())), torch.nan)  # its block did not run, or too late
        rows = torch.stack([gather.pieces.pop(layer, unread) for layer in self.layers])
        if rows.is_cuda:
            pinned = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
            pinned.copy_(rows, non_blocking=True)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record()
            self._settle()
            self._under_way = (pinned, gather, copied)
        else:
            self._add(rows, gather)

    def residuals(self, dtype: torch.dtype, d_model: int) -> Residuals:
        """The gathered rows, shape (row, layer, position, d_model), in the model's dtype."""
        self._settle()
        if self._buffer is None:
            return torch.zeros((self._shape[0], len(self.layers), self._shape[1], d_model), dtype=dtype)
        by_layer = self._buffer.to(dtype).view(len(self.layers), *self._shape, d_model)
        return by_layer.permute(1, 0, 2, 3)

    def _settle(self) -> None:
        """Wait for the copy that is under way, and add it."""
        if self._under_way is not None:
            pinned, gather, copied = self._under_way
            copied.synchronize()
            self._under_way = None
            self._add(pinned, gather)

    def _add(self, rows: Tensor, gather: Gather) -> None:
        """Add pieces of all layers, shape (layer, piece, d_model), on the CPU."""
        if self._buffer is None:
            shape = (len(self.layers), self._shape[0] * self._shape[1], rows.shape[-1])
            with torch.inference_mode(False):  # an inference tensor could not be changed in place by its user
                self._buffer = torch.zeros(shape, dtype=_sum_type(rows))
        for index in range(len(self.layers)):
            shares = rows[index][gather.source].to(self._buffer.dtype) / gather.count[:, None]
            self._buffer[index].index_add_(0, gather.target, shares)


def _columns(entries: list[tuple[int, int, int]], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Three index columns of a list of triples."""
    first, second, third = torch.tensor(entries, dtype=torch.long).view(-1, 3).T.contiguous().to(device)
    return first, second, third


def _sum_type(rows: Tensor) -> torch.dtype:
    return torch.promote_types(rows.dtype, torch.float32)
