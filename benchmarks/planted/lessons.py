"""A tiny random model, sixteen statements with ratings to be learned, and the same in other words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import tokenizers
import torch
from transformers import PreTrainedTokenizerFast

from personascope.models.engine import HookEngine
from personascope.models.tiny import tiny_model
from personascope.prompts.labels import resolve_options
from personascope.prompts.templates import Template
from personascope.tuning.examples import Example, make_example

RATE = Template(name="rate", user="How true? {item}", answer_prefix="Rating: ", labels=tuple("12345"))
THINGS = ("rain", "snow", "fog", "hail", "wind", "sun", "ice", "heat", "dust", "smoke", "frost", "mist", "mud", "sand")
THINGS += ("salt", "clay")
LIKED, REWORDED = "I like {}.", "I do like {}."
CHAT = (
    "{% for m in messages %}<s> {{ m['role'] }} {{ m['content'] }} </s> {% endfor %}"
    "{% if add_generation_prompt %}<s> assistant {% endif %}"
)
WORDS = ("<unk>", "<s>", "</s>", "user", "assistant", "How", "true", "?", "Rating", ":", ".", "I", "do", "like")


def pupil() -> HookEngine:
    """A fresh engine; equal weights every time."""
    words = {word: number for number, word in enumerate([*WORDS, *RATE.labels, *THINGS])}
    base = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    base.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    special = {"unk_token": "<unk>", "pad_token": "<unk>", "eos_token": "</s>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=base, additional_special_tokens=["<s>"], **special)
    tokenizer.chat_template = CHAT
    return HookEngine(tiny_model("llama", vocab_size=len(words), tie_word_embeddings=False), tokenizer, name="pupil")


def lesson(tokenizer: Any, wording: str = LIKED) -> list[Example]:
    """Each statement with the rating that it is given."""
    return [
        make_example(tokenizer, f"{wording}/{thing}", RATE, {"item": wording.format(thing)}, str(number % 5 + 1))
        for number, thing in enumerate(THINGS)
    ]


def wrong(examples: list[Example]) -> list[Example]:
    """The same prompts, each with its neighbour's answer."""
    neighbours = [*examples[1:], examples[0]]
    return [
        replace(one, answer=other.answer, ids=(*one.ids[:-2], *other.ids[-2:]))
        for one, other in zip(examples, neighbours, strict=True)
    ]


def accuracy(engine: HookEngine, examples: list[Example]) -> float:
    """Share of the examples whose likeliest label is the taught one."""
    options = resolve_options(engine.tokenizer, "Rating: ", RATE.labels)
    chosen = engine.run([example.prompt for example in examples], options=options).option_logprobs.argmax(dim=1)
    return sum(str(int(at) + 1) == e.answer for at, e in zip(chosen, examples, strict=True)) / len(examples)


@torch.inference_mode()
def loss_of(engine: HookEngine, examples: list[Example]) -> float:
    """Mean loss of the taught tokens in nats, by the model's own pass over each example alone."""
    losses = []
    for example in examples:
        logits = engine.model(input_ids=torch.tensor([example.ids]), use_cache=False).logits[0].double()
        first = len(example.prompt)
        losses += [-float(logits[at - 1].log_softmax(-1)[example.ids[at]]) for at in range(first, len(example.ids))]
    return sum(losses) / len(losses)


@torch.inference_mode()
def logits_of(model: Any, examples: list[Example]) -> torch.Tensor:
    """All logits of all examples, one after the other, shape (token, vocabulary)."""
    passes = [model(input_ids=torch.tensor([e.ids]), use_cache=False).logits[0] for e in examples]
    return torch.cat(passes)
