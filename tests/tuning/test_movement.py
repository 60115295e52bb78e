import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from personascope.errors import DataError
from personascope.tuning.halves import random_splits, split_halves
from personascope.tuning.movement import gap_closed, gap_of
from personascope.tuning.movement_items import movement_items

QUICK = {"n_splits": 40, "n_resamples": 20}
ROLES = {name: name for name in ("before", "ideal", "after")}


def medians(planted, n, **how):
    """Medians of (split-half, corrected, plain) over data sets, each of which comes twice with its errors turned."""
    found = {"whole": [], "profile": []}
    for seed in range(n):
        for turn in (1, -1):
            data = movement_items(planted(seed, turn=turn, **how), ROLES)
            halves = split_halves(data, random_splits(data, n_splits=40, seed=seed))
            for name, centred in (("whole", False), ("profile", True)):
                gap = gap_of(data, halves, np.zeros(1), "ideal", centred=centred, n_resamples=20, seed=0)
                if gap.closed.refused is None:
                    found[name].append((gap.closed.value, gap.corrected, gap.closed.naive_biased))
    assert min(map(len, found.values())) > 1.5 * n
    return {name: np.median(rows, axis=0) for name, rows in found.items()}


@pytest.mark.parametrize(("se", "whole", "profile"), [(0.05, 0.04, 0.06), (0.10, 0.12, 0.17)])
def test_a_model_that_did_not_move_is_seen_not_to_have_moved(planted, se, whole, profile):
    found = medians(planted, 60 if se == 0.1 else 25, se=se)
    for name, naive in (("whole", whole), ("profile", profile)):
        split_half, corrected, plain = found[name]
        assert abs(split_half) < 0.02
        assert abs(corrected) < 0.02
        assert plain == pytest.approx(naive, abs=0.025)


@pytest.mark.parametrize("truth", [0.5, 1.0])
def test_a_known_gap_is_recovered(planted, truth):
    found = medians(planted, 12, truth=truth, se=0.1 if truth == 0.5 else 0.05)
    for split_half, corrected, _ in found.values():
        assert split_half == pytest.approx(truth, abs=0.04)
        assert corrected == pytest.approx(truth, abs=0.04)


def test_intervals_hold_the_planted_gap(planted):
    held = []
    for seed in range(30):
        closed = gap_closed(planted(seed, truth=0.5, n_facets=12), n_splits=20, n_resamples=100).whole.closed
        held.append(closed.low <= 0.5 <= closed.high)
    assert np.mean(held) >= 0.8


def test_without_error_everything_is_exact(planted):
    # Halves of unequal size must not matter.
    found = gap_closed(planted(0, truth=0.3, se=0.0, per_key=3), **QUICK)
    for gap in (found.whole, found.profile, found.positive, found.negative):
        assert [gap.closed.value, gap.closed.low, gap.closed.high] == pytest.approx([0.3] * 3)
        assert (gap.corrected, gap.closed.naive_biased) == pytest.approx((0.3, 0.3))
        assert (gap.stage.r, gap.stage.low) == pytest.approx((1, 1))
    assert (found.same_sign, found.reading) == (True, "trait movement")


def test_training_that_only_raises_ratings_is_no_trait_movement(planted):
    found = gap_closed(planted(1, shift=0.05), n_splits=40, n_resamples=100)
    assert found.positive.closed.low > 0 > found.negative.closed.high
    assert (found.same_sign, found.reading) == (False, "answer shift")
    assert found.whole.closed.low < 0 < found.whole.closed.high
    moved = gap_closed(planted(1, truth=0.6), n_splits=40, n_resamples=100)
    assert (moved.same_sign, moved.reading) == (True, "trait movement")
    still = gap_closed(planted(1), n_splits=40, n_resamples=100)
    assert still.reading == "unclear"


def test_a_gap_that_is_mostly_error_is_refused_with_its_reason(planted):
    found = gap_closed(planted(2, se=0.4, sd=0.1, mean=0.0), n_splits=40, n_resamples=200)
    assert found.whole.stage.low <= 0
    assert (found.whole.closed.value, found.whole.closed.low, found.whole.corrected) == (None, None, None)
    assert "weak: the halves of ideal - before do not clearly agree" in found.whole.closed.refused
    assert found.whole.closed.naive_biased is not None
    assert (found.same_sign, found.reading) == (None, "unclear")
    table = found.frame()
    assert table["gap_closed"].null_count() == table["refused"].len() == 4
    # The same gap in every facet: there is a way to go, but no profile to have it in.
    even = gap_closed(planted(3, truth=0.5, mean=0.5, sd=0.0), n_splits=40, n_resamples=200)
    assert even.whole.closed.value == pytest.approx(0.5, abs=0.1)
    assert even.profile.closed.value is None


def test_order_of_rows_and_unit_of_scores_do_not_matter(planted):
    items = planted(4, truth=0.5)
    one = gap_closed(items, **QUICK).frame()
    assert_frame_equal(gap_closed(items.sample(fraction=1, shuffle=True, seed=0), **QUICK).frame(), one)
    doubled = items.with_columns(pl.col(*ROLES) * 2)
    assert_frame_equal(gap_closed(doubled, **QUICK).frame(), one)
    # Other names put the facets in another order, which only draws other splits.
    turned = items.with_columns(facet=pl.format("g{}", 99 - pl.col("facet").str.slice(1).cast(pl.Int64)))
    other = gap_closed(turned, n_splits=400, n_resamples=2)
    assert other.whole.closed.value == pytest.approx(
        gap_closed(items, n_splits=400, n_resamples=2).whole.closed.value, abs=0.01
    )
    assert other.whole.corrected == pytest.approx(one["corrected"][0])


def test_near_duplicates_stay_in_one_half(planted):
    # Copies of an item on both sides would bring the shared error back.
    near, apart = [], []
    for seed in range(5):
        for turn in (1, -1):
            items = planted(seed, se=0.1, turn=turn)
            copies = pl.concat([items.with_columns(item=4 * pl.col("item") + c, family="item") for c in range(4)])
            near.append(gap_closed(copies, cluster="family", **QUICK))
            apart.append(gap_closed(copies, **QUICK).whole.closed.value - near[-1].whole.closed.value)
    assert abs(np.median([found.whole.closed.value for found in near])) < 0.05
    assert abs(np.median([found.whole.corrected for found in near])) < 0.05
    assert np.median(apart) > 0.06
    assert (near[0].whole.n_items, near[0].whole.n_clusters, near[0].positive.n_clusters) == (1200, 300, 150)


def test_items_that_lack_an_answer_are_counted_and_thin_facets_named(planted):
    items = planted(5, truth=0.5).with_columns(
        after=pl.when(pl.col("item") < 3).then(None).otherwise(pl.col("after")),
        # of f01 a single + item is left
        ideal=pl.when(pl.col("item").is_between(12, 16)).then(None).otherwise(pl.col("ideal")),
    )
    found = gap_closed(items, **QUICK)
    assert (found.n_dropped, found.left_out, len(found.facets)) == (8, ("f01",), 24)
    assert found.whole.n_items == 300 - 3 - 12
    row = found.frame().row(0, named=True)
    assert (row["n_dropped"], row["left_out"], row["n_facets"], row["toward"]) == (8, ["f01"], 24, "ideal")
    # a cluster in two halves is one: f02 has two + items, but of one family
    family = pl.when(pl.col("item").is_between(24, 29)).then(pl.lit("same")).otherwise(None)
    assert gap_closed(items.with_columns(family=family), cluster="family", **QUICK).left_out == ("f01", "f02")


def test_columns_are_named_by_the_caller(planted):
    items = planted(6, truth=0.5)
    named = items.rename({"before": "self", "ideal": "meta", "after": "tuned self"})
    found = gap_closed(named, before="self", ideal="meta", after="tuned self", **QUICK)
    assert found.toward == "meta"
    assert found.whole == gap_closed(items, **QUICK).whole


def test_errors_are_those_of_paired_item_differences(planted):
    items = planted(7, item_sd=0.5)
    data = movement_items(items, ROLES)
    found = data.errors(("ideal", "before"), ("after", "before"))
    one = items.filter(pl.col("facet") == "f03")
    expected = 0
    for key in (1, -1):
        part = one.filter(pl.col("key") == key)
        d = np.column_stack([part["ideal"] - part["before"], part["after"] - part["before"]])
        expected = expected + np.cov(d.T) / len(d) / 4
    np.testing.assert_allclose(found[3], expected)
    # On + items alone nothing is averaged with - items.
    plus = one.filter(pl.col("key") == 1)
    alone = data.errors(("ideal", "before"), keys="positive")[3, 0, 0]
    assert alone == pytest.approx((plus["ideal"] - plus["before"]).var() / len(plus))


def test_errors_of_families_of_both_keys_are_those_of_their_sums(planted):
    # Each family is a + item and its reverse: the facet's score is a mean over families.
    items = planted(8, per_key=10).with_columns(family=pl.format("{} {}", "facet", pl.col("item") % 10))
    found = movement_items(items, ROLES, cluster="family").errors(("ideal", "before"))[:, 0, 0]
    d = items.with_columns(d=pl.col("ideal") - pl.col("before")).group_by("facet", "family").agg(pl.col("d").mean())
    expected = d.group_by("facet").agg(pl.col("d").var() / 10).sort("facet")["d"]
    np.testing.assert_allclose(found, expected)


def test_what_items_have_in_common_is_no_error_of_a_difference(planted):
    found = medians(planted, 12, se=0.05, item_sd=0.5)
    assert abs(found["whole"][0]) < 0.03
    assert abs(found["whole"][1]) < 0.03


BEFORE = pl.col("before")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.lit(float("nan")).alias("after"), "missing or non-finite value"),
        (pl.lit(float("inf")).alias("ideal"), "missing or non-finite value"),
        (BEFORE.alias("after"), "'after' .column 'after'. and 'before' .column 'before'. hold the same 300 scores"),
        (BEFORE.alias("ideal"), "'ideal' .column 'ideal'. and 'before'"),
        ((3 + BEFORE).alias("before"), "Scores of 'before' reach 3"),
        ((0 * pl.col("item")).alias("item"), "occurs more than once"),
        ((2 * pl.col("key")).alias("key"), "has key 2"),
        (pl.lit(1).alias("key"), "0 facets have two independent items of each key, fewer than 3; left out: f00"),
        (pl.lit(None).alias("after"), "None of 300 items has all of before, ideal, after"),
    ],
)
def test_unusable_items_are_refused(planted, change, message):
    with pytest.raises(DataError, match=message):
        gap_closed(planted(9).with_columns(change), **QUICK)


def test_errors_say_symptom_cause_and_fix(planted):
    with pytest.raises(DataError) as caught:
        gap_closed(planted(9), after="before", **QUICK)
    assert "One measurement was passed twice" in caught.value.cause
    assert "with the adapter on" in caught.value.fix
    with pytest.raises(DataError, match="Did you mean 'before'"):
        gap_closed(planted(9), before="befor", **QUICK)


@pytest.mark.parametrize("settings", [{"n_splits": 0}, {"n_resamples": 0}])
def test_splits_and_resamples_are_needed(planted, settings):
    with pytest.raises(DataError, match=r"0 (splits|resamples)"):
        gap_closed(planted(9), **(QUICK | settings))


def test_an_ideal_that_differs_in_yea_saying_alone_is_no_trait_to_move_along(planted):
    """Each key then has a clear gap, which training that raises ratings goes along on both."""
    items = planted(3, mean=0.0, sd=0.0, shift=0.05)
    items = items.with_columns(ideal=pl.col("before") + pl.col("key") * 0.03)
    found = gap_closed(items, n_resamples=200)
    assert found.whole.closed.refused is not None
    assert found.same_sign and found.positive.closed.low > 0 and found.negative.closed.low > 0
    assert found.reading == "unclear"
