"""Statistics of condition effects on simulated answers of known truth: error rates, coverage, recovered values."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np
import polars as pl
from scipy import stats

from benchmarks.records import Record, at_most, show_so_far
from personascope.measures.contrasts import paired_contrasts, sign_flip_p
from personascope.measures.deming import deming_slope
from personascope.measures.equivalence import equivalence
from personascope.measures.multiplicity import adjust, max_t
from personascope.measures.power import power_table
from personascope.measures.profile_regression import regress_profiles
from personascope.measures.shrinkage import shrink

# Forty items as a grown bank has them: one family of five paraphrases, some smaller ones, about half alone.
FAMILIES = np.repeat(np.arange(28), [5, 3, 2, 2, 2, 2, 2, 2] + [1] * 20)
RHO = 0.3
# Benjamini & Hochberg (1995), section 4.1: fifteen tests of a trial of thrombolysis.
PUBLISHED = np.array(
    [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.324, 0.4262, 0.5719, 0.6528, 0.759, 1.0]
)


def records() -> list[Record]:
    """All figures; about a minute on one core."""
    gc.freeze()  # statsmodels collects garbage in each Holm correction, which takes long in a process that holds much
    parts: Sequence[Callable[[], list[Record]]] = (
        type_one_error,
        coverage,
        exactness,
        corrections,
        largest_statistic,
        shrinkage,
        equivalence_errors,
        slopes,
        reducible_claims,
        power,
        speed,
    )
    return [show_so_far(record) for part in parts for record in part()]


def share(name: str, hits: np.ndarray, target: float, low: float, high: float, note: str = "") -> Record:
    """A rate over simulations with its exact 95 % interval; met when the rate itself lies in [low, high]."""
    value, interval = float(hits.mean()), stats.binomtest(int(hits.sum()), len(hits)).proportion_ci()
    text = f"accepted {low:g} to {high:g}{'; ' if note else ''}{note}"
    return Record(name, value, interval.low, interval.high, target, bool(low <= value <= high), len(hits), text)


def near(name: str, values: np.ndarray, target: float, tolerance: float, note: str = "") -> Record:
    """A mean over simulations with its 95 % interval; met when within the tolerance of the truth."""
    value, half = float(values.mean()), 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5
    text = f"accepted +-{tolerance:g}{'; ' if note else ''}{note}"
    return Record(name, value, value - half, value + half, target, abs(value - target) <= tolerance, len(values), text)


def same(name: str, difference: float, n: int, note: str = "") -> Record:
    """Largest difference between two ways to the same number."""
    return Record(name, difference, difference, difference, 0.0, difference <= 1e-12, n, note)


def clustered(rng: np.random.Generator, n: int, families: np.ndarray, sd: float = 0.4) -> np.ndarray:
    """Samples of zero-mean differences whose families correlate by RHO, shape (n, item)."""
    between = rng.normal(0, sd * RHO**0.5, (n, families.max() + 1))[:, families]
    return between + rng.normal(0, sd * (1 - RHO) ** 0.5, (n, len(families)))


def answers(differences: np.ndarray, *, n_facets: int, families: np.ndarray) -> pl.DataFrame:
    """Item table of a silent `self` and of personas whose differences from it are given, (persona, facet * item)."""
    n_items = differences.shape[1] // n_facets
    facet, item = np.divmod(np.arange(differences.shape[1]), n_items)
    # A family keeps one key, as paraphrases do; families alternate.
    about = pl.DataFrame(
        {
            "item": [f"{f}.{i}" for f, i in zip(facet, item, strict=True)],
            "facet": [f"facet {f}" for f in facet],
            "key": np.where(families[item] % 2, -1, 1),
            "family": [f"{f}.{families[i]}" for f, i in zip(facet, item, strict=True)],
        }
    )
    parts = [about.with_columns(persona=pl.lit("self"), agreement=pl.lit(0.0))]
    for place, d in enumerate(differences):
        parts.append(about.with_columns(persona=pl.lit(f"p{place}"), agreement=pl.col("key") * pl.Series(d)))
    return pl.concat(parts)


def type_one_error() -> list[Record]:
    """Share of false alarms at .05 without an effect; fresh flips each time make the random test exact."""
    n, rng = 2_000, np.random.default_rng(1)
    skewless = rng.uniform(-1, 1, (n, 40)) - rng.uniform(-1, 1, (n, 40))
    alone = np.array([sign_flip_p(d, seed=i, n_flips=999) for i, d in enumerate(skewless)]) <= 0.05
    related = clustered(rng, n, FAMILIES)
    by_item = np.array([sign_flip_p(d, seed=i, n_flips=999) for i, d in enumerate(related)]) <= 0.05
    sums = np.add.reduceat(related, np.flatnonzero(np.diff(FAMILIES, prepend=-1)), axis=1)
    by_family = np.array([sign_flip_p(d, seed=i, n_flips=999) for i, d in enumerate(sums)]) <= 0.05
    return [
        share("sign flip, type-I error, 40 items", alone, 0.05, 0.04, 0.06),
        share("sign flip by cluster, type-I error", by_family, 0.05, 0.04, 0.06, "28 clusters in 40 items, r .3"),
        share("  the same, clusters ignored", by_item, 0.05, 0.06, 1.0, "must be too high"),
    ]


def coverage() -> list[Record]:
    """Share of 95 % intervals that hold the true difference, 0."""
    n_facets, rng = 4, np.random.default_rng(2)
    d = np.hstack([clustered(rng, 500, FAMILIES) for _ in range(n_facets)])
    table = answers(d, n_facets=n_facets, families=FAMILIES)
    pairs = [(f"p{i}", "self") for i in range(len(d))]
    found = []
    for column in ("family", None):
        rows = paired_contrasts(table, pairs, cluster=column, n_resamples=2_000, n_flips=20, seed=3)
        found.append(((rows["low"] < 0) & (rows["high"] > 0)).to_numpy())
    return [
        share("cluster bootstrap, coverage of 95 %", found[0], 0.95, 0.93, 0.97, "28 clusters in 40 items, r .3"),
        share("  the same, clusters ignored", found[1], 0.95, 0.0, 0.93, "must be too low"),
    ]


def exactness() -> list[Record]:
    """Sign-flip p against counting all sign patterns one by one."""
    worst = 0.0
    for n in range(1, 13):
        values = np.random.default_rng(n).normal(0.3, 1.0, n)
        sums = [abs(sum(s * v for s, v in zip(p, values, strict=True))) for p in itertools.product((1, -1), repeat=n)]
        worst = max(worst, abs(sign_flip_p(values) - np.mean(np.array(sums) >= abs(sum(values)) - 1e-9)))
    return [same("sign flip against enumeration, n = 1 to 12", worst, 12)]


def corrections() -> list[Record]:
    """The published example of fifteen tests, and the definitions."""
    p, m = PUBLISHED, len(PUBLISHED)
    rank = np.arange(1, m + 1)
    step_up = np.minimum.accumulate((p * m / rank)[::-1])[::-1].clip(max=1)
    dependent = np.minimum.accumulate((p * m / rank * (1 / rank).sum())[::-1])[::-1].clip(max=1)
    step_down = np.maximum.accumulate(p * (m + 1 - rank)).clip(max=1)
    found = []
    for method, expected, rejected in (("bh", step_up, 4), ("by", dependent, 3), ("holm", step_down, 3)):
        adjusted = adjust(p, method)
        found.append(same(f"{method} against its definition", float(np.abs(adjusted - expected).max()), m))
        count = int((adjusted <= 0.05).sum())
        found.append(
            Record(f"{method}, rejected at .05", count, count, count, rejected, count == rejected, m, "BH 1995")
        )
    return found


def largest_statistic() -> list[Record]:
    """Max-T under full dependence, under independence, and its family-wise error."""
    rng = np.random.default_rng(4)
    values = rng.normal(0.35, 1, 10)
    copies = max_t(dict.fromkeys(range(20), values), units=dict.fromkeys(range(20), np.arange(10)))
    alone = sign_flip_p(values)
    groups = {g: rng.normal(0.55 if g == 0 else 0, 1, 20) for g in range(10)}
    joint = max_t(groups, n_flips=20_000, seed=5)
    single = min(sign_flip_p(groups[g], seed=6, n_flips=20_000) for g in groups)
    smallest, sidak = min(joint.values()), 1 - (1 - single) ** 10
    errors = []
    for i in range(1_000):
        d = {g: rng.normal(0, 1, 15) for g in range(10)}
        errors.append(min(max_t(d, n_flips=499, seed=i).values()) <= 0.05)
    return [
        same("max-T of 20 copies equals one test", max(abs(p - alone) for p in copies.values()), 20),
        Record(
            "max-T of 10 independent groups",
            smallest,
            smallest,
            smallest,
            sidak,
            abs(smallest - sidak) < 0.01,
            1,
            "Sidak",
        ),
        share("max-T, family-wise error", np.array(errors), 0.05, 0.036, 0.064, "10 independent groups"),
    ]


def shrinkage() -> list[Record]:
    """tau, coverage and error of empirical-Bayes estimates of 24 facets."""
    rng, tau = np.random.default_rng(7), 0.15
    taus, inside, gain = [], [], []
    for _ in range(500):
        truth, se = rng.normal(0.1, tau, 24), rng.uniform(0.05, 0.15, 24)
        observed = truth + rng.normal(0, se)
        found = shrink([str(f) for f in range(24)], observed, se)
        estimate = found.effects["shrunken"].to_numpy()
        taus.append(found.tau)
        inside.append((found.effects["low"].to_numpy() <= truth) & (truth <= found.effects["high"].to_numpy()))
        gain.append(((estimate - truth) ** 2).sum() / ((observed - truth) ** 2).sum())
    return [
        near("shrinkage, tau", np.array(taus), tau, 0.01),
        share("shrinkage, coverage of 95 %", np.concatenate(inside), 0.95, 0.93, 0.97),
        at_most("shrinkage, squared error by raw", np.array(gain), 1.0, "median; below 1 is a gain"),
    ]


def equivalence_errors() -> list[Record]:
    """Share of equivalence claims where the difference is the bound itself, and where it is 0."""
    rng, n_facets = np.random.default_rng(8), 4
    alone = np.arange(40)
    d = rng.normal(0, 0.25, (500, n_facets * 40))
    pairs = [(f"p{i}", "self") for i in range(len(d))]
    claims = []
    for shift in (0.10, 0.0):
        table = answers(d + shift, n_facets=n_facets, families=alone)
        claims.append(equivalence(table, pairs, bound=0.10)["equivalent"].to_numpy())
    resampled = equivalence(
        answers(d + 0.10, n_facets=n_facets, families=alone), pairs, method="bootstrap", n_resamples=1_000
    )
    error = 0.25 / 40**0.5
    expected = 2 * stats.nct.cdf(0.10 / error - stats.t.isf(0.05, 38), 38, 0) - 1
    return [
        share("TOST, false claims at the bound", claims[0], 0.05, 0.04, 0.06),
        share("bootstrap inclusion, false claims at the bound", resampled["equivalent"].to_numpy(), 0.05, 0.03, 0.07),
        share("TOST, claims at no difference", claims[1], float(expected), expected - 0.05, expected + 0.05),
    ]


def slopes() -> list[Record]:
    """Slopes of profiles that share the error of their reference: plain regression is biased, the corrected not."""
    rng, n, n_facets, se = np.random.default_rng(9), 1_000, 24, 0.1
    found = []
    for truth in (0.0, 0.5, 1.0):
        naive, corrected = np.empty(n), np.empty(n)
        for i in range(n):
            profile = rng.normal(0, 0.2, n_facets)
            one, two, reference = rng.normal(0, se, (3, n_facets))
            x, y = profile + two - reference, truth * profile + one - reference
            variance, shared = np.full(n_facets, 2 * se**2), np.full(n_facets, se**2)
            naive[i], corrected[i] = x @ y / (x @ x), deming_slope(x, y, variance, variance, shared)
        found.append(near(f"Deming slope, planted {truth:g}", corrected, truth, 0.03))
        bias = (truth * 0.04 + se**2) / (0.04 + 2 * se**2)
        found.append(near("  the same by least squares", naive, bias, 0.03, "target: its biased expectation"))
    return found


def study(
    rng: np.random.Generator, profile: np.ndarray, residual: np.ndarray, n_items: int, slope: float = 1.0
) -> pl.DataFrame:
    """Answers of self, helpful and meta, meta - self being slope times helpful - self plus the residual."""
    facet = np.repeat(np.arange(len(profile)), n_items)
    key = np.where(np.arange(len(facet)) % 2, -1, 1)
    about = pl.DataFrame({"item": np.arange(len(facet)), "facet": [f"facet {f}" for f in facet], "key": key})
    own = rng.normal(0, 0.3, len(facet))
    shifts = {"self": 0 * profile, "helpful": profile, "meta": slope * profile + residual}
    parts = []
    for persona, shift in shifts.items():
        values = own + key * shift[facet] + rng.normal(0, 0.2, len(facet))
        parts.append(about.with_columns(persona=pl.lit(persona), agreement=pl.Series(values)))
    return pl.concat(parts)


def reducible_claims() -> list[Record]:
    """The whole way from items: interval of the slope, and when "reducible" is said."""
    rng, n_facets, n, quick = np.random.default_rng(10), 24, 60, {"n_resamples": 400, "n_splits": 2}
    inside, false, true = [], [], []
    for i in range(200):
        profile = rng.normal(0, 0.2, n_facets)
        found = regress_profiles(study(rng, profile, 0 * profile, 16), seed=i, **quick)
        inside.append(found.low <= 1 <= found.high)
    one = np.where(np.arange(n_facets) == 3, 0.10, 0.0)
    for i in range(n):
        profile = rng.normal(0, 0.2, n_facets)
        false.append(regress_profiles(study(rng, profile, one, 200), seed=i, **quick).reducible)
        true.append(regress_profiles(study(rng, profile, 0 * one, 200), seed=i, **quick).reducible)
    return [
        share("profile regression, coverage of the slope", np.array(inside), 0.95, 0.91, 0.985, "24 facets x 16 items"),
        share("  reducible, one residual at the bound", np.array(false), 0.05, 0.0, 0.12, "24 facets x 200 items"),
        share("  reducible, no residual", np.array(true), 1.0, 0.9, 1.0, "24 facets x 200 items; 80 are too few"),
    ]


def power() -> list[Record]:
    """The published large-sample numbers, and the t-test's power at the numbers that are given for it."""
    table = power_table()
    reference = [126, 32, 14, 248, 62, 28, 283, 71, 32, 557, 140, 62]
    wrong = int((table["n_normal"].to_numpy() != np.array(reference)).sum())
    found = [
        Record("items by the normal formula that differ", wrong, wrong, wrong, 0, wrong == 0, 12, "reference: 126 ...")
    ]
    rng = np.random.default_rng(11)
    for row in table.filter((pl.col("sd") == 0.4) & (pl.col("delta") > 0.1)).iter_rows(named=True):
        p = stats.ttest_1samp(rng.normal(row["delta"], row["sd"], (10_000, row["n"])), 0, axis=1).pvalue
        name = f"power at {row['n']} items (delta {row['delta']:g}, alpha {row['alpha']:g})"
        # n is the first whole number that reaches .8, so that small ones overshoot.
        found.append(share(name, p <= row["alpha"], 0.8, 0.785, 0.84))
    return found


def speed() -> list[Record]:
    """25 facets, 4 contrasts, 40 items, 10,000 resamples and flips, with clusters and every correction."""
    rng = np.random.default_rng(12)
    table = answers(rng.normal(0, 0.4, (4, 25 * 40)), n_facets=25, families=FAMILIES)
    pairs = [(f"p{i}", "self") for i in range(4)]
    started = perf_counter()
    paired_contrasts(table, pairs, cluster="family", extra=("holm", "max_t"))
    seconds = np.array([perf_counter() - started])
    return [at_most("seconds for 100 contrasts of 40 items", seconds, 6.0, "10,000 resamples and flips")]
