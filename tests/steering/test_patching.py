"""Patching against hooks that know nothing of the engine, and against what patching must do by its meaning."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch

from personascope.errors import DataError, ModelError, SpanError
from personascope.models.engine import HookEngine
from personascope.models.tiny import VOCABULARY, tiny_model, tiny_tokenizer
from personascope.prompts.labels import Options
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt
from personascope.steering import patching
from personascope.steering.patching import patch_sweep

OPTIONS = Options(("a", "b", "c"), ((5,), (6, 7), (8, 80)))
LOGPROB = 5e-5
FAMILIES = ("llama", "gemma3_text")


def an_engine(family: str = "llama") -> HookEngine:
    return HookEngine(tiny_model(family), tiny_tokenizer(), name=f"tiny-{family}", token_budget=120)


def ask(start: list[int], first: list[int], second: list[int]) -> Prompt:
    ids = [*start, *first, 40, *second, 41, 42, 43]
    a, b = len(start), len(start) + len(first) + 1
    spans = {"task_a": (a, a + len(first)), "task_b": (b, b + len(second)), "eot": (len(ids) - 3, len(ids) - 1)}
    return Prompt(tuple(ids), " ".join(map(str, ids)), spans)


@pytest.fixture
def orders() -> tuple[list[Prompt], list[Prompt]]:
    """Three pairs in both orders after two personas, and for each the same pair in the other order."""
    draw = np.random.default_rng(3)
    some = lambda n: draw.integers(3, VOCABULARY, n).tolist()  # noqa: E731
    starts, tasks = [some(9), some(11)], [some(n) for n in (5, 5, 7, 7, 4, 6)]
    pairs = [(starts[n % 2], tasks[2 * n], tasks[2 * n + 1]) for n in range(3)]
    prompts = [ask(start, *both) for start, a, b in pairs for both in ((a, b), (b, a))]
    return prompts, [prompts[row ^ 1] for row in range(len(prompts))]


def by_hand(model: torch.nn.Module, prompt: Prompt, donor: Prompt, where: str, layers: tuple[int, ...]) -> torch.Tensor:
    """Log-probabilities of the options with the donor's rows in place at these layers."""
    kept: dict[int, torch.Tensor] = {}

    def keep(layer, _module, _inputs, output):
        kept[layer] = (output[0] if isinstance(output, tuple) else output)[0, list(resolve(donor, where))].clone()

    def put(layer, _module, _inputs, output):
        hidden = (output[0] if isinstance(output, tuple) else output).clone()
        hidden[0, list(resolve(prompt, where))] = kept[layer]
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    for ids, hook in ((donor.ids, keep), (prompt.ids, put)):
        handles = [model.model.layers[n].register_forward_hook(functools.partial(hook, n)) for n in layers]
        with torch.no_grad():
            scores = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        for handle in handles:
            handle.remove()
    return torch.stack([scores[list(tokens)].logsumexp(0) for tokens in OPTIONS.token_ids])


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.shape == expected.shape and bool(np.abs(found - expected).max() < LOGPROB)


@pytest.mark.parametrize("where", ["eot", "from:eot", "last:task_b"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_cell_equals_hooks_on_two_whole_prompts(family, where, orders):
    engine, (prompts, donors) = an_engine(family), (some[2:] for some in orders)
    found = patch_sweep(engine, prompts, donors, where=where, layers=range(4), options=OPTIONS, seed=1)
    assert found.cells[:5] == (*(f"donor at layer {n}" for n in range(4)), "donor at layers 0 to 3 jointly")
    assert found.cells[5:] == (
        *(c.replace("donor", "unrelated") for c in found.cells[:5]),
        "own at layers 0 to 3 jointly",
    )
    for cell, (kind, layers) in enumerate(zip(found.donors, found.layers, strict=True)):
        for row, prompt in enumerate(prompts):
            giving = {"donor": donors[row], "own": prompt, "unrelated": donors[found.unrelated[row]]}[kind]
            expected = by_hand(engine.model, prompt, giving, where, layers)
            assert close(found.option_logprobs[row, cell], expected.numpy())
    moved = np.abs(found.option_logprobs - found.baseline[:, None]).max(axis=(0, 2))
    # a block's last output goes nowhere but into the answer of its own token
    idle = {3, 8} if resolve(prompts[0], where).stop < len(prompts[0]) else set()
    assert {cell for cell in range(10) if moved[cell] < 1e-2} == idle
    assert found.own_change == moved[10] < LOGPROB


@pytest.mark.parametrize("family", FAMILIES)
def test_all_layers_at_all_tokens_give_the_donors_answer(family, orders):
    prompts, donors = (some[:4] for some in orders)  # tasks of one length within each pair
    found = patch_sweep(
        an_engine(family), prompts, donors, where="all", layers=range(4), options=OPTIONS, unrelated=False
    )
    assert close(found.answers("donor", jointly=True)[:, 0], found.donor_logprobs)
    assert close(found.answers("donor")[:, 0], an_engine(family).run(donors, options=OPTIONS).option_logprobs.numpy())
    assert found.own_change < LOGPROB


@pytest.mark.parametrize("family", FAMILIES)
def test_the_answer_token_after_the_last_block_is_the_donors_answer(family, orders):
    prompts, donors = orders
    found = patch_sweep(an_engine(family), prompts, donors, where="answer", layers=[0, 3], options=OPTIONS)
    assert close(found.answers("donor")[:, 1], found.donor_logprobs)
    assert close(found.answers("unrelated")[:, 1], found.donor_logprobs[found.unrelated])
    assert close(found.donor_logprobs, found.baseline[[1, 0, 3, 2, 5, 4]])
    assert not close(found.answers("donor")[:, 0], found.donor_logprobs)


def test_spans_of_equal_length_are_swapped_and_prompts_of_any_other_length_stand_beside_them(orders):
    engine, prompts, donors = an_engine(), *(some[:4] for some in orders)  # spans of 5 and of 7 tokens in one call
    found = patch_sweep(
        engine, prompts, donors, where="mean:task_a", layers=[1], options=OPTIONS, joint=False, unrelated=False
    )
    assert found.cells == ("donor at layer 1", "own at layer 1")
    expected = [by_hand(engine.model, p, d, "mean:task_a", (1,)) for p, d in zip(prompts, donors, strict=True)]
    assert close(found.option_logprobs[:, 0], torch.stack(expected).numpy())
    assert (found.unrelated == -1).all()


def test_how_prompts_are_shared_out_does_not_matter(orders, monkeypatch):
    ask_all = functools.partial(patch_sweep, where="from:eot", layers=[0, 2], options=OPTIONS, seed=5)
    whole = ask_all(an_engine(), *orders)
    monkeypatch.setattr(patching, "KEPT_BYTES", 1)  # one prompt at a time
    parts = ask_all(an_engine(), *orders)
    assert np.array_equal(parts.unrelated, whole.unrelated)
    for name in ("option_logprobs", "baseline", "donor_logprobs"):
        assert close(getattr(parts, name), getattr(whole, name))
    assert np.abs(parts.other_logmass - whole.other_logmass).max() < LOGPROB


def test_equal_tokens_with_the_position_elsewhere_or_with_another_end_have_rows_and_answers_of_their_own(orders):
    (prompt, *_), engine = orders[0], an_engine()
    words = [replace(prompt, spans={"word": (n, n + 2)}) for n in (9, 15)]
    words.append(replace(words[0], ids=(*prompt.ids[:-1], 44)))
    ask_all = functools.partial(patch_sweep, where="mean:word", layers=[1], options=OPTIONS, unrelated=False)
    found = ask_all(engine, words, words[1:] + words[:1])
    assert found.own_change < LOGPROB
    expected = [by_hand(engine.model, words[n], words[(n + 1) % 3], "mean:word", (1,)).numpy() for n in range(3)]
    assert close(found.option_logprobs[:, 0], np.stack(expected))
    assert close(found.donor_logprobs, engine.run(words[1:] + words[:1], options=OPTIONS).option_logprobs.numpy())
    assert not close(found.donor_logprobs[1], found.donor_logprobs[0])


def test_unrelated_donors_are_seeded_and_are_neither_the_prompt_nor_its_donor(orders):
    prompts, donors = orders
    drawn = [
        patch_sweep(an_engine(), prompts, donors, where="eot", layers=[2], options=OPTIONS, seed=seed).unrelated
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    for unrelated in drawn:
        assert (unrelated // 2 != np.arange(6) // 2).all()


def test_rows_of_a_half_precision_model_are_put_back_bit_for_bit(orders):
    """In bfloat16 a row that went through another type and back could change; one prompt is one batch, twice."""
    engine = HookEngine(tiny_model("llama", torch.bfloat16), tiny_tokenizer(), name="tiny", reuse_prefixes=False)
    prompts, donors = (some[:1] for some in orders)
    found = patch_sweep(engine, prompts, donors, where="answer", layers=[3], options=OPTIONS, unrelated=False)
    assert np.array_equal(found.answers("donor")[:, 0], found.donor_logprobs)
    assert found.own_change == 0.0


def test_the_frame_has_a_row_for_each_prompt_cell_and_option(orders):
    found = patch_sweep(an_engine(), *orders, where="eot", layers=[1, 3], options=OPTIONS)
    frame = found.frame()
    assert frame.height == 6 * 7 * 3
    one = frame.filter(row=4, cell="unrelated at layer 3", option="b").row(0, named=True)
    assert (one["donor"], one["layer"]) == ("unrelated", 3)
    assert one["logprob"] == found.option_logprobs[4, 4, 1]
    assert one["baseline"] == found.baseline[4, 1]
    assert one["source"] == found.donor_logprobs[found.unrelated[4], 1]
    assert one["other_logmass"] == found.other_logmass[4, 4]
    own = frame.filter(donor="own")
    assert own["source"].equals(own["baseline"], check_names=False)
    assert own["layer"].null_count() == own.height


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"where": "mean:task_a"}, DataError, r"names 4 tokens in prompt 4 and 6 in its donor \(2 such pairs of 6\)"),
        ({"where": "mean:task_c"}, SpanError, "task_c"),
        ({"layers": []}, DataError, "0 layers"),
        ({"layers": [4]}, ModelError, "no layer 4"),
        ({"layers": [1, 1]}, ModelError, "twice"),
    ],
)
def test_what_cannot_be_patched_is_refused(change, error, message, orders):
    with pytest.raises(error, match=message):
        patch_sweep(an_engine(), *orders, **({"where": "eot", "layers": [1], "options": OPTIONS} | change))


def test_donors_that_are_too_few_are_refused(orders):
    prompts, donors = orders
    with pytest.raises(DataError, match="5 donors for 6 prompts"):
        patch_sweep(an_engine(), prompts, donors[:5], where="eot", layers=[1], options=OPTIONS)
    with pytest.raises(DataError, match="Prompt 0 has no unrelated donor with 2 tokens"):
        patch_sweep(an_engine(), prompts[:2], donors[:2], where="eot", layers=[1], options=OPTIONS)
