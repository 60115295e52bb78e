"""Whether two groups of respondents share a structure: factor loadings, how many factors, and Tucker's congruence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from personascope.errors import DataError, nearest
from personascope.instruments.responses import Responses
from personascope.measures.consistency import MIN_RESPONDENTS, complete_cases, require_named
from personascope.measures.factors import maximum_likelihood_factors

FAIR, EQUAL = 0.85, 0.95
"""Congruence of .85 to .94 is fair similarity, .95 and more counts as equal (Lorenzo-Seva & ten Berge 2006,
Methodology 2, 57-64, from raters who judged pairs of loadings)."""


@dataclass(frozen=True, eq=False)
class Loadings:
    """Factor loadings of items, each column turned so that its sum is not negative.

    Args:
        values: shape (item, factor).
        items: item ids.
        uniquenesses: variance of each standardized item that the factors leave, shape (item,).
        respondents: what a row of the matrix was.
        n: complete respondents.
        n_left_out: respondents with a missing answer.
        rotation: None, "varimax" or "quartimax".
    """

    values: Float[np.ndarray, "item factor"]
    items: tuple[str, ...]
    uniquenesses: Float[np.ndarray, " item"]
    respondents: str
    n: int
    n_left_out: int
    rotation: str | None

    def __post_init__(self) -> None:
        if self.values.shape[0] != len(self.items) or self.n < MIN_RESPONDENTS:
            raise DataError(
                f"Loadings of shape {self.values.shape} for {len(self.items)} items from {self.n} respondents.",
                f"There is one row per item, and a structure needs at least {MIN_RESPONDENTS} respondents.",
                "One model is one respondent: ask more models, personas or prompt variants.",
            )

    def frame(self) -> pl.DataFrame:
        """One row per item: item, factor_1 ... factor_m, uniqueness, respondents, n."""
        factors = {f"factor_{at + 1}": self.values[:, at] for at in range(self.values.shape[1])}
        table = pl.DataFrame({"item": self.items, **factors, "uniqueness": self.uniquenesses})
        return table.with_columns(pl.lit(self.respondents).alias("respondents"), pl.lit(self.n).alias("n"))


@dataclass(frozen=True, eq=False)
class Congruence:
    """Tucker's congruence of each factor of one solution with each of another, and the best one-to-one matching.

    Args:
        matrix: coefficients in [-1, 1], shape (factor, other_factor).
        matched: (factor, other factor) pairs from 0, in order of the first; unmatched factors are in none.
        n: complete respondents of the two solutions.
    """

    matrix: Float[np.ndarray, "factor other_factor"]
    matched: tuple[tuple[int, int], ...]
    n: tuple[int, int]

    def frame(self) -> pl.DataFrame:
        """One row per matched pair: factor, other_factor (from 1), sign, congruence (after turning), reading.

        Readings: "equal" from .95, "fair" from .85, otherwise "different". A sign of -1 says that the other factor
        runs the opposite way, which is no difference in structure.
        """
        rows = []
        for factor, other in self.matched:
            phi = float(self.matrix[factor, other])
            reading = "equal" if abs(phi) >= EQUAL else "fair" if abs(phi) >= FAIR else "different"
            rows.append((factor + 1, other + 1, -1 if phi < 0 else 1, abs(phi), reading))
        columns = {"factor": pl.Int64, "other_factor": pl.Int64, "sign": pl.Int64, "congruence": pl.Float64}
        return pl.DataFrame(rows, schema={**columns, "reading": pl.String}, orient="row")


@dataclass(frozen=True, eq=False)
class ParallelAnalysis:
    """Eigenvalues of the item correlations beside those of answers without structure.

    Args:
        eigenvalues: largest first, shape (item,).
        reference: the percentile of the same eigenvalue over the simulated data, shape (item,).
        n_factors: how many eigenvalues in a row, from the first, exceed their reference.
        respondents: what a row of the matrix was.
        n: complete respondents.
        n_left_out: respondents with a missing answer.
    """

    eigenvalues: Float[np.ndarray, " item"]
    reference: Float[np.ndarray, " item"]
    n_factors: int
    respondents: str
    n: int
    n_left_out: int

    def frame(self) -> pl.DataFrame:
        """One row per component: component (from 1), eigenvalue, reference, kept."""
        component = np.arange(1, len(self.eigenvalues) + 1)
        columns = {"component": component, "eigenvalue": self.eigenvalues, "reference": self.reference}
        return pl.DataFrame({**columns, "kept": component <= self.n_factors})


def loadings(
    responses: Responses,
    items: Sequence[str],
    n_factors: int = 1,
    *,
    respondents: str,
    rotation: Literal["varimax", "quartimax"] | None = None,
) -> Loadings:
    """Maximum-likelihood factor loadings on Pearson correlations (`sklearn.decomposition.FactorAnalysis`).

    Answers are taken as given, so a reversed item loads with the opposite sign. For one factor per scale, call this
    with the items of each.

    Args:
        responses: the matrix; respondents with an answer missing to one of the items are left out and counted.
        items: item ids.
        n_factors: number of factors; `parallel_analysis` helps to choose it.
        respondents: what a row of the matrix is, as in `scale_consistency`.
        rotation: orthogonal rotation; None leaves a single factor as it is and several arbitrarily oriented.

    Raises:
        DataError: an unknown item or rotation, too few items for so many factors, or as `complete_cases`.
        ConvergenceError: the fit did not settle.
    """
    require_named(respondents)
    if rotation not in (None, "varimax", "quartimax"):
        raise DataError(f"Unknown rotation {rotation!r}.{nearest(rotation, ['varimax', 'quartimax'])}", "", "Name one.")
    k = len(items)
    if n_factors < 1 or (k - n_factors) ** 2 < k + n_factors:
        raise DataError(
            f"{n_factors} factors of {k} items.",
            "That many loadings cannot be told from k (k - 1) / 2 correlations: (k - m)^2 must be at least k + m.",
            "Ask for fewer factors or score more items.",
        )
    values, n_left_out = complete_cases(responses, items, f"The set of {k} items")
    turned, uniquenesses = maximum_likelihood_factors(np.corrcoef(values, rowvar=False), n_factors, rotation)
    turned = turned * np.where(turned.sum(axis=0) < 0, -1, 1)
    return Loadings(turned, tuple(items), uniquenesses, respondents, len(values), n_left_out, rotation)


def tucker_congruence(a: Loadings, b: Loadings) -> Congruence:
    """Tucker's (1951) congruence, phi = sum xy / sqrt(sum x^2 sum y^2), over items, for every pair of columns.

    Columns are matched one to one so that the sum of |phi| is largest, since neither order nor sign of a factor means
    anything. Two solutions are compared as they are rotated: unrotated ones of several factors need not agree
    even when they span the same space.

    Args:
        a: loadings, for example of people.
        b: loadings of the same items in any order, for example of models.

    Raises:
        DataError: different items, or a factor on which nothing loads.
    """
    different = sorted(set(a.items) ^ set(b.items))
    if different or len(a.items) != len(b.items):
        raise DataError(
            f"Loadings of different items: {', '.join(different[:8])} in only one of the two ({len(different)} items).",
            "Congruence compares the loadings of the same items.",
            "Fit both on the items that they share.",
        )
    x, y = a.values, b.values[[b.items.index(item) for item in a.items]]
    lengths = np.linalg.norm(x, axis=0)[:, None] * np.linalg.norm(y, axis=0)
    if (lengths == 0).any():
        raise DataError("A factor has loadings of zero only.", "Nothing loads on it.", "Ask for fewer factors.")
    matrix = np.clip(x.T @ y / lengths, -1, 1)
    rows, columns = linear_sum_assignment(-np.abs(matrix))
    return Congruence(matrix, tuple(zip(rows.tolist(), columns.tolist(), strict=True)), (a.n, b.n))


def parallel_analysis(
    responses: Responses,
    items: Sequence[str],
    *,
    respondents: str,
    n_simulations: int = 100,
    percentile: float = 95,
    seed: int = 0,
) -> ParallelAnalysis:
    """How many factors stand out from noise (Horn 1965), by the percentile rule of Glorfeld (1995).

    Eigenvalues of the item correlations are compared with those of independent normal variables, as many and for as
    many respondents.

    Args:
        responses: the matrix; incomplete respondents are left out and counted.
        items: item ids.
        respondents: what a row of the matrix is, as in `scale_consistency`.
        n_simulations: data sets of noise.
        percentile: of the simulated eigenvalues that a real one must exceed; 50 is near Horn's mean.
        seed: of the noise.

    Raises:
        DataError: no simulations, a percentile outside 0 to 100, or as `complete_cases`.
    """
    require_named(respondents)
    if n_simulations < 1 or not 0 <= percentile <= 100:
        raise DataError(
            f"{n_simulations} simulations, percentile {percentile}.", "At least 1, and 0 to 100.", "Correct them."
        )
    values, n_left_out = complete_cases(responses, items, f"The set of {len(items)} items")
    rng = np.random.default_rng(seed)
    noise = np.array([_eigenvalues(rng.standard_normal(values.shape)) for _ in range(n_simulations)])
    eigenvalues, reference = _eigenvalues(values), np.percentile(noise, percentile, axis=0)
    n_factors = int(np.argmin(np.append(eigenvalues > reference, False)))
    return ParallelAnalysis(eigenvalues, reference, n_factors, respondents, len(values), n_left_out)


def _eigenvalues(values: Float[np.ndarray, "respondent item"]) -> Float[np.ndarray, " item"]:
    return np.linalg.eigvalsh(np.corrcoef(values, rowvar=False))[::-1].copy()
