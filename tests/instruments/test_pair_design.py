import itertools
import json
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personascope.errors import DataError, FileFormatError
from personascope.instruments.pair_design import ActiveSettings, PairDesign, _match
from personascope.instruments.pairs import d_regular_pairs


def values_of(design, seed=0):
    """Utilities of a pool, with a little that changes from round to round."""
    n, round_number = design.settings.n_tasks, len(design.round_sizes)
    pool = np.random.default_rng(seed).normal(size=n)
    return pool + 0.3 * np.random.default_rng([seed, round_number]).normal(size=n)


def run(design, rounds=100):
    for _ in range(rounds):
        if design.outcome:
            break
        design = design.advance(values_of(design))
    return design


@settings(max_examples=25, deadline=None)
@given(
    n_tasks=st.integers(4, 25),
    batch=st.integers(1, 40),
    budget=st.integers(60, 400),
    closest=st.floats(0.05, 1.0),
    seed=st.integers(0, 2**31),
)
def test_a_design_keeps_its_promises(n_tasks, batch, budget, closest, seed):
    start = PairDesign.start(ActiveSettings(n_tasks, 2, batch, budget, 1.0, 50, closest, seed=seed))
    assert list(start.batch) == d_regular_pairs(n_tasks, 2, seed)
    end = run(start)
    assert len(set(end.pairs)) == len(end.pairs) <= budget
    assert end.round_sizes[0] == n_tasks
    assert all(size == batch for size in end.round_sizes[1:-1])
    if end.outcome == "budget":
        assert len(end.pairs) == budget
    elif end.outcome == "exhausted":
        assert len(end.pairs) == n_tasks * (n_tasks - 1) // 2
    else:
        assert len(end.round_sizes) == 101  # not done in a hundred rounds
    assert end.batch == () or end.outcome is None


def test_a_round_takes_close_pairs_and_leaves_no_task_behind():
    design = run(PairDesign.start(ActiveSettings(60, 4, 120, 10_000)), 1)
    u = values_of(PairDesign.start(design.settings))
    apart = np.abs(u[:, None] - u)[np.triu_indices(60, 1)]
    ranks = np.argsort(np.argsort(u))
    for i, j in design.batch:
        assert abs(u[i] - u[j]) <= np.quantile(apart, 0.3) or abs(ranks[i] - ranks[j]) <= 5
    assert np.ptp(design.degrees) <= 2
    assert design.degrees.sum() == 2 * len(design.pairs)


def test_all_pairs_are_asked_when_the_budget_allows():
    end = run(PairDesign.start(ActiveSettings(12, 3, 10, 10_000, 1.0, 99)))
    assert end.outcome == "exhausted"
    assert sorted(end.pairs) == [(i, j) for i in range(12) for j in range(i + 1, 12)]


def test_repeats_come_only_when_asked_for():
    choice = ActiveSettings(6, 4, 10, 100, 1.0, 99, repeats=True)
    end = run(PairDesign.start(choice))
    assert end.outcome == "budget"
    assert len(end.pairs) == 100 > len(set(end.pairs)) == 15
    starts = np.cumsum((0, *end.round_sizes))
    for start, stop in itertools.pairwise(starts):
        assert len(set(end.pairs[start:stop])) == stop - start  # never twice in a round


def test_a_design_stops_when_the_ranking_stands_still_long_enough():
    u = np.arange(20.0)
    design = PairDesign.start(ActiveSettings(20, 2, 10, 1000, 0.9, patience=2)).advance(u)
    assert design.correlations == ()
    design = design.advance(-u).advance(-u)
    assert design.correlations == (pytest.approx(-1), pytest.approx(1))
    assert design.outcome is None
    design = design.advance(np.exp(-u))  # another unit, the same ranking
    assert design.outcome == "converged"
    assert design.batch == ()
    with pytest.raises(DataError, match="cannot go on"):
        design.advance(u)


def test_constant_utilities_do_not_count_as_standing_still():
    design = PairDesign.start(ActiveSettings(10, 2, 5, 100, 0.5))
    design = design.advance(np.zeros(10)).advance(np.zeros(10))
    assert design.correlations == (None,)
    assert design.outcome is None


@pytest.mark.parametrize("n_tasks", [30, 1500])
def test_a_design_goes_on_from_its_state_as_if_never_stopped(n_tasks):
    design = PairDesign.start(ActiveSettings(n_tasks, 4, 100, 10_000, 1.0, seed=5))
    for _ in range(3):
        kept = json.loads(json.dumps(design.state()))
        resumed = PairDesign.from_state(kept)
        assert resumed == design
        assert resumed.batch == design.batch
        design, resumed = design.advance(values_of(design)), resumed.advance(values_of(design))
        assert resumed == design
    start = PairDesign.start(design.settings)
    other = replace(start, settings=replace(design.settings, seed=6))  # the same first round
    assert other.advance(values_of(other)).batch != start.advance(values_of(start)).batch


def test_only_the_order_of_utilities_and_their_gaps_matter():
    design = PairDesign.start(ActiveSettings(40, 4, 30, 1000))
    u = values_of(design)
    assert design.advance(u).batch == design.advance(8 * u).batch == design.advance(-u).batch


def test_matching_serves_the_least_asked_first():
    pairs = np.array([0 * 5 + 1, 1 * 5 + 2, 2 * 5 + 3, 3 * 5 + 4])
    for seed in range(10):
        degrees = np.array([7, 3, 3, 7, 9])
        chosen = _match(pairs, degrees, 2, np.random.default_rng(seed))
        assert chosen[0] == 1 * 5 + 2
        assert degrees.sum() == 29 + 4
        assert set(chosen.tolist()) <= set(pairs.tolist())
    assert len(_match(pairs, np.zeros(5, dtype=int), 9, np.random.default_rng(0))) == 4


def test_a_large_pool_is_served_evenly_and_in_seconds():
    design = PairDesign.start(ActiveSettings(5000, 4, 20_000, 100_000))
    u = np.random.default_rng(0).normal(size=5000)
    started = time.perf_counter()
    design = design.advance(u)
    assert time.perf_counter() - started < 10
    assert len(design.batch) == 20_000
    assert set(design.batch).isdisjoint(design.pairs[:10_000])
    assert np.quantile(design.degrees, [0.01, 0.99]).tolist() == pytest.approx([12, 12], abs=1)
    assert design.degrees.min() >= 8
    i, j = np.array(design.batch).T
    near = np.quantile(np.abs(u[:2000, None] - u[2000:4000]), 0.3)
    assert np.mean(np.abs(u[i] - u[j]) <= near) > 0.98
    assert np.median(np.abs(u[i] - u[j])) > near / 4  # spread over all that is close, not neighbours only


def test_constant_utilities_of_a_large_pool_are_no_obstacle():
    design = PairDesign.start(ActiveSettings(1200, 2, 500, 9000)).advance(np.zeros(1200))
    assert len(design.batch) == 500


@pytest.mark.parametrize(
    "changed",
    [
        {"batch": 0},
        {"patience": 0},
        {"threshold": 0.0},
        {"threshold": 1.1},
        {"threshold": float("nan")},
        {"closest": 0.0},
        {"closest": 2.0},
        {"seed": -1},
        {"max_pairs": 19},
    ],
)
def test_settings_out_of_range_are_refused(changed):
    with pytest.raises(DataError, match=r"Active pairs with|budget has 19"):
        replace(ActiveSettings(20, 2, 10, 100), **changed)


def test_an_impossible_start_is_refused():
    with pytest.raises(DataError, match="No 3-regular design over 5"):
        PairDesign.start(ActiveSettings(5, 3, 10, 100))


@pytest.mark.parametrize("u", [np.zeros(9), np.zeros((10, 1)), np.full(10, np.nan)], ids=str)
def test_utilities_that_do_not_fit_are_refused(u):
    with pytest.raises(Exception, match=r"(?i)cannot go on|type-check"):
        PairDesign.start(ActiveSettings(10, 2, 5, 100)).advance(u)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.pop("pairs"),
        lambda s: s.update(more=1),
        lambda s: s["settings"].update(batch=0),
        lambda s: s["settings"].update(surprise=0),
        lambda s: s["pairs"].append([0, 1]),
        lambda s: s["pairs"].__setitem__(0, [3, 3]),
        lambda s: s["pairs"].__setitem__(0, [0, 99]),
        lambda s: s["pairs"].__setitem__(0, [0]),
        lambda s: s.update(utilities=[1.0]),
        lambda s: s.update(utilities=[float("nan")] * 10),
        lambda s: s.update(outcome="done"),
        lambda s: s.update(round_sizes=[]),
    ],
)
def test_a_damaged_state_is_refused(change):
    state = PairDesign.start(ActiveSettings(10, 2, 5, 100)).state()
    change(state)
    with pytest.raises(FileFormatError, match="not the state of a pair design"):
        PairDesign.from_state(state)


@pytest.mark.parametrize("state", [None, [], 3, "text"])
def test_what_is_no_state_at_all_is_refused(state):
    with pytest.raises(FileFormatError, match="not the state"):
        PairDesign.from_state(state)
