"""What a probe's number must be compared with: shuffled labels, random directions of two kinds, and the text alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.sparse.linalg import lsqr

from personascope.errors import DataError
from personascope.shapes import Features

_HIGH = 0.95


@dataclass(frozen=True)
class Controls:
    """The controls of one probe result, all in the metric of the result.

    Args:
        shuffled: mean over probes trained and tested on permuted labels. Pooled out-of-fold correlations of useless
            probes lie below zero, because a training mean is high where the held-out mean is low; so does this.
        shuffled_high: their 95th percentile.
        p_value: (1 + shuffles at least as good) / (1 + shuffles) (Phipson & Smyth 2010).
        random_direction: mean of the metric's size over random directions as long as the probe (correlations as |r|;
            two-class accuracies as the better of both signs).
        random_direction_high: their 95th percentile.
        matched_direction: the same for directions drawn from the covariance of the activations. Isotropic ones lie
            mostly where activations hardly vary, and are easy to beat.
        matched_direction_high: their 95th percentile.
        text_baseline: the metric of a model that saw only the words.
        encoder_baseline: the metric of a model that saw only sentence embeddings of the text; None where no encoder was
            there.
        n_shuffles: number of permutations.
        n_directions: number of random directions of each kind.
        chance: what the metric is worth without any knowledge: 0 for r, a coin's share for choices.

    Raises:
        DataError: a control that is not a finite number, a p value outside (0, 1], or a count below 1.
    """

    shuffled: float
    shuffled_high: float
    p_value: float
    random_direction: float
    random_direction_high: float
    matched_direction: float
    matched_direction_high: float
    text_baseline: float
    encoder_baseline: float | None
    n_shuffles: int
    n_directions: int
    chance: float = 0.0

    def __post_init__(self) -> None:
        measured = {name: value for name, value in vars(self).items() if (name, value) != ("encoder_baseline", None)}
        bad = [name for name, value in measured.items() if value is None or not math.isfinite(value)]
        bad += [name for name in ("n_shuffles", "n_directions") if getattr(self, name) < 1]
        if not bad and not 0 < self.p_value <= 1:
            bad = ["p_value"]
        if bad:
            raise DataError(
                f"Controls without a usable {', '.join(bad)}: {self}.",
                "Every control must have been measured; a p value is above 0 and at most 1.",
                "Use at least one shuffle and one direction, and out-of-fold text predictions without NaN.",
            )

    @property
    def best_text(self) -> float:
        """The better of the two text baselines, or chance where both lie below it."""
        encoder = self.chance if self.encoder_baseline is None else self.encoder_baseline
        return max(self.text_baseline, encoder, self.chance)

    @classmethod
    def measured(
        cls,
        value: float,
        *,
        shuffled: Float[np.ndarray, " shuffle"],
        directions: Float[np.ndarray, " direction"],
        matched: Float[np.ndarray, " direction"],
        text: float,
        encoder: float | None = None,
        chance: float = 0.0,
    ) -> Controls:
        """Summarise what `value` is compared with.

        Args:
            value: the probe's metric.
            shuffled: the same for each permutation of the labels.
            directions: the metric's size for each isotropic direction.
            matched: the same for each covariance-matched direction, as many.
            text: the metric of the text baseline.
            encoder: the metric of the sentence-encoder baseline, None without one.
            chance: what the metric is worth without any knowledge.

        Raises:
            DataError: no shuffles, no directions, or not as many of both kinds.
        """
        if not len(shuffled) or not len(directions) or len(directions) != len(matched):
            raise DataError(
                f"{len(shuffled)} shuffles, {len(directions)} isotropic and {len(matched)} matched random directions.",
                "A result needs shuffles, and as many directions of either kind.",
                "Use some.",
            )
        return cls(
            shuffled=float(shuffled.mean()),
            shuffled_high=float(np.quantile(shuffled, _HIGH)),
            p_value=float((1 + (shuffled >= value).sum()) / (1 + len(shuffled))),
            random_direction=float(directions.mean()),
            random_direction_high=float(np.quantile(directions, _HIGH)),
            matched_direction=float(matched.mean()),
            matched_direction_high=float(np.quantile(matched, _HIGH)),
            text_baseline=float(text),
            encoder_baseline=None if encoder is None else float(encoder),
            n_shuffles=len(shuffled),
            n_directions=len(directions),
            chance=chance,
        )


def permutations(
    codes: Int[np.ndarray, " row"], n: int, seed: int, *, whole_groups: bool = False
) -> Int[np.ndarray, "shuffle row"]:
    """Row indices that shuffle labels, shape (shuffle, row): `y[permutations(...)[k]]` is the k-th shuffled copy.

    Args:
        codes: group of each row, numbered from 0.
        n: number of shuffles.
        seed: of the draw; equal seeds give the same shuffles at every layer.
        whole_groups: move the values of whole groups instead of rows, for targets that are constant within a group.
            Rows of such a target are not exchangeable one by one, and shuffling them would make p far too small.
    """
    rng = np.random.default_rng([seed, 1])
    if not whole_groups:
        return np.stack([rng.permutation(len(codes)) for _ in range(n)])
    first_row = np.unique(codes, return_index=True)[1]
    return np.stack([first_row[rng.permutation(len(first_row))][codes] for _ in range(n)])


def shuffled_choices(
    first: Int[np.ndarray, " pair"],
    second: Int[np.ndarray, " pair"],
    margin: Float[np.ndarray, " pair"],
    n_tasks: int,
    n: int,
    seed: int,
) -> Bool[np.ndarray, "pair shuffle"]:
    """Whether the first task would be chosen if the tasks had exchanged their utilities, shape (pair, shuffle).

    The margins are split by least squares into differences of task utilities and residuals. A shuffle deals the
    utilities to other tasks and the residuals, with random signs, to other pairs. Random signs alone would make pairs
    independent that share a task, and the null far too narrow (compare Krackhardt 1988 on regressions of dyads).

    Args:
        first: index of the first task of each pair.
        second: index of the second.
        margin: log-odds of choosing the first.
        n_tasks: number of tasks.
        n: number of shuffles.
        seed: of the draw; equal seeds give the same shuffles at every layer.
    """
    rng, pairs = np.random.default_rng([seed, 1]), np.arange(len(margin))
    signs = np.concatenate([np.ones(len(margin)), -np.ones(len(margin))])
    places = (np.concatenate([pairs, pairs]), np.concatenate([first, second]))
    design = sparse.csr_array((signs, places), shape=(len(margin), n_tasks))
    utilities = lsqr(design, margin, atol=1e-10, btol=1e-10)[0]
    residuals = margin - design @ utilities
    dealt = np.stack([utilities[rng.permutation(n_tasks)] for _ in range(n)], axis=1)
    noise = np.stack([residuals[rng.permutation(len(margin))] for _ in range(n)], axis=1)
    return np.asarray(design @ dealt + noise * rng.choice([-1.0, 1.0], size=noise.shape) > 0)


def random_directions(
    d_model: int, n: int, *, seed: int | Sequence[int], norm: float = 1.0
) -> Float[np.ndarray, "d_model direction"]:
    """Isotropic random directions of length `norm` as columns, shape (d_model, direction).

    Correlations and two-class accuracies through zero do not depend on the length, so for them unit vectors are
    matched to any probe.
    """
    vectors = np.random.default_rng(seed).standard_normal((d_model, n))
    return np.asarray(vectors * (norm / np.linalg.norm(vectors, axis=0)))


def covariance_matched_directions(
    X: Features, n: int, *, seed: int | Sequence[int], norm: float = 1.0
) -> Float[np.ndarray, "d_model direction"]:
    """Random directions of length `norm` drawn from N(0, cov X), as columns, shape (d_model, direction).

    X'z with standard normal z has covariance X'X, so no (d_model, d_model) matrix is formed.

    Args:
        X: rows (row, d_model), centred here.
        n: number of directions.
        seed: of the draw.
        norm: length of each.

    Raises:
        DataError: fewer than two rows, or rows that do not vary.
    """
    if len(X) < 2:
        raise DataError(f"A covariance needs at least two rows; got {len(X)}.", "", "Pass more rows.")
    centred = X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)
    vectors = (np.random.default_rng(seed).standard_normal((n, len(X))) @ centred).T
    lengths = np.linalg.norm(vectors, axis=0)
    if (lengths == 0).any():
        raise DataError(f"The rows do not vary, so {n} draws have no direction.", "", "Pass other rows.")
    return np.asarray(vectors * (norm / lengths))


def random_scores(
    X: Features, n: int, *, seed: int, layer: int
) -> tuple[Float[np.ndarray, "row direction"], Float[np.ndarray, "row direction"]]:
    """Rows projected on n isotropic and on n covariance-matched directions; zero for the latter if no row differs."""
    isotropic = X @ random_directions(X.shape[1], n, seed=[seed, 2, layer])
    if not np.ptp(X, axis=0).any():
        return isotropic, np.zeros_like(isotropic)
    return isotropic, X @ covariance_matched_directions(X, n, seed=[seed, 3, layer])
