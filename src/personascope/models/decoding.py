"""What the library's decoding loop is given: how to draw, when to stop, and what to add to the residual stream."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, LogitsProcessor, StoppingCriteria

from personascope.models.engine import HookEngine
from personascope.models.intervention import Cell, Change, Intervention, Steering, change_all, change_of
from personascope.models.passes import listening
from personascope.models.requests import require_all_ran
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt


def decode(tokenizer: Any, tokens: Sequence[int]) -> str:
    """The text of tokens, as written."""
    # special tokens stay visible: a model that writes one has left the answer it was asked for
    return str(tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def end_tokens(engine: HookEngine, prompts: Sequence[Prompt]) -> tuple[int, ...]:
    """Tokens that end an answer: end of sequence by model and tokenizer, and what ends the user's turns."""
    own = getattr(engine.model.generation_config, "eos_token_id", None)
    named = [*(own if isinstance(own, list) else [own]), getattr(engine.tokenizer, "eos_token_id", None)]
    turns = [prompt.ids[prompt.spans["eot"][0]] for prompt in prompts if "eot" in prompt.spans]
    return tuple(dict.fromkeys(token for token in [*named, *turns] if token is not None))


def padding_token(engine: HookEngine, ends: Sequence[int]) -> int:
    """Any token that the model knows: padding is masked before an answer, and cut off behind it."""
    known = engine.model.get_input_embeddings().num_embeddings
    return next((token for token in ends if token < known), 0)


@contextlib.contextmanager
def set_aside(model: Any, config: GenerationConfig) -> Iterator[None]:
    """The library fills whatever a request leaves open from the model's own generation settings: take them away."""
    own = model.generation_config
    model.generation_config = config
    try:
        yield
    finally:
        model.generation_config = own


def ignored_settings(own: Any) -> dict[str, Any]:
    """The model's own generation settings that differ from the library's and were not applied."""
    used = {"eos_token_id", "bos_token_id", "pad_token_id", "transformers_version", "use_cache"}
    differing = own.to_diff_dict() if own is not None else {}
    return {
        name: value
        for name, value in differing.items()
        if name not in used and not name.startswith("_") and value is not None and value is not False
    }


class Draws(LogitsProcessor):
    """Adds noise to each row's logits, so that the likeliest token of the sum is a draw; none at temperature 0.

    The Gumbel-max trick (Maddison, Tarlow & Minka 2014): the argmax of logits / temperature plus independent Gumbel
    noise is a draw from the softmax at that temperature. Each row has a generator of its own.

    Args:
        keys: a seed for each row.
        temperature: divides the logits.
        device: where the logits are.
    """

    def __init__(self, keys: Sequence[int], temperature: float | int, device: torch.device) -> None:
        self.temperature = temperature
        self.generators = [torch.Generator(device).manual_seed(key) for key in keys] if temperature else []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002  (the library's signature)
        """Scores of shape (batch, vocabulary) whose argmax is the draw."""
        if not self.generators:
            return scores
        # minus the log of a standard exponential variable is a Gumbel variable
        waits = torch.empty_like(scores)
        for row, generator in zip(waits, self.generators, strict=True):
            row.exponential_(generator=generator)
        return scores / self.temperature - waits.log_()


def draw_keys(prompts: Sequence[Prompt], cells: Sequence[str], n: int, seed: int) -> dict[tuple[int, int], int]:
    """A seed for every answer, by prompt and not by row or cell: cells are compared on common random numbers.

    A prompt that stands twice under one cell goes on counting its samples.
    """
    keys, seen = {}, dict.fromkeys(((prompt.ids, cell) for prompt, cell in zip(prompts, cells, strict=True)), 0)
    for row, (prompt, cell) in enumerate(zip(prompts, cells, strict=True)):
        for sample in range(n):
            digest = hashlib.sha256(f"{seed}/{seen[prompt.ids, cell]}/{prompt.ids}".encode()).digest()
            keys[row, sample] = int.from_bytes(digest[:8], "big") >> 1
            seen[prompt.ids, cell] += 1
    return keys


class Stops(StoppingCriteria):
    """Ends the rows whose answer holds a stop string."""

    def __init__(self, tokenizer: Any, width: int, stops: Sequence[str]) -> None:
        self.tokenizer, self.width, self.stops = tokenizer, width, stops

    def __call__(self, input_ids: Tensor, scores: Tensor | None, **_: Any) -> Tensor:  # noqa: ARG002  (the library's)
        """Which rows end here, shape (batch,)."""
        texts = [decode(self.tokenizer, tokens) for tokens in input_ids[:, self.width :].tolist()]
        return torch.tensor([any(stop in text for stop in self.stops) for text in texts], device=input_ids.device)


@contextlib.contextmanager
def steered(
    engine: HookEngine,
    prompts: Sequence[Prompt],
    cells: Sequence[Cell],
    numbers: Sequence[int],
    width: int,
    start: int = 0,
) -> Iterator[None]:
    """Steer each row by its own cell while a left-padded batch is read, and where steering goes on, while it writes.

    Args:
        engine: who writes.
        prompts: of the batch.
        cells: one per row.
        numbers: which prompt of the call each row is.
        width: of the batch, in tokens.
        start: so many first tokens of every prompt have been read before.

    Raises:
        ModelError: a block's hook did not fire.
    """
    layers_of = {intervention.layer for cell in cells for intervention in cell}
    if not layers_of:
        yield
        return
    whose = list(zip(cells, numbers, prompts, strict=True))
    read_rows = [Placed(*row, columns=range(width - len(row[-1]), width - start), start=start) for row in whose]
    written_rows = [Placed(*row, columns=range(1), start=len(row[-1])) for row in whose]
    reading = {layer: steps_of(layer, read_rows, engine.device) for layer in layers_of}
    writing = {layer: steps_of(layer, written_rows, engine.device) for layer in layers_of}
    read: set[int] = set()  # layers that have seen the prompts; each later call is one token of every answer

    def listener(layer: int, hidden: Tensor) -> Tensor:
        if layer not in layers_of:
            return hidden
        steering = (writing if layer in read else reading)[layer]
        read.add(layer)
        return change_all(hidden, steering)

    # listening ends the pass at its last layer: here that is one more, which is never called
    layers = nn.ModuleList([*engine.anatomy.layers, nn.Identity()])
    with listening(layers, engine.n_layers, listener):
        yield
    require_all_ran(engine, len(read), len(layers_of))


@dataclass(frozen=True)
class Placed:
    """What one pass holds of one row.

    Args:
        cell: what is done to the row.
        number: which prompt of the call it is.
        prompt: that prompt; tokens behind its end are generated ones.
        columns: of the batch, where tokens of the row stand, in order; elsewhere is padding.
        start: which token of the row the first of them is.
    """

    cell: Cell
    number: int
    prompt: Prompt
    columns: Sequence[int]
    start: int = 0

    def named_by(self, one: Intervention) -> list[tuple[int, int]]:
        """(column, which of the named tokens) of every token here on which an intervention acts."""
        stop, end = self.start + len(self.columns), len(self.prompt)
        read = resolve(self.prompt, one.where) if one.reads_prompt else range(0)
        written = range(max(self.start, end), stop) if one.goes_on else range(0)
        named = [(token, token - read.start) for token in read if self.start <= token < stop]
        return [(self.columns[token - self.start], which) for token, which in [*named, *((t, 0) for t in written)]]


def steps_of(layer: int, rows: Sequence[Placed], device: torch.device) -> Steering:
    """What is done at one layer to a batch in which every row has its own cell.

    The first intervention of every row is one step, the second another, and so on; rows that only add are one
    operation however many strengths they have, as a loop over rows would be felt at every token.

    Args:
        layer: whose output is changed.
        rows: the batch.
        device: where it is.
    """
    own = [[(one, row.named_by(one)) for one in row.cell if one.layer == layer] for row in rows]
    steering: Steering = []
    for step in range(max(map(len, own), default=0)):
        kinds: dict[object, list[tuple[int, int, int, Intervention]]] = {}
        for slot, steps in enumerate(own):
            if step < len(steps) and steps[step][1]:
                one, named = steps[step]
                entries = [(slot, column, which, one) for column, which in named]
                kinds.setdefault("add" if _only_adds(one) else id(one), []).extend(entries)
        for entries in kinds.values():
            slots, places = (torch.tensor(axis, device=device) for axis in list(zip(*entries, strict=True))[:2])
            given = [(rows[slot].number, which) for slot, _, which, _ in entries]
            steering.append((slots, places, _change([one for *_, one in entries], given).to(device)))
    return steering


def _only_adds(one: Intervention) -> bool:
    return one.erase is None and one.rows is None and not one.keep_norm


def _change(ones: Sequence[Intervention], given: Sequence[tuple[int, int]]) -> Change:
    """One change for all entries, which add each its own offset, or are all of one intervention."""
    if not _only_adds(ones[0]) or len(set(map(id, ones))) == 1:
        return change_of(ones[0], given)
    offsets = {id(one): torch.as_tensor(one.offset) for one in ones}
    return Change(torch.stack([offsets[id(one)] for one in ones]))
