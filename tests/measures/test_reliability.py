import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from personascope.errors import DataError
from personascope.instruments.pair_design import d_regular_pairs
from personascope.measures.outcomes import Outcomes
from personascope.measures.reliability import correlate, retest, split_half
from personascope.measures.utilities import fit_utilities


def all_pairs(n_tasks, keep, rng):
    """Random pairs, each in both orders."""
    a, b = np.triu_indices(n_tasks, 1)
    chosen = rng.choice(len(a), size=keep, replace=False)
    return np.concatenate([a[chosen], b[chosen]]), np.concatenate([b[chosen], a[chosen]])


def test_noise_free_utilities_are_perfectly_reliable():
    rng = np.random.default_rng(0)
    u = rng.normal(size=30)
    first, second = all_pairs(30, 300, rng)
    found = split_half(first, second, expit(u[first] - u[second] + 0.5), n_tasks=30, n_splits=4, prior_sd=10.0)
    assert found.raw_r > 0.995
    assert found.n_splits == 4


def test_the_step_up_predicts_the_reliability_of_the_whole():
    # Reliability of the whole, by definition: the correlation of two replications of the same design.
    rng = np.random.default_rng(1)
    u = rng.normal(0, 0.6, 150)
    first, second = all_pairs(150, 150 * 8, rng)
    draws = [(rng.random(len(first)) < expit(u[first] - u[second])).astype(float) for _ in range(2)]
    values = [fit_utilities(first, second, p, n_tasks=150).values for p in draws]
    found = split_half(first, second, draws[0], n_tasks=150, n_splits=6)
    assert found.r == pytest.approx(np.corrcoef(*values)[0, 1], abs=0.07)
    assert 2 < found.k < 3
    assert found.raw_r < found.low <= found.r <= found.high


@pytest.mark.parametrize(("degree", "spread"), [(4, 0.13), (6, 0.13), (4, 0.06)])
def test_the_step_up_holds_for_sparse_designs(degree, spread):
    # Soft answers whose error belongs to the pair; two designs of other pairs are replications of the whole.
    found, truth = [], []
    for seed in range(4):
        rng, fits = np.random.default_rng(seed), []
        u = rng.normal(0, 0.13, 240)
        for design in range(2):
            i, j = np.array(d_regular_pairs(240, degree, 2 * seed + design)).T
            d = u[i] - u[j] + rng.normal(0, spread, len(i))
            asked = np.append(i, j), np.append(j, i), expit(np.append(d, -d) + 1)
            fits.append(fit_utilities(*asked, n_tasks=240, prior_sd=3.0).values)
            found.append(split_half(*asked, n_tasks=240, n_splits=4, prior_sd=3.0))
        truth.append(np.corrcoef(*fits)[0, 1])
    r, raw = np.mean([one.r for one in found]), np.mean([one.raw_r for one in found])
    assert r == pytest.approx(np.mean(truth), abs=0.04)
    assert 2 * raw / (1 + raw) < np.mean(truth) - 0.025  # doubling would understate it


def test_noise_that_belongs_to_a_pair_is_not_taken_for_reliability():
    # Every pair has its own random outcome, the same in both orders, and tasks have no utilities. Halves that shared
    # pairs would agree about that noise.
    rng = np.random.default_rng(2)
    first, second = all_pairs(40, 200, rng)
    a_wins = np.tile(rng.random(200) < 0.5, 2)
    p = np.where(np.arange(400) < 200, a_wins, ~a_wins).astype(float)
    assert abs(split_half(first, second, p, n_tasks=40, n_splits=10).raw_r) < 0.25
    by_order = [np.arange(400) < 200, np.arange(400) >= 200]
    leaky = [fit_utilities(first[h], second[h], p[h], n_tasks=40).values for h in by_order]
    assert np.corrcoef(*leaky)[0, 1] > 0.9


def test_opposed_halves_stay_within_minus_one():
    # Outcomes at random over few tasks: some halves contradict each other.
    rng = np.random.default_rng(3)
    first, second = all_pairs(5, 10, rng)
    found = split_half(first, second, rng.random(20), n_tasks=5, n_splits=20)
    assert -1 <= found.low < -0.5
    assert found.frame().columns == ["r", "low", "high", "n_splits", "raw_r", "k"]


def test_tasks_seen_in_one_half_only_do_not_count():
    rng = np.random.default_rng(4)
    u = rng.normal(size=20)
    first, second = all_pairs(20, 190, rng)
    p = expit(u[first] - u[second])
    clean = split_half(first, second, p, n_tasks=20, n_splits=3)
    # Ten more tasks, each in a single pair: absent from one half of every split, and zero there by the prior.
    once, ones = np.arange(20, 30), np.ones(10)
    more = [np.append(first, once), np.append(second, np.zeros(10, dtype=int)), np.append(p, ones)]
    assert split_half(*more, n_tasks=30, n_splits=3).raw_r == pytest.approx(clean.raw_r, abs=0.02)
    # A second pair of each, refused, does not make them seen; its outcome does not count either.
    more = [np.append(more[0], once), np.append(more[1], np.ones(10, dtype=int)), np.append(more[2], 0 * ones)]
    weights = np.append(np.ones(len(first) + 10), np.zeros(10))
    assert split_half(*more, n_tasks=30, n_splits=3, weights=weights).raw_r == pytest.approx(clean.raw_r, abs=0.02)


def test_settings_of_the_fit_and_the_seed_are_heeded():
    rng = np.random.default_rng(5)
    first, second = all_pairs(12, 60, rng)
    p = rng.random(120)
    one, again, other, wide = (
        split_half(first, second, p, n_tasks=12, n_splits=3, seed=seed, prior_sd=sd)
        for seed, sd in ((1, 0.5), (1, 0.5), (2, 0.5), (1, 5.0))
    )
    assert one == again
    assert one != other
    assert one != wide


def test_weights_reach_the_fit():
    # Doubling every weight is the same as halving the prior's precision (the order term's is negligible).
    rng = np.random.default_rng(11)
    first, second = all_pairs(12, 60, rng)
    p, w = rng.random(120), rng.uniform(0.5, 2.0, 120)
    doubled = split_half(first, second, p, n_tasks=12, n_splits=3, weights=2 * w, prior_sd=0.5)
    widened = split_half(first, second, p, n_tasks=12, n_splits=3, weights=w, prior_sd=0.5 * np.sqrt(2))
    unweighted = split_half(first, second, p, n_tasks=12, n_splits=3, prior_sd=0.5)
    assert doubled.raw_r == pytest.approx(widened.raw_r, abs=1e-4)
    assert abs(doubled.raw_r - unweighted.raw_r) > 1e-3


@pytest.mark.parametrize(("n_splits", "pairs"), [(1, 10), (4, 1)])
def test_too_few_splits_or_pairs_are_refused(n_splits, pairs):
    first, second = all_pairs(5, pairs, np.random.default_rng(6))
    with pytest.raises(DataError, match=f"{n_splits} splits of {pairs} pairs"):
        split_half(first, second, np.full(2 * pairs, 0.7), n_tasks=5, n_splits=n_splits)


def test_halves_without_any_preference_have_no_reliability():
    first, second = all_pairs(6, 15, np.random.default_rng(7))
    with pytest.raises(DataError, match="constant"):
        split_half(first, second, np.full(30, 0.5), n_tasks=6)


def correlated(n, rho, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n)


def test_correlation_and_interval_agree_with_scipy():
    x, y = correlated(120, 0.6, 8)
    found = correlate(x, y)
    assert found.r == pytest.approx(stats.pearsonr(x, y).statistic)
    oracle = stats.bootstrap(
        (x, y),
        lambda a, b, axis: stats.pearsonr(a, b, axis=axis).statistic,
        paired=True,
        n_resamples=4000,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert found.low == pytest.approx(oracle.low, abs=0.015)
    assert found.high == pytest.approx(oracle.high, abs=0.015)
    assert found.n == 120
    far = correlate(x + 1e7, y)  # a large offset must not cost precision
    assert (far.r, far.low, far.high) == tuple(pytest.approx(v, abs=1e-6) for v in (found.r, found.low, found.high))
    assert found.frame().columns == ["r", "low", "high", "n"]


def test_copied_rows_in_one_cluster_add_no_certainty():
    x, y = correlated(40, 0.5, 9)
    single = correlate(x, y, n_resamples=2000, seed=1)
    x3, y3, ids = np.repeat(x, 3), np.repeat(y, 3), np.repeat([f"g{i:02d}" for i in range(40)], 3)
    clustered = correlate(x3, y3, n_resamples=2000, seed=1, groups=ids)
    naive = correlate(x3, y3, n_resamples=2000, seed=1)
    assert (clustered.low, clustered.high) == (pytest.approx(single.low), pytest.approx(single.high))
    assert naive.high - naive.low < 0.7 * (single.high - single.low)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    covered = []
    for seed in range(200):
        x, y = correlated(60, 0.5, seed)
        found = correlate(x, y, n_resamples=300, seed=0)
        covered.append(found.low <= 0.5 <= found.high)
    assert 0.88 < np.mean(covered) < 0.99


def test_resamples_without_variance_are_left_out():
    found = correlate(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 0.5]), n_resamples=500)
    assert -1 <= found.low <= found.r <= found.high <= 1


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], "constant"),
        ([1.0, 2.0, 3.0], [0.1, 0.1, 0.1], "constant"),
        ([1.0, 2.0], [2.0, 1.0], "at least 3 rows"),
        ([1.0, 2.0, np.nan], [2.0, 1.0, 0.0], "all finite"),
    ],
)
def test_correlations_that_are_not_defined_are_refused(x, y, message):
    with pytest.raises(DataError, match=message):
        correlate(np.array(x), np.array(y))


def test_too_few_clusters_are_refused():
    x, y = correlated(10, 0.5, 10)
    with pytest.raises(DataError, match="2 clusters in 10 group labels"):
        correlate(x, y, groups=np.repeat([0, 1], 5))


def answers(u, first, second, rng, bias=0.0):
    """One sampled answer to each comparison."""
    wins = rng.random(len(first)) < expit(u[first] - u[second] + bias)
    return Outcomes.sampled(first, second, np.where(wins, "first", "second").tolist())


def test_retest_is_the_correlation_of_two_fits():
    rng = np.random.default_rng(12)
    u = rng.normal(size=40)
    first, second = all_pairs(40, 250, rng)
    runs = [answers(u, first, second, rng) for _ in range(2)]
    found = retest(*runs, n_tasks=40, n_resamples=500, prior_sd=2.0)
    values = [fit_utilities(x.first, x.second, x.p_first, n_tasks=40, prior_sd=2.0).values for x in runs]
    oracle = correlate(*values, n_resamples=500)
    assert (found.r, found.low, found.high, found.n) == (oracle.r, oracle.low, oracle.high, 40)
    assert found.rank_r == pytest.approx(stats.spearmanr(*values).statistic)
    assert found.shared_pairs == 1
    swapped = retest(*reversed(runs), n_tasks=40, n_resamples=500, prior_sd=2.0)
    assert swapped.r == pytest.approx(found.r)
    assert found.frame().columns == ["r", "low", "high", "rank_r", "n", "shared_pairs"]


def test_a_run_agrees_with_itself_and_opposes_its_reverse():
    rng = np.random.default_rng(13)
    u = rng.normal(size=20)
    first, second = all_pairs(20, 100, rng)
    run = answers(u, first, second, rng, bias=1.0)
    reverse = Outcomes(run.first, run.second, run.chose_second, run.chose_first, run.refused, run.other)
    assert retest(run, run, n_tasks=20, n_resamples=100).r == pytest.approx(1)
    assert retest(run, reverse, n_tasks=20, n_resamples=100).r == pytest.approx(-1, abs=1e-6)


def test_what_is_peculiar_to_pairs_shows_only_in_other_pairs():
    # No utilities; every pair has its own answer, always the same. The same pairs agree, other pairs do not.
    rng = np.random.default_rng(14)
    a, b = np.triu_indices(40, 1)
    wins = rng.random(len(a)) < 0.5
    halves = [rng.permutation(len(a))[:390] for _ in range(2)]
    halves[1] = np.setdiff1d(np.arange(len(a)), halves[0])
    runs = [Outcomes.sampled(a[h], b[h], np.where(wins[h], "first", "second").tolist()) for h in halves]
    same, other = (retest(runs[0], run, n_tasks=40, n_resamples=200) for run in runs)
    assert same.r == pytest.approx(1)
    assert abs(other.r) < 0.4
    assert (same.shared_pairs, other.shared_pairs) == (1, 0)


def test_retest_counts_only_tasks_with_choices_in_both_runs():
    rng = np.random.default_rng(15)
    u = rng.normal(size=15)
    first, second = all_pairs(15, 80, rng)
    one = answers(u, first, second, rng)
    refused = (one.first == 3) | (one.second == 3)
    none = np.zeros(len(one.first))
    two = Outcomes(
        one.first,
        one.second,
        np.where(refused, none, one.chose_first),
        np.where(refused, none, one.chose_second),
        refused.astype(float),
        none,
    )
    found = retest(one, two, n_tasks=15, n_resamples=100)
    assert found.n == 14
    assert found.shared_pairs == pytest.approx(1 - refused.sum() / len(refused))
    with pytest.raises(DataError, match="2 group labels for 15 tasks"):
        retest(one, two, n_tasks=15, groups=np.zeros(2))
    with pytest.raises(DataError, match="1 clusters"):
        retest(one, two, n_tasks=15, groups=np.zeros(15))
