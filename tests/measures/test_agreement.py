import numpy as np
import pingouin
import polars as pl
import pytest

from personascope.errors import DataError
from personascope.measures.agreement import expected_against_sampled, variant_agreement

QUICK = {"n_resamples": 500, "seed": 0}


def scores(profiles):
    """Trait tables of personas given as arrays (facet, variant)."""
    rows = [
        {"persona": persona, "facet": f"f{i:02d}", "phrasing": f"v{j}", "trait": float(matrix[i, j])}
        for persona, matrix in profiles.items()
        for i in range(matrix.shape[0])
        for j in range(matrix.shape[1])
    ]
    return pl.DataFrame(rows, schema_overrides={"trait": pl.Float64})


def profile(rng, facet_sd, noise_sd, shape=(25, 5)):
    return rng.normal(0, facet_sd, (shape[0], 1)) + rng.normal(0, noise_sd, shape)


def by_name(table):
    return {(row["profile"], row["coefficient"]): row for row in table.iter_rows(named=True)}


def test_coefficients_follow_from_the_mean_squares():
    # Shrout & Fleiss 1979: ICC(2,1) = (BMS - EMS) / (BMS + (k - 1) EMS + k (JMS - EMS) / n).
    rng = np.random.default_rng(0)
    y = profile(rng, 0.5, 0.3) + rng.normal(0, 0.2, (1, 5))
    n, k = y.shape
    between = k * ((y.mean(1) - y.mean()) ** 2).sum() / (n - 1)
    judges = n * ((y.mean(0) - y.mean()) ** 2).sum() / (k - 1)
    rest = y - y.mean(1, keepdims=True) - y.mean(0, keepdims=True) + y.mean()
    error = (rest**2).sum() / ((n - 1) * (k - 1))
    found = by_name(variant_agreement(scores({"self": y}), ()))
    one, mean = found["self", "ICC(2,1)"], found["self", "ICC(2,k)"]
    assert one["icc"] == pytest.approx((between - error) / (between + (k - 1) * error + k * (judges - error) / n))
    assert mean["icc"] == pytest.approx((between - error) / (between + (judges - error) / n))
    assert one["low"] < one["icc"] < one["high"]
    assert (one["n_facets"], one["n_variants"], one["n_left_out"], one["kind"]) == (25, 5, 0, "persona")


def test_the_published_example_of_six_targets_and_four_judges():
    # Shrout & Fleiss (1979), table 2: ICC(2,1) = .29, ICC(2,4) = .62.
    y = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)
    found = by_name(variant_agreement(scores({"self": y}), ()))
    assert round(found["self", "ICC(2,1)"]["icc"], 2) == 0.29
    assert round(found["self", "ICC(2,k)"]["icc"], 2) == 0.62
    low, high = (found["self", "ICC(2,1)"][end] for end in ("low", "high"))
    assert (round(low, 2), round(high, 2)) == (0.02, 0.76)  # McGraw & Wong 1996
    assert low != round(low, 2)  # not rounded by the library


def test_pingouins_options_are_left_as_they_were():
    before = dict(pingouin.options)
    variant_agreement(scores({"self": profile(np.random.default_rng(1), 0.5, 0.3)}), ())
    assert dict(pingouin.options) == before


def test_a_stable_profile_can_hide_a_contrast_that_is_noise():
    rng = np.random.default_rng(2)
    common = rng.normal(0, 0.5, (25, 1))
    noise, real = rng.normal(0, 0.15, (2, 25, 5)), rng.normal(0, 0.5, (25, 1))
    tables = {"self": common + noise[0], "meta": common + noise[1], "helpful": common + real + noise[1]}
    found = by_name(variant_agreement(scores(tables), [("meta", "self"), ("helpful", "self")]))
    assert found["self", "ICC(2,1)"]["icc"] > 0.8
    assert found["meta", "ICC(2,1)"]["icc"] > 0.8
    contrast = found["meta - self", "ICC(2,1)"]
    assert (contrast["kind"], contrast["low"] < 0.15) == ("contrast", True)
    assert found["helpful - self", "ICC(2,1)"]["icc"] > 0.6


def test_the_contrast_is_the_difference_of_the_same_facets_whatever_their_order():
    rng = np.random.default_rng(3)
    ours, theirs = profile(rng, 0.5, 0.3), profile(rng, 0.5, 0.3)
    table = scores({"self": theirs, "meta": ours})
    expected = by_name(variant_agreement(scores({"d": ours - theirs}), ()))["d", "ICC(2,1)"]["icc"]
    for frame in (table, table.sample(fraction=1.0, shuffle=True, seed=0)):
        assert by_name(variant_agreement(frame))["meta - self", "ICC(2,1)"]["icc"] == pytest.approx(expected)


def test_variants_that_agree_exactly_have_no_interval():
    y = np.tile(np.linspace(-1, 1, 10)[:, None], (1, 3))
    row = by_name(variant_agreement(scores({"self": y}), ()))["self", "ICC(2,1)"]
    assert row["icc"] == pytest.approx(1)
    assert (row["low"], row["high"]) == (None, None)
    shifted = by_name(variant_agreement(scores({"self": y + np.array([0, 0.1, 0.2])}), ()))["self", "ICC(2,1)"]
    # Without error it is the variance of facets over that of facets and variants, here .01.
    assert shifted["icc"] == pytest.approx(y[:, 0].var(ddof=1) / (y[:, 0].var(ddof=1) + 0.01))
    assert shifted["low"] is None


def test_facets_of_one_key_are_left_out_and_counted():
    y = profile(np.random.default_rng(4), 0.5, 0.3, (8, 3))
    table = scores({"self": y, "meta": y + 0.1 * np.arange(8)[:, None]})
    unkeyed = table.with_columns(trait=pl.when(pl.col("facet") == "f03").then(None).otherwise("trait"))
    found = variant_agreement(unkeyed)
    assert found["n_left_out"].to_list() == [1] * 6
    same = variant_agreement(table.filter(pl.col("facet") != "f03"))
    assert found.drop("n_left_out").equals(same.drop("n_left_out"))


def test_too_little_or_incomplete_data_are_refused():
    table = scores({"self": profile(np.random.default_rng(5), 0.5, 0.3, (6, 3))})
    with pytest.raises(DataError, match="4 facets with a trait score under 3 variants"):
        variant_agreement(table.filter(pl.col("facet") < "f04"), ())
    with pytest.raises(DataError, match="under 1 variants"):
        variant_agreement(table.filter(pl.col("phrasing") == "v0"), ())
    with pytest.raises(DataError, match="facet 'f02' under phrasing 'v1'"):
        variant_agreement(table.filter(~((pl.col("facet") == "f02") & (pl.col("phrasing") == "v1"))), ())
    with pytest.raises(DataError, match=r"All 18 scores of 'self' are 0\.3"):
        variant_agreement(table.with_columns(trait=pl.lit(0.3)), ())
    with pytest.raises(DataError, match="No scores of persona 'meta'"):
        variant_agreement(table)
    with pytest.raises(DataError, match="occurs more than once"):
        variant_agreement(pl.concat([table, table.head(1)]), ())
    other = table.filter(pl.col("facet") != "f05").with_columns(persona=pl.lit("meta"))
    with pytest.raises(DataError, match="Facet 'f05' is scored for only one of 'meta' and 'self'"):
        variant_agreement(pl.concat([table, other]))


def answers(values, persona="self"):
    return pl.DataFrame({"persona": persona, "item": [f"i{k:03d}" for k in range(len(values))], "agreement": values})


def test_read_outs_that_differ_by_a_constant_correlate_perfectly_and_show_the_difference():
    x = np.random.default_rng(6).uniform(-0.8, 0.8, 40)
    row = expected_against_sampled(answers(x), answers(x - 0.2), **QUICK).row(0, named=True)
    assert row["r"] == pytest.approx(1)
    for name in ("mean_difference", "difference_low", "difference_high"):
        assert row[name] == pytest.approx(0.2)
    assert (row["n"], row["n_left_out"]) == (40, 0)


def test_sampling_noise_lowers_the_correlation_as_it_should():
    rng = np.random.default_rng(7)
    x = rng.uniform(-0.8, 0.8, 400)
    sampled = x + rng.normal(0, x.std(), 400)  # as much noise as signal: r = sqrt(1/2)
    row = expected_against_sampled(
        answers(x), answers(sampled).sample(fraction=1.0, shuffle=True, seed=0), **QUICK
    ).row(0, named=True)
    assert row["low"] < np.sqrt(0.5) < row["high"]
    assert abs(row["mean_difference"]) < 3.5 * x.std() / 20


def test_items_without_a_parsed_sample_are_left_out_and_counted():
    x = np.random.default_rng(8).uniform(-0.8, 0.8, 20)
    sampled = answers([None, None, *(x[2:] + 0.1)])
    row = expected_against_sampled(answers(x), sampled, **QUICK).row(0, named=True)
    assert (row["n"], row["n_left_out"]) == (18, 2)
    assert row["mean_difference"] == pytest.approx(-0.1)


def test_a_constant_read_out_has_no_correlation_but_a_difference():
    row = expected_against_sampled(answers(np.linspace(0, 1, 5)), answers([0.5] * 5), **QUICK).row(0, named=True)
    assert (row["r"], row["low"]) == (None, None)
    assert row["mean_difference"] == pytest.approx(0)


def test_read_outs_of_different_items_are_refused():
    with pytest.raises(DataError, match=r"Item 'i003' of persona 'self' has only one read-out \(2 such items\)"):
        expected_against_sampled(answers(np.linspace(0, 1, 5)), answers([0.1, 0.2, 0.3]))
    with pytest.raises(DataError, match="2 items with parsed samples"):
        expected_against_sampled(answers([0.1, 0.2, 0.3]), answers([0.1, 0.2, None]))
    with pytest.raises(DataError, match="non-finite"):
        expected_against_sampled(answers([0.1, 0.2, 0.3]), answers([0.1, 0.2, float("nan")]))


def test_each_model_is_taken_alone():
    rng = np.random.default_rng(9)
    first, second = (scores({"self": profile(rng, 0.5, 0.3), "meta": profile(rng, 0.5, 0.3)}) for _ in "ab")
    both = pl.concat([first.with_columns(model=pl.lit("a")), second.with_columns(model=pl.lit("b"))])
    found = variant_agreement(both)
    assert found.filter(pl.col("model") == "b").drop("model").equals(variant_agreement(second))
    x, y = (answers(rng.uniform(-1, 1, 30)).with_columns(model=pl.lit("a")) for _ in range(2))
    assert expected_against_sampled(x, y, **QUICK)["model"].to_list() == ["a"]
    with pytest.raises(DataError, match="1 of 2 tables have a column 'model'"):
        expected_against_sampled(x, y.drop("model"), **QUICK)
