"""Behaviour-matched coefficients: found before the peak, or said not to be there."""

from __future__ import annotations

import numpy as np
import pytest

from personascope.errors import DataError
from personascope.tuning.matching import MOST_STEPS, matched_coefficient

GRID = (0.1, 0.2, 0.4, 0.8)


@pytest.mark.parametrize("target", [0.02, 0.3, 0.55])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("towards", [1, -1])
def test_a_rising_response_is_met_within_a_hundredth(target, sign, towards):
    curve = lambda c: towards * np.tanh(abs(c))  # noqa: E731
    found = matched_coefficient(curve, towards * target, [sign * c for c in GRID])
    assert found.coefficient == pytest.approx(sign * np.arctanh(target), rel=0.02)
    assert abs(found.response - towards * target) <= 0.01 * target and not found.why_none
    frame = found.frame()
    assert frame.filter("is_match")["coefficient"].to_list() == [found.coefficient]
    assert len(found.asked) == frame.height <= len(GRID) + 5 and not frame["past_peak"].any()


def test_the_match_lies_before_the_peak_and_what_lies_beyond_is_marked():
    curve = lambda c: c * np.exp(-3 * c)  # noqa: E731  (peak 1 / (3e) at 1/3; .2 and .4 on either side)
    found = matched_coefficient(curve, 0.1, GRID)
    assert found.coefficient < 0.2 and abs(curve(found.coefficient) - 0.1) < 0.001
    assert found.peak == 0.4 and found.frame().filter("past_peak")["coefficient"].to_list() == [0.8]
    beyond = matched_coefficient(curve, 0.13, GRID)
    assert beyond.coefficient is None and beyond.response is None
    assert beyond.why_none == "the response turns back at 0.4, where it is 0.12"
    assert not beyond.frame()["is_match"].any()


def test_a_curve_that_comes_again_after_turning_back_is_no_match():
    values = {0.1: 0.2, 0.2: 0.1, 0.4: 0.5, 0.8: 0.9}
    found = matched_coefficient(values.__getitem__, 0.5, GRID)
    assert found.coefficient is None and found.peak == 0.1 and "turns back at 0.1" in found.why_none


def test_what_moves_the_other_way_or_too_little_is_said():
    found = matched_coefficient(lambda c: -c, 0.3, GRID)
    assert found.coefficient is None and found.peak == 0.0
    found = matched_coefficient(lambda c: c / 10, -0.3, [-c for c in GRID])
    assert (found.coefficient, found.peak) == (None, -0.8) and found.reachable == pytest.approx(-0.08)
    assert found.why_none == "the response is largest at -0.8, where it is -0.08"


def test_a_jump_over_the_target_is_no_match():
    found = matched_coefficient(lambda c: float(c > 0.25), 0.4, GRID)
    assert found.coefficient is None and len(GRID) + 10 < len(found.asked) <= len(GRID) + MOST_STEPS
    assert found.why_none == "the response jumps over it between 0.2 and 0.4"
    assert matched_coefficient(lambda c: float(c > 0.25), 1.0, GRID).coefficient == 0.4


@pytest.mark.parametrize(
    ("target", "grid", "message"),
    [
        (0.0, GRID, "cannot be matched"),
        (np.nan, GRID, "cannot be matched"),
        (0.1, (), "cannot be followed"),
        (0.1, (-0.1, 0.1), "cannot be followed"),
        (0.1, (0.0, 0.1), "cannot be followed"),
    ],
)
def test_what_cannot_be_matched_is_refused(target, grid, message):
    with pytest.raises(DataError, match=message):
        matched_coefficient(lambda c: c, target, grid)
    with pytest.raises(DataError, match=r"response at coefficient 0\.1 is nan"):
        matched_coefficient(lambda c: np.nan, 0.1, GRID)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_response_that_never_rises_is_past_its_peak_everywhere(sign):
    found = matched_coefficient(lambda c: -abs(c), 0.1, [sign * c for c in GRID])
    assert found.coefficient is None and found.peak == 0 and found.frame()["past_peak"].all()
