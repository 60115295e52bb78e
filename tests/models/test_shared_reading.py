"""Equal prompts of a batch are read once while they are treated alike: same texts, fewer rows through blocks."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch
from tiny_models import make_prompt, offset

from personascope.models import generation, shared_reading
from personascope.models.engine import HookEngine
from personascope.models.generation import generate
from personascope.models.intervention import Intervention
from personascope.models.tiny import FAMILIES, tiny_model, tiny_tokenizer
from personascope.prompts.prompt import Prompt

PROMPTS = [
    make_prompt([5, 9], [33, 40], [7, 8, 9]),
    make_prompt([6], [12, 50], [3]),
    make_prompt([5, 9], [33, 41], [4]),
]
HOW = {"max_new_tokens": 5, "seed": 3}


def engine_of(family: str = "llama", **settings: object) -> HookEngine:
    model = tiny_model(family, tie_word_embeddings=False, **settings)
    model.generation_config.eos_token_id = None
    return HookEngine(model, tiny_tokenizer(), name=f"tiny-{family}")


def pushed(strengths, layer=1):
    return [(Intervention(layer, s * offset(0), "all"),) if s else () for s in strengths]


@contextlib.contextmanager
def rows_seen(engine):
    """Rows that each block sees in the first pass."""
    rows, handles = {}, []
    for layer, block in enumerate(engine.anatomy.layers):
        see = lambda _m, args, kwargs, layer=layer: rows.setdefault(  # noqa: E731
            layer, (args[0] if args else kwargs["hidden_states"]).shape[0]
        )
        handles.append(
            block.register_forward_hook(lambda m, a, k, _o, see=see: (see(m, a, k), None)[1], with_kwargs=True)
        )
    yield rows
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_are_those_of_rows_read_apart(family, monkeypatch):
    engine = engine_of(family)
    prompts, cells = PROMPTS * 4, pushed([0.0] * 3 + [0.2] * 3 + [-0.2] * 3 + [0.4] * 3)
    drawn = {"temperature": 1.0, "n": 3}
    shared = generate(engine, prompts, temperature=0, cells=cells, **HOW), generate(engine, PROMPTS, **drawn, **HOW)
    monkeypatch.setattr(generation, "reading_once", lambda *_: contextlib.nullcontext())
    apart = generate(engine, prompts, temperature=0, cells=cells, **HOW), generate(engine, PROMPTS, **drawn, **HOW)
    assert [found.texts for found in shared] == [found.texts for found in apart]
    assert len(set(apart[0].texts)) >= 6, "too dull a model to tell"


@pytest.fixture(autouse=True)
def _few_tokens_are_enough(monkeypatch):
    monkeypatch.setattr(shared_reading, "MIN_SAVED_TOKENS", 16)


def test_a_beginning_that_saves_little_is_not_read_apart(monkeypatch):
    monkeypatch.undo()
    engine, one = engine_of(), begun([7, 9], (18, 22))
    assert generation.shared_start(engine, [one] * 50, 5) == 20 + 1  # 49 x 21 tokens saved
    assert generation.shared_start(engine, [one] * 49, 5) == 0


NARROW = {"qwen3_next", "mistral", "gemma2", "gemma3_text"}
"""Families whose beginnings are not read apart: other caches than those of attention, or a window of few tokens."""
START = [int(token) for token in np.random.default_rng(8).integers(3, 97, 20)]


def begun(tail, item):
    """A prompt that begins as all others do; its span "item" lies across the end of what is shared."""
    return Prompt((*START, *tail), "", {"item": item, "answer_word": (len(START), len(START) + 1)})


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["unsteered", "all alike", "cells", "spans", "rows"])
def test_a_shared_beginning_is_read_once_for_each_way_of_steering_it(family, kind, monkeypatch):
    engine = engine_of(family)
    prompts = [begun([7, 9, 11, 50], (18, 22)), begun([8, 60], (18, 21)), begun([7, 9, 70], (16, 22))] * 2
    steps = {
        "unsteered": [()] * 6,
        "all alike": pushed([0.2] * 6),
        "cells": pushed([0.0, 0.2, 0.2, -0.2, -0.2, 0.4]),
        "spans": [(Intervention(1, 0.3 * offset(0), "mean:item"),)] * 6,
        "rows": [(Intervention(1, offset(0) * 0, "last:item", rows=tuple(offset(n)[None] for n in range(6))),)] * 6,
    }[kind]
    firsts = []
    plain = generation.read_start
    monkeypatch.setattr(generation, "read_start", lambda *given: firsts.append(given[-1]) or plain(*given))
    found = generate(engine, prompts, temperature=0, cells=steps, **HOW)
    assert firsts == ([] if family in NARROW else [20]), family
    monkeypatch.setattr(generation, "shared_start", lambda *_: 0)
    monkeypatch.setattr(generation, "reading_once", lambda *_: contextlib.nullcontext())
    apart = generate(engine, prompts, temperature=0, cells=steps, **HOW)
    assert found.texts == apart.texts
    assert len(set(apart.texts)) >= 3, "too dull a model to tell"


def test_a_window_that_no_answer_outgrows_is_none(monkeypatch):
    prompts = [begun([7, 9, 11, 50], (18, 22)), begun([8, 60], (18, 21)), begun([7, 9, 70], (16, 22))]
    longest = 24 + HOW["max_new_tokens"]
    for window, shared in ((longest, 20), (longest - 1, 0)):
        engine = engine_of("mistral", sliding_window=window)
        assert generation.shared_start(engine, prompts, HOW["max_new_tokens"]) == shared
        with monkeypatch.context() as patched:
            found = generate(engine, prompts, temperature=0, **HOW)
            patched.setattr(generation, "shared_start", lambda *_: 0)
            assert found.texts == generate(engine, prompts, temperature=0, **HOW).texts


def test_a_beginning_steered_alike_is_one_row():
    engine = engine_of()
    prompts = [begun([7, 9], (18, 22)), begun([8, 60], (18, 22))] * 3
    for cells, ways in ((pushed([0.2] * 6), 1), (pushed([0.0] * 2 + [0.2] * 2 + [0.4] * 2), 3), ([()] * 6, 1)):
        with rows_seen(engine) as seen:
            generate(engine, prompts, temperature=0, cells=cells, **HOW)
        assert seen[0] == ways, "equal pushes are one way, whichever object says so"


def test_rows_part_where_they_are_first_treated_differently():
    engine = engine_of()
    with rows_seen(engine) as seen:
        generate(engine, PROMPTS * 4, temperature=0, cells=pushed([0.0, 1.0, 2.0, 3.0] * 3, layer=2), **HOW)
    assert seen == {0: 3, 1: 3, 2: 3, 3: 12}
    with rows_seen(engine) as seen:
        generate(engine, PROMPTS[:1], temperature=1.0, n=4, **HOW)
    assert seen == dict.fromkeys(range(4), 1), "samples part after the last block"
    with rows_seen(engine) as seen:
        generate(engine, PROMPTS, temperature=0, **HOW)
    assert seen == dict.fromkeys(range(4), 3), "nothing stands twice"
    with rows_seen(engine) as seen:
        generate(
            HookEngine(engine.model, engine.tokenizer, name="off", reuse_prefixes=False),
            PROMPTS * 2,
            temperature=0,
            **HOW,
        )
    assert seen == dict.fromkeys(range(4), 6), "prefix reuse is switched off"


def test_what_a_block_cannot_be_narrowed_by_leaves_the_pass_alone():
    engine = engine_of()

    def strange(_module, args, kwargs):
        return args, kwargs | {"strange": torch.zeros(7, 2)}

    handle = engine.anatomy.layers[0].register_forward_pre_hook(strange, with_kwargs=True)
    with rows_seen(engine) as seen:
        found = generate(engine, PROMPTS * 2, temperature=0, **HOW)
    handle.remove()
    assert (
        seen == dict.fromkeys(range(4), 6) and found.texts == generate(engine, PROMPTS * 2, temperature=0, **HOW).texts
    )


def test_hooks_are_gone_after_an_error():
    engine = engine_of()
    with pytest.raises(ZeroDivisionError), generation.reading_once(engine, [PROMPTS[0].ids] * 2, 3):
        raise ZeroDivisionError
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in engine.anatomy.layers)
