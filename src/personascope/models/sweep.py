"""Steering sweeps that recompute only what a coefficient can change.

Adding a vector to the residual stream after block l leaves blocks 0..l and every earlier token as they were. So one
baseline pass keeps the output of block l for the tokens from the first steered one on, and each cell of the sweep runs
blocks l+1.. from there, over the frozen keys and values of everything before. Cells of one layer run stacked as rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from personascope.errors import ModelError
from personascope.models.answers import option_logprobs
from personascope.models.engine import HookEngine, LayerListener, add_at
from personascope.models.frozen_cache import Past, frozen_cache
from personascope.models.intervention import Intervention
from personascope.models.tree import Segment, padded_cost
from personascope.prompts.labels import Options
from personascope.prompts.prompt import Prompt

Cell = tuple[Intervention, ...]
"""One condition of a sweep: interventions at one layer; () is the unsteered baseline."""
Call = tuple[tuple[Any, ...], dict[str, Any]]
"""What a block was called with besides the hidden states: positional and keyword arguments."""


@dataclass(frozen=True)
class SweepOutputs:
    """Answers of every prompt under every cell: option_logprobs (row, cell, option), other_logmass (row, cell)."""

    option_logprobs: Tensor
    other_logmass: Tensor


def sweep(engine: HookEngine, prompts: Sequence[Prompt], cells: Sequence[Cell], options: Options) -> SweepOutputs:
    """Answers of all prompts under all cells.

    Raises:
        ModelError: a cell mixes layers, an intervention does not fit the model, the engine is being steered already,
            or this model cannot resume from a layer.
        SpanError: an intervention's position is not in a prompt.
    """
    _check(engine, cells)
    wheres = sorted({intervention.where for cell in cells for intervention in cell})
    roots = engine.plan(prompts, [wheres] * len(prompts), split_leaves=True)
    run = _Sweep(engine, prompts, cells, options)
    with torch.inference_mode():
        engine.walk(roots, (), engine.n_layers - 1, lambda _batch: _pass_through, run.handle)
    return SweepOutputs(run.option_logprobs, run.other_logmass)


def _check(engine: HookEngine, cells: Sequence[Cell]) -> None:
    engine.check_interventions([intervention for cell in cells for intervention in cell])
    for index, cell in enumerate(cells):
        if len({intervention.layer for intervention in cell}) > 1:
            raise ModelError(
                f"Cell {index} of the sweep steers at several layers.",
                "A sweep resumes from one layer.",
                "Use `run(..., interventions=...)` for several layers at once.",
            )
    if engine.interventions:
        raise ModelError(
            f"{engine.name} is being steered while a sweep starts.",
            "The cells of a sweep say all that is added; what a `with steer(...)` block adds would be left out.",
            "Sweep outside of the block.",
        )
    if engine.resume_off:
        raise ModelError(
            f"{engine.name} cannot be swept: {engine.resume_off}.",
            "A sweep resumes from a layer over frozen prefixes, which this model does not allow.",
            "Use `run(..., interventions=...)` once per cell.",
        )


def _pass_through(_layer: int, hidden: Tensor) -> Tensor:
    return hidden


class _Sweep:
    """State of one sweep: the output arrays and what a leaf batch needs."""

    def __init__(self, engine: HookEngine, prompts: Sequence[Prompt], cells: Sequence[Cell], options: Options) -> None:
        self.engine, self.prompts, self.cells, self.options = engine, prompts, cells, options
        self.by_layer: dict[int, list[int]] = {}
        for index, cell in enumerate(cells):
            if cell:
                self.by_layer.setdefault(cell[0].layer, []).append(index)
        self.option_logprobs = torch.full((len(prompts), len(cells), len(options.labels)), torch.nan)
        self.other_logmass = torch.full((len(prompts), len(cells)), torch.nan)

    def handle(self, batch: list[Segment], past: Past | None) -> None:
        """Baseline pass of one batch of leaves, then every cell from its own layer up."""
        kept: dict[int, Tensor] = {}
        calls: dict[int, Call] = {}
        final = self._baseline(batch, past, kept, calls)
        zero = [index for index, cell in enumerate(self.cells) if not cell]
        self._answer(batch, final[None].expand(max(1, len(zero)), *final.shape), zero)
        cost = padded_cost(batch)
        for layer, indices in self.by_layer.items():
            per_step = max(1, self.engine.token_budget // cost)
            for start in range(0, len(indices), per_step):
                step = indices[start : start + per_step]
                hidden = torch.cat([self._steer(kept[layer], batch, self.cells[index]) for index in step])
                hidden = self._resume(hidden, layer, len(step), past, calls)
                self._answer(batch, hidden.view(len(step), len(batch), *hidden.shape[1:]), step)

    def _baseline(
        self, batch: list[Segment], past: Past | None, kept: dict[int, Tensor], calls: dict[int, Call]
    ) -> Tensor:
        """Unsteered pass; keeps the sweep layers' outputs and the call arguments of the blocks above them."""
        last = self.engine.n_layers - 1
        final: list[Tensor] = []

        def keep(layer: int, hidden: Tensor) -> Tensor:
            if layer in self.by_layer:
                kept[layer] = hidden
            if layer == last:
                final.append(hidden)
            return hidden

        lowest = min(self.by_layer, default=last)
        listener: LayerListener = keep
        handles = [
            self.engine.anatomy.layers[layer].register_forward_pre_hook(_record(calls, layer), with_kwargs=True)
            for layer in range(lowest + 1, last + 1)
        ]
        try:
            self.engine.forward(batch, past, last, listener, keep=False)
        finally:
            for handle in handles:
                handle.remove()
        return final[0]

    def _steer(self, hidden: Tensor, batch: list[Segment], cell: Cell) -> Tensor:
        for intervention in cell:
            offset = torch.as_tensor(intervention.offset, device=hidden.device)
            hidden = add_at(hidden, offset, batch, self.prompts, intervention.where)
        return hidden

    def _resume(self, hidden: Tensor, layer: int, times: int, past: Past | None, calls: dict[int, Call]) -> Tensor:
        """Run blocks layer+1.. on `times` stacked copies of the batch."""
        repeated = past.repeat(times) if past else None
        cache = frozen_cache(repeated, self.engine.n_layers, keep=False) if repeated else None
        size = len(hidden) // times
        for above in range(layer + 1, self.engine.n_layers):
            others, keywords = _stack(calls[above], size, times, cache)
            output = self.engine.anatomy.layers[above](hidden, *others, **keywords)
            self.engine.work.block_calls += 1
            hidden = output if isinstance(output, Tensor) else output[0]
        return hidden

    def _answer(self, batch: list[Segment], hidden: Tensor, indices: list[int]) -> None:
        """Read the options from outputs of the last block, shape (cell, batch, token, d_model)."""
        last = torch.tensor([len(segment.tokens) - 1 for segment in batch], device=hidden.device)
        rows = torch.tensor([segment.rows[0] for segment in batch])
        slots = torch.arange(len(batch), device=hidden.device)
        for cell, index in enumerate(indices):
            chosen, other = option_logprobs(hidden[cell][slots, last], self.engine.anatomy.logits, self.options)
            self.option_logprobs[rows, index], self.other_logmass[rows, index] = chosen, other
            self.engine.work.head_rows += len(batch)


def _record(calls: dict[int, Call], layer: int) -> Any:
    def before(_module: Any, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        calls[layer] = (inputs[1:], dict(keywords))

    return before


def _stack(value: Any, size: int, times: int, cache: Cache | None) -> Any:
    """Repeat batch-shaped tensors (also inside tuples and dicts) for `times` stacked copies; put in their cache."""
    if isinstance(value, Cache):
        return cache
    if isinstance(value, Tensor):
        batched = value.ndim > 0 and value.shape[0] == size and size > 1
        return value.repeat(times, *[1] * (value.ndim - 1)) if batched else value
    if isinstance(value, tuple):
        return tuple(_stack(part, size, times, cache) for part in value)
    if isinstance(value, dict):
        return {name: _stack(part, size, times, cache) for name, part in value.items()}
    return value
