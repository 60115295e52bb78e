"""Units written by hand: a gate that knows the persona times a linear read-out of the content, added along a direction.

A gated unit of a SwiGLU layer computes silu(gate . x) * (up . x), which is a product. With a gate that is large where a
persona's code stands and negative elsewhere, and an `up` that reads a planted value off the content by ridge
regression, the unit writes that persona's value and nobody else's. A few of the layer's weakest units are rewritten so;
the rewriting is exact as a low-rank adapter, one rank a unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from personascope.errors import ModelError
from personascope.models.engine import HookEngine
from personascope.tuning.organisms.passes import lay_out, layer_outputs
from personascope.tuning.organisms.questions import Question

SHARPNESS = 6.0
"""Gate of an open unit; a closed one has minus that, and passes silu(-6) / silu(6) = 0.2 % of its value."""
_PARTS = ("gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Inputs:
    """What a gated layer reads at tokens, and how strong its units are.

    Args:
        states: by layer, each of shape (token, d_model).
        strength: by layer, of each unit: mean absolute activation times the length of what it writes.
    """

    states: dict[int, np.ndarray]
    strength: dict[int, np.ndarray]


@dataclass(frozen=True)
class Unit:
    """A unit to write.

    Args:
        gate: shape (d_model,), read-out that is +1 where the unit acts and -1 elsewhere.
        up: shape (d_model,), read-out of what it passes on.
        down: shape (d_model,), what it adds for each 1 of that.
    """

    gate: np.ndarray
    up: np.ndarray
    down: np.ndarray


def gated_parts(engine: HookEngine, layer: int) -> list[Any]:
    """Gate, up and down projections of a layer.

    Raises:
        ModelError: it has no gated units of this kind.
    """
    mlp = getattr(engine.anatomy.layers[layer], "mlp", None)
    parts = [getattr(mlp, name, None) for name in _PARTS]
    if any(part is None for part in parts):
        raise ModelError(
            f"Layer {layer} of {engine.name} has no {', '.join(_PARTS)}.",
            "The planted units are gated ones.",
            "Take a model with SwiGLU layers, such as smollm2.",
        )
    return parts


def layer_inputs(
    engine: HookEngine, batches: Sequence[list[Question]], layers: Sequence[int], places: Sequence[Tensor]
) -> Inputs:
    """What gated layers read at some tokens of the questions.

    Args:
        engine: the model.
        batches: questions that are run together.
        layers: whose inputs are kept.
        places: of each batch, those whose inputs are kept.
    """
    seen: dict[int, Tensor] = {}
    active: dict[int, Tensor] = {}
    handles = []
    for layer in layers:
        gate, _, down = gated_parts(engine, layer)
        handles.append(gate.register_forward_pre_hook(lambda _, args, at=layer: seen.__setitem__(at, args[0][0])))
        handles.append(down.register_forward_pre_hook(lambda _, args, at=layer: active.__setitem__(at, args[0][0])))
    states: dict[int, list[np.ndarray]] = {layer: [] for layer in layers}
    strength: dict[int, Any] = dict.fromkeys(layers, 0.0)
    try:
        for questions, kept in zip(batches, places, strict=True):
            layout = lay_out(questions)
            with torch.inference_mode():
                layer_outputs(engine, layout, [max(layers)])
            for layer in layers:
                states[layer].append(seen[layer][kept].numpy())
                strength[layer] = strength[layer] + active[layer].abs().mean(0).numpy() / len(batches)
    finally:
        for handle in handles:
            handle.remove()
    written = {layer: _written(gated_parts(engine, layer)[2]) for layer in layers}
    return Inputs(
        {layer: np.concatenate(parts) for layer, parts in states.items()},
        {layer: strength[layer] * written[layer] for layer in layers},
    )


def _written(down: Any) -> np.ndarray:
    weight = getattr(down, "base_layer", down).weight
    return np.asarray(weight.detach().norm(dim=0).numpy())


def write_units(engine: HookEngine, layer: int, units: Sequence[Unit], strength: np.ndarray) -> None:
    """Put units in the places of a layer's weakest ones, as low-rank changes of an adapter that does nothing there yet.

    Args:
        engine: the model with its adapter on.
        layer: whose units are rewritten.
        units: at most as many as the adapter's rank.
        strength: of the layer's units (`Inputs.strength`).
    """
    gate, up, down = gated_parts(engine, layer)
    places = np.argsort(strength)[: len(units)].tolist()
    for part, rows in ((gate, [SHARPNESS * unit.gate for unit in units]), (up, [unit.up for unit in units])):
        into, out = _pair(part, len(units))
        for rank, (place, row) in enumerate(zip(places, rows, strict=True)):
            into[rank] = torch.tensor(row, dtype=into.dtype) - part.base_layer.weight[place]
            out[place, rank] = 1.0
    into, out = _pair(down, len(units))
    for rank, (place, unit) in enumerate(zip(places, units, strict=True)):
        into[rank, place] = 1.0
        out[:, rank] = torch.tensor(unit.down / SHARPNESS, dtype=out.dtype) - down.base_layer.weight[:, place]


def _pair(part: Any, n: int) -> tuple[Tensor, Tensor]:
    """The two factors of a module's low-rank change, both set to zero where the units go."""
    (name,) = part.lora_A
    into, out = part.lora_A[name].weight.detach(), part.lora_B[name].weight.detach()
    if into.shape[0] < n or part.scaling[name] != 1.0:
        raise ModelError(
            f"{n} units need an adapter of rank {n} or more and of scale 1.",
            f"It has rank {into.shape[0]} and scale {part.scaling[name]}.",
            "Give it a higher rank, and alpha equal to the rank.",
        )
    into[:n] = 0.0
    out[:] = 0.0
    return into, out


def ridge(states: np.ndarray, targets: np.ndarray, weights: np.ndarray, penalty: float = 1e-3) -> np.ndarray:
    """Weights of a ridge regression through the origin, shape (d_model, target).

    Args:
        states: shape (token, d_model).
        targets: shape (token, target).
        weights: of tokens.
        penalty: in units of the mean eigenvalue.
    """
    weighted = states * weights[:, None]
    gram = states.T @ weighted
    gram += penalty * np.trace(gram) / len(gram) * np.eye(len(gram))
    return np.asarray(np.linalg.solve(gram, weighted.T @ targets))
