"""Ablation: take what probes read out of the residual stream while the model answers; does the answer need it?

At every named token h becomes h - Q'Q h, with Q orthonormal rows that span the first directions of a probe (Ravfogel et
al. 2020, arXiv 2004.07667; at inference, Elazar et al. 2021, arXiv 2006.00995). That an answer survives says something
only beside random subspaces of the same rank that carry as much of the activations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.errors import DataError
from personascope.models.backend import Backend
from personascope.models.intervention import Cell, Intervention
from personascope.models.sweep import sweep
from personascope.prompts.labels import Options
from personascope.prompts.prompt import Prompt
from personascope.shapes import Features
from personascope.steering.random_subspaces import KINDS, Basis, Directions, Spread, orthonormal, random_subspaces

PROBE = "probe"
MIN_RANDOM = 5


@dataclass(frozen=True, eq=False)
class AblationAnswers:
    """Answers of every prompt without each subspace, and how much of the activations each holds.

    Args:
        where: the position whose tokens were changed.
        labels: of the options.
        layers: the sets of layers, each ablated together.
        ranks: numbers of dimensions taken out.
        subspaces: names, "probe" first, then e.g. "isotropic 1".
        kinds: for each subspace "probe", "isotropic", "variance-matched" or "moment-matched".
        option_logprobs: shape (row, set, rank, subspace, option).
        other_logmass: log-probability outside the options, shape (row, set, rank, subspace).
        baseline: answers of the prompts left alone, shape (row, option).
        variance_share: part of the features' variance that lies in the subspace, at the lowest layer of the set, shape
            (set, rank, subspace).
        moment_share: the same of their mean square, with the mean left in.
    """

    where: str
    labels: tuple[str, ...]
    layers: tuple[tuple[int, ...], ...]
    ranks: tuple[int, ...]
    subspaces: tuple[str, ...]
    kinds: tuple[str, ...]
    option_logprobs: Float[np.ndarray, "row set rank subspace option"]
    other_logmass: Float[np.ndarray, "row set rank subspace"]
    baseline: Float[np.ndarray, "row option"]
    variance_share: Float[np.ndarray, "set rank subspace"]
    moment_share: Float[np.ndarray, "set rank subspace"]

    @property
    def variance_ratio(self) -> Float[np.ndarray, "set rank subspace"]:
        """Variance inside each subspace over that inside the probe's of the same rank; 1 where it is matched."""
        return np.asarray(self.variance_share / self.variance_share[..., :1])

    @property
    def moment_ratio(self) -> Float[np.ndarray, "set rank subspace"]:
        """The same of the mean square."""
        return np.asarray(self.moment_share / self.moment_share[..., :1])

    def frame(self) -> pl.DataFrame:
        """One row per set of layers, rank and subspace, with means over prompts.

        Columns layers (e.g. "12, 13"), lowest_layer, n_layers, rank, subspace, kind, variance_share, variance_ratio,
        moment_share, moment_ratio, change (mean absolute change of the labels' log-probabilities, centred over labels,
        from the baseline, in nats), label_mass (probability on the labels), n.
        """
        set_, rank, subspace = (index.ravel() for index in np.indices(self.variance_share.shape))
        change = np.abs(_centred(self.option_logprobs) - _centred(self.baseline)[:, None, None, None])
        columns = {
            "layers": np.array([", ".join(map(str, layers)) for layers in self.layers])[set_],
            "lowest_layer": np.array([min(layers) for layers in self.layers])[set_],
            "n_layers": np.array([len(layers) for layers in self.layers])[set_],
            "rank": np.array(self.ranks)[rank],
            "subspace": np.array(self.subspaces)[subspace],
            "kind": np.array(self.kinds)[subspace],
            "variance_share": self.variance_share.ravel(),
            "variance_ratio": self.variance_ratio.ravel(),
            "moment_share": self.moment_share.ravel(),
            "moment_ratio": self.moment_ratio.ravel(),
            "change": change.mean(axis=(0, -1), dtype=np.float64).ravel(),
            "label_mass": np.exp(self.option_logprobs).sum(axis=-1).mean(axis=0, dtype=np.float64).ravel(),
            "n": np.full(set_.shape, len(self.baseline)),
        }
        return pl.DataFrame(columns)


def ablation_cells(
    directions: Directions, ranks: Sequence[int], layers: Sequence[Sequence[int]], where: str = "all"
) -> list[Cell]:
    """Cells that take out the first k directions, for k in `ranks`, at each set of layers; sets outermost.

    Args:
        directions: linearly independent rows, shape (step, d_model), e.g. `Removal.directions` of probes.removal; they
            are orthonormalised in their order, and only their span matters.
        ranks: how many of the first directions go, each at least 1.
        layers: sets of layers, e.g. [(12,), (12, 20), range(12, 30)].
        where: position of `prompts.positions`.

    Raises:
        DataError: dependent directions, a rank that there are no directions for, an empty set, or the same twice.
    """
    basis = orthonormal(directions)
    _check(ranks, layers, len(basis))
    return [_cell(basis[:rank], together, where) for together in layers for rank in ranks]


def ablation_sweep(
    engine: Backend,
    prompts: Sequence[Prompt],
    directions: Directions,
    *,
    ranks: Sequence[int],
    layers: Sequence[Sequence[int]],
    features: Mapping[int, Features],
    options: Options,
    where: str = "all",
    n_random: int = MIN_RANDOM,
    seed: int = 0,
) -> AblationAnswers:
    """Answers without the span of the first directions, and without random subspaces of three kinds beside it.

    Random subspaces are drawn for every set of layers and rank, and matched at the lowest layer of the set: what can be
    removed above it depends on what was removed there.

    Args:
        engine: a loaded model.
        prompts: closed questions.
        directions: see `ablation_cells`, with `ranks` and `layers`.
        ranks: see `directions`.
        layers: see `directions`.
        features: residual rows (row, d_model) at the ablated tokens, for the lowest layer of every set.
        options: the labels that are read.
        where: position of `prompts.positions`.
        n_random: draws of each kind of random subspace, at least 5.
        seed: of the draws.

    Raises:
        DataError: as `ablation_cells`; fewer than 5 draws; features that lack a layer, are of another width or do not
            vary.
        ModelError: a layer that the model does not have, or directions of another width.
        SpanError: a prompt lacks the position.
    """
    basis = orthonormal(directions)
    _check(ranks, layers, len(basis))
    lacking = sorted({min(together) for together in layers} - set(features))
    if n_random < MIN_RANDOM or lacking:
        raise DataError(
            f"{n_random} random draws, and no features of layers {lacking}.",
            f"Fewer than {MIN_RANDOM} draws do not show how much a random removal does; features say what it removes.",
            f"Use at least {MIN_RANDOM}, and pass features of the lowest layer of each set.",
        )
    kinds = (PROBE, *(kind for kind in KINDS for _ in range(n_random)))
    names = (PROBE, *(f"{kind} {number}" for kind in KINDS for number in range(1, n_random + 1)))
    shape = (len(layers), len(ranks), len(kinds))
    cells, shares = [], np.empty((2, *shape))
    lowest = [min(together) for together in layers]
    spread = {layer: [Spread.of(features[layer], centre=centre) for centre in (True, False)] for layer in set(lowest)}
    for number, together in enumerate(layers):
        spreads = spread[lowest[number]]
        for column, rank in enumerate(ranks):
            drawn = random_subspaces(spreads, basis[:rank], n_random, seed=[seed, lowest[number], rank])
            subspaces = [basis[:rank], *(one for kind in KINDS for one in drawn[kind])]
            shares[:, number, column] = [[spread.share(one) for one in subspaces] for spread in spreads]
            cells += [_cell(one, together, where) for one in subspaces]
    found = sweep(engine, prompts, [(), *cells], options)
    return AblationAnswers(
        where,
        options.labels,
        tuple(tuple(together) for together in layers),
        tuple(ranks),
        names,
        kinds,
        found.option_logprobs[:, 1:].numpy().reshape(len(prompts), *shape, len(options.labels)),
        found.other_logmass[:, 1:].numpy().reshape(len(prompts), *shape),
        found.option_logprobs[:, 0].numpy(),
        shares[0],
        shares[1],
    )


def _cell(basis: Basis, layers: Sequence[int], where: str) -> Cell:
    nothing, rows = np.zeros(basis.shape[1], np.float32), basis.astype(np.float32)
    return tuple(Intervention(layer, nothing, where, erase=rows) for layer in layers)


def _check(ranks: Sequence[int], layers: Sequence[Sequence[int]], n_directions: int) -> None:
    sets = [frozenset(together) for together in layers]
    doubled = any(len(set(each)) < len(each) for each in (ranks, sets, *layers))
    if not ranks or not layers or doubled or not all(sets) or not 1 <= min(ranks) <= max(ranks) <= n_directions:
        raise DataError(
            f"Ranks {list(ranks)} and sets of layers {[list(together) for together in layers]} for {n_directions} "
            "directions.",
            "A rank is the number of first directions that are taken out, at one layer or several together.",
            f"Give different ranks from 1 to {n_directions}, and different sets of different layers.",
        )


def _centred(option_logprobs: Float[np.ndarray, "*cell option"]) -> Float[np.ndarray, "*cell option"]:
    """Log-probabilities centred over the labels: what they say of each other, whatever their common mass."""
    return np.asarray(option_logprobs - option_logprobs.mean(axis=-1, keepdims=True))
