"""Expert iteration: hold interviews, keep the best, learn from them, again, until held-out people stop gaining.

The score of an interview is what matters in the end: by how many bits its answers lowered the surprise of answers that
were not asked, for each question that was asked. Bits about who it is are no such score, as they reward questions that
only tell people apart (Zelikman et al. 2022 and Andukuri et al. 2024 iterate in the same way on other scores). Some
people are easier to predict than others, whatever they are asked: an interview is compared with others of the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Integer

from personascope.errors import DataError
from personascope.instruments.option_codes import MISSING
from personascope.interviews.metrics import expectations, surprises
from personascope.interviews.respondents import RespondentModel, columns_of
from personascope.interviews.synthetic_people import require_share
from personascope.interviews.transcripts import Transcripts


def gain_per_question(
    model: RespondentModel,
    transcripts: Transcripts,
    answers: Integer[np.ndarray, "interview item"],
    held_out: Sequence[str],
) -> Float[np.ndarray, " interview"]:
    """Bits that each interview took off the surprise of held-out answers, by question asked; NaN where none was.

    Args:
        model: predicts the answers.
        transcripts: of the interviews.
        answers: of the respondents, options from 1, -1 where there is none.
        held_out: items that were not asked.

    Raises:
        DataError: one of them was asked.
    """
    truth = np.asarray(answers)[:, columns_of(model, held_out)].astype(int)
    longest = transcripts.asked.shape[1]
    expected = expectations(model, transcripts, held_out, (0, longest))
    counts = np.maximum((truth != MISSING).sum(axis=1), 1)
    before, after = (np.nansum(surprises(expected[n], truth), axis=1) / counts for n in (0, longest))
    gain: Float[np.ndarray, " interview"] = (before - after) / np.maximum(transcripts.lengths, 1)
    return np.where((truth != MISSING).any(axis=1) & (transcripts.lengths > 0), gain, np.nan)


@dataclass(frozen=True)
class Round:
    """What one round came to.

    Args:
        number: from 0, the interviewer as it was.
        gain: mean bits by question of `n` held-out people; `low` and `high` its 95 % interval.
        kept: interviews that the next round learns from.
        synthetic_share: of synthetic people among those interviewed.
    """

    number: int
    gain: float
    low: float
    high: float
    n: int
    kept: int
    synthetic_share: float


def expert_iteration(
    hold: Callable[[int], tuple[Transcripts, Float[np.ndarray, " interview"], int]],
    learn: Callable[[Transcripts, int], None],
    judge: Callable[[int], Float[np.ndarray, " interview"]],
    *,
    rounds: int = 2,
    keep: float = 0.25,
    most_synthetic: float = 0.5,
) -> list[Round]:
    """Iterate, and stop when held-out people gain no more.

    Args:
        hold: from a round's number to interviews with people to learn from, several with each, the score of each, and
            with how many of them the people are synthetic.
        learn: retrains the interviewer on the interviews that are kept.
        judge: from a round's number to the scores of interviews with held-out people.
        rounds: at most.
        keep: share of the interviews that is learned from, those farthest above their person's mean.
        most_synthetic: largest share of synthetic people.

    Raises:
        DataError: a share out of range, too many synthetic people, or no interview with a score.
    """
    if not 0 < keep <= 1 or rounds < 1:
        raise DataError(f"keep {keep}, rounds {rounds}.", "", "A share above 0 up to 1, and at least one round.")
    found = [_judged(0, judge(0), 0, 0.0)]
    for number in range(1, rounds + 1):
        transcripts, scores, n_synthetic = hold(number - 1)
        share = require_share(len(scores) - n_synthetic, n_synthetic, most_synthetic)
        known = np.flatnonzero(np.isfinite(scores))
        better = _within_people(scores[known], [transcripts.respondents[row] for row in known])
        best = known[np.argsort(-better, kind="stable")][: max(1, round(keep * len(known)))]
        if not len(best):
            raise DataError("No interview has a score.", "Nobody answered a held-out item.", "Hold out others.")
        learn(transcripts.pick(best), number)
        found.append(_judged(number, judge(number), len(best), share))
        if found[-1].gain <= found[-2].gain:
            break
    return found


def rounds_frame(rounds: Sequence[Round]) -> pl.DataFrame:
    """One row per round: number, gain, low, high, n, kept, synthetic_share."""
    return pl.DataFrame([vars(one) for one in rounds])


def _judged(number: int, scores: Float[np.ndarray, " interview"], kept: int, share: float) -> Round:
    known = scores[np.isfinite(scores)]
    if not len(known):
        raise DataError("No held-out person has a score.", "", "Judge by items that they answered.")
    reach = 1.96 * known.std(ddof=1) / np.sqrt(len(known)) if len(known) > 1 else np.inf
    mean = float(known.mean())
    return Round(number, mean, mean - float(reach), mean + float(reach), len(known), kept, share)


def _within_people(
    scores: Float[np.ndarray, " interview"], respondents: Sequence[str]
) -> Float[np.ndarray, " interview"]:
    """Scores less the mean of the same person's interviews; as they are where each person has one."""
    names, of = np.unique(respondents, return_inverse=True)
    if len(names) == len(scores):
        return scores
    means = np.bincount(of, weights=scores) / np.bincount(of)
    return scores - means[of]
