"""What is done to a user's own calls, by hand: one row alone, whole and without a cache, a token at a time."""

from __future__ import annotations

import contextlib
import functools

import numpy as np
import torch
from tiny_models import blocks_of, changed_row, make_prompt, offset, tokens_named

from personascope.models.intervention import Intervention
from personascope.models.own_calls import BareModel, own_calls
from personascope.models.tiny import VOCABULARY, WIDTH, tiny_model
from personascope.prompts.prompt import Prompt

BASIS = np.linalg.qr(np.random.default_rng(1).normal(size=(WIDTH, 2)))[0].T.astype(np.float32)
KINDS = {
    "add": [Intervention(1, offset(1), "mean:task_a")],
    "onwards": [Intervention(1, offset(1), "from:item")],
    "answer": [Intervention(2, offset(2), "answer")],
    "project out": [Intervention(1, 0 * offset(1), "all", erase=BASIS)],
    "clamp": [Intervention(1, 4 * BASIS[0], "from:item", erase=BASIS[:1])],
    "keep norm": [Intervention(1, offset(3), "all", keep_norm=True)],
    "prompt": [Intervention(1, offset(1), "all", phase="prompt")],
    "generation": [Intervention(1, offset(1), "all", phase="generation")],
    "layers": [
        Intervention(0, offset(1), "all", phase="generation"),
        Intervention(1, offset(2), "from:item", erase=BASIS),
        Intervention(1, offset(3), "answer", keep_norm=True),
        Intervention(2, offset(4), "mean:persona"),
    ],
}


def some_prompts(lengths=(3, 9, 14)):
    """Prompts with spans whose lengths differ."""
    draw = np.random.default_rng(3)
    rows = [draw.integers(3, VOCABULARY, n + 4).tolist() for n in lengths]
    return [make_prompt(row[:2], row[2:4], row[4:]) for row in rows]


def untied(family):
    """A tiny model that says more than its last token, and never ends by itself."""
    model = tiny_model(family, tie_word_embeddings=False)
    model.generation_config.eos_token_id = None
    return model


def batch_of(prompts, side, more=0):
    """Token ids and mask of a padded batch; `more` random tokens follow each prompt."""
    draw = np.random.default_rng(5)
    rows = [[*prompt.ids, *draw.integers(3, VOCABULARY, more).tolist()] for prompt in prompts]
    width = max(map(len, rows))
    before = [width - len(row) if side == "left" else 0 for row in rows]
    ids, mask = torch.zeros(2, len(rows), width, dtype=torch.long)
    for slot, (row, start) in enumerate(zip(rows, before, strict=True)):
        ids[slot, start : start + len(row)] = torch.tensor(row)
        mask[slot, start : start + len(row)] = 1
    # some models count positions from the mask only while they generate
    return {"input_ids": ids, "attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}


def by_hand(model, ids, prompt, steps, row=0):
    """Residual stream after every block, (layer, token, d_model), and logits (token, vocabulary) of one sequence."""
    seen = []

    def acts(step, token):
        if token < len(prompt):
            return step.phase != "generation" and token in tokens_named(prompt, step.where)
        onward = step.where == "all" or step.where.startswith("from:")
        return step.rows is None and (step.phase == "generation" or (step.phase is None and onward))

    def hook(layer, _module, _inputs, output):
        hidden = (output[0] if isinstance(output, tuple) else output).clone()
        for step in steps:
            named = tokens_named(prompt, step.where)
            for token in range(len(ids)):
                if step.layer == layer and acts(step, token):
                    hidden[0, token] = changed_row(hidden[0, token], step, row, token - named[0])
        seen.append(hidden[0])
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    with contextlib.ExitStack() as stack:
        for layer, block in enumerate(blocks_of(model)):
            stack.callback(block.register_forward_hook(functools.partial(hook, layer)).remove)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
    return torch.stack(seen), logits


def assert_by_hand(logits, inputs, model, prompts, steps):
    """Logits of a padded call are those of its rows alone; row k is of prompt k."""
    for row, prompt in enumerate(prompts):
        real = inputs["attention_mask"][row].bool()
        expected = by_hand(model, inputs["input_ids"][row, real].tolist(), prompt, steps, row)[1]
        torch.testing.assert_close(logits[row, real], expected, atol=2e-4, rtol=1e-4)


def assert_written_by_hand(output, inputs, model, prompts, steps):
    """What `generate` wrote, with its logits at every step, is what whole passes over the same tokens give."""
    width = inputs["input_ids"].shape[1]
    each = len(output.sequences) // len(prompts)
    for row, sequence in enumerate(output.sequences):
        prompt = prompts[row // each]
        written = sequence[width:].tolist()
        expected = by_hand(model, [*prompt.ids, *written], prompt, steps, row // each)[1][len(prompt) - 1 : -1]
        found = torch.stack([step[row] for step in output.logits])
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)


def steered(model, steps, prompts=None):
    """Own calls of a bare model."""
    return own_calls(BareModel(model), steps, prompts)


def patched(prompts, layer=1, where="mean:task_a"):
    """Given rows for every prompt."""
    draw = np.random.default_rng(8)
    rows = tuple(draw.normal(size=(len(tokens_named(prompt, where)), WIDTH)).astype(np.float32) for prompt in prompts)
    return [Intervention(layer, np.zeros(WIDTH, np.float32), where, rows=rows)]


def prompt_of(ids, **spans):
    """A prompt with these tokens."""
    return Prompt(tuple(ids), "", spans)
