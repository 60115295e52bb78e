import gc

import numpy as np
import polars as pl
import pytest

from personascope.errors import DataError
from personascope.measures.contrasts import paired_contrasts
from personascope.measures.profile_regression import regress_profiles


@pytest.fixture(autouse=True, scope="module")
def _calm():
    """statsmodels collects garbage in each Holm correction, which takes long in a process that holds much."""
    gc.freeze()
    yield
    gc.unfreeze()


QUICK = {"n_resamples": 400, "n_splits": 40}


def study(seed, *, slope=1.0, residual=None, n_facets=12, n_items=20, noise=0.2, sd=0.25):
    """Answers of self, helpful and meta with meta - self = slope * (helpful - self) + residual in each facet."""
    rng = np.random.default_rng(seed)
    profile = sd * rng.permutation(np.linspace(-1.7, 1.7, n_facets))
    residual = np.zeros(n_facets) if residual is None else residual
    facet = np.repeat(np.arange(n_facets), n_items)
    key = np.where(np.arange(len(facet)) % 2, -1, 1)
    own = rng.normal(0, 0.3, len(facet))
    about = pl.DataFrame({"item": np.arange(len(facet)), "facet": [f"f{f:02d}" for f in facet], "key": key})
    shifts = {"self": 0 * profile, "helpful": profile, "meta": slope * profile + residual}
    return pl.concat(
        [
            about.with_columns(
                persona=pl.lit(p), agreement=pl.Series(own + key * s[facet] + rng.normal(0, noise, len(facet)))
            )
            for p, s in shifts.items()
        ]
    )


def test_a_multiple_of_helpful_is_found_reducible():
    found = regress_profiles(study(0, slope=0.8, n_items=100), **QUICK)
    assert found.low < 0.8 < found.high
    assert found.high - found.low < 0.3
    assert found.reducible
    assert "is reducible to 0." in found.statement and "all 12 residuals" in found.statement
    assert found.r_squared > 0.95
    assert found.split_half_slope == pytest.approx(found.slope, abs=0.05)
    assert found.split_half_r > 0.9


def test_one_facet_that_remains_is_named():
    residual = np.where(np.arange(12) == 7, 0.4, 0.0)
    found = regress_profiles(study(1, residual=residual, n_items=100), **QUICK)
    assert not found.reducible
    assert "is not reducible" in found.statement and "the largest f07, +0." in found.statement
    row = found.residuals.filter(pl.col("facet") == "f07").row(0, named=True)
    assert row["low"] < 0.4 < row["high"]
    assert not row["equivalent"]
    assert row["p_holm"] < 0.001


def test_too_little_data_is_neither():
    found = regress_profiles(study(2, n_items=8), **QUICK)
    assert not found.reducible
    assert "is not shown to be reducible" in found.statement


def test_no_shift_at_all_is_not_called_reducible():
    found = regress_profiles(study(3, slope=0.0, n_items=200, noise=0.1), **QUICK)
    assert found.residuals["equivalent"].all()
    assert not found.reducible
    assert "not shown to be above 0" in found.statement


def test_a_shared_reference_fools_the_naive_slope_and_not_ours():
    # meta is self up to noise: plain regression sees a slope.
    how = {"n_resamples": 150, "n_splits": 10}
    found = [regress_profiles(study(s, slope=0.0, n_facets=24, n_items=12, noise=0.3), **how) for s in range(80)]
    # The reference's error by the squared length of x with error: .3^2 / 12 / (.25^2 + 2 * .3^2 / 12).
    assert np.mean([r.naive_slope for r in found]) == pytest.approx(0.097, abs=0.03)
    # The interval lies around the corrected slope: its own noise is taken off too.
    assert np.mean([(r.low + r.high) / 2 - r.slope for r in found]) == pytest.approx(0, abs=0.03)
    # One slope scatters by .11, so that three standard errors are .04.
    assert np.mean([r.slope for r in found]) == pytest.approx(0, abs=0.04)
    assert np.mean([r.split_half_slope for r in found]) == pytest.approx(0, abs=0.04)


def test_intervals_over_items_hold_the_planted_slope():
    held = []
    for seed in range(40):
        found = regress_profiles(study(seed, n_items=16), n_resamples=300, n_splits=2)
        held.append(found.low <= 1 <= found.high)
    assert 0.86 <= np.mean(held) <= 1.0


def test_profiles_and_their_errors_are_those_of_the_contrasts():
    items = study(4, n_items=40)
    found = regress_profiles(items, n_resamples=4_000, n_splits=2)
    contrasts = paired_contrasts(items, [("meta", "self"), ("helpful", "self")], n_resamples=4_000)
    for name, persona in (("y", "meta"), ("x", "helpful")):
        part = contrasts.filter(pl.col("persona") == persona)
        np.testing.assert_allclose(found.residuals[name], part["difference"])
        # Rescaled from n to n - 1 in each of two cells of 20.
        np.testing.assert_allclose(found.residuals[f"se_{name}"], part["se"] * (20 / 19) ** 0.5, rtol=0.06)
    np.testing.assert_allclose(found.residuals["residual"], found.residuals["y"] - found.slope * found.residuals["x"])


def test_naming_the_other_pole_of_a_facet_changes_nothing():
    items = study(5)
    turned = items.with_columns(key=pl.when(pl.col("facet") == "f03").then(-pl.col("key")).otherwise(pl.col("key")))
    one, other = regress_profiles(items, **QUICK), regress_profiles(turned, **QUICK)
    assert other.slope == pytest.approx(one.slope, rel=0.02)
    assert other.cosine == pytest.approx(one.cosine)


def test_near_duplicates_widen_the_interval():
    items = study(6, n_items=12)
    copies = [items.with_columns(item=pl.col("item") * 5 + c, family=pl.col("item")) for c in range(5)]
    five = pl.concat(copies)
    plain = regress_profiles(items, **QUICK)
    clustered, ignored = regress_profiles(five, cluster="family", **QUICK), regress_profiles(five, **QUICK)
    assert clustered.slope == pytest.approx(plain.slope, abs=0.02)
    assert clustered.high - clustered.low == pytest.approx(plain.high - plain.low, rel=0.2)
    assert ignored.high - ignored.low < 0.7 * (clustered.high - clustered.low)


def test_facets_of_one_key_are_left_out_and_named():
    items = study(7)
    items = items.with_columns(key=pl.when(pl.col("facet") == "f00").then(1).otherwise(pl.col("key")))
    found = regress_profiles(items, **QUICK)
    assert (found.left_out, found.n_facets, found.n_items) == (("f00",), 11, 220)
    assert found.frame()["left_out"].to_list() == [["f00"]]
    assert "residuals" not in found.frame().columns


def test_a_helpful_that_is_not_told_apart_from_self_is_refused():
    with pytest.raises(DataError, match="helpful - self is not larger than the error of its 12 facets"):
        regress_profiles(study(8, sd=0.0, residual=np.full(12, 0.3)), **QUICK)


def test_two_facets_are_refused():
    with pytest.raises(DataError, match="2 facets have two independent items"):
        regress_profiles(study(9, n_facets=2), **QUICK)
