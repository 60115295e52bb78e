"""Noisy twins: the respondent answers as one of a bank of people does, give or take.

    p(a | r, q) = (1 - epsilon) kernel[x_rq, a] + epsilon m_q(a)

kernel is a normal density of width sigma around the twin's own option, discretised over the options; m_q are the shares
of the options in the bank. A question that the twin never answered is answered by m_q. As sigma and epsilon go to 0 the
twin is matched exactly. p depends on r only through x_rq, so all people who chose the same option are one term: with
W_b,x = sum of the weights of these, the predictive and the expected entropy are sums over K + 1 options instead of N
people, and the bank is held as one byte per answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int, Int8
from scipy.stats import norm
from torch import Tensor

from personascope.errors import DataError
from personascope.instruments.option_codes import MISSING
from personascope.instruments.responses import Responses
from personascope.interviews.respondents import Chosen, Probabilities, Scores, entropy_bits

MEMORY = 64 * 1024 * 1024
"""Bytes that the one-hot form of the bank may take at once."""


@dataclass(frozen=True, eq=False)
class Twins:
    """A bank of people as a model of respondents.

    Args:
        bank: their answers; where one is missing, nothing is known of how that person would answer.
        sigma: width of the kernel, in options; from a retest correlation r and the item's spread s it is
            s sqrt(1 - r). 0 matches exactly.
        epsilon: share of answers that have nothing to do with the twin.
        prior: weight of each person, shape (respondent,); equal by default.
        memory: bytes of work space.

    Raises:
        DataError: fewer than two people, a question that nobody answered, a sigma or epsilon out of range, a prior that
            is no distribution.
    """

    bank: Responses
    sigma: float = 1.0
    epsilon: float = 0.05
    prior: Float[np.ndarray, " respondent"] | None = None
    memory: int = MEMORY

    def __post_init__(self) -> None:
        n = len(self.bank.respondents)
        if n < 2:
            raise DataError(
                f"A bank of {n} respondent{'s' * (n != 1)}.",
                "Who it is can only be asked where it could be another.",
                "Give at least two people.",
            )
        unasked = ~(self.bank.values != MISSING).any(axis=0)
        if unasked.any():
            raise DataError(
                f"Nobody in the bank answered {self.bank.items[int(unasked.argmax())]!r} ({unasked.sum()} such items).",
                "An answer to it tells nothing about anybody.",
                "Leave these items out.",
            )
        if not (np.isfinite(self.sigma) and self.sigma >= 0 and 0 <= self.epsilon < 1):
            raise DataError(
                f"sigma {self.sigma}, epsilon {self.epsilon}.",
                "sigma is a width in options, epsilon a share of answers.",
                "Give sigma of at least 0, and epsilon from 0 to below 1.",
            )
        if self.prior is not None and (
            self.prior.shape != (n,)
            or not np.isfinite(self.prior).all()
            or (self.prior < 0).any()
            or not self.prior.any()
        ):
            raise DataError("The prior is no distribution.", f"{n} weights of at least 0 are needed.", "Correct it.")

    @property
    def items(self) -> tuple[str, ...]:
        """Item ids."""
        return self.bank.items

    @property
    def n_options(self) -> int:
        """K."""
        return self.bank.n_options

    def begin(self, n: int) -> TwinBelief:
        """The prior, of n interviews."""
        return TwinBelief(self, self.log_prior.expand(n, -1).clone())

    @cached_property
    def log_prior(self) -> Tensor:
        """Shape (1, respondent)."""
        n = len(self.bank.respondents)
        weights = np.full(n, 1 / n) if self.prior is None else self.prior / self.prior.sum()
        with np.errstate(divide="ignore"):
            return torch.from_numpy(np.log(weights).astype(np.float32))[None]

    @cached_property
    def codes(self) -> Int8[Tensor, "item respondent"]:
        """Options from 0, K where there is no answer."""
        values = self.bank.values
        return torch.from_numpy(np.ascontiguousarray(np.where(values == MISSING, self.n_options, values - 1).T))

    @cached_property
    def answers(self) -> Float[np.ndarray, "item twin option"]:
        """p(answer | the twin's own option), the last twin being one who did not answer."""
        options = np.arange(self.n_options)
        if self.sigma == 0:
            kernel = np.eye(self.n_options)
        else:
            kernel = norm.pdf(options[None], loc=options[:, None], scale=self.sigma)
            kernel /= kernel.sum(axis=1, keepdims=True)
        counts = np.stack([(self.bank.values == option + 1).sum(axis=0) for option in options], axis=1)
        marginal = counts / counts.sum(axis=1, keepdims=True)
        mixed = (1 - self.epsilon) * kernel[None] + self.epsilon * marginal[:, None]
        answers: Float[np.ndarray, "item twin option"] = np.concatenate([mixed, marginal[:, None]], axis=1)
        return answers

    @cached_property
    def log_answers(self) -> Float[Tensor, "item twin option"]:
        """Its logarithm."""
        with np.errstate(divide="ignore"):
            return torch.from_numpy(np.log(self.answers).astype(np.float32))

    @cached_property
    def answer_entropy(self) -> Float[np.ndarray, "item twin"]:
        """Entropy of an answer once the twin is known, in bits."""
        return entropy_bits(self.answers)

    @cached_property
    def one_hot(self) -> Float[Tensor, "respondent column"] | None:
        """Who chose what, columns (item, option), where it fits into memory."""
        fits = len(self.bank.respondents) * len(self.items) * self.n_options * 4 <= self.memory
        return self.one_hot_of(0, len(self.items)) if fits else None

    def one_hot_of(self, start: int, stop: int) -> Float[Tensor, "respondent column"]:
        """Who chose what, of some items."""
        options = torch.arange(self.n_options, dtype=torch.int8)
        chosen = self.codes[start:stop].T[:, :, None] == options
        return chosen.float().reshape(len(chosen), -1)

    @property
    def items_at_once(self) -> int:
        """Items whose one-hot form fits into memory."""
        return max(1, self.memory // (4 * len(self.bank.respondents) * self.n_options))

    def draw(self, respondents: Int[np.ndarray, " drawn"], seed: int) -> Int8[np.ndarray, "drawn item"]:
        """Answers of these people on another day, as the model has it, options from 1 (simulated retest)."""
        rng = np.random.default_rng(seed)
        codes = self.codes.numpy()[:, respondents].T
        p = self.answers[np.arange(len(self.items))[None], codes]
        above = rng.random(p.shape[:2])[..., None] > p.cumsum(axis=-1)[..., :-1]
        drawn: Int8[np.ndarray, "drawn item"] = (above.sum(axis=-1) + 1).astype(np.int8)
        return drawn


@dataclass(eq=False)
class TwinBelief:
    """Weights of the people of the bank, after some answers.

    Args:
        model: the bank.
        log_weights: not normalised, shape (interview, respondent).
    """

    model: Twins
    log_weights: Float[Tensor, "interview respondent"]

    @property
    def n(self) -> int:
        """Number of interviews."""
        return len(self.log_weights)

    def weights(self) -> Float[Tensor, "interview respondent"]:
        """The posterior over the bank."""
        return torch.softmax(self.log_weights, dim=1)

    def predict(self, items: Int[np.ndarray, " asked"] | None = None) -> Probabilities:
        """See `Belief`."""
        predicted = self.answered(self.shares(self.weights()))
        return predicted if items is None else predicted[:, items]

    def answered(self, shares: Float[np.ndarray, "interview item twin"]) -> Probabilities:
        """Weight of each answer, from the weight of those who chose each option."""
        predicted: Probabilities = np.matmul(shares.transpose(1, 0, 2), self.model.answers).transpose(1, 0, 2)
        return predicted

    def information(self) -> Scores:
        """About who of the bank it is, in bits."""
        shares = self.shares(self.weights())
        within = np.einsum("bqx,qx->bq", shares, self.model.answer_entropy)
        bits: Scores = np.maximum(entropy_bits(self.answered(shares)) - within, 0)
        return bits

    def shares(
        self, weights: Float[Tensor, "interview respondent"], *, signed: bool = False
    ) -> Float[np.ndarray, "interview item twin"]:
        """Weight of those who chose each option, the last being of those who did not answer.

        Args:
            weights: any, such as the posterior times a score of each person.
            signed: whether they may be negative.
        """
        model, n_items = self.model, len(self.model.items)
        found = torch.empty(len(weights), n_items, model.n_options + 1)
        if model.one_hot is not None:
            found[..., :-1] = (weights @ model.one_hot).reshape(len(weights), n_items, -1)
        else:
            for start in range(0, n_items, model.items_at_once):
                stop = min(start + model.items_at_once, n_items)
                part = weights @ model.one_hot_of(start, stop)
                found[:, start:stop, :-1] = part.reshape(len(weights), stop - start, -1)
        rest = weights.sum(dim=1, keepdim=True) - found[..., :-1].sum(dim=-1)
        found[..., -1] = rest if signed else rest.clamp(min=0)  # rounding
        shares: Float[np.ndarray, "interview item twin"] = found.double().numpy()
        return shares

    def entropy(self) -> Float[np.ndarray, " interview"]:
        """Of who it is, in bits."""
        return entropy_bits(self.weights().double().numpy())

    def observe(self, items: Chosen, options: Chosen) -> None:
        """Weigh everybody by how likely they would have answered so.

        Raises:
            DataError: nobody in the bank would have (only without epsilon).
        """
        at, chosen = (torch.from_numpy(np.asarray(one, dtype=np.int64)) for one in (items, options))
        twins = self.model.log_answers[at, :, chosen]
        self.log_weights += twins.gather(1, self.model.codes[at].long())
        top = self.log_weights.max(dim=1, keepdim=True).values
        lost = torch.isinf(top[:, 0]).nonzero()
        if len(lost):
            raise DataError(
                f"Interview {int(lost[0])}: nobody in the bank answers so ({len(lost)} such interviews).",
                f"With epsilon {self.model.epsilon} and sigma {self.model.sigma} an answer rules people out for good.",
                "Give an epsilon above 0 for respondents who are not in the bank.",
            )
        self.log_weights -= top

    def repeat(self, times: int) -> TwinBelief:
        """See `Belief`."""
        return TwinBelief(self.model, self.log_weights.repeat_interleave(times, dim=0))

    def pick(self, interviews: Int[np.ndarray, " kept"]) -> TwinBelief:
        """See `Belief`."""
        return TwinBelief(self.model, self.log_weights[torch.from_numpy(np.asarray(interviews))])

    def with_(self, interviews: Int[np.ndarray, " told"], told: TwinBelief) -> TwinBelief:
        """See `Belief`."""
        at = torch.from_numpy(np.asarray(interviews))
        return TwinBelief(self.model, self.log_weights.index_copy(0, at, told.log_weights))

    def log2_posterior(self, respondents: Chosen) -> Float[np.ndarray, " interview"]:
        """log2 p of one person of the bank in each interview."""
        logs = torch.log_softmax(self.log_weights.double(), dim=1)
        own = logs.gather(1, torch.from_numpy(np.asarray(respondents))[:, None])[:, 0]
        bits: Float[np.ndarray, " interview"] = (own / np.log(2)).numpy()
        return bits

    def rank(self, respondents: Chosen) -> Int[np.ndarray, " interview"]:
        """Place of that person among all by weight, the best being 1; of equals the middle one, rounded up."""
        own = self.log_weights.gather(1, torch.from_numpy(np.asarray(respondents))[:, None])
        above, equal = (self.log_weights > own).sum(dim=1), (self.log_weights == own).sum(dim=1)
        rank: Int[np.ndarray, " interview"] = (above + (equal + 1) // 2).numpy()
        return rank
