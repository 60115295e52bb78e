"""Power: how many items per facet a paired contrast needs, and what a given number can find."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import polars as pl
from scipy import stats

from personascope.errors import DataError
from personascope.measures.tables import require_columns


def power_table(
    sd: Sequence[float] = (0.4, 0.6),
    delta: Sequence[float] = (0.1, 0.2, 0.3),
    alpha: Sequence[float] = (0.05, 0.05 / 25),
    power: float = 0.8,
    *,
    cluster_size: float = 1.0,
    rho: float = 0.0,
) -> pl.DataFrame:
    """Items per facet that a two-sided paired test needs to find a difference.

    Args:
        sd: standard deviations of the paired item differences.
        delta: differences to be found, in agreement units.
        alpha: levels; .05 / 25 is what Bonferroni leaves each of 25 facets.
        power: chance to find the difference.
        cluster_size: items per cluster of near duplicates (paraphrases of one item).
        rho: correlation of differences within a cluster.

    Returns:
        One row per sd, delta and alpha: sd, delta, alpha, power, n (paired t-test, `statsmodels` noncentral t),
        n_normal (the large-sample figure ((z_(1 - alpha/2) + z_power) sd / delta)^2, which tables often give and which
        is one to four items short), design_effect, n_clustered (n times the design effect, rounded up).

    Raises:
        DataError: a value outside its range.
    """
    effect = design_effect(cluster_size, rho)
    rows: list[dict[str, Any]] = []
    for s, a, d in ((s, a, d) for s in sd for a in alpha for d in delta):
        _require_positive(sd=s, delta=d)
        n, n_normal = _items_needed(d / s, a, power)
        clustered = {"design_effect": effect, "n_clustered": math.ceil(n * effect - 1e-9)}
        rows.append({"sd": s, "delta": d, "alpha": a, "power": power, "n": n, "n_normal": n_normal, **clustered})
    floats = dict.fromkeys(("sd", "delta", "alpha", "power", "design_effect"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides=floats)


def smallest_difference(
    n: int, sd: float, alpha: float = 0.05, power: float = 0.8, *, cluster_size: float = 1.0, rho: float = 0.0
) -> float:
    """The difference that n items per facet find with the given power in a two-sided paired t-test.

    Args:
        n: items per facet, at least 2 after dividing by the design effect.
        sd: standard deviation of the paired item differences.
        alpha: level.
        power: chance to find it.
        cluster_size: as for `power_table`.
        rho: likewise.

    Raises:
        DataError: a value outside its range.
    """
    _require_positive(sd=sd)
    _require_share(alpha=alpha, power=power)
    independent = n / design_effect(cluster_size, rho)
    if independent < 2:
        raise DataError(f"{n} items are worth {independent:.2g} independent ones.", "A test needs 2.", "Ask more.")
    from statsmodels.stats.power import TTestPower

    return sd * float(TTestPower().solve_power(effect_size=None, nobs=independent, alpha=alpha, power=power))


def contrast_power(contrasts: pl.DataFrame, *, alpha: float = 0.05, power: float = 0.8) -> pl.DataFrame:
    """What the tests of a study could have found, from the errors that were seen.

    Args:
        contrasts: `paired_contrasts` of facets; those without an error are left out.
        alpha: level of one test.
        power: chance to find the difference.

    Returns:
        One row per contrast: contrast, n (median number of independent items of a facet), sd (median over facets of
        se times the root of n), smallest (`smallest_difference` at `alpha`), smallest_corrected (at `alpha` divided by
        the number of facets), n_facets.

    Raises:
        DataError: a missing column, or a value outside its range.
    """
    require_columns(contrasts, ["contrast", "se", "n_clusters"], may_be_null=["se", "n_clusters"])
    tested = contrasts.filter((pl.col("se") > 0) & (pl.col("n_clusters") > 1))
    typical = tested.group_by("contrast", maintain_order=True).agg(
        pl.col("n_clusters").median().round().cast(pl.Int64).alias("n"),
        (pl.col("se") * pl.col("n_clusters").sqrt()).median().alias("sd"),
        pl.len().cast(pl.Int64).alias("n_facets"),
    )
    rows = list(typical.select("n", "sd", "n_facets").iter_rows())
    columns = [
        pl.Series("smallest", [smallest_difference(n, sd, alpha, power) for n, sd, _ in rows], dtype=pl.Float64),
        pl.Series(
            "smallest_corrected", [smallest_difference(n, sd, alpha / m, power) for n, sd, m in rows], dtype=pl.Float64
        ),
    ]
    return typical.with_columns(columns).select("contrast", "n", "sd", "smallest", "smallest_corrected", "n_facets")


def design_effect(cluster_size: float, rho: float) -> float:
    """1 + (m - 1) rho: how many clustered items are worth one independent item (Kish 1965).

    Raises:
        DataError: a cluster of less than one item, or rho outside [0, 1].
    """
    if not (cluster_size >= 1 and 0 <= rho <= 1):
        raise DataError(
            f"A cluster size of {cluster_size} and a correlation of {rho}.",
            "Clusters have at least one item, and items of one cluster a correlation from 0 to 1.",
            "Estimate both from the bank's clusters.",
        )
    return 1 + (cluster_size - 1) * rho


def _items_needed(effect_size: float, alpha: float, power: float) -> tuple[int, int]:
    """Items by the t-test and by the normal approximation, from which the search for the first starts."""
    _require_share(alpha=alpha, power=power)
    from statsmodels.stats.power import TTestPower

    test = TTestPower()
    n_normal = math.ceil(((stats.norm.isf(alpha / 2) + stats.norm.ppf(power)) / effect_size) ** 2 - 1e-9)
    n = max(2, n_normal)
    while n > 2 and float(test.power(effect_size, n - 1, alpha)) >= power:
        n -= 1
    while float(test.power(effect_size, n, alpha)) < power:
        n += 1
    return n, n_normal


def _require_positive(**values: float) -> None:
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise DataError(f"{name} is {value}.", "It must be positive and finite.", "Give it in agreement units.")


def _require_share(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < 1:
            raise DataError(f"{name} is {value}.", "It is a probability between 0 and 1.", "For 5 % pass 0.05.")
