"""What is alike in the prompts of a batch is read once before the model writes.

First tokens that all prompts share (a persona's system message) are read in a pass of their own, once for each way of
steering them. Prompts that stand in the batch several times (several samples, several strengths) are then read as one
up to the first block whose output is changed differently, where their rows part. Keys and values are copied to every
row, so that writing goes on as ever.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache

from personascope.models.decoding import Placed, steps_of
from personascope.models.engine import HookEngine
from personascope.models.intervention import Cell, cell_hash, change_all
from personascope.models.passes import listening
from personascope.models.tree import MIN_SHARED_LENGTH
from personascope.prompts.prompt import Prompt

MIN_SAVED_TOKENS = 1024
"""A pass of its own must save so many tokens: small passes are slow, as they wait for the weights."""


def shared_start(engine: HookEngine, prompts: Sequence[Prompt], n_new: int) -> int:
    """How many first tokens all prompts share and are worth a pass of their own; one of each prompt is left over.

    None where prefix reuse is off, or where `n_new` written tokens could outgrow an attention window: padding stands
    between the shared tokens and the rest, and windows count it.
    """
    windows = [window for window in engine.anatomy.attention_kinds.values() if window is not None]
    if engine.reuse_off or engine.resume_off or max(map(len, prompts)) + n_new > min(windows, default=math.inf):
        return 0
    most = min(map(len, prompts)) - 1
    others = prompts[1:]
    start = next((at for at in range(most) if any(p.ids[at] != prompts[0].ids[at] for p in others)), most)
    return start if start >= MIN_SHARED_LENGTH and start * len(others) >= MIN_SAVED_TOKENS else 0


def read_start(
    engine: HookEngine, prompts: Sequence[Prompt], cells: Sequence[Cell], numbers: Sequence[int], start: int
) -> DynamicCache:
    """Keys and values of the first `start` tokens, which all prompts share, steered by each row's own cell.

    Args:
        engine: who reads.
        prompts: of the batch.
        cells: one per row.
        numbers: which prompt of the call each row is.
        start: tokens to read.

    Returns:
        A cache with a row for each prompt.
    """
    rows = [Placed(*row, columns=range(start)) for row in zip(cells, numbers, prompts, strict=True)]
    done = [_what_is_done(row) for row in rows]
    ways = {way: number for number, way in enumerate(dict.fromkeys(done))}
    read = [rows[done.index(way)] for way in ways]
    layers = {one.layer for row in read for one in row.cell}
    steering = {layer: steps_of(layer, read, engine.device) for layer in layers}
    cache = DynamicCache(config=engine.model.config)
    ids = torch.tensor([prompts[0].ids[:start]], device=engine.device).expand(len(ways), -1)
    listened = nn.ModuleList([*engine.anatomy.layers, nn.Identity()])  # as in `steered`: the pass goes to its end

    def listener(layer: int, hidden: Tensor) -> Tensor:
        return change_all(hidden, steering.get(layer, []))

    with torch.inference_mode(), listening(listened, engine.n_layers, listener):
        engine.anatomy.body(input_ids=ids, past_key_values=cache, use_cache=True)
    _copy(cache, range(engine.n_layers), torch.tensor([ways[way] for way in done]))
    return cache


def _what_is_done(row: Placed) -> tuple[Any, ...]:
    """What tells the ways apart in which rows are steered: rows of which all of this is equal are read as one."""
    done = [(one, tuple(row.named_by(one))) for one in row.cell]
    return tuple((cell_hash((one,)), named, None if one.rows is None else row.number) for one, named in done if named)


def _copy(cache: Cache, layers: range, rows: Tensor) -> None:
    """Let the cache of some layers hold those rows."""
    kept: Any
    for kept in cache.layers[layers.start : layers.stop]:
        if kept.keys is not None:
            kept.keys, kept.values = (x.index_select(0, rows.to(x.device)) for x in (kept.keys, kept.values))


@contextlib.contextmanager
def reading_once(engine: HookEngine, prompts: Sequence[tuple[int, ...]], last: int) -> Iterator[None]:
    """While in here, the first pass of the model over a batch of prompts reads equal ones once up to block `last`.

    Left as it is where it would not help or not be sure: no prompt stands twice, the model's caches are not those of
    plain attention (as for prefix reuse), or a block is given something whose rows cannot be told.

    Args:
        engine: who reads; what changes its blocks must be hooked on after entering, so that it acts on all rows.
        prompts: tokens of each row.
        last: 0-based block up to which rows of one prompt are treated alike, whose output may be changed already.
    """
    distinct = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    width = max(map(len, prompts), default=0)
    if len(distinct) == len(prompts) or len(prompts) == width or engine.reuse_off or engine.resume_off:
        yield
        return
    reading = _Reading(
        which=torch.tensor([distinct[prompt] for prompt in prompts], device=engine.device),
        first=torch.tensor([prompts.index(prompt) for prompt in distinct], device=engine.device),
        last=last,
    )
    handles = []
    for layer in range(last + 1):
        block = engine.anatomy.layers[layer]
        handles.append(block.register_forward_pre_hook(reading.before(layer), with_kwargs=True))
    parting = engine.anatomy.layers[last]
    handles.append(parting.register_forward_hook(reading.after(), with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Reading:
    """The hooks of one first pass: `which` distinct prompt each row is, the `first` row of each, the `last` block."""

    def __init__(self, which: Tensor, first: Tensor, last: int) -> None:
        self.which, self.first, self.last, self.is_over = which, first, last, False

    def before(self, layer: int) -> Any:
        def narrow(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if layer == 0 and not self.is_over:
                given = list(_tensors((args, kwargs)))
                self.is_over = any(tensor.shape[0] not in (1, len(self.which)) for tensor in given)
                for cache in _caches(args, kwargs) if not self.is_over else ():
                    _copy(cache, range(self.last + 1), self.first)
            return None if self.is_over else self._picked((args, kwargs), len(self.which), self.first)

        return narrow

    def after(self) -> Any:
        def widen(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
            if self.is_over:
                return None
            self.is_over = True
            for cache in _caches(args, kwargs):
                _copy(cache, range(self.last + 1), self.which)
            return self._picked(output, len(self.first), self.which)

        return widen

    def _picked(self, value: Any, n: int, rows: Tensor) -> Any:
        """The same with those rows of every tensor that has `n` of them."""
        if isinstance(value, Tensor):
            return value.index_select(0, rows) if value.ndim > 1 and value.shape[0] == n else value
        if isinstance(value, dict):
            return {key: self._picked(part, n, rows) for key, part in value.items()}
        if isinstance(value, tuple | list):
            return type(value)(self._picked(part, n, rows) for part in value)
        return value


def _caches(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Cache]:
    return [value for value in (*args, *kwargs.values()) if isinstance(value, Cache)]


def _tensors(value: Any) -> Iterator[Tensor]:
    """Tensors of two and more axes, however nested; those of one axis count tokens, not rows."""
    if isinstance(value, Tensor) and value.ndim > 1:
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)
