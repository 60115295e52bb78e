"""Holding interviews: the planner's question, the answer, what it changes, until enough is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from personascope.errors import DataError
from personascope.instruments.option_codes import MISSING
from personascope.interviews.planners import Planner
from personascope.interviews.respondents import Belief, Chosen, RespondentModel, columns_of
from personascope.interviews.transcripts import NOT_ASKED, Transcripts

AT_ONCE = 512
"""Interviews that are held side by side."""


@dataclass(frozen=True)
class Limits:
    """What bounds the choice of a question, besides its score.

    Args:
        groups: content of each item, such as its facet: the contents asked least so far come first.
        keys: +1 or -1 of each item: the key asked less so far comes first, within the contents that come first.
        top: one of so many best questions is asked at random, so that none is worn out ("randomesque"; Kingsbury & Zara
            1989).
        seconds: that each item takes to read and answer: scores are divided by them.
    """

    groups: Sequence[str] | None = None
    keys: Sequence[int] | None = None
    top: int = 1
    seconds: Float[np.ndarray, " item"] | None = None

    def __post_init__(self) -> None:
        if self.top < 1:
            raise DataError(f"top is {self.top}.", "One of the best questions is asked.", "Give at least 1.")
        if self.seconds is not None and not (np.isfinite(self.seconds).all() and (self.seconds > 0).all()):
            raise DataError("An item takes no time.", "Scores are divided by the seconds.", "Give seconds above 0.")

    def narrowed(
        self, open_: Bool[np.ndarray, "interview item"], asked: Bool[np.ndarray, "interview item"]
    ) -> Bool[np.ndarray, "interview item"]:
        """What of the open questions may be asked, given what was."""
        for labels in (self.groups, self.keys):
            if labels is not None:
                open_ = _least_asked(np.asarray(labels), open_, asked)
        return open_


@dataclass(frozen=True)
class Stop:
    """When an interview ends.

    Args:
        questions: at most.
        bits: the entropy of the belief is at most this.
        sd: every trait that the belief reports has at most this standard deviation.
        seconds: of reading that the next question would exceed, by `Limits.seconds`.
    """

    questions: int
    bits: float | None = None
    sd: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.questions < 1:
            raise DataError(f"{self.questions} questions.", "An interview has at least one.", "Ask for more.")

    def reached(self, belief: Belief) -> Bool[np.ndarray, " interview"]:
        """Whose interview is over by what is known."""
        over = np.zeros(belief.n, dtype=bool)
        if self.bits is not None:
            over |= belief.entropy() <= self.bits
        if self.sd is not None:
            if not hasattr(belief, "traits"):
                raise DataError(
                    "The respondent model has no traits.", "`sd` is of traits.", "Use `bits`, or a model of traits."
                )
            over |= (belief.traits()[1] <= self.sd).all(axis=1)
        return over


def next_questions(
    belief: Belief,
    planner: Planner,
    open_: Bool[np.ndarray, "interview item"],
    asked: Bool[np.ndarray, "interview item"],
    *,
    limits: Limits | None = None,
    interviews: Chosen | None = None,
    seed: int = 0,
) -> Chosen:
    """The column of the next question of each interview; ties go to the lowest.

    Args:
        belief: what is known.
        planner: scores the questions.
        open_: which may be asked; at least one of each interview.
        asked: which were.
        limits: see `Limits`.
        interviews: their numbers, which random orders hang on.
        seed: of all that is random.
    """
    limits = limits or Limits()
    numbers = np.arange(belief.n) if interviews is None else interviews
    may = limits.narrowed(open_, asked)
    scores = planner.scores(belief, may, numbers, seed)
    if limits.seconds is not None:
        scores = np.where(np.isfinite(scores), scores / limits.seconds, scores)
    if np.isnan(scores).any():
        raise DataError(f"The planner {planner.name!r} scores a question as NaN.", "", "Mend its rule.")
    scores = np.where(may, np.nan_to_num(scores, neginf=-1e300, posinf=1e300), -np.inf)
    if limits.top == 1:
        first: Chosen = scores.argmax(axis=1)
        return first
    best = np.argsort(-scores, axis=1, kind="stable")[:, : limits.top]
    n_best = np.minimum(may.sum(axis=1), best.shape[1])
    n_asked = asked.sum(axis=1)
    drawn = [
        int(np.random.default_rng([seed, int(number), int(so_far), 1]).integers(n))
        for number, so_far, n in zip(numbers, n_asked, n_best, strict=True)
    ]
    one: Chosen = best[np.arange(len(best)), drawn]
    return one


def conduct(
    model: RespondentModel,
    planner: Planner,
    answers: Integer[np.ndarray, "respondent item"],
    *,
    stop: Stop,
    respondents: Sequence[str] | None = None,
    held_out: Sequence[str] = (),
    subset: Bool[np.ndarray, "respondent item"] | None = None,
    limits: Limits | None = None,
    seed: int = 0,
    at_once: int = AT_ONCE,
) -> Transcripts:
    """Interview respondents whose answers are known; a question is asked only where there is an answer.

    Args:
        model: of respondents; its items are the columns.
        planner: chooses the questions.
        answers: options from 1, -1 where there is none.
        stop: when an interview ends.
        respondents: ids.
        held_out: items that are never asked.
        subset: which questions may be asked of whom; all by default.
        limits: see `Limits`.
        seed: of all that is random.
        at_once: interviews that are held side by side.

    Raises:
        DataError: answers outside 1..K or in another shape, an unknown held-out item, nothing left to ask.
    """
    answers = np.asarray(answers)
    _require_answers(answers, model)
    open_ = answers != MISSING
    open_[:, columns_of(model, held_out)] = False
    if subset is not None:
        open_ &= subset
    if not open_.any(axis=1).all():
        lone = int((~open_.any(axis=1)).argmax())
        raise DataError(
            f"Respondent {lone + 1} has no answer to any question that may be asked.", "", "Leave them out."
        )
    names = tuple(respondents) if respondents is not None else tuple(str(row + 1) for row in range(len(answers)))
    blocks = [
        _hold(
            model, planner, answers[start : start + at_once], open_[start : start + at_once], stop, limits, seed, start
        )
        for start in range(0, len(answers), at_once)
    ]
    asked, given = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    longest = max(1, int((asked != NOT_ASKED).sum(axis=1).max()))
    return Transcripts(
        tuple(model.items), model.n_options, names, asked[:, :longest], given[:, :longest], planner.name,
        planner.is_hindsight,
    )  # fmt: skip


def _hold(
    model: RespondentModel,
    planner: Planner,
    answers: Int[np.ndarray, "interview item"],
    open_: Bool[np.ndarray, "interview item"],
    stop: Stop,
    limits: Limits | None,
    seed: int,
    first: int,
) -> tuple[Int[np.ndarray, "interview question"], Int[np.ndarray, "interview question"]]:
    """One block of interviews: columns asked and options given."""
    n = len(answers)
    asked, given = np.full((2, n, stop.questions), NOT_ASKED)
    was_asked, open_, spent = np.zeros_like(open_), open_.copy(), np.zeros(n)
    seconds = None if limits is None else limits.seconds
    belief = model.begin(n)
    on, belief = _kept(np.arange(n), belief, ~stop.reached(belief))
    for question in range(stop.questions):
        if stop.seconds is not None and seconds is not None:
            open_ &= spent[:, None] + seconds <= stop.seconds
        on, belief = _kept(on, belief, open_[on].any(axis=1))
        if not len(on):
            break
        may, before = open_[on], was_asked[on]
        chosen = next_questions(belief, planner, may, before, limits=limits, interviews=first + on, seed=seed)
        options = answers[on, chosen].astype(int)
        asked[on, question], given[on, question] = chosen, options
        was_asked[on, chosen], open_[on, chosen] = True, False
        if seconds is not None:
            spent[on] += seconds[chosen]
        belief.observe(chosen, options - 1)
        on, belief = _kept(on, belief, ~stop.reached(belief))
    return asked, given


def _kept(on: Chosen, belief: Belief, going: Bool[np.ndarray, " interview"]) -> tuple[Int[np.ndarray, " kept"], Belief]:
    """The interviews that go on, and what is believed of them."""
    return (on, belief) if going.all() else (on[going], belief.pick(np.flatnonzero(going)))


def _require_answers(answers: Integer[np.ndarray, "respondent item"], model: RespondentModel) -> None:
    if answers.ndim != 2 or answers.shape[1] != len(model.items):
        raise DataError(
            f"Answers of shape {answers.shape} for {len(model.items)} items.",
            "There is a column for each item of the respondent model.",
            "Take the columns that the model has, in its order.",
        )
    odd = (answers != MISSING) & ((answers < 1) | (answers > model.n_options))
    if odd.any():
        row, column = np.argwhere(odd)[0].tolist()
        raise DataError(
            f"Row {row + 1}, item {model.items[column]!r}: {answers[row, column]} is no option "
            f"({odd.sum()} such answers).",
            f"Options are 1 to {model.n_options}, and -1 is a missing answer.",
            "Map the codes first.",
        )


def _least_asked(
    labels: np.ndarray, open_: Bool[np.ndarray, "interview item"], asked: Bool[np.ndarray, "interview item"]
) -> Bool[np.ndarray, "interview item"]:
    """Open questions of the label that was asked least, among labels that have an open question."""
    kinds, of = np.unique(labels, return_inverse=True)
    member = np.eye(len(kinds))[of]
    counts = asked @ member
    counts[(open_ @ member) == 0] = np.inf
    fewest = counts == counts.min(axis=1, keepdims=True)
    kept: Bool[np.ndarray, "interview item"] = open_ & fewest[:, of]
    return kept
