"""Internal consistency: how far the items of a scale move together over respondents."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Num
from scipy import stats

from personascope.errors import ConvergenceError, DataError
from personascope.instruments.keys import ScoringKey
from personascope.instruments.option_codes import MISSING
from personascope.instruments.responses import Responses
from personascope.measures.factors import maximum_likelihood_factors
from personascope.measures.intervals import CONFIDENCE, batch_size

MIN_RESPONDENTS = 10
_TOLERANCE = 1e-9


def scale_consistency(
    responses: Responses, key: ScoringKey, *, respondents: str, n_resamples: int = 2_000, seed: int = 0
) -> pl.DataFrame:
    """Internal consistency of each scale over the respondents who answered all of its items.

    Args:
        responses: as given; reversed items are turned here.
        key: the scales.
        respondents: what a row of the matrix is: "people", "models", "personas of one model", "prompt variants" (alpha
            then measures noise that the items share, not a trait), "steering strengths". Carried into the table.
        n_resamples: bootstrap resamples of respondents; 0 leaves the interval out.
        seed: of the bootstrap.

    Returns:
        One row per scale: scale, respondents, n_items, n (complete respondents), n_left_out (with an answer missing in
        this scale), alpha, low, high (95 % percentile bootstrap over respondents), alpha_standardized,
        omega_total (see `omega_total`; null when the factor model has no solution), mean_item_rest (mean
        correlation of an item with the sum of the others), negative_items (ids for which that correlation is
        negative: their key is probably wrong).

    Raises:
        DataError: `respondents` is empty, an unknown item, or as `complete_cases`.
    """
    require_named(respondents)
    if n_resamples < 0:
        raise DataError(f"{n_resamples} resamples.", "", "Pass a number, or 0 for no interval.")
    rows: list[dict[str, Any]] = []
    for scale, keyed in key.scales.items():
        items = [item for item, _ in keyed]
        given, n_left_out = complete_cases(responses, items, f"Scale {scale!r}")
        values = given * np.array([sign for _, sign in keyed])  # a reversed item differs from K + 1 - x by a constant
        rest = item_rest_correlations(values)
        low, high = _alpha_interval(values, n_resamples, seed) if n_resamples else (None, None)
        rows.append(
            {
                "scale": scale,
                "respondents": respondents,
                "n_items": len(items),
                "n": len(values),
                "n_left_out": n_left_out,
                "alpha": alpha(values),
                "low": low,
                "high": high,
                "alpha_standardized": _standardized_alpha(values),
                "omega_total": omega_total(values),
                "mean_item_rest": float(rest.mean()),
                "negative_items": [item for item, r in zip(items, rest, strict=True) if r < 0],
            }
        )
    numbers = dict.fromkeys(["low", "high", "omega_total"], pl.Float64)
    lists = {"negative_items": pl.List(pl.String)}
    return pl.DataFrame(rows, schema_overrides={**numbers, **lists}, infer_schema_length=None)


def alpha(values: Num[np.ndarray, "respondent item"]) -> float:
    """Coefficient alpha (Cronbach 1951): k / (k - 1) * (1 - sum of item variances / variance of the sum).

    Below zero when reversed items were not turned.

    Args:
        values: complete keyed answers (reversed items turned or multiplied by -1), shape (respondent, item).

    Raises:
        DataError: fewer than 10 respondents, a single item, values that are not finite, an item or a sum that is
            the same for all respondents.
    """
    covariance = _covariance(values, "The scale")
    return float(_alpha(len(covariance), np.trace(covariance), covariance.sum()))


def omega_total(values: Num[np.ndarray, "respondent item"]) -> float | None:
    """Omega total of a single factor (McDonald 1999): (sum l)^2 / ((sum l)^2 + sum psi).

    Loadings l and uniquenesses psi are of a maximum-likelihood factor on Pearson correlations, so this is the
    share of the factor in the variance of the sum of standardized items.

    Args:
        values: as for `alpha`.

    Returns:
        None for two items, whose factor is not identified, or when the fit does not converge, as happens with
        answers at random.

    Raises:
        DataError: as `alpha`.
    """
    correlation = _correlation(_covariance(values, "The scale"))
    if len(correlation) < 3:
        return None
    try:
        loadings, uniquenesses = maximum_likelihood_factors(correlation, 1)
    except ConvergenceError:
        return None
    common = float(loadings.sum() ** 2)
    return common / (common + float(uniquenesses.sum()))


def item_rest_correlations(values: Num[np.ndarray, "respondent item"]) -> Float[np.ndarray, " item"]:
    """Pearson correlation of each item with the sum of the other items.

    Args:
        values: as for `alpha`.

    Raises:
        DataError: as `alpha`.
    """
    covariance = _covariance(values, "The scale")
    own, with_sum = np.diag(covariance), covariance.sum(axis=1)
    rest = covariance.sum() - 2 * with_sum + own
    if (rest <= _TOLERANCE * own).any():
        raise DataError(
            f"Without item {int(np.argmin(rest / own))} (counted from 0), all respondents have the same sum.",
            "A correlation with a constant is not defined.",
            "Check the key: two copies of an item with opposite signs cancel.",
        )
    correlations: Float[np.ndarray, " item"] = (with_sum - own) / np.sqrt(own * rest)
    return correlations


def complete_cases(
    responses: Responses, items: Sequence[str], what: str
) -> tuple[Float[np.ndarray, "respondent item"], int]:
    """Answers of the respondents who gave one to each of the items, and how many did not.

    Args:
        responses: the matrix.
        items: item ids.
        what: named in errors ("Scale 'E'").

    Raises:
        DataError: an unknown or repeated item, a single item, fewer than 10 complete respondents, or an item that all
            answer alike.
    """
    if len(set(items)) < len(items):
        twice = next(item for item in items if list(items).count(item) > 1)
        raise DataError(f"{what} has item {twice!r} twice.", "A copy agrees with itself perfectly.", "Name it once.")
    chosen = responses.answers(items)
    complete = chosen[(chosen != MISSING).all(axis=1)].astype(np.float64)
    n_left_out = len(chosen) - len(complete)
    _require_spread(complete, what, list(items), n_left_out)
    return complete, n_left_out


def require_named(respondents: str) -> None:
    """Hold that the caller said what a row of the matrix is.

    Raises:
        DataError: the text is empty.
    """
    if not respondents.strip():
        raise DataError("Nothing says what a respondent is.", _WHO, "Pass respondents='people', for example.")


_WHO = (
    "One model is one respondent, however often it is asked. Respondents may be people, models, personas of one model, "
    "prompt variants, or steering strengths."
)


def _require_spread(
    values: Float[np.ndarray, "respondent item"], what: str, items: Sequence[str], n_left_out: int = 0
) -> None:
    n, k = values.shape
    if k < 2:
        raise DataError(f"{what} has {k} item(s).", "Consistency is between items.", "Score at least 2.")
    if n < MIN_RESPONDENTS:
        raise DataError(
            f"{what} has {n} complete respondents ({n_left_out} left out for a missing answer); "
            f"at least {MIN_RESPONDENTS} are needed.",
            _WHO,
            "Ask more respondents, or score fewer items if many are missing.",
        )
    constant = [item for item, spread in zip(items, np.ptp(values, axis=0), strict=True) if spread == 0]
    if constant:
        raise DataError(
            f"{what}: all {n} respondents give the same answer to {', '.join(constant[:8])} ({len(constant)} items).",
            "An item without variance has no correlation with anything.",
            "Leave it out of the key and say so, or ask respondents that differ.",
        )


def _covariance(values: Num[np.ndarray, "respondent item"], what: str) -> Float[np.ndarray, "item item"]:
    x = np.asarray(values, dtype=np.float64)
    if not np.isfinite(x).all():
        raise DataError(
            f"{what} has values that are not finite.", "", "Leave incomplete respondents out and count them."
        )
    _require_spread(x, what, [f"item {at}" for at in range(x.shape[1])])
    covariance: Float[np.ndarray, "item item"] = np.cov(x, rowvar=False)
    if covariance.sum() <= _TOLERANCE * np.trace(covariance):
        raise DataError(
            f"{what} gives all {len(x)} respondents the same sum.",
            "Without differences between respondents there is nothing to be consistent about.",
            "Check the key: two copies of an item with opposite signs cancel.",
        )
    return covariance


def _correlation(covariance: Float[np.ndarray, "item item"]) -> Float[np.ndarray, "item item"]:
    deviation = np.sqrt(np.diag(covariance))
    correlation: Float[np.ndarray, "item item"] = covariance / np.outer(deviation, deviation)
    return correlation


def _alpha(k: int, item_variances: Any, variance_of_sum: Any) -> Any:
    return k / (k - 1) * (1 - item_variances / variance_of_sum)


def _standardized_alpha(values: Float[np.ndarray, "respondent item"]) -> float:
    """Alpha of the standardized items, from their mean correlation."""
    correlation = _correlation(_covariance(values, "The scale"))
    return float(_alpha(len(correlation), len(correlation), correlation.sum()))


def _alpha_interval(values: Float[np.ndarray, "respondent item"], n_resamples: int, seed: int) -> tuple[float, float]:
    """95 % percentile bootstrap over respondents; resamples in which the sum does not vary are left out.

    Alpha needs only the means of the items, of their squares' sum and of the squared sum. So a resample is a row of
    counts, how often each respondent was drawn, and a batch of resamples is one matrix product.
    """
    n, k = values.shape
    centred = values - values.mean(axis=0)
    total = centred.sum(axis=1)
    moments = np.column_stack([centred, (centred**2).sum(axis=1), total**2])
    nothing = _TOLERANCE * float(moments[:, k + 1].mean())  # rounding leaves this much where no sum differs

    def resampled(drawn: Num[np.ndarray, "*batch respondent"], axis: int) -> Any:  # noqa: ARG001  scipy passes the axis
        rows = np.atleast_2d(drawn).astype(np.intp, copy=False)
        counts = np.array([np.bincount(row, minlength=n) for row in rows], dtype=np.float64)
        mean = counts @ moments / n
        of_items = mean[:, k] - (mean[:, :k] ** 2).sum(axis=1)
        of_sum = mean[:, k + 1] - mean[:, :k].sum(axis=1) ** 2
        found = _alpha(k, of_items, np.where(of_sum > nothing, of_sum, np.nan))
        return found.reshape(drawn.shape[:-1])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # undefined resamples are left out below
        result = stats.bootstrap(
            (np.arange(n),),
            resampled,
            vectorized=True,
            n_resamples=n_resamples,
            batch=batch_size(n),
            method="percentile",
            rng=np.random.default_rng(seed),
        )
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.nanpercentile(result.bootstrap_distribution, (tail, 100 - tail))
    return float(low), float(high)
