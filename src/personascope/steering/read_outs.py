"""Read-outs of a coefficient sweep: what the model chooses, and how high a facet scores, against the coefficient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy.special import logsumexp

from personascope.errors import DataError
from personascope.measures.likert import score_likert
from personascope.steering.coefficient_sweep import SweepAnswers

Statistic = Callable[[np.ndarray], np.ndarray]


def choice_curve(
    answers: SweepAnswers, pair: Int[np.ndarray, " row"], *, n_resamples: int = 1000, seed: int = 0
) -> pl.DataFrame:
    """P(the model chooses the task that is pushed up), for sweeps with + on task A and - on task B.

    Each prompt gives two points: P(A) at c and P(B) at -c, where the same push falls on the other slot. Averaging them
    removes position bias, and makes the curve antisymmetric about 1/2 by construction: only its slope is a finding.
    Both orders of every pair should be among the prompts. Intervals: percentile bootstrap over pairs.

    Args:
        answers: of a sweep with options (A, B).
        pair: pair number of each row; both orders of a pair share it.
        n_resamples: bootstrap resamples.
        seed: of the bootstrap.
    """
    logprobs = answers.option_logprobs.astype(np.float64)
    p_first = np.exp(logprobs[..., 0] - logsumexp(logprobs, axis=-1))
    steered = (p_first + 1.0 - p_first[..., ::-1]) / 2.0  # the grid is symmetric, so reversing it flips the sign of c
    by_pair = np.stack([steered[pair == number].mean(axis=0) for number in np.unique(pair)])
    return _curve(
        answers, by_pair, np.zeros(len(by_pair), dtype=int), "P(chooses steered task)", _mean, n_resamples, seed
    )


def facet_curve(
    answers: SweepAnswers,
    item: Int[np.ndarray, " row"],
    key: Int[np.ndarray, " row"],
    descending: np.ndarray,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
) -> pl.DataFrame:
    """A facet's trait score against the coefficient, with agreement on + and on - items apart.

    The trait is half the difference of mean agreement with + and - items, so pure yea-saying leaves it where it is;
    `positive_items` and `negative_items` show which it was.

    Args:
        answers: of a sweep over Likert items in both anchor orders.
        item: item number of each row; `key` its key (+1/-1); `descending` whether its anchors descend.
        key: see above.
        descending: see above.
        n_resamples: bootstrap resamples over items, within key.
        seed: of the bootstrap.

    Raises:
        DataError: the items are all of one key.
    """
    flat_options = answers.option_logprobs.reshape(-1, answers.option_logprobs.shape[-1])
    n_cells = flat_options.shape[0] // len(item)
    scored = score_likert(
        flat_options,
        answers.other_logmass.reshape(-1),
        n_options=flat_options.shape[1],
        descending=np.repeat(descending, n_cells),
    )
    agreement = scored.agreement.reshape(answers.other_logmass.shape)
    numbers = np.unique(item)
    by_item = np.stack([agreement[item == number].mean(axis=0) for number in numbers])
    keys = np.array([key[item == number][0] for number in numbers])
    if set(keys.tolist()) != {1, -1}:
        raise DataError("The steered facet has items of one key only.", "Trait and yea-saying coincide.", "Add items.")
    signed = by_item * keys[:, None, None, None]
    # the mean of the two key means equals (mean+ - mean-)/2, whatever the numbers of items
    frame = _curve(answers, signed, keys, "facet score", _mean_of_keys(keys), n_resamples, seed)
    return frame.with_columns(
        positive_items=pl.Series(by_item[keys == 1].mean(axis=0).reshape(-1)),
        negative_items=pl.Series(by_item[keys == -1].mean(axis=0).reshape(-1)),
    )


def _mean(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.mean(axis=0))


def _mean_of_keys(keys: np.ndarray) -> Statistic:
    order = np.sort(keys)  # resampling within strata keeps the numbers of each key; rows come sorted by key

    def statistic(values: np.ndarray) -> np.ndarray:
        return np.asarray((values[order == 1].mean(axis=0) + values[order == -1].mean(axis=0)) / 2)

    return statistic


def _curve(
    answers: SweepAnswers,
    units: Float[np.ndarray, "unit layer direction coefficient"],
    strata: Int[np.ndarray, " unit"],
    read_out: str,
    statistic: Statistic,
    n_resamples: int,
    seed: int,
) -> pl.DataFrame:
    """Long frame of a statistic over units (pairs, items), with a stratified percentile bootstrap over them."""
    rng = np.random.default_rng(seed)
    order = np.argsort(strata, kind="stable")
    groups = [order[strata[order] == value] for value in np.unique(strata)]
    draws = np.stack(
        [
            statistic(units[np.concatenate([rng.choice(group, len(group)) for group in groups])])
            for _ in range(n_resamples)
        ]
    )
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    value = statistic(units[order])
    mass = 1.0 - np.exp(answers.other_logmass.astype(np.float64)).mean(axis=0)
    layer, direction, coefficient = np.meshgrid(
        np.arange(len(answers.layers)),
        np.arange(len(answers.directions)),
        np.arange(len(answers.coefficients)),
        indexing="ij",
    )
    return pl.DataFrame(
        {
            "read_out": read_out,
            "layer": np.array(answers.layers)[layer.reshape(-1)],
            "direction": np.array(answers.directions)[direction.reshape(-1)],
            "control": np.array(answers.kinds)[direction.reshape(-1)],
            "coefficient": np.array(answers.coefficients)[coefficient.reshape(-1)],
            "value": value.reshape(-1),
            "low": low.reshape(-1),
            "high": high.reshape(-1),
            "n": len(units),
            "label_mass": mass.reshape(-1),
        }
    )
