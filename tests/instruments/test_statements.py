"""Words of any questionnaire: with scales or without, HEXACO facets by domain."""

from __future__ import annotations

import pytest

from personascope.errors import FileFormatError
from personascope.instruments.items import load_items
from personascope.instruments.statements import NO_SCALE, by_scale, load_statements


def test_scales_are_any_and_need_not_be_there(tmp_path):
    file = tmp_path / "words.csv"
    file.write_text("item_id,text,facet,key,more\nq1,I wait.,patience,1,x\nq2,I nap.,,,x\nq3,I dig.,Grit,-1,x\n")
    bank = load_statements(file)
    assert [(item.id, item.facet, item.key) for item in bank.items] == [
        ("q1", "Agreeableness", 1),
        ("q2", NO_SCALE, 1),
        ("q3", "grit", -1),
    ]
    file.write_text("id,text\nq1,I wait.\n")
    assert load_statements(file).items[0].facet == NO_SCALE


def test_altruism_belongs_to_no_domain():
    scales = {item.facet for item in by_scale(load_items().subset(["altruism", "patience"], 1)).items}
    assert scales == {NO_SCALE, "Agreeableness"}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("id,text\nq1,I wait.\nq1,I nap.\n", "stands already in line 2"),
        ("id,text,facet,key\nq1,I wait.,grit,2\n", "field 'key'"),
        ("id,text\nq1,\n", "field 'text'"),
        ("id\nq1\n", "field 'text'"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path, text, error):
    file = tmp_path / "words.csv"
    file.write_text(text)
    with pytest.raises(FileFormatError, match=error):
        load_statements(file)
