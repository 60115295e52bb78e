"""What a bank learns from: poles and items that raters have verified, never its own near copies."""

from __future__ import annotations

import csv
from importlib import resources

import numpy as np
from benchmarks.planted import plant

from personascope.instruments.audit import audit
from personascope.instruments.audit.examples import Examples, learning_items, pole_items
from personascope.instruments.audit.wording import normal_form
from personascope.instruments.facet_definitions import load_facet_definitions
from personascope.instruments.items import Item, ItemBank, load_items

DEFINITIONS = load_facet_definitions()


def test_what_vouches_for_built_in_items_are_raters_who_saw_no_labels() -> None:
    bank = load_items().form("60")
    taught = Examples(learning_items(bank, DEFINITIONS))
    assert all(taught.verified[normal_form(item.text)] == item for item in bank.items)
    assert audit(bank, examples=taught, facet_recall=0.95, key_recall=0.95).frame()["verdict"].unique().to_list() == [
        "keep"
    ]
    with (resources.files("personascope.instruments") / "data" / "hexaco_ratings.csv").open(encoding="utf-8") as stream:
        filed = {(row["item"], row["facet"]) for row in csv.DictReader(stream)}
    assert all((item.id, item.facet) in filed for item in load_items().items)


def test_another_bank_learns_from_the_built_in_items_of_its_facets() -> None:
    mine = (Item(id="a", facet="patience", key=1, text="Delays leave me calm."),)
    taught = learning_items(ItemBank(mine, "mine"), DEFINITIONS)
    assert len(taught) == 2 + 40 and {item.facet for item in taught} == {"patience"}
    assert Examples(taught).n_poles == 2 and len(Examples(taught).verified) == 40


def test_near_copies_among_the_examples_join_their_items_group() -> None:
    texts = ["I keep calm when others shout.", "Poems move me.", "I plan every step of my work."]
    beside = Examples(
        tuple(
            Item(id=str(n), facet="patience", key=1, text=text)
            for n, text in enumerate(["Poems move me!", "Nothing like it."])
        )
    )
    group = beside.groups(texts, np.array([0, 1, 2]), 0.8)
    assert group[3] == group[1] and len(set(group)) == 4


def test_parts_of_examples_keep_their_rows() -> None:
    items = (*pole_items(DEFINITIONS, ["patience", "modesty"]), load_items().items[0])
    states = np.arange(4.0)[:, None]
    beside = Examples(items, np.arange(5.0)[:, None], states)
    assert beside.poles().items == items[:4] and beside.poles().vectors.ravel().tolist() == [0, 1, 2, 3]
    part = beside.of(["modesty", "sincerity"])
    assert part.vectors.ravel().tolist() == [2, 3, 4] and part.states.ravel().tolist() == [2, 3]


def test_a_built_in_text_under_another_label_is_told_and_one_under_its_own_is_vouched_for() -> None:
    for kind, check in (("cross_facet", "facet"), ("wrong_key", "key")):
        bank, bad = plant(kind)
        found = audit(bank, examples=Examples(learning_items(bank, DEFINITIONS)))
        spoke = found.frame().filter(found.frame()["checks"].str.split(",").list.contains(check))
        assert set(spoke["item"]) == bad
        assert spoke["reasons"].str.contains("stands word for word in the built-in bank").all()
        assert set(spoke["verdict"]) == {"review"}
