import json
from collections import Counter
from pathlib import Path

import pytest

from personascope.errors import DataError, FileFormatError
from personascope.instruments.facets import DOMAIN_OF, DOMAINS, FACETS
from personascope.instruments.keys import HEXACO_60, HEXACO_100, ScoringKey, licensed_bank, load_key

DATA = Path(__file__).parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the human data are not beside this repository")


def test_the_key_of_100_covers_every_number_once():
    assert tuple(HEXACO_100.scales) == FACETS
    assert {len(keyed) for keyed in HEXACO_100.scales.values()} == {4}
    assert sorted(map(int, HEXACO_100.items)) == list(range(1, 101))
    assert HEXACO_100.frame().height == 100
    assert (HEXACO_100.frame()["key"] == -1).sum() == 50


def test_the_domains_of_the_100_leave_altruism_out():
    domains = HEXACO_100.grouped(DOMAIN_OF)
    assert {scale: len(keyed) for scale, keyed in domains.scales.items()} == dict.fromkeys(DOMAINS, 16)
    assert not {"97", "98", "99", "100"} & set(domains.items)
    assert domains.scales["H"][:4] == (("6", -1), ("30", 1), ("54", -1), ("78", 1))


def test_the_key_of_60_covers_every_number_once():
    assert {scale: len(keyed) for scale, keyed in HEXACO_60.scales.items()} == dict.fromkeys(DOMAINS, 10)
    assert sorted(map(int, HEXACO_60.items)) == list(range(1, 61))
    assert (HEXACO_60.frame()["key"] == -1).sum() == 29


def test_both_forms_turn_through_the_domains_in_the_same_order():
    # Item n of either form belongs to the domain of place n mod 6, from O: the questionnaires are laid out in rounds.
    place = {"O": 1, "C": 2, "A": 3, "X": 4, "E": 5, "H": 0}
    for key in (HEXACO_60, HEXACO_100.grouped(DOMAIN_OF)):
        assert all(int(item) % 6 == place[scale] for scale, keyed in key.scales.items() for item, _ in keyed)


def test_a_key_from_lists(tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"Agree": ["q_90", "-q_1896"], "Warm": ["q_90"]}))
    key = load_key(path)
    assert key == ScoringKey({"Agree": (("q_90", 1), ("q_1896", -1)), "Warm": (("q_90", 1),)}, "keys")
    assert key.items == ("q_90", "q_1896")
    assert key.frame().rows() == [("Agree", "q_90", 1), ("Agree", "q_1896", -1), ("Warm", "q_90", 1)]


@pytest.mark.parametrize(
    "value", [[1], {"a": "q_1"}, {"a": [1]}, {"a": ["-"]}, {"a": [""]}, "a", {"a": {"q": 1}}, {"a": [None]}]
)
def test_lists_of_another_shape_are_refused(tmp_path, value):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(value))
    with pytest.raises(FileFormatError, match="not a scoring key"):
        load_key(path)
    with pytest.raises(FileFormatError, match="not a file"):
        load_key(tmp_path / "other.json")


def test_a_key_from_a_table_of_items(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text("item_id,text,facet,domain,key\nq1,I trust.,Trust,A,1\nq2,I doubt.,Trust,A,-1\nq3,I hum.,,,\n")
    assert load_key(path) == ScoringKey({"Trust": (("q1", 1), ("q2", -1))}, "items")
    assert tuple(load_key(path, scale_column="domain").scales) == ("A",)
    with pytest.raises(FileFormatError, match=r"no column 'doman'\. Did you mean 'domain'"):
        load_key(path, scale_column="doman")


@pytest.mark.parametrize("wrong", ["0", "", "2", "1.5", "yes"])
def test_an_item_of_a_scale_needs_its_key(tmp_path, wrong):
    path = tmp_path / "items.csv"
    path.write_text(f"item_id,facet,key\nq1,Trust,1\nq2,Trust,{wrong}\n")
    with pytest.raises(FileFormatError, match="line 3"):
        load_key(path)


@pytest.mark.parametrize(
    ("scales", "said"),
    [
        ({}, "no scales"),
        ({"a": ()}, "'a' of the key 'mine' has no items"),
        ({"a": (("q1", 1), ("q1", -1))}, "has item 'q1' twice"),
        ({"a": (("q1", 2),)}, "holds"),
        ({"a": (("q1", 0),)}, "holds"),
    ],
)
def test_a_key_that_cannot_score_is_refused(scales, said):
    with pytest.raises(DataError, match=said):
        ScoringKey(scales, "mine")


def test_grouping_names_what_has_no_parent():
    key = ScoringKey({"trust": (("q1", 1),), "warmth": (("q2", 1),)}, "mine")
    assert key.grouped({"trust": "A", "warmth": "A"}).scales == {"A": (("q1", 1), ("q2", 1))}
    assert key.grouped({"trust": "A", "warmth": None}).items == ("q1",)
    with pytest.raises(DataError, match=r"'warmth' has no parent\. Did you mean 'warm'"):
        key.grouped({"trust": "A", "warm": "A"})


def own_copy(path, numbers):
    path.write_text("number,text\n" + "".join(f"{number},My own sentence {number}.\n" for number in numbers))
    return path


def test_a_users_own_copy_of_the_100_becomes_a_bank(tmp_path):
    bank = licensed_bank(own_copy(tmp_path / "mine.csv", range(1, 101)), HEXACO_100)
    assert bank.name == "mine"
    assert Counter(item.facet for item in bank.items) == dict.fromkeys(FACETS, 4)
    assert {item.source for item in bank.items} == {"licensed"}
    item = next(item for item in bank.items if item.id == "54")
    assert (item.facet, item.domain, item.key, item.text) == ("sincerity", "H", -1, "My own sentence 54.")
    assert {item.domain for item in bank.items if item.facet == "altruism"} == {None}


def test_a_users_own_copy_of_the_60_has_domains_for_facets(tmp_path):
    bank = licensed_bank(own_copy(tmp_path / "mine.csv", [f"{k:02d}" for k in range(1, 61)]), HEXACO_60)
    assert {(item.facet, item.domain) for item in bank.items} == {
        ("honesty_humility", "H"),
        ("emotionality", "E"),
        ("extraversion", "X"),
        ("agreeableness", "A"),
        ("conscientiousness", "C"),
        ("openness", "O"),
    }
    assert bank.items[0].id == "1"


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        (range(1, 60), "it lacks 60 (1 lacking, 0 more)"),
        (range(1, 62), "it adds 61 (0 lacking, 1 more)"),
        ([*range(2, 61), 99], "it lacks 1 and adds 99 (1 lacking, 1 more)"),
        ([*range(1, 61), 7], "number '7' stands already in line 8"),
    ],
)
def test_a_copy_that_does_not_fit_its_key_is_refused(tmp_path, numbers, said):
    with pytest.raises(FileFormatError) as caught:
        licensed_bank(own_copy(tmp_path / "mine.csv", numbers), HEXACO_60)
    assert said in str(caught.value)


def test_a_bank_needs_one_scale_per_item(tmp_path):
    both = ScoringKey({"a": (("1", 1),), "b": (("1", 1),)}, "twice")
    with pytest.raises(DataError, match="under two scales"):
        licensed_bank(own_copy(tmp_path / "mine.csv", [1]), both)


@needs_data
def test_public_keys_are_read():
    spi = load_key(DATA / "sapa_spi_keys.json")
    assert Counter(map(len, spi.scales.values())) == {5: 27, 14: 5}
    ipip = load_key(DATA / "ipip_hexaco_240_items.csv")
    assert Counter(map(len, ipip.scales.values())) == {10: 24}
    assert Counter(ipip.frame()["key"]) == {1: 118, -1: 122}
