"""Capture of the residual stream at all layers while a model answers HEXACO items: ours against the common ways.

128 items under one persona (about 140 tokens each, all but the item shared), SmolLM2-135M-Instruct, float32, the last
position of every layer kept. Contenders: `output_hidden_states` in batches of 16, as most papers do, and a tuned loop
with hooks that gather in place, length-sorted batches and logits at the last position only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.records import arguments, interleaved, ratio, require_equal, show
from personascope.instruments.items import load_items
from personascope.instruments.personas import load_personas
from personascope.models.engine import HookEngine
from personascope.models.load import load_model
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render
from personascope.prompts.templates import likert_template

BATCH = 16


def prompts(engine: HookEngine, n: int = 128) -> list[Prompt]:
    """HEXACO items as the demo asks them."""
    framing = load_personas()["self"].phrasings[0].framing
    template = likert_template("ascending")
    items = load_items().items[:n]
    return [render(engine.tokenizer, template, {"framing": framing, "item": item.text}) for item in items]


def padded(batch: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
    """Left-padded ids and their attention mask."""
    width = max(map(len, batch))
    ids = torch.zeros((len(batch), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(batch):
        ids[row, width - len(prompt) :] = torch.tensor(prompt.ids)
        mask[row, width - len(prompt) :] = 1
    return ids, mask


@torch.inference_mode()
def output_hidden_states(model: Any, rows: Sequence[Prompt]) -> Tensor:
    """The usual way; the last hidden state comes after the final norm, so it is left out of the comparison."""
    found = []
    for start in range(0, len(rows), BATCH):
        ids, mask = padded(rows[start : start + BATCH])
        states = model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        found.append(torch.stack([state[:, -1] for state in states[1:-1]], dim=1))
    return torch.cat(found)


@torch.inference_mode()
def tuned_hooks(model: Any, layers: Any, rows: Sequence[Prompt]) -> Tensor:
    """A careful hook loop: sorted by length, right padding, rows gathered in the hook, one row of logits."""
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    kept: dict[int, Tensor] = {}
    out = torch.empty((len(rows), len(layers), model.config.hidden_size))
    last = torch.zeros(0, dtype=torch.long)

    def hook(layer: int) -> Any:
        def after(_module: Any, _inputs: Any, output: Tensor) -> None:
            kept[layer] = output[torch.arange(len(last)), last]

        return after

    handles = [layer.register_forward_hook(hook(number)) for number, layer in enumerate(layers)]
    for start in range(0, len(rows), BATCH):
        part = order[start : start + BATCH]
        last = torch.tensor([len(rows[row]) - 1 for row in part])
        ids = torch.zeros((len(part), int(last.max()) + 1), dtype=torch.long)
        for slot, row in enumerate(part):
            ids[slot, : len(rows[row])] = torch.tensor(rows[row].ids)
        model(input_ids=ids, use_cache=False, logits_to_keep=1)
        out[part] = torch.stack([kept[layer] for layer in range(len(layers))], dim=1)
    for handle in handles:
        handle.remove()
    return out


def main() -> None:
    """Equality first, then the ratios."""
    options = arguments(__doc__)
    engine = load_model("smollm2", threads=2)
    rows = prompts(engine)
    layers = range(engine.n_layers)
    ours = engine.run(rows, layers=layers).residuals[:, :, 0]
    theirs = output_hidden_states(engine.model, rows)
    scale = theirs.abs().amax(dim=(0, 2), keepdim=True)
    difference = float(((ours[:, :-1] - theirs).abs() / scale).max())
    records = [require_equal("equal to output_hidden_states", difference, 1e-5)]
    tuned = tuned_hooks(engine.model, engine.anatomy.layers, rows)
    difference = float(((ours - tuned).abs() / tuned.abs().amax(dim=(0, 2), keepdim=True)).max())
    records.append(require_equal("equal to tuned hook loop", difference, 1e-5))
    seconds = interleaved(
        {
            "ours": lambda: engine.run(rows, layers=layers),
            "hidden_states": lambda: output_hidden_states(engine.model, rows),
            "tuned": lambda: tuned_hooks(engine.model, engine.anatomy.layers, rows),
        },
        options.rounds,
    )
    records.append(ratio("faster than output_hidden_states", seconds["ours"], seconds["hidden_states"], 5.0))
    records.append(ratio("faster than tuned hook loop", seconds["ours"], seconds["tuned"], None))
    before = engine.work.tokens
    engine.run(rows, layers=layers)
    note = f"{sum(map(len, rows)):,} prompt tokens, {engine.work.tokens - before:,} computed"
    show(f"capture: {len(rows)} prompts, all {engine.n_layers} layers ({note})", records, options.json)


if __name__ == "__main__":
    main()
