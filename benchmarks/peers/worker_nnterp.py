"""nnterp in its own process: `collect_token_activations_batched` for capture, `StandardizedTransformer.steer`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers.batches import SIZE, batches, option_logprobs, versions
from benchmarks.peers.serve import Library, Rows, SweepCall, serve


def load(folder: Path) -> Library:
    """Load nnterp and the model, the model by nnterp itself."""
    from nnterp import StandardizedTransformer
    from nnterp.nnsight_utils import collect_token_activations_batched

    model = StandardizedTransformer(str(folder), dtype=torch.float32, device_map="cpu")

    @torch.inference_mode()
    def capture(rows: Rows, layers: Sequence[int]) -> Tensor:
        lists = [list(row) for row in rows]
        return collect_token_activations_batched(model, lists, SIZE, layers=list(layers)).transpose(0, 1)

    @torch.no_grad()  # not inference_mode: nnsight edits the tensors in a thread of its own, where that mode is off
    def sweep(call: SweepCall) -> Tensor:
        cells = [(layer, coefficient) for layer in call.vectors for coefficient in call.coefficients]
        found = torch.empty((len(cells), len(call.rows), len(call.options)))
        vectors = {layer: torch.from_numpy(vector) for layer, vector in call.vectors.items()}
        wanted = {"logits_to_keep": 1} if call.last_logits_only else {}
        for cell, (layer, coefficient) in enumerate(cells):
            for batch in batches(call.rows, call.first_steered):
                where: dict[str, Any] = {}
                if batch.steered is not None:
                    row, token = batch.steered.nonzero(as_tuple=True)
                    where = {"batch_index": row, "token_positions": token}
                with model.trace(batch.inputs, **wanted):
                    model.steer(layer, vectors[layer], coefficient, **where)
                    logits = model.logits[:, -1].save()
                found[cell, batch.rows] = option_logprobs(logits, call.options)
        return found

    return Library(
        versions=versions("nnterp", "nnsight"),
        threads=torch.get_num_threads(),
        layers=model.num_layers,
        positions="any",
        capture=capture,
        sweep=sweep,
        note="batches of 16; nnsight 0.7, as it does not run on 0.8",
    )


if __name__ == "__main__":
    serve(load)
