import polars as pl
import pytest

from personascope.errors import DataError
from personascope.tuning.transfer import transfer_ratio

QUICK = {"n_splits": 40, "n_resamples": 100}


def test_the_same_items_in_another_mode_are_paired(planted):
    items = planted(0, truth=0.8)
    a_quarter = items.with_columns(after=0.75 * pl.col("before") + 0.25 * pl.col("after"))
    found = transfer_ratio(a_quarter, items, **QUICK)
    # Both gaps scatter, but together: their ratio is known.
    assert (found.ratio.value, found.ratio.low, found.ratio.high) == pytest.approx((0.25,) * 3)
    assert found.over.closed.high - found.over.closed.low > 0.05
    assert found.n_shared == 300
    other = transfer_ratio(a_quarter.with_columns(item=pl.col("item") + 1_000), items, **QUICK)
    assert other.n_shared == 0
    assert other.ratio.high - other.ratio.low > 0.02


def test_facets_that_were_not_trained(planted):
    items = planted(1, truth=0.6, mean=0.3)
    held_out = pl.col("facet") < "f06"
    half = pl.when(held_out).then((pl.col("before") + pl.col("after")) / 2).otherwise(pl.col("after"))
    found = transfer_ratio(*(items.with_columns(after=half).filter(f) for f in (held_out, ~held_out)), **QUICK)
    assert found.ratio.low < 0.5 < found.ratio.high
    assert found.over.closed.value == pytest.approx(0.6, abs=0.1)
    row = found.frame().row(0, named=True)
    assert (row["n_facets_on"], row["n_facets_over"], row["n_items_on"], row["n_shared"]) == (6, 19, 72, 0)
    assert row["on"] / row["over"] == pytest.approx(row["ratio"])
    assert row["left_out_on"] == []


def test_no_movement_is_not_divided_by(planted):
    found = transfer_ratio(planted(2, truth=0.5), planted(3, truth=0.0), **QUICK)
    assert found.ratio.value is None
    assert found.ratio.refused == "denominator weak: the interval of its gap closed holds 0"
    weak = planted(4, truth=0.5, mean=0.0, sd=0.0)
    for on, over, name in ((planted(2, truth=0.5), weak, "denominator"), (weak, planted(2, truth=0.5), "numerator")):
        refused = transfer_ratio(on, over, **QUICK).ratio.refused
        assert refused.startswith(f"{name} weak: the halves of ideal - before")
    # The other way round it is transfer of nothing, which is a finding.
    none = transfer_ratio(planted(3, truth=0.0), planted(2, truth=0.5), **QUICK)
    assert none.ratio.low < 0 < none.ratio.high


def test_either_set_is_checked(planted):
    with pytest.raises(DataError, match="2 facets have two independent items"):
        transfer_ratio(planted(5, n_facets=2), planted(5), **QUICK)
