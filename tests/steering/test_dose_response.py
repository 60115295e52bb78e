"""Dose and response of curves whose slope, peak and p are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats
from scipy.special import expit

from personascope.errors import DataError
from personascope.steering.dose_response import dose_response, mark_effects, mark_unusable

GRID = np.array([-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3])


def curve(
    values: np.ndarray | list[float], half: float = 0.01, direction: str = "probe", control: str = "probe"
) -> pl.DataFrame:
    v = np.asarray(values, dtype=np.float64)
    named: dict[str, Any] = {"read_out": "share", "layer": 7, "direction": direction, "control": control}
    return pl.DataFrame({"coefficient": GRID, "value": v, "low": v - half, "high": v + half}).with_columns(
        **{name: pl.lit(x) for name, x in named.items()}
    )


def summary(frame: pl.DataFrame, **settings: Any) -> dict[str, Any]:
    return dose_response(frame, **settings).row(0, named=True)


def test_a_straight_line_has_its_slope_and_nothing_else() -> None:
    row = summary(curve(0.5 + 2 * GRID).sample(fraction=1, shuffle=True, seed=3))
    assert row["step"] == 0.1
    assert row["slope"] == pytest.approx(2.0)
    assert row["linearity"] == pytest.approx(1.0)
    assert row["saturation"] == pytest.approx(0.0, abs=1e-12)
    assert (row["turns_plus"], row["turns_minus"]) == (False, False)
    assert (row["peak_plus"], row["peak_minus"]) == (0.3, -0.3)
    assert (row["monotone_low"], row["monotone_high"]) == (-0.3, 0.3)
    assert (row["slope_low"], row["p"], row["n_random"]) == (None, None, 0)


def test_a_logistic_curve_saturates_as_its_closed_form_says() -> None:
    v = expit(15 * GRID)
    row = summary(curve(v))
    slope = (expit(1.5) - expit(-1.5)) / 0.2
    assert row["slope"] == pytest.approx(slope)
    assert row["saturation"] == pytest.approx(1 - (expit(4.5) - expit(-4.5)) / 0.6 / slope)
    assert row["linearity"] == pytest.approx(stats.linregress(GRID, v).rvalue ** 2)


def test_a_curve_turns_back_where_the_fall_exceeds_the_interval() -> None:
    v = [0.2, 0.3, 0.4, 0.5, 0.8, 0.7, 0.2]
    clear, noisy = summary(curve(v, half=0.01)), summary(curve(v, half=0.06))
    assert (clear["peak_plus"], clear["peak_plus_value"], clear["turns_plus"]) == (0.1, 0.8, True)
    assert (clear["monotone_low"], clear["monotone_high"]) == (-0.3, 0.1)
    # .8 to .7 is within the intervals, .8 to .2 is not
    assert (noisy["peak_plus"], noisy["turns_plus"], noisy["turns_minus"]) == (0.1, True, False)
    drowned = summary(curve(v, half=0.4))
    assert (drowned["peak_plus"], drowned["turns_plus"], drowned["monotone_high"]) == (0.1, False, 0.3)


def test_the_first_clear_fall_counts_although_the_curve_rises_higher_later() -> None:
    row = summary(curve([0.1, 0.2, 0.3, 0.4, 0.6, 0.3, 0.9]))
    assert (row["peak_plus"], row["turns_plus"], row["monotone_high"]) == (0.1, True, 0.1)


@pytest.mark.parametrize("half", [0.01, 0.06, 0.4])
def test_a_falling_curve_is_a_rising_one_upside_down(half: float) -> None:
    v = np.array([0.1, 0.3, 0.4, 0.5, 0.8, 0.7, 0.2])
    up, down = summary(curve(v, half)), summary(curve(1 - v, half))
    assert down["slope"] == pytest.approx(-up["slope"])
    for name in ("peak_plus", "turns_plus", "peak_minus", "turns_minus", "monotone_high", "saturation", "linearity"):
        assert down[name] == pytest.approx(up[name])
    mirrored = summary(curve(v[::-1], half))
    assert (mirrored["peak_minus"], mirrored["turns_minus"]) == (-up["peak_plus"], up["turns_plus"])


def test_a_push_that_harms_with_either_sign_peaks_at_zero() -> None:
    row = summary(curve([0.1, 0.2, 0.35, 0.5, 0.36, 0.2, 0.1]))
    assert (row["peak_plus"], row["turns_plus"]) == (0.0, True)


def test_draws_give_the_slope_an_interval_and_judge_falls_pair_by_pair() -> None:
    v = np.array([0.2, 0.3, 0.4, 0.5, 0.8, 0.7, 0.6])
    rng = np.random.default_rng(0)
    together = v + rng.normal(0, 0.5, (400, 1))  # pairs differ, and all fall alike
    apart = v + rng.normal(0, 0.5, (400, 7))
    frame = curve(v, half=1.0)
    row = summary(frame, draws=together)
    assert row["turns_plus"] and row["slope_low"] == pytest.approx(row["slope"]) == pytest.approx(row["slope_high"])
    row = summary(frame, draws=apart)
    low, high = np.quantile((apart[:, 4] - apart[:, 2]) / 0.2, [0.025, 0.975])
    assert not row["turns_plus"]
    assert (row["slope_low"], row["slope_high"]) == (pytest.approx(low), pytest.approx(high))


def test_draws_stay_with_their_rows_in_any_order() -> None:
    frame = pl.concat([curve(2 * GRID), curve(-1 * GRID, direction="random 1", control="isotropic")])
    draws = np.random.default_rng(0).normal(size=(50, 14)) + frame["value"].to_numpy()
    order = np.random.default_rng(1).permutation(14)
    plain = dose_response(frame, draws=draws).sort("direction")
    shuffled = dose_response(frame[order], draws=draws[:, order]).sort("direction")
    assert plain.equals(shuffled)


def test_p_is_the_share_of_random_directions_at_least_as_steep() -> None:
    slopes = {"random 1": 3.0, "random 2": -2.0, "random 3": 1.0, "random 4": -0.5}
    parts = [curve(2 * GRID), curve(0.2 * GRID, direction="other layer 14", control="other layer")]
    parts += [curve(s * GRID, direction=name, control="isotropic") for name, s in slopes.items()]
    # another layer's random directions are no control of this one
    parts += [curve(9 * GRID, direction="random 1", control="isotropic").with_columns(layer=pl.lit(8))]
    table = dose_response(pl.concat(parts))
    found = {(row["layer"], row["direction"]): row["p"] for row in table.iter_rows(named=True)}
    assert found[7, "probe"] == pytest.approx((1 + 2) / (1 + 4))
    assert found[7, "other layer 14"] == 1.0
    assert found[7, "random 1"] is None
    assert table["direction"].to_list()[:2] == ["probe", "other layer 14"]


def test_effects_past_the_peak_or_the_usable_range_are_marked_and_kept() -> None:
    frame = curve([0.2, 0.3, 0.4, 0.5, 0.8, 0.7, 0.2])
    table = dose_response(frame, usable={7: (-0.2, 0.3)})
    marked = mark_effects(frame, table)
    assert marked.height == frame.height
    assert marked.filter("past_peak")["coefficient"].to_list() == [0.2, 0.3]
    assert marked.filter("outside_usable")["coefficient"].to_list() == [-0.3]
    assert marked.columns == [*frame.columns, "past_peak", "outside_usable"]


def test_straightness_is_judged_inside_the_usable_range() -> None:
    v = 2 * GRID
    v[-1] = v[0] = 0.0
    row = summary(curve(v), usable={7: (-0.2, 0.2)})
    assert (row["linearity"], row["saturation"]) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-9))
    assert summary(curve(v), usable={7: (-0.05, 0.05)})["slope_outside_usable"]
    assert not row["slope_outside_usable"]


def test_flat_curves_have_no_straightness_and_no_saturation() -> None:
    row = summary(curve(np.full(7, 0.5)))
    assert (row["slope"], row["linearity"], row["saturation"]) == (0.0, None, None)


def test_targets_are_kept_apart() -> None:
    frame = pl.concat([curve(s * GRID).with_columns(target=pl.lit(name)) for name, s in (("b", 2.0), ("a", 1.0))])
    table = dose_response(frame, by=("target", "read_out"))
    assert table.select("target", "slope").rows() == [("b", pytest.approx(2.0)), ("a", pytest.approx(1.0))]
    with pytest.raises(DataError):
        dose_response(frame)


def test_curves_that_cannot_be_judged_are_refused() -> None:
    frame = curve(GRID)
    with pytest.raises(DataError, match="neither intervals nor draws"):
        dose_response(frame.with_columns(low=pl.lit(None, dtype=pl.Float64)))
    with pytest.raises(DataError, match="smallest strength with both signs"):
        dose_response(frame.filter(pl.col("coefficient") != -0.1))
    with pytest.raises(DataError, match="for 7 rows"):
        dose_response(frame, draws=np.zeros((3, 6)))
    with pytest.raises(DataError, match="lacks some curves"):
        mark_effects(frame.with_columns(layer=pl.lit(9)), dose_response(frame))


def test_an_effect_of_both_signs_is_unusable_where_either_sign_does_damage() -> None:
    effects = pl.DataFrame({"layer": [3, 3, 3, 7], "coefficient": [0.1, 0.2, 0.4, 9.0]})
    marked = mark_unusable(effects, {3: (-0.1, 0.2), 5: (0.0, 0.0)})
    assert marked.columns == ["layer", "coefficient", "outside_usable"]
    assert marked["outside_usable"].to_list() == [False, True, True, False]
    assert mark_unusable(effects, {})["outside_usable"].to_list() == [False] * 4
