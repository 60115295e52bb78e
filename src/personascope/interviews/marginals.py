"""The baseline of every prediction: each item's shares of answers among people, whatever this respondent has said."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from personascope.errors import DataError
from personascope.instruments.responses import Responses
from personascope.interviews.respondents import Chosen, Probabilities, Scores

_PSEUDO = 0.5
"""Answers of each option that are taken for given, so that none is impossible (Jeffreys)."""


@dataclass(frozen=True, eq=False)
class Marginals:
    """Everybody answers an item as people do.

    Args:
        people: whose answers are counted.
        unseen: items whose answers nobody may have looked at; they are given the shares of all the others together.

    Raises:
        DataError: no answer is left to be counted.
    """

    people: Responses
    unseen: Collection[str] = ()

    def __post_init__(self) -> None:
        if not self._counts.any():
            raise DataError("No answer is left to be counted.", "", "Give people who answered items that may be seen.")

    @property
    def items(self) -> tuple[str, ...]:
        """Item ids."""
        return self.people.items

    @property
    def n_options(self) -> int:
        """K."""
        return self.people.n_options

    @cached_property
    def _counts(self) -> Float[np.ndarray, "item option"]:
        values = self.people.values
        counts = np.stack([(values == option + 1).sum(axis=0) for option in range(self.n_options)], axis=1)
        seen = np.array([item not in set(self.unseen) for item in self.items])
        return np.asarray(counts * seen[:, None], dtype=float)

    @cached_property
    def shares(self) -> Float[np.ndarray, "item option"]:
        """Of the options, for each item; items that nobody answered have those of all others together."""
        pooled = self._counts.sum(axis=0)
        bare = self._counts.sum(axis=1) == 0
        filled = np.where(bare[:, None], pooled, self._counts) + _PSEUDO
        found: Float[np.ndarray, "item option"] = filled / filled.sum(axis=1, keepdims=True)
        return found

    def begin(self, n: int) -> MarginalBelief:
        """N interviews."""
        return MarginalBelief(self, n)


@dataclass(frozen=True, eq=False)
class MarginalBelief:
    """Nothing is ever learned.

    Args:
        model: the shares.
        n: number of interviews.
    """

    model: Marginals
    n: int

    def predict(self, items: Int[np.ndarray, " asked"] | None = None) -> Probabilities:
        """See `Belief`."""
        shares = self.model.shares if items is None else self.model.shares[items]
        return np.broadcast_to(shares, (self.n, *shares.shape))

    def information(self) -> Scores:
        """See `Belief`: none."""
        return np.zeros((self.n, len(self.model.items)))

    def entropy(self) -> Float[np.ndarray, " interview"]:
        """See `Belief`: nothing is asked about the respondent."""
        return np.zeros(self.n)

    def observe(self, items: Chosen, options: Chosen) -> None:
        """See `Belief`; what was answered changes nothing."""

    def repeat(self, times: int) -> MarginalBelief:
        """See `Belief`."""
        return MarginalBelief(self.model, self.n * times)

    def pick(self, interviews: Int[np.ndarray, " kept"]) -> MarginalBelief:
        """See `Belief`."""
        return MarginalBelief(self.model, len(interviews))

    def with_(self, interviews: Int[np.ndarray, " told"], told: Any) -> MarginalBelief:  # noqa: ARG002
        """See `Belief`."""
        return self
