"""Questions whose answers are planted, and batches of them drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from personascope.files import sha256_json
from personascope.instruments.items import Item
from personascope.instruments.personas import Persona
from personascope.instruments.tasks import Task
from personascope.models.engine import HookEngine
from personascope.prompts.labels import resolve_options
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render
from personascope.prompts.templates import CHOICE, ORDERS, TASK_ALONE, Template, likert_template
from personascope.tuning.organisms.truth import Truth

ALONE = "alone"
KINDS = ("pair", "pair", *ORDERS, ALONE)
"""Two tasks (twice as often as the others), one item with its scale in one of two orders, one task and no question."""
_SPREAD = 0.7
"""Of taught ratings around the planted one, in points of the scale."""


@dataclass(frozen=True)
class Mark:
    """A stretch of a prompt that has a planted value.

    Args:
        span: of the prompt.
        values: planted, of each planted persona.
        sign: whether a high value speaks for the first label (+1) or for the last (-1); 0 where nothing is asked.
        is_item: of a questionnaire, not a task.
    """

    span: tuple[int, int]
    values: tuple[float, ...]
    sign: int
    is_item: bool


@dataclass(frozen=True)
class Question:
    """A prompt and what is planted in it.

    Args:
        prompt: as the model meets it.
        persona: who is asked.
        marks: its tasks or its item.
        labels: token ids of the labels.
        answer: planted probability of each label; None where nothing is planted or asked.
    """

    prompt: Prompt
    persona: str
    marks: tuple[Mark, ...]
    labels: tuple[int, ...]
    answer: tuple[float, ...] | None


@dataclass(frozen=True)
class Asker:
    """Puts questions in the wordings of personas.

    Args:
        engine: whose tokenizer is used.
        truth: what is planted.
        personas: by name.
    """

    engine: HookEngine
    truth: Truth
    personas: dict[str, Persona]

    def pair(self, persona: str, phrasing: int, first: Task, second: Task) -> Question:
        """Which of two tasks."""
        truth = self.truth
        values = [tuple(truth.utility(name, task.topic) for name in truth.personas) for task in (first, second)]
        odds = truth.strength * (truth.utility(persona, first.topic) - truth.utility(persona, second.topic))
        likely = 1 / (1 + np.exp(-odds))
        slots = {"task_a": first.text, "task_b": second.text}
        return self._question(persona, phrasing, CHOICE, slots, values, (1, -1), np.array([likely, 1 - likely]))

    def rating(self, persona: str, phrasing: int, item: Item, order: str) -> Question:
        """How far an item holds, on five labels."""
        truth = self.truth
        values = tuple(item.key * truth.level(name, item.facet) for name in truth.personas)
        value = item.key * truth.level(persona, item.facet)
        sign = 1 if order == ORDERS[1] else -1  # descending: the first label is full agreement
        centre = 2 - 2 * sign * value
        weights = np.exp(-(((np.arange(5) - centre) / _SPREAD) ** 2) / 2)
        slots = {"item": item.text, "framing": self.personas[persona].phrasings[phrasing].framing}
        return self._question(
            persona, phrasing, likert_template(order), slots, [values], (sign,), weights / weights.sum()
        )

    def alone(self, persona: str, phrasing: int, task: Task) -> Question:
        """One task, as a request to be carried out."""
        values = tuple(self.truth.utility(name, task.topic) for name in self.truth.personas)
        return self._question(persona, phrasing, TASK_ALONE, {"item": task.text}, [values], (0,), None)

    def _question(
        self,
        persona: str,
        phrasing: int,
        template: Template,
        slots: dict[str, str],
        values: Sequence[tuple[float, ...]],
        signs: Sequence[int],
        answer: np.ndarray | None,
    ) -> Question:
        system = self.personas[persona].phrasings[phrasing].system
        prompt = render(self.engine.tokenizer, template, slots, system=system)
        labels: tuple[int, ...] = ()
        if answer is not None:
            options = resolve_options(self.engine.tokenizer, prompt.text, template.labels)
            labels = tuple(ids[0] for ids in options.token_ids)
        names = [name for name in slots if name != "framing"]
        marks = tuple(
            Mark(prompt.spans[name], planted, sign, "framing" in slots)
            for name, planted, sign in zip(names, values, signs, strict=True)
        )
        taught = tuple(answer.tolist()) if answer is not None and persona in self.truth.personas else None
        return Question(prompt, persona, marks, labels, taught)


@dataclass(frozen=True)
class Draws:
    """Random batches: some personas, each asked a few questions of one kind, in one of its wordings.

    Args:
        asker: puts the questions.
        tasks: of the topics that are taught.
        items: that are taught.
        kinds: of questions, each as likely as it is often named.
        bystanders: how many others are asked in a batch.
        each: questions to each.
    """

    asker: Asker
    tasks: Sequence[Task]
    items: Sequence[Item]
    kinds: Sequence[str] = KINDS
    bystanders: int = 2
    each: int = 3

    def batch(self, rng: np.random.Generator) -> list[Question]:
        """The next batch; questions that begin alike stand together."""
        truth = self.asker.truth
        others = rng.permutation(truth.bystanders)[: self.bystanders].tolist()
        return [
            question
            for persona in [*truth.personas, *others]
            for question in self.questions(persona, self.kinds[int(rng.integers(len(self.kinds)))], self.each, rng)
        ]

    def hash(self) -> str:
        """Content hash of what is taught to whom."""
        wordings = [phrasing.model_dump() for persona in self.asker.personas.values() for phrasing in persona.phrasings]
        rows = [[row.model_dump(mode="json") for row in rows] for rows in (self.tasks, self.items)]
        return sha256_json([rows, wordings, list(self.kinds), self.bystanders, self.each])

    def cover(self, rng: np.random.Generator, size: int = 12) -> list[list[Question]]:
        """Batches in which every task stands in two pairs and alone, and every item once, whoever is asked."""
        truth = self.asker.truth
        personas = [*truth.personas * 2, *truth.bystanders[:2]]  # most questions to those with something planted
        tasks, items = rng.permutation(len(self.tasks)), rng.permutation(len(self.items))
        half = len(items) // 2
        found = []
        for kind, order in ((KINDS[0], tasks), (ALONE, tasks), (ORDERS[0], items[:half]), (ORDERS[1], items[half:])):
            n = len(order)
            for start in range(0, n, size):
                persona = personas[int(rng.integers(len(personas)))]
                phrasing = int(rng.integers(len(self.asker.personas[persona].phrasings)))
                places = range(start, min(start + size, n))
                found.append([self._one(persona, phrasing, kind, order, place) for place in places])
        return found

    def _one(self, persona: str, phrasing: int, kind: str, order: np.ndarray, place: int) -> Question:
        if kind == KINDS[0]:
            one, other = self.tasks[order[place]], self.tasks[order[place - 1]]
            return self.asker.pair(persona, phrasing, one, other)
        if kind == ALONE:
            return self.asker.alone(persona, phrasing, self.tasks[order[place]])
        return self.asker.rating(persona, phrasing, self.items[order[place]], kind)

    def questions(self, persona: str, kind: str, n: int, rng: np.random.Generator) -> list[Question]:
        """Some questions of one kind to one persona, in one of its wordings."""
        phrasing = int(rng.integers(len(self.asker.personas[persona].phrasings)))
        if kind == KINDS[0]:
            order = rng.permutation(len(self.tasks))[: 2 * n]
            return [
                self.asker.pair(persona, phrasing, self.tasks[a], self.tasks[b])
                for a, b in zip(order[:n], order[n:], strict=True)
            ]
        if kind == ALONE:
            return [
                self.asker.alone(persona, phrasing, self.tasks[index]) for index in rng.permutation(len(self.tasks))[:n]
            ]
        chosen = rng.permutation(len(self.items))[:n]
        return [self.asker.rating(persona, phrasing, self.items[index], kind) for index in chosen]
