"""In-silico discrimination: do respondents who differ in a facet answer its items differently?

Respondents are persona prompts of one model, models, or people; no model is run here. An item earns its place when its
keyed answers go with the rest of its own facet, and more so than with any other facet. A negative correlation with the
own facet is the surest sign of a wrong key that there is without a reader.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy import stats

from personascope.errors import DataError
from personascope.instruments.items import ItemBank

MIN_RESPONDENTS = 30
_LEVEL = 0.01


def discrimination(bank: ItemBank, answers: Float[np.ndarray, "respondent item"]) -> pl.DataFrame:
    """Correlation of each item with the rest of its own facet and with every other facet.

    Facet scores are (mean agreement over + items - over - items) / 2, the item left out of its own, so that
    yea-saying cancels; in a facet of one key they are the keyed mean, and yea-saying does not.

    Args:
        bank: the items.
        answers: raw agreement in [-1, 1], not keyed, shape (respondent, item) in the bank's order; NaN where a
            respondent gave none. Correlations use the respondents who answered.

    Returns:
        One row per item: item, facet, key, n, r_own, p_wrong (one-sided p of r_own being negative), best_other,
        r_other, p_other (that the other facet is nearer: Steiger's z for correlations that share a variable, times the
        number of other facets), verdict (keep, review) and reason.

    Raises:
        DataError: the shape does not fit the bank, values outside [-1, 1], or fewer than 30 respondents.
    """
    table = _require(bank, answers)
    key = np.array([item.key for item in bank.items])
    facet_of = np.array([item.facet for item in bank.items])
    scores = {facet: _score(table, key, facet_of == facet) for facet in bank.facets}
    rows = []
    for place, item in enumerate(bank.items):
        keyed = item.key * table[:, place]
        rest = (facet_of == item.facet) & (np.arange(len(key)) != place)
        own_score = _score(table, key, rest)
        r_own, n = _correlate(keyed, own_score)
        others = {facet: _correlate(keyed, scores[facet])[0] for facet in bank.facets if facet != item.facet}
        known = {facet: r for facet, r in others.items() if np.isfinite(r)}
        best = max(known, key=lambda facet: known[facet]) if known else None
        r_other = known[best] if best else float("nan")
        between = _correlate(own_score, scores[best])[0] if best else float("nan")
        p_other = min(1.0, _p_nearer(r_other, r_own, between, n) * len(known)) if best else float("nan")
        p_wrong = float(stats.norm.cdf(np.arctanh(np.clip(r_own, -0.999, 0.999)) * np.sqrt(max(1, n - 3))))
        verdict, reason = _judge(r_own, p_wrong, best, r_other, p_other)
        rows.append((item.id, item.facet, item.key, n, r_own, p_wrong, best, r_other, p_other, verdict, reason))
    names = ["item", "facet", "key", "n", "r_own", "p_wrong", "best_other", "r_other", "p_other", "verdict", "reason"]
    kinds = [pl.String, pl.String, pl.Int64, pl.Int64, pl.Float64, pl.Float64, pl.String]
    kinds += [pl.Float64, pl.Float64, pl.String, pl.String]
    return pl.DataFrame(rows, schema=dict(zip(names, kinds, strict=True)), orient="row")


def _require(bank: ItemBank, answers: Float[np.ndarray, "respondent item"]) -> Float[np.ndarray, "respondent item"]:
    table = np.asarray(answers, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(bank.items) or len(table) < MIN_RESPONDENTS:
        raise DataError(
            f"Answers of shape {table.shape} for {len(bank.items)} items.",
            f"One row for each of at least {MIN_RESPONDENTS} respondents is needed, one column for each item.",
            "Ask every item under more persona prompts, and keep the bank's order.",
        )
    if np.nanmax(np.abs(table), initial=0.0) > 1 or np.isinf(table).any():
        raise DataError(
            f"An answer of {table.ravel()[int(np.nanargmax(np.abs(table)))]:g} lies outside [-1, 1].",
            "Agreement is scaled from -1 (disagree) to 1 (agree), not keyed; NaN stands for no answer.",
            "Rescale the answers first.",
        )
    return table


def _score(
    table: Float[np.ndarray, "respondent item"], key: np.ndarray, chosen: np.ndarray
) -> Float[np.ndarray, " respondent"]:
    sides = []
    for sign in (1, -1):
        own = table[:, chosen & (key == sign)]
        given = np.isfinite(own).sum(axis=1)
        if own.shape[1]:
            sides.append(np.where(given > 0, sign * np.nansum(own, axis=1) / np.maximum(1, given), np.nan))
    return np.asarray(sum(sides) / len(sides)) if sides else np.full(len(table), np.nan)


def _correlate(x: Float[np.ndarray, " respondent"], y: Float[np.ndarray, " respondent"]) -> tuple[float, int]:
    both = np.isfinite(x) & np.isfinite(y)
    a, b = x[both], y[both]
    if len(a) < 3 or min(np.ptp(a), np.ptp(b)) < 1e-9:
        return float("nan"), int(both.sum())
    return float(np.corrcoef(a, b)[0, 1]), int(both.sum())


def _p_nearer(r_other: float, r_own: float, between: float, n: int) -> float:
    """One-sided p of the other correlation being the larger (Meng, Rosenthal & Rubin 1992, eq. 1)."""
    if not np.isfinite([r_other, r_own, between]).all() or n < 4:
        return 1.0
    mean_square = (r_other**2 + r_own**2) / 2
    f = min(1.0, (1 - between) / (2 * max(1e-9, 1 - mean_square)))
    h = (1 - f * mean_square) / max(1e-9, 1 - mean_square)
    z = (np.arctanh(np.clip(r_other, -0.999, 0.999)) - np.arctanh(np.clip(r_own, -0.999, 0.999))) * np.sqrt(
        (n - 3) / max(1e-9, 2 * (1 - between) * h)
    )
    return float(stats.norm.sf(z))


def _judge(r_own: float, p_wrong: float, best: str | None, r_other: float, p_other: float) -> tuple[str, str]:
    if not np.isfinite(r_own):
        return "review", "tells respondents apart not at all: everyone gives the same answer"
    if r_own < 0 and p_wrong < _LEVEL:
        return "review", f"probably keyed the wrong way: r {r_own:+.2f} with the rest of its facet"
    if best is not None and p_other < _LEVEL:
        return "review", f"nearer to {best} (r {r_other:+.2f}) than to its own facet (r {r_own:+.2f})"
    return "keep", ""
