import numpy as np
import polars as pl
import pytest
from pingouin import tost
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from personascope.errors import DataError
from personascope.measures.equivalence import equivalence

META = [("meta", "self")]


def table(d, key, facet="a", domain="H"):
    """A `self` that answers at random and a `meta` whose keyed difference is d."""
    about = pl.DataFrame({"item": np.arange(len(d)), "facet": facet, "domain": domain, "key": key})
    own = np.random.default_rng(0).uniform(-0.5, 0.5, len(d))
    parts = {"self": own, "meta": own + key * d}
    return pl.concat([about.with_columns(persona=pl.lit(p), agreement=pl.Series(v)) for p, v in parts.items()])


def keys(plus, minus):
    return np.repeat([1, -1], [plus, minus])


def test_a_small_change_is_equivalent_and_a_large_one_is_not():
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.2, 60)
    noise -= noise.mean()
    for shift, expected in ((0.0, True), (0.02, True), (0.10, False), (0.5, False), (-0.5, False)):
        for method in ("t", "bootstrap"):
            row = equivalence(table(noise + shift, keys(30, 30)), META, method=method, n_resamples=2_000).row(
                0, named=True
            )
            assert row["difference"] == pytest.approx(shift, abs=1e-9)
            assert row["equivalent"] is expected
            assert row["equivalent"] == (row["low"] > -0.1 and row["high"] < 0.1) == (row["p"] <= 0.05)


def test_p_is_welchs_test_of_both_keys_by_formula():
    rng = np.random.default_rng(2)
    d, key = rng.normal(0.03, 0.2, 30), keys(22, 8)
    row = equivalence(table(d, key), META, bound=0.12).row(0, named=True)
    plus, minus = d[:22] / 2, -d[22:] / 2
    a, b = plus.var(ddof=1) / 22, minus.var(ddof=1) / 8
    df = (a + b) ** 2 / (a**2 / 21 + b**2 / 7)
    difference, error = plus.mean() - minus.mean(), np.sqrt(a + b)
    p = max(stats.t.sf((difference + 0.12) / error, df), stats.t.cdf((difference - 0.12) / error, df))
    assert row["p"] == pytest.approx(p)
    assert row["p"] == pytest.approx(tost(plus, minus, bound=0.12, correction=True).at["TOST", "pval"])
    assert (row["low"] + row["high"]) / 2 == pytest.approx(difference)
    assert (row["high"] - row["low"]) / 2 == pytest.approx(stats.t.isf(0.05, df) * error)


def test_with_balanced_keys_it_is_close_to_the_paired_test_of_keyed_scores():
    rng = np.random.default_rng(3)
    d = rng.normal(0.04, 0.2, 60)
    plain = ttost_paired(d, np.zeros(60), -0.1, 0.1)[0]
    assert equivalence(table(d, keys(30, 30)), META)["p"][0] == pytest.approx(plain, rel=0.25)


def test_yea_saying_is_no_difference():
    rng = np.random.default_rng(4)
    d, key = rng.normal(0, 0.05, 40), keys(10, 30)
    calm, yes = table(d, key), table(d + 0.6 * key, key)
    assert equivalence(yes, META)["p"][0] == pytest.approx(equivalence(calm, META)["p"][0])


def test_false_claims_at_the_bound_keep_their_rate():
    rng = np.random.default_rng(5)
    d, key = rng.normal(0.1, 0.2, (300, 40)), keys(20, 20)
    personas = {"self": np.zeros(40)} | {f"p{i}": key * row for i, row in enumerate(d)}
    about = pl.DataFrame({"item": np.arange(40), "facet": "a", "key": key})
    items = pl.concat([about.with_columns(persona=pl.lit(p), agreement=pl.Series(v)) for p, v in personas.items()])
    found = equivalence(items, [(f"p{i}", "self") for i in range(300)])
    assert found["equivalent"].sum() <= stats.binom.isf(0.001, 300, 0.05)
    assert found["equivalent"].sum() >= stats.binom.ppf(0.001, 300, 0.05)


def test_each_contrast_is_a_family_and_untested_groups_say_why():
    rng = np.random.default_rng(6)
    parts = [
        table(rng.normal(0, 0.1, 20), keys(10, 10), "a"),
        table(rng.normal(0.05, 0.1, 20), keys(10, 10), "b").with_columns(item=pl.col("item") + 100),
        table(rng.normal(0, 0.1, 8), keys(8, 0), "one key").with_columns(item=pl.col("item") + 200),
        table(rng.normal(0, 0.1, 4), keys(2, 2), "few").with_columns(item=pl.col("item") + 300),
        table(rng.normal(0, 0.1, 9), keys(8, 1), "single").with_columns(item=pl.col("item") + 400),
        table(np.zeros(8), keys(4, 4), "alike").with_columns(item=pl.col("item") + 500),
    ]
    found = equivalence(pl.concat(parts), META)
    assert found["untested"].to_list() == [
        None,
        None,
        "items of one key only",
        "4 independent items, fewer than 6",
        "a single independent item of one key",
        "all items of a key moved alike",
    ]
    assert found["equivalent"].to_list()[2:] == [None] * 4
    p = sorted(found["p"].drop_nulls())
    assert sorted(found["q"].drop_nulls()) == pytest.approx([min(2 * p[0], p[1]), p[1]])
    # The bootstrap needs no variance: identical answers are equivalent.
    resampled = equivalence(pl.concat(parts), META, method="bootstrap", n_resamples=500)
    assert resampled.filter(pl.col("facet") == "alike")["equivalent"].to_list() == [True]


def test_domains_and_clusters_go_through_the_bootstrap():
    rng = np.random.default_rng(7)
    items = table(rng.normal(0, 0.1, 40), keys(20, 20)).with_columns(family=pl.col("item") // 2)
    for settings in ({"by": "domain"}, {"cluster": "family"}):
        with pytest.raises(DataError, match='method="bootstrap"'):
            equivalence(items, META, **settings)
        row = equivalence(items, META, method="bootstrap", n_resamples=500, **settings).row(0, named=True)
        assert row["equivalent"]
    assert row["n_clusters"] == 20


@pytest.mark.parametrize("settings", [{"bound": 0.0}, {"bound": -0.1}, {"alpha": 0.5}, {"alpha": 0.0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(DataError, match="bound is the smallest difference of interest"):
        equivalence(table(np.zeros(8), keys(4, 4)), META, **settings)
