"""Simulated respondents with known traits: good items pass, planted wrong keys and misfiled items are named."""

from __future__ import annotations

import numpy as np
import pytest

from personascope.errors import DataError
from personascope.instruments.audit.discrimination import discrimination
from personascope.instruments.items import ItemBank, load_items

N = 120


def simulated(seed: int, *, acquiescence: float = 0.2) -> tuple[ItemBank, np.ndarray, set[int], set[int]]:
    """200 items; 20 have the wrong key in the bank, 20 others belong to another facet than the bank says."""
    bank, draw = load_items().form("200"), np.random.default_rng(seed)
    facets = list(bank.facets)
    traits = draw.normal(size=(N, len(facets)))
    yea = acquiescence * draw.normal(size=(N, 1))
    loads = np.array([facets.index(item.facet) for item in bank.items])
    places = draw.permutation(len(bank.items))
    # at most two items of a facet are wrong, or its own score would be
    wrong, seen = [], np.zeros(len(facets), dtype=int)
    for place in places:
        if seen[loads[place]] < 2 and len(wrong) < 40:
            wrong.append(int(place))
            seen[loads[place]] += 1
    flipped, moved = set(wrong[:20]), set(wrong[20:])
    key = np.array([-item.key if place in flipped else item.key for place, item in enumerate(bank.items)])
    for place in moved:
        loads[place] = (loads[place] + 7) % len(facets)
    answers = np.clip(0.35 * key * traits[:, loads] + yea + 0.35 * draw.normal(size=(N, len(key))), -1, 1)
    return bank, answers, flipped, moved


def test_wrong_keys_and_misfiled_items_are_found_with_few_alarms() -> None:
    bank, answers, flipped, moved = simulated(0)
    table = discrimination(bank, answers)
    wrong = {n for n, reason in enumerate(table["reason"]) if "keyed the wrong way" in reason}
    nearer = {n for n, reason in enumerate(table["reason"]) if "nearer to" in reason}
    assert all(table["verdict"][n] == "review" for n in wrong | nearer)
    good = set(range(200)) - flipped - moved
    print(f"wrong keys {len(wrong & flipped)}/20, misfiled {len((nearer | wrong) & moved)}/20, ", end="")
    print(f"alarms {len((wrong | nearer) & good)}/{len(good)}")
    assert len(wrong & flipped) >= 18
    assert len((nearer | wrong) & moved) >= 18
    assert len((wrong | nearer) & good) <= 0.02 * len(good)


def test_yea_saying_alone_is_no_sign_of_anything() -> None:
    bank, draw = load_items().form("200"), np.random.default_rng(1)
    yea = draw.uniform(-0.8, 0.8, size=(N, 1))
    table = discrimination(bank, np.clip(yea + 0.1 * draw.normal(size=(N, 200)), -1, 1))
    assert abs(table["r_own"].mean()) < 0.2


def test_a_correlation_is_that_of_a_hand_computation_and_missing_answers_are_left_out() -> None:
    bank, answers, *_ = simulated(2)
    answers[:15, 0] = np.nan
    row = discrimination(bank, answers).row(0, named=True)
    own = [n for n, item in enumerate(bank.items) if item.facet == bank.items[0].facet and n != 0]
    plus = [n for n in own if bank.items[n].key == 1]
    minus = [n for n in own if bank.items[n].key == -1]
    rest = (answers[15:, plus].mean(axis=1) - answers[15:, minus].mean(axis=1)) / 2
    assert row["n"] == N - 15
    assert row["r_own"] == pytest.approx(np.corrcoef(answers[15:, 0] * bank.items[0].key, rest)[0, 1])


def test_an_item_that_everyone_answers_alike_is_reviewed() -> None:
    bank, answers, *_ = simulated(3)
    answers[:, 4] = 0.5
    assert "everyone gives the same answer" in discrimination(bank, answers)["reason"][4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a[:29], "Answers of shape"),
        (lambda a: a[:, :-1], "for 200 items"),
        (lambda a: 2 * a + 1, "lies outside"),
    ],
)
def test_answers_that_do_not_fit_are_refused(change, message: str) -> None:
    bank, answers, *_ = simulated(4)
    with pytest.raises(DataError, match=message):
        discrimination(bank, change(answers))
