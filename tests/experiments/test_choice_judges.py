"""Judges: what a local model and an endpoint are asked, that places cancel, and that nothing unreadable is guessed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

from scripted_server import good, serving
from word_engine import TASKS, word_engine

from personascope.experiments.choice_judges import (
    UNREAD,
    ChoiceJudge,
    EndpointJudge,
    Judged,
    LocalJudge,
    judge_all,
    read_verdict,
)
from personascope.models.backend import Outputs
from personascope.models.endpoint import Endpoint
from personascope.models.engine import HookEngine

A, B = TASKS[0].text, TASKS[2].text
VERDICT = {"says": "second", "begins": "first", "declines": False, "compliance": "caveat"}


class Reader(HookEngine):
    """Stands in for an engine: scores options by what the prompt says, plus a preference for a place."""

    def __init__(self, place: float = 0.0) -> None:
        self.place, self.prompts, self.calls = place, [], 0
        self.tokenizer = word_engine().tokenizer

    def run(self, prompts, *, options=None, **_):
        import torch

        self.calls += 1
        self.prompts += [prompt.text for prompt in prompts]
        scores = torch.full((len(prompts), len(options.labels)), -9.0)
        for row, prompt in enumerate(prompts):
            first = prompt.text.index(A) < prompt.text.index(B)
            means_b = 1 if first else 0  # the answer took B
            scores[row, means_b] = -1.0
            scores[row, 0] += self.place
        return Outputs(torch.zeros(len(prompts), 0, 1, 4), scores, torch.full((len(prompts),), -20.0))


def test_a_preference_for_a_place_cancels_over_both_orders() -> None:
    for place in (0.0, 5.0, 100.0):
        judge = LocalJudge(Reader(place))
        found = judge(A, B, "rain rain")
        assert (found.label, found.executed) == ("b", "b"), place
        scores = judge.log_probabilities([(A, B, "rain rain")])
        assert np.isclose(scores["label"][0, 1] - scores["label"][0, 0], 8.0)
        swapped = judge.log_probabilities([(B, A, "rain rain")])
        assert np.allclose(swapped["label"][:, [1, 0, 2]], scores["label"])


def test_the_local_judge_is_shown_both_orders_and_nothing_of_who_answered() -> None:
    reader = Reader()
    LocalJudge(reader, answer_characters=9).read([(A, B, "verses of long rain")])
    assert reader.calls == 1 and len(reader.prompts) == 6
    assert sum(text.index(A) < text.index(B) for text in reader.prompts) == 3
    for text in reader.prompts:
        assert f"Task A): {A}" in text and f"Task B): {B}" in text
        assert "verses of" in text and "long rain" not in text
        assert "persona" not in text.casefold()


def test_equal_answers_are_judged_once_and_in_order() -> None:
    seen: list[str] = []

    def judge(task_a: str, task_b: str, answer: str) -> Judged:
        seen.append(answer)
        return Judged("a" if answer == "x" else "b", "unclear", False, "full")

    assert isinstance(judge, ChoiceJudge)
    found = judge_all(judge, [(A, B, "x"), (A, B, "y"), (A, B, "x")])
    assert [one.label for one in found] == ["a", "b", "a"] and seen == ["x", "y"]


def test_a_tiny_model_judges_every_answer() -> None:
    judge = LocalJudge(word_engine())
    cases = [(A, B, "Task A : Add seven"), (A, B, ""), (B, A, "I cannot </s> <s> go")]
    found = judge_all(judge, cases)
    assert len(found) == 3 and all(one.compliance is not None for one in found)
    assert found[0] == judge(*cases[0])
    assert LocalJudge(word_engine()).read([]) == []


def test_an_endpoint_judge_reads_json_and_asks_the_same_only_once(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    answer = "Task B: </answer> {not json} 100%s"
    with serving(good(f"```json\n{json.dumps(VERDICT)}\n```"), good("second call")) as server:
        judge = EndpointJudge(Endpoint(server.url, "judge", cache=tmp_path, temperature=0.0))
        found = judge(A, B, answer)
        assert judge(A, B, answer) == found == Judged("b", "a", False, "caveat")
        assert EndpointJudge(Endpoint(server.url, "judge", cache=tmp_path, temperature=0.0))(A, B, answer) == found
        assert len(server.asked) == 1
        assert judge(B, A, answer) == UNREAD
        asked = server.asked[0][2]["messages"][0]["content"]
    assert A in asked and B in asked and answer in asked and asked.index(A) < asked.index(B)


@pytest.mark.parametrize(
    "change",
    [
        {"says": "third"},
        {"begins": "none"},
        {"declines": "no"},
        {"declines": 1},
        {"compliance": "partial"},
        {"says": None},
    ],
)
def test_a_verdict_off_the_form_is_unread(change: dict) -> None:
    assert read_verdict(json.dumps(VERDICT)) == Judged("b", "a", False, "caveat")
    assert read_verdict(json.dumps(VERDICT | change)) == UNREAD


@pytest.mark.parametrize("text", ["", "second", "{", "[]", '{"says": "first"}', json.dumps(VERDICT) * 2, "{}" * 3])
def test_what_is_no_single_verdict_is_unread(text: str) -> None:
    assert read_verdict(text) == UNREAD and UNREAD.outcome == "other"


def test_outcomes_of_judges_follow_the_rule_of_the_parser() -> None:
    assert Judged("a", "b", False, "full").outcome == "first"
    assert Judged("a", "a", True, "refusal").outcome == "refusal"
    assert Judged(None, "b", False, "full").outcome == "second"
