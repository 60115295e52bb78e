"""Which question comes next. A rule scores every question for every interview; the highest that may be asked is asked.

A rule sees what is believed, never the answers to come. The one exception, `hindsight`, is built to be told apart: it
looks at the answer before it asks, as a literal reading of "pick the question whose answer helps most" would, and what
was asked that way teaches a model to take the question for the answer (Ortega et al. 2021, arXiv 2110.10819).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from personascope.errors import DataError
from personascope.interviews.latent import LatentBelief
from personascope.interviews.respondents import Belief, Chosen, RespondentModel, Scores, columns_of
from personascope.interviews.twin_targets import item_information, score_information, score_reduction
from personascope.interviews.twins import TwinBelief, Twins

Rule = Callable[[Any, Int[np.ndarray, " interview"]], Scores]
"""From a belief, and the numbers of its interviews, to a score of every question, shape (interview, item)."""


@dataclass(frozen=True)
class Planner:
    """How questions are chosen.

    Args:
        name: as reports call it.
        rule: scores the questions; None: in the order of `order`.
        order: ranks of the questions where the order is fixed, shape (item,).
        is_random: each interview has a random order of its own, which hangs on the seed and its number alone.
        ahead: candidates, by the rule, whose best next question counts too; 1 looks one question ahead.
        is_hindsight: asks by answers that it could not know. Only for bounds.
    """

    name: str
    rule: Rule | None = None
    order: Float[np.ndarray, " item"] | None = None
    is_random: bool = False
    ahead: int = 1
    is_hindsight: bool = False

    def scores(
        self, belief: Belief, open_: Bool[np.ndarray, "interview item"], interviews: Chosen, seed: int
    ) -> Scores:
        """Score of every question for every interview; the highest is asked.

        Args:
            belief: what is known.
            open_: which questions may be asked.
            interviews: their numbers.
            seed: of random orders.
        """
        if self.is_random:
            n_items = open_.shape[1]
            return np.stack([np.random.default_rng([seed, int(number)]).random(n_items) for number in interviews])
        if self.order is not None:
            return np.broadcast_to(-self.order, open_.shape)
        if self.rule is None:
            raise DataError(f"The planner {self.name!r} has no rule.", "", "Give a rule or an order.")
        scores = np.asarray(self.rule(belief, interviews))
        return scores if self.ahead <= 1 else _looking_ahead(belief, self.rule, scores, open_, interviews, self.ahead)


def by_information() -> Planner:
    """The question that is expected to tell most about who the respondent is (`Belief.information`)."""
    return Planner("information", lambda belief, _: belief.information())


def two_steps(candidates: int = 10) -> Planner:
    """As `by_information`, its best candidates being told apart by what they and the best question after them tell."""
    return Planner("information, two steps", lambda belief, _: belief.information(), ahead=candidates)


def by_trait_variance(scores: Float[np.ndarray, "respondent trait"] | None = None) -> Planner:
    """The question that is expected to lower the variances of the traits most.

    Args:
        scores: of the people of a bank; a model of latent traits has its own.
    """
    if scores is None:
        return Planner("trait variance", lambda belief, _: belief.variance_reduction())
    return Planner("trait variance", lambda belief, _: score_reduction(belief, scores))


def by_trait_information(scores: Float[np.ndarray, " respondent"], bins: int = 8) -> Planner:
    """The question that is expected to tell most about in which of some equally filled bins a trait lies.

    Args:
        scores: of the people of a bank.
        bins: how many.
    """
    return Planner("trait information", lambda belief, _: score_information(belief, scores, bins))


def by_items(model: RespondentModel, items: Sequence[str], candidates: int = 20) -> Planner:
    """The question that is expected to tell most about the answers to items that will not be asked.

    Args:
        model: that is asked.
        items: that will not be asked.
        candidates: of a bank of people, questions that tell most about the person are looked at; 0 looks at all.
    """
    columns = columns_of(model, items)
    if isinstance(model, Twins):
        return Planner("held-out items", lambda belief, _: item_information(belief, columns, candidates))
    return Planner("held-out items", lambda belief, _: _latent_items(belief, columns))


def by_determinant() -> Planner:
    """D-optimal: the question that makes the information about the latent traits grow most (Segall 1996)."""
    return Planner("D-optimal", lambda belief, _: belief.d_optimality())


def at_random() -> Planner:
    """Every order is as likely."""
    return Planner("random", is_random=True)


def in_order(order: Sequence[int] | None = None, n_items: int | None = None, name: str = "fixed") -> Planner:
    """The same questions in the same order for everybody.

    Args:
        order: columns, the first to be asked first; None: as they stand.
        n_items: how many there are.
        name: as reports call it.
    """
    if order is None and n_items is None:
        raise DataError("Neither an order nor a number of items.", "", "Give one of them.")
    places = np.arange(n_items or len(order or ())) if order is None else np.asarray(order)
    ranks = np.full(n_items or len(places), np.inf)
    ranks[places] = np.arange(len(places))
    return Planner(name, order=np.where(np.isinf(ranks), len(places) + np.arange(len(ranks)), ranks))


def static(model: RespondentModel) -> Planner:
    """By what each question would tell if it were the first: the same order for everybody."""
    first = model.begin(1).information()[0]
    return in_order(np.argsort(-first, kind="stable").tolist(), len(first), "static")


def by_spread(model: RespondentModel) -> Planner:
    """The questions on which people differ most, first: the largest variance of the answer before anything is asked."""
    p = model.begin(1).predict()[0]
    options = np.arange(p.shape[1])
    variance = p @ options**2 - (p @ options) ** 2
    return in_order(np.argsort(-variance, kind="stable").tolist(), len(variance), "largest variance")


def hindsight(truth: Int[np.ndarray, " interview"], answers: Int[np.ndarray, "interview item"]) -> Planner:
    """The question whose answer, known beforehand, gains most on the true person. A bound, and no teacher.

    Args:
        truth: place of each respondent in the bank.
        answers: options from 1, -1 where there is none.
    """

    def gain(belief: TwinBelief, interviews: Chosen) -> Scores:
        model, options, own_rows = belief.model, np.asarray(answers)[interviews].astype(int) - 1, truth[interviews]
        predicted = belief.predict()
        own = model.answers[np.arange(len(model.items))[None], model.codes.numpy()[:, own_rows].T]
        at = np.clip(options, 0, None)[..., None]
        ratio = np.take_along_axis(own, at, -1) / np.maximum(np.take_along_axis(predicted, at, -1), 1e-300)
        return np.where(options >= 0, np.log2(np.maximum(ratio[..., 0], 1e-300)), -np.inf)

    return Planner("hindsight", gain, is_hindsight=True)


def _latent_items(belief: LatentBelief, columns: Int[np.ndarray, " target"]) -> Scores:
    return belief.total_reduction(belief.model.loadings[columns])


def _looking_ahead(
    belief: Belief, rule: Rule, scores: Scores, open_: np.ndarray, interviews: Chosen, candidates: int
) -> Scores:
    """Score of the best candidates: their own, and the expected score of the best question after each answer."""
    p = belief.predict()
    n_options = p.shape[-1]
    masked = np.where(open_, scores, -np.inf)
    best = np.argsort(-masked, axis=1, kind="stable")[:, :candidates]
    found = np.full(scores.shape, -np.inf)
    rows = np.arange(belief.n)
    for item in best.T:
        after = belief.repeat(n_options)
        after.observe(np.repeat(item, n_options), np.tile(np.arange(n_options), belief.n))
        left = np.repeat(open_, n_options, axis=0)
        left[np.arange(len(left)), np.repeat(item, n_options)] = False
        nexts = (
            np.where(left, rule(after, np.repeat(interviews, n_options)), -np.inf)
            .max(axis=1)
            .reshape(belief.n, n_options)
        )
        nexts = np.where(np.isfinite(nexts), nexts, 0)
        found[rows, item] = masked[rows, item] + (p[rows, item] * nexts).sum(axis=1)
    return found
