"""repeng in its own process: `batched_get_hiddens` for capture, `ControlModel` for steering."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers.batches import SIZE, Batch, float32_model, left_padded, positions_of, sweeper, versions
from benchmarks.peers.serve import Library, Rows, serve


def rows_as_they_are(rows: Rows, **_padding: object) -> Any:
    """Stands in for the tokenizer: the rows are token ids already, and are only padded."""
    from transformers import BatchEncoding

    return BatchEncoding(left_padded(rows))


def load(folder: Path) -> Library:
    """Load repeng and the model."""
    from repeng import ControlModel, ControlVector
    from repeng.extract import batched_get_hiddens

    model = float32_model(folder)

    def capture(rows: Rows, layers: Sequence[int]) -> Tensor:
        found = batched_get_hiddens(model, rows_as_they_are, rows, list(layers), batch_size=SIZE)
        return torch.stack([torch.from_numpy(found[layer]) for layer in layers], dim=1)

    @contextmanager
    def steer(layer: int, vector: Tensor, coefficient: float, batch: Batch) -> Iterator[None]:
        control = ControlModel(model, [layer])
        chosen = {}
        if batch.steered is not None:
            mask = batch.steered[..., None]
            chosen["operator"] = lambda current, added: current + added * mask
        try:
            control.set_control(ControlVector(model.config.model_type, {layer: vector.numpy()}), coefficient, **chosen)
            yield
        finally:
            control.unwrap()

    return Library(
        versions=versions("repeng"),
        threads=torch.get_num_threads(),
        layers=model.config.num_hidden_layers - 1,
        positions="any",
        capture=capture,
        # its steering reads the position ids, and needs one row of them per prompt
        sweep=sweeper(model, steer, position_ids=positions_of),
        note="batches of 16; token ids instead of text; its last layer comes after the final norm and is left out",
    )


if __name__ == "__main__":
    serve(load)
