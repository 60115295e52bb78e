"""Checks that every table of answers passes before a number is made of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from personascope.errors import ActivationError, DataError, nearest
from personascope.shapes import RowValues

# Log-probabilities reach us in float32; logits passed by mistake miss a total of 1 by far more than this.
_MASS_TOLERANCE = 0.01


def require_columns(frame: pl.DataFrame, columns: Sequence[str], *, may_be_null: Sequence[str] = ()) -> None:
    """Hold that the columns exist and that every value in them is present and finite.

    Raises:
        DataError: naming the missing column, or the first row with a null, NaN or infinite value.
    """
    for column in columns:
        if column not in frame.columns:
            raise DataError(
                f"The table has no column {column!r}; it has {frame.columns}.{nearest(column, frame.columns)}",
                "This statistic needs " + ", ".join(columns) + ".",
                "Join or rename the column first.",
            )
    if frame.is_empty():
        raise DataError("The table has no rows.", "", "Check the filter that made it.")
    strict = [column for column in columns if column not in may_be_null]
    unusable = [pl.lit(False), *(pl.col(column).is_null() for column in strict)]
    unusable += [~pl.col(column).is_finite() for column in strict if frame.schema[column].is_float()]
    bad = frame.select(columns).with_row_index("row").filter(pl.any_horizontal(unusable))
    if bad.height:
        raise DataError(
            f"Row {bad['row'][0]} has a missing or non-finite value: {bad.drop('row').row(0, named=True)} "
            f"({bad.height} of {frame.height} rows).",
            "An answer that was not given cannot be averaged, and is never replaced by a default.",
            "Leave the row out before scoring and report how many were left out.",
        )


def require_unique(frame: pl.DataFrame, columns: Sequence[str]) -> None:
    """Hold that no combination of the columns occurs twice.

    Raises:
        DataError: naming the first combination that does.
    """
    repeated = frame.filter(frame.select(columns).is_duplicated())
    if repeated.height:
        raise DataError(
            f"{repeated.select(columns).row(0, named=True)} occurs more than once.",
            f"This statistic takes one row for each {' x '.join(columns)}.",
            "Average repeated wordings first, or give them different ids.",
        )


def require_items(items: pl.DataFrame, *, also: Sequence[str] = (), nullable: Sequence[str] = ()) -> None:
    """Hold that a table has one keyed answer for each persona and item.

    Args:
        items: columns persona, item, key, agreement and those named next.
        also: further columns that are used.
        nullable: further columns that are used and may hold nulls.

    Raises:
        DataError: see `require_columns` and `require_unique`; also a key other than +1 or -1.
    """
    require_columns(items, ["persona", "item", "key", "agreement", *also, *nullable], may_be_null=nullable)
    require_unique(items, ["persona", "item"])
    odd = items.filter(~pl.col("key").is_in([1, -1]))
    if odd.height:
        raise DataError(
            f"Item {odd['item'][0]!r} has key {odd['key'][0]}.",
            "A key is +1 (agreeing shows the trait) or -1 (agreeing denies it).",
            "Mend the item bank.",
        )


def require_total_mass(label_mass: RowValues, other_mass: RowValues) -> None:
    """Hold that in each row the probability on the labels, which is not zero, and elsewhere sum to 1.

    Raises:
        ActivationError: naming the first row where they do not.
    """
    off = (label_mass == 0) | ~(np.abs(label_mass + other_mass - 1) <= _MASS_TOLERANCE)
    if off.any():
        row = int(np.argmax(off))
        raise ActivationError(
            f"Row {row} puts probability {label_mass[row]:.3g} on the labels and {other_mass[row]:.3g} elsewhere "
            f"({int(off.sum())} of {len(off)} such rows).",
            "Log-probabilities must sum to 1 and give the labels some mass; logits do not.",
            "Pass the option log-probabilities and the other mass of the same run.",
        )
