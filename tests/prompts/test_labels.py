import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from personascope.errors import LabelError
from personascope.prompts.labels import resolve_options
from personascope.prompts.render import render
from personascope.prompts.templates import CHOICE, ORDERS, likert_template


@pytest.fixture(scope="module")
def tokenizer(smollm2):
    return smollm2.tokenizer


def small_tokenizer(lowercase=False):
    """Knows four words and reads all others as <unk>."""
    words = {"<unk>": 0, "rating": 1, "a": 2, "b": 3, "yes": 4}
    base = Tokenizer(WordLevel(words, unk_token="<unk>"))
    base.pre_tokenizer = Whitespace()
    if lowercase:
        base.normalizer = Lowercase()
    return PreTrainedTokenizerFast(tokenizer_object=base, unk_token="<unk>")


DIGITS = ("1", "2", "3", "4", "5")
LETTERS = ("A", "B", "C")


@pytest.mark.parametrize(
    ("context", "labels", "first"),
    [
        ("Rating: ", DIGITS, "{}"),
        ("\n", DIGITS, "{}"),
        ("(", DIGITS, "{}"),
        ("I choose Task", LETTERS, " {}"),
        ("Answer:", LETTERS, " {}"),
        ("Answer:\n", LETTERS, "{}"),
        ("(", LETTERS, "{}"),
        ("", LETTERS, "{}"),
        ("I", ("agree", "disagree"), " {}"),
    ],
)
def test_the_first_spelling_is_the_token_that_really_follows(tokenizer, context, labels, first):
    options = resolve_options(tokenizer, context, labels)
    assert options.labels == labels
    before = tokenizer(context)["input_ids"]
    for label, tokens in zip(labels, options.token_ids, strict=True):
        assert tokenizer(context + first.format(label))["input_ids"] == [*before, tokens[0]]


def test_all_spellings_of_a_label_are_found_and_none_belongs_to_two(tokenizer):
    decoded = {token: tokenizer.decode([token]).strip() for token in range(len(tokenizer))}
    for context, labels in [("Rating: ", DIGITS), ("(", LETTERS), ("Task", ("a", "A")), ("I", ("yes", "no", "Yes"))]:
        options = resolve_options(tokenizer, context, labels)
        for label, tokens in zip(labels, options.token_ids, strict=True):
            assert set(tokens) == {token for token, text in decoded.items() if text == label}
            assert len(set(tokens)) == len(tokens)
        flat = [token for tokens in options.token_ids for token in tokens]
        assert len(set(flat)) == len(flat)


def test_a_letter_is_counted_with_and_without_its_space(tokenizer):
    (tokens,) = resolve_options(tokenizer, "Task", ["A"]).token_ids
    assert [tokenizer.decode([token]) for token in tokens] == [" A", "A"]


@pytest.mark.parametrize(
    ("context", "labels", "label"),
    [
        ("Rating:", DIGITS, "1"),  # the space itself is the next token
        ("Task ", LETTERS, "A"),  # the space would merge with the letter
        ("Rating: ", ("1", "10"), "10"),
        ("I", ("agree", "strongly disagree"), "strongly disagree"),
        ("I ", ("abstain",), "abstain"),  # one token more, but the space has merged with the first half
    ],
)
def test_a_label_that_is_not_one_token_is_refused_and_shown_in_pieces(tokenizer, context, labels, label):
    with pytest.raises(LabelError, match=f"Label '{label}' is not one token after") as caught:
        resolve_options(tokenizer, context, labels)
    assert "is read as ... [" in caught.value.cause


@pytest.mark.parametrize("labels", [("A", "A"), ("A", ""), ("A", " "), ("A", " A"), (" A",), ("A\n", "B")])
def test_labels_that_could_not_be_told_apart_are_refused(tokenizer, labels):
    with pytest.raises(LabelError, match="Labels must be distinct"):
        resolve_options(tokenizer, "Task", labels)


def test_two_labels_with_the_same_token_are_refused():
    with pytest.raises(LabelError, match="start with the same token"):
        resolve_options(small_tokenizer(), "rating", ["maybe", "perhaps"])
    with pytest.raises(LabelError, match="start with the same token"):
        resolve_options(small_tokenizer(lowercase=True), "rating", ["a", "A"])


def test_a_label_that_the_tokenizer_does_not_know_or_respells_is_refused():
    assert resolve_options(small_tokenizer(), "rating", ["a", "b"]).token_ids == ((2,), (3,))
    with pytest.raises(LabelError, match="Label 'maybe' is read as the token '<unk>'"):
        resolve_options(small_tokenizer(), "rating", ["a", "maybe"])
    with pytest.raises(LabelError, match="Label 'B' is read as the token 'b'"):
        resolve_options(small_tokenizer(lowercase=True), "rating", ["a", "B"])


@pytest.mark.parametrize("template", [*(likert_template(order) for order in ORDERS), CHOICE], ids=lambda t: t.name)
def test_the_labels_of_every_closed_template_follow_its_answer_prefix(tokenizer, template):
    slots = {"framing": "Hi.", "item": "I sing."} if template is not CHOICE else {"task_a": "Sing.", "task_b": "Dance."}
    prompt = render(tokenizer, template, slots)
    options = resolve_options(tokenizer, prompt.text.splitlines()[-1], template.labels)
    assert options == resolve_options(tokenizer, prompt.text, template.labels)
    for label, tokens in zip(template.labels, options.token_ids, strict=True):
        written = label if prompt.text.endswith(" ") else f" {label}"
        assert tokenizer(prompt.text + written)["input_ids"] == [*prompt.ids, tokens[0]]
