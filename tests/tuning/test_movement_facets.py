import numpy as np
import polars as pl
import pytest

from personascope.errors import DataError
from personascope.tuning.movement_facets import facet_closure, fieller_interval


def test_fieller_by_hand():
    # 96 r^2 - 100 r + 21 = 0
    assert fieller_interval(5.0, 10.0, 1.0, 1.0, 0.0, quantile=2.0) == pytest.approx((28 / 96, 72 / 96))
    # 96 r^2 - 2 (50 - 2) r + 21 = 0
    assert fieller_interval(5.0, 10.0, 1.0, 1.0, 0.5, quantile=2.0) == pytest.approx(
        (0.5 - 0.03125**0.5, 0.5 + 0.03125**0.5)
    )
    # A known denominator leaves the numerator's interval; errors that are copies of each other leave none.
    assert fieller_interval(5.0, 10.0, 1.0, 0.0, 0.0, quantile=2.0) == pytest.approx((0.3, 0.7))
    assert fieller_interval(5.0, 5.0, 1.0, 1.0, 1.0, quantile=2.0) == pytest.approx((1, 1))
    assert fieller_interval(-5.0, 10.0, 1.0, 1.0, 0.0, quantile=2.0) == pytest.approx((-72 / 96, -28 / 96))
    assert fieller_interval(5.0, 1.0, 1.0, 1.0, 0.0, quantile=2.0) == (None, None)


def test_fieller_holds_the_ratio_of_correlated_estimates():
    rng = np.random.default_rng(0)
    cov = np.array([[0.04, 0.03], [0.03, 0.06]])
    draws = rng.multivariate_normal([0.5, 1.0], cov, 2_000)
    ends = [fieller_interval(float(y), float(x), 0.04, 0.06, 0.03, quantile=1.96) for y, x in draws]
    bounded = [(low, high) for low, high in ends if low is not None]
    held = np.mean([low <= 0.5 <= high for low, high in bounded])
    assert len(bounded) > 1_900
    assert held == pytest.approx(0.95, abs=0.02)


def test_ratios_only_where_there_is_a_gap(planted):
    items = planted(0, truth=0.4, se=0.05)
    found = facet_closure(items, n_resamples=300)
    clear = found["gap"].abs() > 3 * found["gap_se"]
    assert 3 < clear.sum() < 22
    assert (found["closed"].is_not_null() == clear).all()
    assert set(found.filter(~clear)["why_null"]) == {"gap within 3 standard errors of 0"}
    assert found["moved_low"].null_count() == found["q"].null_count() == 0
    held = found.filter(clear & pl.col("closed_low").is_not_null())
    assert ((held["closed_low"] < held["closed"]) & (held["closed"] < held["closed_high"])).all()
    assert ((held["closed_low"] < 0.4) & (held["closed_high"] > 0.4)).mean() > 0.8
    np.testing.assert_allclose(held["closed"], held["moved"] / held["gap"])
    # The differences are of facet scores, and a wider demand leaves fewer ratios.
    one = items.filter(pl.col("facet") == "f02").group_by("key").agg((pl.col("after") - pl.col("before")).mean())
    assert found["moved"][2] == pytest.approx(one["after"].mean())
    assert facet_closure(items, clear_gap=6.0, n_resamples=20)["closed"].count() < clear.sum()


def test_without_error_the_ratio_is_exact_and_its_interval_a_point(planted):
    found = facet_closure(planted(1, truth=0.3, se=0.0), n_resamples=20)
    np.testing.assert_allclose(found.select("closed", "closed_low", "closed_high").to_numpy(), 0.3, atol=1e-6)


def test_few_items_have_no_interval_and_thin_facets_come_last(planted):
    items = planted(2, truth=0.5, se=0.08, per_key=2, n_facets=25, mean=0.4, sd=0.0)
    items = items.filter(~((pl.col("facet") == "f00") & (pl.col("item") == 0)))
    found = facet_closure(items, n_resamples=20)
    assert found["facet"].to_list()[-1] == "f00"
    assert found["why_null"].to_list()[-1] == "fewer than 2 independent items of either key"
    assert found.row(-1, named=True)["gap"] is None
    unbounded = found.filter(pl.col("why_null").str.contains("unbounded"))
    assert unbounded.height > 0
    assert unbounded["closed"].null_count() == 0
    assert unbounded["closed_low"].null_count() == unbounded["closed_high"].null_count() == unbounded.height


def test_settings_and_twins_are_refused(planted):
    with pytest.raises(DataError, match="clear_gap is 0"):
        facet_closure(planted(3), clear_gap=0.0)
    with pytest.raises(DataError, match="hold the same"):
        facet_closure(planted(3), after="before")
