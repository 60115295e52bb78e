"""Tiny random decoders of several families, prompts that share prefixes, and a naive forward pass to compare with.

Nothing here uses the engine's own parts: blocks are found by their written-out names, positions are resolved again,
and the reference runs every prompt alone and whole.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from personascope.models.engine import HookEngine
from personascope.models.intervention import Intervention
from personascope.models.tiny import FAMILIES, VOCABULARY, WIDTH, tiny_model
from personascope.prompts.labels import Options
from personascope.prompts.prompt import Prompt

REUSING = tuple(name for name in FAMILIES if name != "qwen3_next")
BLOCKS = {
    "gpt_neox": "gpt_neox.layers",
    "mpt": "transformer.blocks",
    "rwkv": "rwkv.blocks",
    **dict.fromkeys(("gpt2", "falcon", "bloom", "gpt_neo"), "transformer.h"),
}

RESIDUAL, LOGPROB = 1e-5, 5e-5
"""Float32 rounding: relative to the layer's largest value, and absolute on log-probabilities."""
OPTIONS = Options(("a", "b", "c"), ((5,), (6, 7), (8, 80)))


def tiny_engine(family: str = "llama", dtype: torch.dtype = torch.float32, **engine: object) -> HookEngine:
    """A fresh engine over a fresh model; equal names give equal weights."""
    return HookEngine(tiny_model(family, dtype), WordTokenizer(), name=f"tiny-{family}", **engine)


class WordTokenizer:
    """Stands in for a tokenizer where only token ids are needed: one id a word."""

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": [3 + zlib.crc32(word.encode()) % (VOCABULARY - 3) for word in text.split()]}


def blocks_of(model: torch.nn.Module) -> torch.nn.ModuleList:
    return model.get_submodule(BLOCKS.get(model.config.model_type, "model.layers"))


def nested_prompts() -> list[Prompt]:
    """Persona -> task A -> ragged endings, with a repeated prompt, one that begins others, and one that shares nothing.

    The span "item" begins inside task A (shared) and ends before the last token (own).
    """
    draw = np.random.default_rng(7)

    def some(n: int) -> list[int]:
        return draw.integers(3, VOCABULARY, n).tolist()

    rows = []
    for persona in (some(20), some(23)):
        for task_a in (some(10), some(12)):
            rows += [(persona, task_a, some(n)) for n in (5, 3, 9)]
    rows.append(rows[4])
    rows.append((rows[0][0], rows[0][1][:7], rows[0][1][7:]))
    rows.append((some(6), some(3), some(4)))
    order = draw.permutation(len(rows))
    return [make_prompt(*rows[index]) for index in order]


def make_prompt(persona: Sequence[int], task_a: Sequence[int], ending: Sequence[int]) -> Prompt:
    ids = (*persona, *task_a, *ending)
    first = len(persona)
    spans = {
        "persona": (0, first),
        "task_a": (first, first + len(task_a)),
        "task_b": (first + len(task_a), len(ids)),
        "item": (first + 2, len(ids) - 1),
    }
    return Prompt(ids=tuple(int(token) for token in ids), text=" ".join(map(str, ids)), spans=spans)


def tokens_named(prompt: Prompt, where: str) -> list[int]:
    """Positions resolved a second time, in the plainest way."""
    everything = list(range(len(prompt.ids)))
    if where in ("answer", "all"):
        return everything[-1:] if where == "answer" else everything
    kind, span = where.split(":")
    start, stop = prompt.spans[span]
    return {
        "first": everything[start:][:1],
        "last": everything[:stop][-1:],
        "mean": everything[start:stop],
        "from": everything[start:],
    }[kind]


def changed_row(h: Tensor, intervention: Intervention, row: int = 0, number: int = 0) -> Tensor:
    """One residual row after an intervention, a component at a time."""
    if intervention.rows is not None:
        return torch.as_tensor(intervention.rows[row][number])
    new = h.clone()
    for basis in () if intervention.erase is None else intervention.erase:
        new = new - float(h.double() @ torch.as_tensor(basis).double()) * torch.as_tensor(basis)
    new = new + torch.as_tensor(intervention.offset)
    return new * (h.square().sum().sqrt() / new.square().sum().sqrt()) if intervention.keep_norm else new


def naive(
    model: torch.nn.Module, prompt: Prompt, interventions: Sequence[Intervention] = (), row: int = 0
) -> tuple[Tensor, Tensor]:
    """Residual stream after every block, (layer, token, d_model), and log-probabilities after the whole prompt.

    `row` is the prompt's number in the call, by which it is given rows of its own.
    """
    seen: dict[int, Tensor] = {}

    def hook(layer, _module, _inputs, output):
        hidden = (output[0] if isinstance(output, tuple) else output).clone()
        for intervention in interventions:
            if intervention.layer == layer:
                for number, token in enumerate(tokens_named(prompt, intervention.where)):
                    hidden[0, token] = changed_row(hidden[0, token], intervention, row, number)
        seen[layer] = hidden[0]
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    blocks = blocks_of(model)
    handles = [block.register_forward_hook(functools.partial(hook, layer)) for layer, block in enumerate(blocks)]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt.ids])).logits[0, -1]
    for handle in handles:
        handle.remove()
    return torch.stack([seen[layer] for layer in range(len(blocks))]), logits.double().log_softmax(-1)


def naive_run(
    model: torch.nn.Module,
    prompts: Sequence[Prompt],
    positions: Sequence[str],
    interventions: Sequence[Intervention] = (),
    options: Options = OPTIONS,
) -> tuple[Tensor, Tensor, Tensor]:
    """Residuals (row, layer, position, d_model), option log-probabilities and other log-mass, prompt by prompt."""
    residuals, chosen, others = [], [], []
    for row, prompt in enumerate(prompts):
        hidden, logprobs = naive(model, prompt, interventions, row)
        read = [hidden[:, tokens_named(prompt, position)].mean(dim=1) for position in positions]
        residuals.append(torch.stack(read, dim=1))
        probabilities = logprobs.exp()
        mass = torch.stack([probabilities[list(tokens)].sum() for tokens in options.token_ids])
        inside = {token for tokens in options.token_ids for token in tokens}
        rest = [token for token in range(len(probabilities)) if token not in inside]
        chosen.append(mass.log())
        others.append(probabilities[rest].sum().log())
    return torch.stack(residuals), torch.stack(chosen), torch.stack(others)


@functools.cache
def naive_baseline(family: str) -> tuple[Tensor, Tensor, Tensor]:
    """The unsteered reference for `nested_prompts` at `POSITIONS`, computed once per family."""
    return naive_run(tiny_model(family), nested_prompts(), POSITIONS)


POSITIONS = ("answer", "mean:item", "mean:persona", "last:task_a", "all")
"""Where the tests read; mean:item lies partly in a shared segment, mean:persona wholly, `all` everywhere."""


def offset(seed: int, size: float = 3.0, width: int = WIDTH) -> np.ndarray:
    """A steering vector that is not small against the residual stream of a tiny model."""
    return (size * np.random.default_rng(seed).normal(size=width)).astype(np.float32)


def relative(found: Tensor, expected: Tensor) -> float:
    """Largest difference relative to the layer's largest absolute value; axis 1 is the layer."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    axes = [axis for axis in range(expected.ndim) if axis != 1]
    scale = expected.double().abs().amax(dim=axes, keepdim=True)
    return float(((found.double() - expected.double()).abs() / scale).max())


def apart(found: Tensor, expected: Tensor) -> float:
    """Largest absolute difference, for log-probabilities."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return float((found.double() - expected.double()).abs().max())


def hooks_on(model: torch.nn.Module) -> int:
    """Forward hooks of any kind on any part of a model."""
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())
