import numpy as np
import polars as pl
import pytest
from scipy import stats

from personascope.errors import DataError
from personascope.measures.contrasts import paired_contrasts, sign_flip_p
from personascope.measures.multiplicity import adjust, max_t
from personascope.measures.scales import domain_scores, facet_scores

QUICK = {"n_resamples": 200, "seed": 0}
META = [("meta", "self")]


def table(answers, counts):
    """Item table of personas; `answers` maps a persona to a function of the key array."""
    items = pl.DataFrame(
        [
            {"item": f"{facet}{sign:+d}_{i}", "facet": facet, "domain": "H", "key": sign}
            for facet, numbers in counts.items()
            for sign, n in zip((1, -1), numbers, strict=True)
            for i in range(n)
        ]
    )
    key = items["key"].to_numpy()
    return pl.concat(
        [
            items.with_columns(persona=pl.lit(p), agreement=pl.Series(f(key), dtype=pl.Float64))
            for p, f in answers.items()
        ]
    )


def random_table(seed, counts):
    rng = np.random.default_rng(seed)
    return table({p: lambda key: rng.uniform(-1, 1, len(key)) for p in ("self", "meta", "helpful")}, counts)


def test_the_difference_is_that_of_facet_traits_however_unbalanced_the_keys():
    items = random_table(0, {"a": (4, 4), "b": (2, 8), "c": (7, 3)})
    traits = {
        (row["persona"], row["facet"]): row["trait"] for row in facet_scores(items, **QUICK).iter_rows(named=True)
    }
    found = paired_contrasts(items, **QUICK)
    assert found["contrast"].unique(maintain_order=True).to_list() == ["meta - self", "helpful - self"]
    for row in found.iter_rows(named=True):
        expected = traits[row["persona"], row["facet"]] - traits[row["reference"], row["facet"]]
        assert row["difference"] == pytest.approx(expected)
        assert row["difference"] == pytest.approx((row["difference_positive"] - row["difference_negative"]) / 2)
        assert row["low"] < row["difference"] < row["high"]


def test_with_balanced_keys_the_difference_is_the_mean_keyed_difference():
    items = random_table(1, {"a": (5, 5)})
    wide = items.pivot(on="persona", index=["item", "key"], values="agreement")
    keyed = (wide["key"] * (wide["meta"] - wide["self"])).mean()
    assert paired_contrasts(items, META, **QUICK)["difference"][0] == pytest.approx(keyed)


def test_yea_saying_shows_in_both_keys_and_not_in_the_difference():
    rng = np.random.default_rng(2)
    base = rng.uniform(-0.5, 0.5, 10)
    items = table({"self": lambda key: base, "meta": lambda key: base + 0.3}, {"a": (3, 7)})
    row = paired_contrasts(items, META, **QUICK).row(0, named=True)
    assert row["difference"] == pytest.approx(0, abs=1e-12)
    assert row["difference_positive"] == pytest.approx(0.3)
    assert row["difference_negative"] == pytest.approx(0.3)
    assert row["p"] == pytest.approx(1.0)


def test_a_planted_trait_shift_is_found_with_its_sign():
    rng = np.random.default_rng(3)
    base = rng.uniform(-0.5, 0.5, 40)
    shift = rng.normal(0.25, 0.2, 40)
    items = table({"self": lambda key: base, "meta": lambda key: base + key * shift}, {"a": (20, 20)})
    row = paired_contrasts(items, META, **QUICK).row(0, named=True)
    assert row["difference"] == pytest.approx(shift.mean())
    assert 0 < row["low"] < 0.25 < row["high"]
    assert row["p"] == pytest.approx(1 / 10_001)
    assert row["n"] == 40


def test_a_facet_of_one_key_has_its_raw_difference_but_no_trait_difference():
    items = random_table(4, {"dependence": (6, 0), "a": (3, 3), "b": (3, 3)})
    found = paired_contrasts(items, META, **QUICK)
    row = found.row(0, named=True)
    assert [row[name] for name in ("difference", "low", "high", "p", "q", "difference_negative")] == [None] * 6
    assert row["difference_positive"] is not None
    # The null facet is not counted as a test: the family has two.
    rest = found.filter(pl.col("p").is_not_null())
    np.testing.assert_allclose(rest["q"], step_up(rest["p"].to_numpy()))


def step_up(p):
    """Benjamini-Hochberg adjusted p values, from the definition: min over k >= rank of p_(k) m / k."""
    ranked = np.sort(p)
    return np.array(
        [min(1.0, *(ranked[k] * len(p) / (k + 1) for k in range(len(p)) if ranked[k] >= value)) for value in p]
    )


def test_false_discovery_rates_are_worked_out_within_each_contrast():
    # The example of Benjamini & Hochberg (1995, section 4): at .05 the first four of these fifteen are significant.
    published = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.324, 0.4262, 0.5719, 0.6528]
    assert int((step_up(np.array([*published, 0.759, 1.0])) <= 0.05).sum()) == 4
    items = random_table(5, dict.fromkeys("abcdef", (4, 4)))
    found = paired_contrasts(items, **QUICK)
    for (_,), family in found.group_by("contrast"):
        np.testing.assert_allclose(family["q"], step_up(family["p"].to_numpy()))
    one_alone = paired_contrasts(items, META, **QUICK)
    np.testing.assert_allclose(one_alone["q"], found.filter(pl.col("persona") == "meta")["q"])


def test_items_may_be_grouped_by_another_column_and_nulls_stay_out():
    items = random_table(6, {"a": (4, 4), "altruism": (4, 4)})
    items = items.with_columns(domain=pl.when(pl.col("facet") == "a").then(pl.lit("H")))
    found = paired_contrasts(items, META, by="domain", **QUICK)
    assert found["domain"].to_list() == ["H"]
    assert found["difference"][0] == pytest.approx(paired_contrasts(items, META, **QUICK)["difference"][0])
    with pytest.raises(DataError, match="nothing to contrast"):
        paired_contrasts(items.with_columns(domain=pl.lit(None, dtype=pl.String)), META, by="domain", **QUICK)


def test_rows_in_another_order_change_nothing():
    items = random_table(7, {"a": (6, 8), "b": (3, 3)})
    numbers = ["difference", "low", "high", "p", "q"]
    one = paired_contrasts(items, META, **QUICK).sort("facet").select(numbers)
    other = paired_contrasts(items.sample(fraction=1.0, shuffle=True, seed=1), META, **QUICK).sort("facet")
    np.testing.assert_allclose(other.select(numbers).to_numpy(), one.to_numpy(), atol=1e-12)


@pytest.mark.parametrize("missing_in", ["self", "meta"])
def test_an_item_that_only_one_persona_answered_is_named(missing_in):
    items = random_table(8, {"a": (2, 2)})
    items = items.filter((pl.col("persona") != missing_in) | (pl.col("item") != "a+1_0"))
    with pytest.raises(DataError, match=r"1 items were answered by only one .*a\+1_0"):
        paired_contrasts(items, META, **QUICK)


def test_an_unknown_persona_is_named():
    with pytest.raises(DataError, match=r"No answers of persona 'meat'. Did you mean 'meta'"):
        paired_contrasts(random_table(9, {"a": (2, 2)}), [("meat", "self")], **QUICK)


@pytest.mark.parametrize("n", [2, 5, 12])
def test_the_exact_sign_flip_equals_scipys_enumeration(n):
    values = np.random.default_rng(n).normal(0.4, 1.0, n)
    oracle = stats.permutation_test(
        (values,), lambda x, axis: x.sum(axis=axis), permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    assert sign_flip_p(values) == pytest.approx(oracle.pvalue)


def test_ties_count_as_hits_in_spite_of_rounding():
    # Of the 8 sign patterns of three equal values, only +++ and --- reach the observed sum.
    assert sign_flip_p(np.full(3, 0.1)) == pytest.approx(2 / 8)
    # All six patterns with two of one sign reach |0.1|, in whatever order they are summed.
    assert sign_flip_p(np.array([0.1, 0.1, -0.1])) == pytest.approx(1.0)
    assert sign_flip_p(np.zeros(4)) == 1.0


def test_random_flips_come_close_to_the_exact_value_and_never_to_zero():
    values = np.random.default_rng(10).normal(0.5, 1.0, 13)
    signs = 1 - 2 * (np.arange(2**13)[:, None] >> np.arange(13) & 1)
    exact = np.mean(np.abs(signs @ values) >= abs(values.sum()) - 1e-9)
    assert sign_flip_p(values, seed=1) == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 10_000))
    assert sign_flip_p(np.ones(60), n_flips=99) == pytest.approx(0.01)


def test_a_domain_is_the_mean_of_its_facets_however_long_they_are():
    rng = np.random.default_rng(11)
    items = random_table(11, {"short": (3, 3), "long": (20, 18), "one key": (6, 0)})
    # Only the short facet moves, by .4: a mean over items would say .05.
    shift = pl.when(pl.col("facet") == "short").then(0.4).otherwise(0.0) * pl.col("key")
    base = items.filter(pl.col("persona") == "self").with_columns(agreement=rng.uniform(-0.5, 0.5, 50))
    items = pl.concat([base, base.with_columns(persona=pl.lit("meta"), agreement=pl.col("agreement") + shift)])
    row = paired_contrasts(items, META, by="domain", **QUICK).row(0, named=True)
    assert row["difference"] == pytest.approx(0.2)
    assert (row["difference_positive"], row["difference_negative"]) == (pytest.approx(0.2), pytest.approx(-0.2))
    assert (row["n"], row["left_out"]) == (44, ["one key"])
    traits = dict(domain_scores(items, **QUICK).select("persona", "trait").iter_rows())
    assert row["difference"] == pytest.approx(traits["meta"] - traits["self"])


def test_a_domain_of_facets_with_one_key_has_no_difference():
    found = paired_contrasts(random_table(12, {"a": (5, 0), "b": (0, 5)}), META, by="domain", **QUICK)
    assert found.select("difference", "p", "n", "untested").row(0) == (None, None, 0, "items of one key only")


def family_table(seed, n_families, size, rho, shift=0.0):
    """Items in families of near duplicates of one key each; meta - self is correlated within a family."""
    rng = np.random.default_rng(seed)
    family = np.repeat(np.arange(n_families), size)
    d = shift + 0.4 * (rho**0.5 * rng.normal(size=n_families)[family] + (1 - rho) ** 0.5 * rng.normal(size=len(family)))
    key = np.where(family % 2, -1, 1)
    about = pl.DataFrame({"item": np.arange(len(family)), "facet": "a", "key": key, "family": family, "agreement": 0.0})
    meta = about.with_columns(persona=pl.lit("meta"), agreement=pl.Series(key * d))
    return pl.concat([about.with_columns(persona=pl.lit("self")), meta])


def test_near_duplicates_that_say_the_same_count_as_one_item():
    items = family_table(13, 12, 5, rho=1.0, shift=0.2)
    one_each = items.filter(pl.col("item") % 5 == 0)
    clustered = paired_contrasts(items, META, cluster="family", n_resamples=4_000).row(0, named=True)
    single = paired_contrasts(one_each, META, n_resamples=4_000).row(0, named=True)
    ignored = paired_contrasts(items, META, n_resamples=4_000).row(0, named=True)
    assert (clustered["n"], clustered["n_clusters"], single["n"], ignored["n_clusters"]) == (60, 12, 12, 60)
    assert clustered["difference"] == pytest.approx(single["difference"])
    assert clustered["p"] == pytest.approx(single["p"])
    assert clustered["se"] == pytest.approx(single["se"], rel=0.05)
    assert ignored["se"] < 0.6 * clustered["se"]
    assert ignored["p"] < clustered["p"]


def test_items_without_a_cluster_stand_alone():
    items = family_table(14, 20, 1, rho=0.0)
    alone = items.with_columns(family=pl.lit(None, dtype=pl.Int64))
    without = paired_contrasts(items, META, **QUICK)
    for table in (alone, items):
        found = paired_contrasts(table, META, cluster="family", **QUICK)
        assert found.drop("untested").equals(without.drop("untested"))
    half = items.with_columns(family=pl.when(pl.col("item") < 8).then(pl.col("family") // 4))
    assert paired_contrasts(half, META, cluster="family", **QUICK)["n_clusters"].to_list() == [2 + 12]


def test_the_standardised_difference_is_that_of_paired_values():
    items = random_table(15, {"a": (20, 20)})
    row = paired_contrasts(items, META, **QUICK).row(0, named=True)
    wide = items.pivot(on="persona", index=["item", "key"], values="agreement").with_columns(
        d=pl.col("meta") - pl.col("self")
    )
    inside = wide.with_columns(pl.col("d") - pl.col("d").mean().over("key"))["d"]
    assert row["d_z"] == pytest.approx(row["difference"] / np.sqrt((inside**2).sum() / 38))
    keyed = wide["key"] * wide["d"]
    assert row["d_z"] == pytest.approx(keyed.mean() / keyed.std(), rel=0.1)
    assert row["se"] == pytest.approx(row["difference"] / row["d_z"] / 40**0.5, rel=0.2)
    yes = paired_contrasts(items.with_columns(agreement=pl.lit(0.5)), META, **QUICK).row(0, named=True)
    assert (yes["d_z"], yes["difference"], yes["p"]) == (None, 0.0, 1.0)


def test_too_few_items_have_a_difference_and_no_p():
    items = random_table(16, {"five": (3, 2), "six": (3, 3), "one key": (9, 0)})
    found = paired_contrasts(items, META, extra=["holm", "max_t"], **QUICK)
    assert found["untested"].to_list() == ["5 independent items, fewer than 6", None, "items of one key only"]
    assert found["p"].is_null().to_list() == [True, False, True]
    assert found["p_max_t"].is_null().to_list() == found["p_holm"].is_null().to_list() == [True, False, True]
    assert found["difference"].is_null().to_list() == [False, False, True]
    assert paired_contrasts(items, META, min_items=5, **QUICK)["p"].is_null().to_list() == [False, False, True]
    # Ten items of which six are one cluster are five independent ones.
    clustered = random_table(17, {"a": (5, 5)}).with_columns(
        family=pl.when(pl.col("item").str.contains("a\\+1|0")).then(1)
    )
    assert paired_contrasts(clustered, META, cluster="family", **QUICK)["p"].to_list() == [None]


def test_further_corrections_are_those_of_multiplicity():
    items = random_table(18, dict.fromkeys("abcdef", (5, 6)))
    found = paired_contrasts(items, extra=["max_t", "holm"], method="by", n_flips=2_000, **QUICK)
    assert [name for name in found.columns if name.startswith(("p", "q"))] == ["persona", "p", "q", "p_max_t", "p_holm"]
    for _, part in found.group_by("contrast"):
        np.testing.assert_allclose(part["q"], adjust(part["p"].to_numpy(), "by"))
        np.testing.assert_allclose(part["p_holm"], adjust(part["p"].to_numpy(), "holm"))
        assert (part["p_max_t"] >= part["p"] - 0.02).all()
    together = paired_contrasts(items, extra=["holm", "max_t"], family="all", n_flips=2_000, **QUICK)
    np.testing.assert_allclose(together["q"], adjust(together["p"].to_numpy(), "bh"))
    assert (together["p_holm"] >= found.sort("contrast", descending=True)["p_holm"] - 1e-12).all()


def test_the_joint_flips_know_that_contrasts_share_their_items():
    # Two contrasts with equal answers are one test, not two.
    items = random_table(19, {"a": (6, 6), "b": (6, 6)})
    copy = items.filter(pl.col("persona") == "meta").with_columns(persona=pl.lit("twin"))
    items = pl.concat([items, copy])
    one = paired_contrasts(items, META, extra=["max_t"], **QUICK)
    both = paired_contrasts(items, [*META, ("twin", "self")], extra=["max_t"], family="all", **QUICK)
    np.testing.assert_allclose(both["p_max_t"], [*one["p_max_t"], *one["p_max_t"]])
    groups = {}
    for facet in "ab":
        part = items.filter(pl.col("facet") == facet).pivot(on="persona", index=["item", "key"], values="agreement")
        groups[facet] = part.sort("item").select((pl.col("meta") - pl.col("self")) * pl.col("key") / 12).to_series()
    assert one["p_max_t"].to_list() == pytest.approx(
        list(max_t({g: x.to_numpy() for g, x in groups.items()}).values()), abs=0.03
    )


def test_an_interval_does_not_depend_on_which_other_contrasts_were_asked():
    items = random_table(20, {"a": (6, 6), "b": (4, 9)})
    both, one = paired_contrasts(items, **QUICK), paired_contrasts(items, META, **QUICK)
    numbers = ["difference", "low", "high", "p", "se", "d_z"]
    same = both.filter(pl.col("persona") == "meta").select(numbers)
    np.testing.assert_allclose(same.to_numpy(), one.select(numbers).to_numpy(), rtol=1e-9)


def test_contrasts_may_have_items_of_their_own():
    items = random_table(21, {"a": (5, 5), "b": (4, 4)})
    items = items.filter((pl.col("persona") != "helpful") | (pl.col("facet") == "a"))
    more = items.filter(pl.col("persona") == "helpful").with_columns(persona=pl.lit("placebo"), agreement=pl.lit(0.1))
    found = paired_contrasts(pl.concat([items, more]), [*META, ("placebo", "helpful")], **QUICK)
    assert found.select("contrast", "facet", "n").rows() == [
        ("meta - self", "a", 10),
        ("meta - self", "b", 8),
        ("placebo - helpful", "a", 10),
    ]


def test_an_item_described_in_two_ways_is_named():
    items = random_table(22, {"a": (3, 3)})
    wrong = items.with_columns(
        key=pl.when((pl.col("item") == "a+1_1") & (pl.col("persona") == "meta")).then(-1).otherwise(pl.col("key"))
    )
    with pytest.raises(DataError, match=r"'a\+1_1' is described in two ways"):
        paired_contrasts(wrong, META, **QUICK)


def test_missing_answers_are_counted_and_never_dropped():
    items = random_table(23, {"a": (4, 4)})
    holes = items.with_columns(agreement=pl.when(pl.col("item") == "a+1_0").then(np.nan).otherwise(pl.col("agreement")))
    with pytest.raises(DataError, match="3 of 24 rows"):
        paired_contrasts(holes, META, **QUICK)
