"""A tiny random Llama whose tokenizer knows the words of a few tasks, so that prompts render and answers are text."""

from __future__ import annotations

import re

import tokenizers
from transformers import PreTrainedTokenizerFast

from personascope.instruments.personas import Persona, Phrasing
from personascope.instruments.tasks import Task, TaskPool
from personascope.models.engine import HookEngine
from personascope.models.tiny import tiny_model

CHAT = (
    "{% for m in messages %}<s> {{ m['role'] }} {{ m['content'] }} </s> {% endfor %}"
    "{% if add_generation_prompt %}<s> assistant {% endif %}"
)
TASKS = tuple(
    Task(id=f"t{number}", topic=topic, text=text)
    for number, (topic, text) in enumerate(
        [
            ("math", "Add seven numbers and double the total."),
            ("math", "Prove that triangles have three angles."),
            ("poem", "Compose verses about winter rain."),
            ("poem", "Rhyme a song about sleepy cats."),
        ]
    )
)
POOL = TaskPool(TASKS, "few")
PERSONAS = tuple(Persona(name=name, about="", phrasings=(Phrasing(system=text),)) for name, text in
                 (("plain", ""), ("grim", "You prefer winter and rain.")))  # fmt: skip
PAIRS = ((0, 1), (0, 2), (1, 3), (2, 3))
_WORDS = "Task A B C D E Rating Answer : . , choose I cannot 1 2 3 4 5 6 7 user system assistant"


def word_engine(texts: tuple[str, ...] = ()) -> HookEngine:
    """The engine; `texts` are further words that its tokenizer is to know."""
    known = " ".join([_WORDS, *(task.text for task in TASKS), *texts])
    words = ["<unk>", "<s>", "</s>", *dict.fromkeys(re.findall(r"\w+|[^\w\s]", known))]
    base = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="<unk>"))
    base.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    special = {"unk_token": "<unk>", "pad_token": "<unk>", "eos_token": "</s>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=base, additional_special_tokens=["<s>"], **special)
    tokenizer.chat_template = CHAT
    model = tiny_model("llama", vocab_size=len(words), max_position_embeddings=512, tie_word_embeddings=False)
    return HookEngine(model, tokenizer, name="tiny-words")
