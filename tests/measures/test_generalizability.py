import itertools
import re

import numpy as np
import pingouin
import polars as pl
import pytest

from personascope.errors import DataError
from personascope.measures.generalizability import d_study, g_study, levels_needed

CROSSED = ("persona", "item", "phrasing")


def long(y, factors=CROSSED, facet="sincerity"):
    """Table of an array with one axis per factor; every item keyed +1."""
    cells = list(np.ndindex(*y.shape))
    columns = {
        name: [f"{name}{facet if name == 'item' else ''}{cell[axis]}" for cell in cells]
        for axis, name in enumerate(factors)
    }
    return pl.DataFrame({**columns, "facet": facet, "key": 1, "agreement": y.ravel()})


def estimates(table, column="estimate"):
    return dict(zip(table["component"], table[column], strict=True))


def planted(sd, shape, seed, factors=CROSSED):
    """Random effects of the given standard deviations, one for each set of factors, summed over the cells."""
    rng = np.random.default_rng(seed)
    y = np.zeros(shape)
    for component, scale in sd.items():
        own = [n if factor in component.split(" x ") else 1 for factor, n in zip(factors, shape, strict=True)]
        y = y + rng.normal(0, scale, own)
    return y


def test_a_table_of_two_personas_and_three_items_worked_by_hand():
    # Rows 1 2 6 and 3 6 6: grand mean 4, persona means 3 and 5, item means 2, 4, 6.
    # SS(p) = 3 * (1 + 1) = 6, SS(i) = 2 * (4 + 0 + 4) = 16, total = 9 + 4 + 4 + 1 + 4 + 4 = 26, so SS(pi) = 4.
    # MS: p 6 / 1, i 16 / 2, pi 4 / 2. var(pi) = 2, var(p) = (6 - 2) / 3, var(i) = (8 - 2) / 2.
    table = g_study(long(np.array([[1.0, 2, 6], [3, 6, 6]]), CROSSED[:2]), factors=CROSSED[:2])
    assert table["component"].to_list() == ["persona", "item", "persona x item"]
    assert table["df"].to_list() == [1, 2, 2]
    np.testing.assert_allclose(table["mean_square"], [6, 8, 2])
    np.testing.assert_allclose(table["estimate"], [4 / 3, 3, 2])
    np.testing.assert_allclose(table["share"], np.array([4 / 3, 3, 2]) / (19 / 3))
    row = d_study(table, item=(3,)).row(0, named=True)
    assert (row["relative_error"], row["absolute_error"]) == (pytest.approx(2 / 3), pytest.approx(5 / 3))
    assert (row["g"], row["phi"]) == (pytest.approx(2 / 3), pytest.approx(4 / 9))


def test_three_factors_follow_the_textbook_formulas():
    # Brennan 2001, p x i x h: var(p) = [MS(p) - MS(pi) - MS(ph) + MS(pih)] / (n_i n_h), and so on.
    rng = np.random.default_rng(0)
    y = rng.normal(size=(5, 4, 3))
    # Sums of squares by Brennan's T terms: T(a) is the sum of squared means of the effect's cells, times their size.
    n, sizes = (
        y.size,
        {"p": (1, 2), "i": (0, 2), "h": (0, 1), "pi": (2,), "ph": (1,), "ih": (0,), "pih": (), "": (0, 1, 2)},
    )
    t = {name: n / y.mean(axis=axes).size * (y.mean(axis=axes) ** 2).sum() for name, axes in sizes.items()}
    ss = [t[a] - t[""] for a in "pih"]
    ss += [t[a + b] - t[a] - t[b] + t[""] for a, b in ("pi", "ph", "ih")]
    ss += [t["pih"] - t["pi"] - t["ph"] - t["ih"] + t["p"] + t["i"] + t["h"] - t[""]]
    ms = estimates(g_study(long(y)), "mean_square")
    np.testing.assert_allclose(list(ms.values()), np.array(ss) / [4, 3, 2, 12, 8, 6, 24])
    p, i, h, pi, ph, ih, pih = (ms[name] for name in ms)
    expected = [
        (p - pi - ph + pih) / 12,
        (i - pi - ih + pih) / 15,
        (h - ph - ih + pih) / 20,
        (pi - pih) / 3,
        (ph - pih) / 4,
        (ih - pih) / 5,
        pih,
    ]
    np.testing.assert_allclose(list(estimates(g_study(long(y))).values()), expected)


def test_mean_squares_and_coefficients_equal_pingouins_icc():
    rng = np.random.default_rng(1)
    y = rng.normal(size=(8, 1)) + 0.5 * rng.normal(size=(1, 4)) + 0.7 * rng.normal(size=(8, 4))
    frame = long(y, ("persona", "phrasing"))
    table = g_study(frame, factors=("persona", "phrasing"))
    aov = pingouin.anova(frame.to_pandas(), dv="agreement", between=["persona", "phrasing"], ss_type=2)
    np.testing.assert_allclose(
        table["mean_square"], [aov.at[0, "MS"], aov.at[1, "MS"], aov.at[2, "SS"] / aov.at[2, "DF"]]
    )
    icc = pingouin.intraclass_corr(frame.to_pandas(), "persona", "phrasing", "agreement").set_index("Type")["ICC"]
    one, four = d_study(table, phrasing=(1, 4)).iter_rows(named=True)
    assert (one["g"], one["phi"]) == (pytest.approx(icc["ICC(C,1)"]), pytest.approx(icc["ICC(A,1)"]))
    assert (four["g"], four["phi"]) == (pytest.approx(icc["ICC(C,k)"]), pytest.approx(icc["ICC(A,k)"]))


SD = {
    "persona": 0.5,
    "item": 0.4,
    "phrasing": 0.2,
    "persona x item": 0.3,
    "persona x phrasing": 0.25,
    "item x phrasing": 0.15,
}
ERROR = {"persona x item x phrasing": 0.35}


def test_planted_components_are_recovered_without_bias():
    runs = [estimates(g_study(long(planted(SD | ERROR, (12, 10, 6), seed)))) for seed in range(60)]
    for component, sd in (SD | ERROR).items():
        found = np.array([run[component] for run in runs])
        assert abs(found.mean() - sd**2) < 3.5 * found.std(ddof=1) / np.sqrt(len(runs)), component


def test_order_is_a_factor_where_it_was_asked():
    factors = (*CROSSED, "order")
    sd = {"persona": 0.6, "item x order": 0.5, "order": 0.8, "persona x item x phrasing x order": 0.1}
    runs = []
    for seed in range(30):
        table = g_study(long(planted(sd, (8, 6, 4, 2), seed, factors), factors))
        assert table.height == 15
        runs.append(estimates(table))
    for component in runs[0]:
        found = np.array([run[component] for run in runs])
        assert abs(found.mean() - sd.get(component, 0) ** 2) < 4 * found.std(ddof=1) / np.sqrt(30), component


def test_keys_are_applied_so_that_yea_saying_is_no_persona_variance():
    yea = np.linspace(-0.8, 0.8, 6)[:, None, None] + 0.01 * np.random.default_rng(2).normal(size=(6, 8, 3))
    table = long(yea).with_columns(
        key=pl.when(pl.col("item").str.slice(-1).cast(pl.Int64) % 2 == 0).then(1).otherwise(-1)
    )
    share = estimates(g_study(table), "share")
    assert share["persona"] < 0.01
    assert share["persona x item"] > 0.99


def test_negative_estimates_are_set_to_zero_and_marked():
    # Persona means all equal while the persona x item scatter is large: MS(p) = 0 < MS(pi).
    y = np.array([[1.0, -1.0, 0.0], [-1.0, 0.0, 1.0], [0.0, 1.0, -1.0]])
    row = g_study(long(y, CROSSED[:2]), factors=CROSSED[:2]).row(0, named=True)
    assert row["estimate"] == pytest.approx(-0.5)
    assert (row["variance"], row["negative"], row["share"]) == (0, True, 0)
    table = g_study(long(y, CROSSED[:2]), factors=CROSSED[:2])
    assert table["share"].sum() == pytest.approx(1)
    assert d_study(table, item=(3,))["g"].to_list() == [0]


def test_facets_are_run_alone_and_pooled():
    first, second = (long(planted(SD | ERROR, (5, 4, 3), seed), facet=name) for seed, name in ((3, "a"), (4, "b")))
    pooled = g_study(pl.concat([first, second]))
    alone = [g_study(part) for part in (first, second)]
    np.testing.assert_allclose(pooled["estimate"], (alone[0]["estimate"] + alone[1]["estimate"]) / 2)
    np.testing.assert_allclose(pooled["mean_square"], (alone[0]["mean_square"] + alone[1]["mean_square"]) / 2)
    assert pooled["df"].to_list() == (alone[0]["df"] + alone[1]["df"]).to_list()
    assert pooled["n_facets"].to_list() == [2] * 7
    # A persona that is high on one facet and low on the other: nothing of it cancels.
    opposed = pl.concat([first, first.with_columns(facet=pl.lit("b"), agreement=-pl.col("agreement"))])
    np.testing.assert_allclose(g_study(opposed)["estimate"], alone[0]["estimate"])


def test_the_d_study_predicts_the_reliability_of_a_bigger_study():
    # G is the expected squared correlation of observed with true scores, for new items and phrasings.
    sd = {
        "persona": 0.5,
        "persona x item": 0.6,
        "persona x phrasing": 0.4,
        "persona x item x phrasing": 0.5,
        "item": 1.0,
    }
    components = g_study(long(planted(sd, (60, 20, 10), 5)))
    found = d_study(components, item=(4, 16), phrasing=(1, 6))
    rng = np.random.default_rng(6)
    for row in found.iter_rows(named=True):
        k, v = row["n_item"], row["n_phrasing"]
        p = rng.normal(0, 0.5, 20_000)
        noise = np.sqrt(0.36 / k + 0.16 / v + 0.25 / (k * v)) * rng.normal(size=20_000)
        assert row["g"] == pytest.approx(np.corrcoef(p, p + noise)[0, 1] ** 2, abs=0.06)
        assert row["phi"] < row["g"]
    assert found.select("n_item", "n_phrasing").rows() == list(itertools.product((4, 16), (1, 6)))


@pytest.mark.parametrize("target", [0.5, 0.7, 0.8])
def test_the_number_of_phrasings_needed_is_the_smallest_that_suffices(target):
    components = g_study(long(planted(SD | ERROR, (30, 20, 10), 7)))
    for row in levels_needed(components, target=target, item=8).iter_rows(named=True):
        curve = d_study(components, item=(8,), phrasing=range(1, 200))[row["coefficient"]].to_list()
        if row["n"] is None:
            assert row["limit"] <= target and max(curve) < target
        else:
            assert curve[row["n"] - 1] >= target
            assert row["n"] == 1 or curve[row["n"] - 2] < target
        assert max(curve) <= row["limit"]


def test_a_target_beyond_the_limit_needs_more_items_not_more_phrasings():
    components = g_study(
        long(planted({"persona": 0.3, "persona x item": 1.0, "persona x item x phrasing": 0.1}, (30, 20, 4), 8))
    )
    assert levels_needed(components, item=4)["n"].to_list() == [None, None]
    assert None not in levels_needed(components, item=400)["n"].to_list()
    # With nothing but item noise one phrasing is as good as many.
    assert levels_needed(components, target=0.9, factor="item", phrasing=1)["n"].null_count() == 0


def test_each_model_is_taken_alone():
    first, second = (long(planted(SD | ERROR, (5, 4, 3), seed)) for seed in (9, 10))
    both = pl.concat([first.with_columns(model=pl.lit("a")), second.with_columns(model=pl.lit("b"))])
    components = g_study(both)
    assert components.filter(pl.col("model") == "b").drop("model").equals(g_study(second))
    found = d_study(components, item=(4,), phrasing=(1, 2))
    assert (
        found.filter(pl.col("model") == "a").drop("model").equals(d_study(g_study(first), item=(4,), phrasing=(1, 2)))
    )
    assert levels_needed(components, item=4).height == 4


def test_a_missing_cell_is_named():
    table = long(planted(SD | ERROR, (3, 4, 2), 11))
    gone = (
        (pl.col("persona") == "persona1") & (pl.col("item") == "itemsincerity2") & (pl.col("phrasing") == "phrasing1")
    )
    cell = "{'persona': 'persona1', 'item': 'itemsincerity2', 'phrasing': 'phrasing1'} (1 of 24 cells)"
    with pytest.raises(DataError, match=re.escape(f"of facet 'sincerity' lacks {cell}")):
        g_study(table.filter(~gone))
    with pytest.raises(DataError, match="occurs more than once"):
        g_study(pl.concat([table, table.head(1)]))


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (lambda t: t.filter(pl.col("phrasing") == "phrasing0"), {}, "'phrasing' of facet 'sincerity' has 1 level"),
        (lambda t: t.with_columns(agreement=0.5), {}, "All answers are the same"),
        (lambda t: t.drop("key"), {}, "no column 'key'"),
        (lambda t: t.drop("facet"), {}, "no column 'facet'"),
        (lambda t: t, {"factors": ("item", "phrasing")}, "'persona' and at least one more"),
        (lambda t: t.with_columns(agreement=pl.lit(float("nan"))), {}, "non-finite"),
    ],
)
def test_designs_that_cannot_be_taken_apart_are_refused(change, settings, message):
    with pytest.raises(DataError, match=message):
        g_study(change(long(planted(SD | ERROR, (3, 4, 2), 12))), **settings)


def test_numbers_of_levels_that_do_not_fit_are_refused():
    components = g_study(long(planted(SD | ERROR, (3, 4, 2), 13)))
    for levels in (
        {"item": (4,)},
        {"item": (4,), "phrasing": (0,)},
        {"item": (4,), "phrasing": ()},
        {"items": (4,), "phrasing": (1,)},
    ):
        with pytest.raises(DataError, match="Each factor but the persona"):
            d_study(components, **levels)
    with pytest.raises(DataError, match="no target"):
        levels_needed(components, target=1.0, item=4)
