"""The quick figures of the part are met, and an estimate or an adapter that is spoiled turns them red."""

from __future__ import annotations

import datasets
import numpy as np
import pytest
import torch
from benchmarks.planted import drift_rows, lessons, matching_rows, movement_rows, movements, shift_rows, training_rows

from personascope.prompts.render import render
from personascope.tuning import matching


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def missed(records):
    return [record.name for record in records if not record.ok]


def test_the_quick_figures_are_met():
    assert missed(matching_rows.rows()) == missed(shift_rows.rows()) == []


def test_halves_that_share_their_error_turn_rows_red(monkeypatch):
    monkeypatch.setattr(movement_rows, "N_STILL", 30)
    right = movement_rows.split_halves
    assert missed(movement_rows.standing_still()) == []

    def whole(data, masks):
        return right(data, masks * 0 + 1)

    def both(data, masks):
        halves = whole(data, masks)
        return type(halves)(halves.measurements, halves.one, halves.one)

    monkeypatch.setattr(movement_rows, "split_halves", both)
    red = missed(movement_rows.standing_still())
    assert [name for name in red if not name.startswith(" ")] == red and sum("SE 0.10" in name for name in red) == 2


def test_keys_that_are_lost_turn_rows_red(monkeypatch):
    monkeypatch.setattr(movement_rows, "N_READ", 4)
    right = movements.movement
    assert missed(movement_rows.by_key()) == []
    monkeypatch.setattr(movement_rows, "movement", lambda seed, raised=0.0, **how: right(seed, **how))
    assert "ratings only raised: read as answer shift" in missed(movement_rows.by_key())


def test_a_drift_that_is_not_planted_turns_rows_red(monkeypatch):
    monkeypatch.setattr(drift_rows, "N", 2)
    monkeypatch.setattr(drift_rows, "drifted", drift_rows.stayed)
    assert "ideal of one facet drifted: not stable, that facet alone" in missed(drift_rows.drifts())


def test_a_match_beyond_the_peak_turns_rows_red(monkeypatch):
    monkeypatch.setattr(matching_rows, "coefficient", lambda response: 0.5 + response)
    assert missed(matching_rows.rows()) == ["matched push, the other way"]
    monkeypatch.undo()
    right = matching._between
    monkeypatch.setattr(matching, "_between", lambda at, low, high, goal, tolerance: right(at, low, high, goal, 0.3))
    assert "matched push: response off the target" in missed(matching_rows.rows())


def test_an_adapter_of_another_direction_turns_rows_red(monkeypatch):
    right = shift_rows.save_planted
    monkeypatch.setattr(shift_rows, "save_planted", lambda folder, vector: right(folder, shift_rows.unit(99)))
    red = missed(shift_rows.rows())
    assert "planted adapter: cosine of the shift with its direction" in red
    assert "planted adapter: share inside a subspace with it" in red


def test_a_loss_on_the_prompt_turns_the_row_red(monkeypatch, tmp_path):
    engine = lessons.pupil()
    taught, reworded = (lessons.lesson(engine.tokenizer, wording) for wording in (lessons.LIKED, lessons.REWORDED))
    assert missed(training_rows.tokens(engine, taught, reworded, tmp_path / "a")) == []
    right = datasets.Dataset.from_list
    whole = lambda rows: right([row | {"labels": row["input_ids"]} for row in rows])  # noqa: E731  (a library's default)
    monkeypatch.setattr(datasets.Dataset, "from_list", whole)
    red = missed(training_rows.tokens(engine, taught, reworded, tmp_path / "b"))
    assert red[0] == "training: examples not taught their answer and nothing else"


def test_movements_are_what_they_say():
    items = movements.movement(3, truth=0.4, se=0.0, raised=0.01)
    way = (items["ideal"] - items["before"]).to_numpy()
    np.testing.assert_allclose(items["after"] - items["before"] - 0.01 * items["key"], 0.4 * way, atol=1e-12)
    assert render(lessons.pupil().tokenizer, lessons.RATE, {"item": "I like rain."}).text.endswith("Rating: ")
