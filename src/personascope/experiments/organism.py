"""The organism study: ask a model with planted preferences and traits, and see how much of them the chain recovers.

The same questions are asked of the base model, in which nothing is planted: what is recovered there is chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from personascope.activations.plan import Plan
from personascope.activations.store import ActivationStore
from personascope.direction import Direction
from personascope.errors import ModelError
from personascope.experiments.collecting import Progress, collect_plan, store_facts
from personascope.experiments.elicitation import ChoiceMaterial, choice_plan, task_plan
from personascope.experiments.pages import write_page
from personascope.experiments.plans import answers_only
from personascope.experiments.planted_tables import (
    STATES,
    planted_steering,
    probe_tables,
    recovered_traits,
    recovered_utilities,
    recovery_tables,
)
from personascope.experiments.questionnaires import Questionnaire, questionnaire_plan
from personascope.experiments.recipe import load_recipe
from personascope.experiments.recipe_organism import OrganismRecipe
from personascope.experiments.recipe_parts import ActivationsPart
from personascope.experiments.results_organism import organism_results
from personascope.experiments.runs import RunFolder
from personascope.files import read_json, sha256_file
from personascope.instruments.items import Item, ItemBank, load_items
from personascope.instruments.personas import load_personas, pick_personas
from personascope.instruments.splits import ItemSplit, split_items
from personascope.instruments.tasks import Task, load_tasks
from personascope.models.adapters import switched
from personascope.models.engine import HookEngine
from personascope.models.load import load_model
from personascope.tuning.organisms.making import RECORD, VALUE, Recipe, make_organism
from personascope.tuning.organisms.questions import Asker, Draws
from personascope.tuning.organisms.truth import TASKS, Truth, load_truth
from personascope.tuning.training import ADAPTER_FILE

PACKAGED = Path(__file__).parents[1] / "tuning" / "organisms" / "data" / "planted"
INSIDE = "tasks-organism"
"""Store of the organism's activations on each task alone."""
_RATIOS = (0.6, 0.1, 0.3)


@dataclass(frozen=True)
class Organism:
    """A model organism, loaded.

    Args:
        engine: with the adapter on.
        truth: what was planted.
        value: the direction that planted values are written along.
    """

    engine: HookEngine
    truth: Truth
    value: Direction


def load_organism(folder: Path | None = None, *, threads: int | None = None) -> Organism:
    """Load the organism of a folder that `train_organism` made; by default the one that comes with the package.

    Raises:
        ModelError: no organism there, an adapter that is not the one that was made, or as `load_model`.
    """
    place = PACKAGED if folder is None else folder
    if not (place / RECORD).is_file():
        raise ModelError(
            f"{place} holds no model organism.",
            f"It has no {RECORD}, which says what was planted.",
            "Make one: personascope organism --train FOLDER.",
        )
    record = read_json(place / RECORD)
    if sha256_file(place / ADAPTER_FILE) != record["adapter_sha256"]:
        raise ModelError(
            f"{place / ADAPTER_FILE} is not the file that {RECORD} describes.",
            "Its hash differs: it is damaged, or of another organism.",
            "Copy or make the organism again.",
        )
    truth = Truth.model_validate(record["truth"])
    engine = load_model(truth.model, adapter=place, threads=threads)
    return Organism(engine, truth, Direction.load(place / VALUE))


def train_organism(
    folder: Path,
    progress: Progress | None = None,
    *,
    truth: Truth | None = None,
    recipe: Recipe | None = None,
    tasks: Sequence[Task] | None = None,
    items: Sequence[Item] | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Make an organism; some 40 minutes on two cores. Returns its record.

    Args:
        folder: gets the adapter and the record; interrupted, give it again and it goes on.
        progress: called with part, steps done, steps planned.
        truth: what is planted; the built-in truth by default.
        recipe: how it is made.
        tasks: that it is taught, of every topic of the truth; by default the built-in ones, which no study asks.
        items: that it is taught; by default those of `split` that no organism is asked.
        threads: of the processor.

    Raises:
        ModelError: the folder holds an organism, or the model has no gated units.
    """
    if (folder / RECORD).is_file():
        raise ModelError(f"{folder} holds an organism already.", "", "Give a new folder, or delete this one.")
    truth = truth or load_truth()
    engine = load_model(truth.model, threads=threads)
    if items is None:
        taught = set(split().train)
        items = [item for item in load_items().items if item.id in taught]
    draws = Draws(Asker(engine, truth, load_personas()), tasks or load_tasks(TASKS).tasks, items)
    return make_organism(engine, draws, folder, recipe, progress)


def split() -> ItemSplit:
    """Items that organisms are taught, and those that they are asked."""
    return split_items(load_items(), ratios=_RATIOS)


@dataclass(frozen=True)
class Asked:
    """What an organism is asked: tasks and items that it was not taught."""

    choices: ChoiceMaterial
    questionnaire: Questionnaire

    @classmethod
    def of(cls, recipe: OrganismRecipe, truth: Truth) -> Asked:
        """The material of a recipe."""
        known = load_personas()
        if recipe.personas is not None:
            known |= load_personas(recipe.personas)
        personas = tuple(pick_personas(known, list(truth.personas)))
        pool = load_tasks().subset(recipe.per_topic)
        material = ChoiceMaterial.regular(pool, personas, degree=recipe.degree, seed=recipe.seed)
        kept = set(split().test)
        bank = load_items()
        untaught = ItemBank(tuple(item for item in bank.items if item.id in kept), bank.name)
        return cls(material, Questionnaire(untaught.subset(None, recipe.per_key), personas))

    def plans(self, organism: Organism, recipe: OrganismRecipe, state: str) -> list[Plan]:
        """Choices and items, and of the organism the tasks alone."""
        engine, kept = organism.engine, answers_only(recipe.rows_per_shard)
        plans = [
            choice_plan(engine, self.choices, name=f"choices-{state}", rows_per_shard=recipe.rows_per_shard),
            questionnaire_plan(f"hexaco-{state}", engine, self.questionnaire, kept),
        ]
        layer = organism.value.layer
        inside = ActivationsPart(
            layers=(layer,), positions=(organism.value.position,), rows_per_shard=recipe.rows_per_shard
        )
        return [*plans, task_plan(engine, self.choices, inside, name=INSIDE)] if state == STATES[1] else plans


def organism_plans(recipe: OrganismRecipe) -> tuple[Organism, Asked, dict[str, list[Plan]]]:
    """The organism of a recipe, what it is asked, and the plans of both states."""
    organism = load_organism(recipe.adapter, threads=recipe.threads)
    asked = Asked.of(recipe, organism.truth)
    plans: dict[str, list[Plan]] = {}
    for state in STATES:
        with switched(organism.engine, on=state == STATES[1]):
            plans[state] = asked.plans(organism, recipe, state)
    return organism, asked, plans


def run_organism(recipe: OrganismRecipe, folder: Path, progress: Progress, *, fork: bool = False) -> Path:
    """Run, continue or find finished; returns the page's path. Arguments and errors: see `studies.run_study`."""
    run = RunFolder(folder, recipe, fork)
    if run.is_finished():
        return run.report
    organism, asked, plans = organism_plans(recipe)
    engine = organism.engine
    run.begin({plan.name: plan.fields() for state in STATES for plan in plans[state]})
    if run.is_finished():  # a fork of before
        return run.report

    tables, stores = recover(run, recipe, organism, asked, plans, progress)
    tables |= run.stage(
        "planted-steering",
        lambda: {
            "planted_steering": planted_steering(
                engine, asked.choices, organism.value, stores[INSIDE], recipe, progress
            )
        },
    )
    run.write_results(organism_results(tables))
    run.write_provenance(organism_facts(organism), store_facts(stores))
    write_page(run, recipe, tables)
    return run.report


def recover(
    run: RunFolder,
    recipe: OrganismRecipe,
    organism: Organism,
    asked: Asked,
    plans: dict[str, list[Plan]],
    progress: Progress,
) -> tuple[dict[str, pl.DataFrame], dict[str, ActivationStore]]:
    """Ask both states, and compare what choices, items and probes recover with what was planted.

    Returns:
        The tables, and the stores by the names of their plans.
    """
    stores: dict[str, ActivationStore] = {}
    for state in STATES:
        with switched(organism.engine, on=state == STATES[1]):
            stores |= {plan.name: collect_plan(plan, organism.engine, run, progress) for plan in plans[state]}
    how = {"n_resamples": recipe.resamples, "seed": recipe.seed}
    tables = run.stage(
        "planted",
        lambda: {
            "planted_utilities": recovered_utilities(stores, asked.choices, organism.truth),
            "planted_traits": recovered_traits(stores, asked.questionnaire, organism.truth, how),
        },
    )
    tables |= run.stage("planted-recovery", lambda: recovery_tables(tables, how))
    inside, utilities = stores[INSIDE], tables["planted_utilities"]
    tables |= run.stage("planted-probes", lambda: probe_tables(inside, utilities, organism.value, recipe))
    return tables, stores


def organism_facts(organism: Organism) -> dict[str, dict[str, str]]:
    """The model's fingerprint, under a name that tells it from its base."""
    return {f"{organism.engine.name}-organism": organism.engine.fingerprint()}


def check_organism(adapter: Path | None, out: Path | None, progress: Progress) -> tuple[Path, dict[str, pl.DataFrame]]:
    """Run the packaged recipe on an organism.

    Args:
        adapter: folder of the organism; the packaged one by default.
        out: run folder; ./runs/organism, or ./runs/organism-NAME of another organism.
        progress: of the study.

    Returns:
        The run folder and its tables.
    """
    recipe = load_recipe("organism")
    assert isinstance(recipe, OrganismRecipe)
    name = "organism" if adapter is None else f"organism-{adapter.resolve().name}"
    folder = out or Path("runs") / name
    run_organism(recipe.model_copy(update={"adapter": adapter and adapter.resolve()}), folder, progress)
    return folder, {path.stem: pl.read_parquet(path) for path in sorted((folder / "tables").glob("planted_*.parquet"))}
