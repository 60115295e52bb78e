import numpy as np
import polars as pl
import pytest

from personascope.errors import DataError
from personascope.tuning.drift import ideal_drift

QUICK = {"n_splits": 40, "n_resamples": 100}


def moved(own, gap):
    return own + gap


def one_facet(own, gap):
    return own + gap + np.where(np.arange(len(gap)) == 7, 1.5, 0.0)


def test_an_ideal_that_stayed_is_shown_to_be_stable(planted):
    found = ideal_drift(planted(0, truth=0.5, extra={"ideal_after": moved}), **QUICK)
    assert found.stable
    assert found.facets["equivalent"].all()
    assert found.facets["bound"].unique().to_list() == [0.1]
    assert found.overall["equivalent"].to_list() == [True]
    assert (found.length.low, found.length.naive_biased) == pytest.approx((0, 0.05 * 2**0.5 * 0.2), abs=0.004)
    row = found.frame().row(0, named=True)
    assert (row["n_equivalent"], row["n_facets"], row["n_items"], row["stable"]) == (25, 25, 300, True)
    assert row["drift_low"] < row["drift"] < row["drift_high"]


def test_the_same_data_do_not_show_it_within_a_narrow_bound(planted):
    found = ideal_drift(planted(0, truth=0.5, extra={"ideal_after": moved}), bound=0.01, **QUICK)
    assert not found.stable
    with pytest.raises(DataError, match="bound"):
        ideal_drift(planted(0, extra={"ideal_after": moved}), bound=0.0, **QUICK)


def test_one_facet_that_drifted_is_seen_although_the_mean_hides_it(planted):
    found = ideal_drift(planted(1, truth=0.5, extra={"ideal_after": one_facet}), **QUICK)
    assert found.stable is False
    assert found.facets.filter(~pl.col("equivalent"))["facet"].to_list() == ["f07"]
    assert found.overall["equivalent"].to_list() == [True]
    assert found.length.low < 1.5 * 0.2 / 5 < found.length.high


def test_distance_to_the_ideal_is_what_training_left(planted):
    exact = ideal_drift(planted(2, truth=0.7, se=0.0, extra={"ideal_after": moved}), **QUICK)
    assert (exact.distance_ratio.value, exact.distance_ratio.naive_biased) == pytest.approx((0.3, 0.3))
    # Nothing moved alike on all items, and the t-test says so.
    assert exact.stable is None
    how = {"truth": 1.0, "se": 0.1, "extra": {"ideal_after": moved}}
    found = [ideal_drift(planted(s, **how), n_splits=40, n_resamples=20).distance_ratio for s in range(7)]
    assert np.median([one.value for one in found if one.value is not None]) < 0.25
    assert np.median([one.naive_biased for one in found]) > 0.4


def test_families_go_through_the_bootstrap(planted):
    items = planted(3, truth=0.5, extra={"ideal_after": moved}).with_columns(family=pl.col("item") // 2)
    found = ideal_drift(items, cluster="family", **QUICK)
    assert found.facets["n_clusters"].unique().to_list() == [6]
    assert (found.n_items, found.n_clusters) == (300, 150)


def test_no_gap_no_ratio(planted):
    found = ideal_drift(planted(4, mean=0.0, sd=0.0, extra={"ideal_after": moved}), **QUICK)
    assert found.distance_ratio.value is None
    assert "weak" in found.frame()["distance_ratio_refused"][0]
