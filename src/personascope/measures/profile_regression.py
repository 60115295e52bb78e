"""Not just helpful: regression of one facet profile on another when both carry error, and part of it in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy import stats

from personascope.errors import DataError
from personascope.measures.deming import corrected_cosine, moment_slope
from personascope.measures.equivalence import BOUND
from personascope.measures.halves import half_masks
from personascope.measures.intervals import cell_means, clusters_by_cell, percentile_interval, resampled_means
from personascope.measures.multiplicity import adjust
from personascope.measures.pairing import paired_groups

_MIN_FACETS = 3
_WEAK = 0.01


@dataclass(frozen=True)
class ProfileRegression:
    """How much of one condition effect is another, over facets. Slopes are through the origin.

    Args:
        slope: errors-in-variables slope, with its 95 % interval over items (low, high).
        naive_slope: least squares, which the error of x draws toward 0 and the shared reference toward 1.
        split_half_slope: median over splits of items, whose halves have independent errors; null when the halves of x
            do not agree.
        split_half_r: median uncentred correlation of the halves of x; near 0 the split-half slope means nothing.
        reliability: share of the squared length of x that is not error.
        cosine: of the observed profiles; error draws it toward 0 and the shared reference toward 1.
        cosine_corrected: of the profiles without error; null when y is not longer than its error.
        r_squared: its square, the share of the true squared length of y that x explains.
        n_facets: facets with items of both keys.
        n_items: their items.
        left_out: facets without two independent items of either key.
        bound: of the equivalence test of residuals.
        reducible: all residuals are equivalent to 0 and the slope's interval lies above 0.
        statement: the finding in one sentence.
        residuals: one row per facet: facet, x, y, se_x, se_y, residual (y - slope x), low, high (95 %), p, p_holm,
            equivalent (90 % interval within the bound).
    """

    slope: float
    low: float
    high: float
    naive_slope: float
    split_half_slope: float | None
    split_half_r: float
    reliability: float
    cosine: float
    cosine_corrected: float | None
    r_squared: float | None
    n_facets: int
    n_items: int
    left_out: tuple[str, ...]
    bound: float
    reducible: bool
    statement: str
    residuals: pl.DataFrame

    def frame(self) -> pl.DataFrame:
        """One row with all but the residuals."""
        row = {name: value for name, value in vars(self).items() if name != "residuals"}
        numbers = dict.fromkeys(("split_half_slope", "cosine_corrected", "r_squared"), pl.Float64)
        return pl.DataFrame(
            [row | {"left_out": list(self.left_out)}], schema_overrides=numbers | {"left_out": pl.List(pl.String)}
        )


def regress_profiles(
    items: pl.DataFrame,
    persona: str = "meta",
    on: str = "helpful",
    reference: str = "self",
    *,
    cluster: str | None = None,
    bound: float = BOUND,
    n_resamples: int = 2_000,
    n_splits: int = 200,
    seed: int = 0,
) -> ProfileRegression:
    """Regress the facet profile y = persona - reference on x = on - reference.

    Both profiles carry the error of the same reference answers, so that their errors are correlated: plain regression
    finds a slope of about 1/2 between two personas that are nothing but noise around the reference. The error
    covariance of each facet is estimated by a bootstrap over items (clusters, where given), rescaled for few items (Rao
    & Wu 1988), and enters `deming.deming_slope`. The line goes through the origin because a facet's pole is a
    convention: naming the other pole turns both signs, which leaves this slope as it is but would change an intercept.

    "Reducible" claims that nothing remains, so it asks every facet's residual to pass an equivalence test; such an
    intersection of tests needs no correction (Berger 1982). Facets are fixed, items are the sample.

    Args:
        items: columns persona, item, facet, key, agreement.
        persona: whose effect is to be explained.
        on: by whose effect.
        reference: of both.
        cluster: column of near duplicates, as for `paired_contrasts`.
        bound: in agreement units, for the residuals.
        n_resamples: bootstrap resamples.
        n_splits: random halves of the items.
        seed: of bootstrap and splits.

    Raises:
        DataError: as `paired_contrasts`; fewer than 3 facets with two independent items of either key; an x that is
            not larger than its error (chi-square over facets, p > .01), on which no slope can stand.
    """
    groups = paired_groups(items, [(persona, reference), (on, reference)], "facet", cluster=cluster)
    kept = [group for group in groups if group.has_interval]
    left_out = tuple(str(group.name) for group in groups if not group.has_interval)
    if len(kept) < _MIN_FACETS:
        raise DataError(
            f"{len(kept)} facets have two independent items of either key; {len(left_out)} have not.",
            f"A regression over facets needs at least {_MIN_FACETS}, each with an error that can be seen.",
            "Ask more facets, or facets with items of both keys.",
        )
    d = np.concatenate([group.d for group in kept])
    cells = np.concatenate([group.cells + 2 * place for place, group in enumerate(kept)])
    clusters = np.concatenate([group.clusters for group in kept])
    profile = _profiles(cell_means(np.ones((1, len(d))), d, cells))[0]
    noise = _noise(d, cells, clusters, n_resamples, seed)
    x = profile[:, 1]
    error = np.einsum("rfa,rfb->fab", noise, noise) / len(noise)
    _require_signal(x, error[:, 1, 1], on, reference)
    moments, shared = np.einsum("fa,fb->ab", profile, profile), error.sum(axis=0)
    slope = float(moment_slope(moments, shared, True))
    # A resample carries the sample's own error and as much again, and both are taken off.
    again = profile + noise
    slopes = moment_slope(np.einsum("rfa,rfb->rab", again, again), 2 * shared, True)
    residuals = _residuals([str(group.name) for group in kept], profile, noise, slope, slopes, bound)
    low, high = (float(end) for end in np.nanpercentile(slopes, [2.5, 97.5]))
    cosine = float(moments[0, 1] / np.sqrt(moments[0, 0] * moments[1, 1])) if moments[0, 0] > 0 else 0.0
    corrected = corrected_cosine(moments, shared)
    half_slope, half_r = _split_half(d, cells, clusters, n_splits, seed)
    names = (f"{persona} - {reference}", f"{on} - {reference}")
    reducible, statement = _verdict(residuals, slope, (low, high), bound, names)
    return ProfileRegression(
        slope=slope,
        low=low,
        high=high,
        naive_slope=float(moments[0, 1] / moments[1, 1]),
        split_half_slope=half_slope,
        split_half_r=half_r,
        reliability=float(1 - shared[1, 1] / moments[1, 1]),
        cosine=cosine,
        cosine_corrected=corrected,
        r_squared=None if corrected is None else corrected**2,
        n_facets=len(x),
        n_items=len(d),
        left_out=left_out,
        bound=bound,
        reducible=reducible,
        statement=statement,
        residuals=residuals,
    )


def _profiles(means: Float[np.ndarray, "draw cell 2"]) -> Float[np.ndarray, "draw facet 2"]:
    """Trait differences (d+ - d-) / 2 of each facet from the means of its two cells."""
    return np.asarray(means[:, 0::2] - means[:, 1::2]) / 2


def _noise(
    d: Float[np.ndarray, "item 2"],
    cells: Int[np.ndarray, " item"],
    clusters: Int[np.ndarray, " item"],
    n_resamples: int,
    seed: int,
) -> Float[np.ndarray, "resample facet 2"]:
    """Deviations of the resampled profiles, with the variance that n - 1 in place of n gives each cell mean."""
    means = resampled_means(d, cells, clusters, n_resamples=n_resamples, seed=seed, within=False)
    n = clusters_by_cell(cells, clusters)
    centre = cell_means(np.ones((1, len(d))), d, cells)
    noise = _profiles((means - centre) * np.sqrt(n / (n - 1))[:, None])
    return np.asarray(noise[~np.isnan(noise).any(axis=(1, 2))])


def _require_signal(
    x: Float[np.ndarray, " facet"], var_x: Float[np.ndarray, " facet"], on: str, reference: str
) -> None:
    ratio = np.divide(x**2, var_x, out=np.where(x != 0, np.inf, 0.0), where=var_x > 0)
    p = float(stats.chi2.sf(ratio.sum(), len(x)))
    if p > _WEAK:
        raise DataError(
            f"{on} - {reference} is not larger than the error of its {len(x)} facets (chi-square "
            f"{ratio.sum():.3g}, p = {p:.2g}).",
            "A slope on noise would mean nothing, whatever its value.",
            "Ask more items per facet, or report that the two personas were not told apart.",
        )


def _residuals(
    names: list[str],
    profile: Float[np.ndarray, "facet 2"],
    noise: Float[np.ndarray, "resample facet 2"],
    slope: float,
    slopes: Float[np.ndarray, " resample"],
    bound: float,
) -> pl.DataFrame:
    residual = profile[:, 0] - slope * profile[:, 1]
    resampled = profile[:, 0] + noise[:, :, 0] - slopes[:, None] * (profile[:, 1] + noise[:, :, 1])
    se, (se_y, se_x) = resampled.std(axis=0), noise.std(axis=0).T
    z = np.divide(np.abs(residual), se, out=np.where(np.abs(residual) > 1e-12, np.inf, 0.0), where=se > 0)
    p = 2 * stats.norm.sf(z)
    rows: list[dict[str, Any]] = []
    for f, name in enumerate(names):
        wide, narrow = (percentile_interval(resampled[:, f], level) for level in (0.95, 0.90))
        inside = narrow[0] is not None and narrow[1] is not None and -bound < narrow[0] and narrow[1] < bound
        sizes = {"x": profile[f, 1], "y": profile[f, 0], "se_x": se_x[f], "se_y": se_y[f], "residual": residual[f]}
        rows.append({"facet": name, **sizes, "low": wide[0], "high": wide[1], "p": p[f], "equivalent": inside})
    order = ["facet", "x", "y", "se_x", "se_y", "residual", "low", "high", "p", "p_holm", "equivalent"]
    return pl.DataFrame(rows).with_columns(p_holm=pl.Series(adjust(p, "holm"))).select(order)


def _split_half(
    d: Float[np.ndarray, "item 2"],
    cells: Int[np.ndarray, " item"],
    clusters: Int[np.ndarray, " item"],
    n_splits: int,
    seed: int,
) -> tuple[float | None, float]:
    """Median slope between halves of the items, and the halves' agreement; clusters stay whole."""
    mask = half_masks(cells, clusters, n_splits=n_splits, seed=seed).astype(np.float64)
    one, other = (_profiles(cell_means(half, d, cells)) for half in (mask, 1 - mask))
    lost = np.isnan(one + other).any(axis=2, keepdims=True)
    one, other = np.where(lost, 0, one), np.where(lost, 0, other)
    cross = np.einsum("sfa,sfb->sab", one, other)
    first_stage = cross[:, 1, 1] / np.sqrt((one[..., 1] ** 2).sum(axis=1) * (other[..., 1] ** 2).sum(axis=1))
    agreement = float(np.median(np.nan_to_num(first_stage)))
    if agreement <= 0:
        return None, agreement
    return float(np.median((cross[:, 0, 1] + cross[:, 1, 0]) / (2 * cross[:, 1, 1]))), agreement


def _verdict(
    residuals: pl.DataFrame, slope: float, interval: tuple[float, float], bound: float, names: tuple[str, str]
) -> tuple[bool, str]:
    """Whether the profile is reducible, and the sentence that says so."""
    y, x = names
    times = f"{slope:.2f} [{interval[0]:.2f}, {interval[1]:.2f}] times ({x})"
    n, alike = residuals.height, int(residuals["equivalent"].sum())
    remaining = residuals.filter(pl.col("p_holm") < 0.05).sort(pl.col("residual").abs(), descending=True)
    if remaining.height:
        row = remaining.row(0, named=True)
        return False, (
            f"({y}) is not reducible to {times}: {remaining.height} of {n} facets keep a residual that differs from 0 "
            f"(Holm), the largest {row['facet']}, {row['residual']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]."
        )
    if alike < n:
        return False, (
            f"({y}) is not shown to be reducible to {times}: no residual differs from 0, but only {alike} of {n} are "
            f"shown to lie within {bound:g} of it."
        )
    if interval[0] <= 0:
        return False, f"({y}) is within {bound:g} of {times} in every facet, but that slope is not shown to be above 0."
    return True, f"({y}) is reducible to {times}: all {n} residuals lie within {bound:g} of 0 (90 % intervals)."
