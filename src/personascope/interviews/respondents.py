"""What a model of respondents offers: p(answer | what was answered so far, question), for many interviews at once.

Items are columns, options are counted from 0 here; `Responses` and transcripts count them from 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from personascope.errors import DataError

Probabilities = Float[np.ndarray, "interview item option"]
Scores = Float[np.ndarray, "interview item"]
Chosen = Int[np.ndarray, " interview"]


@runtime_checkable
class Belief(Protocol):
    """What is known of the respondents of interviews that are held side by side."""

    @property
    def n(self) -> int:
        """Number of interviews."""
        ...

    def predict(self, items: Int[np.ndarray, " asked"] | None = None) -> Probabilities:
        """p(answer | history, question), shape (interview, item, option), of some items or of all."""
        ...

    def information(self) -> Scores:
        """Expected information of an answer about the respondent, in bits, shape (interview, item).

        Of a bank of people that is who of them it is: H[sum_r w_r p(.|r, q)] - sum_r w_r H[p(.|r, q)] (Lindley 1956;
        MacKay 1992). Of latent traits it is where the respondent lies on them.
        """
        ...

    def entropy(self) -> Float[np.ndarray, " interview"]:
        """What is not yet known of the respondent, in bits; differential, and so perhaps negative, of latent traits."""
        ...

    def observe(self, items: Chosen, options: Chosen) -> None:
        """Take in one answer of each interview; `options` from 0."""
        ...

    def repeat(self, times: int) -> Belief:
        """A copy in which every interview stands so many times in a row: what would be believed after each answer."""
        ...

    def pick(self, interviews: Int[np.ndarray, " kept"]) -> Belief:
        """A copy with these interviews, in this order."""
        ...

    def with_(self, interviews: Int[np.ndarray, " told"], told: Any) -> Belief:
        """A copy in which these interviews have gone on: `told` is what is now believed of them."""
        ...


@runtime_checkable
class RespondentModel(Protocol):
    """A model of how people of one population answer these items."""

    @property
    def items(self) -> tuple[str, ...]:
        """Item ids, one for each column."""
        ...

    @property
    def n_options(self) -> int:
        """K, the number of options of every item."""
        ...

    def begin(self, n: int) -> Belief:
        """What is believed before the first answer of n interviews."""
        ...


def columns_of(model: RespondentModel, items: Sequence[str]) -> Int[np.ndarray, " chosen"]:
    """Columns of these items in a model.

    Raises:
        DataError: an item that the model does not have.
    """
    place = {item: column for column, item in enumerate(model.items)}
    unknown = [item for item in items if item not in place]
    if unknown:
        raise DataError(
            f"The respondent model has no item {unknown[0]!r} ({len(unknown)} such items).",
            f"It has {len(place)}: {', '.join(model.items[:6])} ...",
            "Fit it on responses that hold these items.",
        )
    return np.array([place[item] for item in items], dtype=np.int64)


def entropy_bits(p: np.ndarray) -> np.ndarray:
    """Entropy over the last axis, in bits; 0 log 0 is 0."""
    logs = np.log2(p, out=np.zeros_like(p), where=p > 0)
    return np.asarray(-(p * logs).sum(axis=-1))
