import pytest

from personascope.instruments.audit.balance import balance
from personascope.instruments.items import Item, ItemBank, load_items


def bank(*rows: tuple[str, int, str, float | None]) -> ItemBank:
    return ItemBank(
        tuple(
            Item(id=str(n), facet=facet, key=key, text=text, desirability=liked)
            for n, (facet, key, text, liked) in enumerate(rows)
        ),
        "b",
    )


def test_counts_negation_and_desirability_are_those_of_a_hand_count() -> None:
    table = balance(
        bank(
            ("patience", 1, "I stay calm.", 0.8),
            ("patience", -1, "I never wait.", -0.6),
            ("patience", -1, "I rage at delays.", -0.8),
            ("modesty", 1, "I am plain.", None),
        )
    )
    first, second = table.to_dicts()
    assert (first["plus"], first["minus"], first["negated"]) == (1, 2, 0.5)
    assert first["orthogonality"] == pytest.approx(2 / 3)
    assert first["gap"] == pytest.approx(1.5)
    assert first["note"] == (
        "unequal keys; 50% of the reversed items are reversed by a negation; "
        "desirability differs by +1.50 between the keys"
    )
    assert second["note"].startswith("one key only") and second["gap"] is None and second["negated"] is None


def test_the_built_in_bank_is_balanced() -> None:
    table = balance(load_items())
    assert table["orthogonality"].to_list() == [0.5] * 25
    assert table["negated"].max() <= 0.2
