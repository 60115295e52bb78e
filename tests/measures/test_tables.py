import numpy as np
import polars as pl
import pytest

from personascope.errors import ActivationError, DataError
from personascope.measures.tables import require_columns, require_items, require_total_mass, require_unique

ITEMS = pl.DataFrame(
    {"persona": ["self"], "item": ["a"], "facet": ["f"], "key": [1], "agreement": [0.5], "domain": [None]}
)


def test_a_missing_column_is_named_with_its_nearest():
    with pytest.raises(DataError, match=r"no column 'agreement'.*Did you mean 'agreemnet'"):
        require_columns(pl.DataFrame({"agreemnet": [1.0]}), ["agreement"])


def test_an_empty_table_is_refused():
    with pytest.raises(DataError, match="no rows"):
        require_columns(pl.DataFrame({"x": []}), ["x"])


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_missing_value_is_refused_with_its_row_unless_allowed(value):
    table = pl.DataFrame({"x": [1.0, value]})
    with pytest.raises(DataError, match=r"Row 1 .*1 of 2 rows"):
        require_columns(table, ["x"])
    require_columns(table, ["x"], may_be_null=["x"])


def test_values_of_columns_that_are_not_asked_for_do_not_matter():
    require_columns(pl.DataFrame({"x": [1.0], "note": [None]}), ["x"])


def test_repeats_are_refused():
    table = pl.DataFrame({"x": [1, 1, 2], "y": ["a", "b", "a"]})
    require_unique(table, ["x", "y"])
    with pytest.raises(DataError, match=r"'x': 1.*more than once"):
        require_unique(table, ["x"])


def test_item_tables_need_keys_of_plus_or_minus_one_and_one_row_per_item():
    require_items(ITEMS, also=["facet"], nullable=["domain"])
    with pytest.raises(DataError, match="missing or non-finite"):
        require_items(ITEMS, also=["domain"])
    with pytest.raises(DataError, match="Item 'a' has key 0"):
        require_items(ITEMS.with_columns(key=pl.lit(0)))
    with pytest.raises(DataError, match="more than once"):
        require_items(pl.concat([ITEMS, ITEMS]))


def test_masses_that_do_not_sum_to_one_are_refused_with_their_row():
    require_total_mass(np.array([0.3, 1.0]), np.array([0.7, 0.0]))
    for label, other in ((0.3, 0.4), (0.0, 1.0), (np.nan, 0.5), (0.5, np.nan)):
        with pytest.raises(ActivationError, match="Row 1 "):
            require_total_mass(np.array([0.3, label]), np.array([0.7, other]))
