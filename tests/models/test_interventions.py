"""Every kind of intervention, on every backend, in sweeps and while writing, against an independent loop over rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from other_libraries import tiny_bridge, tiny_nnsight
from tiny_models import (
    LOGPROB,
    OPTIONS,
    POSITIONS,
    RESIDUAL,
    apart,
    changed_row,
    naive_run,
    offset,
    relative,
    tiny_engine,
    tokens_named,
)

from personascope.errors import ModelError
from personascope.models.adapt import as_backend
from personascope.models.generation import generate
from personascope.models.intervention import Intervention
from personascope.models.sweep import sweep

NOTHING = np.zeros(32, np.float32)
BASIS = np.linalg.qr(np.random.default_rng(3).normal(size=(32, 3)))[0].T.astype(np.float32)
UNIT = BASIS[:1]
KINDS = {
    "adds": lambda where: Intervention(1, offset(1), where),
    "projects out": lambda where: Intervention(1, NOTHING, where, erase=BASIS),
    "clamps": lambda where: Intervention(2, 7.5 * UNIT[0], where, erase=UNIT),
    "turns": lambda where: Intervention(1, offset(2), where, keep_norm=True),
}


def given(prompts, where, layer=1, seed=11):
    draw = np.random.default_rng(seed)
    rows = [draw.normal(size=(len(tokens_named(prompt, where)), 32)).astype(np.float32) for prompt in prompts]
    return Intervention(layer, NOTHING, where, rows=tuple(rows))


def kinds_for(prompts, where):
    return {**{name: make(where) for name, make in KINDS.items()}, "replaces": given(prompts, where)}


@pytest.mark.parametrize("where", ["answer", "mean:task_a", "from:item", "all"])
@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2", "qwen3_next"])
def test_a_run_equals_the_loop_over_rows(family, where, prompts):
    engine, some = tiny_engine(family), prompts[:6]
    for name, one in kinds_for(some, where).items():
        found = engine.run(some, layers=range(4), positions=POSITIONS, options=OPTIONS, interventions=[one])
        residuals, chosen, _ = naive_run(engine.model, some, POSITIONS, [one])
        assert relative(found.residuals, residuals) < RESIDUAL, name
        assert apart(found.option_logprobs, chosen) < LOGPROB, name


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2", "qwen3_next"])
def test_a_sweep_over_all_kinds_equals_the_loop_over_rows(family, prompts):
    engine, some = tiny_engine(family), prompts[:7]
    cells = [()]
    for where in ("answer", "from:item", "mean:task_a"):
        cells += [(one,) for one in kinds_for(some, where).values()]
    cells.append((KINDS["projects out"]("from:item"), KINDS["clamps"]("answer"), given(some, "answer", layer=0)))
    found = sweep(engine, some, cells, OPTIONS)
    for index, cell in enumerate(cells):
        _, chosen, others = naive_run(engine.model, some, ("answer",), cell)
        assert apart(found.option_logprobs[:, index], chosen) < LOGPROB, index
        assert apart(found.other_logmass[:, index], others) < LOGPROB, index


@pytest.mark.parametrize("make", [tiny_bridge, tiny_nnsight])
def test_other_libraries_do_the_same(make, prompts):
    engine, some = tiny_engine("llama"), prompts[:6]
    other = as_backend(make())
    for where in ("answer", "from:item"):
        for name, one in kinds_for(some, where).items():
            asked = {"layers": range(4), "positions": POSITIONS, "options": OPTIONS, "interventions": [one]}
            expected, found = engine.run(some, **asked), other.run(some, **asked)
            assert relative(found.residuals, expected.residuals) < RESIDUAL, name
            assert apart(found.option_logprobs, expected.option_logprobs) < LOGPROB, name
    cells = [(), (KINDS["adds"]("answer"),)]
    expected = sweep(engine, some, cells, OPTIONS).option_logprobs
    assert apart(sweep(other, some, cells, OPTIONS).option_logprobs, expected) < LOGPROB


def test_what_was_projected_out_is_gone_and_lengths_are_kept(llama, prompts):
    read = {"layers": [1], "positions": ("answer",)}
    plain = llama.run(prompts, **read).residuals[:, 0, 0]
    gone = llama.run(prompts, **read, interventions=[KINDS["projects out"]("answer")]).residuals[:, 0, 0]
    assert (gone @ torch.from_numpy(BASIS).T).abs().max() < 1e-4 * plain.abs().max()
    turned = llama.run(prompts, **read, interventions=[KINDS["turns"]("answer")]).residuals[:, 0, 0]
    assert torch.allclose(turned.norm(dim=1), plain.norm(dim=1), rtol=1e-5)
    assert (turned - plain).abs().max() > 0.1


def test_own_rows_change_nothing_and_anothers_give_its_answer(llama, prompts):
    # prompts of one length, so that every row can be given to every other
    width = min(len(prompt) for prompt in prompts)
    short = [dataclasses.replace(prompt, ids=prompt.ids[:width], spans={"item": (0, width)}) for prompt in prompts]
    tokens = [dataclasses.replace(p, spans={**p.spans, **{f"t{k}": (k, k + 1) for k in range(width)}}) for p in short]
    rows = llama.run(tokens, layers=[2], positions=[f"first:t{k}" for k in range(width)]).residuals[:, 0].numpy()
    plain = llama.run(short, options=OPTIONS).option_logprobs
    own = Intervention(2, NOTHING, "all", rows=tuple(rows))
    assert apart(llama.run(short, options=OPTIONS, interventions=[own]).option_logprobs, plain) < LOGPROB
    swapped = Intervention(2, NOTHING, "all", rows=tuple(rows[::-1]))
    assert apart(llama.run(short, options=OPTIONS, interventions=[swapped]).option_logprobs, plain.flip(0)) < LOGPROB
    found = sweep(llama, short, [(own,), (swapped,)], OPTIONS).option_logprobs
    assert apart(found[:, 0], plain) < LOGPROB
    assert apart(found[:, 1], plain.flip(0)) < LOGPROB


def test_the_derivative_at_zero_is_autograds(llama, prompts):
    direction, prompt = offset(4) / 10, prompts[0]
    step = torch.zeros((), requires_grad=True)

    def add(_module, _inputs, output):
        hidden = output[0] if isinstance(output, tuple) else output
        pushed = hidden + step * torch.from_numpy(direction)
        return (pushed, *output[1:]) if isinstance(output, tuple) else pushed

    handle = llama.model.model.layers[1].register_forward_hook(add)
    logprob = llama.model(torch.tensor([prompt.ids])).logits[0, -1].log_softmax(-1)[OPTIONS.token_ids[0][0]]
    handle.remove()
    (expected,) = torch.autograd.grad(logprob, step)
    small = 0.02
    cells = [(Intervention(1, sign * small * direction, "all"),) for sign in (1, -1)]
    found = sweep(llama, [prompt], cells, OPTIONS).option_logprobs[0, :, 0]
    assert float(found[0] - found[1]) / (2 * small) == pytest.approx(float(expected), rel=0.02, abs=1e-3)


def test_steering_is_rounded_once_in_half_precision(prompts):
    engine = tiny_engine("llama", torch.bfloat16)
    one = Intervention(1, offset(5, size=0.01), "answer")
    read = {"layers": [1], "positions": ("answer",)}
    plain = engine.run(prompts, **read).residuals
    found = engine.run(prompts, **read, interventions=[one]).residuals
    assert torch.equal(found[:, 0, 0], (plain[:, 0, 0].float() + torch.from_numpy(one.offset)).bfloat16())


def greedy(engine, prompt, cell, n, row=0):
    """Tokens written greedily, everything computed anew at every step; generated ones are steered where it goes on."""
    ids = list(prompt.ids)
    for _ in range(n):
        begun = dataclasses.replace(prompt, ids=tuple(ids))

        def hook(layer, _module, _inputs, output, begun=begun):
            hidden = (output[0] if isinstance(output, tuple) else output).clone()
            for one in (one for one in cell if one.layer == layer):
                tokens = [] if one.phase == "generation" else list(enumerate(tokens_named(prompt, one.where)))
                if one.phase == "generation" or (one.phase is None and one.where in ("all", "from:item")):
                    tokens += [(0, token) for token in range(len(prompt), len(begun))]
                for number, token in tokens:
                    hidden[0, token] = changed_row(hidden[0, token], one, row, number)
            return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

        blocks = engine.anatomy.layers
        handles = [blocks[k].register_forward_hook(lambda *a, k=k: hook(k, *a)) for k in range(len(blocks))]
        with torch.no_grad():
            ids.append(int(engine.model(torch.tensor([ids])).logits[0, -1].argmax()))
        for handle in handles:
            handle.remove()
    return ids[len(prompt) :]


class Numbers:
    """Decodes tokens to their numbers, so that texts show what was written."""

    eos_token_id = None

    def decode(self, tokens, **_):
        return " ".join(map(str, tokens))


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "qwen3_next"])
def test_what_is_written_under_a_cell_of_its_own_equals_recomputation_of_everything(family, prompts):
    engine = tiny_engine(family)
    engine.tokenizer = Numbers()
    some = [prompts[0], prompts[1], prompts[5]]
    phases = [
        Intervention(1, offset(6), "all", phase="prompt"),
        Intervention(1, offset(6), "all", phase="generation"),
        Intervention(2, offset(7), "from:item", phase="prompt"),
    ]
    cells = [(), *[(make("all"),) for make in KINDS.values()], *[(one,) for one in phases]]
    cells += [(KINDS["adds"]("mean:task_a"), Intervention(1, -offset(1), "answer"), KINDS["clamps"]("from:item"))]
    if family == "gemma3_text":  # its embeddings are long, and its answers move with longer pushes only
        cells = [tuple(dataclasses.replace(one, offset=40 * one.offset) for one in cell) for cell in cells]
    asked = [(prompt, cell) for cell in cells for prompt in some]
    patch = given([prompt for prompt, _ in [*asked, *((p, ()) for p in some)]], "mean:task_a")
    asked += [(prompt, (patch,)) for prompt in some]
    found = generate(
        engine, [p for p, _ in asked], cells=[c for _, c in asked], max_new_tokens=5, temperature=0, seed=0
    )
    for row, (prompt, cell) in enumerate(asked):
        expected = greedy(engine, prompt, cell, 5, row)
        end = next((at for at, token in enumerate(expected) if token in found.settings["end_tokens"]), None)
        assert found.texts[row][0].split() == [str(token) for token in expected[:end]], (row, cell)
    assert len({texts for texts, (prompt, _) in zip(found.texts, asked, strict=True) if prompt is some[0]}) > 5


def test_cells_share_random_numbers_and_the_empty_cell_is_the_baseline(llama, prompts):
    llama.tokenizer = Numbers()
    how = {"max_new_tokens": 6, "temperature": 1.0, "seed": 3}
    plain = generate(llama, prompts[:3], **how)
    zero = Intervention(1, NOTHING, "all")
    cells = [*[()] * 3, *[(zero,)] * 3, *[(KINDS["adds"]("all"),)] * 3]
    found = generate(llama, [*prompts[:3]] * 3, cells=cells, **how)
    assert found.texts[:3] == plain.texts
    # a zero offset does nothing, so it is the same prompt under the same cell, drawn a second time
    twice = generate(llama, [*prompts[:3]] * 2, **how)
    assert found.texts[3:6] == twice.texts[3:]
    assert found.texts[6:] != plain.texts


def test_steering_that_could_never_act_is_refused(llama, prompts):
    late = Intervention(1, offset(1), "all", phase="generation")
    with pytest.raises(ModelError, match="generates no token"):
        llama.run(prompts, options=OPTIONS, interventions=[late])
    with pytest.raises(ModelError, match="generates no token"):
        sweep(llama, prompts, [(late,)], OPTIONS)
    with pytest.raises(ModelError, match="1 cells were given for 2 prompts"):
        generate(llama, prompts[:2], cells=[()], max_new_tokens=1, temperature=0, seed=0)


def test_rows_that_do_not_fit_the_prompts_are_refused(llama, prompts):
    with pytest.raises(ModelError, match="Rows are given for 3 prompts; 4 are run"):
        llama.run(prompts[:4], options=OPTIONS, interventions=[given(prompts[:3], "mean:task_a")])
    some = prompts[:2]
    wrong = Intervention(1, NOTHING, "answer", rows=(np.zeros((1, 32)), np.zeros((2, 32))))
    with pytest.raises(ModelError, match="prompt 1: 2 rows for 1 tokens"):
        llama.run(some, options=OPTIONS, interventions=[wrong])
    with pytest.raises(ModelError, match=r"\(31,\)"):
        llama.run(some, options=OPTIONS, interventions=[Intervention(1, NOTHING[1:], "answer", erase=BASIS[:, 1:])])


def test_a_block_whose_hook_does_not_fire_is_an_error(llama, prompts, monkeypatch):
    body = llama.anatomy.body
    forward = type(body).forward

    def skipping(self, *args, **kwargs):
        kept, self.layers = self.layers, torch.nn.ModuleList([self.layers[0], *self.layers[2:]])
        try:
            return forward(self, *args, **kwargs)
        finally:
            self.layers = kept

    monkeypatch.setattr(type(body), "forward", skipping)
    with pytest.raises(ModelError, match="3 of 4 blocks"):
        llama.run(prompts[:1], options=OPTIONS)


def test_the_hash_of_an_intervention_covers_everything(prompts):
    base = Intervention(1, offset(1), "answer")
    others = [
        dataclasses.replace(base, layer=2),
        dataclasses.replace(base, offset=offset(2)),
        dataclasses.replace(base, where="all"),
        dataclasses.replace(base, erase=UNIT),
        dataclasses.replace(base, keep_norm=True),
        dataclasses.replace(base, phase="prompt"),
        dataclasses.replace(base, rows=(np.zeros((1, 32)),)),
        dataclasses.replace(base, rows=(np.ones((1, 32)),)),
    ]
    assert len({one.hash() for one in (base, *others)}) == len(others) + 1
    assert dataclasses.replace(base).hash() == base.hash()
