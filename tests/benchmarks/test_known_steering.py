"""The quick figures of the part are met, and a sign that is turned in the code turns them red."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks.planted import carrier, closed_form_rows, equality_rows, parity_rows, selectivity_rows

from personascope.direction import Direction


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def missed(records):
    return [record.name for record in records if not record.ok]


def test_the_quick_figures_are_met():
    assert missed(closed_form_rows.curves()) == []
    assert missed(closed_form_rows.ablations()) == []
    assert missed(equality_rows.patches()) == []


def test_a_broken_sign_turns_rows_red(monkeypatch):
    right = Direction.offset
    monkeypatch.setattr(Direction, "offset", lambda self: -right(self))
    red = missed(closed_form_rows.curves())
    assert red == ["carrier: P(label) equals the formula in every cell", "carrier: curve of P(A) equals the formula"]


def test_a_broken_sign_disagrees_with_the_hook_loop(monkeypatch):
    monkeypatch.setattr(parity_rows, "contenders", lambda: {"hook loop": parity_rows.hooked()})
    (record,) = parity_rows.rows(n_prompts=1)
    assert record.ok and record.value == record.n == 20
    right = parity_rows.clamp
    monkeypatch.setattr(parity_rows, "clamp", lambda direction, where: right(-direction, where))
    (record,) = parity_rows.rows(n_prompts=1)
    assert not record.ok and record.value == 16  # one kind of five, at four places


def test_the_formula_is_the_models_own_answer():
    """Not through the engine: the closed form against the plain forward pass."""
    planted = carrier.Carrier.of()
    (prompt,) = planted.prompts(1)
    logprobs = planted.engine.model(torch.tensor([prompt.ids])).logits[0, -1].double().log_softmax(-1)
    exact = planted.logprobs(planted.embedding[prompt.ids[-1]])
    assert logprobs.detach().numpy() == pytest.approx(exact, abs=1e-5)


def test_selectivity_of_a_turned_key_is_not_found(monkeypatch):
    none = selectivity_rows.largest("", np.zeros(1), 0.0)
    monkeypatch.setattr(selectivity_rows, "false_alarms", lambda _draw: none)
    assert missed(selectivity_rows.rows()) == []
    right = selectivity_rows.selectivity
    monkeypatch.setattr(
        selectivity_rows, "selectivity", lambda agreement, facet, key, **rest: right(agreement, facet, -key, **rest)
    )
    assert "planted selectivity: index" in missed(selectivity_rows.rows())
