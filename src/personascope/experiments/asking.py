"""What the demo asks: its material and its three plans."""

from __future__ import annotations

from dataclasses import dataclass

from personascope.activations.plan import Plan
from personascope.errors import DataError
from personascope.experiments.elicitation import ChoiceMaterial, choice_plan, load_choice_material, task_plan
from personascope.experiments.questionnaires import Questionnaire, load_questionnaire, questionnaire_plan
from personascope.experiments.recipe import Recipe
from personascope.experiments.recipe_parts import ActivationsPart
from personascope.models.engine import HookEngine


@dataclass(frozen=True, kw_only=True)
class Material(ChoiceMaterial):
    """What a recipe asks: items and tasks, who answers them, and which tasks are compared."""

    questionnaire: Questionnaire


def load_material(recipe: Recipe) -> Material:
    """Load and cut down the instruments that a recipe names.

    Raises:
        FileFormatError, DataError: as the loaders of `instruments`.
    """
    material = Material(
        **vars(load_choice_material(recipe)), questionnaire=load_questionnaire(recipe.hexaco, recipe.personas)
    )
    _check_sizes(material, recipe)
    return material


def _check_sizes(material: Material, recipe: Recipe) -> None:
    """Find before the first row what would stop the last stage."""
    folds = recipe.probes.folds
    for what, groups in (("facets", material.questionnaire.bank.facets), ("topics", material.pool.topics)):
        if len(groups) < folds:
            raise DataError(
                f"{len(groups)} {what} cannot fill {folds} folds.",
                f"Probes are tested on {what} that they were not trained on.",
                f"Use more {what} or a smaller probes.folds.",
            )
    steered = material.questionnaire.bank.subset([recipe.steering.facet])
    per_key = min(sum(item.key == key for item in steered.items) for key in (1, -1))
    if len(steered.items) < folds or per_key < 1:
        raise DataError(
            f"The steered facet {recipe.steering.facet!r} has {len(steered.items)} items, {per_key} of its rarer key.",
            f"Its direction needs {folds} items or more, and items of both keys tell trait from yea-saying.",
            "Steer another facet (steering.facet) or ask more of its items.",
        )


def demo_plans(engine: HookEngine, material: Material, kept: ActivationsPart) -> tuple[Plan, Plan, Plan]:
    """The plans "hexaco", "choices" and "tasks"."""
    hexaco = questionnaire_plan("hexaco", engine, material.questionnaire, kept)
    return hexaco, choice_plan(engine, material, rows_per_shard=kept.rows_per_shard), task_plan(engine, material, kept)
