"""Transcripts: who was asked what, in which order, and what was answered."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from jaxtyping import Int

from personascope.errors import DataError

NOT_ASKED = -1
"""Column and option of what comes after the end of an interview."""


@dataclass(frozen=True, eq=False)
class Transcripts:
    """Interviews that were held side by side.

    Args:
        items: ids of the bank's items.
        n_options: K.
        respondents: id of each interview's respondent.
        asked: columns in the order in which they were asked, -1 after the end, shape (interview, question).
        answers: options from 1, -1 after the end, shape (interview, question).
        planner: by which the questions were chosen.
        is_hindsight: whether it looked at the answers before it asked.

    Raises:
        DataError: an answer outside 1..K, a question asked twice, an unknown column, a gap, shapes that do not fit.
    """

    items: tuple[str, ...]
    n_options: int
    respondents: tuple[str, ...]
    asked: Int[np.ndarray, "interview question"]
    answers: Int[np.ndarray, "interview question"]
    planner: str = ""
    is_hindsight: bool = False

    def __post_init__(self) -> None:
        if self.asked.shape != self.answers.shape or len(self.asked) != len(self.respondents):
            raise DataError(
                f"Questions {self.asked.shape}, answers {self.answers.shape}, {len(self.respondents)} respondents.",
                "There is one answer to each question, and one row for each respondent.",
                "Make the shapes fit.",
            )
        over = self.asked == NOT_ASKED
        if (over != (self.answers == NOT_ASKED)).any() or (over[:, :-1] & ~over[:, 1:]).any():
            raise DataError(
                "A transcript has a gap.", "A question without an answer, or the reverse.", "Leave both out."
            )
        odd = ~over & ((self.answers < 1) | (self.answers > self.n_options))
        if odd.any():
            row, place = np.argwhere(odd)[0].tolist()
            raise DataError(
                f"Respondent {self.respondents[row]!r}, question {place + 1}: {self.answers[row, place]} is no option "
                f"({int(odd.sum())} such answers).",
                f"Options are 1 to {self.n_options}.",
                "Map the codes first.",
            )
        if (self.asked >= len(self.items)).any() or (self.asked < NOT_ASKED).any():
            raise DataError("A question that the bank does not have.", f"It has {len(self.items)}.", "Correct it.")
        for respondent, row in zip(self.respondents, self.asked, strict=True):
            given = row[row != NOT_ASKED]
            if len(np.unique(given)) < len(given):
                values, counts = np.unique(given, return_counts=True)
                raise DataError(
                    f"Respondent {respondent!r} was asked {self.items[values[counts.argmax()]]!r} twice.",
                    "The second answer would be counted as if it told something new.",
                    "Keep the first.",
                )

    @property
    def lengths(self) -> Int[np.ndarray, " interview"]:
        """Questions of each interview."""
        lengths: Int[np.ndarray, " interview"] = (self.asked != NOT_ASKED).sum(axis=1)
        return lengths

    def pick(self, interviews: Int[np.ndarray, " kept"]) -> Transcripts:
        """Some of the interviews, in this order."""
        names = tuple(self.respondents[row] for row in interviews)
        return replace(self, respondents=names, asked=self.asked[interviews], answers=self.answers[interviews])

    def history(self, interview: int, n: int) -> tuple[tuple[int, int], ...]:
        """The first n answers of an interview, fewer where it ended: column of each, and option from 0."""
        n = min(n, int(self.lengths[interview]))
        asked, answers = self.asked[interview, :n].tolist(), self.answers[interview, :n].tolist()
        return tuple((column, option - 1) for column, option in zip(asked, answers, strict=True))

    def frame(self) -> pl.DataFrame:
        """One row per answer: planner, respondent, question (from 1), item, answer (from 1)."""
        rows, places = np.nonzero(self.asked != NOT_ASKED)
        return pl.DataFrame(
            {
                "planner": pl.Series([self.planner] * len(rows), dtype=pl.String),
                "respondent": pl.Series([self.respondents[row] for row in rows], dtype=pl.String),
                "question": pl.Series(places + 1, dtype=pl.Int64),
                "item": pl.Series([self.items[column] for column in self.asked[rows, places]], dtype=pl.String),
                "answer": pl.Series(self.answers[rows, places], dtype=pl.Int64),
            }
        )

    def require_not_asked(self, items: set[str]) -> None:
        """Refuse transcripts that hold an item which a measure is to be taken on.

        Raises:
            DataError: one was asked.
        """
        asked = {self.items[column] for column in np.unique(self.asked) if column != NOT_ASKED}
        both = sorted(asked & items)
        if both:
            raise DataError(
                f"The held-out item {both[0]!r} was asked ({len(both)} such items).",
                "Its answer would be predicted from itself.",
                "Hold it out when the interviews are held.",
            )
