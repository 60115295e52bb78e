from collections import Counter

import polars as pl
import pytest

from personascope.errors import DataError, FileFormatError
from personascope.instruments.open_prompts import KINDS, TIERS, OpenPrompts, load_open_prompts
from personascope.instruments.stimuli import load_stimuli
from personascope.instruments.tasks import load_tasks


def test_the_built_in_prompts_are_twelve_on_the_self_and_eight_requests_a_tier():
    prompts = load_open_prompts().prompts
    assert Counter((p.kind, p.tier) for p in prompts) == {
        ("self_reflection", None): 12,
        **{("request", tier): 8 for tier in TIERS},
    }
    others = {s.text for s in load_stimuli("harm").stimuli} | {t.text for t in load_tasks().tasks}
    assert not {p.text for p in prompts} & others


def test_requests_of_all_tiers_are_of_like_length():
    frame = load_open_prompts().subset(kind="request").frame()
    means = frame.group_by("tier").agg(pl.col("text").str.split(" ").list.len().mean().alias("n"))["n"]
    assert means.max() < 2 * means.min()


def test_the_frame_has_a_row_per_prompt_and_no_tier_for_the_self():
    frame = load_open_prompts().frame()
    assert frame.columns == ["id", "kind", "tier", "text"] and frame.height == 52
    assert frame.filter(pl.col("kind") == "self_reflection")["tier"].null_count() == 12
    assert load_open_prompts().subset(kind="self_reflection").frame().schema["tier"] == pl.String


def test_a_subset_keeps_the_first_of_each_kind_and_tier():
    pool = load_open_prompts()
    assert [p.id for p in pool.subset(tier="harmful", n=2).prompts] == ["harmful_01", "harmful_02"]
    assert Counter(p.tier for p in pool.subset(n=3).prompts) == {None: 3, **dict.fromkeys(TIERS, 3)}
    assert {p.kind for p in pool.subset(kind="self_reflection").prompts} == {"self_reflection"}
    assert pool.subset() == pool.subset(n=99) == pool and len(pool.subset(kind=KINDS[1]).prompts) == 40


@pytest.mark.parametrize(
    ("choice", "symptom"),
    [
        ({"kind": "requests"}, "Unknown kind 'requests'. Did you mean 'request'"),
        ({"tier": "harmfull"}, "Unknown tier 'harmfull'. Did you mean 'harmful'"),
        ({"n": 0}, "n is 0"),
        ({"kind": "self_reflection", "tier": "benign"}, "no prompt of kind 'self_reflection' and tier 'benign'"),
    ],
)
def test_a_subset_that_does_not_exist_is_named(choice, symptom):
    with pytest.raises(DataError, match=symptom):
        load_open_prompts().subset(**choice)


def test_the_hash_follows_content_and_order():
    pool = load_open_prompts()
    assert pool.hash() == load_open_prompts().hash()
    assert OpenPrompts(pool.prompts[::-1], pool.name).hash() != pool.hash() != pool.subset(n=7).hash()


def test_a_users_file_is_read_and_its_mistakes_are_named_by_line(tmp_path):
    path = tmp_path / "own.csv"
    head = "id,kind,tier,text\na,request,benign,Do a.\nb,self_reflection,,Who are you?\n"
    path.write_text(head)
    pool = load_open_prompts(path)
    assert (pool.name, [p.tier for p in pool.prompts]) == ("own", ["benign", None])
    for row, symptom in [
        ("a,request,benign,Do c.", "line 4: id 'a' stands already in line 2"),
        ("c,request,benign,DO A.", "line 4: text 'do a.' stands already in line 2"),
        ("c,request,,Do c.", "line 4, field '': .*a request has a tier"),
        ("c,self_reflection,benign,Do c.", "line 4, field '': .*self_reflection has none"),
        ("c,request,worst,Do c.", "line 4, field 'tier'"),
        ("c,chat,,Do c.", "line 4, field 'kind'"),
        ("c,request,benign,", "line 4, field 'text'"),
    ]:
        path.write_text(head + row + "\n")
        with pytest.raises(FileFormatError, match=symptom):
            load_open_prompts(path)
