"""How likely given texts are under steering, and how far steering moves the model's predictions on the way.

A scored token is predicted from the output of the last block at the token before it. There the log-probability of the
token is read in every cell, and the Kullback-Leibler divergence of the steered from the unsteered distribution over the
whole vocabulary. Cells climb from their layers as in a sweep, over the frozen keys and values of what lies before the
first token that is steered or read; logits are computed for few tokens at a time and never kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from personascope.errors import ModelError, SpanError
from personascope.models.answers import ROWS_PER_HEAD
from personascope.models.backend import Backend
from personascope.models.engine import HookEngine
from personascope.models.frozen_cache import Block
from personascope.models.intervention import Cell, change_all, steering_of
from personascope.models.requests import require_interventions, require_lengths, require_prompt_phase
from personascope.models.staircase import Stage, climb, lowest_layer
from personascope.models.tree import Segment, children_of, padded_cost, plan_tree
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt

CELLS_AT_ONCE = 8
"""Batches are made so small that this many cells climb together, which then share the baseline's logits."""


@dataclass(frozen=True)
class Likelihoods:
    """What every text gets under every cell, natural logarithms throughout.

    Args:
        logprob: log-probability summed over a text's scored tokens, shape (row, cell).
        n_tokens: how many tokens of each text are scored, shape (row,).
        kl: KL(unsteered || steered) of the distributions that predict them, mean over the text's scored tokens, in
            nats, shape (row, cell); 0 for the unsteered cell.
    """

    logprob: Float[np.ndarray, "row cell"]
    n_tokens: Int[np.ndarray, " row"]
    kl: Float[np.ndarray, "row cell"]

    def perplexity(self) -> Float[np.ndarray, " cell"]:
        """Perplexity of all texts together, every token counting alike, shape (cell,); infinite past float64."""
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(-self.logprob.sum(axis=0) / self.n_tokens.sum()))

    def mean_kl(self) -> Float[np.ndarray, " cell"]:
        """KL in nats per token over all texts together, shape (cell,)."""
        return np.asarray(self.n_tokens @ self.kl / self.n_tokens.sum())

    def frame(self) -> pl.DataFrame:
        """One row per text and cell: row, cell, n_tokens, logprob, perplexity, kl."""
        row, cell = np.indices(self.logprob.shape)
        n_tokens = self.n_tokens[row]
        with np.errstate(over="ignore"):
            perplexity = np.exp(-self.logprob / n_tokens)
        columns = {"n_tokens": n_tokens, "logprob": self.logprob, "perplexity": perplexity, "kl": self.kl}
        return pl.DataFrame({"row": row.ravel(), "cell": cell.ravel()} | {k: v.ravel() for k, v in columns.items()})


def likelihoods(engine: Backend, prompts: Sequence[Prompt], cells: Sequence[Cell], *, score: str) -> Likelihoods:
    """Score texts under every cell; () is the unsteered baseline, against which all divergences are taken.

    Steering acts on a prediction only at and before the token that makes it, so score what comes after the steered
    tokens. Models that cannot resume from a layer run whole, once per cell.

    Args:
        engine: a model loaded with `load_model`.
        prompts: the texts, each of two tokens or more.
        cells: conditions.
        score: position that names the tokens that are scored, e.g. "mean:reply" or "all"; a text's first token, which
            nothing predicts, is left out.

    Raises:
        ModelError: a backend of another library, no prompts, a prompt that is too long, an intervention that does not
            fit, or a model that is being steered already.
        SpanError: a position is not in a prompt, or names its first token only.
    """
    if not isinstance(engine, HookEngine):
        raise ModelError(
            f"Texts are scored by models loaded with load_model; this is a {type(engine).__name__}.",
            "Adapters of other libraries read the logits of a few labels at the last token only.",
            "Load the model with load_model(name), or make a HookEngine(model, tokenizer, name=...).",
        )
    acting = [tuple(intervention for intervention in cell if intervention.acts) for cell in cells]
    every = [intervention for cell in acting for intervention in cell]
    require_lengths(engine, prompts, engine.max_length)
    require_interventions(engine, every, prompts)
    require_prompt_phase(every)
    if engine.interventions or not prompts:
        raise ModelError(
            f"{engine.name} is being steered while texts are scored." if prompts else "There are no texts to score.",
            "The cells say all that is done; what a `with steer(...)` block does would be left out." if prompts else "",
            "Score outside of the block." if prompts else "Pass at least one prompt.",
        )
    scored = [_scored(prompt, row, score) for row, prompt in enumerate(prompts)]
    run = _Run(engine, prompts, acting, scored)
    with torch.inference_mode():
        run.visit(run.roots(), ())
    return run.found()


def _scored(prompt: Prompt, row: int, score: str) -> range:
    """Tokens whose prediction is read."""
    named = resolve(prompt, score)
    tokens = range(max(1, named.start), named.stop)
    if not tokens:
        raise SpanError(
            f"Position {score!r} of prompt {row} names only its first token.",
            "Nothing comes before that token, so nothing predicts it.",
            "Score a position that reaches further.",
        )
    return tokens


@dataclass(frozen=True)
class _Places:
    """Of each prediction in a batch: where it is made (slot, token), which token comes, its column in the results."""

    slot: Tensor
    token: Tensor
    target: Tensor
    column: Tensor


class _Run:
    """State of one scoring: a value per cell and scored token, all texts' tokens one after the other.

    Values are assigned and never added up on the way, so a batch that ran out of memory can be run again in parts.
    """

    def __init__(self, engine: HookEngine, prompts: Sequence[Prompt], cells: list[Cell], scored: list[range]) -> None:
        self.engine, self.prompts, self.cells, self.scored = engine, prompts, cells, scored
        self.last = engine.n_layers - 1
        self.unsteered = np.array([index for index, cell in enumerate(cells) if not cell], dtype=np.int64)
        self.steered = sorted((i for i, cell in enumerate(cells) if cell), key=lambda i: lowest_layer(cells[i]))
        self.layers = {intervention.layer for cell in cells for intervention in cell}
        self.lengths = np.array([len(tokens) for tokens in scored], dtype=np.int64)
        self.starts = np.cumsum(self.lengths) - self.lengths
        self.logprob = np.full((len(cells), int(self.lengths.sum())), np.nan)
        self.kl = np.full_like(self.logprob, np.nan)

    def roots(self) -> list[Segment]:
        """The prefix tree; everything from the first token that is steered or makes a scored prediction is a leaf."""
        wheres = {intervention.where for cell in self.cells for intervention in cell}
        whole = bool(self.engine.reuse_off or self.engine.resume_off)
        firsts = [
            0 if whole else min([tokens.start - 1, *(resolve(prompt, where).start for where in wheres)])
            for prompt, tokens in zip(self.prompts, self.scored, strict=True)
        ]
        return plan_tree([prompt.ids for prompt in self.prompts], firsts, cuts=firsts)

    def visit(self, segments: Sequence[Segment], blocks: tuple[Block, ...]) -> None:
        """Depth first; `blocks` are the keys and values of what lies before the segments."""
        each_batch = self.engine.budget.each_batch
        leaves = [segment for segment in segments if segment.is_leaf]
        copies = max(1, min(len(self.steered), CELLS_AT_ONCE))
        for _ in each_batch(leaves, lambda batch: self._leaves(batch, blocks), copies=copies):
            pass
        inner = [segment for segment in segments if not segment.is_leaf]
        for batch, block in each_batch(
            inner, lambda batch: self.engine.forward(batch, blocks, self.last, lambda _, hidden: hidden, keep=True)
        ):
            assert block is not None
            self.visit(children_of(batch), (*blocks, block))

    def _leaves(self, batch: list[Segment], blocks: tuple[Block, ...]) -> None:
        """Unsteered pass over a batch, then every cell, as many at once as the budget allows."""
        outputs = self._pass(batch, blocks, ())
        places = self._places(batch)
        if len(self.unsteered):
            self._read(places, outputs[self.last], (), ())

        def compute(share: list[int]) -> None:
            if self.engine.resume_off:
                finals = [self._pass(batch, blocks, self.cells[index])[self.last] for index in share]
            else:
                stage = Stage(batch, self.prompts, blocks, outputs, None)
                chosen = [self.cells[index] for index in share]
                finals = list(climb(self.engine, stage, [None] * len(blocks), chosen)[0])
            self._read(places, outputs[self.last], share, finals)

        for _ in self.engine.budget.each_share(self.steered, padded_cost(batch), len(self.steered), compute):
            pass

    def _pass(self, batch: list[Segment], blocks: tuple[Block, ...], cell: Cell) -> dict[int, Tensor]:
        """A pass under one cell: outputs of the swept layers and of the last, shape (batch, token, d_model) each."""
        steering = steering_of(batch, self.prompts, cell, self.engine.device)
        outputs: dict[int, Tensor] = {}

        def listen(layer: int, hidden: Tensor) -> Tensor:
            hidden = change_all(hidden, steering.get(layer, []))
            if layer in self.layers or layer == self.last:
                outputs[layer] = hidden
            return hidden

        self.engine.forward(batch, blocks, self.last, listen)
        return outputs

    def _places(self, batch: list[Segment]) -> _Places:
        entries = [
            (slot, token - 1 - segment.start, self.prompts[row].ids[token], int(self.starts[row]) + which)
            for slot, segment in enumerate(batch)
            for row in segment.rows
            for which, token in enumerate(self.scored[row])
        ]
        slot, token, target, column = torch.tensor(entries).T.contiguous()
        return _Places(slot, token, target, column)

    def _read(self, places: _Places, plain: Tensor, share: Sequence[int], finals: Sequence[Tensor]) -> None:
        """Fill in the cells of a share, or without one the unsteered cells, from outputs of the last block."""
        for part in torch.split(torch.arange(len(places.slot)), ROWS_PER_HEAD):
            at = (places.slot[part].to(plain.device), places.token[part].to(plain.device))
            columns = places.column[part].numpy()
            scores, normaliser = self._scores(plain[at])
            target = places.target[part].to(scores.device)[:, None]
            probabilities = (scores - normaliser).exp()
            if not share:
                own = (scores.gather(1, target) - normaliser)[:, 0]
                self.logprob[np.ix_(self.unsteered, columns)] = own.double().cpu().numpy()
                self.kl[np.ix_(self.unsteered, columns)] = 0.0
            for index, final in zip(share, finals, strict=True):
                moved, own_normaliser = self._scores(final[at])
                self.logprob[index, columns] = (moved.gather(1, target) - own_normaliser)[:, 0].double().cpu().numpy()
                shift = torch.linalg.vecdot(probabilities, scores - moved) + (own_normaliser - normaliser)[:, 0]
                # it cannot be negative, but rounding can make a divergence of nothing so
                self.kl[index, columns] = shift.clamp_min(0).double().cpu().numpy()

    def _scores(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (entry, vocabulary) of last-block outputs (entry, d_model), and their log-normaliser (entry, 1)."""
        self.engine.work.head_rows += len(hidden)
        scores = self.engine.anatomy.logits(hidden)
        return scores, scores.logsumexp(dim=-1, keepdim=True)

    def found(self) -> Likelihoods:
        """Sums and means over each text's tokens."""

        def over_texts(values: np.ndarray) -> np.ndarray:
            return np.add.reduceat(values, self.starts, axis=1).T

        return Likelihoods(over_texts(self.logprob), self.lengths, over_texts(self.kl) / self.lengths[:, None])
