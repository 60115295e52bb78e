"""A budget of calls and tokens that stops before it is exceeded."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from personascope.errors import BudgetSpent, DataError


@dataclass(frozen=True)
class Budget:
    """Upper limits of calls and of tokens, sent and received together; None for no limit.

    Raises:
        DataError: a limit below 0.
    """

    calls: int | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        if min(self.calls or 0, self.tokens or 0) < 0:
            raise DataError(f"{self} has a limit below 0.", "", "Leave it out for no limit.")


@dataclass
class Spending:
    """What was spent of a budget so far. `reserve` before a call, `record` after it.

    Args:
        budget: the limits.
        calls: calls made.
        tokens: tokens sent and received.
    """

    budget: Budget = field(default_factory=Budget)
    calls: int = 0
    tokens: int = 0

    def reserve(self, tokens: int) -> None:
        """Hold that one more call of up to `tokens` tokens stays within the budget.

        Raises:
            BudgetSpent: it might not.
        """
        for name, spent, more, limit in (
            ("calls", self.calls, 1, self.budget.calls),
            ("tokens", self.tokens, tokens, self.budget.tokens),
        ):
            if limit is not None and spent + more > limit:
                raise BudgetSpent(
                    f"{spent:,} of {limit:,} {name} are spent, and the next call may need {more:,}.",
                    "A budget is never exceeded.",
                    "What was made is kept. Raise the budget and run the same command again to continue.",
                )

    def record(self, tokens: int) -> None:
        """Count a call that was made, with the tokens that it took."""
        self.calls += 1
        self.tokens += tokens


def estimated_tokens(text: str) -> int:
    """An upper estimate of a text's tokens without its tokenizer: one for every 3 bytes, at least 1."""
    return max(1, math.ceil(len(text.encode("utf-8")) / 3))
