import numpy as np
import polars as pl
import pytest
from benchmarks.respondents import (
    FACETS,
    STYLES,
    TRAITS,
    WEIGHTS,
    ask,
    bank,
    by_index,
    content_free,
    content_responder,
    desirability_responder,
    even,
    first_position,
    mid_point,
    mixed,
    noisy,
    placed,
    random_responder,
    softened,
    yea_sayer,
)

from personascope.errors import DataError
from personascope.instruments.items import load_items
from personascope.measures.bias import bias_panel, partial_effects, response_components, response_orthogonality
from personascope.measures.scales import facet_scores

QUICK = {"n_resamples": 200, "seed": 0}
RMS = float(np.sqrt(np.mean(np.square(list(TRAITS.values())))))
# What each style must show; every index of INDICES that is not named must be 0.
INDICES = ("trait", "acquiescence", "order_bias", "order_bias_absolute", "sign_flips", "desirability_slope")
PLANTED = {
    "yea": {"acquiescence": 1.0},
    "nay": {"acquiescence": -1.0},
    "middle": {},
    "extreme": {},
    "first": {"order_bias": -1.0, "order_bias_absolute": 1.0, "sign_flips": 1.0},
    "one": {"order_bias": -1.0, "order_bias_absolute": 1.0, "sign_flips": 1.0},
    "desirable": {"desirability_slope": 1.0},
    "content": {"trait": RMS},
}


@pytest.fixture(scope="module")
def panel():
    return bias_panel(ask(STYLES, bank()), **QUICK)


@pytest.mark.parametrize("style", PLANTED)
def test_each_style_moves_its_own_index_and_no_other(panel, style):
    found = by_index(panel, style)
    for index in INDICES:
        assert found[index]["value"] == pytest.approx(PLANTED[style].get(index, 0.0), abs=1e-9), index


def test_a_random_respondent_shows_in_the_scatter_between_orders_alone(panel):
    found = by_index(panel, "random")
    # Standard errors over 192 items: .036 of acquiescence and order bias, .11 of the slope; four are allowed.
    for index, limit in (("acquiescence", 0.15), ("order_bias", 0.15), ("desirability_slope", 0.45)):
        assert abs(found[index]["value"]) < limit, index
    assert found["trait"]["value"] < 0.15
    # Two independent even draws from -1, -.5, 0, .5, 1: mean |difference| / 2 is .4, P(opposite signs) is .32.
    assert found["order_bias_absolute"]["value"] == pytest.approx(0.4, abs=0.06)
    assert found["sign_flips"]["value"] == pytest.approx(0.32, abs=0.1)


@pytest.mark.parametrize(
    ("style", "extremity", "extreme_share", "midpoint_share", "extreme_mass", "middle_mass"),
    [
        ("middle", 0, 0, 1, 0, 1),
        ("extreme", 1, 1, 0, 1, 0),
        ("yea", 1, 1, 0, 1, 0),
        ("first", 1, 1, 0, 1, 0),  # although its two orders average to the middle
        ("random", 0.6, 0.4, 0.2, 0.4, 0.2),
    ],
)
def test_extremity_and_mid_point_responding_are_read_order_by_order(
    panel, style, extremity, extreme_share, midpoint_share, extreme_mass, middle_mass
):
    found = by_index(panel, style)
    expected = (extremity, extreme_share, midpoint_share, extreme_mass, middle_mass)
    names = ("extremity", "extreme_share", "midpoint_share", "extreme_mass", "middle_mass")
    for index, value in zip(names, expected, strict=True):
        assert found[index]["value"] == pytest.approx(value, abs=0.08 if style == "random" else 1e-9), index


def test_an_even_guess_is_told_from_a_firm_middle_by_its_mass():
    found = by_index(bias_panel(ask({"even": even}, bank()), **QUICK), "even")
    assert found["midpoint_share"]["value"] == pytest.approx(1)
    assert found["middle_mass"]["value"] == pytest.approx(0.2)
    assert found["extreme_mass"]["value"] == pytest.approx(0.4)


def test_unbalanced_keys_do_not_turn_traits_into_acquiescence():
    # Pooled over facets, high traits on mostly positive facets and low traits on mostly negative ones would look like
    # saying yes.
    items = pl.concat([bank((12, 4), facets=FACETS[6:]), bank((4, 12), facets=FACETS[:6])])
    answers = ask({"content": content_responder()}, items)
    assert answers["agreement"].mean() > 0.2
    found = by_index(bias_panel(answers, **QUICK), "content")
    assert found["acquiescence"]["value"] == pytest.approx(0, abs=1e-9)
    assert found["trait"]["value"] == pytest.approx(RMS)


def test_flags_name_what_is_amiss_and_stay_silent_otherwise(panel):
    flagged = {
        persona: set(part["index"])
        for (persona,), part in panel.filter(pl.col("flag").is_not_null()).group_by("persona")
    }
    order = {"order_bias", "order_bias_absolute", "sign_flips"}
    assert "content" not in flagged
    assert flagged["yea"] == {"acquiescence", "key_consistency", "extreme_share"}
    assert flagged["first"] == {*order, "key_consistency", "extreme_share"}
    assert flagged["desirable"] == {"desirability_slope", "desirability_r", "key_consistency"}
    assert flagged["middle"] == {"key_consistency", "midpoint_share"}
    assert "order_bias_absolute" in flagged["random"]
    assert "acquiescence" not in flagged["random"]  # more than twice a trait of nearly 0, but within its error
    assert by_index(panel, "yea")["acquiescence"]["flag"] == "|acquiescence| 1.00 > 2 x trait 0.00"
    faint = bias_panel(ask({"content": content_responder()}, bank(), label_mass=0.4), **QUICK)
    assert by_index(faint, "content")["label_mass"]["flag"].startswith("label mass 0.40 < 0.5")


def test_a_bias_that_differs_between_facets_opposes_the_keys():
    tendency = dict(zip(FACETS, np.linspace(-0.6, 0.6, len(FACETS)), strict=True))

    def biased(items, descending):
        return placed(np.array([tendency[facet] for facet in items["facet"]]), descending)

    found = by_index(bias_panel(ask({"biased": biased}, bank()), **QUICK), "biased")["key_consistency"]
    assert found["value"] == pytest.approx(-1)
    assert found["flag"] == "key consistency -1.00 < 0: the scores are mostly bias"


def test_noise_is_not_taken_for_a_trait():
    # Without its error taken off, the root mean square facet trait of pure noise would be about .09 here.
    rng = np.random.default_rng(0)
    answers = ask({f"p{i}": mid_point for i in range(20)}, bank())
    noise = rng.normal(0, 0.5, (20, answers.height // 40))
    names = {f"p{i}": i for i in range(20)}
    place = {item: i for i, item in enumerate(answers["item"].unique(maintain_order=True))}
    at = [(names[p], place[i]) for p, i in answers.select("persona", "item").iter_rows()]
    answers = answers.with_columns(agreement=pl.Series([noise[cell] for cell in at]))
    found = bias_panel(answers, n_resamples=50).filter(pl.col("index") == "trait")["value"].to_numpy()
    naive = facet_scores(answers.filter(pl.col("order") == "ascending"), n_resamples=50)["trait"].to_numpy()
    assert np.mean(naive**2) == pytest.approx(0.5**2 / 16, rel=0.15)
    assert np.mean(found**2) < 0.4 * np.mean(naive**2)


def test_the_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(3)
    items = bank((10, 10), facets=FACETS[:6])
    n, key, x = 60, items["key"].to_numpy(), items["desirability"].to_numpy()
    tables = []
    for i in range(n):
        agreement = 0.3 * key + 0.15 + 0.4 * x + rng.normal(0, 0.3, items.height)
        for order, sign in (("ascending", 1), ("descending", -1)):
            shown = agreement + sign * (0.1 + rng.normal(0, 0.2, items.height))
            tables.append(items.with_columns(persona=pl.lit(f"p{i}"), order=pl.lit(order), agreement=pl.Series(shown)))
    table = bias_panel(pl.concat(tables).with_columns(label_mass=pl.lit(0.9)), n_resamples=250)
    for index, truth in (("acquiescence", 0.15), ("order_bias", 0.1), ("desirability_slope", 0.4)):
        own = table.filter(pl.col("index") == index)
        covered = ((own["low"] <= truth) & (truth <= own["high"])).mean()
        assert covered > 0.86, index


def test_the_panel_finds_the_same_weights_where_desirability_and_key_are_unrelated():
    found = by_index(bias_panel(ask({"mixed": mixed()}, bank()), **QUICK), "mixed")
    assert found["acquiescence"]["value"] == pytest.approx(WEIGHTS["yea"], abs=0.05)
    assert found["order_bias"]["value"] == pytest.approx(-WEIGHTS["first"], abs=0.05)
    assert found["desirability_slope"]["value"] == pytest.approx(WEIGHTS["desirable"], abs=0.05)
    assert found["trait"]["value"] == pytest.approx(WEIGHTS["content"] * RMS, abs=0.05)


def test_response_orthogonality_is_the_share_of_negative_items(tmp_path):
    rows = ["id,facet,key,text"]
    rows += [f"s{i},sincerity,{1 if i == 0 else -1},Text s{i}." for i in range(10)]
    rows += [f"d{i},dependence,1,Text d{i}." for i in range(10)]
    path = tmp_path / "bank.csv"
    path.write_text("\n".join(rows))
    table = response_orthogonality(load_items(path))
    assert table.rows() == [("sincerity", "H", 1, 9, 0.9), ("dependence", "E", 10, 0, 0.0)]
    built_in = response_orthogonality(load_items())
    assert built_in.height == 25
    np.testing.assert_allclose(built_in["orthogonality"], 0.5)


def test_each_model_is_taken_alone():
    one = ask({"self": yea_sayer, "meta": content_responder()}, bank()).with_columns(model=pl.lit("a"))
    other = ask({"self": first_position, "meta": desirability_responder}, bank()).with_columns(model=pl.lit("b"))
    blank = content_free({"self": softened(yea_sayer), "meta": softened(mid_point)})
    priors = pl.concat([blank.with_columns(model=pl.lit(name)) for name in "ab"])
    both = pl.concat([one, other])
    table = bias_panel(both, prior=priors, **QUICK)
    assert table.columns == ["model", "persona", "index", "value", "low", "high", "n", "flag"]
    for name, part in (("a", one), ("b", other)):
        alone = bias_panel(part.drop("model"), prior=blank, **QUICK)
        assert table.filter(pl.col("model") == name).drop("model").equals(alone)
    for function in (response_components, lambda t: partial_effects(t, [("meta", "self")])):
        found = function(both)
        assert found.filter(pl.col("model") == "b").drop("model").equals(function(other.drop("model")))
    with pytest.raises(DataError, match="1 of 2 tables have a column 'model'"):
        bias_panel(both, prior=blank, **QUICK)
    with pytest.raises(DataError, match="Model 'b' is in one table"):
        bias_panel(both, prior=priors.filter(pl.col("model") == "a"), **QUICK)


def test_shuffled_rows_change_nothing():
    answers = ask({"mixed": mixed(), "random": random_responder(2)}, bank())
    table = bias_panel(answers, **QUICK).sort("persona", "index")
    shuffled = bias_panel(answers.sample(fraction=1.0, shuffle=True, seed=1), **QUICK).sort("persona", "index")
    for column in ("value", "low", "high"):
        np.testing.assert_allclose(shuffled[column].to_numpy(), table[column].to_numpy(), atol=1e-12)


def test_items_without_a_rating_are_left_out_of_desirability_alone():
    answers = noisy(2)
    gone = answers["item"][0]
    unrated = answers.with_columns(desirability=pl.when(pl.col("item") == gone).then(None).otherwise("desirability"))
    found, n = by_index(bias_panel(unrated, **QUICK), "meta"), answers["item"].n_unique()
    assert (found["desirability_slope"]["n"], found["acquiescence"]["n"]) == (n - 1, n)
    bare = by_index(bias_panel(answers.drop("desirability"), **QUICK), "meta")["desirability_slope"]
    assert (bare["value"], bare["n"], bare["flag"]) == (None, 0, "no item has a desirability rating")


def test_indices_that_cannot_be_computed_say_why():
    answers = ask({"self": content_responder()}, bank((4, 0)))
    found = by_index(bias_panel(answers, **QUICK), "self")
    assert found["trait"]["value"] is None and found["acquiescence"]["value"] is None
    assert found["acquiescence"]["flag"].startswith("no facet has items of both keys")
    assert found["key_consistency"]["flag"] == "fewer than 3 facets have items of both keys"
    single = by_index(bias_panel(ask({"self": content_responder()}, bank((1, 1))), **QUICK), "self")
    assert single["trait"]["flag"].startswith("no facet has two items of each key")
    assert single["acquiescence"]["value"] == pytest.approx(0) and single["acquiescence"]["low"] is None
