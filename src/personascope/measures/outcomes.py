"""Outcomes of comparisons: first, second, or neither. A refusal is an outcome of its own and moves no utility.

    P(refusal | i, j) = rho_ij,   P(first | i, j) = (1 - rho_ij) F(u_i - u_j + b)

The likelihood falls into a part for the refusals and a part for the choices that were made, so the utilities are those
of `fit_utilities` with the number of choices made as weight, whatever the refusals depend on. Counting a refusal as a
win of either slot would lower or raise just those tasks that are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from personascope.errors import DataError, nearest
from personascope.measures.intervals import CONFIDENCE
from personascope.measures.utilities import Utilities, fit_utilities

OUTCOMES = ("first", "second", "refusal", "other")
"""What a sampled answer can be: the task shown first or second, neither on purpose, or nothing that could be read."""
_SUM_TOLERANCE = 0.01


@dataclass(frozen=True, eq=False)
class Outcomes:
    """How often each comparison ended in which way: counts of samples, or probabilities read from one prompt.

    Args:
        first: index of the task shown first, shape (comparison,).
        second: index of the task shown second, shape (comparison,).
        chose_first: times, or probability, that the first was chosen, shape (comparison,).
        chose_second: likewise the second.
        refused: likewise neither.
        other: likewise, what could not be read. It counts as asked.

    Raises:
        DataError: shapes that differ, or a count that is negative or not finite.
    """

    first: Int[np.ndarray, " comparison"]
    second: Int[np.ndarray, " comparison"]
    chose_first: Float[np.ndarray, " comparison"]
    chose_second: Float[np.ndarray, " comparison"]
    refused: Float[np.ndarray, " comparison"]
    other: Float[np.ndarray, " comparison"]

    def __post_init__(self) -> None:
        shapes = {f.name: getattr(self, f.name).shape for f in fields(self)}
        if len(set(shapes.values())) > 1 or self.first.ndim != 1:
            raise DataError(f"Outcomes of shapes {shapes}.", "All must be (comparison,).", "Pass one entry each.")
        counts = np.stack([self.chose_first, self.chose_second, self.refused, self.other])
        bad = ~((counts >= 0) & (counts < np.inf)).all(axis=0)
        if bad.any():
            row = int(np.argmax(bad))
            raise DataError(
                f"Comparison {row} has the outcomes {counts[:, row].tolist()} ({int(bad.sum())} such rows).",
                "They are counts or probabilities of first, second, refusal and other: finite and not negative.",
                "Mend or drop these rows.",
            )

    @classmethod
    def sampled(
        cls, first: Int[np.ndarray, " answer"], second: Int[np.ndarray, " answer"], outcomes: Sequence[str]
    ) -> Outcomes:
        """Counts of sampled answers, one comparison for each ordered pair, sorted.

        Args:
            first: index of the task shown first, shape (answer,).
            second: likewise the second.
            outcomes: one of `OUTCOMES` for each answer.

        Raises:
            DataError: lengths that differ, or an unknown outcome (named by its row).
        """
        if not len(first) == len(second) == len(outcomes):
            raise DataError(
                f"{len(first)} first tasks, {len(second)} second tasks, {len(outcomes)} outcomes.",
                "Every answer has one of each.",
                "Pass one entry per answer.",
            )
        unknown = next((row for row, outcome in enumerate(outcomes) if outcome not in OUTCOMES), None)
        if unknown is not None:
            found = str(outcomes[unknown])
            raise DataError(
                f"Answer {unknown} has the outcome {found!r}.{nearest(found, OUTCOMES)}",
                f"An outcome is one of {', '.join(OUTCOMES)}.",
                "Parse the answers first.",
            )
        pairs, row = np.unique(np.stack([first, second], axis=1), axis=0, return_inverse=True)
        column = np.array([OUTCOMES.index(outcome) for outcome in outcomes], dtype=np.int64)
        counts = np.zeros((len(pairs), len(OUTCOMES)))
        np.add.at(counts, (row.ravel(), column), 1)
        return cls(pairs[:, 0], pairs[:, 1], *counts.T)

    @classmethod
    def soft(
        cls,
        first: Int[np.ndarray, " comparison"],
        second: Int[np.ndarray, " comparison"],
        p_first: Float[np.ndarray, " comparison"],
        p_second: Float[np.ndarray, " comparison"],
        p_refusal: Float[np.ndarray, " comparison"] | float = 0.0,
    ) -> Outcomes:
        """Probabilities read from option log-probabilities; what they leave of 1 is `other`.

        Raises:
            DataError: probabilities that are negative or sum to more than 1.
        """
        refusal = np.broadcast_to(np.asarray(p_refusal, dtype=np.float64), p_first.shape)
        other = 1 - p_first - p_second - refusal
        if (other < -_SUM_TOLERANCE).any():
            row = int(np.argmin(other))
            raise DataError(
                f"Comparison {row}: first {p_first[row]}, second {p_second[row]} and refusal {refusal[row]} sum to "
                f"{1 - other[row]:.6g}.",
                "Probabilities of outcomes that exclude each other cannot exceed 1.",
                "Pass probabilities, not log-probabilities or logits.",
            )
        return cls(first, second, p_first, p_second, refusal, np.maximum(other, 0.0))

    @property
    def weights(self) -> Float[np.ndarray, " comparison"]:
        """Choices made, the weight of a comparison in the fit: 0 where all was refused."""
        return np.asarray(self.chose_first + self.chose_second)

    @property
    def p_first(self) -> Float[np.ndarray, " comparison"]:
        """Share of the first among the choices made; 0.5 where none was, which has no weight."""
        return np.where(self.weights > 0, self.chose_first, 0.5) / np.where(self.weights > 0, self.weights, 1.0)

    @property
    def asked(self) -> Float[np.ndarray, " comparison"]:
        """All answers."""
        return np.asarray(self.weights + self.refused + self.other)

    def fit(self, *, n_tasks: int, **settings: Any) -> Utilities:
        """Utilities of the choices that were made; further settings are those of `fit_utilities`.

        Raises:
            PersonascopeError: as `fit_utilities`.
        """
        return fit_utilities(self.first, self.second, self.p_first, n_tasks=n_tasks, weights=self.weights, **settings)


def refusal_rates(outcomes: Outcomes, *, n_tasks: int) -> pl.DataFrame:
    """How often comparisons with each task were refused, where it stood first, second, and in both places.

    A refusal belongs to both tasks of its comparison: a harmless task that met refused ones has a rate as well.
    Intervals are Wilson's (1927) and take each unordered pair as one observation however often it was asked, since
    the answers to a pair hang together; with several answers to a pair they are cautious.

    Returns:
        One row per task and slot: task (index), slot ("first", "second", "either"), asked, refused (counts or summed
        probabilities), n_pairs (unordered pairs asked), rate, low, high (null for a task never asked in that slot).

    Raises:
        DataError: a task index outside the pool.
    """
    i, j = outcomes.first, outcomes.second
    if len(i) and (min(i.min(), j.min()) < 0 or max(i.max(), j.max()) >= n_tasks):
        raise DataError(f"Task indices must run from 0 to {n_tasks - 1}.", "", "Pass the size of the whole pool.")
    slots = {"first": (i, j), "second": (j, i), "either": (np.append(i, j), np.append(j, i))}
    tables = []
    for slot, (task, opponent) in slots.items():
        times = len(task) // len(i) if len(i) else 1
        asked, refused = (np.tile(x, times) for x in (outcomes.asked, outcomes.refused))
        met = np.unique(np.stack([task, opponent], axis=1)[asked > 0], axis=0)[:, 0]
        table = pl.DataFrame(
            {
                "task": np.arange(n_tasks),
                "slot": [slot] * n_tasks,
                "asked": np.bincount(task, weights=asked, minlength=n_tasks),
                "refused": np.bincount(task, weights=refused, minlength=n_tasks),
                "n_pairs": np.bincount(met, minlength=n_tasks),
            }
        )
        tables.append(table)
    return _with_wilson(pl.concat(tables))


def _with_wilson(table: pl.DataFrame) -> pl.DataFrame:
    """Adds rate, low and high."""
    from statsmodels.stats.proportion import proportion_confint  # slow to import

    asked, refused, n_pairs = (table[name].to_numpy().astype(np.float64) for name in ("asked", "refused", "n_pairs"))
    known = asked > 0
    rate = np.clip(refused[known] / asked[known], 0, 1)
    n = np.minimum(asked, n_pairs)[known]
    low, high = proportion_confint(rate * n, n, alpha=1 - CONFIDENCE, method="wilson")
    columns = {name: np.full(len(table), np.nan) for name in ("rate", "low", "high")}
    for name, values in zip(columns, (rate, low, high), strict=True):
        columns[name][known] = values
    return table.with_columns(pl.Series(name, values, nan_to_null=True) for name, values in columns.items())
