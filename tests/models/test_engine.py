"""The engine against Hugging Face, prompt by prompt, on real weights and on tiny models of several families."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from tiny_models import (
    FAMILIES,
    LOGPROB,
    OPTIONS,
    POSITIONS,
    RESIDUAL,
    REUSING,
    apart,
    make_prompt,
    naive,
    naive_baseline,
    naive_run,
    offset,
    relative,
    tiny_engine,
    tiny_model,
)

from personascope.errors import ModelError
from personascope.instruments.items import load_items
from personascope.instruments.personas import load_personas
from personascope.models import tree
from personascope.models.embedded import EMBEDDED, is_installed
from personascope.models.intervention import Intervention
from personascope.models.load import load_model
from personascope.prompts.labels import resolve_options
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render
from personascope.prompts.templates import likert_template


def every_token(prompts: list[Prompt]) -> tuple[list[Prompt], list[str]]:
    """The prompts with a span for each token (the last one again past a prompt's end), and the positions to read."""
    width = max(len(prompt) for prompt in prompts)
    spans = [{f"t{i}": (min(i, len(p) - 1), min(i, len(p) - 1) + 1) for i in range(width)} for p in prompts]
    spanned = [dataclasses.replace(p, spans=named) for p, named in zip(prompts, spans, strict=True)]
    return spanned, [f"first:t{i}" for i in range(width)]


def library_pass(model, prompt: Prompt, **settings):
    with torch.no_grad():
        return model(input_ids=torch.tensor([prompt.ids]), output_hidden_states=True, **settings)


# ---------------------------------------------------------------- against the library


def test_smollm2_equals_hugging_face_at_every_layer_and_position(smollm2):
    template = likert_template("ascending")
    personas, items = load_personas(), load_items().items[:3]
    asked = [
        render(
            smollm2.tokenizer,
            template,
            {"framing": personas[name].phrasings[0].framing, "item": item.text},
            system=personas[name].phrasings[0].system,
        )
        for name in ("self", "evil")
        for item in items
    ]
    prompts, positions = every_token(asked)
    options = resolve_options(smollm2.tokenizer, template.answer_prefix, template.labels)
    before = smollm2.work.tokens
    found = smollm2.run(prompts, layers=range(smollm2.n_layers), positions=positions, options=options)
    assert smollm2.work.tokens - before < 0.7 * sum(len(prompt) for prompt in prompts), "nothing was shared"
    norm, head = smollm2.model.model.norm, smollm2.model.lm_head
    for row, prompt in enumerate(prompts):
        expected = library_pass(smollm2.model, prompt)
        blocks = torch.stack(expected.hidden_states[1:])[:, 0]  # (layer, token, d_model), the last one post-norm
        ours = found.residuals[row, :, : len(prompt)]
        assert relative(ours[None, :-1], blocks[None, :-1]) < RESIDUAL
        with torch.no_grad():
            normed = norm(ours[-1])
            assert relative(normed[None, None], blocks[None, -1:]) < RESIDUAL
            assert relative(head(normed)[None, None], expected.logits[:, None]) < RESIDUAL
        logprobs = expected.logits[0, -1].double().log_softmax(-1)
        mass = torch.stack([logprobs[list(tokens)].exp().sum() for tokens in options.token_ids])
        inside = [token for tokens in options.token_ids for token in tokens]
        others = logprobs.exp().sum() - logprobs[inside].exp().sum()
        assert apart(found.option_logprobs[row], mass.log()) < LOGPROB
        assert apart(found.other_logmass[row], others.log()) < LOGPROB
        total = found.option_logprobs[row].exp().sum() + found.other_logmass[row].exp()
        assert float(total) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.slow
@pytest.mark.model
def test_gemma3_equals_hugging_face_when_the_shared_prefix_is_longer_than_its_window():
    if not is_installed("gemma3-270m"):
        pytest.skip(f"the Gemma packages are not installed ({EMBEDDED['gemma3-270m'].install})")
    engine = load_model("gemma3-270m")
    window = engine.anatomy.attention_kinds["sliding_attention"]
    story = "A letter came in the morning, and nobody in the house knew the hand that had written it. " * 40
    prompts = [
        Prompt(tuple(engine.tokenizer(story + ending)["input_ids"]), story + ending, {})
        for ending in ("It was", "The old man opened it and", "Nobody", "They put it on the shelf, and later")
    ]
    assert min(len(prompt) for prompt in prompts) > window + 100
    before = engine.work.tokens
    found = engine.run(prompts, layers=range(engine.n_layers), options=OPTIONS)
    assert engine.work.tokens - before < 1.2 * len(prompts[0]), "the story was not shared"
    for row, prompt in enumerate(prompts):
        expected = library_pass(engine.model, prompt, logits_to_keep=1)
        blocks = torch.stack([state[0, -1:] for state in expected.hidden_states[1:-1]])
        assert relative(found.residuals[row, :-1][None], blocks[None]) < RESIDUAL
        logprobs = expected.logits[0, -1].double().log_softmax(-1)
        mass = torch.stack([logprobs[list(tokens)].logsumexp(0) for tokens in OPTIONS.token_ids])
        assert apart(found.option_logprobs[row], mass) < 1e-3  # of log-probabilities near -20


@pytest.mark.parametrize("family", FAMILIES)
def test_the_naive_reference_reads_what_the_library_calls_hidden_states(family, prompts):
    model = tiny_model(family)
    hidden, logprobs = naive(model, prompts[0])
    expected = library_pass(model, prompts[0])
    assert torch.equal(hidden[:-1], torch.stack(expected.hidden_states[1:-1])[:, 0])
    assert torch.equal(logprobs, expected.logits[0, -1].double().log_softmax(-1))


@pytest.mark.parametrize("reuse", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_residuals_and_answers_equal_whole_prompts_run_alone(family, reuse, prompts):
    engine = tiny_engine(family, reuse_prefixes=reuse)
    found = engine.run(prompts, layers=range(4), positions=POSITIONS, options=OPTIONS)
    residuals, chosen, others = naive_baseline(family)
    assert relative(found.residuals, residuals) < RESIDUAL
    assert apart(found.option_logprobs, chosen) < LOGPROB
    assert apart(found.other_logmass, others) < LOGPROB
    total = found.option_logprobs.exp().sum(dim=1) + found.other_logmass.exp()
    assert torch.allclose(total, torch.ones(len(prompts)), atol=1e-5)
    whole = sum(len(prompt) for prompt in prompts)
    shares = reuse and family in REUSING
    assert engine.work.tokens < 0.7 * whole if shares else engine.work.tokens == whole


def test_the_prompts_of_these_tests_share_prefixes_within_prefixes_longer_than_the_window(llama, prompts):
    roots = llama.plan(prompts)
    leaves, stack = [], list(roots)
    while stack:
        segment = stack.pop()
        stack += segment.children
        leaves += [segment] if segment.is_leaf else []
    assert max(len(tree.ancestry(leaf)) for leaf in leaves) >= 2
    assert min(len(root.tokens) for root in roots if len(root.rows) > 1) > 8
    assert any(leaf.parent is None for leaf in leaves), "one prompt shares nothing"


def test_tiny_models_attend_to_their_past(prompts):
    """Otherwise a lost prefix would pass unseen."""
    model, prompt = tiny_model("llama"), prompts[0]
    cut = dataclasses.replace(prompt, ids=prompt.ids[-4:])
    assert relative(naive(model, cut)[0][None, :, -1], naive(model, prompt)[0][None, :, -1]) > 0.05


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2", "gpt_neox", "qwen3"])
def test_both_attention_kernels_take_the_masks(family, kernel, prompts):
    engine = tiny_engine(family)
    engine.model.set_attn_implementation(kernel)
    assert engine.fingerprint()["attention"] == kernel
    found = engine.run(prompts, layers=range(4), positions=POSITIONS, options=OPTIONS)
    assert engine.work.tokens < 0.7 * sum(map(len, prompts))
    assert relative(found.residuals, naive_baseline(family)[0]) < RESIDUAL
    assert apart(found.option_logprobs, naive_baseline(family)[1]) < LOGPROB


def test_float64_models_are_read_in_float64(prompts):
    engine = tiny_engine("llama", torch.float64)
    found = engine.run(prompts, layers=range(4), positions=POSITIONS, options=OPTIONS)
    residuals, chosen, _ = naive_run(engine.model, prompts, POSITIONS)
    assert found.residuals.dtype == torch.float64
    assert relative(found.residuals, residuals) < 1e-13
    assert apart(found.option_logprobs, chosen) < 1e-5  # answers are float32 by contract


# ---------------------------------------------------------------- what must not matter


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2", "qwen3_next"])
def test_batch_size_does_not_matter(family, prompts):
    outputs = [
        tiny_engine(family, token_budget=budget).run(prompts, layers=range(4), positions=POSITIONS, options=OPTIONS)
        for budget in (1, 40, 100_000)
    ]
    for other in outputs[1:]:
        assert relative(other.residuals, outputs[0].residuals) < RESIDUAL
        assert apart(other.option_logprobs, outputs[0].option_logprobs) < LOGPROB


def test_the_order_of_prompts_does_not_matter(llama, prompts):
    order = np.random.default_rng(1).permutation(len(prompts)).tolist()
    straight = llama.run(prompts, layers=range(4), positions=POSITIONS, options=OPTIONS)
    shuffled = llama.run([prompts[row] for row in order], layers=range(4), positions=POSITIONS, options=OPTIONS)
    assert relative(shuffled.residuals, straight.residuals[order]) < RESIDUAL
    assert apart(shuffled.option_logprobs, straight.option_logprobs[order]) < LOGPROB
    assert apart(shuffled.other_logmass, straight.other_logmass[order]) < LOGPROB


def test_the_order_of_layers_and_of_positions_does_not_matter(llama, prompts):
    everything = llama.run(prompts, layers=range(4), positions=POSITIONS).residuals
    some = llama.run(prompts, layers=[3, 0, 2], positions=POSITIONS[::-1]).residuals
    assert torch.equal(some, everything[:, [3, 0, 2]].flip(2))


def test_a_second_run_is_bit_for_bit_the_first(llama, prompts):
    first, second = (llama.run(prompts, layers=range(4), positions=POSITIONS, options=OPTIONS) for _ in range(2))
    assert torch.equal(first.residuals, second.residuals)
    assert torch.equal(first.option_logprobs, second.option_logprobs)
    assert torch.equal(first.other_logmass, second.other_logmass)


def test_outputs_can_be_changed_in_place_and_differentiated(llama, prompts):
    outputs = llama.run(prompts[:2], layers=[1], options=OPTIONS)
    for tensor in (outputs.residuals, outputs.option_logprobs, outputs.other_logmass):
        tensor += 1
        tensor.requires_grad_().sum().backward()
        assert tensor.grad is not None


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("layer", [-1, 4])
def test_a_layer_that_is_not_there_is_refused(llama, prompts, layer):
    with pytest.raises(ModelError, match=f"no layer {layer}.*\n.*0 to 3"):
        llama.run(prompts, layers=[0, layer])
    with pytest.raises(ModelError, match=f"no layer {layer}"):
        llama.run(prompts, options=OPTIONS, interventions=[Intervention(layer, offset(1), "answer")])


def test_a_layer_asked_for_twice_is_refused(llama, prompts):
    with pytest.raises(ModelError, match="twice"):
        llama.run(prompts, layers=[1, 2, 1])


@pytest.mark.parametrize("width", [1, 31, 33])
def test_an_offset_of_another_width_is_refused_and_never_broadcast(llama, prompts, width):
    with pytest.raises(ModelError, match=rf"\({width},\).*\n.*\(32,\)"):
        llama.run(prompts, options=OPTIONS, interventions=[Intervention(1, offset(1, width=width), "answer")])


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_longest_prompt_that_fits_is_right_and_a_longer_one_is_refused(family):
    engine, draw = tiny_engine(family), np.random.default_rng(3)
    long, short = (draw.integers(3, 97, n) for n in (100, 60))
    some = [make_prompt(long, draw.integers(3, 97, 2), draw.integers(3, 97, n)) for n in (1, 2, 26)]
    # these endings share a batch with those above, whose padding then runs past the last position of the model
    some += [make_prompt(short, draw.integers(3, 97, 2), draw.integers(3, 97, n)) for n in (32, 33)]
    assert len(some[2]) == engine.max_length == 128
    found = engine.run(some, layers=range(4), options=OPTIONS)
    assert engine.work.tokens < sum(map(len, some))
    residuals, chosen, _ = naive_run(engine.model, some, ("answer",))
    assert relative(found.residuals, residuals) < RESIDUAL
    assert apart(found.option_logprobs, chosen) < LOGPROB
    with pytest.raises(ModelError, match=r"Prompt 1 has 129 tokens; tiny-.* takes 1 to 128"):
        engine.run([some[0], dataclasses.replace(some[2], ids=(*some[2].ids, 5))], layers=[0])


def test_a_prompt_without_tokens_is_refused(llama):
    with pytest.raises(ModelError, match="Prompt 0 has 0 tokens"):
        llama.run([Prompt((), "", {})], layers=[0])
