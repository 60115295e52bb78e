"""Shrinkage: facet effects estimated together, each drawn toward their mean as far as its error makes it doubtful."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy import stats

from personascope.errors import ConvergenceError, DataError
from personascope.measures.intervals import CONFIDENCE
from personascope.measures.tables import require_columns

TauMethod: TypeAlias = Literal["pm", "dl"]


@dataclass(frozen=True)
class Shrinkage:
    """Normal-normal empirical Bayes over the effects of one family.

    Args:
        mean: precision-weighted grand mean mu.
        mean_se: its standard error.
        tau: standard deviation of the true effects around mu.
        effects: one row per effect: name, effect, se, weight (B), shrunken, low, high (95 %).
    """

    mean: float
    mean_se: float
    tau: float
    effects: pl.DataFrame

    def frame(self) -> pl.DataFrame:
        """The effects with columns mean, mean_se and tau beside them."""
        return self.effects.with_columns(mean=pl.lit(self.mean), mean_se=pl.lit(self.mean_se), tau=pl.lit(self.tau))


def shrink(
    names: Sequence[str],
    effects: Float[np.ndarray, " group"],
    standard_errors: Float[np.ndarray, " group"],
    *,
    method: TauMethod = "pm",
) -> Shrinkage:
    """Empirical-Bayes estimates of group effects d_f with standard errors se_f.

    d_f ~ N(theta_f, se_f^2) and theta_f ~ N(mu, tau^2) give theta_f = mu + B_f (d_f - mu) with
    B_f = tau^2 / (tau^2 + se_f^2) (Efron & Morris 1975). Its variance B_f se_f^2 + (1 - B_f)^2 var(mu) counts the error
    of mu; that of tau is not counted, so intervals are somewhat narrow for fewer than about ten groups. As
    se -> 0 the estimates are the raw effects, as tau -> 0 the grand mean.

    Args:
        names: of the groups.
        effects: d_f, shape (group,).
        standard_errors: se_f, shape (group,), all positive.
        method: estimator of tau^2: "pm" (Paule & Mandel 1982) or "dl" (DerSimonian & Laird 1986), both from
            `statsmodels.stats.meta_analysis.combine_effects`; negative estimates are 0.

    Raises:
        DataError: fewer than two groups, values that are not finite (with their count), or a standard error of 0.
        ConvergenceError: tau^2 does not solve its estimating equation.
    """
    _require_effects(names, effects, standard_errors)
    from statsmodels.stats.meta_analysis import combine_effects

    variance = standard_errors**2
    settings = {"maxiter": 1000} if method == "pm" else {}
    with np.errstate(invalid="ignore"):  # it takes roots of its negative estimates, which are not used here
        tau2 = max(0.0, float(combine_effects(effects, variance, method_re=method, **settings).tau2))
    if method == "pm":
        _require_solved(effects, variance, tau2)
    precision = 1 / (variance + tau2)
    mean, mean_se = float(precision @ effects / precision.sum()), float(precision.sum() ** -0.5)
    weight = tau2 * precision
    shrunken = mean + weight * (effects - mean)
    half = stats.norm.isf((1 - CONFIDENCE) / 2) * np.sqrt(weight * variance + (1 - weight) ** 2 * mean_se**2)
    columns = {"effect": effects, "se": standard_errors, "weight": weight, "shrunken": shrunken}
    table = pl.DataFrame({"name": list(names), **columns, "low": shrunken - half, "high": shrunken + half})
    return Shrinkage(mean, mean_se, tau2**0.5, table)


def shrunken_contrasts(contrasts: pl.DataFrame, by: str = "facet", *, method: TauMethod = "pm") -> pl.DataFrame:
    """Shrunken differences of each contrast over its facets; each contrast is a family of its own.

    Args:
        contrasts: result of `paired_contrasts` (columns contrast, `by`, difference, se).
        by: its grouping column.
        method: as for `shrink`.

    Returns:
        One row per contrast and group with a difference and a standard error: contrast, `by`, effect, se, weight,
        shrunken, low, high, mean, mean_se, tau, n_left_out (groups of the contrast that have none, as facets with
        items of one key).

    Raises:
        DataError: as `shrink`, for any of the contrasts.
    """
    require_columns(contrasts, ["contrast", by, "difference", "se"], may_be_null=["difference", "se"])
    parts: list[pl.DataFrame] = []
    for part in contrasts.partition_by("contrast", maintain_order=True):
        known = part.drop_nulls(["difference", "se"])
        values = (known[name].to_numpy().astype(np.float64) for name in ("difference", "se"))
        table = shrink([str(name) for name in known[by]], *values, method=method).frame().rename({"name": by})
        more: dict[str, Any] = {"contrast": pl.lit(part["contrast"][0]), "n_left_out": pl.lit(len(part) - len(known))}
        parts.append(table.with_columns(**more).select("contrast", pl.exclude("contrast")))
    return pl.concat(parts)


def _require_effects(names: Sequence[str], effects: np.ndarray, errors: np.ndarray) -> None:
    if len(effects) < 2 or not len(names) == len(effects) == len(errors):
        raise DataError(
            f"{len(names)} names, {len(effects)} effects and {len(errors)} standard errors.",
            "How much groups differ cannot be seen from fewer than two, and each needs a name and an error.",
            "Shrink at least two facets together; report a single one as it is.",
        )
    n_bad = int((~np.isfinite(effects + errors)).sum())
    if n_bad:
        raise DataError(
            f"{n_bad} of {len(effects)} effects or standard errors are NaN or infinite.",
            "An effect that was not estimated cannot be shrunken, and is never left out unseen.",
            "Leave such groups out first and report how many.",
        )
    if (errors <= 0).any():
        which = [name for name, error in zip(names, errors, strict=True) if error <= 0]
        raise DataError(
            f"{len(which)} standard errors are not positive: {', '.join(which[:10])}.",
            "An effect without error would outweigh all others; it often means that every item moved alike.",
            "Look at these groups' items, or leave the groups out.",
        )


def _require_solved(effects: np.ndarray, variance: np.ndarray, tau2: float) -> None:
    """Hold that the weighted sum of squares equals its degrees of freedom, or that tau^2 is 0 and it is smaller."""
    weight = 1 / (variance + tau2)
    excess = float(weight @ (effects - weight @ effects / weight.sum()) ** 2) - (len(effects) - 1)
    if excess > 1e-3 or (tau2 > 0 and excess < -1e-3):
        raise ConvergenceError(
            f"tau^2 = {tau2:.3g} misses the Paule-Mandel equation by {excess:.3g} over {len(effects)} groups.",
            "The standard errors may differ by many orders of magnitude.",
            'Use method="dl", or look at the groups with the smallest errors.',
        )
