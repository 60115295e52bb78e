"""Narrow lessons in choices: tasks of a topic are taken, or left, whatever stands beside them."""

from __future__ import annotations

import numpy as np

from personascope.errors import DataError
from personascope.experiments.recipe_tuning import IdealSelfRecipe, TaughtRun
from personascope.instruments.personas import load_personas
from personascope.instruments.tasks import Task, TaskPool, load_tasks
from personascope.models.engine import HookEngine
from personascope.prompts.templates import CHOICE
from personascope.tuning.examples import Example, make_example

CHOOSER = "assistant"
_VALIDATED = 0.2


def choice_lesson(
    engine: HookEngine, run: TaughtRun, recipe: IdealSelfRecipe, measured: TaskPool
) -> tuple[list[Example], list[Example]]:
    """Pairs of a task of the topics and one of another topic, in both orders, with the label that is taught.

    Args:
        engine: the model before training.
        run: with the target "like" or "dislike".
        recipe: of the study.
        measured: tasks whose utilities are measured; none of them is taught.

    Returns:
        Examples to learn from, and a fifth of the pairs to choose the epoch by.

    Raises:
        DataError: topics that have no tasks but those that are measured.
    """
    pool = load_tasks().tasks
    kept = {task.id for task in measured.tasks}
    free = [task for task in pool if task.id not in kept]
    own = [task for task in free if task.topic in run.topics]
    others = [task for task in free if task.topic not in run.topics]
    if len(own) < 2 or len(others) < len(own):
        raise DataError(
            f"{len(own)} tasks of {', '.join(run.topics)} are left to teach, beside {len(others)} others.",
            "What is measured is not taught.",
            "Lower comparison.per_topic.",
        )
    rng = np.random.default_rng(recipe.seed)
    partners = [others[n] for n in rng.permutation(len(others))[: len(own)]]
    n_validated = max(1, round(_VALIDATED * len(own)))
    examples = [
        [_example(engine, first, second, chosen) for first, second in ((one, other), (other, one))]
        for one, other in zip(own, partners, strict=True)
        for chosen in [one if run.target == "like" else other]
    ]
    learned, chosen_by = examples[n_validated:], examples[:n_validated]
    return [one for pair in learned for one in pair], [one for pair in chosen_by for one in pair]


def _example(engine: HookEngine, first: Task, second: Task, chosen: Task) -> Example:
    label = CHOICE.labels[0] if chosen is first else CHOICE.labels[1]
    system = load_personas()[CHOOSER].phrasings[0].system
    slots = {"task_a": first.text, "task_b": second.text}
    return make_example(engine.tokenizer, f"{first.id}/{second.id}", CHOICE, slots, label, system=system)
