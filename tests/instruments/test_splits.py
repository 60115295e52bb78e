"""Splits: exact by facet x key, no cluster on two sides, a function of the items and not of their order."""

from __future__ import annotations

from collections import Counter

import polars as pl
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from personascope.errors import DataError
from personascope.instruments.items import Item, ItemBank, load_items
from personascope.instruments.splits import split_items


def bank_of(per_key: int, facets: int = 25) -> ItemBank:
    names = load_items().facets[:facets]
    return ItemBank(
        tuple(
            Item(id=f"{facet}{key}{n}", facet=facet, key=key, text=f"{facet} {key} {n}")
            for facet in names
            for key in (1, -1)
            for n in range(per_key)
        ),
        "made",
    )


def counts(split) -> Counter:
    return Counter(split.frame().select("part", "facet", "key").iter_rows())


def test_five_thousand_items_split_exactly_8_1_1_by_facet_and_key() -> None:
    split = split_items(bank_of(100))
    assert (len(split.train), len(split.validation), len(split.test)) == (4000, 500, 500)
    assert set(counts(split).values()) == {80, 10}
    assert sorted([*split.train, *split.validation, *split.test]) == sorted(item.id for item in bank_of(100).items)


def test_the_built_in_bank_splits_16_2_2_in_each_stratum() -> None:
    table = counts(split_items(load_items()))
    assert {part: {n for (p, _, _), n in table.items() if p == part} for part in ("train", "validation", "test")} == {
        "train": {16},
        "validation": {2},
        "test": {2},
    }


def test_the_split_is_a_function_of_the_items_and_the_salt() -> None:
    bank = bank_of(20, 3)
    turned = ItemBank(bank.items[::-1], "turned")
    assert split_items(bank).hash() == split_items(turned).hash() != split_items(bank, salt="2").hash()
    # a known value: another machine, another year, the same split
    assert split_items(bank).hash()[:12] == "3a3044c588fc"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=200, max_size=200), st.integers(0, 1000))
def test_no_cluster_straddles(labels: list[int], salt: int) -> None:
    bank = bank_of(50, 2)
    clusters = {i.id: i.id if label > 40 else f"c{label}" for i, label in zip(bank.items, labels, strict=True)}
    try:
        split = split_items(bank, clusters=clusters, salt=str(salt))
    except DataError:  # one cluster holds nearly all items of a facet and key
        reject()
    frame = split.frame()
    assert frame.height == 200
    assert frame.group_by("cluster").agg(pl.col("part").n_unique())["part"].max() == 1


def test_pairs_of_copies_still_give_the_exact_quota() -> None:
    bank = bank_of(20, 5)
    clusters = {
        item.id: f"{item.facet}{item.key}{int(item.id[len(item.facet) + len(str(item.key)) :]) // 2}"
        for item in bank.items
    }
    assert set(counts(split_items(bank, clusters=clusters)).values()) == {16, 2}


def test_clusters_of_the_bank_are_used_where_it_names_them() -> None:
    items = [
        item.model_copy(update={"cluster": "twins"}) if n in (0, 25) else item
        for n, item in enumerate(bank_of(20, 2).items)
    ]
    split = split_items(ItemBank(tuple(items), "b"))
    (part,) = set(split.frame().filter(split.frame()["cluster"] == "cluster twins")["part"])
    assert part == "train"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ratios": (0.8, 0.1, 0.2)}, "do not sum to 1"),
        ({"ratios": (1.0, 0.0, 0.0)}, "do not sum to 1"),
        ({"clusters": {}}, "has no cluster"),
        ({"clusters": "one"}, "has no item of facet"),
    ],
)
def test_what_cannot_be_split_is_refused(arguments: dict, message: str) -> None:
    bank = bank_of(10, 2)
    if arguments.get("clusters") == "one":
        arguments = {"clusters": {item.id: item.facet for item in bank.items}}
    with pytest.raises(DataError, match=message):
        split_items(bank, **arguments)


def test_a_stratum_that_is_too_small_is_named() -> None:
    with pytest.raises(DataError, match=r"Facet 'sincerity' has 4 items keyed \+1: split by .* a part gets none"):
        split_items(bank_of(4))
