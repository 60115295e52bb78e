"""An interviewer that scores a bank, and questions that a model writes, on a random model with a real tokenizer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.interviews.conftest import bank_of

from personascope.errors import DataError
from personascope.interviews.interview import Stop, conduct
from personascope.interviews.interviewer import Interviewer
from personascope.interviews.language_model import LanguageModel, answer_template
from personascope.interviews.novel_questions import estimated_gains, realised_gains, write_questions
from personascope.interviews.transcript_training import question_slots, question_template
from personascope.prompts.render import render

TEXTS = {f"q{n}": f"I like the number {word}." for n, word in enumerate(("one", "two", "three", "four", "five"))}


@pytest.mark.model
def test_every_open_statement_has_the_probability_of_its_tokens(engine):
    interviewer = Interviewer(engine, engine.tokenizer, TEXTS, 5)
    history = ((2, 4), (0, 1))
    (found,) = interviewer.log_probabilities([history])
    assert np.isneginf(found[[0, 2]]).all()
    template, items = question_template(), list(TEXTS)
    answered = answer_template(5, engine.tokenizer)
    for column in (1, 3, 4):
        slots = question_slots(answered, TEXTS, items, history)
        before = render(engine.tokenizer, template, slots)
        whole = render(engine.tokenizer, template, slots, reply=TEXTS[items[column]])
        assert before.text.count("Rating: ") == 2
        with torch.inference_mode():
            logs = torch.log_softmax(engine.model(torch.tensor([whole.ids])).logits[0].double(), -1)
        start, stop = whole.spans["reply"]
        wanted = sum(float(logs[at - 1, whole.ids[at]]) for at in range(start, stop))
        assert found[column] == pytest.approx(wanted, rel=1e-4)
        mean = Interviewer(engine, engine.tokenizer, TEXTS, 5, per_token=True).log_probabilities([history])[0, column]
        assert mean == pytest.approx(wanted / (stop - start), rel=1e-4)


@pytest.mark.model
def test_it_asks_what_it_finds_likeliest_and_nothing_twice(engine):
    interviewer = Interviewer(engine, engine.tokenizer, TEXTS, 5)
    answers = bank_of(np.random.default_rng(0).integers(1, 6, (2, 5)), 5).values
    held = conduct(LanguageModel(engine, engine.tokenizer, TEXTS, 5), interviewer.planner(), answers, stop=Stop(3))
    assert held.planner == "interviewer" and held.lengths.tolist() == [3, 3]
    for row in range(2):
        for place in range(3):
            (scores,) = interviewer.log_probabilities([held.history(row, place)])
            assert held.asked[row, place] == scores.argmax()


def test_copies_of_the_bank_and_of_each_other_are_dropped():
    asked: list[str] = []

    def write(request: str) -> str:
        asked.append(request)
        several = ["I like the number one.", "I keep my promises.", f"I once counted to {len(asked)} in the dark sea."]
        return "\n".join(f"{n}. {text}" for n, text in enumerate(several, start=1))

    found = write_questions(write, TEXTS, 2, batch=3)
    assert list(found.texts.values()) == ["I keep my promises.", "I once counted to 1 in the dark sea."]
    assert (found.n_written, found.n_unfit, found.n_copies, found.n_requests) == (3, 0, 1, 1)
    more = write_questions(write, TEXTS, 9, batch=3, most=4)
    assert more.n_requests == 4 and more.n_written == 12 and len(set(more.texts.values())) == len(more.texts) < 9
    assert "I keep my promises." in asked[-1]  # the model is shown what it wrote
    with pytest.raises(DataError, match="No new question was written in 2 requests"):
        write_questions(lambda _: "I like the number one.", TEXTS, 2, most=2)
    with pytest.raises(DataError, match="hold no statements"):
        write_questions(lambda _: "", TEXTS, 2, most=1)
    nothing = write_questions(lambda _: "I like the number one.", TEXTS, 2, most=2, least=0)
    assert (nothing.texts, nothing.n_written, nothing.n_copies) == ({}, 2, 2)
    talk = "The first statement speaks of a polished dialogue.\nI wait. Then I leave.\nI mend what is broken at home."
    mixed = write_questions(lambda _: talk, TEXTS, 1)
    assert list(mixed.texts.values()) == ["I mend what is broken at home."] and mixed.n_unfit == 2


@pytest.mark.model
def test_a_new_question_is_worth_what_it_tells_of_the_targets(engine):
    texts = TEXTS | {"new-1": "I keep my promises."}
    model = LanguageModel(engine, engine.tokenizer, texts, 5, targets=("q4",), candidates=9)
    belief = model.begin(1)
    belief.observe(np.array([0]), np.array([2]))
    found = estimated_gains(belief, ["new-1", "q1"])
    assert found["item"].to_list() == ["new-1", "q1"]
    assert (found["gain"] >= -1e-9).all() and (found["gain"] <= found["entropy"] + 1e-9).all()
    assert found["gain"].to_numpy() == pytest.approx(belief.information()[0][[5, 1]])
    with pytest.raises(DataError, match="'q0' is a target or was asked"):
        estimated_gains(belief, ["q0"])
    with pytest.raises(DataError, match="no targets"):
        estimated_gains(LanguageModel(engine, engine.tokenizer, texts, 5).begin(1), ["q1"])


@pytest.mark.model
def test_what_an_answer_told_is_what_it_took_off_the_surprise_of_the_targets(engine):
    model = LanguageModel(engine, engine.tokenizer, TEXTS, 5, targets=("q4", "q3"))
    belief = model.begin(3)
    belief.observe(np.array([0, 1, 0]), np.array([2, 4, 1]))
    found = realised_gains(belief, ["q2"], np.array([[4], [-1], [2]]), np.array([[1, 5], [2, 2], [3, 3]]))
    column = {item: number for number, item in enumerate(model.items)}
    told = (*belief.histories[2], (column["q2"], 1))
    expected = 0.0
    for target, option in (("q4", 2), ("q3", 2)):
        prompts = [model.prompt(history, column[target]) for history in (belief.histories[2], told)]
        before, after = model.answers(prompts)[:, option]
        expected += float(np.log2(after / before))
    assert found["gain"].is_nan().to_list() == [False, True, False]
    assert found["gain"][2] == pytest.approx(expected, abs=1e-5)
