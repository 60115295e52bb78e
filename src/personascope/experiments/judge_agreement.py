"""Whether a judge of free answers reads what the options say, or follows their places."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from personascope.experiments.rubrics import ORDERS, Rubric
from personascope.measures.clustered_means import clustered_means


def judge_agreement(
    judged: pl.DataFrame, rubrics: Sequence[Rubric], *, cluster: str, n_resamples: int, seed: int
) -> pl.DataFrame:
    """Whether a judge reads what the options say: share of answers of which both orders name the same option.

    A judge that follows places names opposite ends in the two orders, and one that always names the middle agrees with
    itself without having read anything. So the share stands beside `by_habit`: that of answers of which both orders
    would name the same if each drew its options as often as it does, but whatever the answer (as in Cohen's kappa).
    Ratings of a judge that does no better are not about the answers.

    Args:
        judged: as `judge_answers` returns it.
        rubrics: the rubrics that it was judged by.
        cluster: as for `clustered_means`.
        n_resamples: likewise.
        seed: likewise.

    Returns:
        Columns rubric, value, low, high, n (clusters), n_answers, by_habit, reads (whether the whole
        interval lies above it).
    """
    tables = []
    for rubric in rubrics:
        own = judged.with_columns(rubric=pl.lit(rubric.name))
        column = f"{rubric.name}_orders_agree"
        shares = [
            dict(judged[f"{rubric.name}_{order}"].drop_nulls().value_counts(normalize=True).iter_rows())
            for order in ORDERS
        ]
        habit = sum(share * shares[1].get(name, 0.0) for name, share in shares[0].items())
        means = clustered_means(own, column, by=["rubric"], cluster=cluster, n_resamples=n_resamples, seed=seed)
        tables.append(means.with_columns(n_answers=judged[column].count(), by_habit=habit))
    reads = (pl.col("low") > pl.col("by_habit")).fill_null(value=False)
    return pl.concat(tables).with_columns(reads=reads)
