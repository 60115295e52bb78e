import numpy as np
import polars as pl
import pytest

from personascope.errors import DataError
from personascope.measures.pairing import paired_groups

PAIRS = [("meta", "self"), ("helpful", "self")]


def table(seed=0):
    """Two facets of unequal length and unbalanced keys in one domain, and one without a domain."""
    rng = np.random.default_rng(seed)
    about = pl.DataFrame(
        [
            {"item": f"{facet}{i}", "facet": facet, "domain": domain, "key": 1 if i < plus else -1}
            for facet, domain, n, plus in (("b", "H", 9, 3), ("a", "H", 4, 2), ("altruism", None, 4, 2))
            for i in range(n)
        ]
    )
    return pl.concat(
        [
            about.with_columns(persona=pl.lit(p), agreement=pl.Series(rng.uniform(-1, 1, about.height)))
            for p in ("self", "meta", "helpful")
        ]
    )


def test_shares_sum_to_the_mean_over_facets_of_half_the_gap_between_keys():
    items = table()
    (domain,) = paired_groups(items, PAIRS, "domain")
    wide = items.filter(pl.col("domain") == "H").pivot(on="persona", index=["facet", "key", "item"], values="agreement")
    for k, persona in enumerate(("meta", "helpful")):
        means = wide.group_by("facet", "key").agg((pl.col(persona) - pl.col("self")).mean().alias("d"))
        expected = (means["key"] * means["d"]).sum() / 4
        assert domain.shares[:, k].sum() == pytest.approx(expected)
    assert domain.signs.tolist() == [1, -1, 1, -1]
    assert np.bincount(domain.cells).tolist() == [2, 2, 3, 6]
    assert domain.contrasts == (0, 1)


def test_groups_come_in_order_of_appearance_and_items_in_order_of_id():
    items = table()
    groups = paired_groups(items, PAIRS, "facet")
    assert [group.name for group in groups] == ["b", "a", "altruism"]
    shuffled = {g.name: g for g in paired_groups(items.sample(fraction=1.0, shuffle=True, seed=1), PAIRS, "facet")}
    for group in groups:
        np.testing.assert_array_equal(shuffled[group.name].d, group.d)
        np.testing.assert_array_equal(shuffled[group.name].cells, group.cells)


def test_clusters_have_one_code_in_all_groups_and_items_without_one_their_own():
    items = table().with_columns(family=pl.when(pl.col("item").str.ends_with("1")).then(pl.lit("x")))
    groups = paired_groups(items, PAIRS, "facet", cluster="family")
    shared = [set(group.clusters) for group in groups]
    assert len(shared[0] & shared[1] & shared[2]) == 1
    assert [group.n_clusters for group in groups] == [9, 4, 4]
    assert len(set.union(*shared)) == 17 - 2


def test_the_spread_can_be_seen_from_two_independent_items_of_each_key():
    items = table()
    for column, visible in ((pl.col("item"), True), (pl.col("key").cast(pl.String), False)):
        (group, *_) = paired_groups(items.with_columns(family=column), PAIRS, "facet", cluster="family")
        assert group.has_trait and group.has_interval == visible
    (group, *_) = paired_groups(items.filter((pl.col("facet") != "b") | (pl.col("key") > 0)), PAIRS, "facet")
    assert not group.has_trait and not group.has_interval


def test_a_persona_may_have_any_name():
    items = table().with_columns(pl.col("persona").replace("meta", "item"))
    assert len(paired_groups(items, [("item", "self")], "facet")) == 3


def test_a_column_that_is_missing_is_named():
    with pytest.raises(DataError, match=r"no column 'famly'.*Did you mean 'family'"):
        paired_groups(table().with_columns(family=pl.lit(1)), PAIRS, "facet", cluster="famly")
