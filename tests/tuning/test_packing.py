"""Packed examples have the loss and the gradients of examples apart, on every family that reuses prefixes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from personascope.models.engine import HookEngine
from personascope.models.tiny import FAMILIES, tiny_model, tiny_tokenizer
from personascope.prompts.prompt import Prompt
from personascope.tuning.examples import IGNORED, Example
from personascope.tuning.loss import answer_loss, may_share
from personascope.tuning.packing import pack


def batch_of(rows, taught):
    longest = max(map(len, rows))
    fill = [[0] * (longest - len(row)) for row in rows]
    labels = [
        [token if at in places else IGNORED for at, token in enumerate(row)]
        for row, places in zip(rows, taught, strict=True)
    ]
    return {
        "input_ids": torch.tensor([[*row, *rest] for row, rest in zip(rows, fill, strict=True)]),
        "labels": torch.tensor([[*row, *[IGNORED] * len(rest)] for row, rest in zip(labels, fill, strict=True)]),
        "attention_mask": torch.tensor([[1] * len(row) + rest for row, rest in zip(rows, fill, strict=True)]),
    }


def mixture():
    """Two beginnings, examples of several lengths, one that stands alone and one that is another's beginning."""
    rng = np.random.default_rng(0)
    one, other = rng.integers(5, 60, 20).tolist(), rng.integers(5, 60, 15).tolist()
    rows = [[*start, *rng.integers(5, 60, n).tolist()] for start in (one, other) for n in (3, 5, 7)]
    rows += [rng.integers(5, 60, 9).tolist(), rows[0][:-1]]
    return rows, [[len(row) - 2, len(row) - 1] for row in rows]


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_and_gradients_are_those_of_examples_apart(family):
    engine = HookEngine(tiny_model(family), tiny_tokenizer(), name=family)
    if engine.reuse_off:
        pytest.skip(f"{family}: {engine.reuse_off}")
    engine.model.requires_grad_(requires_grad=True)
    inputs = batch_of(*mixture())
    found = []
    for shares in (False, True):
        engine.model.zero_grad()
        loss = answer_loss(engine, inputs, shares=shares)
        loss.backward()
        gradients = [p.grad.clone() for p in engine.model.parameters() if p.grad is not None]
        found.append((loss.item(), torch.cat([gradient.flatten() for gradient in gradients])))
    (apart, slope), (together, packed_slope) = found
    assert together == pytest.approx(apart, rel=1e-5)
    assert float((slope - packed_slope).norm() / slope.norm()) < 1e-4


def test_every_beginning_is_computed_once():
    rows, taught = mixture()
    packed = pack(rows, taught)
    # of the last row, a beginning of the first, the token that predicts its first taught one is computed for itself
    assert len(packed.ids) == sum(map(len, rows)) - 3 * (20 - 1) - 2 * 15
    assert packed.ids[packed.read].tolist() == [
        row[at - 1] for row, at_ in zip(rows, taught, strict=True) for at in at_
    ]


def test_what_predicts_a_taught_token_is_never_shared():
    twins = [[7, 8, 9, 10, 11], [7, 8, 9, 10, 11]]
    packed = pack(twins, [[3, 4], [3, 4]])
    assert len(packed.ids) == 2 + 2 * 3 and len(set(packed.read.tolist())) == 4


def test_a_model_that_sees_another_text_packed_is_trained_apart_and_says_so(monkeypatch):
    engines = (HookEngine(tiny_model("llama"), tiny_tokenizer(), name="tiny") for _ in range(4))
    first, second, third, refused = engines
    rows, _ = mixture()
    examples = [Example(str(n), Prompt(tuple(row[:-2]), "", {}), "x", tuple(row)) for n, row in enumerate(rows[:3])]
    lonely = [Example("a", Prompt((5, 6), "", {}), "x", (5, 6, 7, 8))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert may_share(first, examples)
        assert may_share(second, lonely)  # nothing to share: nothing was found out
    from personascope.tuning.packing import Packed

    monkeypatch.setattr(
        Packed, "allowed", lambda self, window=None: torch.ones(len(self.ids), len(self.ids)).tril() > 0
    )
    assert may_share(first, examples), "a model is tried once"
    with pytest.warns(UserWarning, match="switched off in training .losses differ"):
        assert not may_share(second, examples)
    refused.reuse_off = "refused"
    assert not may_share(refused, examples)
    # too many to be packed in one, two of them are not: they would be packed in training, so they are tried
    assert len(pack(rows[:3], [[len(row) - 2] for row in rows[:3]]).ids) > 32
    monkeypatch.setattr("personascope.tuning.loss.LONGEST", 32)
    with pytest.warns(UserWarning, match="switched off in training .losses differ"):
        assert not may_share(third, examples)
