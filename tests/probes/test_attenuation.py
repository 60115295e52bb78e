import numpy as np
import pytest

from personascope.errors import DataError
from personascope.probes.attenuation import checked_reliabilities, disattenuated, joint_reliability


def test_correction_undoes_what_independent_errors_do():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 200_000))
    y = 0.6 * x + 0.8 * y
    noisy = x + 0.5 * rng.normal(size=x.size), y + rng.normal(size=y.size)
    r = np.corrcoef(*noisy)[:1, 1]
    known = np.array([1 / 1.25, 1 / 2.0])
    assert r == pytest.approx(np.array([0.6 * np.sqrt(0.8 * 0.5)]), abs=0.005)
    assert disattenuated(r, joint_reliability(known)[0, 1:]) == pytest.approx(np.array([0.6]), abs=0.01)
    one_sided = np.corrcoef(x, noisy[1])[:1, 1]
    assert disattenuated(one_sided, known[1:]) == pytest.approx(np.array([0.6]), abs=0.01)


def test_a_persona_shares_its_errors_with_itself():
    found = joint_reliability(np.array([0.5, 0.8, np.nan]))
    expected = np.array([[1.0, 0.4, np.nan], [0.4, 1.0, np.nan], [np.nan, np.nan, np.nan]])
    np.testing.assert_allclose(found, expected)


def test_reliabilities_come_in_order_and_none_below_a_tenth():
    given = {"b": 0.1, "a": 1.0, "c": 0.09, "d": -0.3, "e": 0.0, "f": np.nan, "unused": 0.5}
    found = checked_reliabilities(tuple("abcdef"), given)
    np.testing.assert_array_equal(found, [1.0, 0.1, np.nan, np.nan, np.nan, np.nan])
    assert np.isnan(checked_reliabilities(("a", "b"), None)).all()


@pytest.mark.parametrize(("given", "message"), [({"a": 0.9}, "'b' is missing"), ({"a": 0.9, "b": 1.01}, "'b' is 1.01")])
def test_missing_or_impossible_reliabilities_are_refused(given, message):
    with pytest.raises(DataError, match=message):
        checked_reliabilities(("a", "b"), given)
