"""How far each facet moved, and what share of its gap that is where there is a gap to speak of."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
from scipy import stats

from personascope.errors import DataError
from personascope.measures.contrasts import paired_contrasts
from personascope.measures.intervals import CONFIDENCE
from personascope.tuning.movement_items import TOO_FEW, movement_items

CLEAR_GAP = 3.0
_NUMBERS = ["gap", "gap_se", "moved", "moved_low", "moved_high", "p", "q", "closed", "closed_low", "closed_high"]


def facet_closure(
    items: pl.DataFrame,
    *,
    before: str = "before",
    ideal: str = "ideal",
    after: str = "after",
    cluster: str | None = None,
    clear_gap: float = CLEAR_GAP,
    n_resamples: int = 2_000,
    seed: int = 0,
) -> pl.DataFrame:
    """Movement of each facet, and closed = (after - before) / (ideal - before) where the gap exceeds 3 standard errors.

    Differences, intervals and p values of the movement are those of `paired_contrasts`. The ratio's 95 % interval is
    Fieller's (1954) with the covariances of the paired item differences and Student's t at clusters - 2 degrees of
    freedom. Facets whose gap came out large by chance are more often clear, which draws their ratios toward 1/2, where
    the shared "before" would put them; `gap_closed` has no such selection. With few clusters t exceeds `clear_gap` and
    the interval may be unbounded; both ends are then null.

    Args:
        items: as for `gap_closed`, as are the next four.
        before: see there.
        ideal: see there.
        after: see there.
        cluster: see there.
        clear_gap: smallest |ideal - before| in standard errors for a ratio.
        n_resamples: bootstrap resamples.
        seed: of bootstrap and random flips.

    Returns:
        One row per facet: facet, gap (ideal - before), gap_se, moved (after - before), moved_low, moved_high, p, q
        (Benjamini-Hochberg over facets), closed, closed_low, closed_high, why_null (of the ratio or its interval), n,
        n_clusters. Facets without two independent items of either key come last, with nulls.

    Raises:
        DataError: as `movement_items`, or a `clear_gap` that is not positive.
    """
    if not (clear_gap > 0 and math.isfinite(clear_gap)):
        raise DataError(f"clear_gap is {clear_gap}.", "A ratio needs a gap that is not error.", "Pass for instance 3.")
    measurements = {"before": before, "ideal": ideal, "after": after}
    data = movement_items(items, measurements, cluster=cluster, min_facets=1)
    pairs = [("after", "before"), ("ideal", "before")]
    settings: dict[str, Any] = {"n_resamples": n_resamples, "seed": seed}
    moved = paired_contrasts(data.answers(*measurements), pairs[:1], cluster="cluster", **settings)
    profile, errors = data.profiles(*pairs), data.errors(*pairs)
    rows = []
    for f, row in enumerate(moved.iter_rows(named=True)):
        (y, x), ((var_y, cov), (_, var_x)) = profile[f].tolist(), errors[f].tolist()
        about = {"facet": data.facets[f], "gap": x, "gap_se": math.sqrt(var_x), "moved": y}
        about |= {"moved_low": row["low"], "moved_high": row["high"]}
        about |= {name: row[name] for name in ("p", "q", "n", "n_clusters")}
        if abs(x) <= clear_gap * math.sqrt(var_x):
            rows.append(about | {"why_null": f"gap within {clear_gap:g} standard errors of 0"})
            continue
        t = float(stats.t.isf((1 - CONFIDENCE) / 2, max(1, row["n_clusters"] - 2)))
        low, high = fieller_interval(y, x, var_y, var_x, cov, quantile=t)
        unbounded = "interval unbounded: too few items" if low is None else None
        rows.append(about | {"closed": y / x, "closed_low": low, "closed_high": high, "why_null": unbounded})
    rows += [{"facet": name, "why_null": TOO_FEW} for name in data.left_out]
    schema: dict[str, Any] = {"facet": pl.String, **dict.fromkeys(_NUMBERS, pl.Float64)}
    schema |= {"why_null": pl.String, "n": pl.Int64, "n_clusters": pl.Int64}
    return pl.DataFrame(rows, schema=schema)


def fieller_interval(
    y: float, x: float, var_y: float, var_x: float, cov: float, *, quantile: float
) -> tuple[float | None, float | None]:
    """Interval of the ratio y / x of two correlated normal estimates (Fieller 1954, J. R. Stat. Soc. B 16, 175-185).

    It holds all ratios r for which y - r x lies within q (`quantile`) of its standard errors from 0: the r between the
    roots of (x^2 - q^2 v_x) r^2 - 2 (x y - q^2 c) r + (y^2 - q^2 v_y) = 0. Where x itself is within q standard errors
    of 0, that set has no ends (all numbers, or all outside an interval) and both are None.

    Args:
        y: numerator.
        x: denominator.
        var_y: its error variance.
        var_x: likewise.
        cov: covariance of the two errors.
        quantile: of the normal or t distribution.
    """
    q2 = quantile**2
    a, b, c = x * x - q2 * var_x, x * y - q2 * cov, y * y - q2 * var_y
    if a <= 0:
        return None, None
    root = math.sqrt(max(0.0, b * b - a * c))
    return (b - root) / a, (b + root) / a
