import itertools

import numpy as np
import pytest
from scipy import stats

from personascope.errors import DataError
from personascope.measures.contrasts import sign_flip_p
from personascope.measures.multiplicity import adjust, max_t

# Benjamini & Hochberg (1995), section 4.1.
PUBLISHED = np.array(
    [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.324, 0.4262, 0.5719, 0.6528, 0.759, 1.0]
)


@pytest.mark.parametrize(("method", "rejected"), [("bh", 4), ("by", 3), ("holm", 3)])
def test_the_published_example(method, rejected):
    assert int((adjust(PUBLISHED, method) <= 0.05).sum()) == rejected


def test_four_values_by_hand():
    p = np.array([0.04, 0.01, 0.03, 0.5])
    # bh: .01 * 4/1, .03 * 4/2, .04 * 4/3, .5; then each no larger than the next.
    np.testing.assert_allclose(adjust(p, "bh"), [0.16 / 3, 0.04, 0.16 / 3, 0.5])
    np.testing.assert_allclose(adjust(p, "by"), np.minimum(1, np.array([0.16 / 3, 0.04, 0.16 / 3, 0.5]) * 25 / 12))
    # holm: .01 * 4, .03 * 3, .04 * 2 raised to .09, .5.
    np.testing.assert_allclose(adjust(p, "holm"), [0.09, 0.04, 0.09, 0.5])


@pytest.mark.parametrize("method", ["bh", "by", "holm"])
def test_order_does_not_matter_and_an_empty_family_stays_empty(method):
    order = np.random.default_rng(0).permutation(len(PUBLISHED))
    np.testing.assert_allclose(adjust(PUBLISHED[order], method), adjust(PUBLISHED, method)[order])
    assert len(adjust(np.zeros(0), method)) == 0


def test_unusable_p_values_are_counted_and_unknown_corrections_named():
    with pytest.raises(DataError, match="2 of 4 p values are NaN and 1 outside"):
        adjust(np.array([np.nan, 0.1, np.nan, 1.2]))
    # beartype stands before the message under pytest; unchecked callers read it
    with pytest.raises(DataError, match="Did you mean 'holm'"):
        adjust.__wrapped__(np.array([0.1]), "holn")


def naive_max_t(groups, units):
    """Westfall & Young step by step: every pattern, every remaining group, one at a time."""
    labels = sorted(set(itertools.chain(*units.values())))
    size = {g: np.sqrt(sum(sum(x[np.array(units[g]) == u]) ** 2 for u in set(units[g]))) for g, x in groups.items()}
    observed = {g: abs(sum(x)) / size[g] for g, x in groups.items()}
    ranked = sorted(groups, key=lambda g: -observed[g])
    p, floor = {}, 0.0
    for j, g in enumerate(ranked):
        hits = 0
        for pattern in itertools.product((1, -1), repeat=len(labels)):
            sign = dict(zip(labels, pattern, strict=True))
            reached = [
                abs(sum(sign[u] * v for u, v in zip(units[h], groups[h], strict=True))) / size[h] for h in ranked[j:]
            ]
            hits += max(reached) >= observed[g] - 1e-9
        floor = max(floor, hits / 2 ** len(labels))
        p[g] = floor
    return p


def test_max_t_equals_the_naive_step_down_with_shared_and_clustered_items():
    rng = np.random.default_rng(1)
    groups = {"a": rng.normal(1.0, 1, 5), "b": rng.normal(0.2, 1, 5), "c": rng.normal(0.6, 1, 4)}
    # a and b hold the same items, two of which are near duplicates; c has items of its own.
    units = {"a": np.array([0, 1, 2, 3, 3]), "b": np.array([0, 1, 2, 3, 3]), "c": np.array([4, 5, 6, 7])}
    found, expected = max_t(groups, units=units), naive_max_t(groups, units)
    assert list(found) == ["a", "b", "c"]
    assert found == pytest.approx(expected)


def test_copies_of_one_group_cost_nothing_and_one_group_is_the_plain_test():
    values = np.random.default_rng(2).normal(0.5, 1, 11)
    alone = sign_flip_p(values)
    assert max_t({"only": values})["only"] == pytest.approx(alone)
    items = dict.fromkeys("abcde", np.arange(11))
    assert max_t(dict.fromkeys("abcde", values), units=items) == pytest.approx(dict.fromkeys("abcde", alone))


def test_under_independence_the_smallest_p_is_close_to_sidaks():
    rng = np.random.default_rng(3)
    groups = {g: rng.normal(0.7 if g == 0 else 0, 1, 20) for g in range(8)}
    joint = max_t(groups, n_flips=20_000, seed=1)
    alone = min(stats.ttest_1samp(values, 0).pvalue for values in groups.values())
    flips = min(sign_flip_p(values, n_flips=20_000) for values in groups.values())
    assert flips == pytest.approx(alone, rel=0.5)
    assert min(joint.values()) == pytest.approx(1 - (1 - flips) ** 8, rel=0.25)


def test_units_of_scale_and_duplicated_flips_change_nothing():
    rng = np.random.default_rng(4)
    groups = {g: rng.normal(0.3, 1, 15) for g in "abc"}
    scaled = {"a": groups["a"] * 1000, "b": -groups["b"], "c": groups["c"] * 1e-6}
    assert max_t(scaled, n_flips=500) == max_t(groups, n_flips=500)
    assert max_t({"a": np.zeros(14), "b": groups["b"]}, n_flips=99)["a"] == 1.0
    assert min(max_t({"a": np.ones(80)}, n_flips=99).values()) == pytest.approx(0.01)


def test_unusable_differences_are_counted():
    with pytest.raises(DataError, match=r"3 differences are NaN or infinite, in 2 of 3 groups; the first is 'b'"):
        max_t({"a": np.ones(4), "b": np.array([np.nan, 1.0]), "c": np.array([np.inf, -np.inf])})
    with pytest.raises(DataError, match=r"\['b'\] have no items"):
        max_t({"a": np.ones(4), "b": np.zeros(0)})
    with pytest.raises(DataError, match="no group"):
        max_t({})
    with pytest.raises(DataError, match=r"unit labels of 1 groups do not match .* 'b'"):
        max_t({"a": np.ones(4), "b": np.ones(3)}, units={"a": np.arange(4), "b": np.arange(4)})
