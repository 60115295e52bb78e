"""Means of answers by condition, with a bootstrap over the questions that they answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from personascope.measures.intervals import percentile_interval, resampled_means
from personascope.measures.tables import require_columns


def clustered_means(
    frame: pl.DataFrame, value: str, *, by: Sequence[str], cluster: str, n_resamples: int, seed: int
) -> pl.DataFrame:
    """Mean of a column in every group, null values left out; questions are what intervals resample.

    Args:
        frame: one row for each answer.
        value: column of numbers or of truth values; null where there is none.
        by: columns of the groups.
        cluster: column that says which question an answer answers; its answers in a group are averaged first.
        n_resamples: of the percentile bootstrap over questions.
        seed: of the bootstrap.

    Returns:
        Columns of `by`, value, low, high (null for fewer than two questions), n (questions). Groups without any value
        have a null value and n = 0.

    Raises:
        DataError: a missing column or group.
    """
    require_columns(frame, [*by, cluster, value], may_be_null=[value])
    means = frame.group_by(*by, cluster, maintain_order=True).agg(pl.col(value).cast(pl.Float64).mean())
    rows = []
    for keys, part in means.group_by(*by, maintain_order=True):
        values = part[value].drop_nulls().to_numpy()
        low = high = None
        if len(values) > 1:
            one = np.zeros(len(values), dtype=np.int64)
            draws = resampled_means(
                values[:, None], one, np.arange(len(values)), n_resamples=n_resamples, seed=seed, within=False
            )
            low, high = percentile_interval(draws[:, 0, 0])
        mean = float(values.mean()) if len(values) else None
        rows.append((*keys, mean, low, high, len(values)))
    schema = {name: frame.schema[name] for name in by}
    ends = dict.fromkeys(("value", "low", "high"), pl.Float64)
    return pl.DataFrame(rows, schema={**schema, **ends, "n": pl.Int64}, orient="row")
