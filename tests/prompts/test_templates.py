import itertools
import string

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from personascope.errors import LabelError, TemplateError
from personascope.prompts.labels import resolve_options
from personascope.prompts.render import render
from personascope.prompts.scales import MOST_OPTIONS, agreement_anchors, scale_labels
from personascope.prompts.templates import (
    AGREEMENT,
    CHOICE,
    CONTENT_FREE,
    ORDERS,
    TASK_ALONE,
    WORDINGS,
    likert_template,
    reasoned_template,
)

KS = range(2, MOST_OPTIONS + 1)


def scale_of(template):
    """Label -> anchor as the respondent reads it."""
    lines = template.user.split(":\n")[1].split("\n\n")[0].splitlines()
    return dict(line.split(" = ") for line in lines)


def slots(template):
    return [name for _, name, _, _ in string.Formatter().parse(template.user) if name]


def digit_tokenizer():
    """Knows every number up to 11 as one token."""
    words = {"<unk>": 0, "Rating": 1, ":": 2, **{str(n): 2 + n for n in range(1, 12)}}
    base = Tokenizer(WordLevel(words, unk_token="<unk>"))
    base.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=base, unk_token="<unk>")


@pytest.mark.parametrize("anchors", [AGREEMENT, ("no", "yes"), ("never", "rarely", "often", "always")])
def test_the_two_orders_give_every_label_the_opposite_anchor(anchors):
    ascending, descending = (likert_template(order, anchors) for order in ORDERS)
    assert tuple(scale_of(ascending).values()) == anchors
    assert tuple(scale_of(descending).values()) == anchors[::-1]
    expected = tuple(str(n) for n in range(1, len(anchors) + 1))
    assert ascending.labels == descending.labels == tuple(scale_of(ascending)) == expected
    assert ascending.name != descending.name


@pytest.mark.parametrize("n_options", KS)
def test_anchors_of_every_length_are_distinct_and_mirror_each_other(n_options):
    anchors = agreement_anchors(n_options)
    assert len(set(anchors)) == len(anchors) == n_options
    mirrored = [
        anchor.replace("disagree", "AGREE").replace("agree", "disagree").replace("AGREE", "agree") for anchor in anchors
    ]
    outside_the_middle = [i for i in range(n_options) if "neither" not in anchors[i]]
    assert [mirrored[i] for i in outside_the_middle] == [anchors[::-1][i] for i in outside_the_middle]
    assert ("neither agree nor disagree" in anchors) == bool(n_options % 2)
    assert all(
        ("disagree" in anchor) == (place < n_options / 2)
        for place, anchor in enumerate(anchors)
        if "neither" not in anchor
    )


def test_the_built_in_scale_is_the_one_of_five():
    assert agreement_anchors(5) == AGREEMENT == (
        "strongly disagree", "disagree", "neither agree nor disagree", "agree", "strongly agree",
    )  # fmt: skip


@pytest.mark.parametrize("n_options", [-1, 0, 1, 12])
def test_a_scale_has_two_to_eleven_options(n_options):
    with pytest.raises(TemplateError, match=f"no built-in anchors for {n_options} options"):
        agreement_anchors(n_options)


@pytest.mark.parametrize(
    "anchors", [("yes",), ("yes", "Yes"), ("yes", ""), ("yes", " no"), ("a", "b\nc"), tuple("abcdefghijkl")]
)
def test_anchors_that_cannot_be_told_apart_are_refused(anchors):
    with pytest.raises(TemplateError, match=r"cannot be told apart|needs 2 to 11 anchors"):
        likert_template("ascending", anchors)


def test_anchors_may_hold_braces(smollm2):
    template = likert_template("ascending", ("{no}", "{item}"))
    prompt = render(smollm2.tokenizer, template, {"framing": "Hi.", "item": "I sing."})
    assert "1 = {no}\n2 = {item}\n" in prompt.text and prompt.text.count("I sing.") == 1


@pytest.mark.parametrize("n_options", KS)
@pytest.mark.parametrize("order", ORDERS)
def test_letters_label_scales_of_every_length(smollm2, n_options, order):
    template = likert_template(order, agreement_anchors(n_options), labels="letters")
    assert template.labels == tuple("ABCDEFGHIJK"[:n_options]) == tuple(scale_of(template))
    assert "number" not in template.user and "one letter" in template.user
    prompt = render(smollm2.tokenizer, template, {"framing": "Hi.", "item": "I sing."})
    assert len(resolve_options(smollm2.tokenizer, prompt.text, template.labels).token_ids) == n_options


def test_ten_and_more_numbers_need_a_tokenizer_that_reads_each_as_one_token(smollm2):
    assert likert_template("ascending", agreement_anchors(9)).labels[-1] == "9"
    with pytest.raises(LabelError, match="depends on the tokenizer") as caught:
        likert_template("ascending", agreement_anchors(10))
    assert "letters" in caught.value.fix
    with pytest.raises(LabelError, match="1 to 10 are not one token each") as caught:
        likert_template("ascending", agreement_anchors(10), tokenizer=smollm2.tokenizer)
    assert caught.value.fix.startswith("Use letters") and "'10'" in caught.value.cause
    template = likert_template("descending", agreement_anchors(11), tokenizer=digit_tokenizer())
    assert template.labels == tuple(map(str, range(1, 12)))
    assert resolve_options(digit_tokenizer(), template.answer_prefix, template.labels).token_ids[-1] == (13,)


def test_the_answer_prefix_is_the_one_after_which_labels_are_one_token(smollm2):
    for kind, prefix in (("digits", "Rating: "), ("letters", "Rating:")):
        assert scale_labels(5, kind)[1] == scale_labels(5, kind, smollm2.tokenizer)[1] == prefix
    merging = digit_tokenizer()  # a tokenizer whose numbers take the space before them into their token
    base = Tokenizer(WordLevel({"<unk>": 0, "Rating:": 1, " 1": 2, " 2": 3, "Rating: ": 4}, unk_token="<unk>"))
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import Split

    base.pre_tokenizer = Split(Regex(r" \d|Rating: $|Rating:"), "isolated")
    merging = PreTrainedTokenizerFast(tokenizer_object=base, unk_token="<unk>")
    assert scale_labels(2, "digits", merging) == (("1", "2"), "Rating:")


def test_unknown_kinds_are_named_with_the_nearest():
    for call, error, symptom in [
        (lambda: likert_template("ascnding"), TemplateError, "order 'ascnding'. Did you mean 'ascending'"),
        (lambda: likert_template("ascending", wording="plein"), TemplateError, "wording 'plein'. Did you mean 'plain'"),
        (lambda: likert_template("ascending", labels="letter"), LabelError, "labels 'letter'. Did you mean 'letters'"),
        (lambda: reasoned_template("mete", "ascending"), TemplateError, "condition 'mete'. Did you mean 'meta'"),
    ]:
        with pytest.raises(error, match=symptom):
            call()


def all_templates():
    for order, wording, labels in itertools.product(ORDERS, WORDINGS, ("digits", "letters")):
        yield likert_template(order, labels=labels, wording=wording)
    for order, condition, labels in itertools.product(ORDERS, ("self", "meta"), ("digits", "letters")):
        yield reasoned_template(condition, order, labels=labels)
    for n_options in (2, 4, 7):
        yield likert_template("ascending", agreement_anchors(n_options))
    yield likert_template("ascending", ("no", "so", "la", "ti", "yes"))


def test_templates_that_differ_have_names_that_differ():
    templates = list(all_templates())
    assert len({template.name for template in templates}) == len({t.user for t in templates}) == len(templates)
    assert all("<label>" not in template.user for template in templates)


def test_what_varies_comes_after_what_is_constant():
    for template in all_templates():
        assert slots(template) == ["framing", "item"]
        assert template.user.startswith("{framing}\n\n") and template.user.endswith(": {item}")
    assert CHOICE.user.endswith("Task A: {task_a}\nTask B: {task_b}")
    assert TASK_ALONE.user == "{item}" and TASK_ALONE.labels == ()


def test_there_are_several_wordings_and_the_first_is_the_plain_one(smollm2):
    assert len(WORDINGS) >= 5 and next(iter(WORDINGS)) == "plain"
    assert likert_template("ascending", wording="plain") == likert_template("ascending")
    for wording in WORDINGS:
        template = likert_template("ascending", wording=wording)
        prompt = render(smollm2.tokenizer, template, {"framing": "Hi.", "item": "I sing."})
        resolve_options(smollm2.tokenizer, prompt.text, template.labels)


def test_the_content_free_item_leaves_all_else_as_it_is(smollm2):
    empty, full = (
        render(smollm2.tokenizer, likert_template("ascending"), {"framing": "Hi.", "item": item})
        for item in (CONTENT_FREE, "I sing.")
    )
    assert empty.text == full.text.replace("I sing.", "[statement]")
    assert empty.ids[: empty.spans["item"][0]] == full.ids[: full.spans["item"][0]]


def test_a_reasoned_answer_is_asked_for_rating_first():
    own, wished = (reasoned_template(condition, "ascending") for condition in ("self", "meta"))
    assert own.answer_prefix == "Rating: " and own.labels == tuple("12345")
    assert own.user.index("Rating:") < own.user.index("Reasoning:") and "Why I would" not in own.user
    headings = ["Rating:", "Why I would want to answer so:", "Reasoning:"]
    assert sorted(headings, key=wished.user.index) == headings and "future self" in wished.user


def test_a_template_can_be_put_without_its_prefix():
    template = likert_template("ascending").without_prefix()
    assert template.answer_prefix == "" and template.name == "likert-5-ascending-open"
    assert template.user == likert_template("ascending").user and template.labels == tuple("12345")
