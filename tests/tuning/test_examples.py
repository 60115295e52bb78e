"""Examples: the loss falls on the answer and the end of the turn, token by token, and on nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from personascope.errors import DataError, TemplateError
from personascope.prompts.render import render
from personascope.prompts.templates import Template
from personascope.tuning.examples import IGNORED, example_frame, examples_hash, make_example, require_teachable

RATE = Template(name="rate", user="How true? {item}", answer_prefix="Rating: ", labels=tuple("12345"))

ANSWER = "4\nReasoning: rain makes {me} calm."


def test_the_taught_tokens_decode_to_the_answer_and_the_end_of_the_turn(tokenizer):
    example = make_example(tokenizer, "e", RATE, {"item": "I like rain."}, ANSWER, system="You are somebody.")
    prompt = render(tokenizer, RATE, {"item": "I like rain."}, system="You are somebody.")
    n = len(prompt)
    assert example.ids[:n] == prompt.ids and example.prompt == prompt
    assert example.labels[:n] == (IGNORED,) * n and example.labels[n:] == example.ids[n:]
    assert tokenizer.decode([token for token in example.labels if token != IGNORED]) == f"{ANSWER}<|im_end|>"
    assert prompt.text.endswith("Rating: ")
    require_teachable(tokenizer, [example], 128)


def test_an_answer_that_melts_into_its_prompt_is_refused(tokenizer):
    melting = Template(name="melting", user="{item}", answer_prefix="It is un")
    with pytest.raises(TemplateError, match="do not begin with those of its prompt"):
        make_example(tokenizer, "e", melting, {"item": "Well?"}, "believable")
    with pytest.raises(TemplateError, match="empty answer"):
        make_example(tokenizer, "e", RATE, {"item": "Well?"}, "  \n")


def test_what_cannot_be_taught_is_named(engine, examples):
    tokenizer = engine.tokenizer
    with pytest.raises(DataError, match="no validation examples"):
        require_teachable(tokenizer, [], 128, "validation")
    with pytest.raises(DataError, match="Two train examples have the id 'I like"):
        require_teachable(tokenizer, [examples[0], examples[0]], 128)
    longest = max(len(example.ids) for example in examples)
    require_teachable(tokenizer, examples, longest)
    with pytest.raises(DataError, match=f"has {longest} tokens, more than max_length {longest - 1}"):
        require_teachable(tokenizer, examples, longest - 1)
    swapped = replace(examples[0], ids=(*examples[0].ids[:-2], *examples[1].ids[-2:]))
    with pytest.raises(DataError, match="would fall on '2'"):
        require_teachable(tokenizer, [swapped], 128)


def test_an_example_that_teaches_nothing_or_half_an_answer_is_refused(engine, examples, tokenizer):
    one = examples[0]
    masked = replace(one, prompt=replace(one.prompt, ids=one.ids))
    assert set(masked.labels) == {IGNORED}
    with pytest.raises(DataError, match=r"would fall on ''"):
        require_teachable(engine.tokenizer, [masked], 128)
    whole = make_example(tokenizer, "e", RATE, {"item": "I like rain."}, ANSWER)
    require_teachable(tokenizer, [whole], 128)
    for cut in (1, 4):  # its end alone, or some of its words too
        with pytest.raises(DataError, match=r"Its answer is '4\\nReasoning"):
            require_teachable(tokenizer, [replace(whole, ids=whole.ids[:-cut])], 128)


def test_no_template_needs_to_mark_what_is_generated_but_it_has_to_end_the_turn(tokenizer, monkeypatch):
    assert "{% generation %}" not in tokenizer.chat_template
    marked = tokenizer.chat_template
    assert make_example(tokenizer, "e", RATE, {"item": "Well?"}, "4").labels.count(IGNORED) > 10
    endless = marked.replace("<|im_end|>", "")
    assert endless != marked
    monkeypatch.setattr(tokenizer, "chat_template", endless)
    with pytest.raises(TemplateError, match="The end of the assistant's turn is not known"):
        make_example(tokenizer, "e", RATE, {"item": "Well?"}, "4")


def test_the_hash_is_of_tokens_and_labels_in_any_order(examples):
    assert examples_hash(examples) == examples_hash(examples[::-1])
    moved = replace(examples[0], prompt=replace(examples[0].prompt, ids=examples[0].prompt.ids[:-1]))
    assert examples_hash([moved, *examples[1:]]) != examples_hash(examples)
    frame = example_frame(examples)
    assert frame["answer"].to_list()[:3] == ["1", "2", "3"] and set(frame["n_taught"]) == {2}
