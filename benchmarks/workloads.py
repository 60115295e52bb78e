"""The prompts that benchmarks run on, made from the built-in items, tasks and personas."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from personascope.instruments.items import load_items
from personascope.instruments.pairs import d_regular_pairs
from personascope.instruments.personas import load_personas
from personascope.instruments.tasks import load_tasks
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render
from personascope.prompts.templates import CHOICE, likert_template

PERSONAS = ("self", "meta", "helpful", "evil", "assistant")


def items(tokenizer: Any, n_personas: int, n_items: int) -> list[Prompt]:
    """W1: every item under every persona, persona by persona; all but the item is shared within a persona."""
    template, personas = likert_template("ascending"), load_personas()
    prompts = []
    for name in PERSONAS[:n_personas]:
        phrasing = personas[name].phrasings[0]
        for item in load_items().form("200").items[:n_items]:
            slots = {"framing": phrasing.framing, "item": item.text}
            if tokenizer.chat_template:
                prompts.append(render(tokenizer, template, slots, system=phrasing.system))
            else:
                text = f"{phrasing.system}\n{template.user.format(**slots)}\n{template.answer_prefix}"
                prompts.append(Prompt(tuple(tokenizer(text)["input_ids"]), text, {}))
    return prompts


def pairs(tokenizer: Any, n_personas: int, n_tasks: int, degree: int = 5) -> list[Prompt]:
    """W2: task pairs in both orders; the persona is shared, and a first task by its opponents."""
    pool, personas = load_tasks().tasks, load_personas()
    chosen = pool[:: max(1, len(pool) // n_tasks)][:n_tasks]
    prompts = []
    for name, (i, j) in itertools.product(PERSONAS[:n_personas], d_regular_pairs(n_tasks, degree, seed=0)):
        for first, second in ((i, j), (j, i)):
            slots = {"task_a": chosen[first].text, "task_b": chosen[second].text}
            prompts.append(render(tokenizer, CHOICE, slots, system=personas[name].phrasings[0].system))
    return prompts


def unrelated(n_prompts: int, vocabulary: int, low: int = 40, high: int = 160, seed: int = 0) -> list[Prompt]:
    """W3: prompts of random tokens and lengths, in which nothing is shared."""
    draw = np.random.default_rng(seed)
    rows = [draw.integers(10, vocabulary, int(n)) for n in draw.integers(low, high, n_prompts)]
    return [Prompt(tuple(map(int, row)), "", {}) for row in rows]


def one_long(n_short: int, vocabulary: int, long: int = 1500, seed: int = 0) -> list[Prompt]:
    """W4: one very long prompt among many short ones, nothing shared."""
    return [
        *unrelated(1, vocabulary, long, long + 1, seed),
        *unrelated(n_short, vocabulary, 12, 40, seed + 1),
    ]
