"""The questionnaire study: who each model says it is, who it would be, and what speaks against believing it.

Any number of models answer the same items under the same personas, in several wordings and both anchor orders. All
scores are of the first wording; the others say how far the scores hang on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from personascope.activations.collect import collect
from personascope.activations.plan import Plan
from personascope.activations.store import ActivationStore
from personascope.experiments.plans import answers_only, load_model_part
from personascope.experiments.questionnaires import (
    Questionnaire,
    answer_table,
    load_study_questionnaire,
    prior_table,
    questionnaire_plan,
)
from personascope.experiments.recipe import HexacoRecipe
from personascope.experiments.results import questionnaire_results
from personascope.experiments.runs import RunFolder
from personascope.experiments.study_tables import study_tables
from personascope.models.engine import HookEngine
from personascope.report.methods import methods_text
from personascope.report.page import build_page

Progress = Callable[[str, int, int], None]


def run_hexaco(recipe: HexacoRecipe, folder: Path, progress: Progress, *, fork: bool = False) -> Path:
    """Run, continue or find finished; returns the page's path. Arguments and errors: see `studies.run_study`."""
    run = RunFolder(folder, recipe, fork)
    if run.is_finished():
        return run.report
    asked = load_study_questionnaire(recipe)
    engines = _Engines(recipe)
    plans = {part.label: _plan(engines.load(part.label), part.label, asked, recipe) for part in recipe.models}
    run.begin({label: plan.fields() for label, plan in plans.items()})
    if run.is_finished():  # a fork of before
        return run.report

    stores: dict[str, ActivationStore] = {}
    backends: dict[str, dict[str, str]] = {}
    for label, plan in plans.items():
        engine = engines.load(label)
        started, total = time.monotonic(), len(plan.rows)
        progress(label, 0, total)
        stores[label] = collect(
            plan,
            engine,
            run.store(label),
            progress=lambda rows, _tokens, label=label, total=total: progress(label, rows, total),  # type: ignore[misc]
        )
        backends[label] = engine.fingerprint()
        run.seconds[f"collect {label}"] = time.monotonic() - started
    engines.drop()

    tables = run.stage("answers", lambda: _answers(stores, asked))
    tables |= run.stage("scores", lambda: study_tables(tables, asked.bank, recipe, progress))
    run.write_results(questionnaire_results(tables))
    run.write_provenance(
        backends, {"stores": {name: {"rows": store.n_rows, "plan_key": store.key} for name, store in stores.items()}}
    )
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


def _plan(engine: HookEngine, label: str, asked: Questionnaire, recipe: HexacoRecipe) -> Plan:
    return questionnaire_plan(label, engine, asked, answers_only(recipe.rows_per_shard))


def _answers(stores: Mapping[str, ActivationStore], asked: Questionnaire) -> dict[str, pl.DataFrame]:
    """Answers to items, and to the item that says nothing, of all models."""

    def named(label: str, table: pl.DataFrame) -> pl.DataFrame:
        return table.select(pl.lit(label).alias("model"), pl.all())

    tables = {"answers": pl.concat(named(label, answer_table(store, asked.bank)) for label, store in stores.items())}
    if asked.prior:
        tables["prior"] = pl.concat(named(label, prior_table(store)) for label, store in stores.items())
    return tables


def write_page(run: RunFolder, recipe: HexacoRecipe, tables: Mapping[str, pl.DataFrame]) -> None:
    """The page of a run from its tables."""
    provenance = run.provenance()
    facts = {
        "models": ", ".join(
            f"{label} ({facts['dtype']}, weights {facts['weights'][:12]})"
            for label, facts in provenance["backends"].items()
        ),
        "recipe": f"{recipe.name} ({provenance['recipe_sha256'][:12]}), seed {recipe.seed}",
        "rows": ", ".join(f"{name} {facts['rows']:,}" for name, facts in provenance["stores"].items()),
        "intervals": f"95 %, {recipe.resamples:,} bootstrap resamples",
        "versions": ", ".join(f"{name} {version}" for name, version in provenance["versions"].items()),
        "seconds": ", ".join(f"{name} {value:.0f}" for name, value in provenance["seconds"].items()),
    }
    words = methods_text(tables, seed=recipe.seed, resamples=recipe.resamples)
    run.write_report(build_page(dict(tables), title=f"personascope: {recipe.name}", facts=facts, methods=words))
