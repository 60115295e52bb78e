import numpy as np
import pytest

from personascope.errors import DataError
from personascope.tuning.specificity import specificity

QUICK = {"n_splits": 40, "n_resamples": 60}


def helpful(own, gap):
    """Half of its way is that of the ideal, half its own."""
    return own + 0.5 * gap + np.random.default_rng(0).normal(0, 0.2, len(gap))


def with_other(planted, seed, toward, se=0.02, share=0.5):
    """Movement goes `share` of the way toward one of the two."""
    items = planted(seed, truth=share, se=se, extra={"other": helpful, "toward_other": helpful})
    if toward == "ideal":
        return items
    return items.with_columns(after=items["before"] + share * (items["toward_other"] - items["before"]))


def test_movement_toward_the_ideal_also_goes_toward_helpful_but_not_beyond(planted):
    found = specificity(with_other(planted, 0, "ideal"), **QUICK)
    assert found.ideal.whole.closed.value == pytest.approx(0.5, abs=0.05)
    assert found.other.whole.closed.low > 0.1
    assert found.partial_ideal.value > 0.9
    # All of it lies along the ideal: given that, there is nothing left.
    assert "not told apart" in found.partial_other.refused
    assert (found.ideal.toward, found.other.toward) == ("ideal", "other")


def test_movement_toward_helpful_has_nothing_left_for_the_ideal(planted):
    found = specificity(with_other(planted, 0, "other"), **QUICK)
    assert found.other.whole.closed.value == pytest.approx(0.5, abs=0.05)
    assert found.ideal.whole.closed.low > 0.1
    assert found.partial_ideal.value is None
    assert found.partial_other.value > 0.9


def test_partial_cosines_of_a_mixture_by_formula(planted):
    items = planted(1, se=0.0, truth=0.4, remainder=0.1, extra={"other": helpful})
    d = items.select("facet", *(items[name] - items["before"] for name in ("after", "ideal", "other")))
    y, x, o = d.group_by("facet", maintain_order=True).mean().drop("facet").to_numpy().T
    rest = [v - (v @ o) / (o @ o) * o for v in (y, x)]
    expected = rest[0] @ rest[1] / np.linalg.norm(rest[0]) / np.linalg.norm(rest[1])
    found = specificity(items, **QUICK)
    assert found.partial_ideal.value == pytest.approx(expected)
    assert found.partial_ideal.naive_biased == pytest.approx(expected)
    assert found.ideal_with_other.value == pytest.approx(x @ o / np.linalg.norm(x) / np.linalg.norm(o))
    table = found.frame()
    assert table["statistic"].to_list() == ["gap closed"] * 2 + ["partial cosine"] * 2 + ["cosine of the gaps"]
    assert table["given"].to_list() == [None, None, "other", "ideal", "other"]
    assert table["value"][2] == pytest.approx(expected)


def test_a_helpful_that_is_the_ideal_up_to_error_leaves_nothing_to_tell(planted):
    items = planted(2, truth=0.5, extra={"other": lambda own, gap: own + gap})
    found = specificity(items, **QUICK)
    assert found.ideal.whole.closed.value is not None
    assert "ideal - before and other - before are not told apart" in found.partial_ideal.refused
    assert found.ideal_with_other.value > 0.9
    with pytest.raises(DataError, match=r"'other' .column 'ideal'. and 'ideal'"):
        specificity(items, other="ideal", **QUICK)
    with pytest.raises(DataError, match=r"'other' .column 'before'. and 'before'"):
        specificity(items, other="before", **QUICK)
