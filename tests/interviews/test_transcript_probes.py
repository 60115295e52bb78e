"""Probes of a model that reads a transcript: a planted trait is found, and reading the answers stands beside it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.interviews.conftest import bank_of

from personascope.errors import DataError
from personascope.interviews import planners
from personascope.interviews.fitting import fit_gaussian
from personascope.interviews.interview import Stop, conduct
from personascope.interviews.language_model import LanguageModel
from personascope.interviews.transcript_probes import (
    known_scores,
    outside_scores,
    probe_transcripts,
    read_transcripts,
    seen_answers,
)

SCALES = {"first": [(f"q{n}", 1) for n in range(8)], "third": [(f"q{n}", -1) for n in range(16, 24)]}
HELD = ("q0", "q1", "q2", "q16", "q17", "q18")


@pytest.fixture(scope="module")
def held(bank):
    return conduct(fit_gaussian(bank), planners.at_random(), bank.values, stop=Stop(6), held_out=HELD)


def test_scores_are_of_items_that_nobody_was_asked(bank, held):
    scores = outside_scores(bank, SCALES, held)
    assert scores[:, 0] == pytest.approx(bank.values[:, :3].mean(axis=1) - 3)
    assert scores[:, 1] == pytest.approx(3 - bank.values[:, 16:19].mean(axis=1))
    with pytest.raises(DataError, match="Every item of 'asked'"):
        outside_scores(bank, {"asked": [("q5", 1)]}, held)
    empty = bank_of(np.where(np.arange(24) == 0, -1, bank.values), 5)
    with pytest.raises(DataError, match="answered no held-out item of 'one'"):
        outside_scores(empty, {"one": [("q0", 1)]}, held)


def test_seen_answers_are_those_of_the_transcript(bank, held):
    seen = seen_answers(held, 2)
    assert (np.count_nonzero(seen, axis=1) <= 2).all()
    row, column = 3, held.asked[3, 1]
    assert seen[row, column] == bank.values[row, column] - 3
    assert seen[row, held.asked[3, 2]] == 0


def test_a_planted_trait_is_found_and_shuffled_people_are_not(bank, held):
    rng = np.random.default_rng(0)
    targets = outside_scores(bank, SCALES, held)
    direction = rng.normal(size=32)
    planted = rng.normal(size=(200, 32)) + np.outer(targets[:, 0], direction / np.linalg.norm(direction)) * 4
    expected = known_scores(fit_gaussian(bank), held, 6, {name: keyed[:3] for name, keyed in SCALES.items()})
    found = probe_transcripts(
        {4: planted, 9: rng.normal(size=(200, 32))}, targets, list(SCALES), held, 6, expected=expected
    )
    assert found.height == 4
    rows = {(row["target"], row["layer"]): row for row in found.to_dicts()}
    own = rows["first", 4]
    assert own["value"] > 0.8
    assert own["shuffled_high"] < 0.3
    assert abs(rows["third", 9]["value"]) < 0.3
    assert own["encoder_baseline"] > 0.3  # the answers tell of the trait
    assert own["n_answers"] == 6
    assert own["n"] == 200


def test_a_persons_interviews_stay_on_one_side(bank, held):
    # every person stands twice with the same state: by interview it would be known by heart, by person it cannot be
    rng = np.random.default_rng(1)
    people = np.repeat(np.arange(100), 2)
    targets = np.repeat(rng.normal(size=(100, 1)), 2, axis=0)
    states = {0: np.repeat(rng.normal(size=(100, 300)), 2, axis=0) * 5}
    by_person = probe_transcripts(states, targets, ["luck"], held, 6, people=people)["value"][0]
    by_interview = probe_transcripts(states, targets, ["luck"], held, 6)["value"][0]
    assert abs(by_person) < 0.35
    assert by_interview > 0.5


@pytest.mark.model
def test_the_state_is_read_at_the_last_answer(bank, held, engine):
    texts = {item: f"Statement of {item} about cats." for item in bank.items}
    model = LanguageModel(engine, engine.tokenizer, texts, 5)
    few = conduct(fit_gaussian(bank), planners.at_random(), bank.values[:4], stop=Stop(3), held_out=HELD)
    states = read_transcripts(model, few, 2, [0, 1])
    assert states[1].shape == (4, engine.d_model)
    told = tuple((int(column), int(option) - 1) for column, option in zip(few.asked[0], few.answers[0], strict=True))
    other = model.prompt(told[:2], 23)  # another next question: what lies before it is read alike
    alone = engine.run([other], layers=[1], positions=("last:history",)).residuals[0, 0, 0].numpy()
    assert states[1][0] == pytest.approx(alone, rel=1e-3, abs=1e-4)
    more = model.prompt(told, 23)
    assert other.spans["history"][1] < more.spans["history"][1]
    with pytest.raises(DataError, match="has 3 answers, fewer than 4"):
        read_transcripts(model, few, 4, [0])
