"""Every kind of intervention against ten lines by hand: in a hook loop, with TransformerLens, and with nnsight.

A cell is one kind at one position of one prompt; it agrees when log-probabilities of the whole vocabulary's options do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.planted.equality_rows import OPTIONS, ROUNDING, direction, tiny_engine, tiny_prompts
from benchmarks.records import Record
from personascope.models.intervention import Intervention
from personascope.models.sweep import sweep
from personascope.models.tiny import WIDTH, tiny_model, tiny_tokenizer
from personascope.prompts.prompt import Prompt
from personascope.steering.interventions import add, clamp, project_out, replace

Change = Callable[[Tensor, int], Tensor]
"""(rows of the named tokens, which prompt) -> what they become."""
PLACES: dict[str, Callable[[Prompt], slice]] = {
    "answer": lambda prompt: slice(len(prompt) - 1, len(prompt)),
    "mean:task_a": lambda prompt: slice(*prompt.spans["task_a"]),
    "from:item": lambda prompt: slice(prompt.spans["item"][0], len(prompt)),
    "all": lambda prompt: slice(0, len(prompt)),
}


def kinds(prompts: list[Prompt], where: str) -> dict[str, tuple[Intervention, Change]]:
    """Ours, made as a user makes it, and the same written down by hand."""
    one, other = direction(1), direction(1, seed=2)
    u, push = torch.from_numpy(one.vector), torch.from_numpy(one.offset())
    second = torch.from_numpy(other.vector) - (torch.from_numpy(other.vector) @ u) * u
    second /= second.norm()
    draw = np.random.default_rng(3)
    sizes = [len(range(*PLACES[where](prompt).indices(len(prompt)))) for prompt in prompts]
    given = [draw.normal(size=(size, WIDTH)).astype(np.float32) for size in sizes]

    def turn(h: Tensor, _row: int) -> Tensor:
        pushed = h + push
        return pushed * h.norm(dim=-1, keepdim=True) / pushed.norm(dim=-1, keepdim=True)

    return {
        "add": (add(one, where), lambda h, _row: h + push),
        "turn": (add(one, where, keep_norm=True), turn),
        "project out": (
            project_out([one, other], where),
            lambda h, _row: h - (h @ u)[:, None] * u - (h @ second)[:, None] * second,
        ),
        "clamp": (clamp(0.3 * one, where), lambda h, _row: h - (h @ u)[:, None] * u + 6.0 * u),
        "replace": (replace(given, layer=1, where=where), lambda _h, row: torch.from_numpy(given[row])),
    }


def hook_loop(prompt: Prompt, row: int, change: Change, tokens: slice, model: Any) -> Tensor:
    """A forward hook on the block."""

    def after(_module: Any, _inputs: Any, output: Tensor) -> Tensor:
        output = output.clone()
        output[0, tokens] = change(output[0, tokens], row)
        return output

    handle = model.model.layers[1].register_forward_hook(after)
    logits = model(input_ids=torch.tensor([prompt.ids])).logits[0, -1]
    handle.remove()
    return logits


def with_transformer_lens(prompt: Prompt, row: int, change: Change, tokens: slice, bridge: Any) -> Tensor:
    """`run_with_hooks`."""

    def after(hidden: Tensor, hook: Any) -> Tensor:  # noqa: ARG001  (the library's signature)
        hidden = hidden.clone()
        hidden[0, tokens] = change(hidden[0, tokens], row)
        return hidden

    ids = torch.tensor([prompt.ids])
    return bridge.run_with_hooks(ids, fwd_hooks=[("blocks.1.hook_out", after)])[0, -1]


def with_nnsight(prompt: Prompt, row: int, change: Change, tokens: slice, model: Any) -> Tensor:
    """A trace that writes the block's output."""
    ids = torch.tensor([prompt.ids])
    with model.trace({"input_ids": ids, "attention_mask": torch.ones_like(ids)}):
        hidden = model.model.layers[1].output.clone()
        hidden[0, tokens] = change(hidden[0, tokens], row)
        model.model.layers[1].output = hidden
        logits = model.output.logits[0, -1].save()
    return logits


def hooked() -> tuple[Callable[..., Tensor], Any]:
    """The hook loop and its model."""
    return hook_loop, tiny_model("llama")


def contenders() -> dict[str, tuple[Callable[..., Tensor], Any]]:
    """Name -> (how it steers, its model), of the libraries that are installed."""
    found: dict[str, tuple[Callable[..., Tensor], Any]] = {"hook loop": hooked()}
    with contextlib.suppress(ImportError):
        from transformer_lens.model_bridge import TransformerBridge

        bridge = TransformerBridge.boot_transformers(
            "tiny-llama", hf_model=tiny_model("llama"), tokenizer=tiny_tokenizer(), device="cpu", dtype=torch.float32
        )
        found["TransformerLens"] = with_transformer_lens, bridge
    with contextlib.suppress(ImportError):
        import nnsight

        traced = nnsight.TransformersModel(tiny_model("llama"), tokenizer=tiny_tokenizer(), task="text-generation")
        found["nnsight"] = with_nnsight, traced
    return found


@torch.inference_mode()
def rows(n_prompts: int = 4) -> list[Record]:
    """Cells that agree with each library, of all kinds, positions and prompts."""
    engine, prompts = tiny_engine(), tiny_prompts(n_prompts)
    cases = [(where, *both) for where in PLACES for both in kinds(prompts, where).values()]
    found = sweep(engine, prompts, [(), *((ours,) for _, ours, _ in cases)], OPTIONS).option_logprobs
    records = []
    for name, (logits_of, model) in contenders().items():
        gaps, moves = np.empty((len(cases), len(prompts))), np.empty((len(cases), len(prompts)))
        for case, (where, _, change) in enumerate(cases):
            for row, prompt in enumerate(prompts):
                logprobs = logits_of(prompt, row, change, PLACES[where](prompt), model).double().log_softmax(dim=-1)
                theirs = torch.stack([logprobs[list(ids)].logsumexp(dim=-1) for ids in OPTIONS.token_ids])
                gaps[case, row] = float((found[row, case + 1] - theirs).abs().max())
                moves[case, row] = float((found[row, case + 1] - found[row, 0]).abs().max())
        n_agree = int((gaps <= ROUNDING).sum())
        note = f"{len(cases)} kinds and places; largest difference {gaps.max():.1e}, smallest effect {moves.min():.1e}"
        ok = n_agree == gaps.size and bool(moves.min() > 100 * ROUNDING)
        records.append(
            Record(f"parity with {name}: cells that agree", n_agree, n_agree, n_agree, gaps.size, ok, gaps.size, note)
        )
    return records
