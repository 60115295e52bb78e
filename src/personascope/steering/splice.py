"""Isolated steering: each span is steered in a run of its own, and only its keys and values meet the others'.

When one task is pushed up and the other down in one run, the tokens of the second task already read the steered first
one, so what is found there mixes both pushes. Here task A's tokens are computed with A steered, task B's with B steered
and A left alone; the keys and values of both are spliced into a cache that is otherwise of an unsteered run. What comes
after the last span then either reads the spliced cache all along ("suffix"), or only the answer token does ("answer").

    before | A | between | B | after | answer        * steered, in isolation; ' recomputed over what stands before it
    before | A*| between | B*| after'| answer'       recompute="suffix"
    before | A*| between | B*| after | answer'       recompute="answer"

Nothing runs twice: as in a sweep, the copies of a span climb from the layer at which they are steered.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from personascope.errors import ModelError, SpanError
from personascope.models.answers import option_logprobs
from personascope.models.backend import Backend
from personascope.models.engine import HookEngine
from personascope.models.frozen_cache import Block
from personascope.models.intervention import Cell
from personascope.models.requests import require_interventions, require_lengths, require_prompt_phase
from personascope.models.staircase import Stage, climb, lowest_layer
from personascope.models.sweep import SweepOutputs
from personascope.models.tree import Segment, padded_cost
from personascope.prompts.labels import Options
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt

Recompute = Literal["suffix", "answer"]
Chain = list[tuple[int, int]]
"""Token ranges that spell one prompt: every second one is a span, the last holds what is recomputed."""


def isolated_sweep(
    engine: Backend,
    prompts: Sequence[Prompt],
    cells: Sequence[Cell],
    options: Options,
    *,
    recompute: Recompute = "suffix",
    spans: Sequence[str] = ("task_a", "task_b"),
) -> SweepOutputs:
    """Answers of all prompts under all cells, in the order of `cells`, with every span steered in isolation.

    Args:
        engine: a loaded model.
        prompts: closed questions.
        cells: as for `models.sweep.sweep`, e.g. +c at "mean:task_a" and -c at "mean:task_b"; each intervention acts
            inside one of the spans. () is the baseline.
        options: the labels that are read.
        recompute: what reads the spliced cache: all that comes after the last span, or the answer token alone.
        spans: what is isolated, in any order; no two may overlap, and each ends before the answer token.

    Raises:
        ModelError: the model cannot go on from a cache of shared prefixes, is being steered already, or an intervention
            does not fit it or acts outside of the spans.
        SpanError: a prompt lacks a span or a position, or its spans overlap or reach the answer token.
    """
    cells = [tuple(intervention for intervention in cell if intervention.acts) for cell in cells]
    every = [intervention for cell in cells for intervention in cell]
    require_interventions(engine, every, prompts)
    require_prompt_phase(every)
    if not isinstance(engine, HookEngine) or engine.resume_off or engine.interventions:
        why = "it is being steered" if engine.interventions else getattr(engine, "resume_off", "it is not a HookEngine")
        raise ModelError(
            f"{engine.name} cannot be steered span by span: {why}.",
            "Keys and values of several runs are put into one cache, over which the rest is computed.",
            "Use a decoder with plain attention, loaded by `load_model`, outside of `with steer(...)`.",
        )
    require_lengths(engine, prompts, engine.max_length)
    chains = [_chain(prompt, spans, {i.where for i in every}, recompute) for prompt in prompts]
    run = _Splice(engine, prompts, cells, options, chains)
    whole = [Segment(prompt.ids, 0, (row,), None) for row, prompt in enumerate(prompts)]
    with torch.inference_mode():
        for _ in engine.budget.each_batch(whole, run.compute):
            pass
    return SweepOutputs(run.option_logprobs, run.other_logmass)


def _chain(prompt: Prompt, spans: Sequence[str], wheres: set[str], recompute: Recompute) -> Chain:
    """The ranges of one prompt; those between spans may be empty."""
    inside = sorted((tokens.start, tokens.stop) for tokens in (resolve(prompt, f"mean:{span}") for span in spans))
    ends = [0, *(end for span in inside for end in span), len(prompt)]
    if not spans or ends != sorted(ends) or ends[-2] == ends[-1]:
        raise SpanError(
            f"The spans {', '.join(spans)} at {inside} in a prompt of {len(prompt)} tokens cannot be isolated.",
            "Each is steered in a run of its own, and what comes after the last one is recomputed.",
            "Name spans that do not overlap and that end before the answer token.",
        )
    for where in sorted(wheres):
        tokens = resolve(prompt, where)
        if not any(start <= tokens.start and tokens.stop <= stop for start, stop in inside):
            raise ModelError(
                f"Steering at {where!r} (tokens {tokens.start} to {tokens.stop - 1}) is outside of the isolated spans "
                f"{', '.join(spans)}.",
                "Only what happens inside of a span can be spliced.",
                "Steer at mean:SPAN, first:SPAN or last:SPAN, and name that span.",
            )
    if recompute == "answer":
        ends[-1:] = [len(prompt) - 1, len(prompt)]
    return list(pairwise(ends))


class _Splice:
    """State of one call: the output arrays, and how a batch of prompts is worked off, range by range.

    Args:
        engine: whose blocks run.
        prompts: all of them; `chains` their ranges.
        cells: what is done, without interventions that do nothing.
        options: the labels that are read.
        chains: see `prompts`.
    """

    def __init__(
        self,
        engine: HookEngine,
        prompts: Sequence[Prompt],
        cells: Sequence[Cell],
        options: Options,
        chains: Sequence[Chain],
    ) -> None:
        self.engine, self.prompts, self.cells, self.options, self.chains = engine, prompts, cells, options, chains
        self.steered = sorted((n for n, cell in enumerate(cells) if cell), key=lambda n: lowest_layer(cells[n]))
        self.layers = {lowest_layer(cells[n]) for n in self.steered}
        self.wheres = sorted({intervention.where for cell in cells for intervention in cell})
        self.has_rows = any(intervention.rows is not None for cell in cells for intervention in cell)
        self.option_logprobs = torch.full((len(prompts), len(cells), len(options.labels)), torch.nan)
        self.other_logmass = torch.full((len(prompts), len(cells)), torch.nan)

    def compute(self, batch: list[Segment]) -> None:
        """The unsteered pass over a batch of whole prompts, range by range, and all cells over what it leaves."""
        stages: list[tuple[Stage, bool]] = []
        depths = self._segments([segment.rows[0] for segment in batch])
        for depth, (segments, is_span) in enumerate(depths):
            blocks = tuple(stage.block for stage, _ in stages if stage.block is not None)
            stages.append((self._unsteered(segments, blocks, keep=depth < len(depths) - 1), is_span))
        last, _ = stages[-1]
        unsteered = [n for n, cell in enumerate(self.cells) if not cell]
        if unsteered:
            final = last.outputs[self.engine.n_layers - 1]
            self._answer(last.batch, final[None].expand(len(unsteered), *final.shape), unsteered)
        shares = self.engine.budget.each_share(
            self.steered, padded_cost(batch), len(self.steered), lambda share: self._splice(stages, share)
        )
        for _ in shares:
            pass

    def _segments(self, rows: list[int]) -> list[tuple[list[Segment], bool]]:
        """For each range the segments of these prompts, and whether it is a span (of the last one nobody asks).

        Prompts share segments while they agree. A range that is empty in all prompts is left out; where it is empty in
        some, these have padding there.
        """
        depths: list[tuple[list[Segment], bool]] = []
        parents: dict[int, Segment | None] = dict.fromkeys(rows)
        last = len(self.chains[rows[0]]) - 1
        for number in range(last + 1):
            found: dict[tuple[object, ...], Segment] = {}
            for row in rows:
                start, stop = self.chains[row][number]
                tokens, parent = self.prompts[row].ids[start:stop], parents[row]
                shares = number < last and not self.has_rows  # each prompt ends in a segment of its own
                key = (id(parent), start, tokens, self._named(row, start, stop), -1 if shares else row)
                parents[row] = found.setdefault(key, Segment(tokens, start, (row,), parent))
            if any(segment.tokens for segment in found.values()):
                depths.append((list(found.values()), number % 2 == 1))
            else:
                parents = {row: None if parent is None else parent.parent for row, parent in parents.items()}
        return depths

    def _named(self, row: int, start: int, stop: int) -> tuple[tuple[str, range], ...]:
        """What is steered in one range of a prompt."""
        named = ((where, resolve(self.prompts[row], where)) for where in self.wheres)
        return tuple((where, tokens) for where, tokens in named if start <= tokens.start < stop)

    def _unsteered(self, segments: list[Segment], blocks: tuple[Block, ...], *, keep: bool) -> Stage:
        """One unsteered pass that keeps the outputs from which cells will climb."""
        outputs: dict[int, Tensor] = {}
        last = self.engine.n_layers - 1

        def listen(layer: int, hidden: Tensor) -> Tensor:
            if layer in self.layers or layer == last:
                outputs[layer] = hidden
            return hidden

        block = self.engine.forward(segments, blocks, last, listen, keep=keep)
        return Stage(segments, self.prompts, blocks, outputs, block)

    def _splice(self, stages: list[tuple[Stage, bool]], share: list[int]) -> None:
        """Steer each span over an unsteered past, and let the last range climb over the keys and values of all."""
        cells, stepped = [self.cells[n] for n in share], []
        for stage, is_span in stages[:-1]:
            alone = [None] * len(stage.blocks)
            stepped.append(climb(self.engine, stage, alone, cells, keep=True)[1] if is_span else None)
        last, _ = stages[-1]
        self._answer(last.batch, climb(self.engine, last, stepped, cells)[0], share)

    def _answer(self, batch: list[Segment], final: Tensor, cells: list[int]) -> None:
        """Read the options from outputs of the last block, shape (cell, batch, token, d_model)."""
        last = torch.tensor([len(segment.tokens) - 1 for segment in batch], device=final.device)
        answers = final[:, torch.arange(len(batch), device=final.device), last]
        chosen, other = option_logprobs(answers.flatten(0, 1), self.engine.anatomy.logits, self.options)
        rows, columns = torch.tensor([segment.rows[0] for segment in batch]), torch.tensor(cells)
        self.option_logprobs[rows, columns[:, None]] = chosen.view(len(cells), len(batch), -1)
        self.other_logmass[rows, columns[:, None]] = other.view(len(cells), len(batch))
        self.engine.work.head_rows += other.numel()
