"""Sampled text: the Hugging Face library decodes, this file batches, seeds, steers, stops and says what was used.

Every answer has random numbers of its own, seeded by its prompt, so it does not depend on which other answers share its
batch.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Int
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from personascope.errors import ModelError
from personascope.models.backend import Backend
from personascope.models.batching import Budget
from personascope.models.decoding import (
    Draws,
    Stops,
    decode,
    draw_keys,
    end_tokens,
    ignored_settings,
    padding_token,
    set_aside,
    steered,
)
from personascope.models.engine import HookEngine
from personascope.models.intervention import Cell, cell_hash
from personascope.models.requests import require_interventions, require_lengths
from personascope.models.shared_reading import read_start, reading_once, shared_start
from personascope.models.tree import Segment
from personascope.prompts.prompt import Prompt

TOKENS_PER_BATCH = 8
"""By default a batch holds this many times the engine's token budget: one token a step leaves a small batch idle."""


@dataclass(frozen=True)
class Answer:
    """One answer: whose row and which of its samples (both from 0), its text, how it ended, how long it is."""

    row: int
    sample: int
    text: str
    finish: str
    n_tokens: int


@dataclass(frozen=True)
class Generations:
    """What a model wrote, in the order of the prompts.

    Args:
        texts: (row, sample), without the end of the turn and without the stop string.
        finish: "stop" (end of turn or a stop string) or "length" (cut off), (row, sample).
        n_tokens: tokens written, without the end of the turn, shape (row, sample).
        settings: everything that decided what was written, and in `ignored` the model's own generation settings that
            were not applied.
    """

    texts: tuple[tuple[str, ...], ...]
    finish: tuple[tuple[str, ...], ...]
    n_tokens: Int[np.ndarray, "row sample"]
    settings: dict[str, Any]

    @classmethod
    def of(cls, table: Sequence[Sequence[Answer]], settings: dict[str, Any]) -> Generations:
        """Of the answers of each prompt, in order."""
        n_tokens = np.array([[answer.n_tokens for answer in row] for row in table], dtype=np.int64)
        return cls(
            tuple(tuple(answer.text for answer in row) for row in table),
            tuple(tuple(answer.finish for answer in row) for row in table),
            n_tokens.reshape(len(table), settings["n"]),
            settings,
        )

    def frame(self) -> pl.DataFrame:
        """One row per answer: row, sample, text, finish, n_tokens."""
        rows, samples = np.indices(self.n_tokens.shape)
        return pl.DataFrame(
            {
                "row": rows.ravel(),
                "sample": samples.ravel(),
                "text": [text for row in self.texts for text in row],
                "finish": [finish for row in self.finish for finish in row],
                "n_tokens": self.n_tokens.ravel(),
            },
            schema={"row": pl.Int64, "sample": pl.Int64, "text": pl.String, "finish": pl.String, "n_tokens": pl.Int64},
        )


def generate(
    engine: Backend,
    prompts: Sequence[Prompt],
    *,
    max_new_tokens: int,
    temperature: float | int,
    n: int = 1,
    seed: int,
    stop: Sequence[str] | None = None,
    cells: Sequence[Cell] | None = None,
    batch_tokens: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    keep: Callable[[Sequence[Answer]], None] | None = None,
) -> Generations:
    """Let the model write `n` answers to every prompt.

    Greedy at temperature 0; else drawn from the whole vocabulary: the model's own defaults (top-k, top-p, repetition
    penalty ...) are set aside and listed in `settings`. The same seed, prompt and sample number give the same answer in
    any batch, as far as rounding lets them. An answer ends at an end-of-sequence token of the model or its tokenizer,
    at the token that ends the user's turn ("eot"), at a stop string, or after `max_new_tokens`.

    What steers the engine steers this too, at the named tokens of the prompt, at generated ones, or both (see
    `Intervention.phase`). With `cells` every prompt is steered by its own: rows of one batch may have different
    strengths, layers and positions, and the same prompt under several cells draws the same random numbers.

    Args:
        engine: a loaded model (`HookEngine`).
        prompts: rendered prompts; an answer goes on where its prompt ends.
        max_new_tokens: most tokens of an answer.
        temperature: divides the logits; 0 takes the likeliest token.
        n: answers to each prompt; 1 at temperature 0, where all would be the same.
        seed: of the draws.
        stop: strings that end an answer; they are cut off.
        cells: what is done to each prompt besides, one for each; () is nothing.
        batch_tokens: padded tokens of a batch, answers included; by default 8 times the engine's budget.
        progress: called with (answers written, answers in all) after every batch.
        keep: called with the answers of every batch as soon as they are written, so that they can be put on disk.

    Raises:
        ModelError: a backend of another library, settings out of range, cells that are not as many as prompts or do
            not fit the model, or a prompt that leaves no room for its answer.
        SpanError: a steered position is not in a prompt.
    """
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    engine = _require_settings(engine, max_new_tokens, temperature, n, stops, batch_tokens)
    require_lengths(engine, prompts, engine.max_length - max_new_tokens)
    steering = _steering(engine, cells, prompts)
    ends = end_tokens(engine, prompts)
    own = engine.model.generation_config
    config = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=max_new_tokens,
        do_sample=False,  # the draw is made in Draws
        eos_token_id=list(ends) or None,
        pad_token_id=padding_token(engine, ends),
        bos_token_id=getattr(own, "bos_token_id", None),
        use_cache=True,
    )
    answers: dict[tuple[int, int], Answer] = {}
    jobs = [
        Segment((*prompt.ids, *[0] * max_new_tokens), 0, (row,), None, slot=sample)  # room for the answer
        for row, prompt in enumerate(prompts)
        for sample in range(n)
    ]
    keys = draw_keys(prompts, [cell_hash(cell) for cell in steering], n, seed)

    def write(batch: list[Segment]) -> list[list[int]]:
        rows = [job.rows[0] for job in batch]
        draws = Draws([keys[job.rows[0], job.slot] for job in batch], temperature, engine.device)
        asked, cells = [prompts[row] for row in rows], [steering[row] for row in rows]
        return _write(engine, asked, cells, rows, config, draws, stops)

    budget = Budget(engine.name, batch_tokens or TOKENS_PER_BATCH * engine.token_budget)
    with set_aside(engine.model, config):
        for batch, written in budget.each_batch(jobs, write):
            done = [
                Answer(job.rows[0], job.slot, *_finished(engine.tokenizer, tokens, ends, stops))
                for job, tokens in zip(batch, written, strict=True)
            ]
            answers |= {(answer.row, answer.sample): answer for answer in done}
            if keep:
                keep(done)
            if progress:
                progress(len(answers), len(jobs))
    return Generations.of(
        [[answers[row, sample] for sample in range(n)] for row in range(len(prompts))],
        {
            "decoding": "greedy" if temperature == 0 else "drawn from the whole vocabulary (Gumbel-max)",
            "temperature": temperature,
            "seed": seed,
            "n": n,
            "max_new_tokens": max_new_tokens,
            "end_tokens": list(ends),
            "stop": list(stops),
            "steered": [[[i.layer, i.where, i.goes_on] for i in cell] for cell in dict.fromkeys(steering) if cell],
            "ignored": ignored_settings(own),
        },
    )


def _require_settings(
    engine: Backend,
    max_new_tokens: int,
    temperature: float | int,
    n: int,
    stops: Sequence[str],
    batch_tokens: int | None,
) -> HookEngine:
    if not isinstance(engine, HookEngine):
        raise ModelError(
            f"Text is written by models loaded with load_model; this is a {type(engine).__name__}.",
            "Adapters of other libraries read prompts but do not decode.",
            "Load the model with load_model(name), or make a HookEngine(model, tokenizer, name=...).",
        )
    wrong = {
        f"max_new_tokens is {max_new_tokens}; it must be at least 1": max_new_tokens < 1,
        f"temperature is {temperature}; it must be 0 or more, and finite": not 0 <= temperature < math.inf,
        f"n is {n}; it must be at least 1": n < 1,
        f"{n} answers at temperature 0 would be the same answer {n} times": n > 1 and temperature == 0,
        "a stop string is empty": "" in stops,
        f"batch_tokens is {batch_tokens}; it must be at least 1": batch_tokens is not None and batch_tokens < 1,
    }
    for symptom, holds in wrong.items():
        if holds:
            raise ModelError(f"Cannot generate: {symptom}.", "", "Correct the setting.")
    return engine


def _write(
    engine: HookEngine,
    prompts: Sequence[Prompt],
    cells: Sequence[Cell],
    numbers: Sequence[int],
    config: GenerationConfig,
    draws: Draws,
    stops: Sequence[str],
) -> list[list[int]]:
    """Tokens written to one batch, whatever follows their end included; padding stands behind a shared beginning."""
    width, start = max(map(len, prompts)), shared_start(engine, prompts, config.max_new_tokens)
    ids = torch.full((len(prompts), width), config.pad_token_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for slot, prompt in enumerate(prompts):
        for first, tokens in ((0, prompt.ids[:start]), (width - len(prompt) + start, prompt.ids[start:])):
            ids[slot, first : first + len(tokens)] = torch.tensor(tokens, dtype=torch.long)
            mask[slot, first : first + len(tokens)] = 1
    past = {"past_key_values": read_start(engine, prompts, cells, numbers, start)} if start else {}
    alike = min((one.layer for cell in cells for one in cell), default=engine.n_layers - 1)
    with (
        reading_once(engine, [prompt.ids for prompt in prompts], alike),
        steered(engine, prompts, cells, numbers, width, start),
    ):
        output = engine.model.generate(
            input_ids=ids.to(engine.device),
            attention_mask=mask.to(engine.device),
            generation_config=config,
            logits_processor=LogitsProcessorList([draws]),
            stopping_criteria=StoppingCriteriaList([Stops(engine.tokenizer, width, stops)] if stops else []),
            **past,
        )
    written: list[list[int]] = output[:, width:].tolist()
    return written


def _steering(engine: HookEngine, cells: Sequence[Cell] | None, prompts: Sequence[Prompt]) -> list[Cell]:
    """What acts on each prompt: what steers the engine, and then its own cell."""
    if cells is not None and len(cells) != len(prompts):
        raise ModelError(
            f"{len(cells)} cells were given for {len(prompts)} prompts.",
            "Every prompt is steered by its own cell.",
            "Repeat a prompt for each cell that it is to be written under.",
        )
    steering = [
        tuple(one for one in (*engine.interventions, *cell) if one.acts) for cell in cells or [()] * len(prompts)
    ]
    for one in {id(one): one for cell in steering for one in cell}.values():
        require_interventions(engine, [one], prompts)
    return steering


def _finished(tokenizer: Any, tokens: list[int], ends: Sequence[int], stops: Sequence[str]) -> tuple[str, str, int]:
    """(text, finish reason, number of tokens) of what was written, cut at its end."""
    end = next((index for index, token in enumerate(tokens) if token in ends), None)
    tokens = tokens[:end]
    text = decode(tokenizer, tokens)
    places = [text.find(stop) for stop in stops if stop in text]
    if not places:
        return text, "length" if end is None else "stop", len(tokens)

    def has_stopped(count: int) -> bool:
        begun = decode(tokenizer, tokens[:count])
        return any(stop in begun for stop in stops)

    return text[: min(places)], "stop", bisect_left(range(len(tokens)), True, key=has_stopped)
