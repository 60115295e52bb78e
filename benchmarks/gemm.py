"""The ceiling: how fast this machine multiplies matrices of a model's own shapes, and how near a run came to it."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import torch

from personascope.models.engine import HookEngine

ROWS = (256, 1024, 2048)


def flops_per_token(engine: HookEngine) -> float:
    """Floating-point operations of one token through all blocks: two for every weight of a linear layer in them."""
    weights = sum(
        parameter.numel() for layer in engine.anatomy.layers for parameter in layer.parameters() if parameter.ndim == 2
    )
    return 2.0 * weights


@torch.inference_mode()
def gemm_rate(engine: HookEngine, seconds: float = 1.0) -> float:
    """Operations per second on the matrices of the model's first block; the best of several numbers of rows."""
    weights = [p for p in engine.anatomy.layers[0].parameters() if p.ndim == 2]
    return max(_rate(weights, rows, seconds / len(ROWS)) for rows in ROWS)


def _rate(weights: list[Any], rows: int, seconds: float) -> float:
    inputs = [torch.randn(rows, w.shape[1], dtype=w.dtype, device=w.device) for w in weights]
    operations = sum(2.0 * rows * w.numel() for w in weights)
    done, started = 0, perf_counter()
    while done == 0 or perf_counter() - started < seconds:
        for x, w in zip(inputs, weights, strict=True):
            torch.nn.functional.linear(x, w)
        if weights[0].is_cuda:
            torch.cuda.synchronize()
        done += 1
    return done * operations / (perf_counter() - started)
