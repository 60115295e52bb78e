import numpy as np
import pytest

from personascope.tuning.halves import Halves, Shift, cross, first_stage, random_splits, resampled, split_halves
from personascope.tuning.movement import split_half_gap
from personascope.tuning.movement_items import movement_items

ROLES = {name: name for name in ("before", "ideal", "after")}


def test_halves_are_means_of_their_items_and_average_to_the_profile(planted):
    data = movement_items(planted(0, per_key=4), ROLES)
    masks = random_splits(data, n_splits=7)
    halves = split_halves(data, masks)
    split, cell = 3, 11
    here = (data.cells == cell) & (masks[split] == 1)
    np.testing.assert_allclose(halves.one[split, cell], data.values[here].mean(axis=0))
    shift = halves.shift("after", "before")
    profile = data.profiles(("after", "before"))[:, 0]
    np.testing.assert_allclose((shift.one + shift.other) / 2, np.tile(profile, (7, 1)), atol=1e-12)


def test_a_facet_without_items_in_one_half_is_lost_in_both():
    values = np.ones((1, 4, 2))
    holed = values.copy()
    holed[0, 3] = np.nan
    shift = Halves(("a", "b"), holed, values).shift("b", "a")
    np.testing.assert_array_equal(np.isnan([shift.one[0], shift.other[0]]), [[False, True]] * 2)


def test_one_key_or_both():
    values = np.zeros((1, 4, 2))
    values[0, :, 1] = [1.0, 0.0, 0.4, 0.2]
    halves = Halves(("a", "b"), values, values)
    for keys, expected in (("both", [0.5, 0.3]), ("positive", [1.0, 0.4]), ("negative", [0.0, 0.2])):
        np.testing.assert_allclose(halves.shift("b", "a", keys).one[0], expected)
    np.testing.assert_allclose(halves.part(1, 2).shift("b", "a").one[0], [0.3])


def test_facets_that_a_resample_lost_do_not_count():
    x = Shift(np.array([[1.0, np.nan, 3.0]]), np.array([[2.0, np.nan, 5.0]]))
    np.testing.assert_allclose(cross(x, x), [17.0])
    np.testing.assert_allclose(x.centred().one, [[-1.0, np.nan, 1.0]])


def test_resamples_scatter_around_the_estimate_and_not_around_the_biased_one(planted):
    # Nothing moved: with copies of a cluster in both halves the shared error would raise the resampled gaps.
    data = movement_items(planted(1, se=0.1, per_key=4, n_facets=60), ROLES)
    masks = random_splits(data, n_splits=100)
    value = float(split_half_gap(split_halves(data, masks), "ideal"))
    draws = resampled(data, masks, lambda halves: split_half_gap(halves, "ideal")[:, None], n_resamples=150)
    x, y = data.profiles(("ideal", "before"), ("after", "before")).T
    naive = x @ y / (x @ x)
    assert naive - value > 0.08
    assert np.median(draws) == pytest.approx(value, abs=0.04)


def test_first_stage_is_the_agreement_of_halves(planted):
    rng = np.random.default_rng(2)
    truth = rng.normal(1, 1, 2_000)
    one, other = (truth + rng.normal(0, 1, (5, 2_000)) for _ in range(2))
    for centred, r in ((True, 1 / 2), (False, 2 / 3)):
        found = first_stage(Shift(one, other), centred=centred, n_resamples=200)
        assert found.r == pytest.approx(r, abs=0.03)
        assert found.low < found.r < found.high
        assert found.high - found.low < 0.12
        assert found.refusal("x") is None
    noise = rng.normal(0, 1, (2, 5, 20))
    weak = first_stage(Shift(*noise), centred=False, n_resamples=200)
    assert weak.low < 0 < weak.high
    assert "the halves of x do not clearly agree, r = " in weak.refusal("x")
