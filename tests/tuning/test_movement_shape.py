import numpy as np
import pytest
from scipy import stats

from personascope.tuning.movement_shape import movement_shape

QUICK = {"n_splits": 40, "n_resamples": 40}


def profile(items, to):
    """Facet means; keys are balanced."""
    d = items.select("facet", d=items[to] - items["before"]).group_by("facet", maintain_order=True).mean()
    return d["d"].to_numpy()


def test_without_error_it_is_plain_geometry(planted):
    items = planted(0, truth=0.4, remainder=0.1, se=0.0)
    x, y = profile(items, "ideal"), profile(items, "after")
    cosine = x @ y / np.sqrt(x @ x * (y @ y))
    found = movement_shape(items, **QUICK)
    expected = {
        "cosine": cosine,
        "norm_ratio": np.sqrt(y @ y / (x @ x)),
        "orthogonal_share": 1 - cosine**2,
        "rank_correlation": stats.spearmanr(x, y).statistic,
    }
    table = found.frame()
    assert table["statistic"].to_list() == list(expected)
    for name in ("value", "naive_biased"):
        np.testing.assert_allclose(table[name], list(expected.values()))
    # Intervals are no points: now and then a resample leaves a half of a facet without items.
    for name in ("low", "high"):
        np.testing.assert_allclose(table[name], list(expected.values()), atol=0.08)
    assert (found.cosine_between_halves, found.ceiling) == pytest.approx((cosine, 1.0))


def test_error_is_taken_out_of_direction_and_length(planted):
    # y = .4 gap + remainder: 1.5625 = 25 (.15^2 + .2^2) is the squared gap.
    found = [
        movement_shape(planted(s, truth=0.4, remainder=0.1, se=0.05, turn=t), **QUICK)
        for s in range(9)
        for t in (1, -1)
    ]
    cosine = 0.4 / np.sqrt(0.16 + 0.01 / 0.0625)
    value = {n: np.median([getattr(f, n).value for f in found]) for n in ("cosine", "norm_ratio", "orthogonal_share")}
    naive = {n: np.median([getattr(f, n).naive_biased for f in found]) for n in value}
    assert value["cosine"] == pytest.approx(cosine, abs=0.06)
    assert value["orthogonal_share"] == pytest.approx(1 - cosine**2, abs=0.08)
    assert value["norm_ratio"] == pytest.approx(np.sqrt(0.32), abs=0.06)
    assert naive["norm_ratio"] > value["norm_ratio"] + 0.03
    for one in found:
        quotient = one.cosine_between_halves / one.ceiling
        assert np.clip(quotient, -1, 1) == pytest.approx(one.cosine.value, abs=0.12)


def test_a_model_that_did_not_move_has_no_direction(planted):
    found = [movement_shape(planted(s, se=0.1), **(QUICK | {"n_resamples": 100})) for s in range(8)]
    assert np.mean([f.cosine.naive_biased for f in found]) > 0.2
    assert np.mean([f.rank_correlation.naive_biased for f in found]) > 0.2
    refused = [f for f in found if f.cosine.refused]
    assert len(refused) >= 6
    assert refused[0].cosine.value is refused[0].orthogonal_share.value is refused[0].rank_correlation.value is None
    assert "after - before" in refused[0].cosine.refused
    assert np.median([f.norm_ratio.value for f in found]) < 0.3 < np.median([f.norm_ratio.naive_biased for f in found])


def test_no_gap_no_shape(planted):
    found = movement_shape(planted(3, truth=0, remainder=0.3, mean=0.0, sd=0.01, se=0.1), **QUICK)
    assert found.frame()["value"].null_count() == 4
    assert "ideal - before" in found.norm_ratio.refused
    assert found.movement_stage.low > 0
    assert (found.n_items, found.n_clusters, found.n_dropped, found.left_out) == (300, 300, 0, ())


def test_away_from_the_ideal_is_a_cosine_of_minus_one(planted):
    found = movement_shape(planted(4, truth=-0.5, se=0.0), **QUICK)
    assert (found.cosine.value, found.rank_correlation.value) == pytest.approx((-1, -1))
    assert found.orthogonal_share.value == pytest.approx(0, abs=1e-9)
