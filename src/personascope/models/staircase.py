"""Many steered copies of a batch walk up the stack of blocks together, each from the layer at which it is steered.

Block l + 1 is called once for all copies that are steered after block l or below, so weights are read once for a whole
sweep. Copies stand below each other as rows, or, where few tokens follow a long past, beside each other as tokens that
do not see one another, so that the past is not repeated for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from personascope.models.engine import HookEngine
from personascope.models.frozen_cache import Block, FrozenLayer, Past, frozen_cache, slots_of
from personascope.models.intervention import Cell, change_all, steering_of
from personascope.models.passes import hidden_of, inputs_of
from personascope.models.tree import Segment
from personascope.prompts.prompt import Prompt

BESIDE_TOKENS = 64
"""Most tokens of one row's copies beside each other; their attention to one another is computed and masked."""
MOST_TOKENS_BESIDE = 8
"""Longer segments stand below each other: repeating their past costs little against computing them."""


@dataclass(frozen=True)
class Stage:
    """A batch after its unsteered pass, from which copies of it climb.

    Args:
        batch: segments, all leaves or all inner.
        prompts: all prompts of the sweep.
        blocks: unsteered keys and values before the batch; `block` those of the batch itself, if kept.
        outputs: unsteered output of the swept layers, shape (batch, token, d_model) each.
    """

    batch: list[Segment]
    prompts: Sequence[Prompt]
    blocks: tuple[Block, ...]
    outputs: dict[int, Tensor]
    block: Block | None


def lowest_layer(cell: Cell) -> int:
    """The layer at which a cell starts to differ from the baseline."""
    return min(intervention.layer for intervention in cell)


def climb(
    engine: HookEngine,
    stage: Stage,
    stepped: Sequence[Block | None],
    cells: Sequence[Cell],
    *,
    beside: bool = False,
    keep: bool = False,
) -> tuple[Tensor, Block | None]:
    """Run every cell's copy of the batch from its lowest layer up.

    Args:
        engine: whose blocks run.
        stage: the batch, and what its unsteered pass left.
        stepped: for each segment before the batch its keys and values per cell, or None where no cell changes them.
        cells: none empty, by ascending lowest layer.
        beside: put the copies beside each other as tokens; only where nothing before the batch is steered.
        keep: return the copies' own keys and values.

    Returns:
        Outputs of the last block, shape (cell, batch, token, d_model), and the block of keys and values per cell: its
        rows are cells times segments, at each layer those of the cells that have joined below it.
    """
    last = engine.n_layers - 1
    plain = inputs_of(stage.batch, None)
    axis, step = (1, plain.ids.shape[1]) if beside else (0, plain.ids.shape[0])
    steering = [steering_of(stage.batch, stage.prompts, cell, engine.device) for cell in cells]
    joins = sorted({lowest_layer(cell) for cell in cells})
    new = [(torch.empty(0), torch.empty(0))] * (joins[0] + 1)  # keys and values, none below the lowest layer
    running: list[Tensor] = []  # one output per copy that has joined, of the block just run
    for layer, stop in zip(joins, [*joins[1:], last], strict=True):
        joining = [places for cell, places in zip(cells, steering, strict=True) if lowest_layer(cell) == layer]
        running += [change_all(stage.outputs[layer], places.get(layer, [])) for places in joining]
        if layer == last:
            break
        past = _past(stage, stepped, len(running), beside=beside, device=engine.device)
        copies = plain.beside(past, len(running)) if beside else plain.stacked(past, len(running))
        cache = frozen_cache(past, engine.n_layers, keep=keep) if past or keep else None
        calls = engine.block_calls(copies, cache, range(layer + 1, stop + 1))
        for above in range(layer + 1, stop + 1):
            others, keywords = calls[above]
            hidden = hidden_of(engine.anatomy.layers[above](torch.cat(running, dim=axis), *others, **keywords))
            engine.work.block_calls += 1
            engine.work.block_tokens += copies.ids.numel()
            outputs = torch.split(hidden, step, dim=axis)
            running = [change_all(copy, places.get(above, [])) for copy, places in zip(outputs, steering, strict=False)]
        if keep and cache:
            new += [_new_states(own) for own in cache.layers[layer + 1 : stop + 1]]
    return torch.stack(running), _block(stage, new, len(cells)) if keep else None


def _past(
    stage: Stage, stepped: Sequence[Block | None], times: int, *, beside: bool, device: torch.device
) -> Past | None:
    """What `times` copies of the batch follow."""
    if not stage.blocks:
        return None
    blocks, rows = [], []
    slots = slots_of(stage.batch, len(stage.blocks), device)
    for plain, per_cell, slot in zip(stage.blocks, stepped, slots, strict=True):
        n_segments = len(plain.positions) if per_cell is not None else 0
        blocks.append(plain if per_cell is None else per_cell)
        rows.append(slot if beside else torch.cat([slot + copy * n_segments for copy in range(times)]))
    return Past(tuple(blocks), tuple(rows))


def _new_states(layer: object) -> tuple[Tensor, Tensor]:
    assert isinstance(layer, FrozenLayer)
    assert layer.new is not None, "a block ran without calling the cache"
    return layer.new


def _block(stage: Stage, new: list[tuple[Tensor, Tensor]], n_cells: int) -> Block:
    assert stage.block is not None
    positions = stage.block.positions.repeat(n_cells, 1)
    return Block(tuple(keys for keys, _ in new), tuple(values for _, values in new), positions)
