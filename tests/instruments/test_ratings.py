"""The verdict on each built-in item is that of its two blind raters, and their agreement is what the guide says."""

from __future__ import annotations

import polars as pl
import pytest

from personascope.instruments.items import BUILT_IN, load_items

RATINGS = pl.read_csv(BUILT_IN.parent / "hexaco_ratings.csv")


def by_rater(column: str) -> pl.DataFrame:
    """One row per item in the order of the bank, one column per rater."""
    wide = RATINGS.pivot("rater", index="item", values=column, maintain_order=True)
    assert wide["item"].to_list() == [item.id for item in load_items().items]
    return wide


def test_every_item_was_rated_twice() -> None:
    assert RATINGS.group_by("item").len()["len"].unique().to_list() == [2]
    assert RATINGS.null_count().sum_horizontal().item() == 0


def test_the_verdicts_in_the_bank_follow_from_the_ratings() -> None:
    bank, desirability = load_items().frame(), by_rater("desirability")
    assert (bank["desirability"] - ((desirability["1"] + desirability["2"]) / 2 - 5) / 4).abs().max() < 6e-4  # type: ignore[operator]
    applicable = by_rater("applicability").select(pl.all_horizontal(pl.col("1", "2") == "applicable")).to_series()
    assert bank["applicability"].to_list() == ["applicable" if both else "as-if" for both in applicable]


def test_raters_who_saw_neither_facet_nor_key_filed_the_items_where_they_were_written() -> None:
    bank, facets, keys = load_items().frame(), by_rater("facet"), by_rater("key")
    for rater in ("1", "2"):
        filed, keyed = facets[rater] == bank["facet"], keys[rater] == bank["key"]
        assert filed.mean() == pytest.approx(0.995, abs=0.001)
        assert keyed.filter(filed).all()
    assert not ((facets["1"] != bank["facet"]) & (facets["2"] != bank["facet"])).any()
    desirability = by_rater("desirability")
    assert desirability.select(pl.corr("1", "2")).item() == pytest.approx(0.95, abs=0.01)
