"""The questionnaire study: who each model says it is, who it would be, and what speaks against believing it.

Any number of models answer the same items under the same personas, in several wordings and both anchor orders. All
scores are of the first wording; the others say how far the scores hang on it, and so do other scales and answers that
are written out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from personascope.activations.plan import Plan
from personascope.activations.store import ActivationStore
from personascope.experiments.collecting import Progress, collect_plan, named, store_facts
from personascope.experiments.pages import write_page
from personascope.experiments.plans import answers_only, load_model_part
from personascope.experiments.questionnaires import (
    Questionnaire,
    answer_table,
    load_study_questionnaire,
    load_variants,
    prior_table,
    questionnaire_plan,
)
from personascope.experiments.recipe import HexacoRecipe
from personascope.experiments.results import questionnaire_results
from personascope.experiments.runs import RunFolder
from personascope.experiments.study_tables import study_tables
from personascope.experiments.written_answers import write_answers, written_parts
from personascope.models.engine import HookEngine


def run_hexaco(recipe: HexacoRecipe, folder: Path, progress: Progress, *, fork: bool = False) -> Path:
    """Run, continue or find finished; returns the page's path. Arguments and errors: see `studies.run_study`."""
    run = RunFolder(folder, recipe, fork)
    if run.is_finished():
        return run.report
    asked = load_study_questionnaire(recipe)
    engines = _Engines(recipe)
    plans = {part.label: study_plans(engines.load(part.label), part.label, asked, recipe) for part in recipe.models}
    run.begin({plan.name: plan.fields() for own in plans.values() for plan in own.values()})
    if run.is_finished():  # a fork of before
        return run.report

    answered = {label: _Answered() for label in plans}
    backends: dict[str, dict[str, str]] = {}
    for label, own in plans.items():
        engine = engines.load(label)
        backends[label] = engine.fingerprint()
        for variant, plan in own.items():
            answered[label].stores[variant] = collect_plan(plan, engine, run, progress)
        started = time.monotonic()
        for read_out, written in written_parts(recipe).items():
            answered[label].written[read_out] = write_answers(
                engine,
                asked,
                written,
                run.store(f"{label}+{read_out}"),
                seed=recipe.seed,
                progress=named(progress, f"{label}, {read_out}"),
            )
        run.seconds[f"write {label}"] = time.monotonic() - started
    engines.drop()

    tables = run.stage("answers", lambda: _answers(answered, asked))
    tables |= run.stage("scores", lambda: study_tables(tables, asked.bank, recipe, progress))
    run.write_results(questionnaire_results(tables))
    stores = {plans[label][key].name: store for label, own in answered.items() for key, store in own.stores.items()}
    run.write_provenance(backends, store_facts(stores))
    write_page(run, recipe, tables)
    return run.report


class _Engines:
    """One model in memory at a time; the one that is there is not loaded again."""

    def __init__(self, recipe: HexacoRecipe) -> None:
        self._parts = {part.label: part for part in recipe.models}
        self._held: tuple[str, HookEngine] | None = None

    def load(self, label: str) -> HookEngine:
        if self._held is None or self._held[0] != label:
            self._held = None  # before the next one is loaded
            self._held = label, load_model_part(self._parts[label])
        return self._held[1]

    def drop(self) -> None:
        self._held = None


@dataclass
class _Answered:
    """What one model answered: stores by variant ("" is the main scale), written answers by read-out."""

    stores: dict[str, ActivationStore] = field(default_factory=dict)
    written: dict[str, pl.DataFrame] = field(default_factory=dict)


def study_plans(engine: HookEngine, label: str, asked: Questionnaire, recipe: HexacoRecipe) -> dict[str, Plan]:
    """Plans of one model's label probabilities by variant; "" is the main scale."""
    kept = answers_only(recipe.rows_per_shard)
    ways = {"": asked, **load_variants(recipe, asked)}
    return {
        variant: questionnaire_plan(f"{label}+{_slug(variant)}" if variant else label, engine, way, kept)
        for variant, way in ways.items()
    }


def _slug(variant: str) -> str:
    """The name of a variant as part of a folder's name; + stands in no label of a model."""
    return variant.replace(",", "").replace(" ", "-")


def _answers(answered: Mapping[str, _Answered], asked: Questionnaire) -> dict[str, pl.DataFrame]:
    """Answers of all models: to the items, to the item that says nothing, on other scales, and written out."""
    found: dict[str, list[pl.DataFrame]] = {}

    def add(table: str, label: str, frame: pl.DataFrame) -> None:
        found.setdefault(table, []).append(frame.select(pl.lit(label).alias("model"), pl.all()))

    for label, own in answered.items():
        for variant, store in own.stores.items():
            answers = answer_table(store, asked.bank)
            if variant:
                add("variants", label, answers.select(pl.lit(variant).alias("variant"), pl.all()))
                continue
            add("answers", label, answers)
            if asked.prior:
                add("prior", label, prior_table(store))
        for read_out, written in own.written.items():
            add(read_out, label, written)
    return {table: pl.concat(frames) for table, frames in found.items()}
