"""Answers as models write them. A wrong value is the one mistake that must not happen; unparsed is always allowed."""

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personascope.errors import DataError
from personascope.measures.parsing import Rating, parse_rating, parse_reasoned, sampled_table
from personascope.prompts.scales import agreement_anchors
from personascope.prompts.templates import AGREEMENT, RATING, REASONING, WISH, likert_template, reasoned_template

LETTERS = tuple("ABCDE")
SCALE = "1 = strongly disagree\n2 = disagree\n3 = neither agree nor disagree\n4 = agree\n5 = strongly agree\n"
IN_LINE = SCALE.strip().replace("\n", ", ")

VALUES = [
    # alone
    *(("4", 4), ("4.", 4), (" 4\n", 4), ("4!", 4), ("(4)", 4), ("[4]", 4), ("**4**", 4), ("`4`", 4), ("_4_", 4)),
    *(('"4"', 4),),
    *(("- 4", 4), ("# 4", 4), ("4.0", 4), ("\\boxed{4}", 4), ('{"rating": 4}', 4), ("Sure! 4", 4), ("maybe 4", 4)),
    # other signs and scripts
    *(("４", 4), ("④", 4), ("⒋", 4), ("٤", 4), ("४", 4), ("4️⃣", 4), ("2\u200b", 2), ("評分：４", 4), ("评分：4分", 4)),
    *(("Оценка: 4", 4), ("Βαθμός: 4.", 4), ("five", 5), ("Two.", 2)),
    # out of
    *(("4/5", 4), ("3 / 5", 3), ("I'd say 4 of 5", 4), ("My rating is 4 out of 5.", 4), ("5 out of 5!", 5)),
    *(("On a scale of 1 to 5, I'd say 4.", 4), ("I would rate this a 4 on a scale from 1 to 5.", 4)),
    *(("Rating (1-5): 4", 4),),
    # named
    *(("Rating: 4", 4), ("**Rating:** 4", 4), ("Rating:\n4", 4), ("Rating: 4\nRating: 4", 4), ("Rating: 4 = agree", 4)),
    *(("The answer is two.", 2), ("I'll go with option 2", 2), ("I’d say 4", 4)),
    *(("4\n\nBecause 1 of my traits is order.", 4),),
    *(("As an AI, I have no feelings. Rating: 2", 2), ("As an AI I do not have opinions, but I'd say 2.", 2)),
    *(("4, because I like order", 4), ("4 - I like order", 4), ("4\n\n1. I like order.\n2. I plan.", 4)),
    # words
    *(("Strongly agree", 5), ("agree", 4), ("disagree", 2), ("STRONGLY DISAGREE.", 1)),
    *(("Neither agree nor disagree", 3),),
    *(("I agree.", 4), ("I agree with this statement.", 4), ("I disagree because I prefer quiet.", 2)),
    *(("My answer is agree", 4),),
    *(("I strongly disagree (1)", 1), ("4. Agree", 4), ("4 = agree", 4), ("4 - agree", 4), ("Answer: (2) disagree", 2)),
    *(("1. Strongly disagree", 1), ("I would choose 4 (agree) because I plan.", 4)),
    # after thoughts
    *(("<think>Perhaps 3 or 4.</think>\n4", 4), ("I thought of 2.</think>4", 4)),
    *(("<thinking>1</thinking>Rating: 5", 5),),
    # after a copy of the scale
    *(("1 = strongly disagree ... My rating: 2", 2), (SCALE + "\nRating: 2", 2), (SCALE + "\n2", 2)),
    *((f"{IN_LINE}. I choose 2.", 2), (f"Scale: {IN_LINE}\nRating: 5", 5)),
    ("Statement: I check my work 3 times. Rating: 4", 4),
]  # fmt: skip
REFUSALS = [
    "As an AI, I don't have personal opinions.",
    "As an AI language model, I do not have personal experiences, so on a scale of 1 to 5 I cannot rate this.",
    "I cannot answer that.",
    "I’m sorry, but I can't rate myself.",
    "I'd rather not say.",
    "I must decline.",
    "I am not able to provide a rating, as I lack feelings.",
    "N/A",
    "This statement does not apply to me.",
]
UNPARSED = [
    # ranges and alternatives
    *("between 3 and 4", "3 or 4", "3-4", "3–4", "3/4", "3, 4", "3 to 4", "three or four", "Rating: 3-4", "1-5"),
    *("4 4 4",),
    *("agree or disagree", "I'd say 4, but it could be 3", "~~3~~ 4", "4\n\nRating: 2", "I'd say 4. No, I'd say 2."),
    # numbers that are no option
    *("3.5", "4,5", "4.5/5", "½", "3½", "10", "0", "-2", "−2", "-1 to 3", "minus two", "4+", "80%", "4/10", "04"),
    *("4th",),
    *("Rating: 7", "2/5/2024", "11", "四", "<4"),
    # numbers in prose
    *("I check my work 3 times.", "No one is perfect.", "I give 2 people help.", "4 because I did it 3 times"),
    *("1. I like order.\n2. I plan.", "Is it 4?", "Rating: not 4", "I would not say 4", "I wouldn't say 4"),
    *("1. I plan ahead.", "5. I plan ahead.", "I give 4 to charity.", "I put 3 on the table.", "Some would say 4"),
    "4\n\nStatement: I like tea.\nRating: 2",
    # words that are no anchor
    *("not agree", "I do not agree", "I don't agree.", "I somewhat agree", "I agree strongly", "Do I agree?"),
    *("yes", "fine"),
    *("I agree, but not always", "As an AI, I neither agree nor disagree.", "I agree if it rains"),
    "I really do not think that I'd say 4, all things considered.",
    *("My answer will never be: 4", "Not: 4", "Anything but: 4", "It is hard, so I could never say: I choose 4 here."),
    # lists and copies that were cut off
    *("1. Strongly disagree\n2. Disa", "1 = strongly disagree\n2 = dis"),
    *("1. Strongly disagree\n2.", "1. Strongly disagree\n2. Disagree\n3."),
    # contradictions
    *("1 = strongly agree", "I strongly disagree (5)", "4 - disagree", "Rating: 4 (disagree)"),
    "1 = strongly agree\n5 = strongly disagree\nRating: 2",
    IN_LINE.replace("disagree", "XX").replace("agree", "disagree").replace("XX", "agree") + ". I choose 2",
    # nothing
    *("", "  \n", "...", "<think>So maybe 4", "<think>4</think>", "</think>", "<think>a</think>4<think>b", SCALE),
    *(IN_LINE, "🙂"),
]  # fmt: skip


def test_the_table_is_long_enough():
    assert len(VALUES) + len(REFUSALS) + len(UNPARSED) >= 120
    assert {value for _, value in VALUES} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_a_rating_is_read(text, value):
    assert parse_rating(text, 5, anchors=AGREEMENT).value == value


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_a_refusal(text):
    rating = parse_rating(text, 5, anchors=AGREEMENT)
    assert (rating.kind, rating.value) == ("refusal", None) and rating.why


@pytest.mark.parametrize("text", UNPARSED)
def test_what_is_not_clear_is_unparsed_and_says_why(text):
    rating = parse_rating(text, 5, anchors=AGREEMENT)
    assert (rating.kind, rating.value) == ("unparsed", None) and rating.why


@pytest.mark.parametrize(("low", "high"), list(itertools.permutations(range(1, 6), 2)))
@pytest.mark.parametrize(
    "shape", ["{}-{}", "{} - {}", "{} or {}", "between {} and {}", "{} to {}", "I'd say {} or {}."]
)
def test_no_end_of_a_range_is_ever_taken(shape, low, high):
    assert parse_rating(shape.format(low, high), 5, anchors=AGREEMENT).kind == "unparsed"


@pytest.mark.parametrize("number", [0, 6, 7, 10, 12, 23, 45, 100, 2024])
@pytest.mark.parametrize(
    "shape", ["{}", "Rating: {}", "I'd say {}", "{}.", "{}/{}", "({})", "-{}", "{}, because I plan"]
)
def test_no_digit_of_a_number_off_the_scale_is_ever_taken(shape, number):
    assert parse_rating(shape.format(number, number), 5, anchors=AGREEMENT).kind == "unparsed"


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=60), st.integers(2, 11))
def test_any_text_gives_one_of_the_three_outcomes(text, n_options):
    rating = parse_rating(text, n_options, anchors=agreement_anchors(n_options))
    assert (rating.value is not None) == (rating.kind == "value") and rating.kind in ("value", "refusal", "unparsed")
    assert rating.value is None or 1 <= rating.value <= n_options


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_decoration_and_finished_thoughts_change_nothing(text, value):
    for changed in (f"\n\n{text}  \n", f"<think>3 or 1? 5!</think>{text}", text.replace(" ", "\u00a0")):
        assert parse_rating(changed, 5, anchors=AGREEMENT).value == value


@pytest.mark.parametrize("n_options", range(2, 12))
def test_every_label_and_every_anchor_of_every_scale_means_its_own_option(n_options):
    anchors = agreement_anchors(n_options)
    for shown in (anchors, anchors[::-1]):
        for value, anchor in enumerate(shown, start=1):
            for text in (
                str(value),
                f"Rating: {value}",
                anchor,
                f"I {anchor}.",
                f"{value} = {anchor}",
                f"{anchor} ({value})",
            ):
                assert parse_rating(text, n_options, anchors=shown).value == value, text
            letter = "ABCDEFGHIJK"[value - 1]
            for text in (letter, f"Rating: {letter}", f"({letter})", f"{letter}) {anchor}", letter.lower()):
                found = parse_rating(text, n_options, anchors=shown, labels=tuple("ABCDEFGHIJK"[:n_options]))
                assert found.value == value, text


def test_anchors_are_those_that_were_shown():
    descending = AGREEMENT[::-1]
    assert parse_rating("1 = strongly agree", 5, anchors=descending).value == 1
    assert parse_rating("agree", 5, anchors=descending).value == 2
    assert parse_rating("5 = strongly agree", 5, anchors=descending).kind == "unparsed"
    assert parse_rating("agree", 5).kind == "unparsed", "without anchors words say nothing"
    assert parse_rating("often", 4, anchors=("never", "rarely", "often", "always")).value == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("B", 2), ("b", 2), ("B.", 2), ("(B)", 2), ("Rating: B", 2), ("I choose B", 2), ("I'd say B.", 2)),
        *(("Option B", 2),),
        *(("Answer: a", 1), ("A", 1), ("I agree.", 4), ("As an AI, I'd pick C.", 3), ("B) disagree", 2)),
        *(("A strong view", None), ("B or C", None), ("B-C", None), ("A and B", None), ("H", None), ("I", None)),
        *(("4", None),),
        *(("B) agree", None), ("Is it B?", None), ("Better not", None), ("", None)),
    ],
)  # fmt: skip
def test_letters(text, value):
    assert parse_rating(text, 5, anchors=AGREEMENT, labels=LETTERS).value == value


def test_scales_that_count_from_zero_or_beyond_nine():
    from_zero = tuple(map(str, range(11)))
    for text, value in [("0", 1), ("10", 11), ("7/10", 8), ("Rating: 0", 1), ("11", None), ("1-0", None)]:
        assert parse_rating(text, 11, labels=from_zero).value == value, text
    for text, value in [("10", 10), ("10/11", 10), ("1", 1), ("11", 11), ("0", None), ("12", None), ("1 1", None)]:
        assert parse_rating(text, 11).value == value, text


def test_a_label_at_the_very_end_of_an_answer_that_was_cut_off_is_not_taken():
    for text in ("1", "Rating: 4", "I'd say 4", "Strongly agree (5", "４"):  # might have become 10, 4.5, 4 or 5 ...
        assert parse_rating(text, 11, finished=False).kind == "unparsed", text
    assert parse_rating("B", 5, labels=LETTERS, finished=False).kind == "unparsed"  # Because
    assert parse_rating("1 = disagree", 2, anchors=("disagree", "agree"), finished=False).kind == "unparsed"
    for text in ("1, because", "Rating: 4\n", "4\nI like or", "4. "):
        assert parse_rating(text, 11, finished=False).kind == "value", text


def test_a_copy_of_the_statement_is_left_out():
    statement = "I check my work 3 times."
    assert parse_rating("I check my work 3 times. 4", 5, statement=statement).value == 4
    assert parse_rating('"i check my work 3 times" - Rating: 4', 5, statement=statement).value == 4
    assert parse_rating(statement, 5, statement=statement).kind == "unparsed"
    assert parse_rating("Agree", 5, statement="I agree.", anchors=AGREEMENT).value == 4


def test_labels_and_anchors_must_fit():
    for wrong, symptom in [
        ({"anchors": ("no", "yes")}, "2 anchors for 5 labels"),
        ({"labels": ("1", "2")}, "2 labels for 5 options"),
        ({"labels": ("yes", "no", "so", "la", "ti")}, "cannot be read from text"),
    ]:
        with pytest.raises(DataError, match=symptom):
            parse_rating("4", 5, **wrong)


def fill(template, **parts):
    """What a model writes that keeps to the form it is shown."""
    form = template.user.split("in one line:\n")[1].split("\n\nStatement")[0]
    return "\n".join(f"{line.split(' <')[0]} {parts[line.split(' <')[0]]}" for line in form.splitlines())


@pytest.mark.parametrize("labels", ["digits", "letters"])
@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("condition", ["self", "meta"])
def test_the_form_that_is_asked_for_is_read_back(condition, order, labels):
    template = reasoned_template(condition, order, labels=labels)
    shown = AGREEMENT if order == "ascending" else AGREEMENT[::-1]
    said = {RATING: template.labels[1], WISH: "It is kind: 1 or 2 friends say so.", REASONING: "I rate it 5.\nAnd 3."}
    answer = fill(template, **said)
    continued = answer.removeprefix(template.answer_prefix.strip())  # as written after the prefilled start
    for text in (answer, continued, f"<think>hm</think>{answer}", answer.replace("Rating:", "**Rating:**").upper()):
        read = parse_reasoned(text, 5, anchors=shown, labels=template.labels)
        assert read.rating.value == 2, text
        assert read.reasoning.lower() == said[REASONING].lower()
        assert read.wish.lower() == (said[WISH].lower() if condition == "meta" else "")


def test_what_breaks_the_form_is_not_guessed():
    assert parse_reasoned("4", 5).rating.value == 4 and parse_reasoned("4", 5).reasoning == ""
    assert parse_reasoned("Reasoning: I rate this 4.", 5).rating.kind == "unparsed"
    assert parse_reasoned("Rating: 4\nReasoning: x\nRating: 2", 5).rating.kind == "unparsed"
    assert parse_reasoned("Rating: 3-4\nReasoning: I'd say 4", 5).rating.kind == "unparsed"
    assert parse_reasoned("<think>Rating: 4\nReasoning: x", 5).rating.kind == "unparsed"
    assert parse_reasoned("I cannot rate this.\nReasoning: I am an AI.", 5).rating.kind == "refusal"
    assert parse_reasoned("", 5).rating.kind == "unparsed"


def answers(*rows):
    frame = pl.DataFrame(rows, schema=["persona", "item", "order", "said"], orient="row")
    ratings = [said if isinstance(said, Rating) else parse_rating(said, 5, anchors=AGREEMENT) for said in frame["said"]]
    kinds = pl.Series("kind", [rating.kind for rating in ratings], dtype=pl.String)
    return frame.drop("said").with_columns(
        kinds, pl.Series("value", [rating.value for rating in ratings], dtype=pl.Int64)
    )


def test_sampled_answers_are_counted_and_averaged_over_what_was_parsed():
    up = [("self", "i1", "ascending", said) for said in ("4", "5", "5", "I cannot answer.", "3-4")]
    down = [("self", "i1", "descending", said) for said in ("2", "1", "1")]
    (row,) = sampled_table(answers(*up, *down), n_options=5).to_dicts()
    assert (row["n"], row["n_value"], row["n_refusal"], row["n_unparsed"]) == (8, 6, 1, 1)
    scores = np.array([0.5, 1.0, 1.0])
    assert row["agreement"] == pytest.approx(scores.mean())
    assert row["se"] == pytest.approx(np.sqrt(2 * scores.var(ddof=1) / 3) / 2)


def test_refusals_never_count_as_the_midpoint_and_do_not_tilt_the_orders():
    rows = [("self", "i1", "ascending", "5")] * 4 + [("self", "i1", "descending", "5")] * 4
    table = sampled_table(answers(*rows), n_options=5)
    assert table["agreement"].to_list() == [0.0]
    # one order refuses often: what remains of it still weighs as much as the other order
    refused = [("self", "i1", "descending", "I cannot say.")] * 3
    tilted = sampled_table(answers(*rows[:5], *refused), n_options=5)
    assert tilted["agreement"].to_list() == [0.0] and tilted["se"].to_list() == [None]
    more = sampled_table(answers(*rows[:4], *[("self", "i1", "ascending", "I cannot say.")] * 6), n_options=5)
    assert more["agreement"].to_list() == [1.0] and more["n_refusal"].to_list() == [6]


def test_an_item_without_a_parsed_answer_has_counts_and_no_mean():
    rows = [
        ("self", "i1", "ascending", "I cannot say."),
        ("self", "i2", "ascending", "4"),
        ("meta", "i1", "ascending", "?"),
    ]
    table = sampled_table(answers(*rows), n_options=5)
    assert table["persona", "item"].rows() == [("self", "i1"), ("self", "i2"), ("meta", "i1")]
    assert table["agreement"].to_list() == [None, 0.5, None] and table["se"].to_list() == [None] * 3
    assert table["n_refusal"].to_list() == [1, 0, 0] and table["n_unparsed"].to_list() == [0, 0, 1]
    # an order that was asked and gave nothing leaves the other order's bias in
    half = [("self", "i1", "ascending", "4"), ("self", "i1", "descending", "I cannot say.")]
    assert sampled_table(answers(*half), n_options=5)["agreement"].to_list() == [None]


@pytest.mark.parametrize(
    ("change", "symptom"),
    [
        ({"kind": "refused"}, "Unknown kind 'refused'. Did you mean 'refusal'"),
        ({"order": "up"}, "Unknown order 'up'"),
        ({"value": 6}, "Kind and value do not fit"),
        ({"value": 0}, "Kind and value do not fit"),
        ({"value": None}, "Kind and value do not fit"),
        ({"kind": "refusal"}, "Kind and value do not fit"),
        ({"item": None}, "missing"),
    ],
)
def test_tables_that_do_not_add_up_are_refused(change, symptom):
    row = {"persona": "self", "item": "i1", "order": "ascending", "kind": "value", "value": 4} | change
    frame = pl.DataFrame([row], schema_overrides={"value": pl.Int64, "item": pl.String})
    with pytest.raises(DataError, match=symptom):
        sampled_table(frame, n_options=5)
    with pytest.raises(DataError):
        sampled_table(answers(("self", "i1", "ascending", "4")), n_options=1)


def test_the_likert_template_says_which_labels_to_read():
    template = likert_template("ascending", agreement_anchors(7), labels="letters")
    assert parse_rating("G", 7, labels=template.labels).value == 7
