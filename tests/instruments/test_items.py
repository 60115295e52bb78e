import csv
import io
import json
import re
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personascope.errors import DataError, FileFormatError
from personascope.instruments.facets import DOMAIN_OF, DOMAINS, FACETS
from personascope.instruments.items import Item, ItemBank, load_items

BOUNDED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
IPIP = Path(__file__).parents[2].parent / "shared" / "data" / "ipip_hexaco_240_items.csv"
needs_ipip = pytest.mark.skipif(not IPIP.is_file(), reason="the IPIP-HEXACO items are not beside this repository")

ROW = {"id": "a", "facet": "modesty", "key": 1, "text": "I boast."}
GOOD = [ROW, {"id": "b", "facet": "patience", "key": -1, "text": "I shout,\n\nand I leave."}]
FORMATS = [".csv", ".jsonl", ".json", ".yaml"]


def as_csv(rows):
    """With a blank line before the last row; the text of the second row holds line breaks."""
    stream = io.StringIO()
    fields = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(stream, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    head, last = stream.getvalue().rstrip("\n").rsplit("\n", 1)
    return f"{head}\n\n{last}\n"


def as_yaml(rows):
    return "# items\n" + yaml.safe_dump(rows, sort_keys=False, allow_unicode=True)


WRITERS = {
    ".csv": as_csv,
    ".jsonl": lambda rows: "\n\n".join(json.dumps(row) for row in rows),
    ".json": lambda rows: json.dumps(rows, indent=1),
    ".yaml": as_yaml,
}
# lines on which a third record starts after the two of GOOD, counted by hand in what the writers above make
THIRD_LINE = {".csv": 7, ".jsonl": 5, ".json": 14, ".yaml": 13}


def write(folder, suffix, content):
    path = folder / f"bank{suffix}"
    path.write_text(content, encoding="utf-8", newline="")
    return path


def refused(folder, suffix, content):
    path = write(folder, suffix, content)
    with pytest.raises(FileFormatError) as caught:
        load_items(path)
    assert str(path) in caught.value.symptom
    return caught.value.symptom.removeprefix(str(path))


@pytest.mark.parametrize(("form", "per_key"), [("full", 20), ("200", 4)])
def test_the_built_in_bank_has_equally_many_items_of_each_key_in_25_facets(form, per_key):
    bank = load_items().form(form)
    assert bank.facets == FACETS
    counts = Counter((item.facet, item.key) for item in bank.items)
    assert counts == {(facet, key): per_key for facet in FACETS for key in (1, -1)}
    assert bank.warnings() == []
    assert {item.source for item in bank.items} == {"personascope"}


def test_the_form_of_60_has_ten_items_a_domain_five_of_each_key_and_no_altruism():
    bank = load_items().form("60")
    counts = Counter((item.domain, item.key) for item in bank.items)
    assert counts == {(domain, key): 5 for domain in DOMAINS for key in (1, -1)}
    assert {Counter(item.facet for item in bank.items)[facet] for facet in bank.facets} == {2, 3}
    assert set(bank.facets) == set(FACETS) - {"altruism"}
    assert {item.applicability for item in bank.items} == {"applicable"}
    assert set(bank.items) < set(load_items().form("200").items) < set(load_items().items)


def test_an_unknown_form_and_a_bank_without_forms_are_refused(tmp_path):
    with pytest.raises(DataError, match="Did you mean '200'"):
        load_items().form("20")
    bank = load_items(write(tmp_path, ".csv", "id,facet,key,text\na,patience,1,I wait.\n"))
    assert bank.form("full") == bank
    with pytest.raises(DataError, match="names the form"):
        bank.form("60")


def test_every_built_in_item_has_a_verdict_and_the_keys_of_a_facet_vary_alike():
    bank = load_items().frame()
    verdicts = bank.select("situation", "intensity", "applicability", "desirability", "form")
    assert verdicts.null_count().row(0) == (0,) * 5
    assert set(bank["applicability"]) == {"applicable", "as-if"}
    spread = bank.group_by("facet", "key").agg(pl.col("situation").n_unique(), pl.col("intensity").n_unique())
    assert spread["situation"].min() >= 4
    assert set(spread["intensity"]) == {3}


def test_items_carry_the_domain_of_their_facet_and_altruism_has_none():
    for item in load_items().items:
        assert item.domain == DOMAIN_OF[item.facet]
    assert {item.domain for item in load_items().items if item.facet == "altruism"} == {None}


def test_the_frame_has_a_row_per_item():
    frame = load_items().frame()
    assert frame.columns == list(Item.model_fields)
    assert frame.height == 1000 and frame["key"].sum() == 0
    assert frame["domain"].null_count() == 40
    assert ItemBank((), "empty").frame().columns == frame.columns


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"key": 2}, "key"),
        ({"key": 0}, "key"),
        ({"key": "yes"}, "key"),
        ({"text": ""}, "text"),
        ({"text": "   "}, "text"),
        ({"text": "x" * 2001}, "text"),
        ({"id": ""}, "id"),
        ({"facet": ""}, "facet"),
    ],
)
def test_a_bad_value_is_named_by_line_and_field(tmp_path, suffix, change, field):
    bad = {"id": "c", "facet": "modesty", "key": 1, "text": "I hide.", **change}
    assert f", line {THIRD_LINE[suffix]}, field '{field}'" in refused(tmp_path, suffix, WRITERS[suffix]([*GOOD, bad]))


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".yaml"])
@pytest.mark.parametrize("key", [True, 1.0, -1.0, None, [1], {"plus": 1}])
def test_only_whole_numbers_are_keys(tmp_path, suffix, key):
    content = WRITERS[suffix]([*GOOD, {"id": "c", "facet": "modesty", "key": key, "text": "I hide."}])
    assert f", line {THIRD_LINE[suffix]}, field 'key'" in refused(tmp_path, suffix, content)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("field", ["id", "facet", "key", "text"])
def test_a_missing_field_is_named_by_line(tmp_path, suffix, field):
    bad = {"id": "c", "facet": "modesty", "key": 1, "text": "I hide."}
    del bad[field]
    symptom = refused(tmp_path, suffix, WRITERS[suffix]([*GOOD, bad]))
    assert f", line {THIRD_LINE[suffix]}, field '{field}': Field required" in symptom


def test_a_missing_column_is_named_in_the_first_row(tmp_path):
    assert ", line 2, field 'text': Field required" in refused(
        tmp_path, ".csv", "id,facet,key\na,modesty,1\nb,modesty,1\n"
    )


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_unknown_facet_is_answered_with_the_nearest_known_one(tmp_path, suffix):
    bad = {"id": "c", "facet": "Modestee", "key": 1, "text": "I hide."}
    symptom = refused(tmp_path, suffix, WRITERS[suffix]([*GOOD, bad]))
    assert f", line {THIRD_LINE[suffix]}: unknown facet 'modestee'. Did you mean 'modesty'?" in symptom


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_facet_under_another_domain_is_refused(tmp_path, suffix):
    bad = {"id": "c", "facet": "modesty", "key": 1, "text": "I hide.", "domain": "E"}
    symptom = refused(tmp_path, suffix, WRITERS[suffix]([{**row, "domain": None} for row in GOOD] + [bad]))
    assert "facet 'modesty' belongs to domain H, not 'E'" in symptom


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(("field", "value"), [("id", "a"), ("text", "I BOAST. ")])
def test_a_duplicate_id_or_text_is_named_with_both_lines(tmp_path, suffix, field, value):
    bad = {"id": "c", "facet": "modesty", "key": 1, "text": "I hide.", field: value}
    symptom = refused(tmp_path, suffix, WRITERS[suffix]([*GOOD, bad]))
    first = {".csv": 2, ".jsonl": 1}.get(suffix, 2)
    assert (
        f", line {THIRD_LINE[suffix]}: {field} {value.strip().casefold()!r} stands already in line {first}" in symptom
    )


def test_an_unquoted_comma_is_named_by_line(tmp_path):
    symptom = refused(tmp_path, ".csv", "id,facet,key,text\na,modesty,1,I boast.\nb,modesty,1,I boast, and more.\n")
    assert ", line 3: 4 columns expected, this row has 5" in symptom


def test_spellings_of_facets_keys_and_fields_are_folded(tmp_path):
    rows = [
        {"item_id": "a", "facet": " Greed-Avoidance ", "key": "+1", "text": " I give. ", "note": "ignored"},
        {"item_id": "b", "facet": "Social Boldness", "key": "-1", "text": "I hide."},
        {"item_id": "c", "facet": "forgiveness", "key": " 1 ", "text": "I forgive."},
    ]
    bank = load_items(write(tmp_path, ".jsonl", "\n".join(json.dumps(row) for row in rows)))
    assert [(item.id, item.facet, item.domain, item.key, item.text) for item in bank.items] == [
        ("a", "greed_avoidance", "H", 1, "I give."),
        ("b", "social_boldness", "X", -1, "I hide."),
        ("c", "forgivingness", "A", 1, "I forgive."),
    ]
    assert {item.source for item in bank.items} == {"user"}


def bank_of(keys, tmp_path):
    rows = [
        {"id": f"{facet}{n}", "facet": facet, "key": key, "text": f"Item {n} of {facet}."}
        for facet, signs in keys.items()
        for n, key in enumerate(signs)
    ]
    return load_items(write(tmp_path, ".jsonl", "\n".join(json.dumps(row) for row in rows)))


def test_facets_of_one_key_and_of_unequal_keys_are_warned_about_by_name(tmp_path):
    notes = bank_of(
        {"modesty": [1, 1], "patience": [1, -1], "anxiety": [1, -1, -1], "creativity": [-1]}, tmp_path
    ).warnings()
    assert len(notes) == 3
    assert "'modesty' has items of one key only (2 keyed +)" in notes[0]
    assert "'anxiety' is unbalanced: 1 keyed +, 2 keyed -" in notes[1]
    assert "'creativity' has items of one key only (1 keyed -)" in notes[2]


def test_a_subset_keeps_the_order_and_the_first_items_of_each_key(tmp_path):
    bank = bank_of({"modesty": [1, -1, 1, -1, 1], "patience": [1, -1]}, tmp_path)
    assert [item.id for item in bank.subset(per_key=1).items] == ["modesty0", "modesty1", "patience0", "patience1"]
    assert [item.id for item in bank.subset(["modesty"], per_key=2).items] == [f"modesty{n}" for n in range(4)]
    assert bank.subset() == bank
    assert len(load_items().subset(per_key=1).items) == 50
    with pytest.raises(DataError, match=r"no facet 'patients'\. Did you mean 'patience'"):
        bank.subset(["patients"])


def test_the_hash_follows_content_and_order():
    bank = load_items()
    assert bank.hash() == load_items().hash()
    assert ItemBank(bank.items[::-1], bank.name).hash() != bank.hash()
    changed = bank.items[0].model_copy(update={"text": "I lie."})
    assert ItemBank((changed, *bank.items[1:]), bank.name).hash() != bank.hash()


def all_formats(folder, frame):
    """The bank of one frame as each format reads it back."""
    rows = frame.to_dicts()
    frame.write_csv(folder / "bank.csv")
    others = [write(folder, suffix, WRITERS[suffix](rows)) for suffix in (".jsonl", ".json", ".yaml")]
    return [load_items(path) for path in (folder / "bank.csv", *others)]


def test_the_built_in_bank_reads_the_same_from_every_format(tmp_path):
    built_in = load_items()
    banks = all_formats(tmp_path, built_in.frame())
    assert all(bank.items == built_in.items for bank in banks)
    assert {bank.hash() for bank in banks} == {built_in.hash()}


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_item_keeps_the_source_that_its_file_names(tmp_path, suffix):
    sourced = [{**row, "source": source} for row, source in zip(GOOD, ["licensed", "public domain"], strict=True)]
    bank = load_items(write(tmp_path, suffix, WRITERS[suffix](sourced)))
    assert [item.source for item in bank.items] == ["licensed", "public domain"]
    assert {item.source for item in load_items(write(tmp_path, suffix, WRITERS[suffix](GOOD))).items} == {"user"}


def test_an_empty_source_in_a_table_is_the_users(tmp_path):
    bank = load_items(write(tmp_path, ".csv", "id,facet,key,source,text\na,patience,1,,I wait.\n"))
    assert [item.source for item in bank.items] == ["user"]


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n,\"':#"), min_size=1, max_size=30)


@BOUNDED
@given(texts=st.lists(TEXTS.filter(str.strip), min_size=1, max_size=4, unique_by=lambda text: text.strip().casefold()))
def test_any_text_reads_the_same_from_every_format(tmp_path, texts):
    rows = [{"id": f"i{n}", "facet": "modesty", "key": 1, "text": text} for n, text in enumerate(texts)]
    banks = all_formats(tmp_path, pl.DataFrame(rows))
    assert all([item.text for item in bank.items] == [text.strip() for text in texts] for bank in banks)


@BOUNDED
@given(text=st.text(max_size=60) | st.text(alphabet="id,facetkeyx modesty1-\n\"':{}[]", max_size=80))
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("head", [True, False])
def test_random_text_never_raises_anything_else(tmp_path, suffix, head, text):
    start = {".csv": "id,facet,key,text\na,modesty,1,", ".jsonl": '{"id": "', ".json": '[{"id": "', ".yaml": "- id: "}[
        suffix
    ]
    path = write(tmp_path, suffix, (start if head else "") + text)
    try:
        assert load_items(path).items
    except FileFormatError as error:
        assert str(path) in error.symptom


@needs_ipip
def test_the_ipip_hexaco_inventory_loads_with_its_counts_and_its_one_keyed_facet():
    bank = load_items(IPIP)
    keys = Counter(item.key for item in bank.items)
    assert (len(bank.items), keys[1], keys[-1], len(bank.facets)) == (240, 118, 122, 24)
    one_keyed = [note for note in bank.warnings() if "one key only" in note]
    assert len(one_keyed) == 1 and "'dependence'" in one_keyed[0]


def words(text):
    return set(re.findall(r"[a-z0-9']+", text.lower()))


@needs_ipip
def test_no_built_in_item_is_close_to_an_item_of_ipip_hexaco():
    with IPIP.open(encoding="utf-8", newline="") as stream:
        theirs = [words(row[column]) for row in csv.DictReader(stream) for column in ("text", "ipip_phrase")]
    close = {
        item.text: max(len(words(item.text) & other) / len(words(item.text) | other) for other in theirs)
        for item in load_items().items
    }
    assert {text: score for text, score in close.items() if score >= 0.5} == {}
