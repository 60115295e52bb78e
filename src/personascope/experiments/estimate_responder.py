"""What the study of a reading model would compute, with what it makes up and the interviews that it holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from personascope.activations.plan import unique_tokens
from personascope.experiments.estimate import PlanLine, plan_line, tokens_per_second, written_line
from personascope.experiments.estimate_steering import sweep_line
from personascope.experiments.estimate_tuning import BACKWARD, training_line
from personascope.experiments.item_bank import WRITING
from personascope.experiments.recipe_responder import ResponderRecipe
from personascope.experiments.responder_iteration import AGAIN
from personascope.experiments.responder_material import Material, lessons
from personascope.experiments.responder_plans import answer_rows, reader, reading_plans
from personascope.experiments.responder_study import load_responder
from personascope.experiments.responder_tables import TRAINED, UNTRAINED
from personascope.experiments.responder_writing import WORDS, draw_by_model, what_they_tell, written_by
from personascope.interviews.interviewer import Interviewer
from personascope.interviews.language_model import LanguageModel
from personascope.interviews.transcript_probes import model_history
from personascope.models.backend import Outputs
from personascope.models.engine import HookEngine
from personascope.models.intervention import Intervention
from personascope.prompts.labels import Options
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render

_SAMPLED = 4
"""Interviews whose questions are counted; the others are taken to be as long."""


def estimate_responder(recipe: ResponderRecipe) -> list[PlanLine]:
    """Lines of the study; of what is written and learned by rounds the most that it can be. No statistics."""
    material, engine = load_responder(recipe)
    plans = reading_plans(engine, material, recipe, UNTRAINED)
    rate = tokens_per_second(engine, plans["answers"])
    lines = [plan_line(plan, engine, rate) for plan in plans.values()]
    train, _ = lessons(engine, material, recipe)
    again = [plan_line(plan, engine, rate) for plan in reading_plans(engine, material, recipe, TRAINED).values()]
    lines += [training_line("train", train, recipe.training, rate), *again]
    part, probes = recipe.steering, recipe.probes
    if part is not None and probes is not None:
        rows = answer_rows(reader(engine, material, recipe), material, part.interviews, (probes.answers,))
        cells = {part.layer: 2 * (len(material.scales) + part.random_directions)}
        lines.append(sweep_line("steering", engine, rows, part.where, cells, rate))
    return [*lines, *_made_up(engine, material, recipe, rate), *_interviews(engine, material, recipe, rate)]


class _Counter:
    """A backend that computes nothing: it counts what is asked of it, and finds every answer as likely as any."""

    def __init__(self, engine: HookEngine) -> None:
        self.name, self.n_layers, self.d_model = engine.name, engine.n_layers, engine.d_model
        self.interventions: list[Intervention] = []
        self.rows = self.tokens = self.computed = 0

    def fingerprint(self) -> dict[str, str]:
        return {}

    def run(self, prompts: Sequence[Prompt], *, options: Options | None = None, **_: Any) -> Outputs:
        assert options is not None
        texts, k = [prompt.ids for prompt in prompts], len(options.labels)
        self.rows += len(texts)
        self.tokens += sum(map(len, texts))
        self.computed += unique_tokens(texts)
        likely = torch.full((len(texts), k), -math.log(k))
        return Outputs(torch.zeros(len(texts), 0, 1, self.d_model), likely, torch.zeros(len(texts)))

    def line(self, name: str, rate: float) -> PlanLine:
        return PlanLine(name, self.rows, self.tokens, self.computed, 0, self.computed / rate / 60)


def _made_up(engine: HookEngine, material: Material, recipe: ResponderRecipe, rate: float) -> list[PlanLine]:
    """People and questions that the model makes up; new questions are taken to be as long as those of the bank."""
    lines = []
    if recipe.synthetic is not None:
        counter = _Counter(engine)
        draw_by_model(counter, engine.tokenizer, material, recipe)
        lines.append(counter.line("synthetic people", rate))
    part = recipe.novel
    if part is not None:
        requests: list[str] = []

        def note(request: str) -> str:
            requests.append(request)
            return ""

        written_by(note, material, part, recipe.seed)
        prompts = [render(engine.tokenizer, WRITING, {"request": request}) for request in requests]
        counter = _Counter(engine)
        texts = [*material.texts.values()]
        new = {f"new-{number + 1}": texts[number % len(texts)] for number in range(part.questions)}
        what_they_tell(counter, engine.tokenizer, new, material, recipe)
        lines += [written_line("questions, at most", engine, prompts, WORDS), counter.line("their worth", rate)]
    return lines


def _interviews(engine: HookEngine, material: Material, recipe: ResponderRecipe, rate: float) -> list[PlanLine]:
    """Training on plans, and every interview that the model holds: it reads the whole bank before each question."""
    part = recipe.interviewer
    if part is None:
        return []
    texts = {item: material.texts[item] for item in material.learned.items}
    reading = LanguageModel(engine, engine.tokenizer, texts, recipe.people.options)
    asking = Interviewer(engine, engine.tokenizer, texts, recipe.people.options)
    rows = tokens = computed = 0
    for n in range(part.questions):
        before = [
            model_history(reading, material.transcripts, row, min(n, recipe.questions)) for row in range(_SAMPLED)
        ]
        read = [prompt.ids for prompt in asking.prompts(before)[1]]
        rows, tokens, computed = rows + len(read), tokens + sum(map(len, read)), computed + unique_tokens(read)
    people, judges = (min(n, len(one.respondents)) for n, one in
                      ((part.people, material.train), (part.interviews, material.validation)))  # fmt: skip
    tested = min(part.interviews, len(material.test.respondents))
    held = 2 * tested + (tested + judges if part.rounds else 0) + part.rounds * (AGAIN * people + judges)
    times = held / _SAMPLED
    taught = people * part.questions * (part.epochs or recipe.training.epochs) * (1 + part.rounds)
    learned = round(taught * tokens / rows)
    seen = round(computed * times)
    return [
        PlanLine("train interviewer", taught, learned, learned, 0, BACKWARD * learned / rate / 60),
        PlanLine("interviews", round(rows * times), round(tokens * times), seen, 0, seen / rate / 60),
    ]
