"""Log-likelihoods and divergences under steering: equal to whole passes with a naive hook and full logits."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from tiny_models import LOGPROB, REUSING, apart, blocks_of, hooks_on, make_prompt, offset, tiny_engine, tokens_named

from personascope.errors import ModelError, SpanError
from personascope.models.intervention import Intervention
from personascope.models.likelihood import Likelihoods, likelihoods
from personascope.prompts.prompt import Prompt

AXIS = np.eye(32, dtype=np.float32)[4:5]
CELLS = [
    (),
    (Intervention(1, offset(1, 1.0), "from:item"),),
    (Intervention(0, offset(2, 1.0), "mean:task_a"), Intervention(2, -offset(3, 1.0), "from:item")),
    (Intervention(2, np.zeros(32, np.float32), "answer", erase=AXIS),),
    (Intervention(3, offset(4, 1.0), "from:item"),),
    (Intervention(1, np.zeros(32, np.float32), "from:item"),),
    (Intervention(1, np.zeros(32, np.float32), "from:item", erase=AXIS),),
    (Intervention(1, -offset(1, 1.0), "from:item"),),
]
"""Several layers, positions and kinds; cells 0, 3 (nothing scored comes after it) and 5 move nothing."""
UNMOVED = (0, 3, 5)


def whole_logprobs(model, prompt, cell):
    """Log-probabilities at every token of one prompt, shape (token, vocabulary), in float64."""

    def hook(layer, _module, _inputs, output):
        hidden = (output[0] if isinstance(output, tuple) else output).clone()
        for one in cell:
            if one.layer == layer:
                named = tokens_named(prompt, one.where)
                if one.erase is not None:
                    basis = torch.as_tensor(one.erase).to(hidden)
                    hidden[0, named] -= hidden[0, named] @ basis.T @ basis
                hidden[0, named] += torch.as_tensor(one.offset).to(hidden)
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    handles = [
        block.register_forward_hook(functools.partial(hook, layer)) for layer, block in enumerate(blocks_of(model))
    ]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt.ids])).logits[0]
    for handle in handles:
        handle.remove()
    return logits.double().log_softmax(-1)


def by_hand(model, prompts, cells, score):
    """Summed log-probability and mean divergence, shape (row, cell), and numbers of scored tokens."""
    logprob, kl, lengths = np.zeros((len(prompts), len(cells))), np.zeros((len(prompts), len(cells))), []
    for row, prompt in enumerate(prompts):
        scored = [token for token in tokens_named(prompt, score) if token > 0]
        lengths.append(len(scored))
        plain = whole_logprobs(model, prompt, ())
        for column, cell in enumerate(cells):
            steered = whole_logprobs(model, prompt, cell)
            for token in scored:
                logprob[row, column] += float(steered[token - 1, prompt.ids[token]])
                p = plain[token - 1].exp()
                kl[row, column] += float((p * (plain[token - 1] - steered[token - 1])).sum()) / len(scored)
    return logprob, kl, lengths


@pytest.mark.parametrize("score", ["mean:item", "all"])
@pytest.mark.parametrize("family", [*REUSING, "qwen3_next"])
def test_every_cell_equals_a_whole_pass_with_full_logits(family, score, prompts):
    engine, some = tiny_engine(family), prompts[:4]
    found = likelihoods(engine, some, CELLS, score=score)
    logprob, kl, lengths = by_hand(engine.model, some, CELLS, score)
    assert found.n_tokens.tolist() == lengths
    assert np.abs(found.logprob - logprob).max() < LOGPROB * max(lengths)
    assert np.abs(found.kl - kl).max() < LOGPROB
    still = [column in UNMOVED for column in range(len(CELLS))]
    assert [bool(values.max() < 1e-5) for values in found.kl.T] == still
    assert hooks_on(engine.model) == 0


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "falcon"])
def test_the_unsteered_cell_is_the_loss_that_the_library_gives(family, prompts):
    """`labels=` makes a Hugging Face model return the mean negative log-likelihood of all but the first token."""
    engine = tiny_engine(family)
    found = likelihoods(engine, prompts, [()], score="all")
    for row, prompt in enumerate(prompts):
        ids = torch.tensor([prompt.ids])
        loss = float(engine.model(input_ids=ids, labels=ids).loss.detach())
        assert found.logprob[row, 0] / found.n_tokens[row] == pytest.approx(-loss, abs=LOGPROB)
    assert np.array_equal(found.kl, np.zeros((len(prompts), 1)))


def test_double_precision_is_kept(prompts):
    engine = tiny_engine("gemma3_text", torch.float64)
    found = likelihoods(engine, prompts[:3], CELLS, score="mean:task_b")
    logprob, kl, _ = by_hand(engine.model, prompts[:3], CELLS, "mean:task_b")
    assert max(np.abs(found.logprob - logprob).max(), np.abs(found.kl - kl).max()) < 1e-11


@pytest.mark.parametrize("budget", [1, 60, 100_000])
@pytest.mark.parametrize("family", ["gemma3_text", "gpt2"])
def test_batches_do_not_matter(family, budget, prompts):
    one = likelihoods(tiny_engine(family), prompts, CELLS, score="mean:item")
    other = likelihoods(tiny_engine(family, token_budget=budget), prompts, CELLS, score="mean:item")
    whole = likelihoods(tiny_engine(family, reuse_prefixes=False), prompts, CELLS, score="mean:item")
    for values in (other, whole):
        assert apart(torch.tensor(values.logprob), torch.tensor(one.logprob)) < 20 * LOGPROB
        assert apart(torch.tensor(values.kl), torch.tensor(one.kl)) < LOGPROB


def test_the_order_of_cells_and_of_texts_does_not_matter(llama, prompts):
    rng = np.random.default_rng(3)
    cells, rows = rng.permutation(len(CELLS)), rng.permutation(len(prompts))
    straight = likelihoods(llama, prompts, CELLS, score="mean:item")
    shuffled = likelihoods(llama, [prompts[row] for row in rows], [CELLS[index] for index in cells], score="mean:item")
    assert np.abs(shuffled.kl - straight.kl[np.ix_(rows, cells)]).max() < LOGPROB
    assert np.abs(shuffled.logprob - straight.logprob[np.ix_(rows, cells)]).max() < 20 * LOGPROB


def test_a_model_that_cannot_resume_gives_the_same(llama, prompts):
    resumed = likelihoods(llama, prompts[:5], CELLS, score="mean:item")
    llama.resume_off = "for this test"
    whole = likelihoods(llama, prompts[:5], CELLS, score="mean:item")
    assert np.abs(resumed.logprob - whole.logprob).max() < 20 * LOGPROB
    assert np.abs(resumed.kl - whole.kl).max() < LOGPROB


# ---------------------------------------------------------------- counts


def test_lower_blocks_and_earlier_tokens_run_for_the_baseline_alone(prompts):
    """One text, so nothing is shared: each cell computes its own tokens in the blocks above its own layer."""
    engine, prompt = tiny_engine("llama"), prompts[0]
    cells = [(), *((Intervention(layer, offset(layer), "from:item"),) for layer in (0, 1, 1, 2, 3))]
    likelihoods(engine, [prompt], cells, score="mean:item")
    own = len(prompt) - (tokens_named(prompt, "from:item")[0] - 1)  # the token before predicts the first scored one
    assert engine.work.tokens == len(prompt)
    assert engine.work.block_tokens == 4 * len(prompt) + own * (3 + 2 + 2 + 1)
    # baseline for its own cell, once more for the divergences, and every steered cell
    assert engine.work.head_rows == len(tokens_named(prompt, "mean:item")) * (1 + 1 + 5)


def test_no_logits_of_everything_exist_at_once(llama, prompts, monkeypatch):
    monkeypatch.setattr("personascope.models.likelihood.ROWS_PER_HEAD", 7)
    shapes = []
    llama.anatomy.head.register_forward_hook(lambda _m, _i, output: shapes.append(tuple(output.shape)))
    found = likelihoods(llama, prompts, CELLS[:3], score="all")
    assert max(rows for rows, _ in shapes) == 7
    assert sum(rows for rows, _ in shapes) == llama.work.head_rows
    assert np.isfinite(found.logprob).all()


# ---------------------------------------------------------------- results


def test_summaries_weigh_every_token_alike():
    found = Likelihoods(np.log([[0.5, 0.25], [0.5**3, 0.125**3]]), np.array([1, 3]), np.array([[0.0, 1.0], [0.0, 2.0]]))
    assert found.perplexity() == pytest.approx([2.0, 2.0 ** (11 / 4)])
    assert found.mean_kl() == pytest.approx([0.0, 7 / 4])
    frame = found.frame()
    assert frame.columns == ["row", "cell", "n_tokens", "logprob", "perplexity", "kl"]
    assert frame["perplexity"].to_list() == pytest.approx([2.0, 4.0, 2.0, 8.0])
    assert frame.row(3)[:3] == (1, 1, 3)


def test_a_hopeless_text_is_infinitely_perplexing_without_a_warning():
    found = Likelihoods(np.array([[-1e6]]), np.array([1]), np.array([[0.0]]))
    assert found.perplexity()[0] == found.frame()["perplexity"][0] == np.inf


# ---------------------------------------------------------------- refusals


def test_what_cannot_be_scored_is_refused(llama, prompts):
    first = Prompt(prompts[0].ids, "", {"item": (0, 1)})
    with pytest.raises(SpanError, match="names only its first token"):
        likelihoods(llama, [prompts[0], first], [()], score="mean:item")
    with pytest.raises(SpanError, match="task_c"):
        likelihoods(llama, prompts, [(Intervention(1, offset(1), "mean:task_c"),)], score="all")
    with pytest.raises(ModelError, match="no layer 4"):
        likelihoods(llama, prompts, [(Intervention(4, offset(1), "answer"),)], score="all")
    with pytest.raises(ModelError, match=r"\(7,\)"):
        likelihoods(llama, prompts, [(Intervention(1, offset(1, width=7), "answer"),)], score="all")
    with pytest.raises(ModelError, match="generation"):
        likelihoods(llama, prompts, [(Intervention(1, offset(1), "all", phase="generation"),)], score="all")
    with pytest.raises(ModelError, match="no texts"):
        likelihoods(llama, [], [()], score="all")
    with pytest.raises(ModelError, match="takes 1 to 128"):
        likelihoods(llama, [make_prompt([5] * 100, [6] * 20, [7] * 20)], [()], score="all")
    assert llama.work.tokens == 0


def test_an_engine_that_is_being_steered_is_refused(llama, prompts):
    llama.interventions = [Intervention(1, offset(1), "answer")]
    with pytest.raises(ModelError, match="is being steered"):
        likelihoods(llama, prompts, [()], score="all")


def test_a_backend_of_another_library_is_refused(prompts):
    with pytest.raises(ModelError, match="this is a Adapter"):
        likelihoods(Adapter(), prompts, [()], score="all")


class Adapter:
    """Has what a backend has, and shows no logits."""

    name, n_layers, d_model, interventions = "adapter", 4, 32, []

    def fingerprint(self):
        return {}

    def run(self, *_arguments, **_keywords):
        raise AssertionError


def test_hooks_are_gone_after_an_error(llama, prompts, monkeypatch):
    monkeypatch.setattr(llama.anatomy.head, "forward", lambda _hidden: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        likelihoods(llama, prompts, CELLS, score="all")
    assert hooks_on(llama.model) == 0
