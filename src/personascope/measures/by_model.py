"""Studies of several models: a statistic is computed within each model, and its table says which."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from personascope.errors import DataError
from personascope.measures.tables import require_columns


def by_model(compute: Callable[..., pl.DataFrame], *frames: pl.DataFrame | None) -> pl.DataFrame:
    """Apply `compute` to the rows of each model in turn; two models are two case studies, never averaged.

    Args:
        compute: takes as many tables as `frames`, without the column model, and always returns the same columns.
        frames: tables with a column model, or without one when there is a single model. None is passed on as it is.

    Returns:
        What `compute` returned, with model as first column when the tables have it, in order of first appearance.

    Raises:
        DataError: only some of the tables have a column model, or they are of different models.
    """
    given = [frame for frame in frames if frame is not None]
    having = [frame for frame in given if "model" in frame.columns]
    if not having:
        return compute(*frames)
    if len(having) < len(given):
        raise DataError(
            f"{len(having)} of {len(given)} tables have a column 'model'.",
            "Which rows belong together cannot be told.",
            "Name the model in every table, or in none.",
        )
    for frame in having:
        require_columns(frame, ["model"])
    models = having[0]["model"].unique(maintain_order=True).to_list()
    for frame in having[1:]:
        lacking = sorted(set(models) ^ set(frame["model"]))
        if lacking:
            raise DataError(
                f"Model {lacking[0]!r} is in one table and lacks in another.",
                "Tables that are used together must be of the same models.",
                "Compute the missing table, or leave the model out.",
            )
    tables = []
    for model in models:
        parts = [None if frame is None else frame.filter(pl.col("model") == model).drop("model") for frame in frames]
        tables.append(compute(*parts).select(pl.lit(model).alias("model"), pl.all()))
    return pl.concat(tables)
