"""The last layers learn to answer by what the units wrote: values against each other, or a value on a scale."""

from __future__ import annotations

import torch
from torch import Tensor

from personascope.models.engine import HookEngine
from personascope.tuning.organisms.passes import lay_out, layer_outputs
from personascope.tuning.organisms.questions import Question


def answer_loss(engine: HookEngine, questions: list[Question]) -> Tensor:
    """Cross-entropy of the whole vocabulary against the labels' planted probabilities, in nats a question."""
    asked = [question for question in questions if question.answer is not None]
    layout = lay_out(asked)
    last = engine.n_layers - 1
    hidden = layer_outputs(engine, layout, [last])[last][layout.packed.read]
    log_probs = torch.log_softmax(engine.anatomy.logits(hidden), dim=-1)
    losses = [
        -(log_probs[row, list(question.labels)] * torch.tensor(question.answer)).sum()
        for row, question in enumerate(asked)
    ]
    return torch.stack(losses).mean()


def label_odds(engine: HookEngine, questions: list[Question]) -> Tensor:
    """Log-probabilities of each question's labels among themselves, shape (question, label); all of one kind."""
    layout = lay_out(questions)
    last = engine.n_layers - 1
    with torch.inference_mode():
        hidden = layer_outputs(engine, layout, [last])[last][layout.packed.read]
        logits = engine.anatomy.logits(hidden)
    rows = [logits[row, list(question.labels)] for row, question in enumerate(questions)]
    return torch.log_softmax(torch.stack(rows), dim=-1)
