"""Patching: residual rows of a donor prompt in place of a prompt's own, layer by layer; where is the answer carried?

Interchange interventions (Vig et al. 2020, arXiv 2004.12265; Geiger et al. 2021, arXiv 2106.02997) at named tokens. The
donor is usually the same pair of tasks in the other order, and what is copied its end-of-turn token ("eot"), all from
there on ("from:eot"), or a task of equal length ("mean:task_a"). Two controls stand beside it: a prompt's own rows,
which must change nothing, and those of an unrelated donor, which show what any foreign rows do there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int

from personascope.errors import DataError
from personascope.models.backend import Backend
from personascope.models.intervention import Cell
from personascope.models.requests import require_distinct_layers, require_layers
from personascope.models.sweep import sweep
from personascope.prompts.labels import Options
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt
from personascope.steering.interventions import replace

DONORS = ("donor", "own", "unrelated")
KEPT_BYTES = 1 << 30
"""Prompts are worked off in shares whose kept rows take no more."""


@dataclass(frozen=True, eq=False)
class PatchAnswers:
    """Answers of every prompt with the residual rows of others in its named tokens.

    Args:
        where: the position whose tokens were replaced.
        labels: of the options.
        donors: for each cell whose rows were put in: "donor", "own" or "unrelated".
        layers: for each cell the layers at which, one or all jointly.
        option_logprobs: shape (row, cell, option), with `other_logmass` (row, cell) outside the options.
        other_logmass: see `option_logprobs`.
        baseline: answers of the prompts left alone, shape (row, option).
        donor_logprobs: answers of their donors left alone, shape (row, option).
        unrelated: index of the donor that each row got as an unrelated one; -1 where that was not asked for.
    """

    where: str
    labels: tuple[str, ...]
    donors: tuple[str, ...]
    layers: tuple[tuple[int, ...], ...]
    option_logprobs: Float[np.ndarray, "row cell option"]
    other_logmass: Float[np.ndarray, "row cell"]
    baseline: Float[np.ndarray, "row option"]
    donor_logprobs: Float[np.ndarray, "row option"]
    unrelated: Int[np.ndarray, " row"]

    @property
    def cells(self) -> tuple[str, ...]:
        """Names, e.g. "donor at layer 12", "own at layers 0 to 29 jointly"."""
        return tuple(f"{donor} at {_named(layers)}" for donor, layers in zip(self.donors, self.layers, strict=True))

    @property
    def own_change(self) -> float:
        """Largest change of a log-probability by a prompt's own rows: rounding, or something is wrong."""
        own = [cell for cell, donor in enumerate(self.donors) if donor == "own"]
        return float(np.abs(self.option_logprobs[:, own] - self.baseline[:, None]).max(initial=0.0))

    def answers(self, donor: str, *, jointly: bool = False) -> Float[np.ndarray, "row layer option"]:
        """Log-probabilities of the cells of one kind of donor: one for each layer, or the one of all layers jointly."""
        wanted = [
            cell
            for cell, (kind, layers) in enumerate(zip(self.donors, self.layers, strict=True))
            if kind == donor and (len(layers) > 1) == jointly
        ]
        return self.option_logprobs[:, wanted]

    def frame(self) -> pl.DataFrame:
        """One row per row, cell and option.

        Columns row, cell (its name), donor, layer (null for several jointly), option, logprob, other_logmass, and what
        the prompt (baseline) and the one whose rows were put in (source) give when left alone.
        """
        source = {
            "donor": self.donor_logprobs,
            "own": self.baseline,
            "unrelated": self.donor_logprobs[self.unrelated],
        }
        row, cell, option = (index.ravel() for index in np.indices(self.option_logprobs.shape))
        sources = np.stack([source[donor] for donor in self.donors], axis=1)
        layers = [layers[0] if len(layers) == 1 else None for layers in self.layers]
        columns = {
            "row": row,
            "cell": np.array(self.cells)[cell],
            "donor": np.array(self.donors)[cell],
            "layer": [layers[index] for index in cell],
            "option": np.array(self.labels)[option],
            "logprob": self.option_logprobs.ravel(),
            "other_logmass": self.other_logmass[row, cell],
            "baseline": self.baseline[row, option],
            "source": sources.ravel(),
        }
        return pl.DataFrame(columns, schema_overrides={"layer": pl.Int64})


def patch_sweep(
    engine: Backend,
    prompts: Sequence[Prompt],
    donors: Sequence[Prompt],
    *,
    where: str,
    layers: Sequence[int],
    options: Options,
    joint: bool = True,
    unrelated: bool = True,
    seed: int = 0,
) -> PatchAnswers:
    """Put donors' rows into prompts at the tokens that `where` names, at each layer alone and at all of them jointly.

    Args:
        engine: a loaded model.
        prompts: closed questions.
        donors: for each prompt the one whose rows it gets.
        where: position of `prompts.positions`, naming as many tokens in a donor as in its prompt.
        layers: at least one, each once.
        options: the labels that are read.
        joint: patch all `layers` jointly too; for two layers or more.
        unrelated: repeat all cells with a donor drawn for each prompt among the other prompts' donors. It is neither
            the prompt nor its donor, but may share a task with them.
        seed: of that draw.

    Raises:
        DataError: not one donor for each prompt, another number of tokens in it, no layer, or no unrelated donor.
        ModelError: a layer that the model does not have or that stands twice; the engine is being steered.
        SpanError: a prompt or a donor lacks the position.
    """
    require_layers(engine, layers)
    require_distinct_layers(layers)
    named = _numbers_of_tokens(prompts, donors, where, layers)
    others = _unrelated(prompts, donors, named, seed) if unrelated else np.full(len(prompts), -1)
    together = [tuple(layers)] if joint and len(layers) > 1 else []
    each = [*((layer,) for layer in layers), *together]
    kinds = [*["donor"] * len(each), *["unrelated"] * (len(each) if unrelated else 0), "own"]
    sets = [*each, *(each if unrelated else []), tuple(layers)]
    shape = (len(prompts), len(kinds), len(options.labels))
    logprobs, other = np.empty(shape, np.float32), np.empty(shape[:2], np.float32)
    baseline, theirs = np.empty((shape[0], shape[2]), np.float32), np.empty((shape[0], shape[2]), np.float32)
    n_bytes = max(named, default=1) * len(layers) * engine.d_model * 4 * (3 if unrelated else 2)
    for share in _shares(len(prompts), max(1, KEPT_BYTES // n_bytes)):
        recipients, giving = [prompts[row] for row in share], [donors[row] for row in share]
        foreign = [donors[others[row]] for row in share] if unrelated else []
        kept = _kept_rows(engine, [*recipients, *giving, *foreign], where, layers, options)
        sources = {
            kind: [kept[_key(one, where)][0] for one in given]
            for kind, given in zip(DONORS, (giving, recipients, foreign), strict=True)
        }
        theirs[share] = [kept[_key(one, where)][1] for one in giving]
        patches = [_cell(sources[kind], set_, list(layers), where) for kind, set_ in zip(kinds, sets, strict=True)]
        found = sweep(engine, recipients, [(), *patches], options)
        baseline[share], logprobs[share] = found.option_logprobs[:, 0].numpy(), found.option_logprobs[:, 1:].numpy()
        other[share] = found.other_logmass[:, 1:].numpy()
    return PatchAnswers(where, options.labels, tuple(kinds), tuple(sets), logprobs, other, baseline, theirs, others)


def _named(layers: tuple[int, ...]) -> str:
    if len(layers) == 1:
        return f"layer {layers[0]}"
    run = sorted(layers) == list(range(min(layers), max(layers) + 1))
    listed = f"{min(layers)} to {max(layers)}" if run else ", ".join(map(str, layers))
    return f"layers {listed} jointly"


def _shares(n: int, size: int) -> Iterator[list[int]]:
    for start in range(0, n, size):
        yield list(range(start, min(n, start + size)))


def _numbers_of_tokens(
    prompts: Sequence[Prompt], donors: Sequence[Prompt], where: str, layers: Sequence[int]
) -> list[int]:
    """How many tokens are patched in each prompt."""
    if len(prompts) != len(donors) or not layers:
        raise DataError(
            f"{len(donors)} donors for {len(prompts)} prompts, {len(layers)} layers.",
            "Every prompt gets the rows of a donor of its own, at one layer at least.",
            "Pass one donor for each prompt, and the layers to be patched.",
        )
    named = [len(resolve(prompt, where)) for prompt in prompts]
    given = [len(resolve(donor, where)) for donor in donors]
    uneven = [row for row, pair in enumerate(zip(named, given, strict=True)) if pair[0] != pair[1]]
    if uneven:
        row = uneven[0]
        raise DataError(
            f"{where!r} names {named[row]} tokens in prompt {row} and {given[row]} in its donor "
            f"({len(uneven)} such pairs of {len(named)}).",
            "Rows are put in token by token.",
            "Patch a position of fixed length, such as 'eot', or keep only donors of equal length.",
        )
    return named


def _unrelated(
    prompts: Sequence[Prompt], donors: Sequence[Prompt], named: Sequence[int], seed: int
) -> Int[np.ndarray, " row"]:
    """For each prompt the index of a random donor with as many tokens that is neither the prompt nor its own donor."""
    draw, sizes = np.random.default_rng(seed), np.array(named)
    found = np.full(len(prompts), -1)
    for row, prompt in enumerate(prompts):
        mine = {prompt.ids, donors[row].ids}
        order = draw.permutation(np.flatnonzero(sizes == sizes[row]))
        found[row] = next((other for other in order if donors[other].ids not in mine), -1)
    if (found < 0).any():
        row = int(np.flatnonzero(found < 0)[0])
        raise DataError(
            f"Prompt {row} has no unrelated donor with {named[row]} tokens in place ({int((found < 0).sum())} such).",
            "Its rows are drawn from the donors of the other prompts.",
            "Patch more prompts at once, or pass unrelated=False.",
        )
    return found


def _key(prompt: Prompt, where: str) -> tuple[tuple[int, ...], range]:
    return prompt.ids, resolve(prompt, where)


def _kept_rows(
    engine: Backend, prompts: Sequence[Prompt], where: str, layers: Sequence[int], options: Options
) -> dict[tuple[tuple[int, ...], range], tuple[Float[np.ndarray, "layer _ d_model"], np.ndarray]]:
    """For each different prompt its rows at the named tokens, and its answer. Every prompt runs once."""
    distinct = {_key(prompt, where): prompt for prompt in prompts}
    width = max(len(tokens) for _, tokens in distinct)
    # a span for each token; shorter prompts repeat their last one, so that all have the same spans
    spanned = [
        dataclasses.replace(
            prompt, spans={str(n): (t, t + 1) for n in range(width) for t in [tokens[min(n, len(tokens) - 1)]]}
        )
        for (_, tokens), prompt in distinct.items()
    ]
    positions = [f"first:{n}" for n in range(width)]
    found = engine.run(spanned, layers=layers, positions=positions, options=options)
    rows = found.residuals.to(torch.promote_types(found.residuals.dtype, torch.float32)).numpy()
    answers = found.option_logprobs.numpy()
    return {key: (rows[n, :, : len(key[1])], answers[n]) for n, key in enumerate(distinct)}


def _cell(
    sources: Sequence[Float[np.ndarray, "layer _ d_model"]], layers: Sequence[int], kept: list[int], where: str
) -> Cell:
    """Replace the rows of all prompts at `layers`; `kept` are the layers of the sources."""
    return tuple(
        replace([source[kept.index(layer)] for source in sources], layer=layer, where=where) for layer in layers
    )
