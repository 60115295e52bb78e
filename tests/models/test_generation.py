"""Written text against a naive loop of whole forward passes, one prompt and one token at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from tiny_models import hooks_on, make_prompt, naive, offset

from personascope.errors import ModelError, SpanError
from personascope.models.engine import HookEngine
from personascope.models.generation import generate
from personascope.models.intervention import Intervention
from personascope.models.tiny import VOCABULARY, tiny_model, tiny_tokenizer
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render
from personascope.prompts.templates import TASK_ALONE, likert_template

FAMILIES = ("llama", "gpt2", "gemma3_text", "falcon", "qwen3_next")
NEW = 6


def engine_of(family="llama", **settings):
    """A tiny engine that never ends by itself, unless it is told which token ends."""
    # with tied embeddings a random model repeats its last token, and would do so in any batch
    model = tiny_model(family, tie_word_embeddings=False, **settings)
    model.generation_config.eos_token_id = None
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = None
    return HookEngine(model, tokenizer, name=f"tiny-{family}")


def some_prompts(lengths=(3, 9, 14, 14, 1, 6)):
    draw = np.random.default_rng(3)
    rows = [draw.integers(3, VOCABULARY, n + 4).tolist() for n in lengths]
    return [make_prompt(row[:2], row[2:4], row[4:]) for row in rows]


def words(tokens):
    return " ".join(f"w{token}" if token > 2 else ("<unk>", "<s>", "</s>")[token] for token in tokens)


def naive_tokens(model, prompt, count, interventions=()):
    """Greedy; "all" and "from:SPAN" grow with the answer, "answer" stays at the last token of the prompt."""
    spans = {**prompt.spans, "prompt": (0, len(prompt))}
    here = [replace(i, where="last:prompt") if i.where == "answer" else i for i in interventions]
    ids = list(prompt.ids)
    for _ in range(count):
        ids.append(int(naive(model, Prompt(tuple(ids), "", spans), here)[1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_text_is_that_of_whole_passes_in_any_batch(family):
    engine, prompts = engine_of(family), some_prompts()
    expected = tuple((words(naive_tokens(engine.model, prompt, NEW)),) for prompt in prompts)
    assert len({word for (text,) in expected for word in text.split()}) >= 10, "too dull a model to tell"
    for batch_tokens in (1, 40, 10_000):
        found = generate(engine, prompts, max_new_tokens=NEW, temperature=0, seed=0, batch_tokens=batch_tokens)
        assert found.texts == expected
        assert found.finish == (("length",),) * 6 and (found.n_tokens == NEW).all()
    backwards = generate(engine, prompts[::-1], max_new_tokens=NEW, temperature=0, seed=1)
    assert backwards.texts == expected[::-1]


def test_draws_are_decided_by_the_seed_and_not_by_the_batch():
    engine, prompts = engine_of(), some_prompts()
    state = torch.random.get_rng_state()
    settings = {"max_new_tokens": NEW, "temperature": 1.0, "n": 3}
    found = generate(engine, prompts, seed=5, **settings)
    assert torch.equal(state, torch.random.get_rng_state())
    assert len({text for row in found.texts for text in row}) == 18
    assert generate(engine, prompts, seed=5, batch_tokens=1, **settings).texts == found.texts
    assert generate(engine, prompts[2:4], seed=5, **settings).texts == found.texts[2:4]
    assert generate(engine, prompts, seed=5, **{**settings, "n": 2}).texts == tuple(row[:2] for row in found.texts)
    assert generate(engine, prompts, seed=6, **settings).texts != found.texts


def test_a_prompt_that_stands_twice_gets_different_draws():
    engine, (prompt, *_) = engine_of(), some_prompts()
    found = generate(engine, [prompt, prompt], max_new_tokens=NEW, temperature=1.0, n=2, seed=0)
    assert len({text for row in found.texts for text in row}) == 4


@pytest.mark.parametrize("temperature", [0.7, 1.5])
def test_first_tokens_are_drawn_from_the_softmax_at_the_temperature(temperature):
    engine, (prompt, *_) = engine_of(), some_prompts()
    n = 3000
    found = generate(
        engine, [prompt], max_new_tokens=1, temperature=temperature, n=n, seed=2, batch_tokens=n * (len(prompt) + 1)
    )
    expected = (naive(engine.model, prompt)[1] / temperature).softmax(-1).numpy() * n
    names = {words([token]): token for token in range(VOCABULARY)}
    counts = np.bincount([names[text] for text in found.texts[0]], minlength=VOCABULARY)
    often = expected >= 5
    assert often.sum() >= 10, "the distribution is too narrow to tell"
    seen = [*counts[often], counts[~often].sum()]
    wanted = [*expected[often], expected[~often].sum()]
    assert chisquare(seen, np.array(wanted) * n / sum(wanted)).pvalue > 0.001


def test_an_answer_ends_at_any_end_token_and_says_so():
    engine, prompts = engine_of(), some_prompts()
    plain = [naive_tokens(engine.model, prompt, NEW) for prompt in prompts]
    by_model, by_tokenizer, by_turn = plain[0][2], plain[1][3], plain[2][1]
    engine.model.generation_config.eos_token_id = [by_model, 0]
    engine.tokenizer.eos_token = f"w{by_tokenizer}"
    position = prompts[5].ids.index(prompts[5].ids[3])
    turned = Prompt(
        (*prompts[5].ids[:position], by_turn, *prompts[5].ids[position:]), "", {"eot": (position, position + 1)}
    )
    asked = [*prompts[:5], turned]
    plain[5] = naive_tokens(engine.model, turned, NEW)
    found = generate(engine, asked, max_new_tokens=NEW, temperature=0, seed=0)
    ends = {by_model, 0, by_tokenizer, by_turn}
    assert set(found.settings["end_tokens"]) == ends
    for row, tokens in enumerate(plain):
        stop = next((place for place, token in enumerate(tokens) if token in ends), None)
        assert found.texts[row] == (words(tokens[:stop]),)
        assert found.finish[row] == ("length" if stop is None else "stop",)
        assert found.n_tokens[row, 0] == (NEW if stop is None else stop)
    assert {"stop", "length"} <= {finish for row in found.finish for finish in row}


def test_an_answer_is_cut_before_the_first_stop_string():
    engine, prompts = engine_of(), some_prompts()
    plain = [naive_tokens(engine.model, prompt, NEW) for prompt in prompts]
    stop = [f" {words([plain[0][3]])}", words([plain[1][0]])]
    found = generate(engine, prompts, max_new_tokens=NEW, temperature=0, seed=0, stop=stop)
    for row, tokens in enumerate(plain):
        text = words(tokens)
        places = [text.index(s) for s in stop if s in text]
        assert found.texts[row] == (text[: min(places)] if places else text,)
        assert found.finish[row] == ("stop" if places else "length",)
        counted = next((k for k in range(NEW + 1) if any(s in words(tokens[:k]) for s in stop)), NEW)
        assert found.n_tokens[row, 0] == counted
    assert found.finish[0] == found.finish[1] == ("stop",)
    assert generate(engine, prompts, max_new_tokens=NEW, temperature=0, seed=0, stop=stop[1]).texts[1] == ("",)


def test_the_models_own_settings_are_set_aside_named_and_put_back():
    engine, prompts = engine_of(), some_prompts()
    settings = {"max_new_tokens": NEW, "seed": 0}
    plain = generate(engine, prompts, temperature=1.0, n=2, **settings)
    greedy = generate(engine, prompts, temperature=0, **settings)
    own = engine.model.generation_config
    own.update(top_k=1, do_sample=True, temperature=0.01, repetition_penalty=9.0, suppress_tokens=list(range(3, 60)))
    own.max_length = 2
    for found, before in [
        (generate(engine, prompts, temperature=1.0, n=2, **settings), plain),
        (generate(engine, prompts, temperature=0, **settings), greedy),
    ]:
        assert found.texts == before.texts
        assert {"top_k": 1, "do_sample": True, "repetition_penalty": 9.0}.items() <= found.settings["ignored"].items()
    assert engine.model.generation_config is own and own.top_k == 1
    assert plain.settings["ignored"] == {} and plain.settings["decoding"].startswith("drawn")
    assert greedy.settings["decoding"] == "greedy" and greedy.settings["max_new_tokens"] == NEW


STEERED = {
    "at the answer": [Intervention(1, offset(1), "answer")],
    "everywhere": [Intervention(1, offset(2), "all")],
    "from a span on": [Intervention(0, offset(3), "from:item"), Intervention(2, offset(4), "last:task_a")],
    "at a span": [Intervention(1, offset(5), "mean:item")],
}


@pytest.mark.parametrize("name", STEERED)
@pytest.mark.parametrize("family", ["llama", "gpt2", "falcon"])
def test_what_steers_the_engine_steers_its_text(family, name):
    engine, prompts = engine_of(family), some_prompts((3, 9, 5))
    plain = generate(engine, prompts, max_new_tokens=NEW, temperature=0, seed=0)
    engine.interventions = STEERED[name]
    found = generate(engine, prompts, max_new_tokens=NEW, temperature=0, seed=0)
    assert found.texts == tuple((words(naive_tokens(engine.model, p, NEW, STEERED[name])),) for p in prompts)
    assert found.texts != plain.texts
    (cell,) = found.settings["steered"]  # all prompts are steered alike
    onward = [where in ("all", "from:item") for _, where, _ in cell]
    assert [goes_on for *_, goes_on in cell] == onward
    assert hooks_on(engine.model) == 0
    engine.interventions = [Intervention(1, np.zeros(32, np.float32), "all")]
    assert generate(engine, prompts, max_new_tokens=NEW, temperature=0, seed=0).texts == plain.texts


def test_steering_that_does_not_fit_is_refused_and_leaves_the_model_as_it_was():
    engine, prompts = engine_of(), some_prompts()
    own = engine.model.generation_config
    for intervention, error in [
        (Intervention(9, offset(1), "answer"), ModelError),
        (Intervention(1, offset(1, width=3), "answer"), ModelError),
        (Intervention(1, offset(1), "last:nowhere"), SpanError),
    ]:
        engine.interventions = [intervention]
        with pytest.raises(error):
            generate(engine, prompts, max_new_tokens=2, temperature=0, seed=0)
        assert hooks_on(engine.model) == 0 and engine.model.generation_config is own


def test_running_out_of_memory_halves_the_batch_and_loses_nothing(monkeypatch):
    engine, prompts = engine_of(), some_prompts()
    settings = {"max_new_tokens": NEW, "temperature": 1.0, "n": 2, "seed": 0}
    expected = generate(engine, prompts, **settings)
    decode, sizes = engine.model.generate, []

    def scarce(**inputs):
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > 3:
            raise torch.OutOfMemoryError("out of memory")
        return decode(**inputs)

    monkeypatch.setattr(engine.model, "generate", scarce)
    with pytest.warns(UserWarning, match="ran out of memory"):
        found = generate(engine, prompts, **settings)
    assert found.texts == expected.texts and max(sizes) > 3


def test_progress_counts_answers_and_a_frame_has_one_row_for_each():
    engine, prompts = engine_of(), some_prompts()
    calls = []
    found = generate(
        engine, prompts, max_new_tokens=2, temperature=1.0, n=2, seed=0, batch_tokens=40,
        progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    assert (
        len(calls) > 2 and calls[-1] == (12, 12) and [done for done, _ in calls] == sorted({done for done, _ in calls})
    )
    frame = found.frame()
    assert frame.columns == ["row", "sample", "text", "finish", "n_tokens"] and frame.height == 12
    assert frame.filter(row=4, sample=1)["text"].item() == found.texts[4][1]
    nothing = generate(engine, [], max_new_tokens=2, temperature=0, seed=0)
    assert nothing.texts == () and nothing.frame().height == 0


@pytest.mark.parametrize(
    ("wrong", "symptom"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"n": 0}, "n is 0"),
        ({"n": 4}, "4 answers at temperature 0 would be the same answer 4 times"),
        ({"stop": ["x", ""]}, "a stop string is empty"),
        ({"batch_tokens": 0}, "batch_tokens is 0"),
        ({"max_new_tokens": 111}, "Prompt 2 has 18 tokens; tiny-llama takes 1 to 17"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, symptom):
    with pytest.raises(ModelError, match=symptom):
        generate(engine_of(), some_prompts(), **{"max_new_tokens": 2, "temperature": 0.0, "seed": 0, **wrong})


def test_other_backends_are_refused():
    with pytest.raises(ModelError, match="this is a Adapter"):
        generate(Adapter(), some_prompts(), max_new_tokens=2, temperature=0.0, seed=0)


class Adapter:
    """Has what a backend has, and decodes nothing."""

    name, n_layers, d_model, interventions = "adapter", 4, 32, []

    def fingerprint(self):
        return {}

    def run(self, prompts, **_):
        raise NotImplementedError


def test_smollm2_answers_in_plain_words(smollm2):
    prompts = [render(smollm2.tokenizer, TASK_ALONE, {"item": text}) for text in ("What is 2 + 2?", "Name a colour.")]
    found = generate(smollm2, prompts, max_new_tokens=24, temperature=0, seed=0)
    assert "4" in found.texts[0][0] and "<|im_end|>" not in "".join(text for row in found.texts for text in row)
    assert smollm2.tokenizer.convert_tokens_to_ids("<|im_end|>") in found.settings["end_tokens"]
    alone = generate(smollm2, prompts[1:], max_new_tokens=24, temperature=0, seed=0)
    assert alone.texts == found.texts[1:]


def test_the_first_token_that_smollm2_writes_is_the_likeliest_label_of_the_read_out(smollm2):
    from personascope.prompts.labels import resolve_options

    template = likert_template("ascending")
    items = ("I keep my promises.", "I lie when it helps me.", "I sing.")
    prompts = [render(smollm2.tokenizer, template, {"framing": "About you.", "item": item}) for item in items]
    options = resolve_options(smollm2.tokenizer, prompts[0].text, template.labels)
    likeliest = smollm2.run(prompts, options=options).option_logprobs.argmax(dim=1)
    found = generate(smollm2, prompts, max_new_tokens=1, temperature=0, seed=0)
    assert [text.strip() for (text,) in found.texts] == [template.labels[best] for best in likeliest]
