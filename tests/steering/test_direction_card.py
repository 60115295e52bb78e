"""The card of published directions: complete, loadable as it says, and proof against markup in other people's texts."""

from __future__ import annotations

import re

import numpy as np
import pytest
import yaml

from personascope.direction import Direction
from personascope.errors import DirectionError
from personascope.steering.direction_card import MARK, direction_card


def made(**changes: object) -> Direction:
    fields = {"model": "org/m", "reference_norm": 52.5, "means": "more honest", "fit": "ridge, 5 folds"}
    return Direction(np.array([3.0, 0.0, 4.0]), 7, "eot", **{**fields, **changes})


def rows_of(card: str) -> dict[str, str]:
    return dict(re.findall(r"^\| ([^|]+?) \| (.*) \|$", card, flags=re.MULTILINE))


def test_the_card_says_what_a_direction_is_and_where_it_belongs() -> None:
    card = direction_card({"honesty": 0.06 * made(model_hash="abc123", data_hash="def456")}, "me/directions")
    rows = rows_of(card)
    assert rows["+ means"] == "more honest"
    assert (rows["model"], rows["hash of its weights"]) == ("org/m", "abc123")
    assert rows["layer"].startswith("7 (") and rows["position"] == "eot"
    assert rows["reference norm"].startswith("52.5 (") and rows["strength as saved"].startswith("+0.06 x")
    assert (rows["fit"], rows["hash of its data"], rows["width"]) == ("ridge, 5 folds", "def456", "3")
    assert "tied to its model, layer and position" in card
    assert rows_of(direction_card({"honesty": made()}))["hash of its weights"] == "not recorded"


def test_the_front_matter_is_yaml_that_marks_the_card_as_ours() -> None:
    card = direction_card({"honesty": made(means="a: [1", model="---")})
    _, head, _ = card.split("---\n", 2)
    assert yaml.safe_load(head)["library_name"] == "personascope"
    assert MARK in card.splitlines()


def test_every_direction_has_a_section_and_every_model_is_named_once() -> None:
    card = direction_card({"a": made(), "b": made(means="bolder"), "c": made(model="other")})
    assert re.findall(r"^## (\w)$", card, flags=re.MULTILINE) == ["a", "b", "c"]
    assert card.count("# Directions in the residual stream of org/m, other\n") == 1


def test_the_code_that_loads_compiles_and_names_the_repository() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", direction_card({"hon'esty": made()}, "me/directions"), flags=re.DOTALL)
    compile(code, "card", "exec")
    assert "pull_directions('me/directions', revision=" in code and '"hon\'esty"' in code


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a | b", r"a \| b"),
        ("<img src=x onerror=y>", r"\<img src=x onerror=y\>"),
        ("[x](http://y)", r"\[x\](http://y)"),
        ("`code` *b* _i_ $t$ ~s~ &amp;", r"\`code\` \*b\* \_i\_ \$t\$ \~s\~ \&amp;"),
        ("line\n\n# Title\r\n| cell", r"line # Title \| cell"),
        ("back\\| slash", r"back\\\| slash"),
    ],
)
def test_texts_cannot_become_markup(text: str, shown: str) -> None:
    card = direction_card({"a": made(means=text)})
    assert f"| + means | {shown} |" in card.splitlines()
    assert len(card.splitlines()) == len(direction_card({"a": made()}).splitlines())


def test_no_directions_make_no_card() -> None:
    with pytest.raises(DirectionError, match="at least one"):
        direction_card({})
