"""A live interview with a model persona or a simulated respondent; people answer on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from personascope.experiments.questionnaires import item_prompt, rating_template
from personascope.experiments.recipe_parts import ScalePart
from personascope.instruments.items import Item, ItemBank, load_items
from personascope.instruments.personas import load_personas, pick_personas
from personascope.interviews.interview import Stop
from personascope.interviews.population import draw_people, synthetic_population
from personascope.interviews.session import Session
from personascope.models.load import load_model
from personascope.prompts.labels import resolve_options
from personascope.prompts.templates import ORDERS

Respondent = Callable[[Item], int]
"""From an item to an option, from 1."""
PERSON, SIMULATED = "person", "simulated"


def open_interview(
    who: str,
    file: Path,
    *,
    persona: str = "assistant",
    questions: int = 40,
    sd: float | None = None,
    items: Path | None = None,
    seed: int = 0,
) -> Session:
    """Begin an interview, or go on with that of a file.

    Args:
        who: "person", "simulated", or the name of a model.
        file: of the transcript.
        persona: of a model.
        questions: at most.
        sd: enough is known when every facet has at most this standard deviation.
        items: file of the bank; the built-in one by default.
        seed: of the population's items and of a simulated respondent.

    Raises:
        PersonascopeError: see `Session`, `load_items`.
    """
    respondent = {"who": who} | ({} if who in (PERSON, SIMULATED) else {"persona": persona})
    bank = load_items() if items is None else load_items(items)
    return Session(bank, file, respondent, stop=Stop(questions, sd=sd), seed=seed)


def simulated_respondent(bank: ItemBank, n_options: int, seed: int) -> tuple[Respondent, dict[str, float]]:
    """Somebody drawn from the synthetic population, and where they truly lie on each facet."""
    model = synthetic_population(bank, n_options, seed)
    traits, answers = draw_people(model, 1, seed + 1)
    given = dict(zip(model.items, answers[0].tolist(), strict=True))
    return (lambda item: int(given[item.id])), dict(zip(model.names, traits[0].tolist(), strict=True))


def model_respondent(name: str, persona: str, n_options: int, *, dtype: str = "float32") -> Respondent:
    """A model under a persona: the option that is most probable on average over both orders of the anchors.

    Raises:
        PersonascopeError: no such persona, or as `load_model`.
    """
    speaker = pick_personas(load_personas(), [persona])[0]
    engine = load_model(name, dtype=dtype)
    scale = ScalePart(options=n_options)
    templates = [rating_template(engine, scale, order) for order in ORDERS]
    options = [resolve_options(engine.tokenizer, one.answer_prefix, one.labels) for one in templates]

    def answer(item: Item) -> int:
        shares = []
        for order, template, labels in zip(ORDERS, templates, options, strict=True):
            read = engine.run([item_prompt(engine, speaker, item, template)], options=labels).option_logprobs[0]
            p = np.exp(read.double().numpy())
            shares.append((p if order == "ascending" else p[::-1]) / p.sum())
        return int(np.mean(shares, axis=0).argmax()) + 1

    return answer
