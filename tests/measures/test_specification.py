import itertools

import numpy as np
import polars as pl
import pytest

from personascope.errors import DataError
from personascope.measures.specification import joint_p, specification_curve

HOW = ["phrasing", "order"]


def table(effects, half=0.05):
    """Effects of shape (group, specification) with intervals of a given half width."""
    specifications = list(itertools.product(range(effects.shape[1] // 2), ["ascending", "descending"]))
    return pl.DataFrame(
        [
            {"phrasing": p, "order": o, "facet": f"f{g}", "difference": e, "low": e - half, "high": e + half}
            for g, row in enumerate(effects)
            for (p, o), e in zip(specifications, row, strict=True)
        ]
    )


def test_effects_are_ordered_and_counted_within_their_group():
    effects = np.array([[0.3, 0.1, -0.02, 0.2], [-0.1, -0.2, -0.3, -0.01]])
    found = specification_curve(table(effects), HOW)
    assert found.curve["difference"].to_list() == [-0.02, 0.1, 0.2, 0.3, -0.3, -0.2, -0.1, -0.01]
    assert found.curve["rank"].to_list() == [1, 2, 3, 4] * 2
    assert found.curve["significant"].to_list() == [False, True, True, True, True, True, True, False]
    summary = found.summary.rows_by_key("facet", named=True, unique=True)
    assert summary["f0"]["share_same_sign"] == 0.75 and not summary["f0"]["robust"]
    assert summary["f1"]["share_same_sign"] == 1.0 and summary["f1"]["robust"]
    assert [summary[g]["share_significant"] for g in ("f0", "f1")] == [0.75, 0.75]
    assert summary["f0"]["median"] == pytest.approx(0.15)
    assert (summary["f1"]["smallest"], summary["f1"]["largest"]) == (-0.3, -0.01)
    assert found.frame().height == 8 and "share_same_sign" in found.frame().columns


def test_robust_begins_at_nine_of_ten():
    for against, robust in ((1, True), (2, False)):
        effects = np.where(np.arange(10) < against, -0.2, 0.2)[None]
        found = specification_curve(table(effects), HOW).summary
        assert found["robust"].to_list() == [robust]
    # Significant in the other direction is not support.
    assert found["share_significant"][0] == 0.8


def test_no_effect_at_all_has_no_sign():
    found = specification_curve(table(np.zeros((1, 4))), HOW).summary
    assert found["share_same_sign"].to_list() == [0.0]
    assert not found["robust"][0]


def test_rows_in_another_order_change_nothing():
    given = table(np.random.default_rng(0).normal(size=(3, 6)))
    one = specification_curve(given, HOW)
    other = specification_curve(given.sample(fraction=1.0, shuffle=True, seed=1), HOW)
    assert other.summary.sort("facet").equals(one.summary)
    assert other.curve.sort("facet", "rank").equals(one.curve)


def test_columns_of_a_contrast_table_may_stay():
    given = table(np.ones((2, 4))).with_columns(n=pl.lit(40), p=pl.lit(0.01))
    frame = specification_curve(given, HOW).frame()
    assert frame["n"].to_list() == [40] * 8
    assert frame["n_specifications"].to_list() == [4] * 8


def test_the_joint_p_by_counting_patterns():
    d = np.random.default_rng(1).normal(0.4, 1, (3, 7))
    medians = [abs(np.median((d * np.array(s)).sum(axis=1))) for s in itertools.product((1, -1), repeat=7)]
    assert joint_p(d) == pytest.approx(np.mean(np.array(medians) >= abs(np.median(d.sum(axis=1))) - 1e-9))


def test_many_readings_of_the_same_items_are_not_many_proofs():
    rng = np.random.default_rng(2)
    one = rng.normal(0.2, 0.5, (1, 40)) / 40
    assert joint_p(np.repeat(one, 20, axis=0)) == joint_p(one)
    null = [joint_p(np.repeat(rng.normal(0, 1, (1, 15)), 6, axis=0), n_flips=199, seed=i) for i in range(400)]
    assert np.mean(np.array(null) <= 0.05) == pytest.approx(0.05, abs=0.03)


def test_the_joint_p_stands_in_the_summary():
    rng = np.random.default_rng(3)
    d = {"f0": rng.normal(0.5, 0.3, (4, 20)) / 20, "f1": rng.normal(0, 0.3, (4, 20)) / 20}
    effects = np.stack([d[g].sum(axis=1) for g in ("f0", "f1")])
    p = specification_curve(table(effects), HOW, differences=d, n_flips=999).summary["p_joint"]
    assert p.to_list() == [joint_p(d["f0"], n_flips=999), joint_p(d["f1"], n_flips=999)]
    assert p[0] == pytest.approx(0.001)
    with pytest.raises(DataError, match=r"differences of 1 groups do not match .* 'f1'"):
        specification_curve(table(effects), HOW, differences={"f0": d["f0"], "f1": d["f1"][:3]})


def test_holes_and_repeats_are_named():
    given = table(np.ones((2, 4)))
    with pytest.raises(DataError, match=r"1 of 8 effects are missing, first .*'phrasing': 1.*'facet': 'f1'"):
        specification_curve(given[:7], HOW)
    with pytest.raises(DataError, match="occurs more than once"):
        specification_curve(pl.concat([given, given[:1]]), HOW)
    with pytest.raises(DataError, match="missing or non-finite"):
        specification_curve(given.with_columns(difference=pl.lit(None, dtype=pl.Float64)), HOW)
    with pytest.raises(DataError, match="1 of 6 differences are NaN"):
        joint_p(np.array([[0.1, 0.2, 0.3], [0.1, np.nan, 0.3]]))
