"""What the demo would compute."""

from __future__ import annotations

from personascope.experiments.asking import Material, demo_plans, load_material
from personascope.experiments.demo import load_recipe_model
from personascope.experiments.elicitation import choice_prompt
from personascope.experiments.estimate import PlanLine, plan_line, tokens_per_second
from personascope.experiments.estimate_organism import estimate_organism
from personascope.experiments.questionnaires import item_prompt, rating_template
from personascope.experiments.recipe import Recipe
from personascope.experiments.recipe_organism import OrganismRecipe
from personascope.models.engine import HookEngine
from personascope.prompts.positions import resolve
from personascope.prompts.templates import ORDERS


def estimate_demo(recipe: Recipe) -> list[PlanLine]:
    """One line for each part of the demo; the minutes of its probes and statistics are not counted."""
    material = load_material(recipe)
    engine = load_recipe_model(recipe)
    plans = demo_plans(engine, material, recipe.activations)
    rate = tokens_per_second(engine, plans[0])
    lines = [*[plan_line(plan, engine, rate) for plan in plans], _steering_line(engine, material, recipe, rate)]
    return lines + (
        [] if recipe.organism is None else estimate_organism(OrganismRecipe.beside(recipe, recipe.organism))
    )


def _steering_line(engine: HookEngine, material: Material, recipe: Recipe, rate: float) -> PlanLine:
    """Sweeps run only the tokens from the first steered one on, and only the blocks above the steered layer."""
    part = recipe.steering
    tasks = material.pool.tasks
    pairs = [material.pairs[number] for number in range(min(part.pairs, len(material.pairs)))]
    asked = [(choice_prompt(engine, material.choosers[0], tasks[i], tasks[j]), "from:task_a") for i, j in pairs] * 2
    persona, bank = material.questionnaire.respondents[0], material.questionnaire.bank.subset([part.facet])
    templates = [rating_template(engine, material.questionnaire.scale, order) for order in ORDERS]
    asked += [(item_prompt(engine, persona, item, one), "from:item") for item in bank.items for one in templates]
    steered = sum(len(resolve(prompt, where)) for prompt, where in asked)
    n_cells = (len(part.coefficients) - 1) * (1 + part.random_directions)
    blocks = sum(engine.n_layers - 1 - layer for layer in part.layers) / engine.n_layers
    computed = round(steered * n_cells * blocks) + sum(len(prompt) for prompt, _ in asked)
    rows = len(asked) * (1 + n_cells * len(part.layers))
    tokens = sum(len(prompt) for prompt, _ in asked) * (1 + n_cells * len(part.layers))
    return PlanLine("steering", rows, tokens, computed, 0, computed / rate / 60)
