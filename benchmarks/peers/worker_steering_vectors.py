"""steering-vectors in its own process: `record_activations` for capture, `SteeringVector.apply` for steering."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers.batches import Batch, batches, float32_model, sweeper, versions
from benchmarks.peers.serve import Library, Rows, serve


def load(folder: Path) -> Library:
    """Load steering-vectors and the model."""
    from steering_vectors import SteeringVector, record_activations

    model = float32_model(folder)

    @torch.inference_mode()
    def capture(rows: Rows, layers: Sequence[int]) -> Tensor:
        found = []
        for batch in batches(rows):
            with record_activations(model, layer_nums=list(layers)) as recorded:
                model(**batch.inputs)
            found.append(torch.stack([recorded[layer][0][:, -1] for layer in layers], dim=1))
        return torch.cat(found)

    def steer(layer: int, vector: Tensor, coefficient: float, batch: Batch) -> AbstractContextManager[Any]:
        where = {} if batch.steered is None else {"min_token_index": None, "token_indices": batch.steered.float()}
        return SteeringVector({layer: vector}).apply(model, multiplier=coefficient, **where)

    return Library(
        versions=versions("steering-vectors"),
        threads=torch.get_num_threads(),
        layers=model.config.num_hidden_layers,
        positions="any",
        capture=capture,
        sweep=sweeper(model, steer),
        note="batches of 16 (its own default is 1)",
    )


if __name__ == "__main__":
    serve(load)
