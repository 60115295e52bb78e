"""Read-outs of a coefficient sweep: what the model chooses, and how high a facet scores, against the coefficient."""

from __future__ import annotations

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from personascope.errors import DataError
from personascope.measures.likert import score_likert
from personascope.steering.choice_read_outs import contrastive_curve
from personascope.steering.coefficient_sweep import SweepAnswers
from personascope.steering.curves import N_RESAMPLES, Curves


def choice_curve(
    answers: SweepAnswers, pair: Int[np.ndarray, " row"], *, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> pl.DataFrame:
    """P(the model chooses the task that is pushed up) as a table; see `contrastive_curve`.

    Args:
        answers: of a sweep with options (A, B), + on task A and - on task B.
        pair: pair number of each row; both orders of a pair share it.
        n_resamples: bootstrap resamples over pairs.
        seed: of the bootstrap.
    """
    return contrastive_curve(answers, pair).frame(n_resamples=n_resamples, seed=seed)


def facet_curve(
    answers: SweepAnswers,
    item: Int[np.ndarray, " row"],
    key: Int[np.ndarray, " row"],
    descending: Bool[np.ndarray, " row"],
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> pl.DataFrame:
    """A facet's trait score as a table, with agreement on + and on - items apart; see `trait_curve`.

    Pure yea-saying leaves the trait where it is; `positive_items` and `negative_items` show which of both moved.

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
    curves = trait_curve(answers, item, key, descending)
    positive, negative = curves.stratum_means
    return curves.frame(n_resamples=n_resamples, seed=seed).with_columns(
        positive_items=pl.Series(positive.reshape(-1)), negative_items=pl.Series(negative.reshape(-1))
    )


def trait_curve(
    answers: SweepAnswers,
    item: Int[np.ndarray, " row"],
    key: Int[np.ndarray, " row"],
    descending: Bool[np.ndarray, " row"],
) -> Curves:
    """A facet's trait score: half the difference of mean agreement with its + and its - items.

    Arguments and errors are those of `facet_curve`.
    """
    if set(key.tolist()) != {1, -1}:
        raise DataError("The steered facet has items of one key only.", "Trait and yea-saying coincide.", "Add items.")
    flat = answers.option_logprobs.reshape(-1, answers.option_logprobs.shape[-1])
    scored = score_likert(
        flat,
        answers.other_logmass.reshape(-1),
        n_options=flat.shape[1],
        descending=np.repeat(descending, len(flat) // len(item)),
    )
    shape = answers.other_logmass.shape
    return Curves.of_rows(
        answers, "facet score", scored.agreement.reshape(shape), scored.label_mass.reshape(shape), item, key
    )
