"""Isolated steering against caches that are put together by hand with plain calls of the library."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from personascope.errors import ModelError, SpanError
from personascope.models.engine import HookEngine
from personascope.models.intervention import Cell, Intervention
from personascope.models.sweep import sweep
from personascope.models.tiny import VOCABULARY, WIDTH, tiny_model, tiny_tokenizer
from personascope.prompts.labels import Options
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt
from personascope.steering.splice import isolated_sweep

OPTIONS = Options(("a", "b", "c"), ((5,), (6, 7), (8, 80)))
LOGPROB = 5e-5
FAMILIES = ("llama", "gemma3_text")


def an_engine(family: str = "llama", budget: int = 120) -> HookEngine:
    return HookEngine(tiny_model(family), tiny_tokenizer(), name=f"tiny-{family}", token_budget=budget)


def push(layer: int, seed: int, where: str, sign: float = 1.0) -> Intervention:
    offset = 3 * sign * np.random.default_rng(seed).standard_normal(WIDTH)
    return Intervention(layer, offset.astype(np.float32), where)


def erase(layer: int, seed: int, where: str) -> Intervention:
    rows = np.linalg.qr(np.random.default_rng(seed).standard_normal((WIDTH, 9))).Q.T
    return Intervention(layer, np.zeros(WIDTH, np.float32), where, erase=rows.astype(np.float32))


CELLS: list[Cell] = [
    (push(2, 1, "mean:task_a"), push(2, 1, "mean:task_b", -1)),
    (),
    (push(0, 2, "mean:task_a"), push(0, 2, "mean:task_b", -1)),
    (push(0, 2, "mean:task_a", 0.0),),
    (push(1, 3, "mean:task_a"), push(2, 4, "last:task_b"), push(1, 5, "mean:task_b")),
    (push(1, 6, "mean:task_b"),),
    (erase(0, 7, "first:task_a"), erase(1, 8, "mean:task_b")),
    (push(3, 9, "mean:task_a"), push(3, 9, "mean:task_b", -1)),
]
"""One layer and several, in no order; 1 and 3 do nothing, and neither does 7: no block reads what it changes."""


def ask(start: list[int], first: list[int], between: list[int], second: list[int], end: list[int]) -> Prompt:
    ids = [*start, *first, *between, *second, *end]
    a, b = len(start), len(start) + len(first) + len(between)
    return Prompt(tuple(ids), " ".join(map(str, ids)), {"task_a": (a, a + len(first)), "task_b": (b, b + len(second))})


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    """Shared starts, equal tasks after equal and other starts, one prompt twice, and some parts that are empty."""
    draw = np.random.default_rng(8)
    some = lambda n: draw.integers(3, VOCABULARY, n).tolist()  # noqa: E731
    start, task, other = some(11), some(6), some(4)
    rows = [
        (start, task, [40], other, some(3)),
        (start, task, [40], some(7), some(3)),
        (start, other, [40], task, some(5)),
        (some(5), task, [], other, [50]),
        ([], task, [41, 42], some(9), some(2)),
        (some(11), task, [40], other, some(3)),
    ]
    return [ask(*rows[n]) for n in (0, 1, 2, 3, 4, 1, 5)]


def run_by_hand(model: torch.nn.Module, prompt: Prompt, cell: Cell) -> DynamicCache:
    """Keys and values of a whole prompt that is steered by plain hooks."""

    def change(layer, _module, _inputs, output):
        hidden = (output[0] if isinstance(output, tuple) else output).clone()
        for one in cell:
            tokens = list(resolve(prompt, one.where))
            if one.layer == layer and one.erase is not None:
                hidden[0, tokens] -= hidden[0, tokens] @ torch.tensor(one.erase.T @ one.erase)
            if one.layer == layer:
                hidden[0, tokens] += torch.tensor(one.offset)
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    layers = model.model.layers
    handles = [block.register_forward_hook(functools.partial(change, n)) for n, block in enumerate(layers)]
    cache = DynamicCache()
    with torch.no_grad():
        model(torch.tensor([prompt.ids]), past_key_values=cache, use_cache=True)
    for handle in handles:
        handle.remove()
    return cache


def by_hand(model: torch.nn.Module, prompt: Prompt, cell: Cell, recompute: str) -> torch.Tensor:
    """Three whole runs, one spliced cache, and what is recomputed over it."""
    clean, spliced = run_by_hand(model, prompt, ()), DynamicCache()
    runs = {
        name: run_by_hand(model, prompt, tuple(one for one in cell if one.where.endswith(name)))
        for name in ("task_a", "task_b")
    }
    stop = prompt.spans["task_b"][1] if recompute == "suffix" else len(prompt) - 1
    for number, layer in enumerate(clean.layers):
        keys, values = layer.keys.clone(), layer.values.clone()
        for name, run in runs.items():
            span = slice(*prompt.spans[name])
            keys[:, :, span] = run.layers[number].keys[:, :, span]
            values[:, :, span] = run.layers[number].values[:, :, span]
        spliced.update(keys[:, :, :stop], values[:, :, :stop], number)
    positions = torch.arange(stop, len(prompt))
    with torch.no_grad():
        scores = model(
            torch.tensor([prompt.ids[stop:]]),
            past_key_values=spliced,
            position_ids=positions[None],
        ).logits[0, -1]
    scores = scores.log_softmax(-1)
    return torch.stack([scores[list(tokens)].logsumexp(0) for tokens in OPTIONS.token_ids])


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    assert found.shape == expected.shape
    return float((found - expected).abs().max())


@pytest.mark.parametrize("recompute", ["suffix", "answer"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_cell_equals_a_cache_that_is_spliced_by_hand(family, recompute, prompts):
    engine = an_engine(family)
    found = isolated_sweep(engine, prompts, CELLS, OPTIONS, recompute=recompute)
    for row in (0, 2, 3, 4, 6):
        for cell in (0, 4, 5, 6):
            expected = by_hand(engine.model, prompts[row], CELLS[cell], recompute)
            assert apart(found.option_logprobs[row, cell], expected) < LOGPROB
    moved = (found.option_logprobs - found.option_logprobs[:, 1:2]).abs().amax(dim=2)
    assert moved[:, [1, 3, 7]].max() < LOGPROB
    assert (moved[:, [0, 2, 4, 5, 6]].amax(dim=0) > 1e-2).all()
    probabilities = found.option_logprobs.exp().sum(dim=2) + found.other_logmass.exp()
    assert apart(probabilities, torch.ones_like(probabilities)) < LOGPROB


@pytest.mark.parametrize("family", FAMILIES)
def test_a_coefficient_of_zero_is_the_baseline(family, prompts):
    engine = an_engine(family)
    baseline = engine.run(prompts, options=OPTIONS)
    for recompute in ("suffix", "answer"):
        found = isolated_sweep(engine, prompts, [(push(1, 1, "mean:task_a", 0.0),), ()], OPTIONS, recompute=recompute)
        assert torch.equal(found.option_logprobs[:, 0], found.option_logprobs[:, 1])
        assert apart(found.option_logprobs[:, 0], baseline.option_logprobs) < LOGPROB
        assert apart(found.other_logmass[:, 0], baseline.other_logmass) < LOGPROB


@pytest.mark.parametrize("family", FAMILIES)
def test_one_span_with_all_that_follows_it_recomputed_is_ordinary_steering(family, prompts):
    cells = [(push(layer, layer, f"{kind}:task_a"),) for layer in (1, 0, 2) for kind in ("mean", "last")]
    found = isolated_sweep(an_engine(family), prompts, cells, OPTIONS, spans=("task_a",))
    ordinary = sweep(an_engine(family), prompts, cells, OPTIONS)
    assert apart(found.option_logprobs, ordinary.option_logprobs) < LOGPROB
    cells = [(push(1, 1, "mean:task_b"),)]
    second = isolated_sweep(an_engine(family), prompts, cells, OPTIONS)  # with an unsteered first span
    assert apart(second.option_logprobs, sweep(an_engine(family), prompts, cells, OPTIONS).option_logprobs) < LOGPROB


def test_what_is_isolated_differs_from_steering_both_spans_in_one_run(prompts):
    both = [CELLS[2]]
    found = [isolated_sweep(an_engine(), prompts, both, OPTIONS, recompute=r) for r in ("suffix", "answer")]
    ordinary = sweep(an_engine(), prompts, both, OPTIONS).option_logprobs
    assert apart(found[0].option_logprobs, ordinary) > 1e-2
    assert apart(found[0].option_logprobs[:3], found[1].option_logprobs[:3]) > 1e-2
    # prompt 3 has nothing but the answer token after its spans
    assert apart(found[0].option_logprobs[3], found[1].option_logprobs[3]) < LOGPROB


@pytest.mark.parametrize("recompute", ["suffix", "answer"])
def test_batches_shares_and_the_order_of_cells_do_not_matter(recompute, prompts):
    whole = isolated_sweep(an_engine(budget=100_000), prompts, CELLS, OPTIONS, recompute=recompute)
    order = [5, 2, 7, 0, 1, 6, 4, 3]
    for budget in (1, 70, 300):
        cells = [CELLS[cell] for cell in order]
        found = isolated_sweep(an_engine(budget=budget), prompts[::-1], cells, OPTIONS, recompute=recompute)
        assert apart(found.option_logprobs.flip(0), whole.option_logprobs[:, order]) < LOGPROB
        assert apart(found.other_logmass.flip(0), whole.other_logmass[:, order]) < LOGPROB


def test_a_prompt_that_gets_rows_of_its_own_shares_nothing(prompts):
    twice = [prompts[1], prompts[5]]
    assert twice[0].ids == twice[1].ids
    rows = tuple(np.random.default_rng(n).standard_normal((6, WIDTH)).astype(np.float32) for n in (0, 1))
    cells = [(Intervention(1, np.zeros(WIDTH, np.float32), "mean:task_a", rows=rows),)]
    found = isolated_sweep(an_engine(), twice, cells, OPTIONS, spans=("task_a",)).option_logprobs
    assert apart(found, sweep(an_engine(), twice, cells, OPTIONS).option_logprobs) < LOGPROB
    assert apart(found[0], found[1]) > 1e-2


def test_prompts_of_equal_tokens_share_a_span_only_where_the_same_tokens_are_steered(prompts):
    start, stop = prompts[0].spans["task_a"]
    words = [replace(prompts[0], spans={**prompts[0].spans, "word": (n, n + 2)}) for n in (start, stop - 2, start)]
    cells = [(push(1, 1, "mean:word"),)]
    found = isolated_sweep(an_engine(), words, cells, OPTIONS, spans=("task_a",)).option_logprobs
    assert apart(found, sweep(an_engine(), words, cells, OPTIONS).option_logprobs) < LOGPROB
    assert apart(found[0], found[1]) > 1e-2


def test_shared_tokens_are_computed_once_and_lower_blocks_not_again(prompts):
    engine = an_engine(budget=100_000)
    three = [prompts[0], prompts[1], prompts[5]]
    isolated_sweep(engine, three, [(push(2, n, "mean:task_a"),) for n in range(5)], OPTIONS)
    start, stop = three[0].spans["task_a"][0], three[0].spans["task_b"][0]
    assert engine.work.tokens == stop + sum(len(p) - stop for p in three) - len(range(*three[1].spans["task_b"]))
    assert start > 0
    # five ranges through four blocks, then two spans and the end through the one block above the steered layer
    assert engine.work.block_calls == 5 * 4 + 3
    assert engine.work.head_rows == 3 * 5


@pytest.mark.parametrize(
    ("cells", "options", "error", "message"),
    [
        ([(push(1, 1, "answer"),)], {}, ModelError, "outside of the isolated spans"),
        ([(push(1, 1, "from:task_a"),)], {}, ModelError, "outside of the isolated spans"),
        ([(push(1, 1, "mean:task_b"),)], {"spans": ("task_a",)}, ModelError, "outside of the isolated spans task_a"),
        ([(push(4, 1, "mean:task_a"),)], {}, ModelError, "no layer 4"),
        ([(push(1, 1, "mean:task_c"),)], {}, SpanError, "task_c"),
        ([()], {"spans": ("task_a", "task_a")}, SpanError, "cannot be isolated"),
        ([()], {"spans": ()}, SpanError, "cannot be isolated"),
        ([()], {"spans": ("task_a", "task_c")}, SpanError, "task_c"),
    ],
)
def test_what_cannot_be_isolated_is_refused(cells, options, error, message, prompts):
    engine = an_engine()
    with pytest.raises(error, match=message):
        isolated_sweep(engine, prompts, cells, OPTIONS, **options)
    assert engine.work.tokens == 0


def test_a_span_that_reaches_the_answer_is_refused():
    prompt = ask([9, 9], [10, 11], [12], [13, 14], [])
    with pytest.raises(SpanError, match="end before the answer token"):
        isolated_sweep(an_engine(), [prompt], [()], OPTIONS)


def test_models_that_cannot_reuse_prefixes_and_models_that_are_steered_are_refused(prompts):
    recurrent = an_engine("qwen3_next")
    with pytest.raises(ModelError, match="linear_attention"):
        isolated_sweep(recurrent, prompts, CELLS, OPTIONS)
    engine = an_engine()
    engine.interventions = [push(1, 1, "answer")]
    with pytest.raises(ModelError, match="it is being steered"):
        isolated_sweep(engine, prompts, CELLS, OPTIONS)
