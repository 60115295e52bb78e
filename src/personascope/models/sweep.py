"""Steering sweeps that recompute only what a coefficient can change.

Adding a vector to the residual stream after block l leaves blocks 0..l and every earlier token as they were. So one
unsteered pass keeps the outputs of the swept layers, and the cells of the sweep walk up the stack together: at block
l + 1 those that steer after block l join the running batch (a staircase), over the frozen keys and values of everything
before. Prefixes that are steered themselves are walked once per cell, not once per cell and prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from personascope.errors import ModelError
from personascope.models.answers import option_logprobs
from personascope.models.backend import Backend
from personascope.models.engine import HookEngine
from personascope.models.frozen_cache import Block
from personascope.models.intervention import Cell, Intervention
from personascope.models.requests import require_interventions, require_prompt_phase
from personascope.models.staircase import BESIDE_TOKENS, MOST_TOKENS_BESIDE, Stage, climb, lowest_layer
from personascope.models.tree import Segment, children_of, padded_cost
from personascope.prompts.labels import Options
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt


@dataclass(frozen=True)
class SweepOutputs:
    """Answers of every prompt under every cell: option_logprobs (row, cell, option), other_logmass (row, cell)."""

    option_logprobs: Tensor
    other_logmass: Tensor


def sweep(backend: Backend, prompts: Sequence[Prompt], cells: Sequence[Cell], options: Options) -> SweepOutputs:
    """Answers of all prompts under all cells; a cell may steer at several layers and positions, () is the baseline.

    Models that cannot resume from a layer, and backends of other libraries, run once per cell instead.

    Args:
        backend: a loaded model.
        prompts: closed questions.
        cells: conditions.
        options: the labels that are read.

    Raises:
        ModelError: an intervention does not fit the model, or the model is being steered already.
        SpanError: an intervention's position is not in a prompt.
    """
    every = [intervention for cell in cells for intervention in cell]
    require_interventions(backend, every, prompts)
    require_prompt_phase(every)
    if backend.interventions:
        raise ModelError(
            f"{backend.name} is being steered while a sweep starts.",
            "The cells of a sweep say all that is added; what a `with steer(...)` block adds would be left out.",
            "Sweep outside of the block.",
        )
    if not isinstance(backend, HookEngine) or backend.resume_off:
        return _once_per_cell(backend, prompts, cells, options)
    run = _Sweep(backend, prompts, cells, options)
    with torch.inference_mode():
        for number, wheres in enumerate(run.groups):
            roots = backend.plan(prompts, run.steered(wheres), cut=True)
            run.visit(roots, _Trail((), ()), run.groups[wheres], zero=number == 0)
    return SweepOutputs(run.option_logprobs, run.other_logmass)


def _once_per_cell(
    backend: Backend, prompts: Sequence[Prompt], cells: Sequence[Cell], options: Options
) -> SweepOutputs:
    found = [backend.run(prompts, options=options, interventions=cell) for cell in cells]
    if not found:
        return SweepOutputs(torch.zeros((len(prompts), 0, len(options.labels))), torch.zeros((len(prompts), 0)))
    return SweepOutputs(
        torch.stack([one.option_logprobs for one in found], dim=1),
        torch.stack([one.other_logmass for one in found], dim=1),
    )


@dataclass(frozen=True)
class _Trail:
    """The segments before the current ones: their unsteered block, and their block per cell or None if not steered."""

    plain: tuple[Block, ...]
    stepped: tuple[Block | None, ...]

    @property
    def is_steered(self) -> bool:
        return any(block is not None for block in self.stepped)

    def then(self, stage: Stage, stepped: Block | None) -> _Trail:
        assert stage.block is not None
        return _Trail((*self.plain, stage.block), (*self.stepped, stepped))


class _Sweep:
    """State of one sweep: the output arrays, and how each batch of segments is worked off.

    Cells that steer at the same positions run together, each such group from its own first steered token on.
    """

    def __init__(self, engine: HookEngine, prompts: Sequence[Prompt], cells: Sequence[Cell], options: Options) -> None:
        self.engine, self.prompts, self.cells, self.options = engine, prompts, cells, options
        self.unsteered = [index for index, cell in enumerate(cells) if not cell]
        self.layers = {intervention.layer for cell in cells for intervention in cell}
        steered = sorted((i for i, cell in enumerate(cells) if cell), key=lambda i: lowest_layer(cells[i]))
        self.groups: dict[frozenset[str], list[int]] = {} if steered else {frozenset(): []}
        for index in steered:
            wheres = frozenset(intervention.where for intervention in cells[index])
            self.groups.setdefault(wheres, []).append(index)
        self.option_logprobs = torch.full((len(prompts), len(cells), len(options.labels)), torch.nan)
        self.other_logmass = torch.full((len(prompts), len(cells)), torch.nan)

    def steered(self, wheres: frozenset[str]) -> list[Intervention]:
        """All that the cells of one group do."""
        return [intervention for index in self.groups[wheres] for intervention in self.cells[index]]

    def visit(self, segments: Sequence[Segment], trail: _Trail, cells: list[int], *, zero: bool) -> None:
        """Depth first. Cells are split into shares where the first steered segment is met, and stay together below.

        Args:
            segments: siblings.
            trail: what lies before them.
            cells: indices of the cells to run, by ascending layer.
            zero: whether the unsteered answers are wanted too; so for one of the shares.
        """
        each_batch = self.engine.budget.each_batch
        copies = len(cells) if trail.is_steered else 1
        beside = 0 if trail.is_steered else MOST_TOKENS_BESIDE
        short = [segment for segment in segments if segment.is_leaf and len(segment.tokens) <= beside]
        long = [segment for segment in segments if segment.is_leaf and len(segment.tokens) > beside]
        room = BESIDE_TOKENS // max((len(segment.tokens) for segment in short), default=1)
        for _ in each_batch(
            short, lambda b: self._leaves(b, trail, cells, zero, room), beside=min(room, len(cells) or 1)
        ):
            pass
        for _ in each_batch(long, lambda b: self._leaves(b, trail, cells, zero, 0), copies=copies or 1):
            pass
        inner = [segment for segment in segments if not segment.is_leaf]
        wheres = {intervention.where for index in cells for intervention in self.cells[index]}
        unsteered = [segment for segment in inner if not self._is_steered(segment, wheres)]
        for batch, stage in each_batch(unsteered, lambda b: self._baseline(b, trail, keep=True)):
            self.visit(children_of(batch), trail.then(stage, None), cells, zero=zero)
        steered = [segment for segment in inner if self._is_steered(segment, wheres)]
        for batch, stage in each_batch(steered, lambda b: self._baseline(b, trail, keep=True), copies=copies):
            first = zero
            for share, block in self._climbs(stage, trail, cells, keep=True):
                self.visit(children_of(batch), trail.then(stage, block), share, zero=first)
                first = False

    def _is_steered(self, segment: Segment, wheres: set[str]) -> bool:
        """Whether steering changes this segment: it reaches to or behind the first steered token of its prompts."""
        prompt = self.prompts[segment.rows[0]]
        return any(resolve(prompt, where).start < segment.stop for where in wheres)

    def _baseline(self, batch: list[Segment], trail: _Trail, *, keep: bool) -> Stage:
        """Unsteered pass over a batch; keeps the outputs of the swept layers, and keys and values when `keep`."""
        outputs: dict[int, Tensor] = {}
        last = self.engine.n_layers - 1

        def listen(layer: int, hidden: Tensor) -> Tensor:
            if layer in self.layers or layer == last:
                outputs[layer] = hidden
            return hidden

        block = self.engine.forward(batch, trail.plain, last, listen, keep=keep)
        return Stage(batch, self.prompts, trail.plain, outputs, block)

    def _leaves(self, batch: list[Segment], trail: _Trail, cells: list[int], zero: bool, room: int) -> None:
        """Unsteered pass over a batch of leaves, then every cell from its own layer up; `room` for cells beside."""
        stage = self._baseline(batch, trail, keep=False)
        if zero and self.unsteered:
            final = stage.outputs[self.engine.n_layers - 1]
            self._answer(batch, final[None].expand(len(self.unsteered), *final.shape), self.unsteered)
        for _ in self._climbs(stage, trail, cells, room=room):
            pass

    def _climbs(
        self, stage: Stage, trail: _Trail, cells: list[int], *, room: int = 0, keep: bool = False
    ) -> Iterable[tuple[list[int], Block | None]]:
        """Let the cells climb, all at once or in shares as the budget allows; answers are read from leaves."""

        def compute(share: list[int]) -> Block | None:
            chosen = [self.cells[index] for index in share]
            final, block = climb(self.engine, stage, trail.stepped, chosen, beside=room > 0, keep=keep)
            if stage.batch[0].is_leaf:
                self._answer(stage.batch, final, share)
            return block

        if trail.is_steered:
            return [(cells, compute(cells))]
        width = max(len(segment.tokens) for segment in stage.batch)
        cost = len(stage.batch) * width if room else padded_cost(stage.batch)
        return self.engine.budget.each_share(cells, cost, room or len(cells), compute)

    def _answer(self, batch: list[Segment], final: Tensor, cells: list[int]) -> None:
        """Read the options from outputs of the last block, shape (cell, batch, token, d_model)."""
        last = torch.tensor([len(segment.tokens) - 1 for segment in batch], device=final.device)
        answers = final[:, torch.arange(len(batch), device=final.device), last]
        chosen, other = option_logprobs(answers.flatten(0, 1), self.engine.anatomy.logits, self.options)
        rows, columns = torch.tensor([segment.rows[0] for segment in batch]), torch.tensor(cells)
        self.option_logprobs[rows, columns[:, None]] = chosen.view(len(cells), len(batch), -1)
        self.other_logmass[rows, columns[:, None]] = other.view(len(cells), len(batch))
        self.engine.work.head_rows += other.numel()
