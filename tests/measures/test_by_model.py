import polars as pl
import pytest

from personascope.errors import DataError
from personascope.measures.by_model import by_model


def means(frame, other=None):
    return frame.group_by("persona", maintain_order=True).agg(pl.col("x").mean())


TABLE = pl.DataFrame({"model": ["b", "a", "b"], "persona": ["self"] * 3, "x": [1.0, 5.0, 3.0]})


def test_each_model_is_taken_alone_in_order_of_first_appearance():
    assert by_model(means, TABLE).rows() == [("b", "self", 2.0), ("a", "self", 5.0)]
    assert by_model(means, TABLE.drop("model")).rows() == [("self", 3.0)]


def test_absent_tables_are_passed_on_and_the_rows_of_two_tables_kept_together():
    seen = []
    by_model(lambda one, two: (seen.append((one["x"].to_list(), two)), means(one))[1], TABLE, None)
    assert seen == [([1.0, 3.0], None), ([5.0], None)]
    seen.clear()
    by_model(lambda one, two: (seen.append((one["x"].to_list(), two["x"].to_list())), means(one))[1], TABLE, TABLE)
    assert seen == [([1.0, 3.0], [1.0, 3.0]), ([5.0], [5.0])]


def test_tables_that_do_not_go_together_are_refused():
    with pytest.raises(DataError, match="1 of 2 tables have a column 'model'"):
        by_model(means, TABLE, TABLE.drop("model"))
    with pytest.raises(DataError, match="Model 'b' is in one table"):
        by_model(means, TABLE, TABLE.filter(pl.col("model") == "a"))
    with pytest.raises(DataError, match="missing or non-finite"):
        by_model(means, TABLE.with_columns(model=pl.lit(None, pl.String)))
