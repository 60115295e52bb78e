import pytest

from personascope.errors import SpanError
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt

PROMPT = Prompt(
    ids=tuple(range(100, 120)), text="some text", spans={"item": (6, 10), "task_a": (2, 3), "eot": (12, 13)}
)


@pytest.mark.parametrize(
    ("position", "tokens"),
    [
        ("answer", range(19, 20)),
        ("eot", range(12, 13)),
        ("all", range(20)),
        ("first:item", range(6, 7)),
        ("last:item", range(9, 10)),
        ("mean:item", range(6, 10)),
        ("from:item", range(6, 20)),
        ("first:task_a", range(2, 3)),
        ("last:task_a", range(2, 3)),
        ("mean:task_a", range(2, 3)),
        ("from:task_a", range(2, 20)),
        ("last:eot", range(12, 13)),
        ("from:eot", range(12, 20)),
    ],
)
def test_a_position_names_these_tokens(position, tokens):
    assert resolve(PROMPT, position) == tokens


@pytest.mark.parametrize(
    ("position", "hint"),
    [
        ("anser", "Did you mean 'answer'"),
        ("lst:item", "Did you mean 'last:item'"),
        ("meen:item", "Did you mean 'mean:item'"),
        ("last", ""),
        ("last:", ""),
        ("", ""),
        ("-1", ""),
        ("answer:item", ""),
        ("eot:item", ""),
        ("Answer", "Did you mean 'answer'"),
    ],
)
def test_an_unknown_position_is_answered_with_the_nearest_and_with_the_spans(position, hint):
    with pytest.raises(SpanError, match=f"Unknown position '{position}'") as caught:
        resolve(PROMPT, position)
    assert hint in caught.value.symptom
    assert "eot, item, task_a" in caught.value.fix


@pytest.mark.parametrize(
    ("position", "hint"), [("last:itm", "Did you mean 'item'"), ("mean:task_b", "Did you mean 'task_a'")]
)
def test_a_span_that_the_prompt_lacks_is_answered_with_the_nearest(position, hint):
    with pytest.raises(SpanError, match="this prompt of 20 tokens has no span") as caught:
        resolve(PROMPT, position)
    assert position in caught.value.symptom and hint in caught.value.symptom
    assert "'task_a': (2, 3)" in caught.value.cause and "some text" in caught.value.cause


def test_a_prompt_without_an_end_of_turn_has_no_eot():
    with pytest.raises(SpanError, match="no span 'eot'"):
        resolve(Prompt(ids=(1, 2), text="x", spans={}), "eot")


@pytest.mark.parametrize("span", [(3, 3), (5, 2), (-1, 2), (0, 21)])
def test_a_span_that_is_empty_or_outside_is_refused(span):
    with pytest.raises(SpanError, match="no span 'item'"):
        resolve(Prompt(ids=tuple(range(20)), text="x", spans={"item": span}), "mean:item")
