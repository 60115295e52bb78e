import numpy as np
import polars as pl
import pytest
from benchmarks.respondents import (
    FACETS,
    TRAITS,
    WEIGHTS,
    ask,
    bank,
    content_responder,
    desirability_responder,
    mid_point,
    mixed,
    noisy,
    yea_sayer,
)
from scipy import stats

from personascope.errors import DataError
from personascope.measures.partial_effects import partial_effects, response_components


@pytest.mark.parametrize("desirable_key", [0.0, 0.4])
def test_the_weights_of_a_mixture_are_recovered_by_regression(desirable_key):
    found = response_components(ask({"mixed": mixed()}, bank(desirable_key=desirable_key)))
    weight = {(row["component"], row["facet"]): row["weight"] for row in found.iter_rows(named=True)}
    assert weight["acquiescence", None] == pytest.approx(WEIGHTS["yea"], abs=0.05)
    assert weight["order", None] == pytest.approx(-WEIGHTS["first"], abs=0.05)
    assert weight["desirability", None] == pytest.approx(WEIGHTS["desirable"], abs=0.05)
    traits = np.array([weight["trait", facet] for facet in FACETS])
    slope = np.polyfit(list(TRAITS.values()), traits, 1)[0]
    assert slope == pytest.approx(WEIGHTS["content"], abs=0.05)
    rows = found.filter(pl.col("component") != "trait")
    assert (rows["low"] < rows["weight"]).all() and (rows["weight"] < rows["high"]).all()


def test_components_equal_least_squares_by_hand():
    items = bank((3, 4), facets=FACETS[:2], desirable_key=0.2)
    answers = ask({"mixed": mixed()}, items)
    columns = [
        ((answers["facet"] == facet) & (answers["key"] == key)).cast(pl.Float64).to_numpy()
        for facet in FACETS[:2]
        for key in (1, -1)
    ]
    order = np.where(answers["order"] == "ascending", 1.0, -1.0)
    X = np.column_stack([*columns, answers["desirability"].to_numpy(), order])
    b = np.linalg.lstsq(X, answers["agreement"].to_numpy(), rcond=None)[0]
    found = response_components(answers)
    weight = {(row["component"], row["facet"]): row["weight"] for row in found.iter_rows(named=True)}
    assert weight["trait", FACETS[0]] == pytest.approx((b[0] - b[1]) / 2)
    assert weight["trait", FACETS[1]] == pytest.approx((b[2] - b[3]) / 2)
    assert weight["acquiescence", None] == pytest.approx(b[:4].mean())
    assert weight["desirability", None] == pytest.approx(b[4])
    assert weight["order", None] == pytest.approx(b[5])


def test_a_desirability_responder_is_told_from_a_trait_where_good_items_are_keyed_positive():
    answers = ask({"self": mid_point, "meta": desirability_responder}, bank(desirable_key=0.4))
    table = partial_effects(answers, [("meta", "self")])
    np.testing.assert_allclose(table["raw"], 0.4, atol=1e-9)  # looks like a trait on every facet
    np.testing.assert_allclose(table["adjusted"], 0, atol=1e-9)
    np.testing.assert_allclose(table["desirability_slope"], 1, atol=1e-9)


def test_a_trait_survives_the_adjustment():
    answers = ask({"self": mid_point, "meta": content_responder()}, bank(desirable_key=0.4))
    table = partial_effects(answers, [("meta", "self")])
    np.testing.assert_allclose(table["raw"], list(TRAITS.values()), atol=1e-9)
    np.testing.assert_allclose(table["adjusted"], list(TRAITS.values()), atol=1e-9)
    np.testing.assert_allclose(table["desirability_slope"], 0, atol=1e-9)


def test_robust_errors_equal_the_sandwich_by_hand():
    answers = noisy(0)
    items = answers.pivot(
        "persona", index=["item", "facet", "key", "desirability"], values="agreement", aggregate_function="mean"
    )
    d = (items["meta"] - items["self"]).to_numpy()
    cells = items.select(pl.concat_str("facet", "key")).to_series()
    dummies = np.stack([(cells == cell).to_numpy() for cell in cells.unique(maintain_order=True)], axis=1).astype(float)
    X = np.column_stack([dummies, items["desirability"].to_numpy()])
    inverse = np.linalg.inv(X.T @ X)
    b = inverse @ X.T @ d
    scores = X * (d - X @ b)[:, None]
    n, k = X.shape
    cov = inverse @ (scores.T @ scores) @ inverse * n / (n - 1) * (n - 1) / (n - k)
    half = stats.t.ppf(0.975, n - 1) * np.sqrt(cov[-1, -1])
    row = partial_effects(answers, [("meta", "self")]).row(0, named=True)
    assert row["desirability_slope"] == pytest.approx(b[-1])
    assert (row["slope_low"], row["slope_high"]) == (pytest.approx(b[-1] - half), pytest.approx(b[-1] + half))


def test_copied_items_in_one_cluster_add_no_certainty():
    answers = noisy(1)
    once = partial_effects(answers, [("meta", "self")])
    copies = pl.concat(
        answers.with_columns(cluster=pl.col("item"), item=pl.col("item") + pl.lit(f"/{i}")) for i in range(3)
    )
    clustered = partial_effects(copies, [("meta", "self")])
    naive = partial_effects(copies.drop("cluster"), [("meta", "self")])
    width = {name: (t["high"] - t["low"]).mean() for name, t in (("1", once), ("c", clustered), ("n", naive))}
    np.testing.assert_allclose(clustered["adjusted"], once["adjusted"])
    assert width["c"] == pytest.approx(width["1"], rel=0.2)
    assert width["n"] < 0.7 * width["1"]


def test_items_without_a_rating_are_left_out_and_counted():
    answers = noisy(2)
    gone = sorted(set(answers.filter(pl.col("facet") == FACETS[0])["item"]))[:2]
    unrated = answers.with_columns(
        desirability=pl.when(pl.col("item").is_in(gone)).then(None).otherwise("desirability")
    )
    table = partial_effects(unrated, [("meta", "self")])
    same = partial_effects(answers.filter(~pl.col("item").is_in(gone)), [("meta", "self")])
    assert table["n_left_out"].to_list() == [2] + [0] * 11
    assert table.drop("n_left_out").equals(same.drop("n_left_out"))
    used = response_components(unrated)
    assert set(used["n"]) == {answers["item"].n_unique() - 2}
    bare = response_components(answers.drop("desirability"))
    assert "desirability" not in bare["component"]
    assert set(bare["n"]) == {answers["item"].n_unique()}


def test_a_facet_of_one_key_has_no_effect_and_a_single_item_no_interval():
    items = pl.concat([bank((4, 0), facets=["plus"]), bank((1, 4), facets=["thin"]), bank((4, 4), facets=["both"])])
    answers = ask({"self": mid_point, "meta": desirability_responder}, items)
    table = {row["facet"]: row for row in partial_effects(answers, [("meta", "self")]).iter_rows(named=True)}
    assert (table["plus"]["raw"], table["plus"]["adjusted"], table["plus"]["low"]) == (None, None, None)
    assert table["thin"]["adjusted"] is not None and table["thin"]["low"] is None
    assert table["both"]["low"] is not None


def test_effects_that_cannot_be_estimated_are_refused():
    items = bank((2, 2))
    answers = ask({"self": mid_point, "meta": yea_sayer}, items)
    with pytest.raises(DataError, match="does not vary"):
        partial_effects(answers.with_columns(desirability=pl.col("key") * 0.5), [("meta", "self")])
    with pytest.raises(DataError, match="does not vary"):
        partial_effects(answers.drop("desirability"), [("meta", "self")])
    with pytest.raises(DataError, match="Did you mean 'meta'"):
        partial_effects(answers, [("mta", "self")])
    lost = answers.filter((pl.col("persona") == "self") | (pl.col("item") != items["item"][0]))
    with pytest.raises(DataError, match="1 items were answered by only one"):
        partial_effects(lost, [("meta", "self")])
    two_keys = answers.with_columns(key=pl.when(pl.int_range(pl.len()) == 0).then(-1).otherwise("key"))
    with pytest.raises(DataError, match="is described in two ways"):
        response_components(two_keys)
    spoiled = answers.with_columns(desirability=pl.lit(float("nan")))
    with pytest.raises(DataError, match="non-finite"):
        response_components(spoiled)
