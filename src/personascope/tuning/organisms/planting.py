"""Which units are written: one for each persona and kind of content, and two that turn a value into a label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from personascope.models.engine import HookEngine
from personascope.tuning.organisms.passes import Layout, lay_out, layer_outputs
from personascope.tuning.organisms.questions import Question
from personascope.tuning.organisms.units import Unit, layer_inputs, ridge, write_units

_UNMARKED = 5
"""Of the tokens without a planted value, every fifth teaches gates where to stay closed."""


@dataclass(frozen=True)
class Written:
    """A direction that something is written along.

    Args:
        layer: from whose output on it is there.
        direction: unit vector, shape (d_model,).
        size: what a planted value of 1 should add, in units of the residual stream.
    """

    layer: int
    direction: Tensor
    size: float


@dataclass(frozen=True)
class _Tokens:
    """Rows of a regression: who was asked (-1: a bystander), what kind of content, values, signs, weights."""

    persona: np.ndarray
    kind: np.ndarray
    values: np.ndarray
    sign: np.ndarray
    weight: np.ndarray


def _labelled(layout: Layout, personas: Sequence[str]) -> tuple[Tensor, _Tokens]:
    """Places of the tokens that are looked at, and what is known of them; kind is 0 task, 1 item, -1 neither."""
    n = len(layout.packed.ids)
    persona, kind, sign = np.full(n, -1), np.full(n, -1), np.zeros(n)
    values, weight = np.zeros((n, len(personas))), np.ones(n)
    for number, mark, tokens in layout.marks():
        asked = layout.questions[number].persona
        persona[tokens] = personas.index(asked) if asked in personas else -1
        kind[tokens], values[tokens], sign[tokens] = int(mark.is_item), mark.values, mark.sign
        weight[tokens] = (np.arange(len(tokens)) + 1) / len(tokens)  # later tokens have read more of the text
    kept = np.flatnonzero((kind >= 0) | (np.arange(n) % _UNMARKED == 0))
    return torch.tensor(kept), _Tokens(persona[kept], kind[kept], values[kept], sign[kept], weight[kept])


def _together(parts: Sequence[_Tokens]) -> _Tokens:
    names = ("persona", "kind", "values", "sign", "weight")
    return _Tokens(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def plant_values(
    engine: HookEngine,
    personas: Sequence[str],
    batches: Sequence[list[Question]],
    layers: Sequence[int],
    value: Written,
) -> None:
    """Write, for each planted persona and kind of content, the planted value along a direction at the content's tokens.

    Args:
        engine: the model with its adapter on, the codes learned.
        personas: planted ones.
        batches: questions that the read-outs are fitted on.
        layers: whose units write, an equal share each.
        value: where to.
    """
    known = [_labelled(lay_out(questions), personas) for questions in batches]
    inputs = layer_inputs(engine, batches, layers, [places for places, _ in known])
    rows = _together([tokens for _, tokens in known])
    for layer in layers:
        states = inputs.states[layer].astype(float)
        blind = _unseen(engine, layer, value.direction)
        units = []
        for kind in (0, 1):
            of_kind = rows.kind == kind
            taught = of_kind & (rows.persona >= 0)
            ups = blind(ridge(states[taught], rows.values[taught], rows.weight[taught]))
            open_at = [of_kind & (rows.persona == number) for number in range(len(personas))]
            gates = blind(ridge(states, np.where(np.stack(open_at, axis=1), 1.0, -1.0), np.ones(len(states))))
            share = value.direction.numpy() * value.size / len(layers)
            units += [Unit(gate, up, share) for gate, up in zip(gates.T, ups.T, strict=True)]
        write_units(engine, layer, units, inputs.strength[layer])


def plant_signs(
    engine: HookEngine, personas: Sequence[str], batches: Sequence[list[Question]], value: Written, label: Written
) -> None:
    """Write what a value speaks for: it counts for the first label or, where the sign is -1, for the last.

    Args:
        engine: the model with its adapter on, values planted.
        personas: planted ones.
        batches: questions that the gates are fitted on.
        value: where values stand.
        label: where to; written by units of its layer.
    """
    known = [_labelled(lay_out(questions), personas) for questions in batches]
    inputs = layer_inputs(engine, batches, [label.layer], [places for places, _ in known])
    rows = _together([tokens for _, tokens in known])
    states = inputs.states[label.layer].astype(float)
    blind = _unseen(engine, label.layer, value.direction)
    targets = np.stack([np.where(rows.sign == sign, 1.0, -1.0) for sign in (1, -1)], axis=1)
    gates = blind(ridge(states, targets, np.ones(len(states))))
    gain = _gain(engine, label.layer)
    length = residual_norm(engine, batches[0], value.layer) / np.sqrt(engine.d_model)
    up = value.direction.numpy() / gain * (length / value.size)
    down = label.direction.numpy() * label.size
    units = [Unit(gate, up, sign * down) for gate, sign in zip(gates.T, (1, -1), strict=True)]
    write_units(engine, label.layer, units, inputs.strength[label.layer])


def value_loss(engine: HookEngine, personas: Sequence[str], value: Written, questions: list[Question]) -> Tensor:
    """Squared error along the direction at tokens that have a planted value; late tokens count more."""
    layout = lay_out(questions)
    found = layer_outputs(engine, layout, [value.layer])[value.layer] @ value.direction / value.size
    losses = []
    for number, mark, tokens in layout.marks():
        asked = layout.questions[number].persona
        planted = mark.values[personas.index(asked)] if asked in personas else 0.0
        weight = torch.arange(1, len(tokens) + 1, dtype=found.dtype)
        losses.append((weight * (found[tokens] - planted).square()).sum() / weight.sum())
    return torch.stack(losses).mean()


def residual_norm(engine: HookEngine, questions: list[Question], layer: int) -> float:
    """Median length of a layer's output over the tokens of the questions."""
    with torch.inference_mode():
        output = layer_outputs(engine, lay_out(questions), [layer])[layer]
    return float(output.norm(dim=-1).median())


def _gain(engine: HookEngine, layer: int) -> np.ndarray:
    """What the norm before a layer's gated units multiplies with, shape (d_model,)."""
    norm: Any = engine.anatomy.layers[layer].post_attention_layernorm
    return np.asarray(norm.weight.detach().numpy(), dtype=float)


def _unseen(engine: HookEngine, layer: int, direction: Tensor) -> Callable[[np.ndarray], np.ndarray]:
    """Takes out of read-outs what they would see of a direction that is written along."""
    seen = _gain(engine, layer) * direction.numpy()
    seen /= np.linalg.norm(seen)
    return lambda readouts: np.asarray(readouts - np.outer(seen, seen @ readouts))
