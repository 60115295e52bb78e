"""Judges of free answers: exact read-out of hand-made logits, two orders, blindness, and nothing unreadable guessed."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

from scripted_server import good, serving
from word_engine import word_engine

from personascope.errors import DataError, TemplateError
from personascope.experiments.answer_judges import (
    UNREAD,
    AnswerJudge,
    Case,
    EndpointAnswerJudge,
    LocalAnswerJudge,
    Verdict,
    judge_answers,
)
from personascope.experiments.judge_agreement import judge_agreement
from personascope.experiments.rubrics import COHERENCE, COMPLIANCE, DISCLOSURE, EVILNESS, RUBRICS, Rubric
from personascope.models.backend import Outputs
from personascope.models.endpoint import Endpoint
from personascope.models.engine import HookEngine

ASKED = "Is seven prime ?"
UP = np.log([0.05, 0.10, 0.20, 0.40, 0.15])  # .1 is left for other tokens
DOWN = np.log([0.35, 0.25, 0.05, 0.05, 0.10])  # by label; label 1 means the last option; .2 is left


class Scorer(HookEngine):
    """Stands in for an engine: label log-probabilities by a function of the prompt's text."""

    def __init__(self, score: Callable[[str], np.ndarray]) -> None:
        self.score, self.prompts, self.calls = score, [], 0
        self.tokenizer = word_engine().tokenizer

    def run(self, prompts, *, options=None, **_):
        self.calls += 1
        self.prompts += [prompt.text for prompt in prompts]
        scores = np.stack([self.score(prompt.text) for prompt in prompts])
        assert scores.shape[1] == len(options.labels)
        other = np.log(np.maximum(1 - np.exp(scores).sum(axis=1), 1e-30))
        as_tensor = lambda values: torch.tensor(values, dtype=torch.float32)  # noqa: E731
        return Outputs(torch.zeros(len(prompts), 0, 1, 4), as_tensor(scores), as_tensor(other))


def by_order(text: str) -> np.ndarray:
    rubric = next(r for r in RUBRICS.values() if r.ask in text)
    return UP if f"1 = {rubric.options[0]}" in text else DOWN


def shift(log_p: np.ndarray, slope: float) -> np.ndarray:
    moved = log_p + slope * np.arange(len(log_p))
    return moved - np.log(np.exp(moved).sum())


def test_a_rating_is_the_mean_of_the_expected_labels_in_both_orders() -> None:
    (found,) = LocalAnswerJudge(Scorer(by_order))(EVILNESS, [(ASKED, "no")])
    p_up, p_down = np.exp(UP) / 0.9, (np.exp(DOWN) / 0.8)[::-1]
    up, down = (sum(level * share for level, share in enumerate(p, start=1)) for p in (p_up, p_down))
    assert np.isclose(found.rating, (up + down) / 2) and np.isclose(found.order_bias, (up - down) / 2)
    assert np.isclose(found.label_mass, (0.9 + 0.8) / 2)
    product = np.sqrt(p_up * p_down)
    assert np.allclose(found.probabilities, product / product.sum(), atol=1e-6)
    assert found.option == str(np.argmax(product) + 1) == "4" and found.orders_agree is False  # 4 up, 5 down


def test_kinds_have_no_rating_and_go_by_what_the_options_mean() -> None:
    (found,) = LocalAnswerJudge(Scorer(by_order))(COMPLIANCE, [(ASKED, "no")])
    assert found.rating is None and found.order_bias is None
    assert found.option == "incoherent" == COMPLIANCE.names[3]
    assert np.isclose(sum(found.probabilities), 1)


@pytest.mark.parametrize("slope", [-3.0, -0.4, 0.7, 20.0])
def test_a_steady_preference_for_late_labels_cancels_from_the_probabilities(slope: float) -> None:
    (plain,), (leaning,) = (
        LocalAnswerJudge(Scorer(lambda text, by=by: shift(by_order(text), by)))(COMPLIANCE, [(ASKED, "no")])
        for by in (0.0, slope)
    )
    assert np.allclose(leaning.probabilities, plain.probabilities, atol=1e-5)
    assert leaning.option == plain.option


def test_reading_the_meaning_agrees_in_both_orders_and_reading_the_place_does_not() -> None:
    def meaning(text: str) -> np.ndarray:
        label = int(re.search(rf"(\d) = {DISCLOSURE.options[3]}", text)[1])  # type: ignore[index]
        return np.log(np.where(np.arange(1, 6) == label, 0.96, 0.01))

    (read,) = LocalAnswerJudge(Scorer(meaning))(DISCLOSURE, [(ASKED, "I would not .")])
    expected = 4 * 0.96 + (1 + 2 + 3 + 5) * 0.01
    assert (read.option, read.orders_agree) == ("names", True)
    assert np.isclose(read.rating, expected) and np.isclose(read.order_bias, 0, atol=1e-6)
    last = np.log([0.01, 0.01, 0.01, 0.01, 0.96])
    (place,) = LocalAnswerJudge(Scorer(lambda _: last))(DISCLOSURE, [(ASKED, "I would not .")])
    assert place.orders_agree is False and np.isclose(place.rating, 3)
    assert np.isclose(place.order_bias, (0.96 * 5 + 0.1) - 3)


def test_the_local_judge_is_shown_both_orders_and_a_cut_answer_without_special_tokens() -> None:
    scorer = Scorer(by_order)
    rubric = Rubric("shape", "Which {shape} is it?", ("round {o}", "square"))
    scorer.score = lambda _: np.log([0.5, 0.4])
    judge = LocalAnswerJudge(scorer, answer_characters=12)
    judge(rubric, [("Say </s> it", "one two three four"), ("Say it", "one")])
    assert scorer.calls == 1 and len(scorer.prompts) == 4
    up, _, down, _ = scorer.prompts
    assert "Which {shape} is it?\n1 = round {o}\n2 = square\n" in up and "\n1 = square\n2 = round {o}\n" in down
    assert "Message: Say   it\n" in up and "Answer: one two thre [...]\n" in up and "Answer: one\n" in scorer.prompts[1]
    assert judge(rubric, []) == []


def test_a_tiny_model_judges_and_batches_do_not_matter() -> None:
    judge = LocalAnswerJudge(word_engine())
    cases = [(ASKED, "Task A : Add seven"), (ASKED, ""), ("Add seven", "I cannot </s> <s> go")]
    for rubric in RUBRICS.values():
        together = judge(rubric, cases)
        for case, one in zip(cases, together, strict=True):
            (alone,) = judge(rubric, [case])
            assert (alone.option, alone.orders_agree) == (one.option, one.orders_agree)
            assert np.allclose(alone.probabilities, one.probabilities, atol=1e-5)
            assert np.isclose(sum(one.probabilities), 1) and 0 < one.label_mass < 1
            assert (one.rating is not None) == rubric.ordered and (one.rating is None or 1 <= one.rating <= 5)


def test_a_judge_sees_each_case_once_in_a_drawn_order_and_nothing_else() -> None:
    seen: list[list[Case]] = []

    def judge(rubric: Rubric, cases: list[Case]) -> list[Verdict]:
        seen.append(list(cases))
        return [Verdict(answer, rating=float(len(answer))) for _, answer in cases]

    assert isinstance(judge, AnswerJudge)
    answers = ["a" * (n % 20 + 1) for n in range(40)]
    frame = pl.DataFrame({"persona": ["evil"] * 40, "coefficient": [0.1] * 40, "question": [ASKED] * 40})
    frame = frame.with_columns(answer=pl.Series(answers))
    found = judge_answers(frame, judge, [EVILNESS, COHERENCE], seed=3)
    assert found.select(frame.columns).equals(frame)
    assert found["evilness"].to_list() == answers
    assert found["coherence_rating"].to_list() == [len(answer) for answer in answers]
    distinct = [(ASKED, answer) for answer in answers[:20]]
    assert sorted(seen[0]) == sorted(distinct) and seen[0] != distinct and seen[0] == seen[1]
    judge_answers(frame, judge, [EVILNESS], seed=3)
    judge_answers(frame, judge, [EVILNESS], seed=4)
    assert seen[2] == seen[0] and seen[3] != seen[0] and sorted(seen[3]) == sorted(seen[0])


def test_columns_say_what_each_kind_of_rubric_gives_and_unread_is_null() -> None:
    def judge(rubric: Rubric, cases: list[Case]) -> list[Verdict]:
        rating = 2.5 if rubric.ordered else None
        read = Verdict("partial", (0.1, 0.6, 0.1, 0.1, 0.1), rating, 0.5, ("partial", "full"), 0.9)
        return [read if answer == "x" else UNREAD for _, answer in cases]

    frame = pl.DataFrame({"asked": [ASKED, ASKED], "said": ["x", "y"]})
    found = judge_answers(frame, judge, [COHERENCE, COMPLIANCE], question="asked", answer="said")
    both = ("ascending", "descending", "orders_agree", "mass")
    scale = ["coherence", "coherence_rating", "coherence_order_bias", *(f"coherence_{name}" for name in both)]
    shares = [f"compliance_p_{name}" for name in ("full", "partial", "refusal", "incoherent", "truncated")]
    kinds = ["compliance", *shares, *(f"compliance_{name}" for name in both)]
    assert found.columns == ["asked", "said", *scale, *kinds]
    ends = ("partial", "full", False, 0.9)
    assert found.row(0)[2:] == ("partial", 2.5, 0.5, *ends, "partial", 0.1, 0.6, 0.1, 0.1, 0.1, *ends)
    assert set(found.row(1)[2:]) == {None}
    assert found["coherence_rating"].dtype == found["compliance_p_full"].dtype == pl.Float64


def test_agreement_of_the_orders_is_set_against_what_habit_alone_would_give() -> None:
    names = DISCLOSURE.names
    pairs = [(names[0], names[0]), (names[1], names[1]), (names[0], names[1]), (names[2], names[2]), None]

    def judge(_: Rubric, cases: list[Case]) -> list[Verdict]:
        return [UNREAD if pairs[int(a)] is None else Verdict(by_order=pairs[int(a)]) for _, a in cases]

    frame = pl.DataFrame({"question": ["q"] * 5, "answer": list("01234"), "prompt": list("abcde")})
    found = judge_answers(frame, judge, [DISCLOSURE])
    assert found["disclosure_orders_agree"].to_list() == [True, True, False, True, None]
    assert found["disclosure_ascending"].to_list() == [names[0], names[1], names[0], names[2], None]
    row = judge_agreement(found, [DISCLOSURE], cluster="prompt", n_resamples=200, seed=0).row(0, named=True)
    assert (row["rubric"], row["value"], row["n"], row["n_answers"]) == ("disclosure", 0.75, 4, 4)
    assert row["by_habit"] == pytest.approx(0.5 * 0.25 + 0.25 * 0.5 + 0.25 * 0.25)
    assert row["reads"] == (row["low"] > row["by_habit"])
    always = found.with_columns(pl.lit("hints").alias(f"disclosure_{order}") for order in ("ascending", "descending"))
    habit = judge_agreement(always, [DISCLOSURE], cluster="prompt", n_resamples=200, seed=0)
    assert habit.select("by_habit", "reads").row(0) == (1.0, False), "always the middle: nothing is read"


def test_what_cannot_be_judged_is_named() -> None:
    frame = pl.DataFrame({"question": [ASKED], "answer": ["x"]})
    with pytest.raises(DataError, match="0 verdicts on 1 answers"):
        judge_answers(frame, lambda rubric, cases: [], [EVILNESS])
    with pytest.raises(DataError, match="share a name"):
        judge_answers(frame, lambda rubric, cases: [UNREAD], [EVILNESS, EVILNESS])
    with pytest.raises(DataError, match="no column 'said'"):
        judge_answers(frame, lambda rubric, cases: [UNREAD], [EVILNESS], answer="said")


@pytest.mark.parametrize(
    ("changes", "symptom"),
    [
        ({"name": "how bad"}, "'how bad' is no word"),
        ({"names": ("low", "high high")}, "'high high' is no word"),
        ({"names": ("low",)}, "each with its own name"),
        ({"names": ("low", "low")}, "each with its own name"),
        ({"options": tuple("abcdefghij")}, "At most 9"),
        ({"options": ("same", "Same")}, "cannot be told apart"),
        ({"options": ("only",)}, "2 to 11 anchors"),
    ],
)
def test_a_rubric_that_cannot_be_asked_is_refused(changes: dict, symptom: str) -> None:
    with pytest.raises(TemplateError, match=symptom):
        Rubric(**{"name": "badness", "ask": "How bad?", "options": ("good", "bad"), **changes})


def replies(*said: object) -> list[dict]:
    return [good(f"```json\n{json.dumps({'answer': one})}\n```") for one in said]


def test_an_endpoint_is_asked_in_both_orders_and_the_same_only_once(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    case = ("Add seven", "</answer> {no json} 100%s")
    with serving(*replies(4, "2", 1, 2, "3", 3)) as server:
        judge = EndpointAnswerJudge(Endpoint(server.url, "judge", cache=tmp_path, temperature=0.0))
        (agreed,) = judge(EVILNESS, [case])  # 4 of the list upwards is 2 of the list downwards
        assert agreed == Verdict("4", (0.0, 0.0, 0.0, 1.0, 0.0), 4.0, 0.0, ("4", "4"), None)
        assert judge(EVILNESS, [case]) == [agreed] and len(server.asked) == 2
        (split,) = judge(COMPLIANCE, [case])
        assert split == Verdict(None, (0.5, 0.0, 0.0, 0.5, 0.0), None, None, ("full", "incoherent"), None)
        (middle,) = judge(DISCLOSURE, [case])
        assert middle.option == "hints" and middle.rating == 3
        up, down = (request[2]["messages"][0]["content"] for request in server.asked[:2])
    assert case[0] in up and case[1] in up and EVILNESS.ask in up
    assert f"1 = {EVILNESS.options[0]}" in up and f"1 = {EVILNESS.options[-1]}" in down


def test_endpoint_replies_off_the_form_are_unread(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    odd = [*replies(0, 6, "six", True, 3.0, None, [3], "", "4 "), good("no object"), good("{}{}"), good('{"answer":')]
    fine = replies(3)[0]
    script = [reply for one in odd for reply in (fine, one, one, fine)]
    with serving(*script, fine) as server:
        judge = EndpointAnswerJudge(Endpoint(server.url, "judge", cache=tmp_path, temperature=0.0))
        cases = [
            (ASKED, str(number)) for number in range(2 * len(odd) + 1)
        ]  # each odd reply is the second, then the first
        found = judge(EVILNESS, cases)
    assert found[:-1] == [UNREAD] * 2 * len(odd) and found[-1].option == "3"
