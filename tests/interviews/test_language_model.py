"""A language model that answers from the transcript, and what it is taught, on a random model with a real tokenizer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.interviews.conftest import bank_of

from personascope.errors import DataError, TemplateError
from personascope.instruments.responses import Responses
from personascope.interviews import planners
from personascope.interviews.interview import Stop, conduct
from personascope.interviews.language_model import LanguageModel, answer_slots
from personascope.interviews.respondents import entropy_bits
from personascope.interviews.transcript_training import (
    interviewer_examples,
    planned_transcripts,
    require_unseen,
    responder_examples,
    split_people,
)
from personascope.interviews.twins import Twins
from personascope.tuning.examples import IGNORED, make_transcript, require_teachable

pytestmark = pytest.mark.model
TEXTS = {f"q{n}": f"I like the number {word}." for n, word in enumerate(("one", "two", "three", "four", "five"))}


@pytest.fixture(scope="module")
def model(engine):
    return LanguageModel(engine, engine.tokenizer, TEXTS, 5)


@pytest.fixture(scope="module")
def people():
    return bank_of(np.random.default_rng(0).integers(1, 6, (12, 5)), 5)


def test_it_reads_the_transcript_as_one_text(model, engine):
    belief = model.begin(2)
    belief.observe(np.array([0, 3]), np.array([4, 1]))
    belief.observe(np.array([2, 1]), np.array([0, 0]))
    p = belief.predict()
    assert p.shape == (2, 5, 5)
    assert p.sum(axis=-1) == pytest.approx(np.ones((2, 5)))
    prompt = model.prompt(((0, 4), (2, 0)), 1)
    assert (
        "Statement: I like the number one.\nRating: 5\n\nStatement: I like the number three.\nRating: 1\n\n"
        in prompt.text
    )
    assert prompt.text.rstrip().endswith("Rating:")
    with torch.inference_mode():
        logits = engine.model(torch.tensor([prompt.ids])).logits[0, -1].double()
    shares = torch.softmax(logits, 0)
    own = np.array([sum(float(shares[token]) for token in tokens) for tokens in model.options.token_ids])
    assert p[0, 1] == pytest.approx(own / own.sum(), rel=1e-3)
    assert belief.predict(np.array([1])) == pytest.approx(p[:, [1]], rel=1e-4)
    assert belief.pick(np.array([1])).histories == (((3, 1), (1, 0)),)


def test_information_about_targets_equals_sums_written_out(engine):
    model = LanguageModel(engine, engine.tokenizer, TEXTS, 5, targets=("q4",), candidates=4)
    belief = model.begin(1)
    belief.observe(np.array([1]), np.array([2]))
    found = belief.information()[0]
    assert np.isneginf(found[[1, 4]]).all()
    for item in (0, 3):
        p = belief.predict()[0, item]
        then = []
        for option in range(5):
            after = belief.repeat(1)
            after.observe(np.array([item]), np.array([option]))
            then.append(after.predict(np.array([4]))[0, 0])
        wanted = entropy_bits(p @ np.array(then)) - p @ entropy_bits(np.array(then))
        assert found[item] == pytest.approx(wanted, abs=1e-6)


def test_it_is_interviewed_like_any_other_model(model, people):
    held = conduct(model, planners.by_information(), people.values[:2], stop=Stop(3))
    assert held.lengths.tolist() == [3, 3]


def test_every_answer_is_taught_where_it_will_be_asked_for_and_nothing_else(model, engine, people):
    taught = responder_examples(engine.tokenizer, people, TEXTS, length=3, skip=("q4",))
    assert len(taught) == 12
    require_teachable(engine.tokenizer, taught, 512)
    for example in taught:
        row = people.respondents.index(example.id.split("/")[0])
        history = []
        for place, answer in zip(example.places, example.answer.split(), strict=True):
            asked = engine.tokenizer.decode(example.ids[:place]).rsplit("Statement: ", 1)[1].split("\n")[0]
            column = list(TEXTS.values()).index(asked)
            assert answer == str(people.values[row, people.items.index(f"q{column}")])
            assert example.ids[:place] == model.prompt(tuple(history), column).ids  # the prompt when it is asked
            assert engine.tokenizer.decode([example.ids[place]]) == answer
            history.append((column, int(answer) - 1))
        assert len(history) == 3 and example.ids[-1] == example.labels[-1]
        assert [n for n, label in enumerate(example.labels) if label != IGNORED] == list(example.places)
        assert "five" not in engine.tokenizer.decode(example.ids)
    few = Responses(people.values[2:], people.items, people.respondents[2:], people.n_options)
    assert taught[2:] == responder_examples(engine.tokenizer, few, TEXTS, length=3, skip=("q4",))


def test_a_transcript_whose_questions_forget_what_was_answered_is_refused(model, engine):
    questions = [answer_slots(model.template, TEXTS, model.items, ((0, 2),) * n, 1 + n) for n in (0, 1)]
    with pytest.raises(TemplateError, match="does not go on from one of its questions"):
        make_transcript(engine.tokenizer, "x", model.template, questions, ["3", "1"])


def test_questions_are_taught_by_plans_that_do_not_peek(engine, people):
    twins = Twins(people)
    several = planned_transcripts(
        twins, planners.by_information(), people.values, respondents=people.respondents, stop=Stop(2), subsets=2
    )
    assert len(several) == 2
    assert not np.array_equal(several[0].asked, several[1].asked)
    taught = interviewer_examples(engine.tokenizer, several[0], TEXTS)
    require_teachable(engine.tokenizer, taught, 512)
    assert {example.answer for example in taught} <= set(TEXTS.values())
    assert taught[1].prompt.text.count("Rating: ") == 1
    truth = np.arange(12)
    peeked = conduct(twins, planners.hindsight(truth, people.values), people.values, stop=Stop(2))
    with pytest.raises(DataError, match="planned in hindsight"):
        interviewer_examples(engine.tokenizer, peeked, TEXTS)
    assert len(interviewer_examples(engine.tokenizer, peeked, TEXTS, force=True)) == 24


def test_people_are_split_and_leaks_are_refused(bank):
    parts = split_people(bank)
    sizes = [len(part.respondents) for part in parts.values()]
    assert sum(sizes) == 200
    assert sizes[0] > 140
    more = bank_of(np.concatenate([bank.values, bank.values[:20]]), 5)
    assert set(split_people(more)["test"].respondents) >= set(parts["test"].respondents)
    require_unseen(parts["train"].respondents, parts["test"].respondents)
    with pytest.raises(DataError, match="'p0' is in training and in the test"):
        require_unseen(("p0", "p1"), ("p0",))
    with pytest.raises(DataError, match="Ratios"):
        split_people(bank, (0.5, 0.5, 0.5))
    with pytest.raises(DataError, match="Nobody is in the"):
        split_people(bank_of(bank.values[:2], 5))


def test_what_is_no_language_model_of_items_is_refused(engine, people):
    with pytest.raises(DataError, match="1 items"):
        LanguageModel(engine, engine.tokenizer, {"a": "x"}, 5)
    with pytest.raises(DataError, match="target 'q9'"):
        LanguageModel(engine, engine.tokenizer, TEXTS, 5, targets=("q9",))
    with pytest.raises(DataError, match="'q0' has no text"):
        responder_examples(engine.tokenizer, people, {})
    with pytest.raises(DataError, match="Nobody has an answer"):
        responder_examples(engine.tokenizer, people, TEXTS, skip=tuple(TEXTS))
