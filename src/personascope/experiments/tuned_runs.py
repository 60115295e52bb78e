"""The runs of the ideal-self study: each is trained, and then asked what the model was asked before."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from personascope.activations.store import ActivationStore
from personascope.experiments.collecting import Progress, collect_plan, named
from personascope.experiments.questionnaires import Questionnaire
from personascope.experiments.recipe_tuning import IdealSelfRecipe, TaughtRun
from personascope.experiments.runs import RunFolder
from personascope.experiments.task_choices import measured_tasks, utilities
from personascope.experiments.taught_answers import LEVELS, Lesson, lesson_of
from personascope.experiments.taught_choices import choice_lesson
from personascope.experiments.tuned_answers import TestItems, other_forms, tuned_plan, validation_plan
from personascope.files import safe_child
from personascope.instruments.neutral_texts import load_neutral_texts
from personascope.instruments.splits import ItemSplit
from personascope.models.adapters import attached
from personascope.models.engine import HookEngine
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render
from personascope.prompts.templates import TASK_ALONE
from personascope.tuning.side_effects import text_damage
from personascope.tuning.training import Trained, train_adapter

_REQUEST = "Write a short paragraph in plain words."


@dataclass(frozen=True)
class Tuned:
    """What a trained model answered.

    Args:
        store: the test items.
        validation: the validation items as itself, of the first run; None of the others.
        forms: scores in other forms, of the first run.
        damage: to predictions of neutral text.
        utilities: of the measured tasks, of narrow runs.
    """

    store: ActivationStore
    validation: ActivationStore | None
    forms: Mapping[str, pl.DataFrame]
    damage: Mapping[str, float]
    utilities: np.ndarray | None = None


@dataclass(frozen=True)
class TunedRuns:
    """Training and asking of all runs.

    Args:
        engine: the model, without an adapter.
        asked: the questionnaire.
        split: of its items.
        items: what is asked after training.
        recipe: of the study.
        run: its folder; `adapters/` in it holds one for each run.
        progress: of the study.
    """

    engine: HookEngine
    asked: Questionnaire
    split: ItemSplit
    items: TestItems
    recipe: IdealSelfRecipe
    run: RunFolder
    progress: Progress

    def train(self, one: TaughtRun, answers: pl.DataFrame) -> tuple[Trained, Lesson]:
        """Train one adapter, or find it trained; with what it was taught."""
        started = time.monotonic()
        lesson = (
            self._choices(one)
            if one.topics
            else lesson_of(self.engine, self.asked, answers, self.split, one, self.recipe, self.run, self.progress)
        )
        trained = train_adapter(
            self.engine,
            lesson.train,
            lesson.validation,
            safe_child(self.run.path / "adapters", one.name),
            self.recipe.training.settings(one.seed, one.epochs),
            progress=named(self.progress, f"train {one.name}"),
        )
        self.run.seconds[f"train {one.name}"] = time.monotonic() - started
        return trained, lesson

    def _choices(self, one: TaughtRun) -> Lesson:
        train, validation = choice_lesson(self.engine, one, self.recipe, measured_tasks(self.recipe))
        return Lesson(train, validation, pl.DataFrame(schema=LEVELS))

    def ask(self, one: TaughtRun, trained: Trained) -> Tuned:
        """Ask the trained model, or find it asked."""
        first = one is self.recipe.runs[0]
        engine, asked, items, recipe = self.engine, self.asked, self.items, self.recipe
        with attached(engine, trained.folder):
            plan = tuned_plan(engine, one.name, asked, items, recipe, first=first)
            store = collect_plan(plan, engine, self.run, self.progress)
            validation, forms = None, {}
            if first:
                plan = validation_plan(engine, one.name, asked, items, recipe)
                validation = collect_plan(plan, engine, self.run, self.progress)
                forms = other_forms(engine, one.name, asked, items, recipe, self.run, self.progress)
            damage = self.run.stage(
                f"damage-{one.name}",
                lambda: {f"tuning_damage_{one.name}": pl.DataFrame([vars(text_damage(engine, self.texts()))])},
            )
            utility = None
            if one.is_narrow and recipe.preferences is not None:
                utility = utilities(engine, recipe, self.run, self.progress, f"choices-{one.name}")
        return Tuned(store, validation, forms, damage[f"tuning_damage_{one.name}"].row(0, named=True), utility)

    def texts(self) -> list[Prompt]:
        """Neutral passages as replies to a neutral request."""
        passages = load_neutral_texts().passages[: self.recipe.texts]
        return [render(self.engine.tokenizer, TASK_ALONE, {"item": _REQUEST}, reply=one.text) for one in passages]
