"""How far an interview has come after n questions: has it found the person, and can it predict what was not asked?

Both are always given, as they differ: questions that tell people apart are not those that tell how they will answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int, Integer

from personascope.errors import DataError
from personascope.instruments.option_codes import MISSING
from personascope.interviews.interview import AT_ONCE
from personascope.interviews.respondents import Belief, Probabilities, RespondentModel, columns_of
from personascope.interviews.transcripts import NOT_ASKED, Transcripts
from personascope.interviews.twins import TwinBelief, Twins
from personascope.measures.intervals import means_interval
from personascope.measures.wilson import wilson

LEAST = 1e-12
"""Probability below which no answer is counted: one that was ruled out costs 40 bits and not infinitely many."""


def replay(
    model: RespondentModel, transcripts: Transcripts, at: Sequence[int], start: int, stop: int
) -> Iterator[tuple[int, Belief]]:
    """What is believed after each number of questions, of some interviews; one that ended earlier stays as it was.

    Args:
        model: that learns from the answers; it may be another than the one the questions were planned by.
        transcripts: of interviews.
        at: numbers of questions, rising.
        start: of the interviews.
        stop: of the interviews.
    """
    columns = columns_of(model, transcripts.items)
    asked, answers = transcripts.asked[start:stop], transcripts.answers[start:stop]
    belief, done = model.begin(len(asked)), 0
    for n in at:
        while done < min(n, asked.shape[1]):
            on = np.flatnonzero(asked[:, done] != NOT_ASKED)
            if len(on):
                told = belief if len(on) == len(asked) else belief.pick(on)
                told.observe(columns[asked[on, done]], answers[on, done] - 1)
                belief = told if len(on) == len(asked) else belief.with_(on, told)
            done += 1
        yield n, belief


@dataclass(frozen=True, eq=False)
class Placed:
    """Where the true person of each interview was put among people.

    Args:
        log2_p: log2 posterior of the true person.
        rank: place of the true person; 1 is the first.
    """

    log2_p: Float[np.ndarray, " interview"]
    rank: Int[np.ndarray, " interview"]

    def summary(self, *, n_resamples: int = 2000, seed: int = 0) -> dict[str, Any]:
        """Fields log2_p (mean) with low and high (95 %), rank (median), top_1 with top_1_low, top_1_high (Wilson), n.

        Args:
            n_resamples: bootstrap resamples of interviews.
            seed: of the bootstrap.
        """
        low, high = means_interval([self.log2_p], [1.0], n_resamples=n_resamples, seed=seed)
        first = float((self.rank == 1).mean())
        top_low, top_high = wilson(np.array([first]), np.array([float(len(self.rank))]))
        return {
            "log2_p": float(self.log2_p.mean()),
            "low": low,
            "high": high,
            "rank": float(np.median(self.rank)),
            "top_1": first,
            "top_1_low": float(top_low[0]),
            "top_1_high": float(top_high[0]),
            "n": len(self.rank),
        }


def identification(
    twins: Twins,
    transcripts: Transcripts,
    truth: Int[np.ndarray, " interview"],
    at: Sequence[int],
    *,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Whether the respondent is found among the people of a bank.

    Args:
        twins: the bank.
        transcripts: of interviews of people who are in it.
        truth: place of each in the bank.
        at: after how many questions.
        n_resamples: bootstrap resamples of people.
        seed: of the bootstrap.

    Returns:
        One row per number of questions: planner, questions, bits_per_question (what was gained on the prior), and what
        `Placed.summary` gives.
    """
    if len(truth) != len(transcripts.respondents):
        raise DataError(f"{len(truth)} places for {len(transcripts.respondents)} interviews.", "", "Give one for each.")
    found: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {n: [] for n in at}
    for start, stop in _blocks(len(truth)):
        for n, belief in replay(twins, transcripts, at, start, stop):
            assert isinstance(belief, TwinBelief)
            own = truth[start:stop]
            found[n].append((belief.log2_posterior(own), belief.rank(own)))
    prior = twins.begin(1).log2_posterior
    before = float(np.mean([prior(np.array([place]))[0] for place in truth]))
    rows = []
    for n, parts in found.items():
        placed = Placed(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        row = placed.summary(n_resamples=n_resamples, seed=seed)
        per_question = (row["log2_p"] - before) / n if n else None
        rows.append({"planner": transcripts.planner, "questions": n, "bits_per_question": per_question, **row})
    return pl.DataFrame(rows, infer_schema_length=None)


def prediction(
    model: RespondentModel,
    transcripts: Transcripts,
    answers: Integer[np.ndarray, "interview item"],
    held_out: Sequence[str],
    at: Sequence[int],
    *,
    spread: Float[np.ndarray, " item"],
    n_resamples: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """How well answers to items that were never asked are predicted.

    Args:
        model: predicts.
        transcripts: of interviews.
        answers: of the respondents to all items of the model, options from 1, -1 where there is none.
        held_out: the items.
        at: after how many questions; 0 is the prior.
        spread: standard deviation of each item over people, in options; errors are in units of it.
        n_resamples: bootstrap resamples of people.
        seed: of the bootstrap.

    Returns:
        One row per number of questions: planner, questions, bits (mean negative log2-likelihood of an answer) with
        bits_low and bits_high, rmse (root mean squared error of the expected option, in item standard deviations) with
        low and high (95 %, over people), n.

    Raises:
        DataError: an item that was asked, or nobody who answered them.
    """
    columns = columns_of(model, held_out)
    return prediction_errors(
        expectations(model, transcripts, held_out, at),
        np.asarray(answers)[:, columns].astype(int),
        planner=transcripts.planner,
        spread=spread[columns],
        n_resamples=n_resamples,
        seed=seed,
    )


def expectations(
    model: RespondentModel, transcripts: Transcripts, held_out: Sequence[str], at: Sequence[int]
) -> dict[int, Probabilities]:
    """What is expected of items that were never asked, after each number of questions.

    Arguments and errors are those of `prediction`.
    """
    transcripts.require_not_asked(set(held_out))
    columns = columns_of(model, held_out)
    found: dict[int, list[np.ndarray]] = {n: [] for n in at}
    for start, stop in _blocks(len(transcripts.respondents)):
        for n, belief in replay(model, transcripts, at, start, stop):
            found[n].append(belief.predict(columns))
    return {n: np.concatenate(parts) for n, parts in found.items()}


def surprises(p: Probabilities, truth: Integer[np.ndarray, "interview item"]) -> Float[np.ndarray, "interview item"]:
    """Negative log2-likelihood of each answer, at most that of `LEAST`; NaN where there is none."""
    chosen = np.take_along_axis(p, np.clip(truth - 1, 0, None)[..., None].astype(np.int64), -1)[..., 0]
    return np.where(truth != MISSING, -np.log2(np.maximum(chosen, LEAST)), np.nan)


def prediction_errors(
    expected: Mapping[int, Probabilities],
    truth: Integer[np.ndarray, "interview item"],
    *,
    planner: str,
    spread: Float[np.ndarray, " item"],
    n_resamples: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Errors of expectations.

    Args:
        expected: number of questions -> probabilities of the options of the held-out items.
        truth: their answers, options from 1, -1 where there is none.
        planner: of the interviews.
        spread: standard deviation of each of these items.
        n_resamples: as for `prediction`, which says what is returned.
        seed: of the bootstrap.

    Raises:
        DataError: nobody answered any of them.
    """
    given = truth != MISSING
    if not given.any():
        raise DataError("Nobody answered a held-out item.", "", "Hold out items that were answered.")
    kept, rows = given.any(axis=1), []
    for n, p in expected.items():
        error = np.where(given, (p @ np.arange(1, p.shape[-1] + 1) - truth) / spread, np.nan) ** 2
        bits, squares = (np.nanmean(one[kept], axis=1) for one in (surprises(p, truth), error))
        bits_low, bits_high = means_interval([bits], [1.0], n_resamples=n_resamples, seed=seed)
        low, high = means_interval([squares], [1.0], n_resamples=n_resamples, seed=seed)
        rows.append(
            {
                "planner": planner,
                "questions": n,
                "bits": float(bits.mean()),
                "bits_low": bits_low,
                "bits_high": bits_high,
                "rmse": float(np.sqrt(squares.mean())),
                "low": None if low is None else float(np.sqrt(low)),
                "high": None if high is None else float(np.sqrt(high)),
                "n": int(kept.sum()),
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def _blocks(n: int) -> list[tuple[int, int]]:
    return [(start, min(start + AT_ONCE, n)) for start in range(0, n, AT_ONCE)]
