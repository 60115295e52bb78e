"""What studies of probes begin with: material, model, choices, and the residual stream that is probed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import polars as pl

from personascope.activations.plan import Plan
from personascope.activations.store import ActivationStore
from personascope.direction import Direction
from personascope.errors import DataError
from personascope.experiments.collecting import HasStores, Progress, collect_plan
from personascope.experiments.elicitation import (
    ChoiceMaterial,
    Elicited,
    elicit,
    first_plans,
    load_choice_material,
    task_plan,
)
from personascope.experiments.plans import load_model_part
from personascope.experiments.preferences import preference_tables, trust_tables
from personascope.experiments.probing import HEXACO, probe_tables
from personascope.experiments.profiles import profile_tables
from personascope.experiments.questionnaires import Questionnaire, load_questionnaire, questionnaire_plan
from personascope.experiments.recipe_bases import ProbeStudy
from personascope.experiments.recipe_parts import HexacoPart, ModelPart
from personascope.experiments.rows import Rows, task_rows
from personascope.experiments.runs import RunFolder
from personascope.models.engine import HookEngine
from personascope.models.hashes import model_hash
from personascope.models.requests import require_layers
from personascope.probes.evaluate import fit_direction_weights

_FEWEST_TRAINED_ON = 2


@dataclass(frozen=True)
class Asked:
    """Whom and what a study asks; `questionnaire` is None where no facets are looked at."""

    material: ChoiceMaterial
    questionnaire: Questionnaire | None

    def plans(self, engine: HookEngine, recipe: ProbeStudy) -> list[Plan]:
        """All that is asked whatever the answers will be."""
        kept = recipe.activations
        plans = [*first_plans(engine, self.material, recipe), task_plan(engine, self.material, kept)]
        if self.questionnaire is not None:
            plans.append(questionnaire_plan(HEXACO, engine, self.questionnaire, kept))
        return plans


def load_asked(recipe: ProbeStudy, hexaco: HexacoPart | None) -> Asked:
    """Load the instruments, and find before the first row what would stop the last stage.

    Raises:
        FileFormatError, DataError: as the loaders of `instruments`; fewer topics or facets than folds.
    """
    material = load_choice_material(recipe)
    questionnaire = None if hexaco is None else load_questionnaire(hexaco, recipe.personas)
    groups = {"topics": material.pool.topics, "facets": questionnaire.bank.facets if questionnaire else None}
    folds = recipe.probes.folds
    for what, names in groups.items():
        # without the two folds that are tested and tuned on, two groups must be left to learn from
        left = 0 if names is None else len(names) - 2 * ceil(len(names) / folds)
        if names is not None and (len(names) < folds or left < _FEWEST_TRAINED_ON):
            raise DataError(
                f"{len(names)} {what} cannot fill {folds} folds.",
                f"Probes are tested and tuned on {what} that they were not trained on, which must be "
                f"{_FEWEST_TRAINED_ON} or more.",
                f"Use more {what}; {2 * folds} are enough for {folds} folds.",
            )
    return Asked(material, questionnaire)


def load_probed_model(part: ModelPart, recipe: ProbeStudy) -> HookEngine:
    """The model, checked, with the layers that the recipe names."""
    engine = load_model_part(part)
    kept = recipe.activations.layers
    require_layers(engine, kept if kept != "all" else ())
    return engine


def begin_study(run: RunFolder, recipe: ProbeStudy, hexaco: HexacoPart | None) -> tuple[Asked, HookEngine] | None:
    """What is asked, and of which model, with the run bound to both; None where the run is finished.

    Raises:
        PersonascopeError: everything that can be found wrong before the first row.
    """
    if run.is_finished():
        return None
    asked = load_asked(recipe, hexaco)
    engine = load_probed_model(recipe.model, recipe)
    run.begin({plan.name: plan.fields() for plan in asked.plans(engine, recipe)})
    return None if run.is_finished() else (asked, engine)  # a fork of before


@dataclass(frozen=True)
class Answered:
    """All that was answered and kept: what was chosen, and the stores by name."""

    elicited: Elicited
    stores: Mapping[str, ActivationStore]


def ask(engine: HookEngine, asked: Asked, recipe: ProbeStudy, run: HasStores, progress: Progress) -> Answered:
    """Ask everything, or find it asked. Errors: as `collect`."""
    elicited = elicit(engine, asked.material, recipe, run, progress)
    stores = dict(elicited.stores)
    for plan in asked.plans(engine, recipe):
        if plan.name not in stores:
            stores[plan.name] = collect_plan(plan, engine, run, progress)
    return Answered(elicited, stores)


def ask_and_probe(
    engine: HookEngine, asked: Asked, recipe: ProbeStudy, run: RunFolder, progress: Progress
) -> tuple[dict[str, ActivationStore], dict[str, pl.DataFrame]]:
    """Stores of all that was asked, and the tables that every study of probes has.

    These are preferences, how far they can be trusted, the profile over facets where items were asked, and probes.
    """
    answered = ask(engine, asked, recipe, run, progress)
    material, stores = asked.material, dict(answered.stores)
    tables = run.stage("preferences", lambda: preference_tables(answered.elicited, material, recipe))
    tables |= run.stage("trust", lambda: trust_tables(answered.elicited, tables, material, recipe))
    questionnaire = asked.questionnaire
    if questionnaire is not None:
        tables |= run.stage("hexaco", lambda: profile_tables(stores[HEXACO], questionnaire.bank, recipe, ()))
    tables |= run.stage("probes", lambda: probe_tables(stores, tables, material, recipe, progress))
    return stores, tables


def preference_directions(
    engine: HookEngine,
    store: ActivationStore,
    utilities: pl.DataFrame,
    material: ChoiceMaterial,
    recipe: ProbeStudy,
    layers: Sequence[int],
) -> list[Direction]:
    """The first persona's preference direction at some layers: ridge weights on all its tasks."""
    persona, position = material.personas[0], recipe.probes.position
    means = f"higher task utility under persona {persona}"
    return [
        ridge_direction(
            engine,
            store,
            task_rows(store, utilities, persona, layer, position),
            layer,
            position,
            means,
            recipe.seed,
        )
        for layer in layers
    ]


def save_directions(run: RunFolder, name: str, directions: list[Direction]) -> None:
    """Directions of several layers as safetensors + JSON under directions/."""
    for direction in directions:
        direction.save(run.path / "directions" / f"{name}-layer{direction.layer:02d}")


def ridge_direction(
    engine: HookEngine, store: ActivationStore, rows: Rows, layer: int, position: str, means: str, seed: int
) -> Direction:
    """Ridge weights on all rows as a direction; no value may be reported on these rows."""
    return Direction(
        vector=fit_direction_weights(rows.features, rows.target, rows.groups, seed=seed),
        layer=layer,
        position=position,
        model=engine.name,
        model_hash=model_hash(engine.fingerprint()),
        reference_norm=float(np.linalg.norm(rows.features, axis=1).mean()),
        means=means,
        fit=f"ridge, {len(rows.target)} rows, penalty by grouped folds",
        data_hash=store.key,
    )
