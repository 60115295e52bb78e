"""A planted LoRA adapter that adds one known direction: what is measured of it between base and tuned model."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.planted.equality_rows import LAYERS, tiny_engine, tiny_prompts
from benchmarks.planted.held import every
from benchmarks.records import Record, largest, smallest
from personascope.models.adapters import attached, switched
from personascope.models.tiny import WIDTH, tiny_model
from personascope.tuning.shift_geometry import shift_table, subspace_table

LAYER, N_PROMPTS, N_OTHERS = 1, 60, 40
LENGTH = 2.0
"""Mean length of the planted shift at the answer token; the residual stream is about 6 long there."""


def rows() -> list[Record]:
    """All of them."""
    vector, others = unit(0), {f"random {seed}": unit(seed) for seed in range(1, N_OTHERS + 1)}
    with tempfile.TemporaryDirectory() as folder:
        tuned, base = residuals(save_planted(Path(folder), vector))
    shift = tuned - base
    at = {"layer": LAYER}
    table = shift_table({"planted": shift[LAYER]}, {"planted": vector, **others}, base[LAYER], **at)
    own = table.filter(other="planted").row(0, named=True)
    random = table.filter(table["other"] != "planted")
    beyond = (random["cosine"].abs() > random["null_high"]).to_numpy()
    span = [vector, unit(1), unit(2)]
    inside, outside = (
        subspace_table({"planted": shift[LAYER]}, given, base[LAYER], **at) for given in (span, [*span[1:], unit(3)])
    )
    last = shift_table({"planted": shift[-1]}, {"planted": vector}, base[-1], layer=LAYERS - 1)
    return [
        smallest("planted adapter: cosine of the shift with its direction", np.array([own["cosine"]]), 0.99),
        smallest("planted adapter: agreement of halves of the items", np.array([own["halves"]]), 0.99),
        every("planted adapter: random directions within the null", ~beyond, "95 % expected", N_OTHERS - 5),
        smallest("  the null itself", random["null_high"].to_numpy(), 0.05, "of random directions of the base's rows"),
        largest("planted adapter: shift of the layer before", np.abs(shift[LAYER - 1]), 0.0, "bit for bit"),
        smallest("planted adapter: share inside a subspace with it", inside["share"].to_numpy(), 0.98),
        largest("planted adapter: p of that share among random subspaces", inside["p"].to_numpy(), 1 / 41, "the floor"),
        smallest("  p of a subspace without it", outside["p"].to_numpy(), 0.05),
        largest("  cosine at the last layer", np.abs(last["cosine"].to_numpy()), 0.98, "later blocks turn the shift"),
    ]


def unit(seed: int) -> np.ndarray:
    """A direction drawn alike in all dimensions, shape (d_model,)."""
    vector = np.random.default_rng(seed).normal(size=WIDTH).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector))


def save_planted(folder: Path, vector: np.ndarray) -> Path:
    """An adapter of rank 1 on what one block's MLP writes: B is the direction, A what the MLP holds on average."""
    import peft

    engine, held = tiny_engine(), []
    module = engine.model.model.layers[LAYER].mlp.down_proj
    handle = module.register_forward_pre_hook(lambda _, inputs: held.append(inputs[0][0, -1]))
    with torch.inference_mode():
        for prompt in tiny_prompts(N_PROMPTS):
            engine.model(torch.tensor([prompt.ids]))
    handle.remove()
    mean = torch.stack(held).mean(dim=0)
    config = peft.LoraConfig(r=1, lora_alpha=1, target_modules=["down_proj"], layers_to_transform=[LAYER])
    model = peft.get_peft_model(tiny_model("llama"), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_A" in name:
                parameter.copy_((LENGTH * mean / (mean @ mean))[None])
            elif "lora_B" in name:
                parameter.copy_(torch.from_numpy(vector)[:, None])
    model.save_pretrained(folder)
    return folder


def residuals(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Rows (layer, item, d_model) at the answer token with the adapter on and off, on the same tokens."""
    engine, prompts = tiny_engine(), tiny_prompts(N_PROMPTS)
    with attached(engine, folder):
        on = engine.run(prompts, layers=range(LAYERS)).residuals[:, :, 0]
        with switched(engine):
            off = engine.run(prompts, layers=range(LAYERS)).residuals[:, :, 0]
    return on.transpose(0, 1).numpy(), off.transpose(0, 1).numpy()
