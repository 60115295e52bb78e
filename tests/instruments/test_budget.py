import pytest

from personascope.errors import BudgetSpent, DataError
from personascope.instruments.budget import Budget, Spending, estimated_tokens


def test_a_budget_stops_before_it_is_exceeded() -> None:
    spending = Spending(Budget(calls=2, tokens=100))
    spending.reserve(100)
    spending.record(60)
    with pytest.raises(BudgetSpent, match="60 of 100 tokens are spent, and the next call may need 41"):
        spending.reserve(41)
    spending.reserve(40)
    spending.record(10)
    with pytest.raises(BudgetSpent, match="2 of 2 calls"):
        spending.reserve(1)
    assert (spending.calls, spending.tokens) == (2, 70)


def test_no_limit_is_no_limit_and_zero_is_one() -> None:
    Spending(Budget()).reserve(10**12)
    with pytest.raises(BudgetSpent):
        Spending(Budget(calls=0)).reserve(1)
    with pytest.raises(DataError, match="below 0"):
        Budget(tokens=-1)


def test_the_estimate_is_above_what_tokenizers_need_for_english() -> None:
    text = "I stay calm when someone keeps misunderstanding me."
    assert 9 <= estimated_tokens(text) <= 20
    assert estimated_tokens("") == 1
