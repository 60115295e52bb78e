"""What must be equal whatever the model: steering a tiny random Llama, whose attention matters, in two ways each."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.records import Record, largest, smallest
from personascope.direction import Direction
from personascope.models.engine import HookEngine
from personascope.models.generation import generate
from personascope.models.intervention import Cell
from personascope.models.sweep import sweep
from personascope.models.tiny import VOCABULARY, WIDTH, tiny_model, tiny_tokenizer
from personascope.prompts.labels import Options
from personascope.prompts.prompt import Prompt
from personascope.steering.interventions import add, clamp
from personascope.steering.patching import patch_sweep

OPTIONS = Options(("a", "b", "c"), ((5,), (6, 7), (8, 80)))
ROUNDING = 5e-5
"""Of a log-probability in float32 through four blocks."""
LAYERS = 4


def rows() -> list[Record]:
    """All of them."""
    return [*pushes(), *batches(), *patches()]


def tiny_engine() -> HookEngine:
    """A fresh engine; equal weights every time."""
    return HookEngine(tiny_model("llama"), tiny_tokenizer(), name="tiny llama")


def tiny_prompts(n: int = 8, ending: int | None = None) -> list[Prompt]:
    """Two personas of twenty tokens, a task of ten, endings of 3 to 9 tokens or of a given length."""
    draw = np.random.default_rng(7)
    personas = [draw.integers(10, VOCABULARY, 20) for _ in range(2)]
    prompts = []
    for row in range(n):
        size = ending or int(draw.integers(3, 10))
        ids = [*personas[row % 2], *draw.integers(10, VOCABULARY, 10), *draw.integers(10, VOCABULARY, size)]
        text = " ".join(f"w{token}" for token in ids)
        prompts.append(Prompt(tuple(map(int, ids)), text, {"task_a": (20, 30), "item": (22, len(ids) - 1)}))
    return prompts


def direction(layer: int, seed: int = 1) -> Direction:
    """A random direction whose coefficient 1 is not small against the residual stream."""
    vector = np.random.default_rng(seed).normal(size=WIDTH)
    return Direction(vector, layer, "answer", "tiny llama", 20.0, "nothing", "random")


def pushes() -> list[Record]:
    """Coefficient 0, two half steps, the derivative at 0, the last layer, and a clamped coordinate."""
    engine, prompts, one = tiny_engine(), tiny_prompts(), direction(1)
    cells: list[Cell] = [
        (),
        (add(0.0 * one, "all"),),
        (add(one, "from:item"),),
        (add(0.5 * one, "from:item"), add(0.5 * one, "from:item")),
    ]
    found = sweep(engine, prompts, cells, OPTIONS).option_logprobs.numpy()
    last = LAYERS - 1
    top = sweep(engine, prompts, [(add(direction(last), "answer"),)], OPTIONS).option_logprobs[:, 0].numpy()
    residual = engine.run(prompts, layers=[last]).residuals[:, 0, 0]
    with torch.inference_mode():
        by_hand = engine.model.lm_head(engine.model.model.norm(residual + torch.from_numpy(direction(last).offset())))
    logprobs = by_hand.double().log_softmax(dim=-1)
    hand = torch.stack([logprobs[:, list(ids)].logsumexp(dim=-1) for ids in OPTIONS.token_ids], dim=1).numpy()
    pinned = engine.run(prompts, layers=[2], interventions=[clamp(direction(2), "answer")]).residuals[:, 0, 0].numpy()
    return [
        largest("tiny Llama: coefficient 0 is the baseline, bit for bit", np.abs(found[:, 1] - found[:, 0]), 0.0),
        largest("tiny Llama: two half steps are one", np.abs(found[:, 3] - found[:, 2]), ROUNDING),
        smallest("  the step moves every answer", np.abs(found[:, 2] - found[:, 0]).max(axis=1), 0.01),
        largest("tiny Llama: the last layer is the final residual by hand", np.abs(top - hand), ROUNDING),
        largest("tiny Llama: a clamped coordinate is what was set", np.abs(pinned @ direction(2).vector - 20.0), 1e-4),
        largest("tiny Llama: derivative at 0 is autograd's", derivative_errors(engine, prompts[:4]), 0.02),
    ]


def derivative_errors(engine: HookEngine, prompts: list[Prompt]) -> np.ndarray:
    """Central differences of the first label's log-probability against autograd, relative to the largest slope."""
    one, small = direction(1), 0.002
    cells = [(add(sign * small * one, "all"),) for sign in (1, -1)]
    logprobs = sweep(engine, prompts, cells, OPTIONS).option_logprobs[:, :, 0].double().numpy()
    slopes = []
    for prompt in prompts:
        step = torch.zeros((), requires_grad=True)
        push = torch.from_numpy(one.offset())
        handle = engine.model.model.layers[1].register_forward_hook(lambda _m, _i, out, s=step, p=push: out + s * p)
        chosen = engine.model(torch.tensor([prompt.ids])).logits[0, -1].log_softmax(-1)[OPTIONS.token_ids[0][0]]
        handle.remove()
        slopes.append(float(torch.autograd.grad(chosen, step)[0]))
    exact = np.array(slopes)
    return np.abs((logprobs[:, 0] - logprobs[:, 1]) / (2 * small) - exact) / np.abs(exact).max()


def batches() -> list[Record]:
    """Rows of a steered batch against each row alone, in answers and in written text with a cell for each row."""
    engine, prompts = tiny_engine(), tiny_prompts()
    cells: list[Cell] = [(add(c * direction(layer), where),) for layer, c, where in CELLS]
    together = sweep(engine, prompts, cells, OPTIONS).option_logprobs
    alone = torch.cat([sweep(engine, [prompt], cells, OPTIONS).option_logprobs for prompt in prompts])
    own = [cells[row % len(cells)] for row in range(len(prompts))]
    settings = {"max_new_tokens": 8, "temperature": 0, "seed": 0}
    texts = [text for (text,) in generate(engine, prompts, cells=own, **settings).texts]
    single = [
        generate(engine, [prompt], cells=[cell], **settings).texts[0][0]
        for prompt, cell in zip(prompts, own, strict=True)
    ]
    same = np.array([one == other for one, other in zip(texts, single, strict=True)], dtype=float)
    return [
        largest("tiny Llama: a steered batch is its rows alone", (together - alone).abs().numpy(), ROUNDING),
        smallest("tiny Llama: texts of a batch with a cell a row are the rows' alone", same, 1.0),
    ]


CELLS = ((0, 0.5, "all"), (1, -1.0, "from:item"), (3, 1.0, "answer"), (2, 0.25, "mean:task_a"))
"""Layer, coefficient and position of the cells of a mixed batch."""


def patches() -> list[Record]:
    """Interchange at the answer token: all layers jointly give the donor's answer, a prompt's own rows nothing."""
    engine, prompts = tiny_engine(), tiny_prompts(8, ending=5)
    donors = [*prompts[1:], prompts[0]]
    found = patch_sweep(engine, prompts, donors, where="answer", layers=range(LAYERS), options=OPTIONS)
    jointly = found.answers("donor", jointly=True)[:, 0]
    first = np.abs(found.answers("donor")[:, 0] - found.donor_logprobs).max(axis=1)
    return [
        largest("patching all layers: the donor's answer", np.abs(jointly - found.donor_logprobs), ROUNDING),
        largest("patching a prompt's own rows: nothing", np.array([found.own_change]), ROUNDING),
        smallest("  the first layer alone is not the donor's answer", first, 0.01),
    ]
