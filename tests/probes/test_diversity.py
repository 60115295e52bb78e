from itertools import combinations

import numpy as np
import pytest

from personascope.errors import DataError
from personascope.probes import diversity
from personascope.probes.bootstrap import draw_counts
from personascope.probes.diversity import diversity_ablation
from personascope.probes.folds import grouped_folds
from personascope.probes.leave_out import leave_out_ridge
from personascope.probes.ridge import DEFAULT_ALPHAS

N, D = 160, 30
GROUPS = np.arange(N) // 8


def ablation(features, utilities, **options):
    how = {"layer": 3, "position": "eot", "n_resamples": 60, **options}
    return diversity_ablation(features, utilities, GROUPS, **how)


def personas(names, *, shared=1.0, private=0.0, offset=0.0, seed=0):
    """Own utilities for each, in a direction that all share and in one that only this persona has."""
    rng = np.random.default_rng(seed)
    utilities = {name: rng.normal(size=N) for name in names}
    places = shared * np.eye(D)[0] + private * np.eye(D)[1 : 1 + len(names)]
    shifts = offset * rng.normal(size=(len(names), D))
    features = {
        name: rng.normal(size=(N, D)) + np.outer(utilities[name], place) + shift
        for name, place, shift in zip(names, places, shifts, strict=True)
    }
    return features, utilities


def test_r_rises_with_the_number_of_personas_where_each_adds_a_direction_of_its_own():
    frame = ablation(*personas("abcdef", shared=1.0, private=2.0))
    means = [frame.filter(n_personas=k)["r"].mean() for k in range(1, 6)]
    # the last is of one probe for each persona, not a mean of several
    assert means[:4] == sorted(means[:4])
    assert min(means[3:]) > means[0] + 0.1
    # a persona's own probe uses its private direction too
    assert frame["own_r"].min() > 0.8 > frame["r"].max()


def test_diversity_adds_nothing_where_all_share_one_direction():
    frame = ablation(*personas("abcd", shared=2.0))
    assert frame["r"].to_numpy() == pytest.approx(frame["own_r"].to_numpy(), abs=0.08)
    assert frame["utility_r"].abs().max() < 0.35
    assert frame["difference_low"].min() > 0.3


def test_numbers_are_those_of_ten_lines():
    features, utilities = personas("abcd", private=1.0)
    frame = ablation(features, utilities, n_total=90, seed=5)
    folds, rng = grouped_folds(GROUPS, 4, 5), np.random.default_rng([5, 3])
    tasks = [rng.permutation(train)[:90] for train, _ in folds]
    draws = [np.repeat(np.arange(N), counts[GROUPS]) for counts in draw_counts(20, 60, 5).astype(int)]
    probes = {}
    for subset in ("a", "b", "c", "ab", "ac", "bc", "abc", "d"):
        probes[subset] = np.empty(N)
        for (_, test), seen in zip(folds, tasks, strict=True):
            hands = [seen[i :: len(subset)] for i in range(len(subset))]
            X = np.concatenate([features[name][hand] for name, hand in zip(subset, hands, strict=True)])
            y = np.concatenate([utilities[name][hand] for name, hand in zip(subset, hands, strict=True)])
            fitted = leave_out_ridge(X, y[:, None], DEFAULT_ALPHAS, GROUPS[np.concatenate(hands)])
            probes[subset][test] = (features["d"][test] @ fitted.coef + fitted.intercept)[:, 0]
    for k in (1, 2, 3):
        subsets = ["".join(names) for names in combinations("abc", k)]
        row = frame.filter(test="d", n_personas=k).row(0, named=True)

        def mean_r(rows, subsets=subsets):
            return np.mean([np.corrcoef(probes[s][rows], utilities["d"][rows])[0, 1] for s in subsets])

        def copied(rows, subsets=subsets):
            means = [np.mean([utilities[name][rows] for name in s], axis=0) for s in subsets]
            return np.mean([np.corrcoef(mean, utilities["d"][rows])[0, 1] for mean in means])

        low, high = np.percentile([mean_r(draw) for draw in draws], [2.5, 97.5])
        gap = np.percentile([mean_r(draw) - copied(draw) for draw in draws], [2.5, 97.5])
        every = np.arange(N)
        assert row["r"] == pytest.approx(mean_r(every))
        assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high))
        assert row["utility_r"] == pytest.approx(copied(every))
        assert row["difference"] == pytest.approx(mean_r(every) - copied(every))
        assert (row["difference_low"], row["difference_high"]) == (pytest.approx(gap[0]), pytest.approx(gap[1]))
        assert row["own_r"] == pytest.approx(np.corrcoef(probes["d"], utilities["d"])[0, 1])
        each = [np.corrcoef(probes[s], utilities["d"])[0, 1] for s in subsets]
        assert row["spread"] == (None if k == 3 else pytest.approx(np.std(each, ddof=1)))
        assert (row["n_subsets"], row["n_rows"], row["n"], row["n_groups"]) == (len(subsets), 90, N, 20)


def test_every_probe_sees_the_same_number_of_rows_each_another_task_and_none_that_is_tested(monkeypatch):
    marked = {name: np.column_stack([np.arange(N), np.full(N, p)]).astype(float) for p, name in enumerate("abcd")}
    _, utilities = personas("abcd")
    seen = []

    def recording(X, Y, alphas, groups=None):
        seen.append((X.copy(), Y.copy(), groups))
        return leave_out_ridge(X, Y, alphas, groups)

    monkeypatch.setattr(diversity, "leave_out_ridge", recording)
    ablation(marked, utilities, n_total=100, seed=2)
    # all sets of one, two and three of four personas, in four folds; each fitted once
    assert len(seen) == (4 + 6 + 4) * 4
    tests = [set(test.tolist()) for _, test in grouped_folds(GROUPS, 4, 2)]
    for number, (X, Y, groups) in enumerate(seen):
        tasks, persona = X[:, 0].astype(int), X[:, 1].astype(int)
        assert len(set(tasks.tolist())) == len(X) == 100
        assert not tests[number % 4] & set(tasks.tolist())
        assert np.ptp(np.bincount(persona)[np.unique(persona)]) <= 1
        np.testing.assert_array_equal(groups, GROUPS[tasks])
        np.testing.assert_array_equal(Y[:, 0], [utilities["abcd"[p]][t] for p, t in zip(persona, tasks, strict=True)])
    assert {frozenset(map(int, np.unique(X[:, 1]))) for X, _, _ in seen} == {
        frozenset(subset) for k in (1, 2, 3) for subset in combinations(range(4), k)
    }


def test_tested_tasks_are_never_trained_on_under_another_persona():
    rng = np.random.default_rng(0)
    X, u = rng.normal(size=(N, 400)), rng.normal(size=N)
    frame = ablation(dict.fromkeys("abc", X), dict.fromkeys("abc", u))
    assert frame["r"].abs().max() < 0.35
    assert frame["utility_r"].to_list() == pytest.approx([1.0] * 6)


def test_centring_takes_offsets_away():
    plain = ablation(*personas("abcd", shared=1.0))
    features, utilities = personas("abcd", shared=1.0, offset=20.0)
    centred = ablation(*personas("abcd", shared=1.0), centre_personas=True)
    shifted = ablation(features, utilities, centre_personas=True)
    assert shifted["r"].to_numpy() == pytest.approx(centred["r"].to_numpy(), abs=1e-6)
    assert shifted["r"].to_numpy() == pytest.approx(plain["r"].to_numpy(), abs=0.1)
    # the direction differs between folds, and so does what it makes of the offset
    assert ablation(features, utilities)["r"].mean() < shifted["r"].mean() - 0.1


def test_no_more_subsets_than_asked_for_and_none_twice():
    rng = np.random.default_rng(0)
    assert diversity._subsets([0, 2, 5], 2, 3, rng) == [(0, 2), (0, 5), (2, 5)]
    drawn = diversity._subsets(list(range(9)), 4, 50, rng)
    assert len(set(drawn)) == len(drawn) == 50
    assert all(len(set(subset)) == 4 and list(subset) == sorted(subset) for subset in drawn)
    frame = ablation(*personas("abcd"), n_subsets=2)
    assert frame["n_subsets"].to_list() == [2, 2, 1] * 4
    assert frame.equals(ablation(*personas("abcd"), n_subsets=2))


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ("ab", {}, "2 personas"),
        ("abc", {"n_subsets": 0}, "0 subsets"),
        ("abc", {"n_total": 121}, "121 training rows"),
        ("abcd", {"n_total": 2}, "2 training rows"),
    ],
)
def test_what_cannot_be_compared_is_refused(names, options, message):
    with pytest.raises(DataError, match=message):
        ablation(*personas(names), **options)
