"""saklas in its own process: its fit-wide pooled capture, and its constant-push steering hook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.peers.batches import Batch, sweeper, versions
from benchmarks.peers.serve import Library, Rows, SweepCall, serve


def load(folder: Path) -> Library:
    """Load saklas and the model, the model by saklas itself."""
    from saklas.core.capture import _CAPTURE_BATCH_MAX, _encode_and_capture_all_batch, _ReusablePooledCapture
    from saklas.core.hooks import SteeringHook
    from saklas.core.manifold import CustomDomain, LayerSubspace
    from saklas.core.model import get_layers, load_model
    from saklas.core.triggers import Trigger, TriggerContext

    model, tokenizer = load_model(str(folder), device="cpu", dtype=torch.float32)
    blocks = get_layers(model)
    cpu = torch.device("cpu")

    def capture(rows: Rows, layers: Sequence[int]) -> Tensor:
        """The loop of its `compute_manifold_node_stats`: rows by length, batches of its largest size."""
        prepared = [(torch.tensor([list(row)]), len(row) - 1) for row in rows]
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        found = torch.empty((len(rows), len(layers), model.config.hidden_size))
        with _ReusablePooledCapture(model, blocks, layers) as context:
            for start in range(0, len(order), _CAPTURE_BATCH_MAX):
                part = order[start : start + _CAPTURE_BATCH_MAX]
                kept = _encode_and_capture_all_batch(
                    model,
                    tokenizer,
                    [""] * len(part),
                    [""] * len(part),
                    blocks,
                    cpu,
                    layer_indices=layers,
                    rendered=[prepared[row] for row in part],
                    capture_context=context,
                )
                found[part] = torch.stack([kept[layer] for layer in layers], dim=1)
        return found

    @contextmanager
    def steer(layer: int, vector: Tensor, coefficient: float, _batch: Batch) -> Iterator[None]:
        size = vector.norm()
        line = LayerSubspace.affine(torch.zeros_like(vector), (vector / size)[None])
        push = (line, CustomDomain(1), (coefficient * size)[None], torch.zeros(1), 1.0, 0.0, 0.0, Trigger.BOTH)
        hook = SteeringHook()
        hook.recompose([push], TriggerContext(), device=cpu, dtype=torch.float32)
        hook.attach(blocks[layer])
        try:
            yield
        finally:
            hook.detach()

    loop = sweeper(model, steer)

    def sweep(call: SweepCall) -> Tensor:
        if any(call.first_steered):
            raise ValueError("saklas steers all tokens of a prompt or none: first_steered must be 0 in every row")
        return loop(call)

    return Library(
        versions=versions("saklas"),
        threads=torch.get_num_threads(),
        layers=len(blocks),
        positions="all",
        capture=capture,
        sweep=sweep,
        note="capture by its private functions, in batches of 64 sorted by length as its fit does; steers all tokens",
    )


if __name__ == "__main__":
    serve(load)
