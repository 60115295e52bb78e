"""Steered free answers: all strengths of a direction in one batch, against a hook and one strength after the other.

The contender is what one writes by hand: a forward hook on the block that adds the vector, and the library's `generate`
on a left-padded batch of the prompts. Both write greedily, and nothing is timed before all texts are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.records import (
    Record,
    argument_parser,
    interleaved,
    ratio,
    require_equal,
    require_quiet,
    show,
    show_so_far,
)
from benchmarks.sweep import COEFFICIENTS, directions
from personascope.direction import Direction
from personascope.models.engine import HookEngine
from personascope.models.generation import generate
from personascope.models.intervention import Cell
from personascope.models.load import load_model
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render
from personascope.prompts.templates import TASK_ALONE
from personascope.steering.interventions import add

LAYER = 12
REQUESTS = (
    "Describe how you would spend a free afternoon in a town that you do not know.",
    "Explain to a child why the sky is dark at night, although there are so many stars.",
    "Write the beginning of a story about a lighthouse keeper who has lost the key to the lamp.",
    "Tell me how to plan a small vegetable garden, and what to plant first.",
)


def ours(engine: HookEngine, prompts: Sequence[Prompt], pushes: Sequence[Direction], n_tokens: int) -> list[str]:
    """Every prompt under every push, as a user asks for it, push by push."""
    cells: list[Cell] = [(add(push, "all"),) for push in pushes for _ in prompts]
    found = generate(engine, [*prompts] * len(pushes), max_new_tokens=n_tokens, temperature=0, seed=0, cells=cells)
    return [text for (text,) in found.texts]


@torch.inference_mode()
def by_hand(engine: HookEngine, prompts: Sequence[Prompt], pushes: Sequence[Direction], n_tokens: int) -> list[str]:
    """A hook and a call of `generate` for each push; no hook where there is nothing to add."""
    width = max(map(len, prompts))
    ends = sorted({engine.tokenizer.eos_token_id, *(prompt.ids[prompt.spans["eot"][0]] for prompt in prompts)})
    ids = torch.full((len(prompts), width), ends[0])
    mask = torch.zeros_like(ids)
    for slot, prompt in enumerate(prompts):
        ids[slot, width - len(prompt) :] = torch.tensor(prompt.ids)
        mask[slot, width - len(prompt) :] = 1
    texts = []
    for push in pushes:
        offset = torch.from_numpy(push.offset())
        handles = []
        if push.strength:
            block = engine.model.model.layers[LAYER]
            handles = [block.register_forward_hook(lambda _m, _i, out, offset=offset: out + offset)]
        written = engine.model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=n_tokens,
            do_sample=False,
            eos_token_id=ends,
            pad_token_id=ends[0],
        )
        for handle in handles:
            handle.remove()
        for tokens in written[:, width:].tolist():
            end = next((place for place, token in enumerate(tokens) if token in ends), len(tokens))
            texts.append(engine.tokenizer.decode(tokens[:end]))
    return texts


def duel(
    engine: HookEngine, prompts: Sequence[Prompt], pushes: Sequence[Direction], n_tokens: int, rounds: int
) -> list[Record]:
    """Equality of all texts, then interleaved rounds: one strength, and all of them."""
    mine, theirs = (write(engine, prompts, pushes, n_tokens) for write in (ours, by_hand))
    differing = sum(one != other for one, other in zip(mine, theirs, strict=True))
    records = [require_equal(f"texts that differ, of {len(mine)}", differing / len(mine), 0.0)]
    one = [push for push in pushes if push.strength][-1:]
    seconds = interleaved(
        {
            "ours, one": lambda: ours(engine, prompts, one, n_tokens),
            "hook, one": lambda: by_hand(engine, prompts, one, n_tokens),
            "ours, all": lambda: ours(engine, prompts, pushes, n_tokens),
            "hook, all": lambda: by_hand(engine, prompts, pushes, n_tokens),
        },
        rounds,
    )
    note = f"{len(prompts)} prompts, {n_tokens} tokens; {len(set(mine))} different texts"
    for name, target, n in (("one", 1.0, 1), ("all", 3.0, len(pushes))):
        title = f"{n} strength{'s in one batch' if n > 1 else ''}: faster than a hook and generate"
        took = f"{note}; {np.median(seconds[f'ours, {name}']):.2f} s"
        records.append(show_so_far(ratio(title, seconds[f"ours, {name}"], seconds[f"hook, {name}"], target, took)))
    return records


def main() -> None:
    """Equality first, then the ratios."""
    parser = argument_parser(__doc__)
    parser.add_argument("--tokens", type=int, default=24, help="tokens of an answer (default 24)")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (default 2)")
    options = parser.parse_args()
    require_quiet(options.busy)
    torch.set_num_threads(options.threads)
    engine = load_model("smollm2")
    prompts = [render(engine.tokenizer, TASK_ALONE, {"item": request}) for request in REQUESTS]
    direction = directions(engine, prompts, [LAYER])[LAYER]
    pushes = [c * direction for c in COEFFICIENTS]
    records = duel(engine, prompts, pushes, options.tokens, options.rounds)
    show(f"steered answers: {len(pushes)} strengths at all tokens, layer {LAYER}", records, options.json)


if __name__ == "__main__":
    main()
